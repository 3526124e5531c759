//! `packages.lock.json` of NuGet.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{Ecosystem, Hash, Key, Locked, Package, json, names_at, text_at};

pub(crate) fn read(text: &str) -> Result<Locked, String> {
    let lock = json(text)?;
    let frameworks = lock.get("dependencies").and_then(Value::as_object);
    let frameworks = frameworks.ok_or("it has no dependencies")?;
    let mut locked = Locked::default();
    let mut seen: BTreeMap<Key, usize> = BTreeMap::new();
    for entries in frameworks.values().filter_map(Value::as_object) {
        // Names are written in any case.
        let versions: BTreeMap<String, Key> = entries
            .iter()
            .filter_map(|(name, entry)| {
                let version = text_at(entry, "resolved")?;
                Some((name.to_lowercase(), (name.clone(), version.to_owned())))
            })
            .collect();
        for (name, entry) in entries {
            let needs = names_at(entry, "dependencies");
            let needs = needs.iter().filter_map(|need| versions.get(&need.to_lowercase()).cloned());
            let kind = text_at(entry, "type");
            let Some(version) = text_at(entry, "resolved").filter(|_| kind != Some("Project"))
            else {
                locked.roots.extend(needs);
                continue;
            };
            let mut package = Package::new(Ecosystem::NuGet, name, version);
            let key = package.key();
            if kind == Some("Direct") {
                locked.roots.push(key.clone());
            }
            let place = *seen.entry(key).or_insert(locked.packages.len());
            if place == locked.packages.len() {
                let sum = text_at(entry, "contentHash");
                package.hashes.extend(sum.and_then(|text| Hash::of_base64("sha512", text)));
                locked.packages.push(package);
            }
            locked.packages[place].needs.get_or_insert_default().extend(needs);
        }
    }
    Ok(locked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_all_frameworks_are_read_once() {
        let text = r#"{"version": 1, "dependencies": {
            "net8.0": {
              "Serilog": {"type": "Direct", "requested": "[3.0.1, )", "resolved": "3.0.1",
                "contentHash": "LzcWltT83s1bthcvjBmiBvGJiiUe84NWRHkw+ZV6Fr41z2FbIzvc815dk2nQ3RAKMuN2fkenM/z3Xv2QzEpYxQ==",
                "dependencies": {"newtonsoft.json": "13.0.3"}},
              "Newtonsoft.Json": {"type": "Transitive", "resolved": "13.0.3"},
              "own": {"type": "Project"}},
            "net6.0": {"Serilog": {"type": "Direct", "resolved": "3.0.1"}}}}"#;
        let locked = read(text).unwrap();
        assert_eq!(locked.packages.len(), 2);
        let serilog = locked.packages.iter().find(|it| it.name == "Serilog").unwrap();
        let json = ("Newtonsoft.Json".to_owned(), "13.0.3".to_owned());
        assert_eq!(serilog.needs, Some(vec![json]));
        assert!(locked.roots.contains(&serilog.key()));
        assert!(read("{}").is_err());
    }
}
