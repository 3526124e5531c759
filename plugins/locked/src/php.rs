//! `composer.lock`

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{Ecosystem, Hash, Key, Locked, Package, json, names_at, text_at};

pub(crate) fn read(text: &str) -> Result<Locked, String> {
    let lock = json(text)?;
    if lock.get("packages").and_then(Value::as_array).is_none() {
        return Err("it has no packages".to_owned());
    }
    let mut locked = Locked::default();
    let mut needed: BTreeMap<Key, Vec<String>> = BTreeMap::new();
    for (list, development) in [("packages", false), ("packages-dev", true)] {
        for entry in lock.get(list).and_then(Value::as_array).into_iter().flatten() {
            let (Some(name), Some(version)) = (text_at(entry, "name"), text_at(entry, "version"))
            else {
                continue;
            };
            let dist = entry.get("dist").unwrap_or(&Value::Null);
            let kind = text_at(dist, "type");
            if kind == Some("path") {
                continue;
            }
            let mut package = Package::new(Ecosystem::Packagist, name, version);
            package.development = development;
            // A branch has no number that an advisory could name.
            package.from_registry = !version.starts_with("dev-") && !version.ends_with("-dev");
            let sum = text_at(dist, "shasum").and_then(|digits| Hash::of_hex("sha1", digits));
            package.hashes.extend(sum);
            let licences = entry.get("license").and_then(Value::as_array).into_iter().flatten();
            package.licences = licences.filter_map(Value::as_str).map(str::to_owned).collect();
            needed.insert(package.key(), names_at(entry, "require"));
            locked.packages.push(package);
        }
    }
    locked.resolve(&needed);
    Ok(locked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_with_their_licences() {
        let text = r#"{"_readme": [], "packages": [
            {"name": "monolog/monolog", "version": "3.4.0", "require": {"php": ">=8.1", "psr/log": "^2.0"},
             "dist": {"type": "zip", "url": "https://api.github.com/x", "shasum": ""}, "license": ["MIT"]},
            {"name": "psr/log", "version": "3.0.0", "license": ["MIT", "Apache-2.0"]},
            {"name": "own/own", "version": "1.0.0", "dist": {"type": "path"}},
            {"name": "far/far", "version": "dev-main"}],
            "packages-dev": [{"name": "phpunit/phpunit", "version": "10.3.5"}]}"#;
        let locked = read(text).unwrap();
        let needs = locked.packages[0].needs.clone().unwrap();
        assert_eq!(needs, [("psr/log".to_owned(), "3.0.0".to_owned())]);
        assert_eq!(locked.packages[1].licences, ["MIT", "Apache-2.0"]);
        assert_eq!(locked.packages.len(), 4);
        assert!(!locked.packages[2].from_registry && locked.packages[3].development);
        assert!(read("{}").is_err());
    }
}
