//! The lock files of Poetry, PDM, uv and Pipenv.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use toml::{Table, Value};

use crate::{Ecosystem, Hash, Key, Locked, Package, json, pep503, toml};

/// `poetry.lock` and `pdm.lock`.
pub(crate) fn poetry(text: &str) -> Result<Locked, String> {
    let lock = toml(text)?;
    // Until version 1.1 the files were listed at the end.
    let late = lock.get("metadata").and_then(|it| it.get("files"));
    let mut locked = Locked::default();
    let mut needed = BTreeMap::new();
    for entry in tables(&lock, "package") {
        let (Some(name), Some(version)) = (text_of(entry, "name"), text_of(entry, "version"))
        else {
            continue;
        };
        let kind = entry.get("source").and_then(|it| it.get("type")).and_then(Value::as_str);
        let is_local = entry.contains_key("path") || matches!(kind, Some("directory" | "file"));
        if is_local {
            continue;
        }
        let mut package = Package::new(Ecosystem::PyPi, name, version);
        package.from_registry =
            !entry.contains_key("git") && !entry.contains_key("url") && kind != Some("git");
        let runs = |group: &str| matches!(group, "main" | "default");
        let groups = entry.get("groups").and_then(Value::as_array);
        package.development = text_of(entry, "category").is_some_and(|group| !runs(group))
            || groups.is_some_and(|all| !all.iter().filter_map(Value::as_str).any(runs));
        let files = entry.get("files").or_else(|| late?.get(name)).and_then(Value::as_array);
        let files = files.map(Vec::as_slice).unwrap_or_default();
        let named: Vec<(&str, &str)> = files
            .iter()
            .filter_map(|file| {
                let name = file.get("file").or_else(|| file.get("url")).and_then(Value::as_str);
                Some((name.unwrap_or_default(), file.get("hash")?.as_str()?))
            })
            .collect();
        package.hashes = of_the_source(&named);
        needed.insert(package.key(), dependencies(entry));
        locked.packages.push(package);
    }
    by_normal_name(&mut locked, &needed);
    Ok(locked)
}

/// Names in a table, or requirements in a list.
fn dependencies(entry: &Table) -> Vec<String> {
    match entry.get("dependencies") {
        Some(Value::Table(table)) => table.keys().cloned().collect(),
        Some(Value::Array(list)) => {
            list.iter().filter_map(Value::as_str).map(required_name).collect()
        }
        _ => Vec::new(),
    }
}

/// The name at the beginning of a requirement.
pub(crate) fn required_name(requirement: &str) -> String {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    requirement.trim().chars().take_while(|&c| inside(c)).collect()
}

/// The hashes that are the package's own: of its only file, else of its source archive.
fn of_the_source(files: &[(&str, &str)]) -> Vec<Hash> {
    let is_source = |name: &str| {
        let name = name.split(['?', '#']).next().unwrap_or(name);
        [".tar.gz", ".zip", ".tar.bz2"].iter().any(|end| name.ends_with(end))
    };
    let hash = match files {
        [(_, hash)] => Some(*hash),
        _ => files.iter().find(|(name, _)| is_source(name)).map(|(_, hash)| *hash),
    };
    hash.and_then(Hash::of_prefixed).into_iter().collect()
}

/// Fills in what each package needs: names of lock files of Python are not always spelled alike.
fn by_normal_name(locked: &mut Locked, needed: &BTreeMap<Key, Vec<String>>) {
    let mut known: BTreeMap<String, Key> = BTreeMap::new();
    for package in &locked.packages {
        known.entry(pep503(&package.name)).or_insert_with(|| package.key());
    }
    for package in &mut locked.packages {
        let names = needed.get(&package.key()).map(Vec::as_slice).unwrap_or_default();
        let keys = names.iter().filter_map(|name| known.get(&pep503(name)).cloned());
        package.needs = Some(keys.collect());
    }
}

/// `uv.lock`
pub(crate) fn uv(text: &str) -> Result<Locked, String> {
    let lock = toml(text)?;
    let versions: BTreeMap<&str, &str> = tables(&lock, "package")
        .filter_map(|entry| Some((text_of(entry, "name")?, text_of(entry, "version")?)))
        .collect();
    let keys = |list: Option<&Value>| -> Vec<Key> {
        let entries = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let key = |entry: &Value| {
            let name = entry.get("name")?.as_str()?;
            let own = entry.get("version").and_then(Value::as_str);
            Some((name.to_owned(), own.or_else(|| versions.get(name).copied())?.to_owned()))
        };
        entries.iter().filter_map(key).collect()
    };
    let mut locked = Locked::default();
    let mut wanted = Vec::new();
    for entry in tables(&lock, "package") {
        let needs = keys(entry.get("dependencies"));
        let extras = entry.get("optional-dependencies").and_then(Value::as_table);
        let extras: Vec<Key> =
            extras.into_iter().flatten().flat_map(|(_, list)| keys(Some(list))).collect();
        let source = entry.get("source").and_then(Value::as_table);
        let from = |kind: &str| source.is_some_and(|source| source.contains_key(kind));
        if ["editable", "virtual", "directory", "path"].iter().any(|kind| from(kind)) {
            wanted.extend(needs.iter().chain(&extras).cloned());
            locked.roots.extend(needs.into_iter().chain(extras));
            let groups = entry.get("dev-dependencies").and_then(Value::as_table);
            let groups = groups.into_iter().flatten().flat_map(|(_, list)| keys(Some(list)));
            locked.roots.extend(groups);
            continue;
        }
        let (Some(name), Some(version)) = (text_of(entry, "name"), text_of(entry, "version"))
        else {
            continue;
        };
        let mut package = Package::new(Ecosystem::PyPi, name, version);
        package.from_registry = from("registry");
        let wheels = entry.get("wheels").and_then(Value::as_array).into_iter().flatten();
        let files: Vec<_> =
            entry.get("sdist").into_iter().chain(wheels).filter_map(hashed).collect();
        package.hashes = of_the_source(&files);
        package.needs = Some(needs.into_iter().chain(extras).collect());
        locked.packages.push(package);
    }
    locked.only_needed_by(&wanted);
    Ok(locked)
}

/// `Pipfile.lock`
pub(crate) fn pipfile(text: &str) -> Result<Locked, String> {
    let lock = json(text)?;
    let mut locked = Locked::default();
    let mut known = false;
    for (list, development) in [("default", false), ("develop", true)] {
        let entries = lock.get(list).and_then(Json::as_object);
        known |= entries.is_some();
        for (name, entry) in entries.into_iter().flatten() {
            let version = entry.get("version").and_then(Json::as_str).unwrap_or_default();
            let from_registry = !version.is_empty();
            let reference = entry.get("ref").and_then(Json::as_str).unwrap_or_default();
            let version = if from_registry { version.trim_start_matches('=') } else { reference };
            if version.is_empty() {
                continue;
            }
            let mut package = Package::new(Ecosystem::PyPi, name, version);
            package.from_registry = from_registry;
            package.development = development;
            // Which of the files a hash is of is not said, unless there is one.
            if let Some([hash]) = entry.get("hashes").and_then(Json::as_array).map(Vec::as_slice) {
                package.hashes.extend(hash.as_str().and_then(Hash::of_prefixed));
            }
            locked.packages.push(package);
        }
    }
    if known { Ok(locked) } else { Err("it has neither default nor develop".to_owned()) }
}

fn tables<'v>(table: &'v Table, key: &str) -> impl Iterator<Item = &'v Table> {
    table.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table)
}

fn text_of<'v>(table: &'v Table, key: &str) -> Option<&'v str> {
    table.get(key)?.as_str()
}

/// Address and hash of a file.
fn hashed(file: &Value) -> Option<(&str, &str)> {
    Some((file.get("url")?.as_str()?, file.get("hash")?.as_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, version: &str) -> Key {
        (name.to_owned(), version.to_owned())
    }

    const DIGITS: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn poetry_is_read_in_its_old_and_its_new_form() {
        let text = format!(
            "[[package]]\nname = \"Django\"\nversion = \"4.2.1\"\ncategory = \"main\"\n\n[package.dependencies]\nasgiref = \">=3.6\"\n\n[[package]]\nname = \"asgiref\"\nversion = \"3.7.2\"\nfiles = [\n  {{file = \"asgiref-3.7.2-py3-none-any.whl\", hash = \"sha256:aa\"}},\n  {{file = \"asgiref-3.7.2.tar.gz\", hash = \"sha256:{DIGITS}\"}},\n]\n\n[[package]]\nname = \"pytest\"\nversion = \"7.4.0\"\ncategory = \"dev\"\n\n[[package]]\nname = \"ruff\"\nversion = \"0.5.0\"\ngroups = [\"dev\"]\n\n[metadata]\nlock-version = \"2.0\"\n\n[metadata.files]\nDjango = [{{file = \"Django-4.2.1.tar.gz\", hash = \"sha256:{DIGITS}\"}}]\n"
        );
        let locked = poetry(&text).unwrap();
        assert_eq!(locked.packages[0].needs, Some(vec![key("asgiref", "3.7.2")]));
        assert_eq!(locked.packages[0].hashes[0].hex, DIGITS);
        assert_eq!(locked.packages[1].hashes[0].hex, DIGITS);
        let development: Vec<bool> = locked.packages.iter().map(|it| it.development).collect();
        assert_eq!(development, [false, false, true, true]);
    }

    #[test]
    fn uv_is_read_with_its_groups() {
        let text = format!(
            "version = 1\nrequires-python = \">=3.12\"\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\nsource = {{ virtual = \".\" }}\ndependencies = [{{ name = \"flask\" }}]\n\n[package.dev-dependencies]\ndev = [{{ name = \"ruff\" }}]\n\n[[package]]\nname = \"flask\"\nversion = \"3.0.0\"\nsource = {{ registry = \"https://pypi.org/simple\" }}\ndependencies = [{{ name = \"click\", marker = \"sys_platform == 'win32'\" }}]\nsdist = {{ url = \"https://files.pythonhosted.org/flask-3.0.0.tar.gz\", hash = \"sha256:{DIGITS}\", size = 1 }}\n\n[[package]]\nname = \"click\"\nversion = \"8.1.7\"\nsource = {{ registry = \"https://pypi.org/simple\" }}\n\n[[package]]\nname = \"ruff\"\nversion = \"0.5.0\"\nsource = {{ registry = \"https://pypi.org/simple\" }}\n\n[[package]]\nname = \"far\"\nversion = \"1.0\"\nsource = {{ git = \"https://example.com/far?rev=1#0123\" }}\n"
        );
        let locked = uv(&text).unwrap();
        let names: Vec<&str> = locked.packages.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["flask", "click", "ruff", "far"]);
        assert_eq!(locked.roots, [key("flask", "3.0.0"), key("ruff", "0.5.0")]);
        let development: Vec<bool> = locked.packages.iter().map(|it| it.development).collect();
        assert_eq!(development, [false, false, true, true]);
        assert_eq!(locked.packages[0].hashes[0].hex, DIGITS);
        assert!(!locked.packages[3].from_registry);
    }

    #[test]
    fn pipenv_is_read() {
        let text = format!(
            r#"{{"_meta": {{}}, "default": {{"requests": {{"version": "==2.31.0", "hashes": ["sha256:{DIGITS}"]}},
                "far": {{"git": "https://example.com/far", "ref": "0123"}}}},
                "develop": {{"pytest": {{"version": "==7.4.0"}}}}}}"#
        );
        let locked = pipfile(&text).unwrap();
        let keys: Vec<Key> = locked.packages.iter().map(Package::key).collect();
        assert_eq!(keys, [key("far", "0123"), key("requests", "2.31.0"), key("pytest", "7.4.0")]);
        assert!(!locked.packages[0].from_registry && locked.packages[2].development);
        assert_eq!(locked.packages[1].hashes.len(), 1);
        assert!(pipfile("{}").is_err());
        assert!(poetry("[[package").unwrap_err().contains("no TOML"));
    }
}
