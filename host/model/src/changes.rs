//! What changed between two deployments of an environment: what a person asks first when one fails.
//!
//! Variables are compared by keyed digests: neither a value nor anything it could be guessed from is
//! stored with a deployment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::deployment::{Deployment, Outputs};
use crate::id::{DeploymentId, Digest};
use crate::settings::{Layers, Settings};

/// What a deployment was made with, beside its source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MadeWith {
    /// Names of the environment's variables, each with a keyed digest of its value and scope.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// Loaded plugins: name to version and digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<String, String>,
    /// What was granted to those of them that were granted something, for people; absent in records of
    /// versions that did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<BTreeMap<String, String>>,
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Change {
    /// What: the name of a plugin, a base, a setting.
    pub name: String,
    /// Before; absent when it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Now; absent when it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Variables that differ, by name; values are never shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct VariableChanges {
    /// New ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Those with another value or scope.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// Those that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

/// All that differs from the last good deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Changes {
    /// The deployment that is compared with: the last one that went live.
    pub since: DeploymentId,
    /// Its number.
    pub since_number: u64,
    /// Commit and subject; absent when it is the same, or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Change>,
    /// Variables by name.
    #[serde(default)]
    pub variables: VariableChanges,
    /// Plugins by version and digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<Change>,
    /// What plugins are granted, by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Change>,
    /// Base images by digest, as far as this deployment came to know them: of a build that failed those
    /// that it had resolved by then, and none is said to be gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<Change>,
    /// Toolchains by version, the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub toolchains: Vec<Change>,
    /// Settings of `windlass.toml`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Change>,
}

impl Changes {
    /// What differs in `new` from `old`.
    pub fn between(old: &Deployment, new: &Deployment) -> Self {
        let (was, is) = (&old.outputs, &new.outputs);
        let made = |made: &Option<MadeWith>| made.clone().unwrap_or_default();
        let (was_made, is_made) = (made(&was.made_with), made(&is.made_with));
        let known = was.made_with.is_some() && is.made_with.is_some();
        let both = was.artifact.as_ref().zip(is.artifact.as_ref());
        let toolchains = |artifact: &crate::deployment::Artifact| {
            let pair = |t: &crate::plan::Toolchain| (t.name.clone(), t.requirement.clone());
            artifact.toolchains.iter().map(pair).collect::<BTreeMap<_, _>>()
        };
        Self {
            since: old.id.clone(),
            since_number: old.number,
            commit: commit(old, new),
            variables: match known {
                true => variables(&was_made.variables, &is_made.variables),
                false => VariableChanges::default(),
            },
            plugins: if known {
                differing(&was_made.plugins, &is_made.plugins)
            } else {
                Vec::new()
            },
            grants: match (&was_made.grants, &is_made.grants) {
                (Some(was), Some(is)) => differing(was, is),
                _ => Vec::new(),
            },
            bases: bases(was, is),
            toolchains: both
                .map(|(a, b)| differing(&toolchains(a), &toolchains(b)))
                .unwrap_or_default(),
            settings: match (&was.settings, &is.settings) {
                (Some(was), Some(is)) => differing(&flat(was), &flat(is)),
                _ => Vec::new(),
            },
        }
    }

    /// Whether nothing differs, as far as it is known.
    pub fn is_empty(&self) -> bool {
        let variables = &self.variables;
        self.commit.is_none()
            && variables.added.is_empty()
            && variables.changed.is_empty()
            && variables.removed.is_empty()
            && self.plugins.is_empty()
            && self.grants.is_empty()
            && self.bases.is_empty()
            && self.toolchains.is_empty()
            && self.settings.is_empty()
    }
}

/// The bases that differ. Where a build failed only those that it had come to are known.
fn bases(was: &Outputs, is: &Outputs) -> Vec<Change> {
    let known = |outputs: &Outputs| {
        let pair = |(name, digest): &(String, Digest)| (name.clone(), digest.to_string());
        let built = outputs.artifact.as_ref().map(|artifact| &artifact.bases);
        built.unwrap_or(&outputs.bases).iter().map(pair).collect::<BTreeMap<_, _>>()
    };
    if was.artifact.is_none() {
        return Vec::new();
    }
    let mut changes = differing(&known(was), &known(is));
    changes.retain(|change| is.artifact.is_some() || change.to.is_some());
    changes
}

fn commit(old: &Deployment, new: &Deployment) -> Option<Change> {
    let (was, is) = (old.outputs.fetched.as_ref()?, new.outputs.fetched.as_ref()?);
    if was.tree == is.tree && was.commit == is.commit {
        return None;
    }
    let named = |fetched: &crate::deployment::Fetched| {
        let commit = fetched.commit.as_deref().map(|c| c.get(..10).unwrap_or(c).to_owned());
        let name = commit.unwrap_or_else(|| fetched.tree.short().to_string());
        format!("{name} {}", fetched.subject.as_deref().unwrap_or_default()).trim_end().to_owned()
    };
    Some(Change { name: "commit".to_owned(), from: Some(named(was)), to: Some(named(is)) })
}

fn variables(was: &BTreeMap<String, String>, is: &BTreeMap<String, String>) -> VariableChanges {
    let mut changes = VariableChanges::default();
    for change in differing(was, is) {
        match (change.from, change.to) {
            (None, _) => changes.added.push(change.name),
            (_, None) => changes.removed.push(change.name),
            _ => changes.changed.push(change.name),
        }
    }
    changes
}

fn differing(was: &BTreeMap<String, String>, is: &BTreeMap<String, String>) -> Vec<Change> {
    let mut names: Vec<&String> = was.keys().chain(is.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|name| was.get(*name) != is.get(*name))
        .map(|name| Change {
            name: name.clone(),
            from: was.get(name).cloned(),
            to: is.get(name).cloned(),
        })
        .collect()
}

/// The settings as `run.port` → `3000`.
fn flat(settings: &Settings) -> BTreeMap<String, String> {
    fn walk(path: &str, value: &serde_json::Value, into: &mut BTreeMap<String, String>) {
        match value {
            serde_json::Value::Null => {}
            serde_json::Value::Object(map) => {
                for (key, value) in map {
                    let dot = if path.is_empty() { "" } else { "." };
                    walk(&format!("{path}{dot}{key}"), value, into);
                }
            }
            serde_json::Value::String(text) => {
                into.insert(path.to_owned(), text.clone());
            }
            other => {
                into.insert(path.to_owned(), other.to_string());
            }
        }
    }
    let mut into = BTreeMap::new();
    // What is in force is compared, not where it comes from.
    let settings = Settings { layers: Layers::default(), ..settings.clone() };
    walk("", &serde_json::to_value(settings).unwrap_or_default(), &mut into);
    into
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::{Artifact, Fetched, Kind, Source};

    fn deployment(number: u64, commit: &str, variables: &[(&str, &str)]) -> Deployment {
        let source = Source::Git { url: "https://example.com/a.git".into(), reference: None };
        let (project, environment) = ("shop".parse().unwrap(), "production".parse().unwrap());
        let mut it =
            Deployment::queued(project, environment, number, Kind::Deploy, source, "cli".into());
        it.outputs.fetched = Some(Fetched {
            image: None,
            commit: Some(commit.into()),
            subject: Some(format!("Subject of {commit}")),
            author: None,
            tree: Digest::of(commit.as_bytes()),
            files: 1,
            bytes: 1,
            anonymous: false,
        });
        let pair = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        it.outputs.made_with = Some(MadeWith {
            variables: variables.iter().map(pair).collect(),
            plugins: BTreeMap::from([("p".to_owned(), format!("1.0.{number}"))]),
            grants: None,
        });
        it.outputs.settings = Some(Settings::default());
        it
    }

    #[test]
    fn everything_that_differs_is_named_and_nothing_else() {
        let old = deployment(1, "aaaa", &[("KEPT", "1"), ("OTHER", "1"), ("GONE", "1")]);
        let mut new = deployment(2, "bbbb", &[("KEPT", "1"), ("OTHER", "2"), ("NEW", "1")]);
        if let Some(settings) = &mut new.outputs.settings {
            settings.run.port = Some(4000);
        }
        let changes = Changes::between(&old, &new);
        assert_eq!(changes.since_number, 1);
        let commit = changes.commit.clone().unwrap();
        assert_eq!(commit.from.as_deref(), Some("aaaa Subject of aaaa"));
        assert_eq!(commit.to.as_deref(), Some("bbbb Subject of bbbb"));
        assert_eq!(changes.variables.added, ["NEW"]);
        assert_eq!(changes.variables.changed, ["OTHER"]);
        assert_eq!(changes.variables.removed, ["GONE"]);
        assert_eq!(changes.plugins[0].to.as_deref(), Some("1.0.2"));
        assert_eq!(changes.settings[0].name, "run.port");
        assert_eq!(changes.settings[0].to.as_deref(), Some("4000"));
        assert!(!changes.is_empty());
        assert!(Changes::between(&old, &old).is_empty());
    }

    #[test]
    fn a_grant_that_changed_is_named_and_a_record_without_grants_says_nothing_of_them() {
        let granted = |grants: &[(&str, &str)]| {
            let mut it = deployment(1, "aaaa", &[]);
            let pair = |(name, grant): &(&str, &str)| ((*name).to_owned(), (*grant).to_owned());
            if let Some(made) = &mut it.outputs.made_with {
                made.grants = Some(grants.iter().map(pair).collect());
            }
            it
        };
        let old = granted(&[("scan", "source: **/*.pem"), ("same", "cache: up to 9 bytes")]);
        let new = granted(&[("scan", "source: **"), ("same", "cache: up to 9 bytes")]);
        let changes = Changes::between(&old, &new);
        let [change] = changes.grants.as_slice() else { panic!("{changes:?}") };
        assert_eq!(change.name, "scan");
        assert_eq!(change.from.as_deref(), Some("source: **/*.pem"));
        assert_eq!(change.to.as_deref(), Some("source: **"));
        assert!(!changes.is_empty() && changes.plugins.is_empty(), "{changes:?}");
        assert_eq!(Changes::between(&new, &granted(&[])).grants.len(), 2, "both were taken back");

        // A version that kept no grants wrote this.
        let mut earlier = new.clone();
        let stored = r#"{"plugins":{"p":"1.0.1"}}"#;
        earlier.outputs.made_with = Some(serde_json::from_str(stored).unwrap());
        assert!(Changes::between(&earlier, &new).is_empty());
        let kept = serde_json::to_string(&new.outputs.made_with).unwrap();
        assert_eq!(serde_json::from_str::<Option<MadeWith>>(&kept).unwrap(), new.outputs.made_with);
    }

    fn bases(list: &[(&str, &str)]) -> Vec<(String, Digest)> {
        list.iter().map(|(name, text)| ((*name).to_owned(), Digest::of(text.as_bytes()))).collect()
    }

    fn built(number: u64, list: &[(&str, &str)]) -> Deployment {
        let mut it = deployment(number, "aaaa", &[]);
        it.outputs.made_with = None;
        it.outputs.bases = bases(list);
        it.outputs.artifact = Some(Artifact {
            digest: Digest::of(b"artifact"),
            outputs: vec![],
            processes: vec![],
            bases: bases(list),
            toolchains: vec![],
            plan: Digest::of(b"plan"),
        });
        it
    }

    #[test]
    fn a_build_that_failed_names_the_base_that_changed_and_none_as_gone() {
        let old = built(1, &[("node:22", "old"), ("nginx:1", "same"), ("later:1", "x")]);
        let mut failed = built(2, &[("node:22", "new"), ("nginx:1", "same"), ("alpine:3", "x")]);
        failed.outputs.artifact = None;
        let changes = Changes::between(&old, &failed);
        let named = |changes: &Changes| {
            let names = changes.bases.iter().map(|change| change.name.clone());
            names.collect::<Vec<_>>()
        };
        assert_eq!(named(&changes), ["alpine:3", "node:22"], "`later` was not come to");
        let node = &changes.bases[1];
        assert_eq!(node.from, Some(Digest::of(b"old").to_string()));
        assert_eq!(node.to, Some(Digest::of(b"new").to_string()));
        assert!(!changes.is_empty());

        // It failed before any base was known.
        failed.outputs.bases.clear();
        assert!(Changes::between(&old, &failed).is_empty());
        // It was built: what is missing is gone.
        let new = built(2, &[("node:22", "old"), ("nginx:1", "same")]);
        assert_eq!(named(&Changes::between(&old, &new)), ["later:1"]);
        // A good one of an earlier version has its bases in its artifact alone.
        let mut earlier = old.clone();
        earlier.outputs.bases.clear();
        assert!(Changes::between(&earlier, &old).is_empty());
    }

    #[test]
    fn records_of_earlier_versions_say_nothing_of_variables() {
        let mut old = deployment(1, "aaaa", &[("A", "1")]);
        old.outputs.made_with = None;
        let changes = Changes::between(&old, &deployment(2, "aaaa", &[("A", "1")]));
        assert!(changes.is_empty(), "{changes:?}");
    }
}
