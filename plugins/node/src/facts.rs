//! What is known of the application before anything is decided: its files, its package.json, its
//! settings.

use std::collections::BTreeSet;

use windlass_plugin_common::layout::Declared;
use windlass_plugin_common::package_json::{self, PackageJson};
use windlass_sdk::config::Settings;
use windlass_sdk::{Context, PluginError, Source, Toolchain};

/// Folders below the application that are listed.
const DEPTH: u32 = 2;
const ENTRIES_MAX: u32 = 5_000;

/// The facts.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) settings: Settings,
    /// package.json; `None` without one.
    pub(crate) package: Option<PackageJson>,
    /// Why package.json does not read.
    pub(crate) broken: Option<PluginError>,
    pub(crate) declared: Declared,
    pub(crate) source: &'a Source,
    files: BTreeSet<String>,
    previous: &'a [Toolchain],
}

impl<'a> Facts<'a> {
    /// Gathers them.
    ///
    /// # Errors
    /// Codes `settings.invalid`, `source.unreadable`.
    pub(crate) fn gather(ctx: &'a Context, source: &'a Source) -> Result<Self, PluginError> {
        source.prefetch(&[
            package_json::FILE,
            "Procfile",
            ".nvmrc",
            ".node-version",
            ".tool-versions",
            ".yarnrc.yml",
        ]);
        let settings = Settings::of(ctx)?;
        let (package, broken) = match PackageJson::read(source) {
            Ok(package) => (package, None),
            Err(error) if error.code == "source.unreadable" => return Err(error),
            Err(error) => (None, Some(error)),
        };
        let listing = source.list(&[], DEPTH, ENTRIES_MAX)?;
        let files = listing.entries.into_iter().map(|entry| entry.path).collect();
        let declared = Declared::read(&settings, source)?;
        let previous = &ctx.previous_toolchains;
        Ok(Self { settings, package, broken, declared, source, files, previous })
    }

    /// Whether the file or folder exists, at most two levels deep.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    /// The first of these that exists.
    pub(crate) fn first<'p>(&self, paths: &[&'p str]) -> Option<&'p str> {
        paths.iter().copied().find(|path| self.has(path))
    }

    /// Text of a file, if it can be read.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        self.source.text(path).ok().flatten()
    }

    /// Version of a toolchain that the application ran with before.
    pub(crate) fn previous(&self, name: &str) -> Option<&str> {
        let found = self.previous.iter().find(|toolchain| toolchain.name == name)?;
        Some(found.requirement.as_str()).filter(|version| !version.is_empty())
    }

    /// Whether a package is a dependency of either kind.
    pub(crate) fn uses(&self, package: &str) -> bool {
        self.package.as_ref().is_some_and(|json| json.uses(package))
    }

    /// The command line of a script of package.json.
    pub(crate) fn script(&self, name: &str) -> Option<&str> {
        self.package.as_ref()?.script(name)
    }
}
