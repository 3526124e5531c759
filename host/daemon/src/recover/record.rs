//! The record of a live deployment in containerd's content store, beside its artifact's: what
//! `windlass recover` reads when the state is lost.
//!
//! **Invariants.** It holds no variable's value and no token. It is written after a deployment went live
//! and again at every start; that it could not be written is logged, and fails nothing.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_containers::runtime::LABEL_GC_ROOT;
use windlass_containers::{Labels, Runtime, RuntimeError};
use windlass_model::deployment::StoredPlan;
use windlass_model::project::{Project, Service};
use windlass_model::{Deployment, DeploymentId, Failure, Timestamp};

use crate::host::Host;
use crate::pipeline::names;

/// Version of the record's form.
const FORMAT: u32 = 1;
/// Longest wait for containerd: nothing else must hang on it.
const WRITTEN_WITHIN: Duration = Duration::from_secs(10);
const RECORD_BYTES_MAX: u64 = 16 << 20;
const LABEL_KIND: &str = "windlass.kind";
const KIND: &str = "live-deployment";

/// A live deployment with what belongs to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LiveRecord {
    format: u32,
    pub(crate) project: Project,
    pub(crate) deployment: Deployment,
    pub(crate) plan: Option<StoredPlan>,
    #[serde(default)]
    pub(crate) services: Vec<Service>,
}

impl LiveRecord {
    /// Nothing but the deployment.
    pub(super) fn bare(project: Project, deployment: Deployment) -> Self {
        Self { format: FORMAT, project, deployment, plan: None, services: Vec::new() }
    }
}

fn kind() -> Labels {
    Labels::from([(LABEL_KIND.to_owned(), KIND.to_owned())])
}

/// Writes the record of every live deployment, and removes those of the others.
pub(crate) async fn write_all(host: &Host) {
    let live = match host.all_live() {
        Ok(live) => live,
        Err(failure) => {
            tracing::warn!(%failure, "the live deployments could not be read");
            return;
        }
    };
    for (deployment, _) in &live {
        write(host, deployment).await;
    }
    let ids = live.iter().map(|(deployment, _)| deployment.id.to_string()).collect();
    if let Err(error) = remove_others(host.runtime.as_ref(), &ids, &kind()).await {
        tracing::warn!(%error, "records of deployments that are not live any more are left");
    }
}

/// Writes the record of one deployment that is live now, and removes that of the one before.
pub(crate) async fn write(host: &Host, deployment: &Deployment) {
    let written = tokio::time::timeout(WRITTEN_WITHIN, try_write(host, deployment)).await;
    if let Err(why) = written.unwrap_or_else(|_| Err("containerd does not answer".to_owned())) {
        tracing::warn!(
            why, deployment = %deployment.id,
            "the record for recovery could not be written; it is tried again at the next start"
        );
    }
}

async fn try_write(host: &Host, deployment: &Deployment) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let project = host.store.project(&deployment.project).map_err(|e| text(&e))?.value;
    let plan = match &deployment.outputs.plan {
        Some(digest) => host.store.plan(digest).map_err(|e| text(&e))?,
        None => None,
    };
    let services =
        host.services(&deployment.project, &deployment.environment).map_err(|e| text(&e))?;
    let record =
        LiveRecord { format: FORMAT, project, deployment: deployment.clone(), plan, services };
    let bytes = serde_json::to_vec(&record).map_err(|e| text(&e))?;
    let environment = names::environment_labels(&deployment.project, &deployment.environment);
    let mut labels = kind();
    labels.extend(environment.clone());
    labels.extend(names::deployment_labels(&deployment.id));
    labels.insert(LABEL_GC_ROOT.to_owned(), Timestamp::now().to_string());
    let runtime = host.runtime.as_ref();
    let body = Box::new(std::io::Cursor::new(bytes));
    let blob = runtime.put_blob(body, None, &labels).await.map_err(|e| text(&e))?;
    runtime.label_blob(&blob.digest, &labels).await.map_err(|e| text(&e))?;
    let mut of_environment = kind();
    of_environment.extend(environment);
    for old in runtime.list_blobs(&of_environment).await.map_err(|e| text(&e))? {
        if old.digest != blob.digest {
            runtime.delete_blob(&old.digest).await.map_err(|e| text(&e))?;
        }
    }
    Ok(())
}

async fn remove_others(
    runtime: &dyn Runtime,
    live: &HashSet<String>,
    labels: &Labels,
) -> Result<(), RuntimeError> {
    for blob in runtime.list_blobs(labels).await? {
        let of: Option<DeploymentId> = names::labelled_deployment(&blob.labels);
        if !of.is_some_and(|id| live.contains(id.as_str())) {
            runtime.delete_blob(&blob.digest).await?;
        }
    }
    Ok(())
}

/// All records that there are; one that makes no sense is named and left out.
pub(crate) async fn read_all(
    runtime: &dyn Runtime,
) -> Result<(Vec<LiveRecord>, Vec<String>), Failure> {
    let failed = |e: RuntimeError| e.failure("the records of live deployments could not be read");
    let (mut records, mut unreadable) = (Vec::new(), Vec::new());
    for blob in runtime.list_blobs(&kind()).await.map_err(failed)? {
        let bytes = runtime.read_blob(&blob.digest, RECORD_BYTES_MAX).await.map_err(failed)?;
        let Some(bytes) = bytes else { continue };
        match serde_json::from_slice::<LiveRecord>(&bytes) {
            Ok(record) if record.format <= FORMAT => records.push(record),
            Ok(record) => unreadable.push(format!(
                "a record of {}/{} that a newer Windlass wrote (format {})",
                record.deployment.project, record.deployment.environment, record.format
            )),
            Err(error) => {
                unreadable.push(format!("the record {}: {error}", blob.digest.short()));
            }
        }
    }
    Ok((records, unreadable))
}
