//! `bun.lock`: the text format of Bun. Its `bun.lockb` before that is binary and not read.

use std::collections::BTreeMap;

use serde_json::Value;
use windlass_plugin_common::jsonc;

use crate::{Ecosystem, Hash, Key, Locked, Package, names_at};

type Packages<'v> = BTreeMap<&'v str, (Key, &'v Value)>;

pub(crate) fn read(text: &str) -> Result<Locked, String> {
    // Bun writes commas behind the last member, and people may write comments.
    let lock: Value = jsonc::parse(text).map_err(|error| format!("it is no JSON: {error}"))?;
    let entries = lock.get("packages").and_then(Value::as_object);
    let entries = entries.ok_or("it has no packages")?;
    let known: Packages<'_> = entries
        .iter()
        .filter_map(|(path, entry)| Some((path.as_str(), (identity(entry)?, entry))))
        .collect();
    let mut locked = Locked::default();
    let mut wanted = Vec::new();
    for workspace in lock.get("workspaces").and_then(Value::as_object).into_iter().flatten() {
        let own = workspace.1.get("name").and_then(Value::as_str).unwrap_or_default();
        for (list, runs) in
            [("dependencies", true), ("optionalDependencies", true), ("devDependencies", false)]
        {
            let names = names_at(workspace.1, list);
            let found: Vec<Key> =
                names.iter().filter_map(|name| resolve(own, name, &known)).collect();
            if runs {
                wanted.extend(found.iter().cloned());
            }
            locked.roots.extend(found);
        }
    }
    for (path, (key, entry)) in &known {
        let mut package = Package::new(Ecosystem::Npm, &key.0, &key.1);
        package.from_registry = key.1.starts_with(|c: char| c.is_ascii_digit());
        let parts = entry.as_array().map(Vec::as_slice).unwrap_or_default();
        let texts = parts.iter().filter_map(Value::as_str);
        package.hashes = texts.flat_map(Hash::of_integrity).collect();
        let says = parts.iter().find(|part| part.is_object()).unwrap_or(&Value::Null);
        let lists = ["dependencies", "optionalDependencies", "peerDependencies"];
        let names = lists.iter().flat_map(|list| names_at(says, list));
        package.needs = Some(names.filter_map(|name| resolve(path, &name, &known)).collect());
        locked.packages.push(package);
    }
    locked.only_needed_by(&wanted);
    Ok(locked)
}

/// `["@a/b@1.0.0", …]`; `None` for a folder of the source.
fn identity(entry: &Value) -> Option<Key> {
    let spec = entry.get(0)?.as_str()?;
    let at = spec.get(1..)?.find('@')? + 1;
    let (name, version) = (&spec[..at], &spec[at + 1..]);
    let local = ["workspace:", "file:", "link:", "root:"];
    if local.iter().any(|start| version.starts_with(start)) {
        return None;
    }
    Some((name.to_owned(), version.to_owned()))
}

/// What is below a path first, then what is beside it, and so on.
fn resolve(path: &str, name: &str, known: &Packages<'_>) -> Option<Key> {
    let mut from = path;
    loop {
        let at = if from.is_empty() { name.to_owned() } else { format!("{from}/{name}") };
        if let Some((key, _)) = known.get(at.as_str()) {
            return Some(key.clone());
        }
        if from.is_empty() {
            return None;
        }
        from = from.rfind('/').map_or("", |cut| &from[..cut]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, version: &str) -> Key {
        (name.to_owned(), version.to_owned())
    }

    #[test]
    fn packages_are_read_with_their_graph() {
        let text = r#"{
  "lockfileVersion": 1, // a comment
  "workspaces": {
    "": { "name": "app", "dependencies": { "@a/b": "^1.0.0", "own": "workspace:*", }, "devDependencies": { "typescript": "^5", }, },
    "packages/own": { "name": "own", "dependencies": { "c": "2" } },
  },
  "packages": {
    "@a/b": ["@a/b@1.2.0", "", { "dependencies": { "c": "^1.0.0" } }, "sha512-LzcWltT83s1bthcvjBmiBvGJiiUe84NWRHkw+ZV6Fr41z2FbIzvc815dk2nQ3RAKMuN2fkenM/z3Xv2QzEpYxQ=="],

    "@a/b/c": ["c@1.9.0", "", {}, "sha512-AA=="],
    "c": ["c@2.0.0", "", {}, "sha512-AA=="],
    "own": ["own@workspace:packages/own"],
    "typescript": ["typescript@5.3.0", "", { "bin": { "tsc": "bin/tsc,}" } }, "sha512-AA=="],
  }
}"#;
        let locked = read(text).unwrap();
        let keys: Vec<Key> = locked.packages.iter().map(Package::key).collect();
        assert_eq!(
            keys,
            [
                key("@a/b", "1.2.0"),
                key("c", "1.9.0"),
                key("c", "2.0.0"),
                key("typescript", "5.3.0"),
            ]
        );
        assert_eq!(locked.packages[0].needs, Some(vec![key("c", "1.9.0")]));
        let development: Vec<bool> = locked.packages.iter().map(|it| it.development).collect();
        assert_eq!(development, [false, false, false, true]);
        assert_eq!(locked.packages[0].hashes[0].hex.len(), 128);
    }

    #[test]
    fn half_a_file_is_refused() {
        assert!(read("{\"packages\": {\"a").is_err());
        assert!(read("{}").is_err());
    }
}
