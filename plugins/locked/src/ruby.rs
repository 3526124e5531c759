//! `Gemfile.lock`

use std::collections::BTreeMap;

use crate::{Ecosystem, Hash, Key, Locked, Package};

pub(crate) fn read(text: &str) -> Result<Locked, String> {
    let mut locked = Locked::default();
    let mut needed: BTreeMap<Key, Vec<String>> = BTreeMap::new();
    let mut direct: Vec<String> = Vec::new();
    let mut section = "";
    let mut current: Option<Key> = None;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let depth = line.len() - line.trim_start().len();
        let words = line.trim();
        match (section, depth) {
            (_, 0) => section = words,
            ("GEM" | "GIT" | "PLUGIN SOURCE", 4) => {
                let Some((name, version)) = named(words) else {
                    continue;
                };
                // A gem with native code is there once for each platform.
                let key =
                    (name.to_owned(), version.split('-').next().unwrap_or(version).to_owned());
                needed.entry(key.clone()).or_insert_with(|| {
                    let mut package = Package::new(Ecosystem::RubyGems, &key.0, &key.1);
                    package.from_registry = section == "GEM";
                    locked.packages.push(package);
                    Vec::new()
                });
                current = Some(key);
            }
            ("GEM" | "GIT" | "PLUGIN SOURCE", 6) => {
                let list = current.as_ref().and_then(|key| needed.get_mut(key));
                if let (Some(list), Some(name)) = (list, words.split(' ').next()) {
                    list.push(name.to_owned());
                }
            }
            ("DEPENDENCIES", 2) => {
                direct.extend(words.split([' ', '!']).next().map(str::to_owned));
            }
            ("CHECKSUMS", 2) => checksum(words, &mut locked.packages),
            _ => {}
        }
    }
    if section.is_empty() || needed.is_empty() && !text.contains("DEPENDENCIES") {
        return Err("it has neither gems nor DEPENDENCIES".to_owned());
    }
    locked.resolve(&needed);
    let is_direct = |package: &&Package| direct.contains(&package.name);
    locked.roots = locked.packages.iter().filter(is_direct).map(Package::key).collect();
    Ok(locked)
}

/// `name (1.2.3)`
fn named(words: &str) -> Option<(&str, &str)> {
    let (name, rest) = words.split_once(" (")?;
    Some((name, rest.split(')').next()?))
}

/// `name (1.2.3) sha256=…`: of the gem that runs everywhere.
fn checksum(words: &str, packages: &mut [Package]) {
    let Some((name, version)) = named(words) else {
        return;
    };
    let hash = words.rsplit_once("sha256=").and_then(|(_, it)| Hash::of_hex("sha256", it));
    let found = packages.iter_mut().find(|it| it.name == name && it.version == version);
    if let Some(package) = found {
        package.hashes.extend(hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gems_are_read_once_for_all_platforms() {
        let digits = "c".repeat(64);
        let text = format!(
            "GIT\n  remote: https://github.com/a/far.git\n  revision: 0123\n  specs:\n    far (0.1.0)\n      rack\n\nPATH\n  remote: engines/own\n  specs:\n    own (0.1.0)\n\nGEM\n  remote: https://rubygems.org/\n  specs:\n    nokogiri (1.15.4-x86_64-linux)\n      racc (~> 1.4)\n    nokogiri (1.15.4-arm64-darwin)\n      racc (~> 1.4)\n    racc (1.7.1)\n    rack (2.2.8)\n\nPLATFORMS\n  arm64-darwin\n  x86_64-linux\n\nDEPENDENCIES\n  far!\n  nokogiri (~> 1.15)\n\nCHECKSUMS\n  racc (1.7.1) sha256={digits}\n\nBUNDLED WITH\n   2.4.19\n"
        );
        let locked = read(&text).unwrap();
        let found: Vec<(&str, &str)> =
            locked.packages.iter().map(|it| (it.name.as_str(), it.version.as_str())).collect();
        assert_eq!(
            found,
            [("far", "0.1.0"), ("nokogiri", "1.15.4"), ("racc", "1.7.1"), ("rack", "2.2.8"),]
        );
        assert!(!locked.packages[0].from_registry);
        let racc = ("racc".to_owned(), "1.7.1".to_owned());
        let needs = locked.packages[1].needs.clone().unwrap();
        assert!(needs.contains(&racc));
        assert_eq!(locked.packages[2].hashes[0].hex, digits);
        assert_eq!(locked.roots.len(), 2);
        assert!(read("hello").is_err());
    }
}
