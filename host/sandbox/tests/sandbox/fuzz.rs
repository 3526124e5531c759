//! Short fuzzing of what strangers write and the host reads without running it: manifests, components,
//! plans. `WINDLASS_TEST_EXTENT=full` plays more of it.

use std::collections::HashSet;
use std::path::Path;

use serde_json::{Value, json};
use windlass_model::limits::BuildLimits;
use windlass_model::plan::{Base, BuildPlan, Mount, Op, Origin, Placed};
use windlass_sandbox::{LoadError, inspect};
use windlass_test_support::mutate::{self, Dice};
use windlass_test_support::sample;

use crate::adversaries::hearts::{Heart, transplant};
use crate::adversaries::texts::{MANIFEST, holding, manifest, parsed};
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
    let mut refused = 0;
    for case in 0..mutate::cases(400, 20_000) {
        std::fs::write(&path, mutate::bytes(&good, &mut Dice::new(seed, case))).unwrap();
        refused += u32::from(check_file(&path, &format!("case {case} of {seed}")).is_err());
    }
    assert!(refused > 50, "{refused} refused");
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
