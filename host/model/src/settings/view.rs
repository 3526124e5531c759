//! Bodies of the API about the settings of an environment. Fields are only ever added.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Overrides;

/// `PUT /v1/projects/{project}/environments/{environment}/settings`.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSettings {
    /// All that is to be set from now on, as the tables of `windlass.toml`:
    /// `{"run": {"memory": "1GiB"}}`. What was set and is not in here is taken back.
    pub settings: Map<String, Value>,
    /// The revision that the change was made from; refused when it is another one by now. Without it
    /// nothing is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// The settings of an environment.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SettingsView {
    /// What is set for the environment, as the tables of `windlass.toml`.
    pub settings: Overrides,
    /// Changes with every change; 0 when nothing was ever set.
    pub revision: u64,
    /// When it was changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_by: Option<String>,
    /// The deployment that serves, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_number: Option<u64>,
    /// Each key that is set for the environment or stands in the `windlass.toml` of what serves.
    pub values: Vec<SettingView>,
}

/// Who says a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SettingOrigin {
    /// It is set for the environment.
    Environment,
    /// `windlass.toml` of what serves.
    File,
    /// Nobody any more: the next deployment has the default.
    Default,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SettingView {
    /// Its dotted name: `run.memory`.
    pub key: String,
    /// What the next deployment of the same source has; absent for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Who says so.
    pub origin: SettingOrigin,
    /// What `windlass.toml` of what serves says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Value>,
    /// What is in force now; absent for the default, and where nothing serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Value>,
}
