//! What can be asked of the control plane. The API calls it, and so will everything else that asks.
//!
//! **Invariant: nothing here does a deployment's work or writes its state.** Functions store records
//! and intents, wake the queue and return; only the pipeline's runner writes a deployment after it was
//! made. The one thing outside the store that changes here is the proxy's routes, when domains or maintenance do.

use std::sync::Arc;

use windlass_model::access::TokenScope;
use windlass_model::{EnvironmentName, Failure, ProjectName};
use windlass_store::StoreError;

use crate::access::caller;
use crate::host::Host;

pub mod artifacts;
pub mod builds;
pub mod caches;
pub(crate) mod cron;
pub mod deploy_keys;
pub mod deployments;
pub mod environment;
pub mod find;
pub mod images;
pub mod once;
pub mod pausing;
pub(crate) mod plans;
pub(crate) mod plugins;
pub mod previews;
pub mod projects;
pub mod promote;
pub mod registries;
pub mod rollback;
pub mod running;
pub mod settings;
pub mod status;
pub mod views;
pub mod volumes;
pub mod webhooks;

/// An environment, named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its project.
    pub project: ProjectName,
    /// Its name.
    pub environment: EnvironmentName,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.project, self.environment)
    }
}

/// The store's error in the words of what was asked for: `project.not-found`.
pub(crate) fn stored(error: StoreError) -> Failure {
    let mut failure = error.to_failure();
    let subject = |what: &str| what.split(' ').next().unwrap_or("store").to_owned();
    match &error {
        StoreError::NotFound { what } => {
            let kind = subject(what);
            if let Some(fix) = how_to_find(&kind) {
                fix.clone_into(&mut failure.fix);
            }
            failure.code = format!("{kind}.not-found");
        }
        StoreError::Exists { what } => failure.code = format!("{}.exists", subject(what)),
        StoreError::Invalid { what: "domain", given, rule } => {
            return Failure::app(
                "domain.invalid",
                format!("{given:?} is no domain"),
                *rule,
                "name it like `windlass domain add shop.example.com`; `*` is the default route",
            );
        }
        StoreError::DomainTaken { .. } => failure.code = "domain.taken".to_owned(),
        StoreError::Busy { what, .. } => {
            let kind = subject(what);
            failure.fix = format!(
                "nothing of the {kind} may be live, queued or running: end what is live with `windlass \
                 stop`, and what is queued or running with `windlass cancel`"
            );
            failure.code = format!("{kind}.has-live");
        }
        _ => {}
    }
    failure
}

/// How a person finds the right name of what was not found.
fn how_to_find(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "project" => {
            "check the name: `windlass project list` shows all; `windlass project create NAME` makes it"
        }
        "environment" => {
            "check the name: `windlass environment list` shows all; `windlass environment create NAME` \
             makes it"
        }
        "deployment" => "check the number or id: `windlass deployments` shows those that are kept",
        "service" => "check the name: `windlass service list` shows the environment's",
        "domain" => "check the name: `windlass domain list` shows the environment's",
        "registry-login" => "check the name: `windlass registry list` shows the project's logins",
        _ => return None,
    })
}

/// Fails unless the environment is there.
pub(crate) fn require(host: &Host, target: &Target) -> Result<(), Failure> {
    host.store.environment(&target.project, &target.environment).map(drop).map_err(stored)
}

/// Makes project and environment unless they are there. A new environment gets the host name
/// [`local_host_name`], so that there is an address to open from the first deployment on.
///
/// # Errors
/// `auth.scope-too-small` when something is missing and the one who asks may not make it; the store's.
pub async fn ensure(host: &Arc<Host>, target: &Target) -> Result<(), Failure> {
    let Target { project, environment } = target;
    if host.store.find_environment(project, environment).map_err(stored)?.is_some() {
        return Ok(());
    }
    caller::must_have(TokenScope::Admin, &format!("making {project}/{environment}"))?;
    host.store.ensure_project(project).await.map_err(stored)?;
    host.store.ensure_environment(project, environment).await.map_err(stored)?;
    match host.store.add_domain(project, environment, &local_host_name(target)).await {
        Ok(_) | Err(StoreError::DomainTaken { .. }) => Ok(()),
        Err(error) => Err(stored(error)),
    }
}

/// `shop.localhost`, or `staging.shop.localhost`: browsers and curl resolve these to this machine.
fn local_host_name(target: &Target) -> String {
    if target.environment == EnvironmentName::production() {
        format!("{}.localhost", target.project)
    } else {
        format!("{}.{}.localhost", target.environment, target.project)
    }
}
