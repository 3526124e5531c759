//! What is known of the application before anything is decided.

use std::collections::BTreeSet;

use serde_json::Value;
use windlass_plugin_common::layout::Declared;
use windlass_plugin_common::package_json::PackageJson;
use windlass_plugin_common::{jsonc, pins, settings};
use windlass_sdk::config::Settings;
use windlass_sdk::{Context, PluginError, Source, Toolchain};

/// The configuration's names.
pub(crate) const CONFIGS: [&str; 2] = ["deno.json", "deno.jsonc"];
const ENTRIES_MAX: u32 = 5_000;

/// The facts.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) settings: Settings,
    pub(crate) declared: Declared,
    pub(crate) source: &'a Source,
    /// Name of the configuration, if there is one.
    pub(crate) config: Option<&'static str>,
    /// What it says; null if it does not read.
    pub(crate) json: Value,
    /// Why it does not read.
    pub(crate) broken: Option<PluginError>,
    /// package.json, if there is one that reads.
    pub(crate) package: Option<PackageJson>,
    pub(crate) previous: &'a [Toolchain],
    files: BTreeSet<String>,
}

impl<'a> Facts<'a> {
    /// Gathers them.
    ///
    /// # Errors
    /// Codes `settings.invalid`, `source.unreadable`.
    pub(crate) fn gather(ctx: &'a Context, source: &'a Source) -> Result<Self, PluginError> {
        let own =
            ["deno.json", "deno.jsonc", "import_map.json", "package.json", "Procfile", ".dvmrc"];
        source.prefetch(&own.iter().chain(&pins::FILES).copied().collect::<Vec<_>>());
        let settings = settings::read(ctx, source)?;
        let config = CONFIGS.into_iter().find(|file| source.is_file(file));
        let text = config.and_then(|file| source.text(file).ok().flatten()).unwrap_or_default();
        let (json, broken) = match jsonc::parse(&text) {
            Ok(json) => (json, None),
            Err(_) if text.trim().is_empty() => (Value::Null, None),
            Err(error) => (Value::Null, config.map(|file| invalid(file, &error))),
        };
        let listing =
            source.list(&["*", "src/*", "routes", ".vscode/settings.json"], 2, ENTRIES_MAX)?;
        let files = listing.entries.into_iter().map(|entry| entry.path).collect();
        let declared = Declared::read(&settings, source)?;
        let package = PackageJson::read(source).ok().flatten();
        let previous = &ctx.previous_toolchains;
        Ok(Self { settings, declared, source, config, json, broken, package, previous, files })
    }

    /// Whether a file of the folder or of `src` exists.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    /// The first of these that exists.
    pub(crate) fn first<'p>(&self, paths: &[&'p str]) -> Option<&'p str> {
        paths.iter().copied().find(|path| self.has(path))
    }

    /// Text of a file, empty if it cannot be read.
    pub(crate) fn text(&self, path: &str) -> String {
        self.source.text(path).ok().flatten().unwrap_or_default()
    }

    /// The command line of a task.
    pub(crate) fn task(&self, name: &str) -> Option<&str> {
        let task = self.json.get("tasks")?.get(name)?;
        task.as_str().or_else(|| task.get("command")?.as_str())
    }

    /// Whether a name is mapped to a module, in the configuration or in its import map.
    pub(crate) fn imports(&self, names: &[&str]) -> Option<String> {
        let map = serde_json::from_str(&self.text("import_map.json")).unwrap_or(Value::Null);
        let found = |json: &Value| {
            let imports = json.get("imports")?.as_object()?;
            names.iter().find(|name| imports.contains_key(**name)).map(|name| (*name).to_owned())
        };
        found(&self.json).or_else(|| found(&map))
    }
}

fn invalid(file: &str, error: &serde_json::Error) -> PluginError {
    PluginError::new("deno.config-invalid", format!("{file} does not read: {error}"))
        .hint(format!("repair {file} at line {}, then deploy again", error.line()))
}
