//! How the host itself is.

use std::sync::Arc;
use std::time::Duration;

use windlass_model::api::HostStatus;
use windlass_model::{DeploymentStatus, Failure};
use windlass_store::Health;

use super::{stored, views};
use crate::host::Host;

/// How long containerd may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is not well, so that deployments would fail; empty when the host is ready.
pub async fn problems(host: &Arc<Host>) -> Vec<Failure> {
    let mut problems = Vec::new();
    if let Health::ReadOnly { why } = host.store.health() {
        problems.push(windlass_store::StoreError::ReadOnly { why }.to_failure());
    }
    if views::Addresses::of(host).await.urls().is_empty() {
        problems.push(Failure::host(
            "proxy.unreachable",
            "the proxy does not answer",
            "it is being started, or it cannot listen anywhere",
            "see proxy.log in the data directory; `windlass doctor` checks its ports",
        ));
    }
    let asked = tokio::time::timeout(PATIENCE, host.runtime.snapshot("no-such-snapshot")).await;
    let silent = match asked {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("it was asked, and said nothing for {PATIENCE:?}")),
    };
    if let Some(why) = silent {
        problems.push(Failure::host(
            "containerd.unreachable",
            "containerd does not answer",
            why,
            "`windlass doctor` says what is missing; containerd.log in the data directory says more",
        ));
    }
    problems
}

/// The whole host in one answer.
///
/// # Errors
/// The store's.
pub async fn host(host: &Arc<Host>) -> Result<HostStatus, Failure> {
    let problems = problems(host).await;
    let queue = views::Queue::of(host)?;
    let live = host.store.deployments_with_status(DeploymentStatus::Live).map_err(stored)?.len();
    let backup = crate::backup::status(host);
    let of_backup = backup.failure.as_ref().map(|f| format!("{}: {}; {}", f.what, f.why, f.fix));
    Ok(HostStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: host.store.host_id().clone(),
        since: host.since,
        proxy: views::Addresses::of(host).await.urls(),
        ready: problems.is_empty(),
        problems,
        notices: host.store.recovered().into_iter().chain(of_backup).collect(),
        backup,
        queued: queue.queued(),
        running: queue.running(),
        live,
    })
}
