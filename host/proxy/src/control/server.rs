//! The proxy's side of the protocol.

use crate::{ProxyConfig, ProxyError};

pub(crate) async fn run(config: ProxyConfig) -> Result<(), ProxyError> {
    let lock = config.control_socket.with_extension("lock");
    tracing::debug!(lock = %lock.display(), "starting");
    std::future::pending().await
}
