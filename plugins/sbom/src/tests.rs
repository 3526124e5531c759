use std::collections::BTreeSet;

use serde_json::{Value, json};
use windlass_plugin_locked::NAMES;
use windlass_sdk::custom::Facts;
use windlass_sdk::testing::{Harness, Ran};

use crate::{ARTIFACT, Sbom};

const NPM: &str = r#"{
  "name": "shop", "lockfileVersion": 3, "packages": {
    "": {"dependencies": {"@scope/tool": "^1.0.0"}, "devDependencies": {"vitest": "1"}},
    "node_modules/@scope/tool": {"version": "1.2.3", "license": "MIT OR Apache-2.0",
      "resolved": "https://registry.npmjs.org/@scope/tool/-/tool-1.2.3.tgz",
      "integrity": "sha1-qUqP5cyxm6YcTAhz05Hph5gvu9M=", "dependencies": {"ms": "^2.0.0"}},
    "node_modules/ms": {"version": "2.1.3", "license": "SEE LICENSE IN LICENSE.md"},
    "node_modules/vitest": {"version": "1.0.0", "dev": true, "resolved": "git+ssh://git@github.com/a/vitest.git#01"}
  }}"#;

fn run(harness: &Harness) -> Ran {
    let mut facts = Facts::empty();
    facts.project = "shop".to_owned();
    facts.commit = Some("0123456789abcdef0123456789abcdef01234567".to_owned());
    harness.custom::<Sbom>("list", &facts, &[])
}

fn document(ran: &Ran) -> Value {
    let (artifact, bytes) = &ran.artifacts[0];
    assert_eq!(artifact.name, ARTIFACT);
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_lock_file_becomes_this_document() {
    let harness = Harness::with_files(&[
        ("package-lock.json", NPM),
        ("worker/requirements.txt", "Flask_Login==0.6.3\nclick>=8\n"),
    ]);
    let ran = run(&harness);
    let outcome = ran.result.clone().unwrap();
    assert_eq!(outcome.summary, "4 components in 2 files");
    assert_eq!(ran.annotations[0].value, "4 components in 2 files");
    let document = document(&ran);
    let outputs: Value = serde_json::from_str(&outcome.outputs_json).unwrap();
    assert_eq!(outputs["serial_number"], document["serialNumber"]);
    assert_eq!(outputs["components"], 4);
    let expected = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": document["serialNumber"],
        "version": 1,
        "metadata": {
            "component": {
                "type": "application", "bom-ref": "application", "name": "shop",
                "version": "0123456789abcdef0123456789abcdef01234567",
            },
            "tools": {"components": [{
                "type": "application", "name": "windlass-plugin-sbom",
                "version": env!("CARGO_PKG_VERSION"),
            }]},
            "properties": [{
                "name": "windlass:incomplete",
                "value": "worker/requirements.txt: requirements without an exact version (==), which are left out: 1",
            }],
        },
        "components": [
            {
                "type": "library", "bom-ref": "pkg:npm/%40scope/tool@1.2.3", "group": "@scope",
                "name": "tool", "version": "1.2.3", "scope": "required",
                "purl": "pkg:npm/%40scope/tool@1.2.3",
                "hashes": [{"alg": "SHA-1", "content": "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3"}],
                "licenses": [{"expression": "MIT OR Apache-2.0"}],
                "evidence": {"occurrences": [{"location": "package-lock.json"}]},
            },
            {
                "type": "library", "bom-ref": "pkg:npm/ms@2.1.3", "name": "ms", "version": "2.1.3",
                "scope": "required", "purl": "pkg:npm/ms@2.1.3",
                "licenses": [{"license": {"name": "SEE LICENSE IN LICENSE.md"}}],
                "evidence": {"occurrences": [{"location": "package-lock.json"}]},
            },
            {
                "type": "library", "bom-ref": "pkg:npm/vitest@1.0.0", "name": "vitest",
                "version": "1.0.0", "scope": "excluded",
                "evidence": {"occurrences": [{"location": "package-lock.json"}]},
            },
            {
                "type": "library", "bom-ref": "pkg:pypi/flask-login@0.6.3", "name": "Flask_Login",
                "version": "0.6.3", "scope": "required", "purl": "pkg:pypi/flask-login@0.6.3",
                "evidence": {"occurrences": [{"location": "worker/requirements.txt"}]},
            },
        ],
        "dependencies": [
            {"ref": "application", "dependsOn": ["pkg:npm/%40scope/tool@1.2.3", "pkg:npm/vitest@1.0.0"]},
            {"ref": "pkg:npm/%40scope/tool@1.2.3", "dependsOn": ["pkg:npm/ms@2.1.3"]},
            {"ref": "pkg:npm/ms@2.1.3", "dependsOn": []},
            {"ref": "pkg:npm/vitest@1.0.0", "dependsOn": []},
        ],
    });
    assert_eq!(document, expected);
}

#[test]
fn references_are_unique_and_lead_somewhere() {
    let document = document(&run(&Harness::with_files(&[("package-lock.json", NPM)])));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let components = document["components"].as_array().unwrap();
    let mut known: BTreeSet<String> = components.iter().map(|it| text(&it["bom-ref"])).collect();
    assert_eq!(known.len(), components.len());
    known.insert(text(&document["metadata"]["component"]["bom-ref"]));
    for entry in document["dependencies"].as_array().unwrap() {
        assert!(known.contains(&text(&entry["ref"])), "{entry}");
        for needed in entry["dependsOn"].as_array().unwrap() {
            assert!(known.contains(&text(needed)), "{needed}");
        }
    }
    let serial = text(&document["serialNumber"]);
    let digits = serial.strip_prefix("urn:uuid:").unwrap();
    let lengths: Vec<usize> = digits.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12]);
    assert!(digits.replace('-', "").chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')));
    assert_eq!(&digits[14..15], "8");
}

#[test]
fn the_same_source_gives_the_same_bytes_and_another_one_another_number() {
    let harness = Harness::with_files(&[("package-lock.json", NPM)]);
    let (one, two) = (run(&harness), run(&harness));
    assert_eq!(one.artifacts[0].1, two.artifacts[0].1);
    let other = run(&Harness::with_files(&[("package-lock.json", &NPM.replace("2.1.3", "2.1.2"))]));
    assert_ne!(document(&one)["serialNumber"], document(&other)["serialNumber"]);
}

#[test]
fn what_is_only_for_development_can_be_left_out() {
    let harness = Harness::with_files(&[("package-lock.json", NPM)]);
    let ran = run(&harness.options(r#"{"development":false,"exclude":["old/**"]}"#));
    assert_eq!(document(&ran)["components"].as_array().unwrap().len(), 2);
}

#[test]
fn a_file_that_does_not_read_is_in_the_document_and_in_the_log() {
    let ran = run(&Harness::with_files(&[("Cargo.lock", "[[package"), ("package-lock.json", NPM)]));
    assert!(ran.log.iter().any(|(_, line)| line.contains("Cargo.lock could not be read")));
    let property = &document(&ran)["metadata"]["properties"][0];
    assert_eq!(property["name"], "windlass:unread");
    assert!(property["value"].as_str().unwrap().starts_with("Cargo.lock: it is no TOML"));
    assert_eq!(ran.annotations[0].value, "3 components in 1 file; 1 file could not be read");
}

#[test]
fn without_a_lock_file_there_is_nothing_to_do() {
    let ran = run(&Harness::with_files(&[("index.html", "")]));
    assert!(ran.result.unwrap().skipped);
    assert!(ran.artifacts.is_empty());
}

#[test]
fn where_nothing_may_be_attached_the_stage_fails() {
    let harness = Harness::with_files(&[("package-lock.json", NPM)]).deny("artifacts");
    assert_eq!(run(&harness).result.unwrap_err().code, "artifacts.failed");
}

#[test]
fn the_manifest_asks_for_every_file_that_is_read() {
    let manifest = include_str!("lib.rs");
    for name in NAMES {
        assert!(manifest.contains(&format!("\"**/{name}\"")), "{name}");
    }
}
