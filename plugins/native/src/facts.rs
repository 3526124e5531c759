//! What is known of the application before anything is decided.

use std::collections::BTreeSet;

use windlass_plugin_common::layout::Declared;
use windlass_plugin_common::{pins, settings};
use windlass_sdk::config::Settings;
use windlass_sdk::{Context, Kind, PluginError, Source, Toolchain};

const DEPTH: u32 = 4;
const ENTRIES_MAX: u32 = 10_000;
/// Manifests and sources of all languages of this plugin.
const GLOBS: [&str; 33] = [
    "**/CMakeLists.txt",
    "**/meson.build",
    "{Makefile,makefile,GNUmakefile}",
    "*.{c,cc,cpp,cxx}",
    "src/*.{c,cc,cpp,cxx}",
    "build.zig",
    "build.zig.zon",
    "src/main.zig",
    "shard.yml",
    "shard.lock",
    "*.cabal",
    "cabal.project*",
    "package.yaml",
    "stack.yaml",
    "Package.swift",
    "Package.resolved",
    "Sources/**/main.swift",
    "pubspec.yaml",
    "pubspec.lock",
    "bin/*.dart",
    "lib/main.dart",
    "web/index.html",
    "*.{cbl,cob,CBL,COB}",
    "src/*.{cbl,cob,CBL,COB}",
    "package.json",
    "pyproject.toml",
    "setup.py",
    "Cargo.toml",
    "go.mod",
    "Gemfile",
    "composer.json",
    "{platformio.ini,prj.conf,sdkconfig}",
    "*.ino",
];
/// Files that are read at once.
const FIRST: [&str; 15] = [
    "Procfile",
    "CMakeLists.txt",
    "meson.build",
    "Makefile",
    "build.zig",
    "build.zig.zon",
    "shard.yml",
    "package.yaml",
    "Package.swift",
    "Package.resolved",
    ".swift-version",
    "pubspec.yaml",
    "main.c",
    "main.cpp",
    "stack.yaml",
];

/// The facts.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) settings: Settings,
    pub(crate) declared: Declared,
    pub(crate) source: &'a Source,
    /// The files that the globs show.
    pub(crate) files: BTreeSet<String>,
    pub(crate) previous: &'a [Toolchain],
    /// The id that the settings ask for, if it is one of this plugin's.
    pub(crate) asked: Option<String>,
}

impl<'a> Facts<'a> {
    /// Gathers them.
    ///
    /// # Errors
    /// Codes `settings.invalid`, `source.unreadable`.
    pub(crate) fn gather(ctx: &'a Context, source: &'a Source) -> Result<Self, PluginError> {
        source.prefetch(&FIRST);
        source.prefetch(&pins::FILES);
        let settings = settings::read(ctx, source)?;
        let declared = Declared::read(&settings, source)?;
        let listing = source.list(&GLOBS, DEPTH, ENTRIES_MAX)?;
        let files = listing.entries.into_iter().filter(|entry| entry.kind == Kind::File);
        let files = files.map(|entry| entry.path).collect();
        let asked = settings.build.framework.clone();
        let previous = &ctx.previous_toolchains;
        Ok(Self { settings, declared, source, files, previous, asked })
    }

    /// Text of a file, empty if it cannot be read.
    pub(crate) fn text(&self, path: &str) -> String {
        self.source.text(path).ok().flatten().unwrap_or_default()
    }

    /// Whether the file was listed.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    /// The files with one of these endings, in the root and in `src`.
    pub(crate) fn with_ending<'f>(
        &'f self,
        endings: &'f [&'f str],
    ) -> impl Iterator<Item = &'f str> {
        let fits = move |path: &&str| endings.iter().any(|ending| path.ends_with(ending));
        let near = |path: &&str| match path.rsplit_once('/') {
            None | Some(("src", _)) => true,
            Some(_) => false,
        };
        self.files.iter().map(String::as_str).filter(fits).filter(near)
    }

    /// Whether the manifest of an ecosystem lies here that is not this plugin's: code beside it is
    /// most often a part of that application.
    pub(crate) fn beside_another(&self) -> bool {
        [
            "package.json",
            "pyproject.toml",
            "setup.py",
            "Cargo.toml",
            "go.mod",
            "Gemfile",
            "composer.json",
        ]
        .iter()
        .any(|manifest| self.has(manifest))
    }

    /// Whether the settings ask for this id.
    pub(crate) fn asks_for(&self, id: &str) -> bool {
        self.asked.as_deref() == Some(id)
    }

    /// The command lines that settings and Procfile declare.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        let web = self.declared.web.iter().map(|(line, ..)| line.as_str());
        web.chain(self.declared.workers.iter().map(|(_, line)| line.as_str()))
    }
}
