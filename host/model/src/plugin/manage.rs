//! Requests and answers of the API about plugins.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::account::SwitchedOff;
use super::lock::{Policy, Signature, Version};
use super::{Capability, Give, Grants, PluginInfo, Stage};
use crate::deployment::Deployment;
use crate::failure::Failure;
use crate::id::{Digest, EnvironmentName, ProjectName};
use crate::stage::StageRun;

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
    /// How large a component may be that is installed here, in bytes; absent of a host that does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_bytes_max: Option<u64>,
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
    /// Versions that are live and that it had a part in, whether their projects chose something or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub live: Vec<LiveUse>,
}

/// The part that a plugin had in a version that is live. Of migrators nothing is known: all of them are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LiveUse {
    /// The project.
    pub project: ProjectName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The number of the deployment.
    pub number: u64,
    /// As what it was asked, in the order in which a deployment comes to them.
    pub stages: Vec<Stage>,
    /// The plugin's version then; empty where that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
}

impl LiveUse {
    /// The part that a plugin had in a live deployment with these custom stages; `None` when it had none.
    pub fn of(plugin: &str, live: &Deployment, custom: &[StageRun]) -> Option<Self> {
        let outputs = &live.outputs;
        let chosen = outputs.chosen.as_ref().filter(|chosen| chosen.plugin == plugin);
        let health = outputs.health.as_ref().filter(|health| health.plugin == plugin);
        let custom: Vec<&StageRun> = custom.iter().filter(|run| run.plugin == plugin).collect();
        let parts = [
            (Stage::Detector, chosen.is_some()),
            (Stage::Builder, chosen.is_some() && outputs.plan.is_some()),
            (Stage::Health, health.is_some()),
            (Stage::Custom, !custom.is_empty()),
        ];
        let stages: Vec<Stage> =
            parts.into_iter().filter_map(|(stage, had)| had.then_some(stage)).collect();
        if stages.is_empty() {
            return None;
        }
        let of_stage = || custom.iter().map(|run| &run.version).find(|version| !version.is_empty());
        // `1.2.0 (digest)`
        let loaded = || outputs.made_with.as_ref()?.plugins.get(plugin)?.split(' ').next();
        let version = chosen.map(|chosen| chosen.version.as_str());
        let version = version.or_else(|| of_stage().map(String::as_str)).or_else(loaded);
        Some(Self {
            project: live.project.clone(),
            environment: live.environment.clone(),
            number: live.number,
            stages,
            version: version.unwrap_or_default().to_owned(),
        })
    }
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

/// Refuses a private key where a public one belongs, and says how that is got of it. `file` is how the key's file is
/// called.
///
/// # Errors
/// `plugin.key-invalid`
pub fn check_not_private(name: &str, file: &str, text: &str) -> Result<(), Failure> {
    /// Characters of minisign's; a public one has 56, a signature 100.
    const MINISIGN_CHARS_MIN: usize = 200;
    let of_cosign = ["COSIGN PRIVATE KEY-----", "SIGSTORE PRIVATE KEY-----"];
    let last = text.trim().lines().next_back().unwrap_or_default().trim();
    let how = if of_cosign.iter().any(|mark| text.contains(mark)) {
        format!("cosign public-key --key {file} --outfile {file}.pub")
    } else if text.contains("PRIVATE KEY-----") {
        format!("openssl pkey -in {file} -pubout -out {file}.pub")
    } else if last.starts_with("RW") && last.len() >= MINISIGN_CHARS_MIN {
        format!("minisign -R -s {file} -p {file}.pub")
    } else {
        return Ok(());
    };
    Err(Failure::app(
        "plugin.key-invalid",
        format!("what was given for {name} is a private key"),
        "whoever has it can sign in the name of its owner: keep it secret, and give the public one",
        format!("`{how}` writes the public one"),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::deployment::{Kind, Source};

    fn live(outputs: Value) -> Deployment {
        let source = Source::Git { url: "file:///x".into(), reference: None };
        let (project, environment) = ("two".parse().unwrap(), EnvironmentName::production());
        let outputs = serde_json::from_value(outputs).unwrap();
        let queued =
            Deployment::queued(project, environment, 3, Kind::Deploy, source, "test".into());
        Deployment { outputs, ..queued }
    }

    fn run(plugin: &str, version: &str) -> StageRun {
        let run = json!({ "plugin": plugin, "version": version, "stage": "inspect",
                          "hook": "after-build", "status": "succeeded" });
        serde_json::from_value(run).unwrap()
    }

    #[test]
    fn a_private_key_is_known_by_its_form_and_a_public_one_passes() {
        let pem = |kind: &str| format!("-----BEGIN {kind}-----\nMIGH\n-----END {kind}-----\n");
        let minisign =
            format!("untrusted comment: minisign encrypted secret key\nRW{}", "R".repeat(210));
        for (text, how) in [
            (pem("PRIVATE KEY"), "openssl pkey -in k -pubout"),
            (pem("EC PRIVATE KEY"), "openssl pkey -in k -pubout"),
            (pem("ENCRYPTED SIGSTORE PRIVATE KEY"), "cosign public-key --key k"),
            (minisign, "minisign -R -s k"),
        ] {
            let failure = check_not_private("acme", "k", &text).unwrap_err();
            assert!(failure.why.contains("keep it secret"), "{failure}");
            assert!(failure.fix.contains(how), "{failure}");
        }
        let public = format!("untrusted comment: minisign public key 1\nRW{}\n", "Q".repeat(54));
        for text in [pem("PUBLIC KEY"), public, String::new()] {
            check_not_private("acme", "k", &text).unwrap();
        }
    }

    #[test]
    fn a_plugin_had_a_part_in_what_it_recognised_judged_or_ran_a_stage_of() {
        use Stage::{Builder, Custom, Detector, Health};
        let digest = Digest::of(b"it");
        let detection = json!({ "id": "node", "name": "Node", "ecosystem": "node", "toolchains": [],
                                "confidence": 90, "evidence": [], "supersedes": [],
                                "notes_json": "" });
        let chosen = json!({ "plugin": "node", "version": "1.2.0", "digest": digest,
                             "detection": detection, "others": ["static"] });
        let policy = json!({ "probes": [], "pass_status": [], "first_after_ms": 1,
                             "interval_min_ms": 1, "interval_max_ms": 1, "timeout_ms": 1,
                             "budget_ms": 1 });
        let live = live(json!({
            "chosen": chosen, "plan": digest,
            "health": { "plugin": "health", "policy": policy, "seen": [] },
            "made_with": { "plugins": { "health": "0.9.0 (abababababab)", "static": "1.0.0 (cd)" } },
        }));
        let custom = [run("scan", ""), run("scan", "2.0.0")];
        let part = |plugin: &str| {
            let part = LiveUse::of(plugin, &live, &custom)?;
            assert_eq!((part.project.as_str(), part.number), ("two", 3));
            Some((part.stages, part.version))
        };
        let had = |stages: &[Stage], version: &str| Some((stages.to_vec(), version.to_owned()));
        assert_eq!(part("node"), had(&[Detector, Builder], "1.2.0"));
        assert_eq!(part("health"), had(&[Health], "0.9.0"));
        assert_eq!(part("scan"), had(&[Custom], "2.0.0"));
        assert_eq!(part("static"), None, "it was loaded, and decided nothing");
        let custom = [run("scan", "")];
        assert_eq!(LiveUse::of("scan", &live, &custom).unwrap().version, "", "it was not begun");
    }
}
