//! The templates of all languages are the same plugins.

use std::collections::BTreeMap;
use std::path::Path;

use windlass_test_support::checkout;

#[test]
fn the_templates_of_all_languages_expect_the_same_of_the_same_sources() {
    let of = |language: &str| {
        let mut files = BTreeMap::new();
        let root = checkout().join("sdk").join(language).join("template");
        for stage in ["detector", "builder", "migrator", "health", "rollout", "custom"] {
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
