//! Components that were built from released versions of the contract, as they were built then: each is loaded by
//! this host and asked about its fixtures, whatever the contract is today.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use windlass_model::author::Bench;
use windlass_model::plugin::Stage;
use windlass_test_support::{binary, checkout, guest, scratch};

/// The folders below a folder.
fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(of).into_iter().flatten();
    let mut found: Vec<_> = entries.map(|it| it.unwrap().path()).filter(|it| it.is_dir()).collect();
    found.sort();
    found
}

/// The releases of the contract with what was built from them.
fn releases() -> Vec<(String, Vec<PathBuf>)> {
    let releases = folders(&checkout().join("tests/golden"));
    assert!(!releases.is_empty(), "no component was kept: `cargo xtask release-contract 1.0.0`");
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let plugins =
        |path: &Path| folders(path).into_iter().map(|it| it.join("plugin.wasm")).collect();
    releases.iter().map(|path| (name(path), plugins(path))).collect()
}

#[test]
fn components_of_every_release_answer_as_they_did_when_it_was_made() {
    let home = scratch("golden");
    for (_, components) in releases() {
        for component in components {
            windlass(home.path(), &[OsStr::new("check"), component.as_os_str()]);
            windlass(home.path(), &[OsStr::new("test"), component.as_os_str()]);
        }
    }
}

/// What the next release keeps of it has to be right on the day before.
#[test]
fn the_plugin_that_uses_every_granted_interface_answers_as_its_fixtures_say() {
    let home = scratch("golden-granted");
    let fixtures = checkout().join("sdk/rust/guests/stages/fixtures");
    let (component, test) = (guest::stages(), OsStr::new("test"));
    let with = [test, component.as_os_str(), OsStr::new("--fixtures"), fixtures.as_os_str()];
    windlass(home.path(), &with);
}

/// The binary compiles the component anew, in a folder of its own, and calls it: without a person who reads the times.
#[test]
fn the_speed_of_a_component_is_measured_by_function_with_as_many_calls_as_were_asked_for() {
    let home = scratch("golden-bench");
    let golden = checkout().join("tests/golden/1.0.0");
    let source = golden.join("builder/fixtures/server/source");
    // Of the first fixture everything that it fills, and of a source one stage.
    let of_first: [&OsStr; 0] = [];
    let of_source = [source.as_os_str(), OsStr::new("--stage"), OsStr::new("builder")];
    let rows: [(&str, &[&OsStr], &[&str]); 3] = [
        ("detector", &of_first, &["detect", "plan"]),
        ("builder", &of_source, &["plan"]),
        ("custom", &of_first, &["stage keys"]),
    ];
    for (name, about, functions) in rows {
        let component = golden.join(name).join("plugin.wasm");
        let plugin = [OsStr::new("--plugin"), component.as_os_str()];
        let calls = ["--calls", "3", "--json"].map(OsStr::new);
        let said =
            windlass(home.path(), &[&[OsStr::new("bench")][..], about, &plugin, &calls].concat());
        let bench: Bench = serde_json::from_str(&said).unwrap();
        assert_eq!(bench.bytes, component.metadata().unwrap().len());
        assert!(bench.load_us > 0, "{bench:?}");
        let measured: Vec<_> = bench.functions.iter().map(|one| one.function.as_str()).collect();
        assert_eq!(measured, functions, "{bench:?}");
        for one in &bench.functions {
            assert_eq!(one.calls, 3, "{bench:?}");
            let times = [1, one.median_us, one.p99_us, one.max_us];
            assert!(times.is_sorted() && one.memory_peak_bytes > 0, "{bench:?}");
        }
    }
    let cache = home.path().join("windlass");
    assert!(cache.is_dir(), "it was measured there");
    let left = folders(&cache);
    let left = left.iter().filter(|it| it.to_string_lossy().contains("/bench-")).count();
    assert_eq!(left, 0, "what was compiled to be measured is gone");
}

#[test]
fn a_stage_that_a_component_does_not_fill_is_not_measured_as_nothing() {
    let home = scratch("golden-bench-stage");
    let component = checkout().join("tests/golden/1.0.0/custom/plugin.wasm");
    let stage = ["bench", "--stage", "builder", "--plugin"].map(OsStr::new);
    let output = ended(home.path(), &[&stage[..], &[component.as_os_str()]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(said.contains("plugin.stage-not-filled") && said.contains("custom"), "{said}");
}

/// Runs `windlass plugin` with a home of its own.
fn ended(home: &Path, args: &[&OsStr]) -> Output {
    let mut windlass = Command::new(binary());
    windlass.arg("plugin").args(args).current_dir(home);
    for variable in ["XDG_CACHE_HOME", "XDG_DATA_HOME"] {
        windlass.env(variable, home);
    }
    windlass.output().unwrap()
}

/// The same; it must end well. What it printed.
fn windlass(home: &Path, args: &[&OsStr]) -> String {
    let output = ended(home, args);
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}:\n{out}\n{err}");
    out.into_owned()
}

#[test]
fn every_interface_of_every_release_is_in_a_component_of_it() {
    for (version, components) in releases() {
        let (mut stages, mut named) = (BTreeSet::new(), BTreeSet::new());
        for component in components {
            let inspected = windlass_sandbox::inspect(&component).unwrap();
            stages.extend(inspected.info.stages);
            named.extend(inspected.imports.into_iter().chain(inspected.exports));
        }
        assert_eq!(stages, Stage::ALL.into_iter().collect(), "stages of {version}");
        let deps = checkout().join("wit").join(&version).join("deps");
        for file in std::fs::read_dir(deps).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let package = text.strip_prefix("package windlass:").unwrap();
            let (name, rest) = package.split_once('@').unwrap();
            let at = rest.split(';').next().unwrap();
            let interface = format!("windlass:{name}/{name}@{at}");
            assert!(named.contains(&interface), "no component of {version} names {interface}");
        }
    }
}
