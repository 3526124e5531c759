//! A newcomer's path, in every language, with the commands that stand in the README of a new plugin: from
//! nothing but the binary to a deployment that uses the plugin.

use std::path::Path;
use std::time::{Duration, Instant};

use windlass_test_support::TestHost;
use windlass_test_support::newcomer::{commands, typed};

/// All of it, with the packages of the languages fetched.
const TIME_MAX: Duration = Duration::from_secs(240);

#[test]
fn a_newcomer_gets_from_nothing_to_a_deployment_in_every_language() {
    let began = Instant::now();
    let host = TestHost::start();
    // Outside of the checkout: there is no SDK around it, as for whoever has only the binary.
    let folder = tempfile::tempdir().unwrap();
    for (language, name) in [("rust", "book-rust"), ("js", "book-js"), ("python", "book-python")] {
        typed(&format!("windlass plugin new {name} --lang {language}"), folder.path(), None);
        let plugin = folder.path().join(name);
        let readme = std::fs::read_to_string(plugin.join("README.md")).unwrap();
        let building = commands(&readme, 0);
        for verb in ["build", "check", "test"] {
            let line = format!("windlass plugin {verb}");
            assert!(building.contains(&line), "{language}: {line} is not among {building:?}");
        }
        for line in &building {
            typed(line, &plugin, None);
        }
        deployed_with(&host, name, &plugin, &commands(&readme, 1));
    }
    let took = began.elapsed();
    assert!(took < TIME_MAX, "it took {took:?}");
    host.finish();
}

/// The plugin is installed, an application is deployed with it and answers, and it is removed again.
fn deployed_with(host: &TestHost, name: &str, plugin: &Path, using: &[String]) {
    for verb in ["windlass plugin install ", "windlass deploy "] {
        assert!(using.iter().any(|line| line.starts_with(verb)), "{verb}is not among {using:?}");
    }
    for line in using {
        typed(line, plugin, Some(host));
    }
    let listed = host.cli(&["plugin", "list"]).ok().stdout;
    assert!(listed.contains(name), "{listed}");
    let chosen = host.show(name, 1).deployment.outputs.chosen.unwrap();
    assert_eq!((chosen.plugin.as_str(), chosen.detection.id.as_str()), (name, "mdbook"));
    let page = host.get(&format!("{name}.localhost"), "/").text();
    assert!(page.contains("Notes"), "{page}");
    // The next language's plugin recognises the same: two of them would be a tie.
    host.cli(&["plugin", "remove", name, "--yes"]).ok();
}
