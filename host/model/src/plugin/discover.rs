//! Finding a plugin in the indexes that an operator added: searching, and the one that a name means.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::Stage;
use super::index::{Entry, Index, Release, Skipped};
use super::lock::{Policy, Signature};
use crate::failure::Failure;

/// Indexes that a host keeps.
pub const INDEXES_MAX: usize = 20;

/// Where an index is, and whose signature it must have. Kept in `plugins.lock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexSource {
    /// `https://…`, `file:///…` for a file of the host, or `http://…` when a signature is required.
    pub url: String,
    /// What happens without a good signature of the file.
    #[serde(default)]
    pub policy: Policy,
    /// The key that signs it: of minisign, or ECDSA P-256 as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// `PUT /v1/plugin-indexes/{index}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetIndex {
    /// `https://example.com/plugins.json`, or `file:///srv/plugins.json` on the host.
    pub url: String,
    /// The key that signs the file: the text of `minisign.pub`, or an ECDSA P-256 key as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What happens without a good signature; `require` when there is a key, else `off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

/// `GET /v1/plugin-indexes`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct IndexesView {
    /// In the order of their names.
    pub indexes: Vec<IndexView>,
}

/// An index, and what is known of its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct IndexView {
    /// Its name on this host.
    pub name: String,
    /// Where it is, without user, password and query.
    pub url: String,
    /// What happens without a good signature.
    pub policy: Policy,
    /// When the file that is kept was fetched; absent when none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<Timestamp>,
    /// Plugins in it.
    pub plugins: u64,
    /// What is known of who made it.
    pub signature: Signature,
    /// What was left out of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// Why there is no newer one, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Failure>,
}

/// `GET /v1/plugin-search`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SearchView {
    /// What fits best comes first.
    pub found: Vec<Found>,
    /// How many there are; `found` has no more than 200 of them.
    pub total: u64,
    /// Indexes that could not be read, or not be read anew.
    pub problems: Vec<(String, Failure)>,
}

/// A plugin of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Found {
    /// The index.
    pub index: String,
    /// What the index says of it; versions newest first.
    #[serde(flatten)]
    pub entry: Entry,
    /// The version that `windlass plugin install NAME` takes; absent when none fits this host's contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fits: Option<String>,
    /// Interfaces of the newest version that this host does not offer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_interfaces: Vec<String>,
    /// The version that is in use here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<String>,
    /// Whether `fits` is newer than it.
    #[serde(default)]
    pub newer: bool,
}

/// What a person names: `scan`, `scan@1.2.0`, `acme/scan`, `acme/scan@1.2.0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The index.
    pub index: Option<String>,
    /// The plugin.
    pub name: String,
    /// The version.
    pub version: Option<String>,
}

impl FromStr for Wanted {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (named, version) = match text.split_once('@') {
            Some((named, version)) => (named, Some(version.to_owned())),
            None => (text, None),
        };
        let (index, name) = match named.split_once('/') {
            Some((index, name)) => (Some(index.to_owned()), name),
            None => (None, named),
        };
        Ok(Self { index, name: name.to_owned(), version })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(index) = &self.index {
            write!(f, "{index}/")?;
        }
        f.write_str(&self.name)?;
        self.version.as_ref().map_or(Ok(()), |version| write!(f, "@{version}"))
    }
}

/// Why a name means nothing that could be installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// There is no such index.
    #[error("there is no index {0}")]
    NoIndex(String),
    /// It is in none.
    #[error("it is in none of the indexes")]
    Nowhere,
    /// It is in several: which one is trusted is not for the host to guess.
    #[error("it is in {}", .0.join(" and "))]
    Ambiguous(Vec<String>),
    /// It has no such version.
    #[error("its versions are {}", .0.join(", "))]
    NoVersion(Vec<String>),
    /// No version fits this host's contract.
    #[error("it needs {}, which this host does not offer", .0.join(", "))]
    Unfit(Vec<String>),
}

/// The one version that a name means: the newest that fits this host, no pre-release unless there is nothing else;
/// or the one that is named.
///
/// # Errors
/// See [`Unresolved`].
pub fn resolve<'a>(
    indexes: &[(&'a str, &'a Index)],
    wanted: &Wanted,
    speaks: &dyn Fn(&str) -> bool,
) -> Result<(&'a str, &'a Release), Unresolved> {
    let asked = |name: &str| wanted.index.as_ref().is_none_or(|index| index == name);
    if let Some(index) = &wanted.index
        && !indexes.iter().any(|(name, _)| name == index)
    {
        return Err(Unresolved::NoIndex(index.clone()));
    }
    let found: Vec<(&str, &Entry)> = indexes
        .iter()
        .filter(|(name, _)| asked(name))
        .filter_map(|(name, index)| Some((*name, index.entry(&wanted.name)?)))
        .collect();
    let (index, entry) = match found.as_slice() {
        [] => return Err(Unresolved::Nowhere),
        [one] => *one,
        several => {
            let names = several.iter().map(|(name, _)| (*name).to_owned());
            return Err(Unresolved::Ambiguous(names.collect()));
        }
    };
    let release = match &wanted.version {
        Some(version) => {
            let named = entry.versions.iter().find(|release| release.version == *version);
            named.ok_or_else(|| {
                let kept = entry.versions.iter().take(10).map(|one| one.version.clone());
                Unresolved::NoVersion(kept.collect())
            })?
        }
        None => newest(entry, speaks).ok_or_else(|| {
            let first = entry.versions.first();
            Unresolved::Unfit(first.map(|one| unknown(one, speaks)).unwrap_or_default())
        })?,
    };
    match unknown(release, speaks) {
        unknown if unknown.is_empty() => Ok((index, release)),
        unknown => Err(Unresolved::Unfit(unknown)),
    }
}

/// The entries in which every word is found, best first: by the name, then by keywords and stages, then by the
/// summary. Without words all of them, by name. Of all that are found, the first so many, and how many there are.
/// `installed` gives the version that is in use here.
pub fn search(
    indexes: &[(&str, &Index)],
    words: &[String],
    stage: Option<Stage>,
    found_max: usize,
    speaks: &dyn Fn(&str) -> bool,
    installed: &dyn Fn(&str) -> Option<String>,
) -> (Vec<Found>, u64) {
    let mut ranked: Vec<(u32, &str, &Entry)> = Vec::new();
    for (index, listed) in indexes {
        for entry in &listed.plugins {
            if stage.is_some_and(|stage| !entry.stages.contains(&stage)) {
                continue;
            }
            if let Some(rank) = rank(entry, words) {
                ranked.push((rank, *index, entry));
            }
        }
    }
    ranked.sort_by(|(a, index, one), (b, other_index, other)| {
        b.cmp(a).then(one.name.cmp(&other.name)).then(index.cmp(other_index))
    });
    let total = ranked.len() as u64;
    let first = ranked.into_iter().take(found_max);
    let first = first.map(|(_, index, entry)| found(index, entry, speaks, installed(&entry.name)));
    (first.collect(), total)
}

fn found(
    index: &str,
    entry: &Entry,
    speaks: &dyn Fn(&str) -> bool,
    installed: Option<String>,
) -> Found {
    let fits = newest(entry, speaks).map(|release| release.version.clone());
    let unknown_interfaces =
        entry.versions.first().map(|newest| unknown(newest, speaks)).unwrap_or_default();
    let parsed = |version: &Option<String>| Version::parse(version.as_deref()?).ok();
    let newer = matches!((parsed(&fits), parsed(&installed)), (Some(new), Some(old)) if new > old);
    Found {
        index: index.to_owned(),
        entry: entry.clone(),
        fits,
        unknown_interfaces,
        installed,
        newer,
    }
}

/// The newest version that fits; a pre-release only where no other one does.
fn newest<'a>(entry: &'a Entry, speaks: &dyn Fn(&str) -> bool) -> Option<&'a Release> {
    let fits = || entry.versions.iter().filter(|release| unknown(release, speaks).is_empty());
    let is_final = |release: &&Release| {
        Version::parse(&release.version).is_ok_and(|version| version.pre.is_empty())
    };
    fits().find(is_final).or_else(|| fits().next())
}

fn unknown(release: &Release, speaks: &dyn Fn(&str) -> bool) -> Vec<String> {
    release.interfaces.iter().filter(|interface| !speaks(interface)).cloned().collect()
}

/// How well words fit; none when one of them is nowhere.
fn rank(entry: &Entry, words: &[String]) -> Option<u32> {
    words.iter().try_fold(0, |sum, word| {
        let word = word.to_lowercase();
        let keywords = || {
            let stages = entry.stages.iter().map(|stage| stage.as_str().to_owned());
            entry.keywords.iter().map(|keyword| keyword.to_lowercase()).chain(stages)
        };
        let points = match () {
            () if entry.name == word => 1_000,
            () if entry.name.starts_with(&word) => 500,
            () if entry.name.contains(&word) => 200,
            () if keywords().any(|keyword| keyword == word) => 50,
            () if keywords().any(|keyword| keyword.contains(&word)) => 20,
            () if entry.summary.to_lowercase().contains(&word) => 10,
            () => return None,
        };
        Some(sum + points)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Digest;

    fn entry(name: &str, summary: &str, keywords: &[&str], versions: &[&str]) -> Entry {
        let release = |version: &&str| Release {
            version: (*version).to_owned(),
            url: format!("https://example.com/{name}-{version}.wasm"),
            digest: Digest::of(version.as_bytes()),
            bytes: None,
            interfaces: vec![match version.starts_with('9') {
                true => "windlass:custom/custom@9.0.0".to_owned(),
                false => "windlass:custom/custom@1.0.0".to_owned(),
            }],
            asks: Vec::new(),
            signed_by: None,
        };
        Entry {
            name: name.to_owned(),
            summary: summary.to_owned(),
            licence: "MIT".to_owned(),
            stages: vec![Stage::Custom],
            keywords: keywords.iter().map(|word| (*word).to_owned()).collect(),
            homepage: None,
            versions: versions.iter().map(release).collect(),
        }
    }

    fn speaks(interface: &str) -> bool {
        interface.ends_with("@1.0.0")
    }

    fn resolved(indexes: &[(&str, &Index)], text: &str) -> Result<String, Unresolved> {
        let wanted: Wanted = text.parse().unwrap();
        assert_eq!(wanted.to_string(), text);
        let (index, release) = resolve(indexes, &wanted, &speaks)?;
        Ok(format!("{index} {}", release.version))
    }

    #[test]
    fn a_name_means_the_newest_version_that_fits_and_nothing_that_is_in_two_places() {
        let newest = entry("scan", "Scans", &[], &["9.0.0", "2.0.0-rc.1", "1.1.0", "1.0.0"]);
        let own = Index { plugins: vec![newest, entry("far", "Far", &[], &["9.0.0"])] };
        let other = Index {
            plugins: vec![
                entry("scan", "Scans", &[], &["3.0.0"]),
                entry("new", "New", &[], &["0.1.0-a"]),
            ],
        };
        let both = [("acme", &own), ("other", &other)];
        assert_eq!(resolved(&both[..1], "scan").unwrap(), "acme 1.1.0");
        assert_eq!(resolved(&both, "acme/scan@2.0.0-rc.1").unwrap(), "acme 2.0.0-rc.1");
        assert_eq!(resolved(&both, "new").unwrap(), "other 0.1.0-a");
        let names = vec!["acme".to_owned(), "other".to_owned()];
        assert_eq!(resolved(&both, "scan"), Err(Unresolved::Ambiguous(names)));
        assert_eq!(resolved(&both, "third/scan"), Err(Unresolved::NoIndex("third".to_owned())));
        assert_eq!(resolved(&both, "none"), Err(Unresolved::Nowhere));
        assert!(matches!(resolved(&both, "acme/scan@4.0.0"), Err(Unresolved::NoVersion(_))));
        for unfit in ["far", "acme/scan@9.0.0"] {
            let interface = vec!["windlass:custom/custom@9.0.0".to_owned()];
            assert_eq!(resolved(&both, unfit), Err(Unresolved::Unfit(interface)));
        }
    }

    #[test]
    fn the_name_counts_more_than_keywords_and_those_more_than_the_summary() {
        let plugins = vec![
            entry("audit", "Finds secrets", &["Security"], &["1.0.0"]),
            entry("security-headers", "Checks headers", &[], &["9.0.0"]),
            entry("tls", "Checks the security of TLS", &[], &["2.0.0", "1.0.0"]),
            entry("other", "Something else", &[], &["1.0.0"]),
        ];
        let index = Index { plugins };
        let installed = |name: &str| (name == "tls").then(|| "1.0.0".to_owned());
        let first = |words: &[&str], stage, found_max| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            search(&[("acme", &index)], &words, stage, found_max, &speaks, &installed)
        };
        let search = |words: &[&str], stage| first(words, stage, 10).0;
        let names = |found: &[Found]| -> Vec<String> {
            found.iter().map(|found| found.entry.name.clone()).collect()
        };
        let found = search(&["security"], None);
        assert_eq!(names(&found), ["security-headers", "audit", "tls"]);
        assert_eq!((&found[0].fits, found[0].unknown_interfaces.len()), (&None, 1));
        assert_eq!((found[1].installed.clone(), found[1].newer), (None, false));
        assert_eq!((found[2].installed.as_deref(), found[2].newer), (Some("1.0.0"), true));
        assert_eq!(names(&search(&["security", "TLS"], None)), ["tls"]);
        assert_eq!(names(&search(&["custom"], None)).len(), 4, "a stage is a keyword");
        assert_eq!(names(&search(&[], None)), ["audit", "other", "security-headers", "tls"]);
        assert!(search(&[], Some(Stage::Builder)).is_empty());
        let (best, total) = first(&["security"], None, 1);
        assert_eq!((names(&best), total), (vec!["security-headers".to_owned()], 3));
    }
}
