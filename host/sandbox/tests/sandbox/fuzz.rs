//! Short fuzzing of what strangers write and the host reads without running it: manifests, components,
//! plans, indexes; and of its own lock file, damaged. Archives are fuzzed where they are read. `WINDLASS_TEST_EXTENT=full` plays more of it.

use std::collections::HashSet;
use std::path::Path;

use serde_json::{Value, json};
use windlass_model::Digest;
use windlass_model::limits::BuildLimits;
use windlass_model::plan::{Base, BuildPlan, Mount, Op, Origin, Placed};
use windlass_model::plugin::discover::{self, Wanted};
use windlass_model::plugin::index::{BYTES_MAX, Index, IndexError, VERSIONS_MAX};
use windlass_model::plugin::lock::{Lock, LockError, is_name};
use windlass_sandbox::{LoadError, inspect};
use windlass_test_support::adversaries::hearts::{Heart, transplant};
use windlass_test_support::adversaries::texts::{MANIFEST, holding, manifest, parsed};
use windlass_test_support::mutate::{self, Dice};
use windlass_test_support::sample;

use crate::support::guest;

#[expect(clippy::print_stderr, reason = "a failure is repeated with it")]
fn drawn() -> u64 {
    let seed = sample::seed();
    eprintln!("WINDLASS_TEST_SEED={seed}");
    seed
}

/// A manifest in which everything is said that can be.
fn good_manifest() -> Value {
    json!({
        "name": "odd", "version": "1.2.3", "summary": "A test", "licence": "MIT",
        "capabilities": [
            { "name": "http", "hosts": ["api.example.com"], "methods": ["GET"], "reason": "to ask" },
            { "name": "exec", "outputs": ["*"], "reason": "to run", "optional": true },
        ],
        "options_schema": "{\"type\":\"object\"}",
        "failures": [{
            "code": "odd.broken", "title": "It broke", "cause": "because", "fix": "mend it",
            "patterns": ["cannot find (?<part>\\S+)"], "steps": ["build"],
        }],
    })
}

fn check_file(path: &Path, what: &str) -> Result<(), LoadError> {
    let info = inspect(path)
        .map_err(|error| {
            assert!(!error.to_string().is_empty() && !error.fix().is_empty(), "{what}: {error:?}");
            error
        })?
        .info;
    let manifest = info.manifest;
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    assert!(manifest.name.chars().all(letter), "{what}: {manifest:?}");
    assert!((1..=40).contains(&manifest.name.len()), "{what}: {manifest:?}");
    for text in [&manifest.version, &manifest.summary] {
        assert!(!text.is_empty() && !text.contains(char::is_control), "{what}: {manifest:?}");
    }
    for pattern in manifest.failures.iter().flat_map(|failure| &failure.patterns) {
        assert!(regex::Regex::new(pattern).is_ok(), "{what}: {pattern:?}");
    }
    assert!(!info.stages.is_empty(), "{what}");
    Ok(())
}

#[test]
fn a_manifest_is_taken_in_order_or_refused_with_a_reason_whatever_it_says() {
    let (seed, folder) = (drawn(), tempfile::tempdir().unwrap());
    let path = folder.path().join("odd.wasm");
    let good = good_manifest();
    let write = |json: &str| {
        let text = holding("").replace(MANIFEST, &manifest(json));
        std::fs::write(&path, parsed(&text)).unwrap();
    };
    write(&good.to_string());
    check_file(&path, "the good one").unwrap();
    let (mut taken, mut refused) = (0, 0);
    for case in 0..mutate::cases(1_500, 50_000) {
        let mut dice = Dice::new(seed, case);
        let json = match dice.below(2) {
            0 => mutate::json(&good, &mut dice).to_string(),
            _ => {
                let bytes = mutate::bytes(good.to_string().as_bytes(), &mut dice);
                String::from_utf8_lossy(&bytes).into_owned()
            }
        };
        write(&json);
        match check_file(&path, &format!("case {case} of {seed}: {json}")) {
            Ok(()) => taken += 1,
            Err(LoadError::BadManifest { .. }) => refused += 1,
            // What it asks for and what it imports are compared too.
            Err(error) => assert!(!error.to_string().contains("WebAssembly file"), "{error}"),
        }
    }
    assert!(taken > 20 && refused > 100, "{taken} taken, {refused} refused");
}

#[test]
fn a_damaged_component_is_read_or_refused_with_a_reason() {
    let (seed, folder) = (drawn(), tempfile::tempdir().unwrap());
    let path = folder.path().join("odd.wasm");
    let good = transplant(&std::fs::read(guest()).unwrap(), &Heart::default());
    std::fs::write(&path, &good).unwrap();
    check_file(&path, "the good one").unwrap();
    let (mut read, mut refused) = (0, 0);
    for case in 0..mutate::cases(400, 20_000) {
        std::fs::write(&path, mutate::bytes(&good, &mut Dice::new(seed, case))).unwrap();
        match check_file(&path, &format!("case {case} of {seed}")) {
            Ok(()) => read += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(read > 0 && refused > 50, "{read} read, {refused} refused");
}

/// A plan with every operation in it.
fn good_plan() -> Value {
    let mounts = json!([
        { "type": "cache", "id": "c", "target": "/c", "sharing": "locked" },
        { "type": "bind", "from_step": "a", "path": "x", "target": "/b", "writable": false },
        { "type": "secret", "name": "S", "target": "/run/s", "env": null, "mode": 256, "required": true },
        { "type": "tmpfs", "target": "/t", "bytes_max": 4096 },
    ]);
    let run = json!({
        "op": "run", "argv": ["/bin/sh", "-c", "true"], "env": [["A", "b"]], "cwd": "/w", "user": "1",
        "network": false, "mounts": mounts, "timeout_ms": 1000,
    });
    let copy = json!({
        "op": "copy", "origin": { "step": "a" }, "sources": ["src/**"], "exclude": ["*.md"],
        "dest": "/app/", "chown": "1:1", "chmod": "644", "parents": true,
    });
    let place = json!({
        "op": "place", "origin": { "inline": [{ "name": "f", "content": [1], "mode": 420 }] },
        "paths": [], "ignore": ["*.log"], "exclude": [], "dest": "/p", "chown": null, "chmod": null,
        "parents": false, "link": false, "unpack": false,
    });
    let fetch = json!({
        "op": "fetch", "url": "https://example.com/x", "sha256": null, "dest": "/x", "chown": null,
        "chmod": null,
    });
    let config = json!({
        "entrypoint": [], "cmd": ["/run"], "env": [["A", "b"]], "user": "1", "cwd": "/app",
        "exposed": [80], "volumes": [], "labels": [], "stop_signal": null,
    });
    let step = |id: &str, base: Value, ops: Value| json!({ "id": id, "name": id, "base": base, "env": [], "cwd": "/app", "user": "", "ops": ops });
    json!({
        "steps": [
            step("a", json!("scratch"), json!([
                { "op": "write-file", "path": "/f", "content": [1, 2], "mode": 420, "chown": null },
                { "op": "make-dir", "path": "/d", "chown": null },
                fetch, place,
            ])),
            step("b", json!({ "step": "a" }), json!([
                run, copy,
                { "op": "extract", "origin": "source", "archive": "x.tar", "dest": "/e" },
            ])),
        ],
        "outputs": [
            { "name": "app", "artifact": { "image": { "step": "b", "config": config } } },
            { "name": "site", "artifact": { "static-tree": {
                "step": "a", "root": "/d", "spa_fallback": "index.html", "not_found": null,
            } } },
        ],
        "processes": [
            { "name": "web", "output": "app", "kind": "web", "argv": ["/run"], "ports": [80] },
        ],
        "toolchains": [],
    })
}

#[test]
fn a_plan_that_passes_refers_backwards_and_stays_below_its_roots_whatever_it_says() {
    let seed = drawn();
    let limits = BuildLimits::default();
    let good: BuildPlan = serde_json::from_value(good_plan()).unwrap();
    good.validate(&limits).unwrap();
    assert_sound(&good, "the good one");
    let (mut taken, mut refused) = (0, 0);
    for case in 0..mutate::cases(6_000, 400_000) {
        let spoiled = mutate::json(&good_plan(), &mut Dice::new(seed, case));
        let Ok(plan) = serde_json::from_value::<BuildPlan>(spoiled) else { continue };
        match plan.validate(&limits) {
            Ok(()) => {
                assert_sound(&plan, &format!("case {case} of {seed}"));
                taken += 1;
            }
            Err(problem) => {
                assert!(!problem.place.is_empty() && !problem.problem.is_empty(), "{problem:?}");
                refused += 1;
            }
        }
    }
    assert!(taken > 100 && refused > 500, "{taken} taken, {refused} refused");
}

/// What the host relies on of a plan that passed, said another way than the check says it.
fn assert_sound(plan: &BuildPlan, what: &str) {
    assert!(plan.steps.len() <= 200 && plan.outputs.len() <= 100, "{what}");
    let mut before = HashSet::new();
    for step in &plan.steps {
        for id in references(step) {
            assert!(before.contains(id.as_str()), "{what}: {id} is used before it is there");
        }
        assert!(before.insert(step.id.as_str()), "{what}: {} is there twice", step.id);
    }
    let whole = serde_json::to_value(plan).unwrap();
    assert_below(&whole, "", what);
}

fn references(step: &windlass_model::plan::BuildStep) -> Vec<String> {
    let mut ids = Vec::new();
    if let Base::Step(id) = &step.base {
        ids.push(id.clone());
    }
    for op in &step.ops {
        match op {
            Op::Copy(copy) => ids.extend(of_origin(&copy.origin)),
            Op::Extract { origin, .. } => ids.extend(of_origin(origin)),
            Op::Place(place) => {
                if let Placed::Step(id) = &place.origin {
                    ids.push(id.clone());
                }
            }
            Op::Run(run) => ids.extend(run.mounts.iter().filter_map(|mount| match mount {
                Mount::Bind { from_step, .. } if !from_step.is_empty() => Some(from_step.clone()),
                _ => None,
            })),
            _ => {}
        }
    }
    ids
}

fn of_origin(origin: &Origin) -> Option<String> {
    if let Origin::Step(id) = origin { Some(id.clone()) } else { None }
}

/// No path below leaves its root, and those in the image are absolute.
fn assert_below(value: &Value, name: &str, what: &str) {
    const ABSOLUTE: [&str; 4] = ["cwd", "dest", "target", "root"];
    const PATHS: [&str; 6] = ["path", "archive", "sources", "paths", "spa_fallback", "not_found"];
    match value {
        Value::String(text) => {
            if ABSOLUTE.contains(&name) {
                assert!(text.is_empty() || text.starts_with('/'), "{what}: {name} {text:?}");
            }
            if ABSOLUTE.contains(&name) || PATHS.contains(&name) {
                let leaves = text.split('/').any(|part| part == "..") || text.contains('\0');
                assert!(!leaves, "{what}: {name} {text:?}");
            }
            if matches!(name, "user" | "chown") {
                assert!(!text.contains(char::is_control), "{what}: {name} {text:?}");
            }
        }
        Value::Array(list) => list.iter().for_each(|one| assert_below(one, name, what)),
        Value::Object(fields) => {
            fields.iter().for_each(|(name, one)| assert_below(one, name, what));
        }
        _ => {}
    }
}

/// JSON that was spoiled, or its text with damage.
fn damaged(good: &Value, dice: &mut Dice) -> Vec<u8> {
    match dice.below(3) {
        0 => mutate::bytes(good.to_string().as_bytes(), dice),
        _ => mutate::json(good, dice).to_string().into_bytes(),
    }
}

/// A lock file with everything in it.
fn good_lock() -> Value {
    let (first, second) = (Digest::of(b"1"), Digest::of(b"2"));
    let version = |version: &str, digest: &Digest, source: Value, signature: Value| {
        json!({
            "version": version, "digest": digest, "bytes": 2048, "source": source,
            "installed_at": "2026-01-02T03:04:05Z", "installed_by": "me",
            "grants": [
                { "name": "http", "hosts": ["api.example.com"], "methods": ["GET"] },
                { "name": "cache", "bytes_max": 65_536 },
            ],
            "signature": signature,
        })
    };
    let oci = json!({ "from": "oci", "reference": "ghcr.io/acme/scan:1.0.0" });
    let file = json!({ "from": "file", "name": "scan.wasm" });
    let versions = [
        version("1.0.0", &first, oci, json!({ "is": "verified", "key": "acme" })),
        version("1.1.0", &second, file, json!({ "is": "absent" })),
    ];
    json!({
        "version": 1,
        "plugins": [{
            "name": "scan", "everywhere": true, "active": second, "previous": first, "versions": versions,
        }],
        "bundled": { "notify": [{ "name": "cache", "bytes_max": 1024 }] },
        "projects": { "shop": { "scan": { "enabled": true, "pinned": first, "options": { "level": "high" } } } },
        "signatures": { "policy": "warn", "keys": { "acme": "RWQ" } },
        "indexes": { "acme": { "url": "https://example.com/plugins.json", "policy": "off" } },
    })
}

#[test]
fn a_lock_file_that_is_taken_holds_together_and_names_no_file_outside_whatever_it_says() {
    let seed = drawn();
    let good = good_lock();
    assert_coherent(&Lock::parse(good.to_string().as_bytes()).unwrap(), "the good one");
    let (mut taken, mut refused) = (0, 0);
    for case in 0..mutate::cases(6_000, 400_000) {
        let text = damaged(&good, &mut Dice::new(seed, case));
        match Lock::parse(&text) {
            Ok(lock) => {
                assert_coherent(&lock, &format!("case {case} of {seed}"));
                taken += 1;
            }
            Err(LockError::Newer { found }) => assert!(found > 1),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
    }
    assert!(taken > 100 && refused > 500, "{taken} taken, {refused} refused");
}

/// What the host relies on of a lock that was read.
fn assert_coherent(lock: &Lock, what: &str) {
    let again = Lock::parse(lock.to_text().as_bytes());
    assert_eq!(again.as_ref(), Ok(lock), "{what}: it is read as it is written");
    let mut names = HashSet::new();
    for plugin in &lock.plugins {
        assert!(is_name(&plugin.name) && names.insert(&plugin.name), "{what}: {}", plugin.name);
        assert!(plugin.active().is_some(), "{what}: nothing is active");
        for version in &plugin.versions {
            let file = version.file(&plugin.name);
            let parts: Vec<&str> = file.split('/').collect();
            assert!(parts.len() == 2 && !parts.contains(&".."), "{what}: {file:?}");
            assert!(file.len() <= 200 && !file.contains('\0'), "{what}: {file:?}");
        }
    }
    assert!(lock.indexes.keys().all(|name| is_name(name)), "{what}");
    for (project, choices) in &lock.projects {
        for (name, choice) in choices {
            let Some(pinned) = &choice.pinned else { continue };
            let kept = lock.installed(name).and_then(|plugin| plugin.version(pinned));
            assert!(kept.is_some(), "{what}: {project} pins what is not there");
        }
    }
}

/// An index with everything in it.
fn good_index() -> Value {
    let release = |version: &str| {
        json!({
            "version": version, "url": format!("oci://ghcr.io/acme/scan:{version}"),
            "digest": Digest::of(version.as_bytes()), "bytes": 2048,
            "interfaces": ["windlass:custom/custom@1.0.0", "windlass:http/http@1.0.0"],
            "asks": ["http: POST at api.osv.dev (optional)"], "signed_by": "E7620F1842B4E81F",
        })
    };
    let entry = |name: &str| {
        json!({
            "name": name, "summary": "Looks dependencies up", "licence": "Apache-2.0 OR MIT",
            "stages": ["custom", "health"], "keywords": ["security", "node"],
            "homepage": "https://example.com/scan", "versions": [release("1.0.0"), release("1.1.0-rc.1")],
        })
    };
    json!({ "version": 1, "plugins": [entry("scan"), entry("audit")] })
}

#[test]
fn an_index_that_is_taken_is_harmless_and_what_is_left_out_is_named_whatever_it_says() {
    let seed = drawn();
    let good = good_index();
    let parsed = Index::parse(good.to_string().as_bytes()).unwrap();
    assert_eq!((parsed.index.plugins.len(), parsed.skipped.len()), (2, 0));
    let (mut whole, mut without, mut refused) = (0, 0, 0);
    for case in 0..mutate::cases(6_000, 400_000) {
        let what = format!("case {case} of {seed}");
        let parsed = match Index::parse(&damaged(&good, &mut Dice::new(seed, case))) {
            Ok(parsed) => parsed,
            Err(error) => {
                let newer = matches!(error, IndexError::Newer { found } if found < 2);
                assert!(!newer && !error.to_string().is_empty(), "{what}: {error}");
                refused += 1;
                continue;
            }
        };
        for skipped in &parsed.skipped {
            assert!(skipped.at.starts_with("/plugins/"), "{what}: {skipped:?}");
            let said = (1..=400).contains(&skipped.why.chars().count());
            assert!(said && !skipped.why.contains(char::is_control), "{what}: {skipped:?}");
        }
        assert_harmless(&parsed.index, &what);
        if parsed.skipped.is_empty() { whole += 1 } else { without += 1 }
    }
    let counts = format!("{whole} whole, {without} without something, {refused} refused");
    assert!(whole > 100 && without > 100 && refused > 100, "{counts}");
}

/// What the host relies on of an index that was read.
fn assert_harmless(index: &Index, what: &str) {
    let text = index.to_text();
    let plain = |text: &str| !text.chars().any(|c| c.is_control() && c != '\n');
    assert!(plain(&text) && !text.contains("\\u00"), "{what}: it drives a terminal");
    if text.len() as u64 <= BYTES_MAX {
        let again = Index::parse(text.as_bytes()).unwrap();
        assert_eq!((&again.index, again.skipped.len()), (index, 0), "{what}");
    }
    let mut names = HashSet::new();
    for entry in &index.plugins {
        assert!(is_name(&entry.name) && names.insert(&entry.name), "{what}: {}", entry.name);
        assert!((1..=VERSIONS_MAX).contains(&entry.versions.len()), "{what}");
        for release in &entry.versions {
            let known = ["https://", "http://", "oci://"];
            assert!(known.iter().any(|scheme| release.url.starts_with(scheme)), "{what}");
        }
        let wanted = Wanted { index: None, name: entry.name.clone(), version: None };
        let resolved = discover::resolve(&[("acme", index)], &wanted, &windlass_sandbox::speaks);
        assert!(
            resolved.is_ok_and(|(_, release)| entry.versions.contains(release)) || unfit(entry)
        );
    }
}

fn unfit(entry: &windlass_model::plugin::index::Entry) -> bool {
    let speaks = |interface: &String| windlass_sandbox::speaks(interface);
    !entry.versions.iter().any(|release| release.interfaces.iter().all(speaks))
}
