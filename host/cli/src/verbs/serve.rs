//! `windlass serve`: the control plane.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use windlass_model::Limits;

use crate::exit::{CliError, CliResult, Exit};
use crate::roles::{LogFormat, ServeOptions};
use crate::session::Session;

/// Run the host: API, pipeline, plugins and state.
///
/// It starts the proxy and, unless --containerd is given, a containerd of its own. All of them, and
/// the applications, go on when it stops.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass serve
  windlass serve --data-dir /srv/windlass --proxy-listen 0.0.0.0:8080
  windlass serve --containerd /run/containerd/containerd.sock
  windlass serve --registry-mirror docker.io=https://mirror.example.org")]
pub struct Serve {
    /// Where the API listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    api_listen: SocketAddr,
    /// Where the proxy listens; may be repeated [default: port 80, or 8080 when it is taken or not
    /// permitted].
    #[arg(long, value_name = "ADDRESS")]
    proxy_listen: Vec<SocketAddr>,
    /// Socket of an existing containerd to use instead of an own one.
    #[arg(long, value_name = "SOCKET")]
    containerd: Option<PathBuf>,
    /// Folder of the plugins that came with Windlass [default: `plugins` beside the binary].
    #[arg(long, value_name = "DIR")]
    plugins_dir: Option<PathBuf>,
    /// Folder of assembled base images that several hosts on one machine may share.
    #[arg(long, value_name = "DIR")]
    base_cache_dir: Option<PathBuf>,
    /// Mirror of a registry, which is asked first; may be repeated [form: REGISTRY=ADDRESS].
    #[arg(long, value_name = "MIRROR")]
    registry_mirror: Vec<String>,
    /// TOML file of limits that differ from the defaults.
    #[arg(long, value_name = "FILE")]
    limits: Option<PathBuf>,
    /// How the log on standard error is written; WINDLASS_LOG filters it (`info`, `debug`, ...).
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

impl Serve {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let limits = self.limits.as_deref().map(read_limits).transpose()?.unwrap_or_default();
        let options = ServeOptions {
            data_dir: session.data_dir(),
            api_listen: self.api_listen,
            containerd: self.containerd,
            proxy_listen: self.proxy_listen,
            plugins_dir: self.plugins_dir,
            base_cache_dir: self.base_cache_dir,
            registry_mirrors: self.registry_mirror,
            limits,
            log_format: self.log_format,
        };
        session.roles.serve(options).map_err(CliError::of_role)?;
        Ok(Exit::Ok)
    }
}

fn read_limits(file: &Path) -> CliResult<Limits> {
    let wrong = |why: String| {
        CliError::bad_input(
            "cli.limits",
            format!("the limits in {} cannot be used", file.display()),
            why,
            "use the names of host/OPERATIONS.md, each with a whole number: `build_s = 1800`",
        )
    };
    let text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
    toml::from_str(&text).map_err(|e| wrong(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_laid_over_the_defaults_and_unknown_ones_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "build_s = 5\n[plugin]\nwall_ms = 7\n").unwrap();
        let limits = read_limits(file.path()).unwrap();
        assert_eq!((limits.build_s, limits.plugin.wall_ms), (5, 7));
        assert_eq!(limits.fetch_s, Limits::default().fetch_s);
        std::fs::write(file.path(), "built_s = 5\n").unwrap();
        let error = read_limits(file.path()).unwrap_err();
        assert_eq!(error.exit, Exit::BadInput);
        assert!(error.failure.why.contains("built_s"), "{}", error.failure.why);
    }
}
