//! `pnpm-lock.yaml`, versions 5 to 9.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use windlass_plugin_common::yaml;

use crate::{Ecosystem, Hash, Key, Locked, Package};

/// Scalars, lists and mappings of a lock file of some ten thousand packages.
pub(crate) const NODES_MAX: usize = 1_000_000;

pub(crate) fn read(text: &str) -> Result<Locked, String> {
    let mut locked = Locked::default();
    let mut wanted = Vec::new();
    let mut known = false;
    // A first document, where there are two, holds what pnpm itself is made of.
    for document in text.split("\n---\n") {
        let lock = yaml::parse_within(document, NODES_MAX)?;
        let Some(version) = lock.get("lockfileVersion").map(yaml::text_of) else {
            continue;
        };
        known = true;
        let major = version.split('.').next().and_then(|it| it.parse().ok()).unwrap_or(9);
        one(&lock, major, &mut locked, &mut wanted);
    }
    if !known {
        return Err("it has no lockfileVersion".to_owned());
    }
    locked.only_needed_by(&wanted);
    Ok(locked)
}

fn one(lock: &Value, major: u32, locked: &mut Locked, wanted: &mut Vec<Key>) {
    let importers = lock.get("importers").and_then(Value::as_object);
    let importers: Vec<&Value> = importers.map_or_else(|| vec![lock], |all| all.values().collect());
    for importer in importers {
        for (list, runs) in
            [("dependencies", true), ("optionalDependencies", true), ("devDependencies", false)]
        {
            for (name, value) in members(importer, list) {
                let value = value.get("version").unwrap_or(value);
                let Some(key) = reference(name, &yaml::text_of(value), major) else {
                    continue;
                };
                if runs {
                    wanted.push(key.clone());
                }
                locked.roots.push(key);
            }
        }
    }
    // One package is there as often as it has sets of peers: since version 9 among the snapshots.
    let mut needs: BTreeMap<&str, Vec<Key>> = BTreeMap::new();
    for (path, snapshot) in members(lock, "snapshots") {
        let path = path.split('(').next().unwrap_or(path);
        needs.entry(path).or_default().extend(needed(snapshot, major));
    }
    let mut at: BTreeMap<Key, usize> = BTreeMap::new();
    for (path, entry) in members(lock, "packages") {
        let Some(package) = package(path, entry, major) else {
            continue;
        };
        let place = *at.entry(package.key()).or_insert(locked.packages.len());
        if place == locked.packages.len() {
            locked.packages.push(package);
        }
        let all = locked.packages[place].needs.get_or_insert_default();
        all.extend(needed(entry, major));
        all.extend(needs.remove(path.as_str()).unwrap_or_default());
        all.sort();
        all.dedup();
    }
}

fn members<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    value.get(key).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

fn needed(entry: &Value, major: u32) -> Vec<Key> {
    let lists = ["dependencies", "optionalDependencies"];
    let all = lists.iter().flat_map(|list| members(entry, list));
    all.filter_map(|(name, value)| reference(name, &yaml::text_of(value), major)).collect()
}

fn package(path: &str, entry: &Value, major: u32) -> Option<Package> {
    let resolution = entry.get("resolution");
    let integrity = resolution.and_then(|it| it.get("integrity")).and_then(Value::as_str);
    if resolution.is_some_and(|it| it.get("directory").is_some()) {
        return None;
    }
    let (mut name, mut version) = apart(path, major)?;
    // What is not of a registry says who it is.
    for (field, own) in [("name", &mut name), ("version", &mut version)] {
        if let Some(said) = entry.get(field) {
            *own = yaml::text_of(said);
        }
    }
    let mut package = Package::new(Ecosystem::Npm, &name, &version);
    package.from_registry =
        integrity.is_some() && version.starts_with(|c: char| c.is_ascii_digit());
    package.hashes = integrity.map(Hash::of_integrity).unwrap_or_default();
    Some(package)
}

/// Name and version of a key: `/@a/b/1.0.0_c@2.0.0`, `/@a/b@1.0.0(c@2.0.0)`, `@a/b@1.0.0(c@2.0.0)`.
fn apart(path: &str, major: u32) -> Option<Key> {
    let path = path.trim_start_matches('/');
    let path = path.split('(').next().unwrap_or(path);
    if major >= 6 {
        let at = path.get(1..)?.find('@')? + 1;
        return Some((path[..at].to_owned(), path[at + 1..].to_owned()));
    }
    // Peers have slashes of their own: the version begins behind the first slash that is not the scope's.
    let scope = if path.starts_with('@') { path.find('/')? + 1 } else { 0 };
    let at = scope + path.get(scope..)?.find('/')?;
    let version = path[at + 1..].split('_').next().unwrap_or_default();
    if !version.starts_with(|c: char| c.is_ascii_digit()) {
        let (name, version) = path.rsplit_once('/')?;
        return Some((name.to_owned(), version.to_owned()));
    }
    Some((path[..at].to_owned(), version.to_owned()))
}

/// What a dependency's value stands for; `None` for a folder of the source.
fn reference(name: &str, value: &str, major: u32) -> Option<Key> {
    if value.is_empty() || ["link:", "file:"].iter().any(|start| value.starts_with(start)) {
        return None;
    }
    if value.starts_with('/') {
        return apart(value, major);
    }
    let plain = value.split('(').next().unwrap_or(value);
    let plain = if major < 6 { plain.split('_').next().unwrap_or(plain) } else { plain };
    let numbered = plain.starts_with(|c: char| c.is_ascii_digit());
    if !numbered && major >= 9 && plain.get(1..).is_some_and(|rest| rest.contains('@')) {
        return apart(plain, major);
    }
    Some((name.to_owned(), plain.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, version: &str) -> Key {
        (name.to_owned(), version.to_owned())
    }

    #[test]
    fn version_9_keeps_the_graph_apart() {
        let text = "lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n\nimporters:\n\n  .:\n    dependencies:\n      '@vue/core':\n        specifier: ^10.0.0\n        version: 10.7.0(vue@3.4.0)\n      pad:\n        specifier: npm:left-pad@1\n        version: left-pad@1.3.0\n      own:\n        specifier: workspace:*\n        version: link:packages/own\n    devDependencies:\n      vite:\n        specifier: ^5\n        version: 5.0.0\n\npackages:\n\n  '@vue/core@10.7.0':\n    resolution: {integrity: sha512-LzcWltT83s1bthcvjBmiBvGJiiUe84NWRHkw+ZV6Fr41z2FbIzvc815dk2nQ3RAKMuN2fkenM/z3Xv2QzEpYxQ==}\n    peerDependencies:\n      vue: ^3\n\n  left-pad@1.3.0:\n    resolution: {integrity: sha512-LzcWltT83s1bthcvjBmiBvGJiiUe84NWRHkw+ZV6Fr41z2FbIzvc815dk2nQ3RAKMuN2fkenM/z3Xv2QzEpYxQ==}\n\n  vite@5.0.0:\n    resolution: {integrity: sha512-AA==}\n\n  vue@3.4.0:\n    resolution: {integrity: sha512-AA==}\n\nsnapshots:\n\n  '@vue/core@10.7.0(vue@3.4.0)':\n    dependencies:\n      vue: 3.4.0\n\n  left-pad@1.3.0: {}\n\n  vite@5.0.0: {}\n\n  vue@3.4.0: {}\n";
        let locked = read(text).unwrap();
        let names: Vec<Key> = locked.packages.iter().map(Package::key).collect();
        let core = key("@vue/core", "10.7.0");
        assert_eq!(
            names,
            [core.clone(), key("left-pad", "1.3.0"), key("vite", "5.0.0"), key("vue", "3.4.0")]
        );
        assert_eq!(locked.packages[0].needs, Some(vec![key("vue", "3.4.0")]));
        assert_eq!(locked.packages[0].hashes[0].hex.len(), 128);
        let development: Vec<bool> = locked.packages.iter().map(|it| it.development).collect();
        assert_eq!(development, [false, false, true, false]);
        assert_eq!(locked.roots, [core, key("left-pad", "1.3.0"), key("vite", "5.0.0")]);
    }

    #[test]
    fn versions_5_and_6_write_other_keys() {
        let five = "lockfileVersion: 5.4\nspecifiers:\n  react-dom: ^18\ndependencies:\n  react-dom: 18.2.0_react@18.2.0\npackages:\n  /@babel/core/7.20.0_@a+b@1.0.0:\n    resolution: {integrity: sha512-AA==}\n    dev: true\n  /react-dom/18.2.0_react@18.2.0:\n    resolution: {integrity: sha512-AA==}\n    dependencies:\n      react: 18.2.0\n  /react/18.2.0:\n    resolution: {integrity: sha512-AA==}\n";
        let locked = read(five).unwrap();
        assert_eq!(locked.packages[0].key(), key("@babel/core", "7.20.0"));
        assert!(locked.packages[0].development);
        assert_eq!(locked.packages[1].key(), key("react-dom", "18.2.0"));
        assert_eq!(locked.packages[1].needs, Some(vec![key("react", "18.2.0")]));
        let six = "lockfileVersion: '6.0'\ndependencies:\n  react-dom:\n    specifier: ^18\n    version: 18.2.0(react@18.2.0)\npackages:\n  /@babel/core@7.20.0(x@1.0.0):\n    resolution: {integrity: sha512-AA==}\n  /react-dom@18.2.0(react@18.2.0):\n    resolution: {integrity: sha512-AA==}\n    dependencies:\n      react: 18.2.0\n  /react@18.2.0:\n    resolution: {integrity: sha512-AA==}\n";
        let locked = read(six).unwrap();
        assert_eq!(locked.packages[0].key(), key("@babel/core", "7.20.0"));
        assert!(locked.packages[0].development && !locked.packages[2].development);
        assert_eq!(locked.roots, [key("react-dom", "18.2.0")]);
    }

    #[test]
    fn other_yaml_is_refused() {
        assert!(read("a: b\n").unwrap_err().contains("lockfileVersion"));
        assert!(read("a: [").is_err());
    }
}
