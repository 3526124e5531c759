//! The data plane of Windlass: its own process, `windlass proxy`.
//!
//! It listens for visitors, finds the route of each request by its host name, and passes it to an
//! instance or answers it from a static tree. The control plane publishes routes over a unix
//! socket ([`control`]); a switch is the publication of a route's next *generation*.
//!
//! **Invariants**
//!
//! - This crate names neither the plugin engine nor the container runtime.
//! - A request uses exactly one generation and holds a lease on it until its last byte; a
//!   generation is *drained* when it is closed and nobody holds a lease.
//! - What was acknowledged survives any end of the process: the table file is synced first.
//! - No request waits for a lock that a publication holds.
//!
//! Reading order: `role`, [`route`], `generation`, `table`, `listen`, `serve`, `forward`, `pool`,
//! `statics`, [`control`], `state`.

mod answer;
mod body;
pub mod control;
mod file;
mod forward;
mod generation;
mod headers;
mod hold;
pub mod limits;
mod listen;
mod pool;
mod role;
pub mod route;
mod serve;
mod stall;
mod state;
mod statics;
mod table;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use control::client::{ClientError, DrainState, ProxyClient};
pub use control::protocol::{ControlError, ErrorCode, GenerationStats, Stats};
pub use file::read_table;
pub use limits::ProxyLimits;
pub use listen::listen_on;
pub use role::raise_open_files;
pub use route::{DrainDeadlines, Instance, Route, Targets};
pub use statics::{Withheld, plain_of};

/// Where visitors are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// Port 80 on all addresses; 8080 when 80 is taken or not permitted, said in the log.
    Auto,
    /// Exactly these; all must be free. Port 0 takes any.
    Addresses(Vec<SocketAddr>),
}

/// What a proxy is started with.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// Where visitors are accepted.
    pub listen: Listen,
    /// The control socket; made with mode 0600. `<socket>.lock` beside it keeps a second proxy away.
    pub control_socket: PathBuf,
    /// The file that keeps the last table.
    pub table_file: PathBuf,
    /// The limits in force.
    pub limits: ProxyLimits,
    /// Proxies in front of this one whose `X-Forwarded-*` are believed and extended; of everyone
    /// else they are replaced.
    pub trusted_proxies: Vec<std::net::IpAddr>,
}

/// Why a proxy could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Another proxy runs on this control socket.
    #[error(
        "another proxy already runs on {}; stop it first, or choose another data directory",
        path.display()
    )]
    AlreadyRunning {
        /// The control socket.
        path: PathBuf,
    },
    /// A listener could not be bound.
    #[error(
        "cannot listen on {addresses}: {source}; free the port, or choose another with --listen"
    )]
    Bind {
        /// What was tried.
        addresses: String,
        /// The system's answer to the last try.
        #[source]
        source: io::Error,
    },
    /// The control socket could not be made.
    #[error(
        "cannot make the control socket {}: {source}; its folder must exist and be writable",
        path.display()
    )]
    ControlSocket {
        /// The control socket.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The table file could not be read or written.
    #[error("cannot use the table file {}: {source}; check its folder's permissions and space", path.display())]
    TableFile {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The table file was written by a newer release.
    #[error(
        "the table file {} has version {found}, and this release reads up to {known}; start the newer \
         windlass, or move the file away and let `windlass serve` publish its routes again",
        path.display()
    )]
    TableVersion {
        /// The file.
        path: PathBuf,
        /// The version it has.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
}

/// Runs the proxy until SIGTERM or a `shutdown` request, and then until its requests have ended.
/// The control socket answers only once all listeners are bound.
///
/// Any tokio runtime with I/O, time and signals will do; one thread serves thousands of requests a
/// second. Static files are read on its blocking threads: allow a handful, not hundreds.
///
/// # Errors
/// When it cannot start; see [`ProxyError`].
pub async fn run(config: ProxyConfig) -> Result<(), ProxyError> {
    role::run(config).await
}
