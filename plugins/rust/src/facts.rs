//! What is known of the application before anything is decided.

use std::collections::{BTreeMap, BTreeSet};

use windlass_plugin_common::layout::Declared;
use windlass_plugin_common::{pins, settings};
use windlass_sdk::config::Settings;
use windlass_sdk::{Context, PluginError, Source, Toolchain};

use crate::manifest::{Manifest, is_member};

/// Folders below the application that are listed: deep enough for `crates/x/src/bin/y/main.rs`.
const DEPTH: u32 = 6;
const ENTRIES_MAX: u32 = 10_000;
const GLOBS: [&str; 9] = [
    "**/Cargo.toml",
    "**/src/main.rs",
    "**/src/lib.rs",
    "**/src/bin/**",
    "Cargo.lock",
    "sqlx-data.json",
    ".sqlx",
    "Trunk.toml",
    "src/*.rs",
];
const FIRST: [&str; 8] = [
    "Cargo.toml",
    "Cargo.lock",
    "Procfile",
    "rust-toolchain.toml",
    "rust-toolchain",
    ".cargo/config.toml",
    "index.html",
    "Trunk.toml",
];

/// The facts.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) settings: Settings,
    pub(crate) declared: Declared,
    pub(crate) source: &'a Source,
    /// The root's manifest.
    pub(crate) root: Option<Manifest>,
    /// Why it does not read.
    pub(crate) broken: Option<PluginError>,
    /// The packages by folder, `""` for the root's.
    pub(crate) packages: BTreeMap<String, Manifest>,
    /// The files that the globs show.
    pub(crate) files: BTreeSet<String>,
    pub(crate) previous: &'a [Toolchain],
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
        let previous = &ctx.previous_toolchains;
        let (mut packages, mut files) = (BTreeMap::new(), BTreeSet::new());
        let (root, broken) = match source.text("Cargo.toml")?.map(|text| Manifest::parse(&text)) {
            None => (None, None),
            Some(Ok(manifest)) => (Some(manifest), None),
            Some(Err(why)) => (None, Some(invalid(&why))),
        };
        if let Some(root) = &root {
            let listing = source.list(&GLOBS, DEPTH, ENTRIES_MAX)?;
            let paths = listing.entries.into_iter().map(|entry| entry.path);
            files.extend(paths.filter(|path| !path.starts_with("target/")));
            packages = members(source, root, &files);
            if root.package.is_some() {
                packages.insert(String::new(), root.clone());
            }
        }
        Ok(Self { settings, declared, source, root, broken, packages, files, previous })
    }

    /// Text of a file, empty if it cannot be read.
    pub(crate) fn text(&self, path: &str) -> String {
        self.source.text(path).ok().flatten().unwrap_or_default()
    }

    /// Whether the file was listed.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    /// Names of the packages that `Cargo.lock` lists, or of the direct dependencies without one.
    pub(crate) fn locked(&self) -> BTreeSet<String> {
        let lock = self.text("Cargo.lock");
        let named = lock.lines().filter_map(|line| line.strip_prefix("name = \""));
        let mut names: BTreeSet<String> =
            named.map(|name| name.trim_end_matches('"').to_owned()).collect();
        if names.is_empty() {
            let all = self.packages.values().flat_map(|package| package.dependencies.keys());
            names.extend(all.cloned());
        }
        names
    }
}

/// The members of the workspace with their manifests.
fn members(
    source: &Source,
    root: &Manifest,
    files: &BTreeSet<String>,
) -> BTreeMap<String, Manifest> {
    let Some(globs) = &root.members else {
        return BTreeMap::new();
    };
    let folder = |path: &String| path.strip_suffix("/Cargo.toml").map(str::to_owned);
    let excluded = |folder: &str| root.exclude.iter().any(|glob| is_member(glob, folder));
    let is =
        |folder: &String| globs.iter().any(|glob| is_member(glob, folder)) && !excluded(folder);
    let folders: Vec<String> = files.iter().filter_map(folder).filter(is).collect();
    let paths: Vec<String> = folders.iter().map(|folder| format!("{folder}/Cargo.toml")).collect();
    source.prefetch(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    let read = |folder: String| {
        let text = source.text(&format!("{folder}/Cargo.toml")).ok().flatten()?;
        Some((folder, Manifest::parse(&text).ok()?))
    };
    folders.into_iter().filter_map(read).collect()
}

fn invalid(why: &str) -> PluginError {
    PluginError::new("rust.manifest-invalid", format!("Cargo.toml is not valid TOML: {why}"))
        .hint("repair Cargo.toml and deploy again")
}
