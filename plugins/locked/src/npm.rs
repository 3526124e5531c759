//! `package-lock.json` and `npm-shrinkwrap.json`, versions 1 to 3.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{Ecosystem, Hash, Key, Locked, Package, json, names_at, text_at};

/// Nesting of version 1 beyond this is none that npm writes.
const DEPTH_MAX: usize = 100;
const FOLDER: &str = "node_modules/";

/// Packages by the path where they are installed.
type Tree<'v> = BTreeMap<String, &'v Value>;

pub(crate) fn read(text: &str) -> Result<Locked, String> {
    let lock = json(text)?;
    let mut tree = Tree::new();
    if let Some(packages) = lock.get("packages").and_then(Value::as_object) {
        tree.extend(packages.iter().map(|(path, entry)| (path.clone(), entry)));
    } else if let Some(dependencies) = lock.get("dependencies").and_then(Value::as_object) {
        for (name, entry) in dependencies {
            nested("", name, entry, &mut tree, 0);
        }
    } else if lock.get("lockfileVersion").is_none() {
        return Err("it has no lockfileVersion".to_owned());
    }
    let mut locked = Locked::default();
    for (path, entry) in &tree {
        if path.contains(FOLDER) {
            locked.packages.extend(package(path, entry, &tree));
        } else {
            let wanted = ["dependencies", "devDependencies", "optionalDependencies"];
            locked.roots.extend(needs(path, entry, &wanted, &tree));
        }
    }
    Ok(locked)
}

/// Version 1 has a tree: it becomes the paths that the later ones write.
fn nested<'v>(above: &str, name: &str, entry: &'v Value, tree: &mut Tree<'v>, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    let path = below(above, name);
    for (name, entry) in entry.get("dependencies").and_then(Value::as_object).into_iter().flatten()
    {
        nested(&path, name, entry, tree, depth + 1);
    }
    tree.insert(path, entry);
}

fn package(path: &str, entry: &Value, tree: &Tree<'_>) -> Option<Package> {
    let (name, version) = identity(path, entry)?;
    let is = |key: &str| entry.get(key).and_then(Value::as_bool) == Some(true);
    let resolved = text_at(entry, "resolved").unwrap_or_default();
    let elsewhere = resolved.starts_with("git") || resolved.starts_with("file:");
    let mut package = Package::new(Ecosystem::Npm, &name, &version);
    package.from_registry = !elsewhere && version.starts_with(|c: char| c.is_ascii_digit());
    package.development = is("dev");
    package.hashes = text_at(entry, "integrity").map(Hash::of_integrity).unwrap_or_default();
    package.licences = text_at(entry, "license").map(str::to_owned).into_iter().collect();
    // Version 1 calls them so; its "dependencies" are what lies below.
    let lists: &[&str] = match entry.get("requires") {
        Some(Value::Object(_)) => &["requires"],
        _ => &["dependencies", "optionalDependencies", "peerDependencies"],
    };
    package.needs = Some(needs(path, entry, lists, tree));
    Some(package)
}

/// Name and version of what lies at a path; `None` for a link to a folder of the source.
fn identity(path: &str, entry: &Value) -> Option<Key> {
    if entry.get("link").and_then(Value::as_bool) == Some(true) {
        return None;
    }
    let version = text_at(entry, "version")?;
    let local = ["file:", "link:", "workspace:"].iter().any(|start| version.starts_with(start));
    if local {
        return None;
    }
    // "npm:other@1.2.3" is another package under this name.
    if let Some((name, version)) = version.strip_prefix("npm:").and_then(|it| it.rsplit_once('@')) {
        return Some((name.to_owned(), version.to_owned()));
    }
    let at = path.rfind(FOLDER)? + FOLDER.len();
    let name = text_at(entry, "name").unwrap_or(&path[at..]);
    Some((name.to_owned(), version.to_owned()))
}

fn needs(path: &str, entry: &Value, lists: &[&str], tree: &Tree<'_>) -> Vec<Key> {
    let names = lists.iter().flat_map(|list| names_at(entry, list));
    let mut found: Vec<Key> = names.filter_map(|name| resolve(path, &name, tree)).collect();
    found.sort();
    found.dedup();
    found
}

/// What Node.js finds under a name: in the folder itself, then in those above.
fn resolve(path: &str, name: &str, tree: &Tree<'_>) -> Option<Key> {
    let mut from = path;
    loop {
        let at = below(from, name);
        if let Some(entry) = tree.get(&at) {
            return identity(&at, entry);
        }
        if from.is_empty() {
            return None;
        }
        from = from.rfind("/node_modules/").map_or("", |cut| &from[..cut]);
    }
}

fn below(above: &str, name: &str) -> String {
    if above.is_empty() { format!("{FOLDER}{name}") } else { format!("{above}/{FOLDER}{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &str = r#"{
      "name": "shop", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
      "packages": {
        "": {"name": "shop", "workspaces": ["packages/*"], "dependencies": {"express": "^4.18.2", "old": "npm:left-pad@^1.3.0"},
             "devDependencies": {"@types/node": "^20.0.0"}},
        "node_modules/@types/node": {"version": "20.8.0", "resolved": "https://registry.npmjs.org/@types/node/-/node-20.8.0.tgz",
          "integrity": "sha512-LzcWltT83s1bthcvjBmiBvGJiiUe84NWRHkw+ZV6Fr41z2FbIzvc815dk2nQ3RAKMuN2fkenM/z3Xv2QzEpYxQ==", "dev": true, "license": "MIT"},
        "node_modules/debug": {"version": "4.3.4", "license": "MIT"},
        "node_modules/express": {"version": "4.18.2", "license": "MIT", "dependencies": {"debug": "2.6.9"}},
        "node_modules/express/node_modules/debug": {"version": "2.6.9", "license": "MIT"},
        "node_modules/old": {"name": "left-pad", "version": "1.3.0", "license": "WTFPL"},
        "node_modules/own": {"resolved": "packages/own", "link": true},
        "node_modules/forked": {"version": "2.0.0", "resolved": "git+ssh://git@github.com/a/forked.git#0123456"},
        "packages/own": {"version": "0.1.0", "dependencies": {"debug": "^4.0.0"}}
      }}"#;

    fn key(name: &str, version: &str) -> Key {
        (name.to_owned(), version.to_owned())
    }

    #[test]
    fn version_3_is_read_with_its_graph() {
        let locked = read(THREE).unwrap();
        let keys: Vec<Key> = locked.packages.iter().map(Package::key).collect();
        assert_eq!(
            keys,
            [
                key("@types/node", "20.8.0"),
                key("debug", "4.3.4"),
                key("express", "4.18.2"),
                key("debug", "2.6.9"),
                key("forked", "2.0.0"),
                key("left-pad", "1.3.0"),
            ]
        );
        let types = &locked.packages[0];
        assert!(types.development && types.from_registry);
        assert_eq!(types.licences, ["MIT"]);
        assert_eq!(types.hashes[0].algorithm, "SHA-512");
        assert!(types.hashes[0].hex.starts_with("2f371696d4fcdecd5b"), "{:?}", types.hashes);
        assert_eq!(locked.packages[2].needs, Some(vec![key("debug", "2.6.9")]));
        assert!(!locked.packages[4].from_registry);
        assert_eq!(
            locked.roots,
            [
                key("@types/node", "20.8.0"),
                key("express", "4.18.2"),
                key("left-pad", "1.3.0"),
                key("debug", "4.3.4"),
            ]
        );
    }

    #[test]
    fn version_1_is_a_tree() {
        let text = r#"{"lockfileVersion": 1, "dependencies": {
            "a": {"version": "1.0.0", "requires": {"b": "^1.0.0", "c": "*"},
                  "dependencies": {"b": {"version": "1.5.0", "dev": true}}},
            "b": {"version": "2.0.0"},
            "c": {"version": "npm:@real/c@3.1.0"},
            "own": {"version": "file:packages/own"},
            "far": {"version": "github:a/far#0123"}}}"#;
        let locked = read(text).unwrap();
        let a = locked.packages.iter().find(|it| it.name == "a").unwrap();
        assert_eq!(a.needs, Some(vec![key("@real/c", "3.1.0"), key("b", "1.5.0")]));
        assert_eq!(locked.packages.len(), 5);
        assert!(!locked.packages.iter().find(|it| it.name == "far").unwrap().from_registry);
        assert!(locked.packages.iter().find(|it| it.version == "1.5.0").unwrap().development);
    }

    #[test]
    fn what_is_no_lock_file_is_said() {
        assert!(read("{").unwrap_err().contains("no JSON"));
        assert!(read("[]").is_err());
        assert_eq!(read(r#"{"lockfileVersion":3,"packages":{"":{}}}"#).unwrap(), Locked::default());
    }
}
