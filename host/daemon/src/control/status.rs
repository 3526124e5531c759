//! How the host itself is.

use std::sync::Arc;
use std::time::Duration;

use windlass_model::api::HostStatus;
use windlass_model::recovery::BackupStatus;
use windlass_model::{DeploymentStatus, Failure};
use windlass_store::Health;

use super::views;
use crate::access::caller;
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

/// The host in one answer. A caller who is limited to projects is told their numbers alone, and nothing of
/// the backups: they hold every project.
///
/// # Errors
/// The store's.
pub async fn host(host: &Arc<Host>) -> Result<HostStatus, Failure> {
    let problems = problems(host).await;
    let is_limited = caller::present().is_some_and(|caller| caller.is_limited());
    let (backup, notices) = if is_limited { Default::default() } else { kept(host) };
    Ok(HostStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: host.store.host_id().clone(),
        since: host.since,
        proxy: views::Addresses::of(host).await.urls(),
        ready: problems.is_empty(),
        problems,
        notices,
        backup,
        queued: count(host, DeploymentStatus::Queued)?,
        running: count(host, DeploymentStatus::Running)?,
        live: count(host, DeploymentStatus::Live)?,
    })
}

/// How the backups stand, and what is worth knowing of the state.
fn kept(host: &Host) -> (BackupStatus, Vec<String>) {
    let backup = crate::backup::status(host);
    let of_backup = backup.failure.as_ref().map(|f| format!("{}: {}; {}", f.what, f.why, f.fix));
    let notices = host.store.recovered().into_iter().chain(of_backup).collect();
    (backup, notices)
}

/// How many deployments of this status the caller may see.
fn count(host: &Host, status: DeploymentStatus) -> Result<usize, Failure> {
    Ok(host.briefs(status)?.iter().filter(|brief| caller::sees(&brief.project)).count())
}
