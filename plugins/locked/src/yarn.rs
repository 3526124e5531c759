//! `yarn.lock`: the format of Yarn 1, and the YAML of those after it.

use std::collections::BTreeMap;

use serde_json::Value;
use windlass_plugin_common::yaml;

use crate::{Ecosystem, Hash, Key, Locked, Package, pnpm, text_at};

/// An entry as both formats have it.
#[derive(Default)]
struct Entry {
    /// What it is asked for by: `react@^18.0.0`, `react@npm:^18.0.0`.
    specs: Vec<String>,
    /// Its real name, where it says it.
    name: Option<String>,
    version: String,
    from_registry: bool,
    hashes: Vec<Hash>,
    /// Names and ranges.
    needs: Vec<(String, String)>,
}

pub(crate) fn read(text: &str) -> Result<Locked, String> {
    if text.contains("__metadata:") {
        return berry(text);
    }
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#'));
    if first.is_some_and(|line| !line.trim_end().ends_with(':')) {
        return Err("it is no yarn.lock: entries end with a colon".to_owned());
    }
    Ok(put_together(classic(text)).whole)
}

fn classic(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut in_needs = false;
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let depth = line.len() - line.trim_start().len();
        let words = line.trim().trim_end_matches(':');
        if depth == 0 {
            let specs = words.split(',').map(|one| unquoted(one).to_owned()).collect();
            entries.push(Entry { specs, from_registry: true, ..Entry::default() });
            in_needs = false;
            continue;
        }
        let (Some(entry), (key, value)) = (entries.last_mut(), pair(words)) else {
            continue;
        };
        if depth == 2 {
            in_needs = matches!(words, "dependencies" | "optionalDependencies");
            match key {
                "version" => value.clone_into(&mut entry.version),
                "integrity" => entry.hashes.extend(Hash::of_integrity(value)),
                "resolved" => {
                    entry.from_registry = value.starts_with("http") && !value.contains(".git");
                    // Yarn wrote the hash behind the address before it wrote the integrity.
                    let hash = value.rsplit_once('#').and_then(|it| Hash::of_hex("sha1", it.1));
                    entry.hashes.extend(hash);
                }
                _ => {}
            }
        } else if in_needs {
            entry.needs.push((key.to_owned(), value.to_owned()));
        }
    }
    entries
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches('"')
}

/// `"@a/b" "^1.0.0"`
fn pair(line: &str) -> (&str, &str) {
    let cut = match line.strip_prefix('"').and_then(|rest| rest.find('"')) {
        Some(end) => end + 2,
        None => line.find(' ').unwrap_or(line.len()),
    };
    (unquoted(&line[..cut]), unquoted(&line[cut..]))
}

fn berry(text: &str) -> Result<Locked, String> {
    let lock = yaml::parse_within(text, pnpm::NODES_MAX)?;
    let mut entries = Vec::new();
    let mut wanted: Vec<(String, String)> = Vec::new();
    for (key, value) in lock.as_object().into_iter().flatten() {
        let Some(resolution) = text_at(value, "resolution") else {
            continue;
        };
        let needs = ranges(value, "dependencies");
        let Some((name, place)) = split_spec(resolution) else {
            continue;
        };
        if place.starts_with("workspace:") {
            wanted.extend(needs);
            continue;
        }
        // The checksum is of the archive that Yarn itself made, so it is none of the package's.
        entries.push(Entry {
            specs: key.split(',').map(|one| one.trim().to_owned()).collect(),
            name: Some(name.to_owned()),
            version: value.get("version").map(yaml::text_of).unwrap_or_default(),
            from_registry: place.starts_with("npm:"),
            hashes: Vec::new(),
            needs,
        });
    }
    let mut locked = put_together(entries);
    // Of development dependencies nothing is said: a workspace has one list.
    let found =
        wanted.iter().filter_map(|(name, range)| locked.by_spec.get(&format!("{name}@{range}")));
    locked.whole.roots = found.cloned().collect();
    Ok(locked.whole)
}

fn ranges(value: &Value, list: &str) -> Vec<(String, String)> {
    let all = value.get(list).and_then(Value::as_object).into_iter().flatten();
    all.map(|(name, range)| (name.clone(), yaml::text_of(range))).collect()
}

/// `@a/b@npm:1.0.0`: the name, and what follows it.
fn split_spec(spec: &str) -> Option<(&str, &str)> {
    let at = spec.get(1..)?.find('@')? + 1;
    Some((&spec[..at], &spec[at + 1..]))
}

/// The real name of an entry: `pad@npm:left-pad@^1.0.0` is `left-pad`.
fn name_of(spec: &str) -> Option<&str> {
    let (name, range) = split_spec(spec)?;
    let other = range.strip_prefix("npm:").and_then(split_spec);
    Some(other.map_or(name, |(other, _)| other))
}

/// What is locked, and by what it is asked for.
struct Together {
    whole: Locked,
    by_spec: BTreeMap<String, Key>,
}

fn put_together(entries: Vec<Entry>) -> Together {
    let mut by_spec = BTreeMap::new();
    let mut named = Vec::new();
    for entry in entries {
        let first = entry.specs.first().and_then(|spec| name_of(spec));
        let Some(name) = entry.name.clone().or_else(|| first.map(str::to_owned)) else {
            continue;
        };
        let local = |spec: &String| spec.contains("@file:") || spec.contains("@link:");
        if entry.version.is_empty() || entry.specs.iter().all(local) {
            continue;
        }
        let key = (name, entry.version.clone());
        by_spec.extend(entry.specs.iter().map(|spec| (spec.clone(), key.clone())));
        named.push((key, entry));
    }
    let packages = named.into_iter().map(|((name, version), entry)| {
        let mut package = Package::new(Ecosystem::Npm, &name, &version);
        package.from_registry = entry.from_registry;
        package.hashes = entry.hashes;
        let asked = entry.needs.iter().map(|(name, range)| format!("{name}@{range}"));
        package.needs = Some(asked.filter_map(|spec| by_spec.get(&spec).cloned()).collect());
        package
    });
    let whole = Locked { packages: packages.collect(), ..Locked::default() };
    Together { whole, by_spec }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, version: &str) -> Key {
        (name.to_owned(), version.to_owned())
    }

    #[test]
    fn the_format_of_yarn_1_is_read() {
        let text = "# THIS IS AN AUTOGENERATED FILE. DO NOT EDIT THIS FILE DIRECTLY.\n# yarn lockfile v1\n\n\n\"@babel/code-frame@^7.0.0\", \"@babel/code-frame@^7.22.13\":\n  version \"7.22.13\"\n  resolved \"https://registry.yarnpkg.com/@babel/code-frame/-/code-frame-7.22.13.tgz#e3c1c099402598483b7a8c46a721d1038803755e\"\n  integrity sha512-LzcWltT83s1bthcvjBmiBvGJiiUe84NWRHkw+ZV6Fr41z2FbIzvc815dk2nQ3RAKMuN2fkenM/z3Xv2QzEpYxQ==\n  dependencies:\n    \"@babel/highlight\" \"^7.22.13\"\n    chalk \"^2.4.2\"\n\n\"@babel/highlight@^7.22.13\":\n  version \"7.22.20\"\n\nchalk@^2.4.2:\n  version \"2.4.2\"\n\npad@npm:left-pad@1:\n  version \"1.3.0\"\n\nforked@a/forked:\n  version \"2.0.0\"\n  resolved \"git+ssh://git@github.com/a/forked.git#0123\"\n";
        let locked = read(text).unwrap();
        let keys: Vec<Key> = locked.packages.iter().map(Package::key).collect();
        assert_eq!(
            keys,
            [
                key("@babel/code-frame", "7.22.13"),
                key("@babel/highlight", "7.22.20"),
                key("chalk", "2.4.2"),
                key("left-pad", "1.3.0"),
                key("forked", "2.0.0"),
            ]
        );
        let first = &locked.packages[0];
        assert_eq!(
            first.needs,
            Some(vec![key("@babel/highlight", "7.22.20"), key("chalk", "2.4.2")])
        );
        let algorithms: Vec<&str> = first.hashes.iter().map(|hash| hash.algorithm).collect();
        assert_eq!(algorithms, ["SHA-1", "SHA-512"]);
        assert!(!locked.packages[4].from_registry);
    }

    #[test]
    fn the_format_of_later_ones_is_read() {
        let text = "__metadata:\n  version: 8\n  cacheKey: 10c0\n\n\"@scope/a@npm:^1.0.0, @scope/a@npm:^1.2.0\":\n  version: 1.2.3\n  resolution: \"@scope/a@npm:1.2.3\"\n  dependencies:\n    b: \"npm:^2.0.0\"\n  checksum: 10c0/aa\n  languageName: node\n  linkType: hard\n\n\"b@npm:^2.0.0\":\n  version: 2.0.0\n  resolution: \"b@npm:2.0.0\"\n  linkType: hard\n\n\"app@workspace:.\":\n  version: 0.0.0-use.local\n  resolution: \"app@workspace:.\"\n  dependencies:\n    \"@scope/a\": \"npm:^1.0.0\"\n  linkType: soft\n\n\"c@patch:c@npm%3A1.0.0#~/.yarn/c.patch\":\n  version: 1.0.0\n  resolution: \"c@patch:c@npm%3A1.0.0#~/.yarn/c.patch::version=1.0.0\"\n";
        let locked = read(text).unwrap();
        let a = locked.packages.iter().find(|it| it.name == "@scope/a").unwrap();
        assert_eq!(a.needs, Some(vec![key("b", "2.0.0")]));
        assert_eq!(locked.roots, [key("@scope/a", "1.2.3")]);
        assert_eq!(locked.packages.len(), 3);
        assert!(a.from_registry && a.hashes.is_empty());
    }

    #[test]
    fn other_text_is_refused() {
        assert!(read("hello world\n").is_err());
        assert_eq!(read("# yarn lockfile v1\n\n").unwrap(), Locked::default());
    }
}
