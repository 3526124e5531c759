//! What is known of the application before anything is decided.

use std::collections::BTreeSet;

use windlass_plugin_common::layout::Declared;
use windlass_plugin_common::{settings, wanted};
use windlass_sdk::config::Settings;
use windlass_sdk::{Context, PluginError, Source, Toolchain};

const DEPTH: u32 = 5;
const ENTRIES_MAX: u32 = 5_000;
const GLOBS: [&str; 7] = [
    "apps/*/mix.exs",
    "config/*.exs",
    "lib/**/*.ex",
    "apps/*/lib/**/*.ex",
    "assets/*",
    "**/priv/*/migrations/*",
    "src/**/*.{gleam,erl,src}",
];
const PREFETCHED: [&str; 12] = [
    "mix.exs",
    "gleam.toml",
    "rebar.config",
    "Procfile",
    ".tool-versions",
    "mise.toml",
    "elixir_buildpack.config",
    ".elixir-version",
    ".exenv-version",
    ".erlang-version",
    "config/runtime.exs",
    "config/releases.exs",
];

/// The facts.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) settings: Settings,
    pub(crate) declared: Declared,
    pub(crate) source: &'a Source,
    pub(crate) variable_names: &'a [String],
    /// What lies in the application's folder itself, and sources below it.
    pub(crate) files: BTreeSet<String>,
    previous: &'a [Toolchain],
}

impl<'a> Facts<'a> {
    /// Gathers them. Where no manifest is in the folder, nothing below it is looked at.
    ///
    /// # Errors
    /// Codes `settings.invalid`, `source.unreadable`.
    pub(crate) fn gather(ctx: &'a Context, source: &'a Source) -> Result<Self, PluginError> {
        let settings = settings::read(ctx, source)?;
        let listing = source.list(&[], 1, ENTRIES_MAX)?;
        let mut files: BTreeSet<String> =
            listing.entries.into_iter().map(|entry| entry.path).collect();
        let declared = Declared::read(&settings, source)?;
        if ["mix.exs", "gleam.toml", "rebar.config"].iter().any(|name| files.contains(*name)) {
            source.prefetch(&PREFETCHED);
            let listing = source.list(&GLOBS, DEPTH, ENTRIES_MAX)?;
            files.extend(listing.entries.into_iter().map(|entry| entry.path));
            files.retain(|path| !path.starts_with("deps/") && !path.contains("node_modules/"));
        }
        let (previous, variable_names) = (&ctx.previous_toolchains, &ctx.variable_names);
        Ok(Self { settings, declared, source, variable_names, files, previous })
    }

    /// Whether the file or folder was listed.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    /// Text of a file, empty if it cannot be read.
    pub(crate) fn text(&self, path: &str) -> String {
        self.source.text(path).ok().flatten().unwrap_or_default()
    }

    /// The listed files that fit.
    pub(crate) fn listed<'f>(
        &'f self,
        fits: impl Fn(&str) -> bool + 'f,
    ) -> impl Iterator<Item = &'f str> {
        self.files.iter().map(String::as_str).filter(move |path| fits(path))
    }

    /// Version of a toolchain that the application ran with before.
    pub(crate) fn previous(&self, name: &str) -> Option<&str> {
        wanted::before(name, self.previous)
    }

    /// Whether the environment has this variable.
    pub(crate) fn has_variable(&self, name: &str) -> bool {
        self.variable_names.iter().any(|known| known == name)
    }
}
