//! `mix.lock`: a map of Elixir, one package a line.

use std::collections::BTreeMap;

use crate::{Ecosystem, Hash, Key, Locked, Package};

pub(crate) fn read(text: &str) -> Result<Locked, String> {
    if !text.trim_start().starts_with("%{") {
        return Err("it is no map of Elixir".to_owned());
    }
    let mut locked = Locked::default();
    let mut needed: BTreeMap<Key, Vec<String>> = BTreeMap::new();
    for line in text.lines() {
        let Some(package) = package(line) else {
            continue;
        };
        needed.insert(package.key(), dependencies(line));
        locked.packages.push(package);
    }
    locked.resolve(&needed);
    Ok(locked)
}

/// `"jason": {:hex, :jason, "1.4.1", "…", [:mix], [{:decimal, "~> 1.0", […]}], "hexpm", "…"},`
fn package(line: &str) -> Option<Package> {
    let line = line.trim().trim_start_matches("%{");
    let named = line.strip_prefix('"')?;
    // Older ones have arrows.
    let (label, term) = named.split_once("\": {").or_else(|| named.split_once("\" => {"))?;
    let texts: Vec<&str> = term.split('"').skip(1).step_by(2).collect();
    if term.starts_with(":git") {
        // Repository and commit.
        let mut package = Package::new(Ecosystem::Hex, label, texts.get(1)?);
        package.from_registry = false;
        return Some(package);
    }
    let name = term.strip_prefix(":hex, :")?.split(',').next()?;
    let mut package = Package::new(Ecosystem::Hex, name, texts.first()?);
    // The last one is of the archive, the first of what is in it.
    let outer = texts.iter().rev().find_map(|text| Hash::of_hex("sha256", text));
    package.hashes =
        outer.filter(|hash| texts.get(1) != Some(&hash.hex.as_str())).into_iter().collect();
    Some(package)
}

fn dependencies(line: &str) -> Vec<String> {
    let parts = line.split("{:").skip(2);
    parts.filter_map(|part| part.split(',').next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_with_what_they_need() {
        let (inner, outer) = ("d".repeat(64), "e".repeat(64));
        let text = format!(
            "%{{\n  \"decimal\": {{:hex, :decimal, \"2.1.1\", \"{inner}\", [:mix], [], \"hexpm\", \"{outer}\"}},\n  \"far\": {{:git, \"https://example.com/far.git\", \"0123\", [branch: \"main\"]}},\n  \"jason\": {{:hex, :jason, \"1.4.1\", \"{inner}\", [:mix], [{{:decimal, \"~> 1.0 or ~> 2.0\", [hex: :decimal, repo: \"hexpm\", optional: true]}}], \"hexpm\", \"{outer}\"}},\n}}\n"
        );
        let locked = read(&text).unwrap();
        let key = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        let keys: Vec<Key> = locked.packages.iter().map(Package::key).collect();
        assert_eq!(keys, [key("decimal", "2.1.1"), key("far", "0123"), key("jason", "1.4.1")]);
        assert_eq!(locked.packages[2].needs, Some(vec![key("decimal", "2.1.1")]));
        assert_eq!(locked.packages[0].hashes[0].hex, outer);
        assert!(!locked.packages[1].from_registry);
        let old = format!("%{{\"bunt\" => {{:hex, :bunt, \"0.1.6\", \"{inner}\", [:mix], []}}}}");
        let locked = read(&old).unwrap();
        assert_eq!(locked.packages[0].key(), key("bunt", "0.1.6"));
        assert!(locked.packages[0].hashes.is_empty(), "the inner hash is not the archive's");
        assert!(read("{}").is_err());
    }
}
