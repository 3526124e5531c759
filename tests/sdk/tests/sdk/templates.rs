//! The templates of all languages are the same plugins, and each is built, tested and used as its README says.

use std::collections::BTreeMap;
use std::path::Path;

use windlass_test_support::newcomer::{commands, typed};
use windlass_test_support::{checkout, sample};

const STAGES: [&str; 6] = ["detector", "builder", "migrator", "health", "rollout", "custom"];
/// What is played of a short run: each builds with the tools of its language.
const SAMPLE: usize = 3;

/// How a plugin is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Rust,
    Js,
    /// The same with the engine of ComponentizeJS, whose packages have 390 MB: only where every matrix is played.
    JsOnStarlingMonkey,
    Python,
}

impl Written {
    fn language(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Js | Self::JsOnStarlingMonkey => "js",
            Self::Python => "python",
        }
    }
}

#[test]
fn every_template_is_built_and_tested_with_the_commands_of_its_readme() {
    let mut written = vec![Written::Rust, Written::Js, Written::Python];
    if sample::is_full() {
        written.push(Written::JsOnStarlingMonkey);
    }
    let all = written.into_iter().flat_map(|one| STAGES.map(|stage| (one, stage)));
    for (written, stage) in sample::of(all.collect(), SAMPLE) {
        built_and_tested(written, stage);
    }
}

/// Begins a plugin and types what its README says, in a folder that goes with it.
fn built_and_tested(written: Written, stage: &str) {
    let language = written.language();
    // Outside of the checkout, so that npm and pip write nothing into it.
    let folder = tempfile::tempdir().unwrap();
    let name = format!("{language}-{stage}");
    let mut new = format!("windlass plugin new {name} --lang {language} --stage {stage}");
    if written == Written::Rust {
        // Cargo writes nothing there, and has the SDK of one place built once.
        new.push_str(&format!(" --sdk-path '{}'", checkout().display()));
    }
    typed(&new, folder.path(), None);
    let plugin = folder.path().join(&name);
    if written == Written::JsOnStarlingMonkey {
        on_starlingmonkey(&plugin);
    }
    for line in commands(&std::fs::read_to_string(plugin.join("README.md")).unwrap(), 0) {
        typed(&line, &plugin, None);
    }
    assert!(plugin.join(format!("dist/{name}.wasm")).is_file(), "{written:?}, {stage}");
}

/// Sets the engine, and installs what the SDK's README says for it.
fn on_starlingmonkey(plugin: &Path) {
    let path = plugin.join("package.json");
    let package = std::fs::read_to_string(&path).unwrap();
    let mut package: serde_json::Value = serde_json::from_str(&package).unwrap();
    package["windlass"]["engine"] = "starlingmonkey".into();
    std::fs::write(&path, serde_json::to_vec_pretty(&package).unwrap()).unwrap();
    let readme = std::fs::read_to_string(checkout().join("sdk/javascript/README.md")).unwrap();
    let mut spans = readme.split('`');
    let install = "npm install --save-dev --save-exact @bytecodealliance/componentize-js@";
    typed(spans.find(|span| span.starts_with(install)).unwrap(), plugin, None);
}

#[test]
fn every_readme_says_how_its_plugin_is_installed_and_used() {
    for language in ["rust", "javascript", "python"] {
        for stage in STAGES {
            let path = checkout().join("sdk").join(language).join("template").join(stage);
            let readme = std::fs::read_to_string(path.join("README.md")).unwrap();
            let (building, using) = (commands(&readme, 0), commands(&readme, 1));
            for verb in ["build", "check", "test"] {
                let line = format!("windlass plugin {verb}");
                assert!(building.contains(&line), "{language}, {stage}: {building:?}");
            }
            let install = "windlass plugin install dist/my-plugin.wasm";
            assert!(using[0].starts_with(install), "{language}, {stage}: {using:?}");
            // No deployment asks a rollout plugin.
            let deploys = using.iter().any(|line| line.starts_with("windlass deploy "));
            assert_eq!(deploys, stage != "rollout", "{language}, {stage}: {using:?}");
        }
    }
}

#[test]
fn the_templates_of_all_languages_expect_the_same_of_the_same_sources() {
    let of = |language: &str| {
        let mut files = BTreeMap::new();
        let root = checkout().join("sdk").join(language).join("template");
        for stage in STAGES {
            assert!(root.join(stage).join("README.md").is_file(), "{language} has no {stage}");
            read(&root, &root.join(stage).join("fixtures"), &mut files);
        }
        files
    };
    let rust = of("rust");
    assert!(rust.keys().any(|path| path.ends_with("expected.json")));
    for language in ["javascript", "python"] {
        let other = of(language);
        let paths = |files: &BTreeMap<String, _>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(paths(&rust), paths(&other), "{language}");
        for (path, bytes) in &rust {
            assert!(other[path] == *bytes, "{path} of {language} is not that of Rust");
        }
    }
}

/// The files below a folder, by their paths from the root. A stage without fixtures has none.
fn read(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            read(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
}
