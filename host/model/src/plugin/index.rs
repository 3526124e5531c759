//! An index of plugins: one static JSON file that says which plugins there are, in which versions, and where.
//!
//! **Invariant: an [`Index`] that was read is harmless to keep and to show.** Its texts are short and hold no control
//! characters, no name is in it twice, and every version has an address and the digest of its file. A file that is
//! no index is refused; an entry that is not as it should be is left out, with its place ([`Skipped`]).

use std::cmp::Reverse;
use std::collections::BTreeSet;

use semver::Version;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Stage;
use super::lock::is_name;
use crate::id::Digest;

/// The form of the file that this version reads and writes.
pub const FORMAT: u64 = 1;
/// Bytes of the file.
pub const BYTES_MAX: u64 = 4 << 20;
/// Plugins in it.
pub const ENTRIES_MAX: usize = 5_000;
/// Versions of one plugin.
pub const VERSIONS_MAX: usize = 200;
/// Entries of the file that are named when they are left out.
const SKIPPED_MAX: usize = 50;
/// Characters of an address.
const URL_CHARS_MAX: usize = 2_000;
/// Characters of any other text.
const TEXT_CHARS_MAX: usize = 300;
/// Items of a list of texts.
const ITEMS_MAX: usize = 50;

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Index {
    /// The plugins, in the order of the file.
    pub plugins: Vec<Entry>,
}

/// A plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Entry {
    /// Its name, as in its manifest.
    pub name: String,
    /// What it does, in one sentence.
    pub summary: String,
    /// Its licence, an SPDX expression.
    pub licence: String,
    /// The stages that it fills.
    pub stages: Vec<Stage>,
    /// Ecosystems and whatever else it should be found by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// A page about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// Its versions, newest first; one at least.
    pub versions: Vec<Release>,
}

/// A version that can be installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Release {
    /// A semantic version, as in its manifest.
    pub version: String,
    /// `https://…`, `http://…` or `oci://…`: what is fetched must have the digest.
    pub url: String,
    /// Digest of the component.
    pub digest: Digest,
    /// Size of the component, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The interfaces of the contract that it imports and exports, with their versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
    /// What it asks for, one line for each capability. Its manifest counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<String>,
    /// Id of the minisign key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
}

/// An entry, or a version of one, that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Skipped {
    /// Where in the file, as a JSON pointer (RFC 6901): `/plugins/3/versions/0/digest`.
    pub at: String,
    /// What is wrong with it.
    pub why: String,
}

/// An index and what was left out of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// What is good.
    pub index: Index,
    /// What is not; no more than 50 of it.
    pub skipped: Vec<Skipped>,
}

/// Why a file is no index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// It is no JSON, or lacks what every index has.
    #[error("{reason}")]
    Unreadable {
        /// What the reader says, with line and column where there are some.
        reason: String,
    },
    /// It is written for a newer Windlass.
    #[error("it has the form {found}, and this Windlass knows {FORMAT}")]
    Newer {
        /// The form that it says it has.
        found: u64,
    },
    /// It is larger than any index may be.
    #[error("it has {found} {what}, and at most {max} are read")]
    TooLarge {
        /// Of what there is too much.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much there may be.
        max: u64,
    },
    /// Two entries claim a name: whoever is installed under it would depend on their order.
    #[error("{name} is in it twice, at /plugins/{first} and /plugins/{second}")]
    Duplicate {
        /// The name.
        name: String,
        /// Place of the first.
        first: usize,
        /// Place of the second.
        second: usize,
    },
}

/// Why a version cannot be added to an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// What would be written would not be read.
    #[error("{}: {}", .0.at, .0.why)]
    Invalid(Skipped),
    /// Published versions stay what they are.
    #[error("it has {version} with the digest {}, and this one is {}", there.short(), given.short())]
    OtherDigest {
        /// The version.
        version: String,
        /// The digest in the index.
        there: Digest,
        /// The digest of what is published.
        given: Digest,
    },
    /// There is no room.
    #[error("it has as many {0} as an index may have")]
    Full(&'static str),
}

impl Index {
    /// Reads the file's text.
    ///
    /// # Errors
    /// See [`IndexError`].
    pub fn parse(text: &[u8]) -> Result<Parsed, IndexError> {
        bounded("bytes", text.len() as u64, BYTES_MAX)?;
        let unreadable = |reason: &str| IndexError::Unreadable { reason: reason.to_owned() };
        let file: Value =
            serde_json::from_slice(text).map_err(|error| unreadable(&error.to_string()))?;
        // The form comes first: of what follows another one may mean something else.
        match file.get("version").and_then(Value::as_u64) {
            Some(FORMAT) => {}
            Some(found) if found > FORMAT => return Err(IndexError::Newer { found }),
            _ => return Err(unreadable("/version is not 1")),
        }
        let Some(entries) = file.get("plugins").and_then(Value::as_array) else {
            return Err(unreadable("/plugins is no list"));
        };
        bounded("plugins", entries.len() as u64, ENTRIES_MAX as u64)?;
        no_name_twice(entries)?;
        let mut parsed = Parsed::default();
        for (place, entry) in entries.iter().enumerate() {
            let at = format!("/plugins/{place}");
            match read_entry(entry, &at, &mut parsed.skipped) {
                Ok(entry) => parsed.index.plugins.push(entry),
                Err(skipped) => parsed.skipped.push(skipped),
            }
            parsed.skipped.truncate(SKIPPED_MAX);
        }
        Ok(parsed)
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let file = serde_json::json!({ "version": FORMAT, "plugins": self.plugins });
        let mut text = serde_json::to_string_pretty(&file).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The entry of this name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.plugins.iter().find(|entry| entry.name == name)
    }

    /// Adds a plugin with its one version, or that version to the entry of its name, whose other fields become
    /// those of this one; keywords and homepage stay where this one has none.
    ///
    /// # Errors
    /// See [`PublishError`]; nothing is changed then.
    pub fn publish(&mut self, mut entry: Entry) -> Result<(), PublishError> {
        let value = serde_json::to_value(&entry).unwrap_or_default();
        let mut skipped = Vec::new();
        let read = read_entry(&value, "", &mut skipped).map_err(PublishError::Invalid)?;
        if let Some(skipped) = skipped.pop() {
            return Err(PublishError::Invalid(skipped));
        }
        let Some(place) = self.plugins.iter().position(|other| other.name == read.name) else {
            if self.plugins.len() >= ENTRIES_MAX {
                return Err(PublishError::Full("plugins"));
            }
            self.plugins.push(entry);
            self.plugins.sort_by(|a, b| a.name.cmp(&b.name));
            return Ok(());
        };
        let before = &self.plugins[place];
        for release in &entry.versions {
            let same = before.versions.iter().find(|other| other.version == release.version);
            if let Some(same) = same.filter(|same| same.digest != release.digest) {
                let (there, given) = (same.digest.clone(), release.digest.clone());
                let version = release.version.clone();
                return Err(PublishError::OtherDigest { version, there, given });
            }
        }
        let fresh: BTreeSet<&str> = entry.versions.iter().map(|one| one.version.as_str()).collect();
        let kept = before.versions.iter().filter(|one| !fresh.contains(one.version.as_str()));
        let mut versions: Vec<Release> = kept.cloned().collect();
        versions.append(&mut entry.versions);
        if versions.len() > VERSIONS_MAX {
            return Err(PublishError::Full("versions of this plugin"));
        }
        newest_first(&mut versions);
        if entry.keywords.is_empty() {
            entry.keywords.clone_from(&before.keywords);
        }
        entry.homepage = entry.homepage.or_else(|| before.homepage.clone());
        self.plugins[place] = Entry { versions, ..entry };
        Ok(())
    }
}

/// Orders versions; what is no semantic version counts as the oldest.
pub(super) fn newest_first(versions: &mut [Release]) {
    versions.sort_by_key(|release| Reverse(Version::parse(&release.version).ok()));
}

fn bounded(what: &'static str, found: u64, max: u64) -> Result<(), IndexError> {
    if found > max { Err(IndexError::TooLarge { what, found, max }) } else { Ok(()) }
}

/// Entries that are not good count too: they may be good tomorrow.
fn no_name_twice(entries: &[Value]) -> Result<(), IndexError> {
    let mut seen = std::collections::BTreeMap::new();
    for (second, entry) in entries.iter().enumerate() {
        let Some(name) = entry.get("name").and_then(Value::as_str) else { continue };
        if let Some(first) = seen.insert(name, second) {
            let name = name.chars().filter(|c| !c.is_control()).take(40).collect();
            return Err(IndexError::Duplicate { name, first, second });
        }
    }
    Ok(())
}

/// Reads an entry; versions of it that are not good are left out.
fn read_entry(value: &Value, at: &str, left_out: &mut Vec<Skipped>) -> Result<Entry, Skipped> {
    let fields = Fields::of(value, at)?;
    let name: String = fields.required("name")?;
    if !is_name(&name) {
        return Err(fields.wrong("name", "use 1 to 40 lower-case letters, digits and hyphens"));
    }
    let stages: Vec<Stage> = fields.required("stages")?;
    if stages.is_empty() || stages.len() > Stage::ALL.len() {
        return Err(fields.wrong("stages", "name each stage that it fills, once"));
    }
    let homepage = fields.text("homepage", URL_CHARS_MAX)?;
    if homepage.as_ref().is_some_and(|page| !has_scheme(page, &["https://", "http://"])) {
        return Err(fields.wrong("homepage", "it begins with https:// or http://"));
    }
    let listed: Vec<Value> = fields.required("versions")?;
    if listed.len() > VERSIONS_MAX {
        return Err(fields.wrong("versions", &format!("at most {VERSIONS_MAX} are read")));
    }
    let mut versions: Vec<Release> = Vec::with_capacity(listed.len());
    let mut skipped = Vec::new();
    for (place, release) in listed.iter().enumerate() {
        let at = format!("{at}/versions/{place}");
        match read_release(release, &at) {
            Ok(release) if versions.iter().any(|other| other.version == release.version) => {
                return Err(Skipped { at, why: format!("{} is in it twice", release.version) });
            }
            Ok(release) => versions.push(release),
            Err(wrong) => skipped.push(wrong),
        }
    }
    if versions.is_empty() {
        let first = skipped.into_iter().next();
        return Err(first.unwrap_or_else(|| fields.wrong("versions", "there is none")));
    }
    newest_first(&mut versions);
    let entry = Entry {
        name,
        summary: fields.required_text("summary")?,
        licence: fields.required_text("licence")?,
        stages,
        keywords: fields.texts("keywords")?,
        homepage,
        versions,
    };
    left_out.append(&mut skipped);
    Ok(entry)
}

fn read_release(value: &Value, at: &str) -> Result<Release, Skipped> {
    let fields = Fields::of(value, at)?;
    let version = fields.required_text("version")?;
    if let Err(error) = Version::parse(&version) {
        return Err(fields.wrong("version", &format!("it is no semantic version: {error}")));
    }
    let url = fields.text("url", URL_CHARS_MAX)?.unwrap_or_default();
    if !has_scheme(&url, &["https://", "http://", "oci://"]) {
        return Err(fields.wrong("url", "it begins with https://, http:// or oci://"));
    }
    Ok(Release {
        version,
        url,
        digest: fields.required("digest")?,
        bytes: fields.optional("bytes")?,
        interfaces: fields.texts("interfaces")?,
        asks: fields.texts("asks")?,
        signed_by: fields.text("signed_by", TEXT_CHARS_MAX)?,
    })
}

fn has_scheme(text: &str, schemes: &[&str]) -> bool {
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    rest.is_some_and(|rest| !rest.is_empty()) && !text.contains(char::is_whitespace)
}

/// The fields of an object, each with its place in the file. Those that nobody asks for may be there: a later
/// Windlass knows them.
struct Fields<'a> {
    object: &'a Map<String, Value>,
    at: &'a str,
}

impl<'a> Fields<'a> {
    fn of(value: &'a Value, at: &'a str) -> Result<Self, Skipped> {
        match value.as_object() {
            Some(object) => Ok(Self { object, at }),
            None => Err(Skipped { at: at.to_owned(), why: "it is no object".to_owned() }),
        }
    }

    fn wrong(&self, name: &str, why: &str) -> Skipped {
        Skipped { at: format!("{}/{name}", self.at), why: why.to_owned() }
    }

    fn optional<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Skipped> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value)
                .map(Some)
                .map_err(|error| self.wrong(name, &clean(&error.to_string()))),
        }
    }

    fn required<T: DeserializeOwned>(&self, name: &str) -> Result<T, Skipped> {
        self.optional(name)?.ok_or_else(|| self.wrong(name, "it is missing"))
    }

    /// A text that can be shown.
    fn text(&self, name: &str, chars_max: usize) -> Result<Option<String>, Skipped> {
        let text: Option<String> = self.optional(name)?;
        match &text {
            Some(text) => check_text(text, chars_max).map_err(|why| self.wrong(name, &why))?,
            None => return Ok(None),
        }
        Ok(text)
    }

    fn required_text(&self, name: &str) -> Result<String, Skipped> {
        let text = self.text(name, TEXT_CHARS_MAX)?;
        text.filter(|text| !text.trim().is_empty()).ok_or_else(|| self.wrong(name, "it is missing"))
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, Skipped> {
        let texts: Vec<String> = self.optional(name)?.unwrap_or_default();
        if texts.len() > ITEMS_MAX {
            return Err(self.wrong(name, &format!("it has more than {ITEMS_MAX} items")));
        }
        for (place, text) in texts.iter().enumerate() {
            let wrong = |why: String| self.wrong(&format!("{name}/{place}"), &why);
            check_text(text, TEXT_CHARS_MAX).map_err(wrong)?;
        }
        Ok(texts)
    }
}

fn check_text(text: &str, chars_max: usize) -> Result<(), String> {
    if text.chars().count() > chars_max {
        return Err(format!("it is longer than {chars_max} characters"));
    }
    if text.contains(char::is_control) {
        return Err("it holds control characters".to_owned());
    }
    Ok(())
}

/// What a reader says may quote what it read.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn release(version: &str) -> Value {
        json!({
            "version": version, "url": format!("https://example.com/scan-{version}.wasm"),
            "digest": Digest::of(version.as_bytes()), "bytes": 2048,
            "interfaces": ["windlass:custom/custom@1.0.0"], "asks": ["http: POST at api.osv.dev"],
        })
    }

    fn entry(name: &str, versions: &[&str]) -> Value {
        let versions: Vec<Value> = versions.iter().map(|version| release(version)).collect();
        json!({
            "name": name, "summary": "Looks dependencies up", "licence": "MIT",
            "stages": ["custom"], "keywords": ["security"], "homepage": "https://example.com",
            "versions": versions,
        })
    }

    fn parse(plugins: &[Value]) -> Result<Parsed, IndexError> {
        Index::parse(json!({ "version": 1, "plugins": plugins }).to_string().as_bytes())
    }

    #[test]
    fn an_index_is_read_as_it_was_written_with_its_newest_versions_first() {
        let parsed = parse(&[entry("scan", &["1.9.0", "1.10.0", "1.10.0-rc.1"])]).unwrap();
        assert!(parsed.skipped.is_empty(), "{parsed:?}");
        let versions = parsed.index.plugins[0].versions.iter().map(|one| one.version.as_str());
        assert_eq!(versions.collect::<Vec<_>>(), ["1.10.0", "1.10.0-rc.1", "1.9.0"]);
        let again = Index::parse(parsed.index.to_text().as_bytes()).unwrap();
        assert_eq!(again, parsed);
    }

    #[test]
    fn what_is_not_as_it_should_be_is_left_out_and_named_with_its_place() {
        let wrong = |pointer: &str, value: Value| {
            let mut entry = entry("odd", &["1.0.0"]);
            *entry.pointer_mut(pointer).unwrap() = value;
            let parsed = parse(&[entry, self::entry("scan", &["1.0.0"])]).unwrap();
            assert_eq!(parsed.index.plugins.len(), 1, "{pointer}: {parsed:?}");
            let [skipped] = parsed.skipped.as_slice() else { panic!("{pointer}: {parsed:?}") };
            assert_eq!(skipped.at, format!("/plugins/0{pointer}"), "{skipped:?}");
            assert!(!skipped.why.is_empty());
        };
        wrong("/name", json!("../odd"));
        wrong("/summary", json!("a\u{1b}[2Jb"));
        wrong("/summary", json!("x".repeat(301)));
        wrong("/licence", json!(" "));
        wrong("/stages", json!([]));
        wrong("/stages", json!(["kitchen"]));
        wrong("/homepage", json!("javascript:alert(1)"));
        wrong("/keywords/0", json!("a\nb"));
        wrong("/versions", json!([]));
        wrong("/versions/0/version", json!("latest"));
        wrong("/versions/0/url", json!("file:///etc/passwd"));
        wrong("/versions/0/digest", json!("sha256:ab"));
        wrong("/versions/0/bytes", json!(-1));
        wrong("", json!([]));
    }

    #[test]
    fn a_version_that_is_wrong_is_left_out_alone_and_one_that_is_there_twice_takes_its_plugin_along()
     {
        let mut mixed = entry("scan", &["1.0.0", "2.0.0"]);
        mixed["versions"][1]["url"] = json!("ftp://example.com/x");
        let parsed = parse(&[mixed]).unwrap();
        assert_eq!(parsed.index.entry("scan").unwrap().versions.len(), 1);
        assert_eq!(parsed.skipped[0].at, "/plugins/0/versions/1/url");
        let parsed = parse(&[entry("scan", &["1.0.0", "1.0.0"])]).unwrap();
        assert!(parsed.index.plugins.is_empty());
        assert_eq!(parsed.skipped[0].at, "/plugins/0/versions/1");
    }

    #[test]
    fn a_file_that_is_no_index_is_refused_as_a_whole() {
        for text in ["", "[]", "{}", r#"{"version": 0, "plugins": []}"#, r#"{"version": 1}"#] {
            let error = Index::parse(text.as_bytes()).unwrap_err();
            assert!(matches!(error, IndexError::Unreadable { .. }), "{text}: {error}");
        }
        let newer = Index::parse(br#"{"version": 2, "things": {}}"#).unwrap_err();
        assert_eq!(newer, IndexError::Newer { found: 2 });
        let twice = parse(&[entry("scan", &["1.0.0"]), json!({ "name": "scan" })]).unwrap_err();
        assert!(twice.to_string().contains("/plugins/0 and /plugins/1"), "{twice}");
        let many = vec![json!({}); ENTRIES_MAX + 1];
        assert!(matches!(parse(&many), Err(IndexError::TooLarge { what: "plugins", .. })));
        let large = vec![b' '; usize::try_from(BYTES_MAX).unwrap() + 1];
        assert!(matches!(Index::parse(&large), Err(IndexError::TooLarge { what: "bytes", .. })));
        let wrong = parse(&vec![json!({}); 100]).unwrap();
        assert_eq!(wrong.skipped.len(), SKIPPED_MAX);
    }

    #[test]
    fn a_version_is_published_once_and_stays_what_it_is() {
        let read = |value: Value| serde_json::from_value::<Entry>(value).unwrap();
        let mut index = Index::default();
        index.publish(read(entry("scan", &["1.0.0"]))).unwrap();
        let mut next = read(entry("scan", &["1.1.0"]));
        (next.keywords, next.homepage) = (Vec::new(), None);
        "Better".clone_into(&mut next.summary);
        index.publish(next).unwrap();
        index.publish(read(entry("audit", &["0.1.0"]))).unwrap();
        let names: Vec<&str> = index.plugins.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["audit", "scan"]);
        let scan = index.entry("scan").unwrap();
        assert_eq!((scan.summary.as_str(), scan.versions.len()), ("Better", 2));
        assert_eq!((scan.versions[0].version.as_str(), scan.keywords.len()), ("1.1.0", 1));
        index.publish(read(entry("scan", &["1.1.0"]))).unwrap();
        let mut other = read(entry("scan", &["1.1.0"]));
        other.versions[0].digest = Digest::of(b"other");
        let error = index.publish(other).unwrap_err();
        assert!(matches!(error, PublishError::OtherDigest { .. }), "{error}");
        let mut odd = read(entry("scan", &["1.2.0"]));
        "scan.wasm".clone_into(&mut odd.versions[0].url);
        let error = index.publish(odd).unwrap_err();
        assert!(matches!(error, PublishError::Invalid(_)), "{error}");
        assert_eq!(index.entry("scan").unwrap().versions.len(), 2);
    }
}
