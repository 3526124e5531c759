//! Finding plugins on a real host: an author publishes into a registry and an index, an operator searches, installs
//! by name and upgrades; and what an index cannot make a host do.

use std::path::Path;

use serde_json::Value;
use windlass_model::Digest;
use windlass_test_support::registry::{DockerRegistry, LOGIN};
use windlass_test_support::{CliOutput, Server, TestHost, guest};

use crate::plugins::Versions;

const PLUGIN: &str = guest::STAGES;

fn plugin(host: &TestHost, args: &[&str]) -> CliOutput {
    host.cli(&[&["plugin"], args].concat())
}

/// Publishes a file into a guarded registry and an index.
fn publish(host: &TestHost, registry: &DockerRegistry, version: &str, file: &Path, index: &str) {
    let to = format!("{}/acme/stages:{version}", registry.address);
    let file = file.to_str().unwrap();
    let args = ["plugin", "publish", &to, file, "--username", LOGIN.0, "--password-stdin"];
    let about = ["--index", index, "--keyword", "testing", "--homepage", "https://acme.example"];
    host.cli_with_input(&[&args[..], &about[..]].concat(), LOGIN.1).ok();
}

#[test]
fn a_plugin_is_published_found_by_a_word_and_installed_by_its_name_from_a_private_registry() {
    let versions = Versions::new();
    let registry = DockerRegistry::start_guarded();
    let dir = windlass_test_support::scratch("index");
    let index = dir.path().join("plugins.json");
    let index = index.to_str().unwrap();
    let mut host = TestHost::start();
    publish(&host, &registry, "0.1.0", &versions.file("1.wasm"), index);
    let added = plugin(&host, &["index", "add", "acme", index]).ok().stdout;
    assert!(added.contains("the index acme has 1 plugin"), "{added}");

    let found = plugin(&host, &["search", "testing"]).ok().stdout;
    assert!(found.contains(PLUGIN) && found.contains("0.1.0"), "{found}");
    assert!(plugin(&host, &["search", "rocket"]).ok().stdout.contains("nothing was found"));

    // The registry gives it to nobody whom it does not know.
    let name = format!("acme/{PLUGIN}");
    let install = ["install", &name, "--grant", "source,cache"];
    let failure = plugin(&host, &[&install[..], &["--json"]].concat()).failure();
    assert_eq!(failure.code, "plugin.fetch-failed", "{failure:#?}");
    assert!(failure.fix.contains("windlass registry login"), "{failure:#?}");
    host.cli(&["project", "create", "shop"]).ok();
    let login = ["registry", "login", &registry.address, "--username", LOGIN.0, "--password-stdin"];
    host.cli_with_input(&[&login[..], &["--project", "shop"]].concat(), LOGIN.1).ok();
    plugin(&host, &[&install[..], &["--project", "shop"]].concat()).ok();

    // The next version, and what the search says of it.
    publish(&host, &registry, "0.2.0", &versions.file("2.wasm"), index);
    let found = plugin(&host, &["search", PLUGIN, "--stage", "custom"]).ok().stdout;
    assert!(found.contains("0.1.0 installed, this is newer"), "{found}");
    plugin(&host, &["upgrade", PLUGIN, PLUGIN, "--project", "shop"]).ok();
    let shown: Value = plugin(&host, &["show", PLUGIN, "--json"]).ok().json();
    assert_eq!(shown["manifest"]["version"], "0.2.0", "{shown:#}");
    assert_eq!(shown["versions"][0]["source"]["from"], "oci", "{shown:#}");

    // What was published stays what it is, whoever publishes it again.
    let to = format!("oci://{}/acme/stages:other", registry.address);
    let changed = dir.path().join("changed.wasm");
    let mut bytes = std::fs::read(versions.file("2.wasm")).unwrap();
    // A custom section without a name: nothing reads it.
    bytes.extend([0, 1, 0]);
    std::fs::write(&changed, bytes).unwrap();
    let entry = ["index", "entry", index, changed.to_str().unwrap(), "--address", &to, "--json"];
    assert_eq!(plugin(&host, &entry).failure().code, "plugin.index-invalid");

    host.stop_serve();
    host.restart();
    let listed = plugin(&host, &["index", "list"]).ok().stdout;
    assert!(listed.contains("acme") && listed.contains("file://"), "{listed}");
    plugin(&host, &["index", "remove", "acme"]).ok();
    let failure = plugin(&host, &["install", "other-plugin", "--json"]).failure();
    assert_eq!(failure.code, "plugin.not-in-index", "{failure:#?}");
    host.finish();
}

#[test]
fn an_index_that_lies_installs_nothing_and_one_that_breaks_is_named() {
    let dir = windlass_test_support::scratch("index");
    let file = std::fs::read(guest::stages()).unwrap();
    let sent = file.clone();
    let server = Server::answering(move |_, _| (200, sent.clone()));
    let server = format!("{}/scan.wasm", server.base());
    let entry = |digest: &Digest, url: &str| {
        serde_json::json!({ "version": 1, "plugins": [{
            "name": PLUGIN, "summary": "A test", "licence": "MIT", "stages": ["custom"],
            "versions": [{ "version": "0.1.0", "url": url, "digest": digest }],
        }] })
        .to_string()
    };
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let host = TestHost::start();
    let lies = write("lies.json", &entry(&Digest::of(b"another file"), &server));
    plugin(&host, &["index", "add", "acme", &lies]).ok();
    let install = ["install", PLUGIN, "--grant", "all", "--json"];
    let failure = plugin(&host, &install).failure();
    assert_eq!(failure.code, "plugin.digest-wrong", "{failure:#?}");

    // Two that name the same plugin.
    let honest = write("honest.json", &entry(&Digest::of(&file), &server));
    plugin(&host, &["index", "add", "other", &honest]).ok();
    let failure = plugin(&host, &install).failure();
    assert_eq!(failure.code, "plugin.ambiguous", "{failure:#?}");
    assert!(failure.why.contains("acme and other"), "{failure:#?}");

    // One that is broken later is named, and what it held stays.
    write("honest.json", "{");
    let found = plugin(&host, &["search", PLUGIN]).ok().stdout;
    assert!(found.contains("plugin.index-unreadable") && found.contains("other"), "{found}");
    let shown = plugin(&host, &["list"]).ok().stdout;
    assert!(!shown.contains(PLUGIN), "nothing was installed: {shown}");
    host.finish();
}
