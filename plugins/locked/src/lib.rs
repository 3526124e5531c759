//! What is installed, as the lock files of a source say it: one reader for each format, and all of them
//! together as an [`Inventory`].
//!
//! **Invariants.** A reader never panics, and a file that does not read is no failure: it is named in
//! [`Inventory::unread`]. What a lock file does not say is not guessed: a licence, a hash or a graph is there
//! because the file has it.

mod beam;
mod bun;
mod cargo;
mod dotnet;
mod go;
mod inventory;
mod jvm;
mod npm;
mod php;
mod pnpm;
mod purl;
mod python;
mod requirements;
mod ruby;
mod yarn;

use std::collections::{BTreeMap, BTreeSet};

pub use inventory::{Component, File, Inventory, NAMES, Note, Scope, read};
pub use purl::purl;
pub use windlass_plugin_common::python::pep503;

/// Where packages come from. Names and versions mean something within one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ecosystem {
    /// npm, for Node.js, Bun and Deno.
    Npm,
    /// The Python Package Index.
    PyPi,
    /// crates.io
    Cargo,
    /// Go modules.
    Go,
    /// rubygems.org
    RubyGems,
    /// packagist.org, for PHP.
    Packagist,
    /// hex.pm, for Elixir, Erlang and Gleam.
    Hex,
    /// Maven Central and its like; a name is `group:artifact`.
    Maven,
    /// nuget.org
    NuGet,
}

impl Ecosystem {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Npm,
        Self::PyPi,
        Self::Cargo,
        Self::Go,
        Self::RubyGems,
        Self::Packagist,
        Self::Hex,
        Self::Maven,
        Self::NuGet,
    ];

    /// Its name in the OSV schema.
    pub fn osv(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::PyPi => "PyPI",
            Self::Cargo => "crates.io",
            Self::Go => "Go",
            Self::RubyGems => "RubyGems",
            Self::Packagist => "Packagist",
            Self::Hex => "Hex",
            Self::Maven => "Maven",
            Self::NuGet => "NuGet",
        }
    }

    /// The ecosystem that the OSV schema calls so; what follows a colon does not matter.
    pub fn of_osv(name: &str) -> Option<Self> {
        let name = name.split(':').next().unwrap_or(name);
        Self::ALL.into_iter().find(|one| one.osv() == name)
    }

    /// Its type in a package URL.
    pub fn purl_type(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::PyPi => "pypi",
            Self::Cargo => "cargo",
            Self::Go => "golang",
            Self::RubyGems => "gem",
            Self::Packagist => "composer",
            Self::Hex => "hex",
            Self::Maven => "maven",
            Self::NuGet => "nuget",
        }
    }
}

/// A hash of a package's archive, in lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash {
    /// As CycloneDX names it: `SHA-256`.
    pub algorithm: &'static str,
    /// The digits.
    pub hex: String,
}

impl Hash {
    /// Of an algorithm's name in any spelling and digits; `None` for what is no such hash.
    pub fn of_hex(algorithm: &str, digits: &str) -> Option<Self> {
        let (algorithm, length) = known(algorithm)?;
        let hex = digits.trim().to_ascii_lowercase();
        let fits = hex.len() == length && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        fits.then_some(Self { algorithm, hex })
    }

    /// `sha256:…`
    pub fn of_prefixed(text: &str) -> Option<Self> {
        let (algorithm, digits) = text.split_once(':')?;
        Self::of_hex(algorithm, digits)
    }

    /// Of base64, as NuGet writes it.
    pub fn of_base64(algorithm: &str, text: &str) -> Option<Self> {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()?;
        Self::of_hex(algorithm, &hex::encode(bytes))
    }

    /// Subresource integrity: `sha512-…`, several with spaces between them.
    pub fn of_integrity(text: &str) -> Vec<Self> {
        let one = |part: &str| {
            let (algorithm, digest) = part.split_once('-')?;
            Self::of_base64(algorithm, digest.split('?').next().unwrap_or(digest))
        };
        text.split_whitespace().filter_map(one).collect()
    }
}

/// Its name, and how many digits it has.
fn known(algorithm: &str) -> Option<(&'static str, usize)> {
    match algorithm.to_ascii_lowercase().replace('-', "").as_str() {
        "md5" => Some(("MD5", 32)),
        "sha1" => Some(("SHA-1", 40)),
        "sha256" => Some(("SHA-256", 64)),
        "sha384" => Some(("SHA-384", 96)),
        "sha512" => Some(("SHA-512", 128)),
        _ => None,
    }
}

/// Name and version of a package within one lock file.
pub(crate) type Key = (String, String);

/// A package of one lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) ecosystem: Ecosystem,
    pub(crate) name: String,
    pub(crate) version: String,
    /// Not from a repository, a folder or an archive somewhere.
    pub(crate) from_registry: bool,
    /// Only to build or to test.
    pub(crate) development: bool,
    pub(crate) hashes: Vec<Hash>,
    /// Expressions or names, as they are written.
    pub(crate) licences: Vec<String>,
    /// What it needs; `None` where the file does not say.
    pub(crate) needs: Option<Vec<Key>>,
}

impl Package {
    pub(crate) fn new(ecosystem: Ecosystem, name: &str, version: &str) -> Self {
        Self {
            ecosystem,
            name: name.to_owned(),
            version: version.to_owned(),
            from_registry: true,
            development: false,
            hashes: Vec::new(),
            licences: Vec::new(),
            needs: None,
        }
    }

    pub(crate) fn key(&self) -> Key {
        (self.name.clone(), self.version.clone())
    }
}

/// What a lock file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Locked {
    pub(crate) packages: Vec<Package>,
    /// What the application itself needs; empty where the file does not say.
    pub(crate) roots: Vec<Key>,
    /// What is missing of it, for people.
    pub(crate) notes: Vec<String>,
}

impl Locked {
    /// Calls everything a development dependency that cannot be reached from these.
    pub(crate) fn only_needed_by(&mut self, wanted: &[Key]) {
        let needs: BTreeMap<Key, &[Key]> = self
            .packages
            .iter()
            .map(|package| (package.key(), package.needs.as_deref().unwrap_or_default()))
            .collect();
        let mut reached: BTreeSet<Key> = BTreeSet::new();
        let mut open: Vec<Key> = wanted.to_vec();
        while let Some(key) = open.pop() {
            if let Some(more) = needs.get(&key)
                && reached.insert(key)
            {
                open.extend(more.iter().cloned());
            }
        }
        for package in &mut self.packages {
            package.development = !reached.contains(&package.key());
        }
    }

    /// Replaces names that are needed by the version that the file has of each.
    pub(crate) fn resolve(&mut self, needed: &BTreeMap<Key, Vec<String>>) {
        let mut versions: BTreeMap<&str, &str> = BTreeMap::new();
        for package in &self.packages {
            versions.entry(&package.name).or_insert(&package.version);
        }
        let found = |names: &Vec<String>| -> Vec<Key> {
            let key =
                |name: &String| Some((name.clone(), (*versions.get(name.as_str())?).to_owned()));
            names.iter().filter_map(key).collect()
        };
        let all: Vec<Option<Vec<Key>>> =
            self.packages.iter().map(|package| needed.get(&package.key()).map(found)).collect();
        for (package, needs) in self.packages.iter_mut().zip(all) {
            package.needs = needs;
        }
    }
}

/// The text at a key of a JSON object.
pub(crate) fn text_at<'v>(value: &'v serde_json::Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

/// Names of a JSON object's members; none where it is something else.
pub(crate) fn names_at(value: &serde_json::Value, key: &str) -> Vec<String> {
    let object = value.get(key).and_then(serde_json::Value::as_object);
    object.map(|object| object.keys().cloned().collect()).unwrap_or_default()
}

/// Parses JSON; the error says where it does not read.
pub(crate) fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))
}

/// Parses TOML; the error is one line.
pub(crate) fn toml(text: &str) -> Result<::toml::Table, String> {
    text.parse::<::toml::Table>().map_err(|error| {
        format!("it is no TOML: {}", error.message().lines().next().unwrap_or_default())
    })
}
