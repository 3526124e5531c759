//! A snapshot of an OSV database as files of any web server, as `snapshot.py` beside this crate makes them: one for
//! all projects, from which nobody learns what is in use.
//!
//! **Invariant: what is missing is never taken for empty.** Every file of an ecosystem is there, also where no entry is
//! in it, and its first line says of which snapshot it is and how many entries follow.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use windlass_plugin_locked::{Component, Ecosystem};
use windlass_sdk::http::Request;
use windlass_sdk::{PluginError, cache, log};

use crate::api::{Api, now_s, remember, said};
use crate::folder::{Named, by_name, keep};
use crate::osv::{Entry, Matches};

/// Version of the files' form.
const FORMAT: u32 = 1;
/// An ecosystem is 4096 files, by the first digits of the SHA-256 of a package's name.
const DIGITS: usize = 3;
/// Days after which people are told how old a snapshot is.
const FRESH_DAYS: u64 = 7;

/// `snapshot.json`
#[derive(Debug, Deserialize)]
struct Index {
    format: u32,
    /// Seconds since 1970.
    made_at_s: u64,
    /// As OSV names them.
    ecosystems: BTreeSet<String>,
}

/// Compares all components with the entries of their packages.
///
/// # Errors
/// `vulnerabilities.denied`, `vulnerabilities.unreachable`, `vulnerabilities.snapshot-unusable`.
pub(crate) fn look_up(base: &str, components: &[&Component]) -> Result<Matches, PluginError> {
    let mut matches = Matches::default();
    if components.is_empty() {
        return Ok(matches);
    }
    let named = by_name(components);
    let snapshot = Snapshot::open(base)?;
    snapshot.holds_all(&named)?;
    let days = now_s().saturating_sub(snapshot.index.made_at_s) / 86_400;
    if days > FRESH_DAYS {
        matches.notes.push(format!(
            "the snapshot at {base} was made {days} days ago: what became known since then is not in it"
        ));
    }
    let entries = snapshot.entries(&named)?;
    let count = entries.len();
    log::info(format!(
        "the snapshot at {base} was made {days} days ago, with {count} entries of these packages"
    ));
    for entry in entries {
        keep(entry, &named, &mut matches);
    }
    Ok(matches)
}

/// A snapshot whose index was read.
#[derive(Debug)]
struct Snapshot<'a> {
    api: Api<'a>,
    index: Index,
}

impl<'a> Snapshot<'a> {
    fn open(base: &'a str) -> Result<Self, PluginError> {
        let api = Api { base, fresh: Duration::ZERO, methods: &["GET"] };
        let broken = |why: String| unusable(format!("{base}/snapshot.json {why}"));
        let index: Index = serde_json::from_slice(&fetch(&api, "snapshot.json")?)
            .map_err(|error| broken(format!("is no index of a snapshot: {error}")))?;
        if index.format != FORMAT {
            let format = index.format;
            return Err(broken(format!("has the format {format}, and {FORMAT} is read")));
        }
        Ok(Self { api, index })
    }

    /// That it was made for all ecosystems of these packages.
    fn holds_all(&self, named: &Named<'_>) -> Result<(), PluginError> {
        let used: BTreeSet<&str> = named.keys().map(|(ecosystem, _)| ecosystem.osv()).collect();
        let is_missing = |ecosystem: &&str| !self.index.ecosystems.contains(*ecosystem);
        let missing: Vec<&str> = used.into_iter().filter(is_missing).collect();
        match missing.is_empty() {
            true => Ok(()),
            false => {
                let (base, missing) = (self.api.base, missing.join(", "));
                Err(unusable(format!("the snapshot at {base} was made without {missing}")))
            }
        }
    }

    /// The entries of these packages. As long as the snapshot is the same, they are remembered.
    fn entries(&self, named: &Named<'_>) -> Result<Vec<Entry>, PluginError> {
        let made = self.index.made_at_s.to_string();
        let packages: Vec<String> =
            named.keys().map(|(ecosystem, name)| format!("{}/{name}", ecosystem.osv())).collect();
        let parts = std::iter::once(&made).chain(&packages).map(String::as_str);
        let key = self.api.key("snapshot", parts);
        if let Some(known) = cache::get_json(&key) {
            return Ok(known);
        }
        let mut files: BTreeMap<(Ecosystem, String), BTreeSet<&str>> = BTreeMap::new();
        for (ecosystem, name) in named.keys() {
            files.entry((*ecosystem, digits(name))).or_default().insert(name);
        }
        let mut entries = Vec::new();
        for ((ecosystem, digits), names) in &files {
            self.read(ecosystem.osv(), digits, names, &mut entries)?;
        }
        remember(&key, &entries);
        Ok(entries)
    }

    /// Adds what a file says of these packages.
    fn read(
        &self,
        ecosystem: &str,
        digits: &str,
        names: &BTreeSet<&str>,
        entries: &mut Vec<Entry>,
    ) -> Result<(), PluginError> {
        let path = format!("{ecosystem}/{digits}.txt");
        let body = fetch(&self.api, &path)?;
        let broken = |why: &str| unusable(format!("{}/{path} {why}", self.api.base));
        let text = std::str::from_utf8(&body).map_err(|_| broken("is no text"))?;
        let (head, lines) = text.split_once('\n').unwrap_or((text, ""));
        let begin = format!("osv-snapshot {FORMAT} {ecosystem} {digits} ");
        let rest = head.strip_prefix(&begin).and_then(|rest| rest.split_once(' '));
        let (made, count) = rest.ok_or_else(|| broken("is not that file of a snapshot"))?;
        if made != self.index.made_at_s.to_string() {
            let error = broken("is of another snapshot than snapshot.json");
            // Perhaps they are just being exchanged.
            return Err(error.retryable());
        }
        let is_ended = lines.is_empty() || lines.ends_with('\n');
        if !is_ended || count != lines.lines().count().to_string() {
            return Err(broken("is not whole"));
        }
        for line in lines.lines() {
            let Some((name, json)) = line.split_once('\t') else {
                return Err(broken("has a line without the name of a package"));
            };
            if names.contains(name) {
                let value = serde_json::from_str::<Value>(json).map_err(|error| error.to_string());
                let entry = value.and_then(Entry::read).map_err(|why| {
                    broken(&format!("has an entry of {name} that does not read: {why}"))
                })?;
                entries.push(entry);
            }
        }
        Ok(())
    }
}

/// Which file of its ecosystem a package is in.
fn digits(name: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(name.as_bytes()));
    digits.truncate(DIGITS);
    digits
}

fn fetch(api: &Api<'_>, path: &str) -> Result<Vec<u8>, PluginError> {
    let request = Request::get(format!("{}/{path}", api.base));
    let answer = api.answer(&request)?;
    match answer.is_success() {
        true => Ok(answer.body),
        false => Err(unusable(said(&request, &answer))),
    }
}

fn unusable(what: String) -> PluginError {
    PluginError::new("vulnerabilities.snapshot-unusable", what).hint(
        "make the snapshot anew with `snapshot.py`, with every ecosystem that is in use, and put all of its files there; \
         lock files that do not matter can be left out with the option `exclude`",
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::SystemTime;

    use serde_json::json;
    use windlass_sdk::annotations::Tone;
    use windlass_sdk::custom::Facts;
    use windlass_sdk::testing::{Harness, Ran, answered};

    use super::*;
    use crate::Vulnerabilities;
    use crate::osv::normal_name;

    const BASE: &str = "https://osv.internal/osv";
    const NPM: &str = r#"{"lockfileVersion": 3, "packages": {"": {"dependencies": {"a": "1", "b": "1"}},
        "node_modules/a": {"version": "1.0.0"}, "node_modules/b": {"version": "2.0.0"}}}"#;
    const ENTRY: &str = r#"{"id": "GHSA-1", "modified": "2024-01-01T00:00:00Z", "summary": "Bad",
        "affected": [{"package": {"ecosystem": "npm", "name": "a"},
            "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.0.1"}]}]}],
        "database_specific": {"severity": "HIGH"}}"#;

    fn index(made_at_s: u64) -> String {
        format!(r#"{{"format": 1, "made_at_s": {made_at_s}, "ecosystems": ["npm", "PyPI"]}}"#)
    }

    fn head(name: &str, made_at_s: u64, count: usize) -> String {
        format!("osv-snapshot 1 npm {} {made_at_s} {count}\n", digits(name))
    }

    /// What the file of a package holds: its head and lines of this package and another one.
    fn file(name: &str, made_at_s: u64, entries: &[&str]) -> String {
        let mut text = head(name, made_at_s, entries.len() + 1);
        for entry in entries {
            text.push_str(&format!("{name}\t{}\n", entry.replace('\n', " ")));
        }
        text + "another\tnot even read\n"
    }

    /// A source with two packages, and a server with these files.
    fn served(files: &[(&str, u16, &str)]) -> Harness {
        let harness = Harness::with_files(&[("package-lock.json", NPM)]);
        let harness = harness.options(&format!(r#"{{"database": "snapshot+{BASE}/"}}"#));
        files.iter().fold(harness, |harness, (path, status, text)| {
            harness.request("GET", &format!("{BASE}/{path}"), answered(*status, *text))
        })
    }

    /// A snapshot in which `a` is vulnerable.
    fn whole(made_at_s: u64) -> Harness {
        served(&[
            ("snapshot.json", 200, &index(made_at_s)),
            (&path("a"), 200, &file("a", made_at_s, &[ENTRY])),
            (&path("b"), 200, &file("b", made_at_s, &[])),
        ])
    }

    fn path(name: &str) -> String {
        format!("npm/{}.txt", digits(name))
    }

    fn run(harness: &Harness) -> Ran {
        harness.custom::<Vulnerabilities>("scan", &Facts::empty(), &[])
    }

    #[test]
    fn the_files_of_the_packages_in_use_are_read_and_no_others() {
        let ran = run(&whole(now_s()));
        let error = ran.result.unwrap_err();
        assert_eq!(error.code, "vulnerabilities.found");
        assert!(
            error.message.contains("GHSA-1 in a 1.0.0 (npm), high, fixed in 1.0.1"),
            "{error:?}"
        );
        let asked: BTreeSet<String> = ran.requests.iter().map(|it| it.url.clone()).collect();
        let files = ["snapshot.json".to_owned(), path("a"), path("b")];
        let wanted: BTreeSet<String> = files.iter().map(|it| format!("{BASE}/{it}")).collect();
        assert_eq!(asked, wanted);
        assert!(ran.requests.iter().all(|request| request.method == "GET"));
    }

    #[test]
    fn a_snapshot_that_has_not_changed_is_asked_for_its_index_alone() {
        let made = now_s();
        let first = run(&whole(made));
        let remembering = |harness: Harness| {
            first
                .cache
                .iter()
                .fold(harness, |harness, (key, value)| harness.cached(key, value.clone()))
        };
        let again = run(&remembering(served(&[("snapshot.json", 200, &index(made))])));
        assert_eq!(again.requests.len(), 1);
        assert_eq!(again.result.unwrap_err().message, first.result.clone().unwrap_err().message);

        // A newer one is read, and one that may not be asked is no old one.
        let newer = made + 1;
        let mended = served(&[
            ("snapshot.json", 200, &index(newer)),
            (&path("a"), 200, &file("a", newer, &[])),
            (&path("b"), 200, &file("b", newer, &[])),
        ]);
        let ran = run(&remembering(mended));
        assert_eq!(ran.result.unwrap().summary, "no known vulnerability in 2 components");
        assert_eq!(ran.annotations[0].tone, Tone::Good);
        let error = run(&remembering(whole(made)).deny("http")).result.unwrap_err();
        assert_eq!(error.code, "vulnerabilities.denied");
        let hint = error.hint.unwrap();
        assert!(hint.contains(r#""hosts":["osv.internal"],"methods":["GET"]"#), "{hint}");
    }

    #[test]
    fn the_script_puts_every_package_where_it_is_looked_for() {
        // As a database spells it, and as a lock file does.
        let packages = [
            (Ecosystem::Npm, "@scope/JSONStream", "@scope/JSONStream"),
            (Ecosystem::PyPi, "Flask.-_Login", "flask_login"),
            (Ecosystem::Cargo, "serde_json", "serde_json"),
            (Ecosystem::Go, "github.com/A/b", "github.com/A/b"),
            (Ecosystem::RubyGems, "Ascii85", "Ascii85"),
            (Ecosystem::Packagist, "Vendor/Package", "vendor/package"),
            (Ecosystem::Hex, "Phoenix", "phoenix"),
            (Ecosystem::Maven, "org.Group:artifact", "org.Group:artifact"),
            (Ecosystem::NuGet, "Newtonsoft.Json", "newtonsoft.json"),
        ];
        let harness = Harness::with_files(&[]);
        let python = |args: &[&str]| {
            let ran = Command::new("python3").args(args).current_dir(harness.folder()).output();
            let ran = ran.unwrap();
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        };
        for (ecosystem, spelled, _) in packages {
            let osv = ecosystem.osv();
            let entry = json!({"id": "X-1", "details": "long", "affected": [
                {"package": {"ecosystem": format!("{osv}:of a registry"), "name": spelled}, "versions": ["1"]}]});
            let file = format!("{osv}.json");
            std::fs::write(harness.folder().join(&file), entry.to_string()).unwrap();
            python(&["-m", "zipfile", "-c", &format!("{osv}.zip"), &file]);
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/snapshot.py");
        let all = Ecosystem::ALL.map(Ecosystem::osv);
        // The oldest says how old all of it is.
        let fetched = SystemTime::now() - Duration::from_secs(30 * 86_400);
        let oldest = std::fs::File::options().write(true).open(harness.folder().join("Go.zip"));
        oldest.unwrap().set_modified(fetched).unwrap();
        let mut args = vec![script, "--from", ".", "made"];
        args.extend(all);
        python(&args);
        let made = harness.folder().join("made");
        let read = |path: String| std::fs::read_to_string(made.join(path)).unwrap();
        let index: Index = serde_json::from_str(&read("snapshot.json".to_owned())).unwrap();
        assert_eq!(index.ecosystems, BTreeSet::from(all.map(str::to_owned)));
        let fetched_s = fetched.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(index.made_at_s, fetched_s);
        for (ecosystem, _, locked) in packages {
            let (osv, name) = (ecosystem.osv(), normal_name(ecosystem, locked));
            let digits = digits(&name);
            let text = read(format!("{osv}/{digits}.txt"));
            let (at, format) = (index.made_at_s, index.format);
            let head = format!("osv-snapshot {format} {osv} {digits} {at} 1\n{name}\t{{");
            assert!(text.starts_with(&head) && !text.contains("details"), "{head}: {text}");
        }
    }

    #[test]
    fn what_is_missing_of_a_snapshot_is_never_taken_for_empty() {
        let made = now_s();
        let (whole_index, whole_a) = (index(made), file("a", made, &[]));
        let cut = &whole_a[..whole_a.len() - 1];
        let fewer = head("a", made, 2) + "another\t{}\n";
        let broken = head("a", made, 1) + "a\t{\"id\": \n";
        let nameless = head("a", made, 1) + "{}\n";
        let elsewhere = file("b", made, &[]);
        let other_index = whole_index.replace("npm", "Go");
        let later_index = whole_index.replace("\"format\": 1", "\"format\": 2");
        let cases: [(u16, &str, &str, &str); 11] = [
            (200, &whole_index, "<html>", "is not that file of a snapshot"),
            (404, &whole_index, "nothing here", "answered 404: nothing here"),
            (200, &whole_index, "", "is not that file of a snapshot"),
            (200, &whole_index, &elsewhere, "is not that file of a snapshot"),
            (200, &whole_index, cut, "is not whole"),
            (200, &whole_index, &fewer, "is not whole"),
            (200, &whole_index, &broken, "has an entry of a that does not read"),
            (200, &whole_index, &nameless, "has a line without the name of a package"),
            (200, &other_index, &whole_a, "was made without npm"),
            (200, &later_index, &whole_a, "has the format 2, and 1 is read"),
            (200, "<html>", &whole_a, "is no index of a snapshot"),
        ];
        for (status, index, a, why) in cases {
            let ran = run(&served(&[
                ("snapshot.json", 200, index),
                (&path("a"), status, a),
                (&path("b"), 200, &file("b", made, &[])),
            ]));
            let error = ran.result.unwrap_err();
            assert_eq!(error.code, "vulnerabilities.snapshot-unusable", "{why}");
            assert!(error.message.contains(why), "{why}: {error:?}");
            assert!(!error.retryable && ran.annotations.is_empty(), "{why}");
        }
        // While the files are exchanged, they are of two snapshots.
        let ran = run(&served(&[
            ("snapshot.json", 200, &whole_index),
            (&path("a"), 200, &file("a", made + 1, &[])),
            (&path("b"), 200, &file("b", made + 1, &[])),
        ]));
        let error = ran.result.unwrap_err();
        assert_eq!(error.code, "vulnerabilities.snapshot-unusable");
        assert!(error.retryable && error.message.contains("another snapshot"), "{error:?}");
        let error = run(&served(&[("snapshot.json", 503, "busy")])).result.unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), ("vulnerabilities.unreachable", true));
    }

    #[test]
    fn an_old_snapshot_is_said_to_be_old_and_is_never_good() {
        let made = now_s() - 9 * 86_400;
        let ran = run(&served(&[
            ("snapshot.json", 200, &index(made)),
            (&path("a"), 200, &file("a", made, &[])),
            (&path("b"), 200, &file("b", made, &[])),
        ]));
        assert_eq!(ran.result.unwrap().summary, "no known vulnerability in 2 components");
        assert_eq!(ran.annotations[0].tone, Tone::Warning);
        let page = &ran.artifacts.iter().find(|(it, _)| it.name == "vulnerabilities.md").unwrap().1;
        let page = String::from_utf8_lossy(page);
        assert!(page.contains("was made 9 days ago: what became known since then"), "{page}");
    }
}
