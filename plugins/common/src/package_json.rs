//! `package.json`: what the plugins need of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use windlass_sdk::{PluginError, Source};

/// Name of the file.
pub const FILE: &str = "package.json";

/// A package.json. Only shapes that npm itself refuses are errors; what is merely odd is ignored.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PackageJson {
    name: Option<Value>,
    dev_engines: Option<Value>,
    /// Not to be published: an application and no library.
    pub private: Option<Value>,
    main: Option<Value>,
    package_manager: Option<Value>,
    engines: Option<Value>,
    volta: Option<Value>,
    scripts: Option<BTreeMap<String, Value>>,
    dependencies: Option<BTreeMap<String, Value>>,
    dev_dependencies: Option<BTreeMap<String, Value>>,
    optional_dependencies: Option<BTreeMap<String, Value>>,
    peer_dependencies: Option<BTreeMap<String, Value>>,
    /// Packages of a monorepo.
    pub workspaces: Option<Value>,
    files: Option<Value>,
    exports: Option<Value>,
    types: Option<Value>,
    publish_config: Option<Value>,
    bin: Option<Value>,
    pnpm: Option<Value>,
    nodemon_config: Option<Value>,
}

impl PackageJson {
    /// The application's package.json, or `None` without one.
    ///
    /// # Errors
    /// Code `node.package-json-invalid` with line and column; `source.unreadable`.
    pub fn read(source: &Source) -> Result<Option<Self>, PluginError> {
        source.text(FILE)?.map(|text| Self::parse(&text)).transpose()
    }

    /// Reads the text of a package.json.
    ///
    /// # Errors
    /// Code `node.package-json-invalid` with line and column.
    pub fn parse(text: &str) -> Result<Self, PluginError> {
        let text = text.trim_start_matches('\u{feff}');
        serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let message = format!("package.json does not read: {error}");
            PluginError::new("node.package-json-invalid", message).hint(format!(
                "repair package.json at line {line}, column {column} (a missing or a left-over \
                 comma or quote is the usual cause), then deploy again"
            ))
        })
    }

    /// The command line of a script.
    pub fn script(&self, name: &str) -> Option<&str> {
        let line = self.scripts.as_ref()?.get(name)?.as_str()?.trim();
        (!line.is_empty()).then_some(line)
    }

    /// All scripts, by name.
    pub fn scripts(&self) -> impl Iterator<Item = (&str, &str)> {
        let scripts = self.scripts.iter().flatten();
        scripts.filter_map(|(name, line)| Some((name.as_str(), line.as_str()?.trim())))
    }

    /// The file that `main` names.
    pub fn main(&self) -> Option<&str> {
        self.main.as_ref()?.as_str().map(|main| main.trim_start_matches("./"))
    }

    /// `pnpm@9.1.0+sha512...` → `("pnpm", "9.1.0")`
    pub fn package_manager(&self) -> Option<(&str, &str)> {
        let (name, version) = self.package_manager.as_ref()?.as_str()?.split_once('@')?;
        Some((name, version.split('+').next().unwrap_or(version)))
    }

    /// `engines.<name>`
    pub fn engine(&self, name: &str) -> Option<&str> {
        self.engines.as_ref()?.get(name)?.as_str()
    }

    /// Its name; monorepos refer to it by this.
    pub fn name(&self) -> Option<&str> {
        self.name.as_ref()?.as_str()
    }

    /// The version of a runtime (`node`, `bun`, `deno`) in `devEngines.runtime`.
    pub fn dev_engine(&self, runtime: &str) -> Option<&str> {
        let named = |entry: &&Value| entry.get("name").and_then(Value::as_str) == Some(runtime);
        self.dev_engines("runtime").iter().find(named)?.get("version")?.as_str()
    }

    /// The name and the version range of `devEngines.packageManager`; the range is empty where none is given.
    pub fn dev_manager(&self) -> Option<(&str, &str)> {
        let entry = self.dev_engines("packageManager").first()?;
        let version = entry.get("version").and_then(Value::as_str);
        Some((entry.get("name")?.as_str()?, version.unwrap_or_default()))
    }

    /// The entries of one kind, which may be a list or stand alone.
    fn dev_engines(&self, kind: &str) -> &[Value] {
        match self.dev_engines.as_ref().and_then(|engines| engines.get(kind)) {
            None => &[],
            Some(Value::Array(list)) => list,
            Some(one) => std::slice::from_ref(one),
        }
    }

    /// Whether it lists for pnpm which dependencies may run their build scripts, as version 10 wants it.
    pub fn lists_builds(&self) -> bool {
        let keys = ["onlyBuiltDependencies", "ignoredBuiltDependencies"];
        keys.into_iter().any(|key| self.pnpm.as_ref().is_some_and(|pnpm| pnpm.get(key).is_some()))
    }

    /// The globs of `workspaces`, in either of its forms.
    pub fn workspace_globs(&self) -> Vec<&str> {
        let Some(value) = &self.workspaces else {
            return Vec::new();
        };
        let list = value.get("packages").unwrap_or(value).as_array();
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The version requirement of a dependency of any kind.
    pub fn requirement(&self, package: &str) -> Option<&str> {
        let tables = [&self.dependencies, &self.optional_dependencies, &self.dev_dependencies];
        tables.into_iter().flatten().find_map(|table| table.get(package))?.as_str()
    }

    /// Names of all dependencies, development ones included.
    pub fn all_dependencies(&self) -> impl Iterator<Item = &str> {
        let tables = [&self.dependencies, &self.optional_dependencies, &self.dev_dependencies];
        tables.into_iter().flatten().flat_map(|table| table.keys().map(String::as_str))
    }

    /// `nodemonConfig`
    pub fn nodemon_config(&self) -> Option<&Value> {
        self.nodemon_config.as_ref()
    }

    /// Whether it installs a command for others.
    pub fn has_bin(&self) -> bool {
        self.bin.is_some()
    }

    /// `volta.node`
    pub fn volta_node(&self) -> Option<&str> {
        self.volta.as_ref()?.get("node")?.as_str()
    }

    /// Whether it is a run-time dependency.
    pub fn depends_on(&self, package: &str) -> bool {
        has(&self.dependencies, package) || has(&self.optional_dependencies, package)
    }

    /// Whether it is a development dependency and no other.
    pub fn develops_with(&self, package: &str) -> bool {
        has(&self.dev_dependencies, package) && !self.depends_on(package)
    }

    /// Whether it is a dependency of either kind.
    pub fn uses(&self, package: &str) -> bool {
        self.depends_on(package) || has(&self.dev_dependencies, package)
    }

    /// The key under which a package is named, as evidence: `devDependencies.vite`.
    pub fn key_of(&self, package: &str) -> String {
        let table = if has(&self.dependencies, package) {
            "dependencies"
        } else if has(&self.optional_dependencies, package) {
            "optionalDependencies"
        } else {
            "devDependencies"
        };
        format!("{table}.{package}")
    }

    /// Whether there is anything to install.
    pub fn installs_anything(&self) -> bool {
        let filled = |table: &Option<BTreeMap<_, _>>| table.as_ref().is_some_and(|t| !t.is_empty());
        self.workspaces.is_some()
            || filled(&self.dependencies)
            || filled(&self.dev_dependencies)
            || filled(&self.optional_dependencies)
    }

    /// Names of the development dependencies.
    pub fn dev_dependencies(&self) -> impl Iterator<Item = &str> {
        self.dev_dependencies.iter().flatten().map(|(name, _)| name.as_str())
    }

    /// Whether it looks like a library or a tool: made to be published, not to be run.
    pub fn is_library(&self) -> bool {
        let private = self.private == Some(Value::Bool(true));
        let signs = [&self.files, &self.exports, &self.types, &self.publish_config, &self.bin];
        let peers = self.peer_dependencies.as_ref().is_some_and(|peers| !peers.is_empty());
        !private && (peers || signs.into_iter().any(Option::is_some))
    }
}

/// Whether a version of Yarn, or a range of its versions, is that of Yarn 1.
pub fn is_yarn_classic(version: &str) -> bool {
    let digits = version.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.split('.').next() == Some("1")
}

fn has(table: &Option<BTreeMap<String, Value>>, package: &str) -> bool {
    table.as_ref().is_some_and(|table| table.contains_key(package))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_is_named_with_its_place_and_a_fix() {
        let error = PackageJson::parse("{\n  \"name\": \"x\",\n  \"scripts\": {,}\n}").unwrap_err();
        assert_eq!(error.code, "node.package-json-invalid");
        assert!(error.message.contains("line 3"), "{}", error.message);
        assert!(error.hint.unwrap().contains("line 3, column 15"));
    }

    #[test]
    fn odd_values_are_no_errors() {
        let package = PackageJson::parse(
            r#"{"engines":["node"],"main":false,"workspaces":{"packages":[]},"packageManager":"pnpm@9.1.0+sha512.ab"}"#,
        )
        .unwrap();
        assert_eq!(package.engine("node"), None);
        assert_eq!(package.main(), None);
        assert_eq!(package.package_manager(), Some(("pnpm", "9.1.0")));
    }

    #[test]
    fn the_manager_for_development_stands_alone_or_in_a_list() {
        let of = |text: &str| {
            let package = PackageJson::parse(&format!(r#"{{"devEngines":{text}}}"#)).unwrap();
            package.dev_manager().map(|(name, range)| format!("{name} {range}"))
        };
        let pnpm = r#"{"packageManager":{"name":"pnpm","version":"^10.4"}}"#;
        assert_eq!(of(pnpm).as_deref(), Some("pnpm ^10.4"));
        assert_eq!(of(r#"{"packageManager":[{"name":"yarn"}]}"#).as_deref(), Some("yarn "));
        assert_eq!(of(r#"{"runtime":{"name":"node","version":"22"}}"#), None);
        assert!(is_yarn_classic("^1.22") && !is_yarn_classic("4.1.0"));
    }

    #[test]
    fn libraries_are_told_from_applications() {
        let library = |text| PackageJson::parse(text).unwrap().is_library();
        assert!(library(r#"{"main":"index.js","files":["lib"]}"#));
        assert!(library(r#"{"peerDependencies":{"react":"*"}}"#));
        assert!(!library(r#"{"main":"index.js"}"#));
        assert!(!library(r#"{"private":true,"files":["lib"]}"#));
    }
}
