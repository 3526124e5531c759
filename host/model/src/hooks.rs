//! Bodies of the HTTP API about webhooks, automatic deployments and previews. Fields are only ever added.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{DeploymentId, EnvironmentName};
use crate::webhook::{
    AutoDeploy, DeliveryId, Preview, PreviewSettings, Provider, Verdict, Webhook,
};

/// `POST …/webhooks`.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWebhook {
    /// Who sends.
    pub provider: Provider,
    /// The repository that it may speak for; the project's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Base address of the provider's API, for commit statuses; the provider's public one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_base: Option<String>,
    /// Whether commit statuses are reported; when absent, where the provider has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reports_status: Option<bool>,
}

/// A webhook as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WebhookView {
    /// The record.
    #[serde(flatten)]
    pub webhook: Webhook,
    /// Path of its address at this API: deliveries are POSTed there.
    pub path: String,
    /// Whether it has a token of its own for commit statuses.
    pub has_status_token: bool,
}

/// A webhook with its new secret, which is shown this once.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WebhookWithSecret {
    /// The webhook.
    #[serde(flatten)]
    pub view: WebhookView,
    /// The secret, to be entered at the sender.
    pub secret: String,
}

/// `POST …/webhooks/{webhook}/rotate`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateWebhook {
    /// How long the secret before is accepted too, in seconds; a day when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_previous_s: Option<u64>,
}

/// `PUT …/webhooks/{webhook}/status-token`.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetStatusToken {
    /// Token for the provider's API; stored encrypted, never shown again.
    pub token: String,
}

/// What a sender is answered.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DeliveryReceipt {
    /// The delivery, as `windlass webhook deliveries` shows it.
    pub delivery: DeliveryId,
    /// What became of it so far.
    pub verdict: Verdict,
    /// Stable, for programs.
    pub code: String,
    /// The same for people.
    pub reason: String,
}

/// `PUT …/environments/{environment}/auto-deploy`: what is absent stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetAutoDeploy {
    /// Whether pushes deploy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Branch or pattern of branches; empty goes back to what holds when nothing is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Pattern of tags; empty takes tags no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<String>,
}

/// When pushes deploy to an environment.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AutoDeployView {
    /// The environment.
    pub environment: EnvironmentName,
    /// The rule in force.
    #[serde(flatten)]
    pub rule: AutoDeploy,
}

/// `PUT …/previews/settings`: what is absent stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPreviews {
    /// One for each open pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_requests: Option<bool>,
    /// Pattern of branches that get one; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branches: Option<String>,
    /// Domain below which they answer; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// At most so many at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count_max: Option<u32>,
    /// One goes so long after its last deployment, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_after_s: Option<u64>,
    /// Whether pull requests from forks get one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forks: Option<bool>,
}

/// A preview as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PreviewView {
    /// The record.
    #[serde(flatten)]
    pub preview: Preview,
    /// When it goes by itself.
    pub expires_at: Timestamp,
    /// The deployment that serves, if one does.
    pub live: Option<DeploymentId>,
    /// Its number.
    pub live_number: Option<u64>,
    /// Addresses it answers under.
    pub urls: Vec<String>,
}

/// A project's previews, and what it has them for.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PreviewsView {
    /// The settings in force.
    pub settings: PreviewSettings,
    /// The previews.
    pub previews: Vec<PreviewView>,
}
