//! Every key of the store, in one place.
//!
//! Names and ids hold no `/`, so prefixes that end in `/` never run into each other.

use windlass_model::deployment::DeploymentStatus;
use windlass_model::webhook::{DeliveryId, WebhookId};
use windlass_model::{Deployment, DeploymentId, Digest, EnvironmentName, ProjectName};

pub(crate) const SCHEMA: &str = "meta/schema";
pub(crate) const HOST_ID: &str = "meta/host-id";
pub(crate) const INDEXES: &str = "meta/indexes";
pub(crate) const KEY_CHECK: &str = "meta/key-check";
pub(crate) const PROJECTS: &str = "project/";
pub(crate) const DOMAINS: &str = "domain/";
pub(crate) const DEPLOYMENTS: &str = "deployment/";
pub(crate) const INTENTS: &str = "intent/";
pub(crate) const NETWORKS: &str = "network/";
pub(crate) const PLANS: &str = "plan/";
pub(crate) const SUBNETS: &str = "subnet/";
pub(crate) const API_TOKENS: &str = "api-token/";
pub(crate) const CRON: &str = "cron/";
pub(crate) const RUNNING: &str = "running/";
pub(crate) const PLUGIN_ACCOUNTS: &str = "plugin-account/";
pub(crate) const ENVIRONMENT_SETTINGS: &str = "environment-settings/";

pub(crate) fn project(project: &ProjectName) -> String {
    format!("project/{project}")
}

pub(crate) fn git_token(project: &ProjectName) -> String {
    format!("git-token/{project}")
}

pub(crate) fn deploy_key(project: &ProjectName) -> String {
    format!("deploy-key/{project}")
}

/// What the calls of plugins on behalf of a project amounted to.
pub(crate) fn plugin_account(project: &ProjectName) -> String {
    format!("plugin-account/{project}")
}

/// Sealed logins, by registry.
pub(crate) fn registry_logins(project: &ProjectName) -> String {
    format!("registry-login/{project}/")
}

pub(crate) fn registry_login(project: &ProjectName, registry: &str) -> String {
    format!("registry-login/{project}/{registry}")
}

pub(crate) fn environments(project: &ProjectName) -> String {
    format!("environment/{project}/")
}

pub(crate) fn environment(project: &ProjectName, environment: &EnvironmentName) -> String {
    format!("environment/{project}/{environment}")
}

pub(crate) fn variables(project: &ProjectName, environment: &EnvironmentName) -> String {
    format!("variable/{project}/{environment}/")
}

pub(crate) fn services(project: &ProjectName, environment: &EnvironmentName) -> String {
    format!("service/{project}/{environment}/")
}

pub(crate) fn domain(host: &str) -> String {
    format!("domain/{host}")
}

pub(crate) fn deployment(id: &DeploymentId) -> String {
    format!("deployment/{id}")
}

/// By number within the project, over all environments; the value is the id.
pub(crate) fn numbers(project: &ProjectName) -> String {
    format!("number/{project}/")
}

/// By number within the environment; the value is the id.
pub(crate) fn history(project: &ProjectName, environment: &EnvironmentName) -> String {
    format!("history/{project}/{environment}/")
}

/// Deployments with an artifact that was not pruned, by number; the value is the id.
pub(crate) fn artifacts(project: &ProjectName, environment: &EnvironmentName) -> String {
    format!("artifact/{project}/{environment}/")
}

/// By status and id within the environment; the value is the id. Ids sort by time, so that the newest
/// of any choice of environments and statuses are found without reading a record.
pub(crate) fn listed(project: &ProjectName, environment: &EnvironmentName) -> String {
    format!("list/{project}/{environment}/")
}

/// The variables as they were when a deployment was begun.
pub(crate) fn env_snapshot(deployment: &DeploymentId) -> String {
    format!("env-snapshot/{deployment}/")
}

/// Idempotency keys of a project and what keeps count of them.
pub(crate) fn idempotency(project: &ProjectName) -> String {
    format!("idempotency/{project}/")
}

/// Pinned deployments of an environment, by id.
pub(crate) fn pins(project: &ProjectName, environment: &EnvironmentName) -> String {
    format!("pin/{project}/{environment}/")
}

/// Under a prefix that is ordered by number.
pub(crate) fn numbered(prefix: &str, number: u64) -> String {
    format!("{prefix}{number:020}")
}

pub(crate) const STATUSES: &str = "status/";

pub(crate) fn in_status(status: DeploymentStatus) -> String {
    format!("status/{status}/")
}

/// By status, oldest first; the value is the id.
pub(crate) fn status(deployment: &Deployment) -> String {
    let at_us = deployment.created_at.as_microsecond().max(0);
    format!("status/{}/{at_us:020}-{}", deployment.status, deployment.id)
}

pub(crate) fn api_token(id: &windlass_model::access::TokenId) -> String {
    format!("api-token/{id}")
}

pub(crate) fn intent(id: u64) -> String {
    format!("intent/{id:020}")
}

pub(crate) fn plan(digest: &Digest) -> String {
    format!("plan/{}", digest.hex())
}

/// Deployments by the plan that they were built by.
pub(crate) const PLANS_USED: &str = "plan-used/";

pub(crate) fn plan_used(digest: &Digest, by: &DeploymentId) -> String {
    format!("plan-used/{}/{by}", digest.hex())
}

/// A project's deployments by the upload that they were made of.
pub(crate) fn uploads_used(project: &ProjectName) -> String {
    format!("upload-used/{project}/")
}

pub(crate) fn network(name: &str) -> String {
    format!("network/{name}")
}

pub(crate) fn cached(kind: &str, key: &str) -> String {
    format!("cache/{kind}/{}", Digest::of(key.as_bytes()).hex())
}

pub(crate) const WEBHOOKS: &str = "webhook/";
pub(crate) const PENDING_DELIVERIES: &str = "webhook-pending/";
pub(crate) const PREVIEWS: &str = "preview/";
pub(crate) const STATUS_REPORTS: &str = "status-report/";

pub(crate) fn webhook(id: &WebhookId) -> String {
    format!("webhook/{id}")
}

pub(crate) fn webhook_secret(id: &WebhookId) -> String {
    format!("webhook-secret/{id}")
}

pub(crate) fn status_token(id: &WebhookId) -> String {
    format!("status-token/{id}")
}

/// Genuine deliveries, in order of arrival.
pub(crate) fn deliveries(webhook: &WebhookId) -> String {
    format!("webhook-delivery/{webhook}/")
}

pub(crate) fn delivery(webhook: &WebhookId, id: &DeliveryId) -> String {
    format!("webhook-delivery/{webhook}/{id}")
}

/// Deliveries that were not genuine.
pub(crate) fn refused_deliveries(webhook: &WebhookId) -> String {
    format!("webhook-refused/{webhook}/")
}

/// What makes the repetition of a delivery known.
pub(crate) fn seen(webhook: &WebhookId) -> String {
    format!("webhook-seen/{webhook}/")
}

pub(crate) fn seen_mark(webhook: &WebhookId, mark: &Digest) -> String {
    format!("webhook-seen/{webhook}/{}", mark.hex())
}

/// The value is the webhook's id.
pub(crate) fn pending_delivery(id: &DeliveryId) -> String {
    format!("webhook-pending/{id}")
}

pub(crate) fn auto_deploy(project: &ProjectName, environment: &EnvironmentName) -> String {
    format!("auto-deploy/{project}/{environment}")
}

pub(crate) fn preview_settings(project: &ProjectName) -> String {
    format!("preview-settings/{project}")
}

pub(crate) fn previews(project: &ProjectName) -> String {
    format!("preview/{project}/")
}

pub(crate) fn preview(project: &ProjectName, environment: &EnvironmentName) -> String {
    format!("preview/{project}/{environment}")
}

pub(crate) fn status_report(deployment: &DeploymentId) -> String {
    format!("status-report/{deployment}")
}

/// What runs in an environment.
pub(crate) fn running(project: &ProjectName, environment: &EnvironmentName) -> String {
    format!("{RUNNING}{project}/{environment}")
}

/// What happened to an environment, by number.
pub(crate) fn events(project: &ProjectName, environment: &EnvironmentName) -> String {
    format!("event/{project}/{environment}/")
}

/// What is kept of the schedules of an environment, by name.
pub(crate) fn cron(project: &ProjectName, environment: &EnvironmentName) -> String {
    format!("{CRON}{project}/{environment}/")
}

/// What was set for an environment, over `windlass.toml`.
pub(crate) fn environment_settings(project: &ProjectName, environment: &EnvironmentName) -> String {
    format!("{ENVIRONMENT_SETTINGS}{project}/{environment}")
}
