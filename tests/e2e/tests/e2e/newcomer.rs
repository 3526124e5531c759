//! A newcomer's path, in every language, with the commands that stand in the README of a new plugin: from
//! nothing but the binary to a deployment that uses the plugin.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use windlass_test_support::{CliOutput, Deployed, TestHost, binary, target_dir};

/// All of it, with the packages of the languages fetched.
const TIME_MAX: Duration = Duration::from_secs(240);

#[test]
fn a_newcomer_gets_from_nothing_to_a_deployment_in_every_language() {
    let began = Instant::now();
    let host = TestHost::start();
    // Outside of the checkout: there is no SDK around it, as for whoever has only the binary.
    let folder = tempfile::tempdir().unwrap();
    for (language, name) in [("rust", "book-rust"), ("js", "book-js"), ("python", "book-python")] {
        typed(&format!("windlass plugin new {name} --lang {language}"), folder.path());
        let plugin = folder.path().join(name);
        let commands = commands(&std::fs::read_to_string(plugin.join("README.md")).unwrap());
        for verb in ["build", "check", "test"] {
            let line = format!("windlass plugin {verb}");
            assert!(commands.contains(&line), "{language}: {line} is not among {commands:?}");
        }
        for line in &commands {
            typed(line, &plugin);
        }
        deployed_with(&host, name, &plugin);
    }
    let took = began.elapsed();
    assert!(took < TIME_MAX, "it took {took:?}");
    host.finish();
}

/// What stands in the first block of commands, without the comments behind them. Measuring is left out: it
/// compiles everything again.
fn commands(readme: &str) -> Vec<String> {
    let block = readme.split("```sh\n").nth(1).unwrap_or_default();
    let block = block.split("```").next().unwrap_or_default();
    let lines = block.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let lines = lines.filter(|line| !line.is_empty() && !line.ends_with(" bench"));
    lines.map(str::to_owned).collect()
}

/// A line as a person types it in this folder, with the binary on the path. It must end well.
fn typed(line: &str, folder: &Path) {
    let binary = binary();
    let mut path = vec![binary.parent().unwrap().to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).current_dir(folder);
    // What cargo set for this test is not what a person's shell has.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_") && text != "CARGO_HOME" || text.starts_with("NEXTEST") {
            shell.env_remove(&name);
        }
    }
    shell
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("CARGO_TARGET_DIR", target_dir().join("newcomer"))
        .env("XDG_CACHE_HOME", target_dir().join("newcomer/cache"));
    let output = CliOutput::of(&mut shell);
    assert_eq!(output.code, 0, "{line}\n{}\n{}", output.stdout, output.stderr);
}

/// The plugin is installed, an application is deployed with it and answers, and it is removed again.
fn deployed_with(host: &TestHost, name: &str, plugin: &Path) {
    let component = plugin.join(format!("dist/{name}.wasm"));
    host.cli(&["plugin", "install", component.to_str().unwrap()]).ok();
    let listed = host.cli(&["plugin", "list"]).ok().stdout;
    assert!(listed.contains(name), "{listed}");
    let source = plugin.join("fixtures/book/source");
    let source = source.to_str().unwrap();
    let deployed = Deployed::of(&host.cli_json(&["deploy", source, "--project", name])).live();
    let chosen = deployed.view.deployment.outputs.chosen.unwrap();
    assert_eq!((chosen.plugin.as_str(), chosen.detection.id.as_str()), (name, "mdbook"));
    let page = host.get(&format!("{name}.localhost"), "/").text();
    assert!(page.contains("Notes"), "{page}");
    // The next language's plugin recognises the same: two of them would be a tie.
    host.cli(&["plugin", "remove", name, "--yes"]).ok();
}
