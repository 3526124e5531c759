//! `composer.json` and `composer.lock`: what the plugins need of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use windlass_sdk::PluginError;

/// Name of the manifest.
pub const FILE: &str = "composer.json";
/// Name of the lock file.
pub const LOCK: &str = "composer.lock";

/// A composer.json. What is merely odd in it is ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Composer {
    /// `type`: `project`, `library`, `wordpress-theme`; `None` if it does not say.
    pub kind: Option<String>,
    /// What `config.platform.php` pretends to have.
    pub platform: Option<String>,
    /// Names of the scripts.
    pub scripts: BTreeSet<String>,
    /// Folders of the source that packages come from.
    pub paths: Vec<String>,
    /// The folder that is served, where `extra` says so, relative to the manifest.
    pub public: Option<String>,
    require: BTreeMap<String, String>,
    develop: BTreeMap<String, String>,
}

/// A composer.lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// What the packages ask of PHP.
    pub php: Vec<String>,
    /// The extensions that they need: `gd`.
    pub extensions: BTreeSet<String>,
}

impl Composer {
    /// Reads the text of a composer.json.
    ///
    /// # Errors
    /// Code `php.composer-json-invalid` with line and column.
    pub fn parse(text: &str) -> Result<Self, PluginError> {
        let text = text.trim_start_matches('\u{feff}');
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let file: Value = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let message = format!("composer.json does not read: {error}");
            PluginError::new("php.composer-json-invalid", message).hint(format!(
                "repair composer.json at line {line}, column {column} (a missing or a left-over \
                 comma or quote is the usual cause), then deploy again"
            ))
        })?;
        let text = |at: &str| file.pointer(at).and_then(Value::as_str).map(str::to_owned);
        let scaffold = text("/extra/drupal-scaffold/locations/web-root");
        Ok(Self {
            kind: text("/type"),
            platform: text("/config/platform/php"),
            scripts: table(&file, "/scripts").map(|(name, _)| name.clone()).collect(),
            paths: paths(&file),
            public: scaffold.or_else(|| text("/extra/public-dir")),
            require: texts(&file, "/require"),
            develop: texts(&file, "/require-dev"),
        })
    }

    /// What is asked of a package, or of `php`; development dependencies are not looked at.
    pub fn requires(&self, package: &str) -> Option<&str> {
        self.require.get(package).map(String::as_str)
    }

    /// Whether a package is a dependency of either kind.
    pub fn uses(&self, package: &str) -> bool {
        self.require.contains_key(package) || self.develop.contains_key(package)
    }

    /// The extensions that it needs: `gd`.
    pub fn extensions(&self) -> impl Iterator<Item = &str> {
        self.require.keys().filter_map(|name| name.strip_prefix("ext-"))
    }
}

impl Lock {
    /// Reads the text of a composer.lock; what does not read says nothing: Composer will.
    pub fn parse(text: &str) -> Self {
        let file: Value = serde_json::from_str(text).unwrap_or_default();
        let packages = file.get("packages").and_then(Value::as_array);
        let mut lock = Self::default();
        for package in packages.into_iter().flatten() {
            for (name, version) in texts(package, "/require") {
                match name.strip_prefix("ext-") {
                    Some(extension) => {
                        lock.extensions.insert(extension.to_owned());
                    }
                    None if name == "php" => lock.php.push(version),
                    None => {}
                }
            }
        }
        lock
    }
}

fn table<'f>(file: &'f Value, at: &str) -> impl Iterator<Item = (&'f String, &'f Value)> {
    file.pointer(at).and_then(Value::as_object).into_iter().flatten()
}

fn texts(file: &Value, at: &str) -> BTreeMap<String, String> {
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    table(file, at).filter_map(text).collect()
}

/// Folders that `repositories` of the type `path` name.
fn paths(file: &Value) -> Vec<String> {
    let list = match file.get("repositories") {
        Some(Value::Array(list)) => list.iter().collect(),
        Some(Value::Object(table)) => table.values().collect(),
        _ => Vec::new(),
    };
    let path = |one: &&Value| {
        let folder = one.get("url")?.as_str()?.trim_start_matches("./").trim_end_matches('/');
        (one.get("type")?.as_str()? == "path").then(|| folder.to_owned())
    };
    list.iter().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read() {
        let composer = Composer::parse(
            r#"{"type":"project","require":{"php":"^8.2","ext-gd":"*","slim/slim":"^4"},
                "require-dev":{"phpunit/phpunit":"^11"},"scripts":{"post-install-cmd":["x"]},
                "config":{"platform":{"php":"8.2.1"}},
                "repositories":[{"type":"path","url":"./packages/*"},{"type":"vcs","url":"x"}],
                "extra":{"drupal-scaffold":{"locations":{"web-root":"web/"}}}}"#,
        )
        .unwrap();
        assert_eq!(composer.requires("php"), Some("^8.2"));
        assert_eq!(composer.extensions().collect::<Vec<_>>(), ["gd"]);
        assert!(composer.uses("phpunit/phpunit") && composer.requires("phpunit/phpunit").is_none());
        assert_eq!(composer.paths, ["packages/*"]);
        assert_eq!(composer.public.as_deref(), Some("web/"));
        assert!(composer.scripts.contains("post-install-cmd"));
        assert_eq!(composer.platform.as_deref(), Some("8.2.1"));
        assert_eq!(Composer::parse("").unwrap(), Composer::default());
    }

    #[test]
    fn a_broken_manifest_is_named_with_its_place() {
        let error = Composer::parse("{\n  \"name\": \"x\",\n}").unwrap_err();
        assert_eq!(error.code, "php.composer-json-invalid");
        assert!(error.hint.unwrap().contains("line 3"));
    }

    #[test]
    fn the_lock_file_says_what_packages_need() {
        let lock = Lock::parse(
            r#"{"packages":[{"name":"a/b","require":{"php":">=8.1","ext-intl":"*","c/d":"1"}}],
                "packages-dev":[{"name":"e/f","require":{"ext-xdebug":"*"}}]}"#,
        );
        assert_eq!(lock.php, [">=8.1"]);
        assert_eq!(lock.extensions.into_iter().collect::<Vec<_>>(), ["intl"]);
        assert_eq!(Lock::parse("no"), Lock::default());
    }
}
