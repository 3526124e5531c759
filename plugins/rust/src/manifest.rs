//! `Cargo.toml`, as far as a build needs it.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// What a `Cargo.toml` says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Manifest {
    /// Name of the package; none for a workspace alone.
    pub(crate) package: Option<String>,
    pub(crate) default_run: Option<String>,
    pub(crate) rust_version: Option<String>,
    pub(crate) edition: Option<String>,
    /// `[[bin]]`: name and path.
    pub(crate) bins: Vec<(String, Option<String>)>,
    /// Whether programs are also found by their place.
    pub(crate) autobins: bool,
    /// Dependencies by the name of their package, with the features that are asked for.
    pub(crate) dependencies: BTreeMap<String, Vec<String>>,
    /// Globs of the workspace's members, if it is one.
    pub(crate) members: Option<Vec<String>>,
    pub(crate) default_members: Vec<String>,
    pub(crate) exclude: Vec<String>,
    /// Whether it is built by `cargo leptos`.
    pub(crate) leptos: bool,
}

impl Manifest {
    /// Reads a `Cargo.toml`.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let table: Table = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let mut manifest = Self { autobins: true, ..Self::default() };
        if let Some(package) = table.get("package").and_then(Value::as_table) {
            manifest.read_package(package);
        }
        manifest.bins = bins(&table);
        for (_, key) in sections(&table) {
            manifest.read_dependencies(key);
        }
        for target in table.get("target").and_then(Value::as_table).into_iter().flatten() {
            for (_, key) in target.1.as_table().map(sections).unwrap_or_default() {
                manifest.read_dependencies(key);
            }
        }
        if let Some(workspace) = table.get("workspace").and_then(Value::as_table) {
            manifest.members = Some(strings(workspace.get("members")));
            manifest.default_members = strings(workspace.get("default-members"));
            manifest.exclude = strings(workspace.get("exclude"));
            let shared = workspace.get("package").and_then(Value::as_table);
            for (own, key) in
                [(&mut manifest.rust_version, "rust-version"), (&mut manifest.edition, "edition")]
            {
                if own.is_none() {
                    *own = shared.and_then(|shared| string(shared.get(key)));
                }
            }
            let metadata = workspace.get("metadata").and_then(|metadata| metadata.get("leptos"));
            manifest.leptos |= metadata.is_some();
        }
        Ok(manifest)
    }

    fn read_package(&mut self, package: &Table) {
        self.package = string(package.get("name"));
        self.default_run = string(package.get("default-run"));
        self.rust_version = string(package.get("rust-version"));
        self.edition = string(package.get("edition"));
        self.autobins = package.get("autobins").and_then(Value::as_bool).unwrap_or(true);
        self.leptos = package.get("metadata").is_some_and(|data| data.get("leptos").is_some());
    }

    fn read_dependencies(&mut self, table: &Table) {
        for (name, value) in table {
            let renamed = value.get("package").and_then(Value::as_str);
            let features = self.dependencies.entry(renamed.unwrap_or(name).to_owned()).or_default();
            features.extend(strings(value.get("features")));
        }
    }

    /// Whether a package is a dependency.
    pub(crate) fn uses(&self, package: &str) -> bool {
        self.dependencies.contains_key(package)
    }

    /// The least version of the compiler that it needs: what it says, else what its edition needs.
    pub(crate) fn least_rust(&self) -> Option<(&'static str, String)> {
        if let Some(version) = &self.rust_version {
            return Some(("package.rust-version", version.clone()));
        }
        let version = match self.edition.as_deref()? {
            "2024" => "1.85",
            "2021" => "1.56",
            _ => return None,
        };
        Some(("package.edition", version.to_owned()))
    }
}

fn sections(table: &Table) -> Vec<(&'static str, &Table)> {
    let section = |name: &'static str| Some((name, table.get(name)?.as_table()?));
    ["dependencies", "build-dependencies"].into_iter().filter_map(section).collect()
}

fn bins(table: &Table) -> Vec<(String, Option<String>)> {
    let list = table.get("bin").and_then(Value::as_array);
    let read = |bin: &Value| Some((string(bin.get("name"))?, string(bin.get("path"))));
    list.into_iter().flatten().filter_map(read).collect()
}

fn string(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::to_owned)
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether a folder is one that a member's glob names: `crates/*`.
pub(crate) fn is_member(glob: &str, folder: &str) -> bool {
    let glob = glob.trim_start_matches("./").trim_end_matches('/');
    let (globs, parts): (Vec<_>, Vec<_>) = (glob.split('/').collect(), folder.split('/').collect());
    if globs.last() == Some(&"**") {
        return parts.len() >= globs.len() && within(&globs[..globs.len() - 1], &parts);
    }
    globs.len() == parts.len() && within(&globs, &parts)
}

fn within(globs: &[&str], parts: &[&str]) -> bool {
    globs.iter().zip(parts).all(|(glob, part)| match glob.split_once('*') {
        None => glob == part || glob == &".",
        Some((start, end)) => {
            part.len() >= start.len() + end.len() && part.starts_with(start) && part.ends_with(end)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read() {
        let manifest = Manifest::parse(
            "[package]\nname='shop'\ndefault-run='web'\nedition='2024'\n\
             [[bin]]\nname='web'\npath='src/web.rs'\n\
             [dependencies]\naxum='0.7'\ndb={package='sqlx',version='1',features=['postgres']}\n\
             [target.'cfg(unix)'.dependencies]\nlibc='0.2'\n\
             [build-dependencies]\nprost-build='0.12'\n",
        )
        .unwrap();
        assert_eq!(manifest.bins, [("web".to_owned(), Some("src/web.rs".to_owned()))]);
        assert!(
            ["axum", "sqlx", "libc", "prost-build"].into_iter().all(|name| manifest.uses(name))
        );
        assert_eq!(manifest.dependencies["sqlx"], ["postgres"]);
        assert_eq!(manifest.least_rust(), Some(("package.edition", "1.85".to_owned())));
        assert!(Manifest::parse("[package\n").is_err());
    }

    #[test]
    fn members_are_globs() {
        for (glob, folder, expected) in [
            ("crates/*", "crates/a", true),
            ("crates/*", "crates/a/b", false),
            ("crates/*", "tools", false),
            ("./app", "app", true),
            ("shop-*", "shop-web", true),
            ("crates/**", "crates/a/b", true),
        ] {
            assert_eq!(is_member(glob, folder), expected, "{glob} {folder}");
        }
    }
}
