//! Components that were built from released versions of the contract, as they were built then: each is loaded by
//! this host and asked about its fixtures, whatever the contract is today.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// Runs `windlass plugin` with a home of its own; it must end well.
fn windlass(home: &Path, args: &[&OsStr]) {
    let mut windlass = Command::new(binary());
    windlass.arg("plugin").args(args).current_dir(home);
    for variable in ["XDG_CACHE_HOME", "XDG_DATA_HOME"] {
        windlass.env(variable, home);
    }
    let output = windlass.output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}:\n{out}\n{err}");
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
