//! What is known of the folder before anything is decided.

use std::collections::BTreeSet;

use windlass_plugin_common::others::{self, Others};
use windlass_plugin_common::{settings, wanted};
use windlass_sdk::config::Settings;
use windlass_sdk::{Context, Evidence, Kind, PluginError, Source, Toolchain};

/// Entries of the folder that are looked at.
const ENTRIES_MAX: u32 = 2_000;

/// The facts.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) settings: Settings,
    /// The file that names the folder of `build.output`.
    pub(crate) output_file: Option<&'static str>,
    pub(crate) others: Others,
    pub(crate) source: &'a Source,
    files: BTreeSet<String>,
    folders: BTreeSet<String>,
    previous: &'a [Toolchain],
}

impl<'a> Facts<'a> {
    /// Gathers them.
    ///
    /// # Errors
    /// Codes `settings.invalid`, `source.unreadable`.
    pub(crate) fn gather(ctx: &'a Context, source: &'a Source) -> Result<Self, PluginError> {
        let settings = settings::read(ctx, source)?;
        let output_file = settings::output_file(ctx, source)?;
        let others = others::read(source);
        let (mut files, mut folders) = (BTreeSet::new(), BTreeSet::new());
        for entry in source.list(&[], 1, ENTRIES_MAX)?.entries {
            match entry.kind {
                Kind::Directory => folders.insert(entry.path),
                _ => files.insert(entry.path),
            };
        }
        let previous = &ctx.previous_toolchains;
        Ok(Self { settings, output_file, others, source, files, folders, previous })
    }

    /// Whether `build.output` stands in windlass.toml itself.
    pub(crate) fn own_output(&self) -> bool {
        self.output_file == Some(settings::OWN)
    }

    /// The files of the folder itself.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    /// The folders directly in it.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &str> {
        self.folders.iter().map(String::as_str)
    }

    /// Whether there is a file; deeper ones are asked for.
    pub(crate) fn has(&self, path: &str) -> bool {
        match path.split_once('/') {
            None => self.files.contains(path),
            Some((folder, _)) => self.folders.contains(folder) && self.source.is_file(path),
        }
    }

    /// Whether there is a folder of this name.
    pub(crate) fn has_folder(&self, name: &str) -> bool {
        self.folders.contains(name)
    }

    /// The first of these folders that exists.
    pub(crate) fn folder_of(&self, names: &[&'static str]) -> Option<&'static str> {
        names.iter().copied().find(|name| self.has_folder(name))
    }

    /// Text of a file, empty if there is none.
    pub(crate) fn text(&self, path: &str) -> String {
        self.source.text(path).ok().flatten().unwrap_or_default()
    }

    /// The version of a toolchain: the settings, the pins of `file` and of the files that pin several, another
    /// platform's file, what ran before, the default.
    pub(crate) fn toolchain(&self, name: &str, file: &str) -> (Toolchain, Option<Evidence>) {
        if let Some(version) = self.settings.build.toolchain.get(name) {
            return (Toolchain::new(name, version), None);
        }
        let text = self.text(file);
        let line = text.lines().next().unwrap_or_default().trim();
        let line = line.trim_start_matches(name).trim_start_matches(['-', 'v']);
        let mut pins: Vec<_> = wanted::Pin::new(file, "", line).into_iter().collect();
        pins.extend(wanted::shared(self.source, &[name]));
        pins.extend(wanted::elsewhere(self.source, &[name]));
        wanted::choose(name, &pins, self.previous)
    }

    /// A file that says that this is a project of another kind, and what it then is. `except` are left out.
    pub(crate) fn other_project(&self, except: &[&str]) -> Option<(&str, &'static str)> {
        let known = PROJECTS
            .iter()
            .find(|(file, _)| !except.contains(file) && self.files.contains(*file))
            .map(|(file, what)| (*file, *what));
        let suffix = || {
            let suffixed = |file: &'_ str| {
                let what = SUFFIXES.iter().find(|(suffix, _)| file.ends_with(suffix))?.1;
                Some(what)
            };
            self.files().find_map(|file| suffixed(file).map(|what| (file, what)))
        };
        known.or_else(suffix)
    }
}

/// Files that say what a folder is.
const PROJECTS: [(&str, &str); 44] = [
    ("composer.json", "a PHP application"),
    ("index.php", "a PHP application"),
    ("Gemfile", "a Ruby application"),
    ("go.mod", "a Go application"),
    ("Cargo.toml", "a Rust project"),
    ("pom.xml", "a Java application"),
    ("build.gradle", "a Java or Kotlin application"),
    ("build.gradle.kts", "a Java or Kotlin application"),
    ("mix.exs", "an Elixir application"),
    ("rebar.config", "an Erlang project"),
    ("gleam.toml", "a Gleam project"),
    ("manage.py", "a Django application"),
    ("requirements.txt", "a Python application"),
    ("pyproject.toml", "a Python project"),
    ("setup.py", "a Python package"),
    ("setup.cfg", "a Python package"),
    ("Pipfile", "a Python application"),
    ("deno.json", "a Deno application"),
    ("deno.jsonc", "a Deno application"),
    ("pubspec.yaml", "a Dart or Flutter application"),
    ("Package.swift", "a Swift package"),
    ("build.sbt", "a Scala project"),
    ("project.clj", "a Clojure project"),
    ("deps.edn", "a Clojure project"),
    ("stack.yaml", "a Haskell project"),
    ("cabal.project", "a Haskell project"),
    ("shard.yml", "a Crystal project"),
    ("build.zig", "a Zig project"),
    ("CMakeLists.txt", "a C or C++ project"),
    ("meson.build", "a C or C++ project"),
    ("configure.ac", "a C or C++ project"),
    ("dune-project", "an OCaml project"),
    ("Project.toml", "a Julia package"),
    ("DESCRIPTION", "an R package"),
    ("project.godot", "a Godot game"),
    ("platformio.ini", "firmware"),
    ("library.properties", "an Arduino library"),
    ("config.xml", "a Cordova application"),
    ("action.yml", "a GitHub action"),
    ("Chart.yaml", "a Helm chart"),
    ("main.tf", "Terraform"),
    ("galaxy.yml", "an Ansible collection"),
    ("flake.nix", "a Nix flake"),
    ("package.json", "a Node.js project"),
];
const SUFFIXES: [(&str, &str); 11] = [
    (".gemspec", "a Ruby gem"),
    (".csproj", "a .NET project"),
    (".fsproj", "a .NET project"),
    (".vbproj", "a .NET project"),
    (".sln", "a .NET solution"),
    (".cabal", "a Haskell project"),
    (".podspec", "a CocoaPods library"),
    (".rockspec", "a Lua package"),
    (".uproject", "an Unreal project"),
    (".nimble", "a Nim package"),
    (".xcodeproj", "an Xcode project"),
];
