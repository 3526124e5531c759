//! `windlass proxy`: the data plane.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::exit::{CliError, CliResult, Exit};
use crate::roles::{LogFormat, ProxyOptions};
use crate::session::Session;

/// Run the proxy alone; `serve` starts one when none runs.
///
/// It serves from its last table without `serve`, and ends on SIGTERM after its open requests.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass proxy
  windlass proxy --data-dir /srv/windlass --listen 0.0.0.0:80 --listen [::]:80")]
pub struct Proxy {
    /// Where visitors are accepted; may be repeated [default: port 80, or 8080 when it is taken or
    /// not permitted].
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<SocketAddr>,
    /// The control socket [default: `proxy.sock` in the data directory].
    #[arg(long, value_name = "SOCKET")]
    control_socket: Option<PathBuf>,
    /// The file that keeps the last table [default: `proxy-table.json` in the data directory].
    #[arg(long, value_name = "FILE")]
    table_file: Option<PathBuf>,
    /// A proxy in front of this one whose X-Forwarded headers are believed; may be repeated.
    #[arg(long, value_name = "IP")]
    trusted_proxy: Vec<IpAddr>,
    /// How the log on standard error is written; WINDLASS_LOG filters it (`info`, `debug`, ...).
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

impl Proxy {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let data_dir = session.data_dir();
        let options = ProxyOptions {
            control_socket: self.control_socket.unwrap_or_else(|| data_dir.join("proxy.sock")),
            table_file: self.table_file.unwrap_or_else(|| data_dir.join("proxy-table.json")),
            listen: self.listen,
            trusted_proxies: self.trusted_proxy,
            log_format: self.log_format,
        };
        session.roles.proxy(options).map_err(CliError::of_role)?;
        Ok(Exit::Ok)
    }
}
