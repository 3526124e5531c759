//! `plugins.lock`: which plugins are installed, what each was granted, and which version each project uses.
//!
//! **Invariant: a [`Lock`] that was read holds together.** What is active, before it or pinned is among the
//! versions; [`Lock::parse`] refuses a file in which it is not. The functions here decide and change values;
//! reading and writing the file is the host's.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Grants;
use super::discover::IndexSource;
use crate::id::{Digest, ProjectName};

/// The file's name, in the folder of installed plugins.
pub const FILE: &str = "plugins.lock";
/// The form of the file that this version writes.
pub const FORMAT: u32 = 1;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// [`FORMAT`].
    pub version: u32,
    /// What is installed, one entry for each name, in their order.
    #[serde(default)]
    pub plugins: Vec<Installed>,
    /// What plugins that came with Windlass were granted, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bundled: BTreeMap<String, Grants>,
    /// What projects chose, by project and plugin.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub projects: BTreeMap<ProjectName, BTreeMap<String, Choice>>,
    /// Whose signatures count.
    #[serde(default)]
    pub signatures: Signatures,
    /// Where plugins are looked for, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub indexes: BTreeMap<String, IndexSource>,
}

/// An installed plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installed {
    /// Its name.
    pub name: String,
    /// Whether projects that did not choose use it.
    pub everywhere: bool,
    /// The version in use where no other one is pinned.
    pub active: Digest,
    /// The version that was active before: a rollback goes there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// What is kept of it, oldest first.
    pub versions: Vec<Version>,
}

/// A version that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// As its manifest says.
    pub version: String,
    /// Digest of its file: what it is known by.
    pub digest: Digest,
    /// Size of its file, in bytes.
    pub bytes: u64,
    /// Where it came from.
    pub source: Origin,
    /// When.
    pub installed_at: Timestamp,
    /// Who installed it: the name of a token.
    pub installed_by: String,
    /// What it was granted.
    pub grants: Grants,
    /// What is known of who made it.
    pub signature: Signature,
}

/// Where a version came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "from", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Origin {
    /// An uploaded file.
    File {
        /// Its name where it came from.
        name: String,
    },
    /// An address.
    Url {
        /// Without user and password.
        url: String,
    },
    /// An image registry.
    Oci {
        /// `ghcr.io/acme/scan:1.2.0`
        reference: String,
    },
}

/// What is known of who made a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "is", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Signature {
    /// Signatures are not looked at.
    NotChecked,
    /// There is none.
    Absent,
    /// There is one, and no trusted key made it, or not of this.
    Untrusted,
    /// A trusted key made it.
    Verified {
        /// The key's name.
        key: String,
    },
}

/// Whose signatures count, and what happens without one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signatures {
    /// What happens without a good one.
    #[serde(default)]
    pub policy: Policy,
    /// Trusted keys, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, String>,
}

/// What happens to a file without a signature by a trusted key.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// It is not installed.
    Require,
    /// It is installed, and that is said.
    Warn,
    /// Nothing; signatures are not looked at.
    #[default]
    Off,
}

/// What a project chose of one plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Whether it is used; absent: as for all projects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The version that is used; absent: the active one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Digest>,
    /// Its options, which fitted its schema when they were set.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
}

impl Default for Lock {
    fn default() -> Self {
        Self {
            version: FORMAT,
            plugins: Vec::new(),
            bundled: BTreeMap::new(),
            projects: BTreeMap::new(),
            signatures: Signatures::default(),
            indexes: BTreeMap::new(),
        }
    }
}

/// Why a file is no lock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// A newer Windlass wrote it.
    #[error("it has the form {found}, and this Windlass knows {FORMAT}")]
    Newer {
        /// The form that it says it has.
        found: u64,
    },
    /// It does not read.
    #[error("it does not read: {reason}")]
    Unreadable {
        /// What the reader says.
        reason: String,
    },
    /// It reads and does not hold together.
    #[error("it does not hold together: {reason}")]
    Incoherent {
        /// What does not fit.
        reason: String,
    },
}

impl Lock {
    /// Reads the file's text.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn parse(text: &[u8]) -> Result<Self, LockError> {
        let unreadable =
            |error: serde_json::Error| LockError::Unreadable { reason: error.to_string() };
        // The form comes first: what follows it may have keys that are not known here.
        let value: Value = serde_json::from_slice(text).map_err(unreadable)?;
        let found = value.get("version").and_then(Value::as_u64).unwrap_or(0);
        if found > u64::from(FORMAT) {
            return Err(LockError::Newer { found });
        }
        let lock: Self = serde_json::from_value(value).map_err(unreadable)?;
        lock.check().map_err(|reason| LockError::Incoherent { reason })?;
        Ok(lock)
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    fn check(&self) -> Result<(), String> {
        if self.version != FORMAT {
            return Err(format!("its form is {}", self.version));
        }
        for (place, plugin) in self.plugins.iter().enumerate() {
            let name = &plugin.name;
            if !is_name(name) {
                return Err(format!("{name:?} is no name of a plugin"));
            }
            if self.plugins[..place].iter().any(|other| other.name == *name) {
                return Err(format!("{name} is in it twice"));
            }
            let mut seen = Vec::new();
            for version in &plugin.versions {
                if seen.contains(&&version.digest) {
                    return Err(format!("{name} has the version {} twice", version.digest.short()));
                }
                seen.push(&version.digest);
                version.grants.0.iter().try_for_each(|request| {
                    request.check().map_err(|why| format!("the grants of {name}: {why}"))
                })?;
            }
            for named in std::iter::once(&plugin.active).chain(&plugin.previous) {
                if !seen.contains(&named) {
                    return Err(format!("{name} has no version {}", named.short()));
                }
            }
        }
        if let Some(name) = self.indexes.keys().find(|name| !is_name(name)) {
            return Err(format!("{name:?} is no name of an index"));
        }
        for (project, choices) in &self.projects {
            for (name, choice) in choices {
                let Some(pinned) = &choice.pinned else { continue };
                if self.installed(name).and_then(|plugin| plugin.version(pinned)).is_none() {
                    let pinned = pinned.short();
                    return Err(format!("{project} pins {name} {pinned}, which is not there"));
                }
            }
        }
        Ok(())
    }

    /// The entry of this name.
    pub fn installed(&self, name: &str) -> Option<&Installed> {
        self.plugins.iter().find(|plugin| plugin.name == name)
    }

    /// The same, to change it.
    pub fn installed_mut(&mut self, name: &str) -> Option<&mut Installed> {
        self.plugins.iter_mut().find(|plugin| plugin.name == name)
    }

    /// Adds an entry, or takes the place of the one of its name.
    pub fn put(&mut self, plugin: Installed) {
        self.plugins.retain(|other| other.name != plugin.name);
        self.plugins.push(plugin);
        self.plugins.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// Removes an entry with all that projects chose of it.
    pub fn remove(&mut self, name: &str) -> Option<Installed> {
        let place = self.plugins.iter().position(|plugin| plugin.name == name)?;
        for choices in self.projects.values_mut() {
            choices.remove(name);
        }
        self.projects.retain(|_, choices| !choices.is_empty());
        Some(self.plugins.remove(place))
    }

    /// What a project chose of a plugin.
    pub fn choice(&self, project: &ProjectName, name: &str) -> Option<&Choice> {
        self.projects.get(project)?.get(name)
    }

    /// Keeps what a project chose; a choice of nothing is forgotten.
    pub fn choose(&mut self, project: &ProjectName, name: &str, choice: Choice) {
        let choices = self.projects.entry(project.clone()).or_default();
        if choice == Choice::default() {
            choices.remove(name);
        } else {
            choices.insert(name.to_owned(), choice);
        }
        self.projects.retain(|_, choices| !choices.is_empty());
    }

    /// Whether a project uses a plugin. One that is not installed here (it came with Windlass, or lies in the
    /// folder) is used where nobody said no.
    pub fn is_enabled(&self, project: &ProjectName, name: &str) -> bool {
        let chosen = self.choice(project, name).and_then(|choice| choice.enabled);
        let everywhere = self.installed(name).is_none_or(|plugin| plugin.everywhere);
        chosen.unwrap_or(everywhere)
    }

    /// The version that a project uses of an installed plugin, if it uses it.
    pub fn in_use(&self, project: &ProjectName, plugin: &Installed) -> Option<Digest> {
        if !self.is_enabled(project, &plugin.name) {
            return None;
        }
        let pinned = self.choice(project, &plugin.name).and_then(|choice| choice.pinned.clone());
        Some(pinned.unwrap_or_else(|| plugin.active.clone()))
    }

    /// The versions that a project uses that chose nothing: their files, below the folder of installed plugins,
    /// and what they were granted.
    pub fn files_in_use(&self) -> Vec<(String, &Grants)> {
        let used = self.plugins.iter().filter(|plugin| plugin.everywhere);
        let active = used.filter_map(|plugin| Some((&plugin.name, plugin.active()?)));
        active.map(|(name, version)| (version.file(name), &version.grants)).collect()
    }

    /// The projects that pin this version.
    pub fn pinning(&self, name: &str, digest: &Digest) -> Vec<&ProjectName> {
        let pins = |choices: &BTreeMap<String, Choice>| {
            choices.get(name).is_some_and(|choice| choice.pinned.as_ref() == Some(digest))
        };
        let projects = self.projects.iter().filter(|(_, choices)| pins(choices));
        projects.map(|(project, _)| project).collect()
    }

    /// Makes a version the active one; the one before is what a rollback goes to. Versions that are neither,
    /// and that no project pins, are taken out and returned.
    pub fn activate(&mut self, name: &str, version: Version) -> Vec<Version> {
        let digest = version.digest.clone();
        let Some(plugin) = self.installed_mut(name) else {
            self.put(Installed {
                name: name.to_owned(),
                everywhere: true,
                active: digest,
                previous: None,
                versions: vec![version],
            });
            return Vec::new();
        };
        plugin.versions.retain(|kept| kept.digest != digest);
        plugin.versions.push(version);
        if plugin.active != digest {
            plugin.previous = Some(std::mem::replace(&mut plugin.active, digest));
        }
        self.drop_unused(name)
    }

    /// Exchanges the active version and the one before. `None` when there is none before.
    pub fn roll_back(&mut self, name: &str) -> Option<&Version> {
        let plugin = self.installed_mut(name)?;
        let previous = plugin.previous.take()?;
        plugin.previous = Some(std::mem::replace(&mut plugin.active, previous));
        plugin.version(&plugin.active)
    }

    fn drop_unused(&mut self, name: &str) -> Vec<Version> {
        let Some(plugin) = self.installed(name) else { return Vec::new() };
        let is_used = |digest: &Digest| {
            *digest == plugin.active
                || plugin.previous.as_ref() == Some(digest)
                || !self.pinning(name, digest).is_empty()
        };
        let unused: Vec<Version> =
            plugin.versions.iter().filter(|v| !is_used(&v.digest)).cloned().collect();
        if let Some(plugin) = self.installed_mut(name) {
            plugin.versions.retain(|version| !unused.contains(version));
        }
        unused
    }
}

impl Installed {
    /// A version that is kept.
    pub fn version(&self, digest: &Digest) -> Option<&Version> {
        self.versions.iter().find(|version| version.digest == *digest)
    }

    /// The version in use.
    pub fn active(&self) -> Option<&Version> {
        self.version(&self.active)
    }

    /// The version that a person means: by its name, the newest of several, or by the beginning of its digest.
    pub fn find(&self, text: &str) -> Option<&Version> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let by_digest =
            |version: &&Version| digits.len() >= 6 && version.digest.hex().starts_with(digits);
        let named = self.versions.iter().rev().find(|version| version.version == text);
        named.or_else(|| self.versions.iter().rev().find(by_digest))
    }
}

impl Version {
    /// Its file, below the folder of installed plugins.
    pub fn file(&self, name: &str) -> String {
        let fits = |c: char| c.is_ascii_alphanumeric() || ".+-".contains(c);
        let version = self.version.chars().take(40).map(|c| if fits(c) { c } else { '_' });
        format!("{name}/{}-{}.wasm", version.collect::<String>(), self.digest.short())
    }
}

/// What [a name](is_name) has, for people.
pub const NAME_RULE: &str = "1 to 40 lower-case letters, digits and hyphens";

/// Whether this can be the name of a plugin, of one of its stages, or of what these need and provide: 1 to 40 of
/// `a-z`, `0-9` and hyphen.
pub fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=40).contains(&name.len()) && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version {
            version: text.to_owned(),
            digest: Digest::of(text.as_bytes()),
            bytes: 1,
            source: Origin::File { name: "a.wasm".to_owned() },
            installed_at: Timestamp::UNIX_EPOCH,
            installed_by: "admin".to_owned(),
            grants: Grants::default(),
            signature: Signature::NotChecked,
        }
    }

    fn project(name: &str) -> ProjectName {
        name.parse().unwrap()
    }

    fn texts(versions: &[Version]) -> Vec<&str> {
        versions.iter().map(|version| version.version.as_str()).collect()
    }

    #[test]
    fn it_reads_as_it_was_written() {
        let mut lock = Lock::default();
        lock.activate("scan", version("1.0.0"));
        lock.activate("scan", version("1.1.0"));
        let pinned = Some(version("1.0.0").digest);
        let options = serde_json::from_str(r#"{"level": "high"}"#).unwrap();
        lock.choose(&project("shop"), "scan", Choice { enabled: Some(true), pinned, options });
        lock.signatures.policy = Policy::Warn;
        assert_eq!(Lock::parse(lock.to_text().as_bytes()).unwrap(), lock);
        assert!(lock.to_text().starts_with("{\n  \"version\": 1,"));
    }

    #[test]
    fn what_is_active_before_or_pinned_stays_and_the_rest_goes() {
        let mut lock = Lock::default();
        assert!(lock.activate("scan", version("1")).is_empty());
        assert!(lock.activate("scan", version("2")).is_empty());
        let pinned = Some(version("1").digest);
        lock.choose(&project("shop"), "scan", Choice { pinned, ..Choice::default() });
        assert!(lock.activate("scan", version("3")).is_empty(), "1 is pinned");
        let gone = lock.activate("scan", version("4"));
        assert_eq!(texts(&gone), ["2"]);
        assert_eq!(texts(&lock.installed("scan").unwrap().versions), ["1", "3", "4"]);

        let plugin = lock.installed("scan").unwrap();
        let of = |name: &str| lock.in_use(&project(name), plugin).unwrap();
        assert_eq!(of("shop"), version("1").digest);
        assert_eq!(of("blog"), version("4").digest, "two projects, two versions");
        let files = lock.files_in_use();
        assert_eq!(files[0].0, version("4").file("scan"));
    }

    #[test]
    fn a_rollback_exchanges_the_last_two_and_can_be_taken_back() {
        let mut lock = Lock::default();
        lock.activate("scan", version("1"));
        assert!(lock.roll_back("scan").is_none(), "nothing before");
        assert_eq!(lock.installed("scan").unwrap().active, version("1").digest);
        lock.activate("scan", version("2"));
        assert_eq!(lock.roll_back("scan").unwrap().version, "1");
        assert_eq!(lock.roll_back("scan").unwrap().version, "2");
        assert!(lock.roll_back("other").is_none());
    }

    #[test]
    fn a_project_uses_what_it_chose_and_else_what_all_use() {
        let mut lock = Lock::default();
        lock.activate("scan", version("1"));
        let shop = project("shop");
        assert!(lock.is_enabled(&shop, "scan") && lock.is_enabled(&shop, "node"));
        lock.installed_mut("scan").unwrap().everywhere = false;
        assert!(!lock.is_enabled(&shop, "scan"));
        assert_eq!(lock.in_use(&shop, lock.installed("scan").unwrap()), None);
        lock.choose(&shop, "scan", Choice { enabled: Some(true), ..Choice::default() });
        lock.choose(&shop, "node", Choice { enabled: Some(false), ..Choice::default() });
        assert!(lock.is_enabled(&shop, "scan") && !lock.is_enabled(&shop, "node"));
        lock.choose(&shop, "node", Choice::default());
        lock.remove("scan").unwrap();
        assert!(lock.projects.is_empty(), "nothing is left of what was chosen");
    }

    #[test]
    fn what_does_not_hold_together_is_refused_with_what_does_not_fit() {
        let good = {
            let mut lock = Lock::default();
            lock.activate("scan", version("1"));
            lock
        };
        let refused = |change: &dyn Fn(&mut Lock)| {
            let mut lock = good.clone();
            change(&mut lock);
            Lock::parse(lock.to_text().as_bytes()).unwrap_err().to_string()
        };
        let said = refused(&|lock| lock.plugins[0].active = Digest::of(b"other"));
        assert!(said.contains("scan has no version"), "{said}");
        let said = refused(&|lock| lock.plugins.push(lock.plugins[0].clone()));
        assert!(said.contains("twice"), "{said}");
        let said = refused(&|lock| "../etc".clone_into(&mut lock.plugins[0].name));
        assert!(said.contains("no name"), "{said}");
        let said = refused(&|lock| {
            let pinned = Some(Digest::of(b"x"));
            lock.choose(&project("shop"), "scan", Choice { pinned, ..Choice::default() });
        });
        assert!(said.contains("shop pins scan"), "{said}");
        let newer = Lock::parse(br#"{"version": 2, "things": []}"#).unwrap_err();
        assert_eq!(newer, LockError::Newer { found: 2 });
        for text in ["", "[]", "{}", r#"{"version": 1, "plugin": []}"#, "{\"version\": 1"] {
            let error = Lock::parse(text.as_bytes()).unwrap_err();
            assert!(matches!(error, LockError::Unreadable { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn a_version_is_found_by_name_or_digest_and_its_file_stays_in_its_folder() {
        let mut lock = Lock::default();
        lock.activate("scan", version("1.0.0"));
        let plugin = lock.installed("scan").unwrap();
        let digest = version("1.0.0").digest;
        assert!(plugin.find("1.0.0").is_some() && plugin.find(digest.short()).is_some());
        assert!(plugin.find(digest.as_str()).is_some());
        assert!(plugin.find("1.0").is_none() && plugin.find("").is_none());
        let odd = version("../../x y");
        assert_eq!(odd.file("scan"), format!("scan/.._.._x_y-{}.wasm", odd.digest.short()));
    }
}
