//! What is known of the application before anything is decided.

use windlass_plugin_common::package_json::PackageJson;
use windlass_plugin_common::procfile::{self, Entry};
use windlass_plugin_common::python::Manifests;
use windlass_sdk::config::Settings;
use windlass_sdk::{Context, PluginError, Source};

/// The facts.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) settings: Settings,
    pub(crate) procfile: Vec<Entry>,
    /// `None` without one, or if it does not read: the builder says so.
    pub(crate) package: Option<PackageJson>,
    pub(crate) python: Manifests,
    pub(crate) source: &'a Source,
}

impl<'a> Facts<'a> {
    /// Gathers them.
    ///
    /// # Errors
    /// Codes `settings.invalid`, `source.unreadable`.
    pub(crate) fn gather(ctx: &Context, source: &'a Source) -> Result<Self, PluginError> {
        source.prefetch(&["package.json", "requirements.txt", "pyproject.toml", procfile::FILE]);
        Ok(Self {
            settings: Settings::of(ctx)?,
            procfile: procfile::read(source)?,
            package: PackageJson::read(source).ok().flatten(),
            python: Manifests::read(source).unwrap_or_default(),
            source,
        })
    }

    /// Text of a file, if it can be read.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        self.source.text(path).ok().flatten()
    }

    /// Where a command stands that holds one of these: at the application's start, or in its build.
    pub(crate) fn runs_itself(&self, signs: &[&str]) -> Option<String> {
        let package = self.package.as_ref();
        let scripts = ["start", "prestart", "start:prod", "build", "postinstall"];
        let script =
            |name: &str| Some((format!("scripts.{name}"), package?.script(name)?.to_owned()));
        let entry =
            |entry: &Entry| (format!("{} of the Procfile", entry.name), entry.command.clone());
        let run = self.settings.run.command.clone().map(|line| ("run.command".to_owned(), line));
        let build = self.settings.build.command.clone();
        let build = build.map(|line| ("build.command".to_owned(), line));
        let lines = run.into_iter().chain(build);
        let lines = lines.chain(self.procfile.iter().map(entry));
        let mut lines = lines.chain(scripts.into_iter().filter_map(script));
        let runs = |(_, line): &(String, String)| signs.iter().any(|sign| line.contains(sign));
        lines.find(runs).map(|(place, _)| place)
    }
}
