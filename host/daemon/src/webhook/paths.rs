//! The path filter: whether a push concerns an environment at all.

use std::sync::Arc;

use windlass_model::{EnvironmentName, Failure, ProjectName};

use crate::host::Host;

/// Why what changed from `old` to `new` does not concern the environment, if it does not.
pub(super) async fn untouched(
    _host: &Arc<Host>,
    _project: &ProjectName,
    _environment: &EnvironmentName,
    _url: &str,
    _old: &str,
    _new: &str,
) -> Result<Option<String>, Failure> {
    Ok(None)
}
