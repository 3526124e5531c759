//! Requests and answers of the API about plugins.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::account::SwitchedOff;
use super::lock::{Policy, Signature, Version};
use super::{Capability, Give, Grants, PluginInfo, Stage};
use crate::failure::Failure;
use crate::id::{Digest, ProjectName};

/// How a plugin came to this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It came with Windlass.
    Bundled,
    /// It was installed, and is in `plugins.lock`.
    Installed,
    /// Its file lies in the plugins' folder and nobody installed it: it is granted nothing.
    Unmanaged,
}

/// `GET /v1/plugins`: plugins, and what is wrong with those that could not be loaded.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PluginsView {
    /// Loaded: bundled ones first; of an installed one the active version.
    pub plugins: Vec<PluginSummary>,
    /// Not loaded: file name and failure.
    pub problems: Vec<(String, Failure)>,
}

/// A plugin of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PluginSummary {
    /// What it says of itself.
    #[serde(flatten)]
    pub info: PluginInfo,
    /// How it came here.
    pub standing: Standing,
    /// What it is granted.
    pub grants: Grants,
    /// Whether projects that did not choose use it.
    pub everywhere: bool,
    /// Where it is switched off because it kept failing, of the projects that the caller may see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub switched_off: Vec<SwitchedOff>,
}

/// `GET /v1/plugins/{plugin}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PluginView {
    /// The plugin, in its active version.
    #[serde(flatten)]
    pub summary: PluginSummary,
    /// What it asks for, and what of it is granted.
    pub asks: Vec<Asked>,
    /// Versions that are kept, newest first; none unless it was installed.
    pub versions: Vec<Version>,
    /// The version that a rollback goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// Projects that chose something for themselves.
    pub projects: Vec<ProjectPlugin>,
}

/// A capability, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Asked {
    /// What is asked for.
    pub capability: Capability,
    /// What of it is granted: nothing, all of it, or something narrower.
    pub granted: Grants,
}

/// `POST /v1/plugins` and `POST /v1/plugins/{plugin}/upgrade`: what was installed, or, of a dry run, what would
/// be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Proposal {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Digest of its file.
    pub digest: Digest,
    /// Size of its file, in bytes.
    pub bytes: u64,
    /// What it does.
    pub summary: String,
    /// Its licence.
    pub licence: String,
    /// The stages that it fills.
    pub stages: Vec<Stage>,
    /// What it asks for, and what of it is granted.
    pub asks: Vec<Asked>,
    /// What it asks for beyond the version in use; empty for a plugin that is new.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<Capability>,
    /// The version in use before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// What is known of who made it.
    pub signature: Signature,
    /// Whether it is installed now. `false`: this was a dry run.
    pub installed: bool,
}

/// `POST /v1/plugins/fetch` and `POST /v1/plugins/{plugin}/upgrade/fetch`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FetchPlugin {
    /// `https://…/scan.wasm`, `oci://ghcr.io/acme/scan:1.2.0`, or what an index names: `scan`, `scan@1.2.0`,
    /// `INDEX/scan@1.2.0`.
    pub url: String,
    /// The project whose login of an image registry is used; public ones need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectName>,
    /// What is granted; nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Give>,
    /// The digest that the file must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Its signature: the text of a `.minisig` file, or that of cosign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Only say what it asks for.
    #[serde(default)]
    pub dry_run: bool,
    /// Install it for projects that enable it, and for no other.
    #[serde(default)]
    pub disabled: bool,
}

/// `PUT /v1/plugins/{plugin}/grants`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetGrants {
    /// All that it is granted from now on.
    pub grant: Give,
}

/// What a project uses of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ProjectPlugin {
    /// The project.
    pub project: ProjectName,
    /// The plugin.
    pub plugin: String,
    /// Whether it is used.
    pub enabled: bool,
    /// The version that is used.
    pub version: String,
    /// Whether it is pinned to it.
    pub pinned: bool,
    /// Its options.
    pub options: Map<String, Value>,
    /// The stages of it that are switched off because they kept failing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub switched_off: Vec<SwitchedOff>,
}

/// `PUT /v1/projects/{project}/plugins/{plugin}`: what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetProjectPlugin {
    /// Whether it is used. What was switched off because it kept failing is asked again in both cases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Pin this version, by its name or the beginning of its digest; `active` follows the active one again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// All of its options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Map<String, Value>>,
}

/// `GET` and `PUT /v1/plugin-signatures`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SignaturesView {
    /// What happens without a good signature.
    pub policy: Policy,
    /// Trusted keys, by name.
    pub keys: std::collections::BTreeMap<String, String>,
}

/// What to change of it: what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSignatures {
    /// What happens without a good signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Keys to trust, by name: a minisign public key, or the PEM of an ECDSA P-256 one (cosign).
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub add: std::collections::BTreeMap<String, String>,
    /// Names of keys to trust no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}
