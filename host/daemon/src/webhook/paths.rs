//! The path filter: whether a push concerns an environment at all. The filter itself is `[deploy] paths`
//! of the pushed commit's `windlass.toml`, and is read and judged where the source is.
//!
//! **Invariant: when it cannot be told, the push is deployed.** The deployment then meets the same
//! trouble, and says it where people look.

use std::sync::Arc;
use std::time::Duration;

use windlass_model::{EnvironmentName, ProjectName};

use crate::host::Host;

/// Why what changed from `old` to `new` does not concern the environment, if it does not.
pub(super) async fn untouched(
    host: &Arc<Host>,
    project: &ProjectName,
    environment: &EnvironmentName,
    url: &str,
    old: &str,
    new: &str,
) -> Option<String> {
    let patience = Duration::from_secs(host.config.limits.fetch_s);
    let asked = host.affected(project, environment, url, old, new);
    match tokio::time::timeout(patience, asked).await {
        Ok(Ok(told)) if told.affected => None,
        Ok(Ok(told)) => Some(told.reason),
        Ok(Err(failure)) => {
            tracing::info!(%failure, %project, "the path filter could not be asked: it deploys");
            None
        }
        Err(_) => {
            tracing::info!(%project, "the path filter took too long: it deploys");
            None
        }
    }
}
