//! Installing plugins on a real host: what is granted, two versions side by side, and the way back.

use std::path::PathBuf;

use tempfile::TempDir;
use windlass_model::Digest;
use windlass_model::api::DeploymentView;
use windlass_model::plugin::Stage;
use windlass_model::plugin::manage::PluginView;
use windlass_test_support::{CliOutput, GitRepo, Server, TestHost, guest};

const PLUGIN: &str = guest::STAGES;
const SETTINGS: &str = "[[stages]]\nplugin = \"test-stages\"\nstage = \"inspect\"\n";

/// Files of one plugin in several versions.
pub(crate) struct Versions(TempDir);

impl Versions {
    pub(crate) fn new() -> Self {
        let versions = Self(tempfile::tempdir().unwrap());
        let first = std::fs::read(guest::stages()).unwrap();
        let second = changed(&first, &[(r#""version":"0.1.0""#, r#""version":"0.2.0""#)]);
        let third = changed(
            &first,
            &[
                (r#""version":"0.1.0""#, r#""version":"0.3.0""#),
                (r#""bytes_max":65536"#, r#""bytes_max":99999"#),
            ],
        );
        for (name, bytes) in [("1.wasm", first), ("2.wasm", second), ("3.wasm", third)] {
            std::fs::write(versions.0.path().join(name), bytes).unwrap();
        }
        versions
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A component that says something else of the same length wherever it says this: nothing else in it depends on it.
fn changed(component: &[u8], changes: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = component.to_vec();
    for (from, to) in changes {
        assert_eq!(from.len(), to.len());
        let places: Vec<usize> = bytes
            .windows(from.len())
            .enumerate()
            .filter(|(_, w)| *w == from.as_bytes())
            .map(|(n, _)| n)
            .collect();
        assert!(!places.is_empty(), "it says nothing of {from}");
        for place in places {
            bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    bytes
}

fn plugin(host: &TestHost, args: &[&str]) -> CliOutput {
    host.cli(&[&["plugin"], args].concat())
}

/// Deploys to a project, and says which version of the plugin its stage was run by.
fn version_used(host: &TestHost, project: &str, repo: &GitRepo) -> String {
    let view: DeploymentView = host.deploy_git(project, repo, &[]).live().view;
    let [stage] = view.stages.as_slice() else { panic!("{:#?}", view.stages) };
    assert_eq!(stage.plugin, PLUGIN);
    stage.version.clone()
}

#[test]
fn a_plugin_is_installed_used_upgraded_with_a_grant_and_taken_back() {
    let versions = Versions::new();
    let (first, third) = (versions.file("1.wasm"), versions.file("3.wasm"));
    let (first, third) = (first.to_str().unwrap(), third.to_str().unwrap());
    let mut host = TestHost::start();
    let repo = GitRepo::of_fixture("plain-node");
    repo.write("windlass.toml", SETTINGS);
    repo.commit("A stage");

    let asked = plugin(&host, &["install", first, "--dry-run"]).ok().stdout;
    for said in ["source: **: not granted", "because: counts the files", "(optional)"] {
        assert!(asked.contains(said), "{said}: {asked}");
    }
    let failure = plugin(&host, &["install", first, "--json"]).failure();
    assert_eq!(failure.code, "plugin.not-granted", "{failure:#?}");
    assert!(failure.fix.contains("--grant source"), "{failure:#?}");
    let failed = host.deploy_git("one", &repo, &[]);
    assert_ne!(failed.code, 0, "its stage is not there");

    plugin(&host, &["install", first, "--grant", "source,cache"]).ok();
    let shown = plugin(&host, &["show", PLUGIN]).ok().stdout;
    assert!(shown.contains("cache: up to 65536 bytes (optional): granted"), "{shown}");
    assert!(shown.contains("exec: commands in * (optional): not granted"), "{shown}");
    assert_eq!(version_used(&host, "one", &repo), "0.1.0");

    // Another version from an address: over http only with its digest.
    let second = std::fs::read(versions.file("2.wasm")).unwrap();
    let digest = Digest::of(&second).to_string();
    let server = Server::answering(move |_, _| (200, second.clone()));
    let url = format!("{}/scan.wasm", server.base());
    let failure = plugin(&host, &["upgrade", PLUGIN, &url, "--json"]).failure();
    assert_eq!(failure.code, "plugin.url-invalid", "{failure:#?}");
    plugin(&host, &["upgrade", PLUGIN, &url, "--digest", &digest]).ok();
    plugin(&host, &["enable", PLUGIN, "--version", "0.1.0", "--project", "one"]).ok();
    assert_eq!(version_used(&host, "two", &repo), "0.2.0");
    assert_eq!(version_used(&host, "one", &repo), "0.1.0", "it is pinned");

    // Who uses it: also the one that chose nothing.
    let shown: PluginView = plugin(&host, &["show", PLUGIN, "--json"]).ok().json();
    let live: Vec<_> =
        shown.live.iter().map(|part| (part.project.as_str(), part.version.as_str())).collect();
    assert_eq!(live, [("one", "0.1.0"), ("two", "0.2.0")], "{shown:#?}");
    assert!(shown.live.iter().all(|part| part.stages == [Stage::Custom]), "{shown:#?}");
    let chose: Vec<_> = shown.projects.iter().map(|chosen| chosen.project.as_str()).collect();
    assert_eq!(chose, ["one"]);

    // One that asks for more.
    let failure = plugin(&host, &["upgrade", PLUGIN, third, "--json"]).failure();
    assert_eq!(failure.code, "plugin.asks-more", "{failure:#?}");
    assert!(failure.why.contains("up to 99999 bytes (remembers the last number)"), "{failure:#?}");
    assert_eq!(version_used(&host, "two", &repo), "0.2.0", "the old one stays");
    plugin(&host, &["upgrade", PLUGIN, third, "--grant", "cache"]).ok();
    assert_eq!(version_used(&host, "two", &repo), "0.3.0");

    // All of it is there after a restart, and the way back is open.
    host.stop_serve();
    host.restart();
    assert_eq!(version_used(&host, "one", &repo), "0.1.0");
    let back = plugin(&host, &["rollback", PLUGIN]).ok().stdout;
    assert_eq!(back, "test-stages is now 0.2.0\n");
    assert_eq!(version_used(&host, "two", &repo), "0.2.0");

    plugin(&host, &["remove", PLUGIN, "--yes"]).ok();
    let failed = host.deploy_git("two", &repo, &[]);
    assert_ne!(failed.code, 0, "its stage is gone");
    assert!(!plugin(&host, &["list"]).ok().stdout.contains(PLUGIN));
    host.finish();
}
