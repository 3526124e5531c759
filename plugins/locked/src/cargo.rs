//! `Cargo.lock`

use std::collections::BTreeMap;

use toml::Value;

use crate::{Ecosystem, Hash, Key, Locked, Package, toml};

pub(crate) fn read(text: &str) -> Result<Locked, String> {
    let lock = toml(text)?;
    let entries = lock.get("package").and_then(Value::as_array).map(Vec::as_slice);
    let entries = entries.unwrap_or_default();
    let at = |entry: &Value, key: &str| Some(entry.get(key)?.as_str()?.to_owned());
    let keys: Vec<Option<Key>> =
        entries.iter().map(|entry| Some((at(entry, "name")?, at(entry, "version")?))).collect();
    let mut known: BTreeMap<&str, &Key> = BTreeMap::new();
    for key in keys.iter().flatten() {
        known.entry(&key.0).or_insert(key);
    }
    // "name", "name 1.2.3", "name 1.2.3 (registry+https://…)"
    let reference = |text: &str| -> Option<Key> {
        let mut words = text.split(' ');
        let name = words.next()?;
        match words.next() {
            Some(version) => Some((name.to_owned(), version.to_owned())),
            None => known.get(name).copied().cloned(),
        }
    };
    let mut locked = Locked::default();
    for (entry, key) in entries.iter().zip(&keys) {
        let Some((name, version)) = key else {
            continue;
        };
        let listed = entry.get("dependencies").and_then(Value::as_array).into_iter().flatten();
        let needs: Vec<Key> = listed.filter_map(Value::as_str).filter_map(reference).collect();
        // What has no source is a member of the workspace.
        let Some(source) = at(entry, "source") else {
            locked.roots.extend(needs);
            continue;
        };
        let mut package = Package::new(Ecosystem::Cargo, name, version);
        package.from_registry = source.starts_with("registry+") || source.starts_with("sparse+");
        // Until version 1 the checksums were listed at the end.
        let late = || {
            let name = format!("checksum {name} {version} ({source})");
            Some(lock.get("metadata")?.get(&name)?.as_str()?.to_owned())
        };
        let checksum = at(entry, "checksum").or_else(late);
        package.hashes.extend(checksum.and_then(|digits| Hash::of_hex("sha256", &digits)));
        package.needs = Some(needs);
        locked.packages.push(package);
    }
    Ok(locked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_read_with_their_graph() {
        let digits = "b".repeat(64);
        let text = format!(
            "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"own\",\n \"rand 0.8.5\",\n]\n\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"rand\"\nversion = \"0.7.3\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{digits}\"\n\n[[package]]\nname = \"rand\"\nversion = \"0.8.5\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\ndependencies = [\"libc\"]\n\n[[package]]\nname = \"libc\"\nversion = \"0.2.150\"\nsource = \"git+https://github.com/rust-lang/libc#0123\"\n"
        );
        let locked = read(&text).unwrap();
        let key = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        assert_eq!(locked.roots, [key("own", "0.1.0"), key("rand", "0.8.5")]);
        assert_eq!(locked.packages.len(), 3);
        assert_eq!(locked.packages[0].hashes[0].hex, digits);
        assert_eq!(locked.packages[1].needs, Some(vec![key("libc", "0.2.150")]));
        assert!(!locked.packages[2].from_registry && locked.packages[1].from_registry);
    }
}
