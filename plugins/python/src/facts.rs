//! What is known of the application before anything is decided.

use std::collections::BTreeSet;

use windlass_plugin_common::layout::Declared;
use windlass_plugin_common::python::Manifests;
use windlass_sdk::config::Settings;
use windlass_sdk::{Context, PluginError, Source, Toolchain};

/// Folders below the application that are listed.
const DEPTH: u32 = 3;
const ENTRIES_MAX: u32 = 10_000;
const GLOBS: [&str; 5] = ["**/*.py", "Pipfile", "*.lock", "*.yml", "*.toml"];

/// The facts.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) settings: Settings,
    pub(crate) manifests: Manifests,
    /// Why pyproject.toml does not read.
    pub(crate) broken: Option<PluginError>,
    pub(crate) declared: Declared,
    pub(crate) source: &'a Source,
    /// Python files and the manifests of other tools.
    pub(crate) files: BTreeSet<String>,
    previous: &'a [Toolchain],
}

impl<'a> Facts<'a> {
    /// Gathers them.
    ///
    /// # Errors
    /// Codes `settings.invalid`, `source.unreadable`.
    pub(crate) fn gather(ctx: &'a Context, source: &'a Source) -> Result<Self, PluginError> {
        source.prefetch(&["requirements.txt", "pyproject.toml", "Procfile", ".python-version"]);
        let settings = Settings::of(ctx)?;
        let (manifests, broken) = match Manifests::read(source) {
            Ok(manifests) => (manifests, None),
            Err(error) if error.code == "source.unreadable" => return Err(error),
            Err(error) => (Manifests::default(), Some(error)),
        };
        let listing = source.list(&GLOBS, DEPTH, ENTRIES_MAX)?;
        let installed = |path: &String| path.contains("node_modules/") || path.contains("venv/");
        let files = listing.entries.into_iter().map(|entry| entry.path);
        let files = files.filter(|path| !installed(path)).collect();
        let declared = Declared::read(&settings, source)?;
        let previous = &ctx.previous_toolchains;
        Ok(Self { settings, manifests, broken, declared, source, files, previous })
    }

    /// Whether the file was listed.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    /// Text of a file, empty if it cannot be read.
    pub(crate) fn text(&self, path: &str) -> String {
        self.source.text(path).ok().flatten().unwrap_or_default()
    }

    /// Version of Python that the application ran with before.
    pub(crate) fn previous(&self) -> Option<&str> {
        let found = self.previous.iter().find(|toolchain| toolchain.name == "python")?;
        Some(found.requirement.as_str()).filter(|version| !version.is_empty())
    }

    /// Whether a package is declared.
    pub(crate) fn declares(&self, package: &str) -> bool {
        self.manifests.declares(package).is_some()
    }
}
