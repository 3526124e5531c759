use std::collections::BTreeMap;

use serde_json::{Value, json};
use windlass_plugin_locked::NAMES;
use windlass_sdk::PluginError;
use windlass_sdk::annotations::Tone;
use windlass_sdk::custom::Facts;
use windlass_sdk::http::{HttpError, Reason};
use windlass_sdk::log::Level as LogLevel;
use windlass_sdk::testing::{Harness, Ran, answered};

use crate::Vulnerabilities;

const NPM: &str = r#"{"lockfileVersion": 3, "packages": {
    "": {"dependencies": {"lodash": "^4", "minimist": "^1"}},
    "node_modules/lodash": {"version": "4.17.15"},
    "node_modules/minimist": {"version": "1.2.8"},
    "node_modules/vite": {"version": "5.0.0", "dev": true},
    "node_modules/far": {"version": "1.0.0", "resolved": "git+ssh://git@example.com/far.git#01"}}}"#;
const POETRY: &str = "[[package]]\nname = \"Jinja2\"\nversion = \"3.1.2\"\n";

/// As osv.dev has it, shortened.
const LODASH: &str = r#"{
  "id": "GHSA-35jh-r3h4-6jhm", "modified": "2024-04-17T18:39:19.128384Z", "published": "2021-05-06T16:05:51Z",
  "summary": "Command Injection in lodash", "details": "long", "aliases": ["CVE-2021-23337"], "withdrawn": null,
  "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:H"}],
  "affected": [
    {"package": {"ecosystem": "npm", "name": "lodash", "purl": "pkg:npm/lodash"},
     "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "4.17.21"}]}]},
    {"package": {"ecosystem": "npm", "name": "lodash.template"},
     "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"last_affected": "4.5.0"}]}]}],
  "database_specific": {"severity": "HIGH", "cwe_ids": ["CWE-77"], "github_reviewed": true}}"#;
const JINJA: &str = r#"{
  "id": "PYSEC-2024-1", "modified": "2024-01-11T00:00:00Z", "aliases": ["GHSA-h5c8-rqwp-cp95", "CVE-2024-22195"],
  "affected": [{"package": {"ecosystem": "PyPI", "name": "jinja2"}, "versions": ["3.1.1", "3.1.2"],
    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.3"}]}]}]}"#;
const JINJA_AGAIN: &str = r#"{
  "id": "GHSA-h5c8-rqwp-cp95", "modified": "2024-01-12T00:00:00Z", "aliases": ["CVE-2024-22195"],
  "summary": "HTML <b>attribute</b> | injection",
  "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N"}],
  "affected": [{"package": {"ecosystem": "PyPI", "name": "jinja2"},
    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.3"}]}]}]}"#;

fn source() -> Harness {
    Harness::with_files(&[
        ("package-lock.json", NPM),
        ("worker/poetry.lock", POETRY),
        ("osv/npm/GHSA-35jh-r3h4-6jhm.json", LODASH),
        ("osv/PyPI/PYSEC-2024-1.json", JINJA),
        ("osv/PyPI/more.jsonl", &format!("{}\n", JINJA_AGAIN.replace('\n', " "))),
        ("osv/broken.json", "{"),
    ])
}

fn run(harness: &Harness) -> Ran {
    harness.custom::<Vulnerabilities>("scan", &Facts::empty(), &[])
}

fn failure(ran: &Ran) -> PluginError {
    ran.result.clone().unwrap_err()
}

fn artifact<'r>(ran: &'r Ran, name: &str) -> &'r str {
    let found = ran.artifacts.iter().find(|(artifact, _)| artifact.name == name).unwrap();
    std::str::from_utf8(&found.1).unwrap()
}

fn report(ran: &Ran) -> Value {
    serde_json::from_str(artifact(ran, "vulnerabilities.json")).unwrap()
}

#[test]
fn a_folder_of_entries_is_a_database() {
    let ran = run(&source().options(r#"{"database":"osv","fail_on":"high"}"#));
    let error = failure(&ran);
    assert_eq!(error.code, "vulnerabilities.found");
    assert_eq!(
        error.message,
        "1 vulnerability at or above high: GHSA-35jh-r3h4-6jhm (CVE-2021-23337) in lodash 4.17.15 \
         (npm), high, fixed in 4.17.21"
    );
    let hint = error.hint.unwrap();
    assert!(
        hint.starts_with("update lodash from 4.17.15 to 4.17.21 in package-lock.json"),
        "{hint}"
    );
    assert!(hint.contains("`ignore`"), "{hint}");
    assert_eq!(ran.annotations[0].value, "2 vulnerabilities (1 high, 1 medium) in 3 components");
    assert_eq!(ran.annotations[0].tone, Tone::Bad);
    assert!(ran.requests.is_empty());
}

#[test]
fn names_of_one_vulnerability_are_one_finding() {
    let ran = run(&source().options(r#"{"database":"osv","fail_on":"none"}"#));
    let report = report(&ran);
    let jinja = &report["findings"][1];
    assert_eq!(jinja["id"], "GHSA-h5c8-rqwp-cp95");
    assert_eq!(jinja["aliases"], json!(["CVE-2024-22195", "PYSEC-2024-1"]));
    assert_eq!(jinja["severity"]["score"], 6.1);
    assert_eq!(jinja["fixed"], "3.1.3");
    assert_eq!(report["findings"].as_array().unwrap().len(), 2);
    let outcome = ran.result.unwrap();
    let outputs: Value = serde_json::from_str(&outcome.outputs_json).unwrap();
    assert_eq!(
        outputs,
        json!({"components": 3, "found": 2, "ignored": 0, "worst": "high",
        "ids": ["GHSA-35jh-r3h4-6jhm", "GHSA-h5c8-rqwp-cp95"]})
    );
}

#[test]
fn the_page_is_a_table_in_which_foreign_text_stays_text() {
    let ran = run(&source().options(r#"{"database":"osv","fail_on":"none"}"#));
    let page = artifact(&ran, "vulnerabilities.md");
    let row = "| medium 6.1 | GHSA-h5c8-rqwp-cp95, CVE-2024-22195, PYSEC-2024-1 | Jinja2 (PyPI) | 3.1.2 | 3.1.3 | \
               HTML &lt;b>attribute&lt;/b> \\| injection |";
    assert!(page.contains(row), "{page}");
    assert!(
        page.contains("- update lodash from 4.17.15 to 4.17.21 in package-lock.json"),
        "{page}"
    );
    assert!(page.contains("osv/broken.json was not read whole"), "{page}");
    assert!(
        page.contains("components from repositories or archives, which were not looked up: 1"),
        "{page}"
    );
}

#[test]
fn what_is_ignored_by_any_of_its_names_does_not_count() {
    let options = r#"{"database":"osv","ignore":["cve-2021-23337","CVE-1999-0001"]}"#;
    let ran = run(&source().options(options));
    let summary = ran.result.clone().unwrap().summary;
    assert_eq!(summary, "1 vulnerability (1 medium) in 3 components; 1 ignored");
    let notes = report(&ran)["notes"].to_string();
    assert!(notes.contains("CVE-1999-0001 is ignored, but nothing has it"), "{notes}");
    assert!(artifact(&ran, "vulnerabilities.md").contains("## Ignored by the settings"));
}

#[test]
fn the_severity_that_fails_is_a_setting() {
    let of = |fail_on: &str| {
        let options = json!({"database": "osv", "fail_on": fail_on, "ignore": ["CVE-2021-23337"]});
        run(&source().options(&options.to_string())).result
    };
    for passes in ["critical", "high", "none"] {
        assert!(of(passes).is_ok(), "{passes}");
    }
    for fails in ["medium", "low", "any"] {
        assert_eq!(of(fails).unwrap_err().code, "vulnerabilities.found", "{fails}");
    }
    assert_eq!(of("sometimes").unwrap_err().code, "options.invalid");
}

#[test]
fn without_the_file_or_without_an_entry_nothing_passes() {
    let ran = run(&source().options(r#"{"database":"nowhere"}"#));
    let error = failure(&ran);
    assert_eq!(error.code, "vulnerabilities.no-database");
    assert!(error.hint.unwrap().contains("`source` with \"nowhere/**\""));
    let ran = run(&source().options(r#"{"database":"osv/broken.json"}"#));
    assert_eq!(failure(&ran).code, "vulnerabilities.no-database");
}

#[test]
fn a_database_of_too_many_files_is_refused_before_any_part_of_it_passes() {
    let harness = Harness::with_files(&[("package-lock.json", NPM), ("osv/a.json", JINJA)]);
    let harness = harness.options(r#"{"database":"osv"}"#);
    let folder = harness.folder().join("osv/many");
    std::fs::create_dir(&folder).unwrap();
    let lay = |from: usize, to: usize| {
        for number in from..to {
            std::fs::write(folder.join(format!("{number}.json")), "[]").unwrap();
        }
    };
    // With the one beside them as many as are read.
    lay(0, 19_999);
    let ran = run(&harness);
    assert_eq!(ran.result.unwrap().summary, "no known vulnerability in 2 components");
    assert_eq!(ran.annotations[0].tone, Tone::Good);

    lay(19_999, 20_000);
    let ran = run(&harness);
    let error = failure(&ran);
    assert_eq!(error.code, "vulnerabilities.database-too-large");
    assert!(error.message.contains("more than 20000 files of entries in osv"), "{error:?}");
    assert!(!error.retryable && error.hint.unwrap().contains(".jsonl"));
    assert!(ran.annotations.is_empty() && ran.artifacts.is_empty(), "nothing looks scanned");
}

#[test]
fn what_was_not_read_of_a_database_is_never_good() {
    let files = [("package-lock.json", NPM), ("osv/a.json", JINJA), ("osv/broken.json", "{")];
    let ran = run(&Harness::with_files(&files).options(r#"{"database":"osv"}"#));
    assert_eq!(ran.annotations[0].value, "no known vulnerability in 2 components");
    assert_eq!(ran.annotations[0].tone, Tone::Warning);
}

/// osv.dev, which finds what is in lodash.
fn online() -> Harness {
    let found = json!({"results": [
        {"vulns": [{"id": "GHSA-35jh-r3h4-6jhm", "modified": "2024-04-17T18:39:19.128384Z"}]}, {}, {}]});
    source()
        .request("POST", "https://api.osv.dev/v1/querybatch", answered(200, found.to_string()))
        .request("GET", "https://api.osv.dev/v1/vulns/GHSA-35jh-r3h4-6jhm", answered(200, LODASH))
}

/// What a later run of another harness remembers.
fn remembering(harness: Harness, cache: &BTreeMap<String, Vec<u8>>) -> Harness {
    cache.iter().fold(harness, |harness, (key, value)| harness.cached(key, value.clone()))
}

#[test]
fn osv_dev_is_asked_with_names_and_versions_alone() {
    let ran = run(&online());
    assert_eq!(failure(&ran).code, "vulnerabilities.found");
    let sent: Value = serde_json::from_slice(&ran.requests[0].body).unwrap();
    assert_eq!(
        sent,
        json!({"queries": [
        {"package": {"ecosystem": "npm", "name": "lodash"}, "version": "4.17.15"},
        {"package": {"ecosystem": "npm", "name": "minimist"}, "version": "1.2.8"},
        {"package": {"ecosystem": "PyPI", "name": "jinja2"}, "version": "3.1.2"}]})
    );
    assert_eq!(ran.requests.len(), 2);
    assert!(ran.cache.keys().all(|key| key.len() <= 200));
}

#[test]
fn answers_are_remembered() {
    let first = run(&online());
    let again = run(&remembering(source(), &first.cache));
    assert_eq!(failure(&again).message, failure(&first).message);
    assert!(again.requests.is_empty(), "{:?}", again.requests);
    // An entry that has not changed is not fetched again, even where the database is asked.
    let asked = run(&remembering(online(), &first.cache).options(r#"{"cache_minutes":0}"#));
    let asked: Vec<&str> = asked.requests.iter().map(|request| request.method.as_str()).collect();
    assert_eq!(asked, ["POST"]);
}

#[test]
fn an_old_answer_is_used_where_there_is_no_new_one_and_said_to_be_old() {
    let first = run(&online());
    let down = source().request("POST", "https://api.osv.dev/", answered(503, "busy"));
    let down = remembering(down, &first.cache).options(r#"{"cache_minutes":0,"fail_on":"none"}"#);
    let ran = run(&down);
    assert_eq!(ran.result.clone().unwrap().summary, "1 vulnerability (1 high) in 3 components");
    let notes = report(&ran)["notes"].to_string();
    assert!(notes.contains("answered 503: busy; what it said 0 hours ago is used"), "{notes}");
    let never = source().request("POST", "https://api.osv.dev/", answered(503, "busy"));
    let error = failure(&run(&never));
    assert_eq!(error.code, "vulnerabilities.unreachable");
    assert!(error.retryable);
}

#[test]
fn what_was_not_granted_says_what_to_grant() {
    let error = failure(&run(&source().deny("http")));
    assert_eq!(error.code, "vulnerabilities.denied");
    assert!(!error.retryable);
    let hint = error.hint.unwrap();
    assert!(hint.contains("windlass plugin grant vulnerabilities '["), "{hint}");
    assert!(hint.contains(r#""hosts":["api.osv.dev"]"#), "{hint}");
    // However much is remembered, as long as it is not as good as new.
    let cache = run(&online()).cache;
    let denied = remembering(source().deny("http"), &cache).options(r#"{"cache_minutes":0}"#);
    assert_eq!(failure(&run(&denied)).code, "vulnerabilities.denied");
    let mirror = source().options(r#"{"database":"http://10.0.0.7:8080/"}"#);
    let hint = failure(&run(&mirror)).hint.unwrap();
    assert!(hint.contains(r#""hosts":["10.0.0.7:8080"]"#), "{hint}");
    assert!(hint.contains(r#""private": ["10.0.0.7"]"#), "{hint}");
}

#[test]
fn answers_that_are_none_are_failures() {
    let of = |status, body: &str| {
        let harness = source().request("POST", "https://api.osv.dev/", answered(status, body));
        failure(&run(&harness))
    };
    assert_eq!(of(400, "no").code, "vulnerabilities.refused");
    assert_eq!(of(429, "").code, "vulnerabilities.unreachable");
    assert!(of(200, "<html>").message.contains("not the JSON expected"));
    assert!(of(200, r#"{"results":[]}"#).message.contains("one result for each query"));
    let endless = json!({"results": vec![json!({"next_page_token": "x"}); 3]}).to_string();
    assert!(of(200, &endless).message.contains("more than 50 pages"));
    let timed_out = HttpError { reason: Reason::TimedOut, message: "30 s".to_owned() };
    let error = failure(&run(&source().request("POST", "https://api.osv.dev/", Err(timed_out))));
    assert_eq!((error.code.as_str(), error.retryable), ("vulnerabilities.unreachable", true));
    // Asking once more would end the same.
    let over = HttpError { reason: Reason::OverLimit, message: "3000 requests".to_owned() };
    let error = failure(&run(&source().request("POST", "https://api.osv.dev/", Err(over))));
    assert_eq!((error.code.as_str(), error.retryable), ("vulnerabilities.unreachable", false));
    assert!(error.hint.unwrap().contains("raised in the limits file"));
}

#[test]
fn an_id_that_is_none_does_not_become_an_address() {
    let found = json!({"results": [{"vulns": [{"id": "../../admin?x=1"}]}, {}, {}]});
    let harness =
        source().request("POST", "https://api.osv.dev/", answered(200, found.to_string()));
    let ran = run(&harness);
    assert_eq!(ran.requests.len(), 1);
    assert!(failure(&ran).message.contains("no id of OSV"));
}

#[test]
fn development_dependencies_count_where_they_are_asked_for() {
    let ran = run(&source().options(r#"{"database":"osv","development":true,"fail_on":"none"}"#));
    assert!(ran.result.unwrap().summary.ends_with("in 4 components"));
}

#[test]
fn a_lock_file_that_does_not_read_is_said() {
    let harness = Harness::with_files(&[("Cargo.lock", "[["), ("osv/a.json", LODASH)]);
    let ran = run(&harness.options(r#"{"database":"osv"}"#));
    assert_eq!(ran.annotations[0].tone, Tone::Warning);
    let warned = |(level, line): &(LogLevel, String)| {
        *level == LogLevel::Warn && line.starts_with("Cargo.lock could not be read: it is no TOML")
    };
    assert!(ran.log.iter().any(warned), "{:?}", ran.log);
    let none = run(&Harness::with_files(&[("index.html", "")]));
    assert!(none.result.unwrap().skipped);
}

#[test]
fn it_runs_without_artifacts_cache_and_annotations() {
    let harness = online().deny("artifacts").deny("cache").deny("annotations");
    let ran = run(&harness.options(r#"{"fail_on":"none"}"#));
    assert_eq!(ran.result.unwrap().summary, "1 vulnerability (1 high) in 3 components");
    assert!(ran.log.iter().any(|(_, line)| line.starts_with("vulnerabilities.md is not attached")));
}

#[test]
fn the_manifest_asks_for_every_file_that_is_read() {
    let manifest = include_str!("lib.rs");
    for name in NAMES {
        assert!(manifest.contains(&format!("\"**/{name}\"")), "{name}");
    }
}
