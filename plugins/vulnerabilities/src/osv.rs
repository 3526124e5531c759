//! Entries of an OSV database: <https://ossf.github.io/osv-schema/>.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_plugin_locked::{Component, Ecosystem, pep503};

use crate::version::Version;

/// An advisory, as far as it is used. What else it says is left out, and not kept in the cache.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) modified: String,
    /// When it was taken back.
    pub(crate) withdrawn: Option<String>,
    pub(crate) aliases: Vec<String>,
    pub(crate) summary: String,
    pub(crate) severity: Vec<Score>,
    pub(crate) affected: Vec<Affected>,
    pub(crate) database_specific: Specific,
}

/// A CVSS vector.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Score {
    pub(crate) r#type: String,
    pub(crate) score: String,
}

/// Of what databases add, what says how bad it is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Specific {
    pub(crate) severity: Value,
    pub(crate) cvss: Value,
}

/// Versions of one package.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Affected {
    pub(crate) package: Named,
    pub(crate) severity: Vec<Score>,
    pub(crate) ranges: Vec<Range>,
    pub(crate) versions: Vec<String>,
    pub(crate) ecosystem_specific: Specific,
    pub(crate) database_specific: Specific,
}

/// A package.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Named {
    pub(crate) ecosystem: String,
    pub(crate) name: String,
}

/// From where to where.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Range {
    /// `SEMVER`, `ECOSYSTEM` or `GIT`.
    pub(crate) r#type: String,
    pub(crate) events: Vec<Event>,
}

/// One of these.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Event {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) introduced: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fixed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_affected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<String>,
}

/// An ecosystem's name for a package, in the spelling that all its spellings have in common.
pub(crate) fn normal_name(ecosystem: Ecosystem, name: &str) -> String {
    match ecosystem {
        Ecosystem::PyPi => pep503(name),
        Ecosystem::Packagist | Ecosystem::NuGet | Ecosystem::Hex => name.to_lowercase(),
        _ => name.to_owned(),
    }
}

/// Some databases write `null` where others write nothing.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(members.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

impl Entry {
    /// Reads one; the error says what is not as the schema has it.
    pub(crate) fn read(value: Value) -> Result<Self, String> {
        let entry: Self =
            serde_json::from_value(without_nulls(value)).map_err(|error| error.to_string())?;
        if entry.id.is_empty() { Err("it has no id".to_owned()) } else { Ok(entry) }
    }

    /// What it says of a package, the part first that has this version.
    pub(crate) fn of<'e>(&'e self, component: &Component) -> Option<&'e Affected> {
        let own = || self.affected.iter().filter(|it| it.is_of(component));
        own()
            .find(|it| it.affects(component.ecosystem, &component.version))
            .or_else(|| own().next())
    }

    /// Whether it says that this version is vulnerable.
    pub(crate) fn affects(&self, component: &Component) -> bool {
        self.withdrawn.is_none()
            && self.affected.iter().any(|affected| {
                affected.is_of(component)
                    && affected.affects(component.ecosystem, &component.version)
            })
    }

    /// All its names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.id).chain(&self.aliases)
    }
}

impl Affected {
    fn is_of(&self, component: &Component) -> bool {
        let ecosystem = component.ecosystem;
        Ecosystem::of_osv(&self.package.ecosystem) == Some(ecosystem)
            && normal_name(ecosystem, &self.package.name) == normal_name(ecosystem, &component.name)
    }

    /// Whether a version is listed, or in a range.
    pub(crate) fn affects(&self, ecosystem: Ecosystem, version: &str) -> bool {
        let parsed = Version::parse(ecosystem, version);
        let is_same = |listed: &String| {
            listed == version
                || parsed
                    .as_ref()
                    .zip(Version::parse(ecosystem, listed))
                    .is_some_and(|(a, b)| a.order(&b) == Ordering::Equal)
        };
        self.ranges.iter().any(|range| range.holds(ecosystem, version))
            || self.versions.iter().any(is_same)
    }

    /// The oldest version after this one that is not vulnerable any more: of the ranges that hold it, else of all.
    pub(crate) fn fixed(&self, ecosystem: Ecosystem, version: &str) -> Option<String> {
        let holding: Vec<&Range> =
            self.ranges.iter().filter(|range| range.holds(ecosystem, version)).collect();
        let ranges = if holding.is_empty() { self.ranges.iter().collect() } else { holding };
        let after = ranges.iter().filter_map(|range| range.fixed(ecosystem, version));
        let oldest = after.min_by(|(_, a), (_, b)| a.order(b));
        oldest.map(|(text, _)| text.to_owned())
    }
}

impl Range {
    fn parse(&self, ecosystem: Ecosystem, text: &str) -> Option<Version> {
        match self.r#type.as_str() {
            "SEMVER" => Version::semantic(text),
            "ECOSYSTEM" => Version::parse(ecosystem, text),
            _ => None,
        }
    }

    /// Whether a version is in it: it was introduced before, and what ends it comes later.
    fn holds(&self, ecosystem: Ecosystem, version: &str) -> bool {
        let Some(version) = self.parse(ecosystem, version) else {
            return false;
        };
        let read = |text: &Option<String>| self.parse(ecosystem, text.as_deref()?);
        let not_after = |event: &Version| event.order(&version) != Ordering::Greater;
        let before = |event: &Version| event.order(&version) == Ordering::Less;
        let newer = |a: &Version, b: &Version| a.order(b);
        let always = self.events.iter().any(|it| it.introduced.as_deref() == Some("0"));
        let introduced = self.events.iter().filter_map(|it| read(&it.introduced));
        let introduced = introduced.filter(not_after).max_by(newer);
        if introduced.is_none() && !always {
            return false;
        }
        let limits: Vec<&str> = self.events.iter().filter_map(|it| it.limit.as_deref()).collect();
        let below = |limit: &&str| {
            let limit = self.parse(ecosystem, limit);
            limit.is_none_or(|limit| version.order(&limit) == Ordering::Less)
        };
        if !limits.is_empty() && !limits.iter().any(below) {
            return false;
        }
        // What ended before it was introduced once more, does not count.
        let goes_on = |end: &Version, same: bool| {
            introduced.as_ref().is_some_and(|start| match start.order(end) {
                Ordering::Greater => true,
                Ordering::Equal => same,
                Ordering::Less => false,
            })
        };
        let fixed = self.events.iter().filter_map(|it| read(&it.fixed)).filter(not_after);
        let last = self.events.iter().filter_map(|it| read(&it.last_affected)).filter(before);
        fixed.into_iter().all(|end| goes_on(&end, true))
            && last.into_iter().all(|end| goes_on(&end, false))
    }

    /// The oldest fixed version after this one.
    fn fixed(&self, ecosystem: Ecosystem, version: &str) -> Option<(&str, Version)> {
        let version = self.parse(ecosystem, version)?;
        let all = self.events.iter().filter_map(|event| event.fixed.as_deref());
        let parsed = all.filter_map(|text| Some((text, self.parse(ecosystem, text)?)));
        let after = parsed.filter(|(_, fixed)| fixed.order(&version) == Ordering::Greater);
        after.min_by(|(_, a), (_, b)| a.order(b))
    }
}

/// Entries, and which of them are of which component.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    /// By id.
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Ids by package URL.
    pub(crate) found: BTreeMap<String, Vec<String>>,
    /// What people should know of how it was looked up.
    pub(crate) notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn affected(ecosystem: &str, kind: &str, events: Value, versions: &[&str]) -> Affected {
        serde_json::from_value(json!({
            "package": {"ecosystem": ecosystem, "name": "a"},
            "ranges": [{"type": kind, "events": events}], "versions": versions,
        }))
        .unwrap()
    }

    #[track_caller]
    fn check(affected: &Affected, ecosystem: Ecosystem, inside: &[&str], outside: &[&str]) {
        for version in inside {
            assert!(affected.affects(ecosystem, version), "{version} should be in it");
        }
        for version in outside {
            assert!(!affected.affects(ecosystem, version), "{version} should not be in it");
        }
    }

    #[test]
    fn several_branches_are_ranges_of_their_own() {
        let events = json!([
            {"introduced": "0"}, {"fixed": "4.19.2"}, {"introduced": "5.0.0-alpha.1"},
            {"fixed": "5.0.0-beta.3"}
        ]);
        let express = affected("npm", "SEMVER", events, &[]);
        check(
            &express,
            Ecosystem::Npm,
            &["0.1.0", "4.18.2", "4.19.2-rc.1", "5.0.0-alpha.1", "5.0.0-beta.1"],
            &["4.19.2", "4.20.0", "5.0.0-beta.3", "5.0.0", "github:a/b"],
        );
        assert_eq!(express.fixed(Ecosystem::Npm, "4.18.2").unwrap(), "4.19.2");
        assert_eq!(express.fixed(Ecosystem::Npm, "5.0.0-alpha.1").unwrap(), "5.0.0-beta.3");
        assert_eq!(express.fixed(Ecosystem::Npm, "5.0.0"), None);
    }

    #[test]
    fn the_last_affected_version_is_affected() {
        let events = json!([{"introduced": "1.0"}, {"last_affected": "1.4.post1"}]);
        let range = affected("PyPI", "ECOSYSTEM", events, &["0.9"]);
        check(
            &range,
            Ecosystem::PyPi,
            &["1.0", "1.4", "1.4.post1", "0.9", "0.9.0"],
            &["1.0rc1", "1.4.post2", "1.5", "0.8"],
        );
        assert_eq!(range.fixed(Ecosystem::PyPi, "1.0"), None);
        let again = json!([{"introduced": "1.0"}, {"last_affected": "1.0"}, {"introduced": "2.0"}]);
        let range = affected("PyPI", "ECOSYSTEM", again, &[]);
        check(&range, Ecosystem::PyPi, &["1.0", "2.0", "3.0"], &["1.1", "0.9"]);
    }

    #[test]
    fn a_limit_ends_a_range_and_a_range_of_commits_is_none() {
        let limited =
            affected("Go", "SEMVER", json!([{"introduced": "0"}, {"limit": "2.0.0"}]), &[]);
        check(&limited, Ecosystem::Go, &["v1.9.0", "1.0.0"], &["v2.0.0", "v2.1.0"]);
        let commits = affected("npm", "GIT", json!([{"introduced": "0"}]), &["1.0.0"]);
        check(&commits, Ecosystem::Npm, &["1.0.0"], &["1.0.1"]);
    }

    #[test]
    fn names_are_compared_as_their_ecosystem_does() {
        let component = |ecosystem, name: &str| Component {
            purl: String::new(),
            ecosystem,
            name: name.to_owned(),
            version: "1.0".to_owned(),
            from_registry: true,
            development: false,
            hashes: Default::default(),
            licences: Default::default(),
            needs: None,
            files: Default::default(),
        };
        let entry = |ecosystem: &str, name: &str| -> Entry {
            serde_json::from_value(json!({"id": "X-1", "affected": [{
                "package": {"ecosystem": ecosystem, "name": name}, "versions": ["1.0"]}]}))
            .unwrap()
        };
        let pypi = component(Ecosystem::PyPi, "Flask_Login");
        assert!(entry("PyPI", "flask-login").affects(&pypi));
        assert!(!entry("npm", "flask-login").affects(&pypi));
        assert!(!entry("npm", "jsonstream").affects(&component(Ecosystem::Npm, "JSONStream")));
        assert!(
            entry("Maven:https://repo1.maven.org", "a:b")
                .affects(&component(Ecosystem::Maven, "a:b"))
        );
        let mut withdrawn = entry("PyPI", "flask-login");
        withdrawn.withdrawn = Some("2024-01-01T00:00:00Z".to_owned());
        assert!(!withdrawn.affects(&pypi));
    }
}
