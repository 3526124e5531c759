//! What is known of the application before anything is decided.

use std::collections::{BTreeMap, BTreeSet};

use windlass_plugin_common::layout::Declared;
use windlass_plugin_common::{pins, settings};
use windlass_sdk::config::Settings;
use windlass_sdk::{Context, Kind, PluginError, Source, Toolchain};

use crate::module::{self, Module};

/// Folders below the application that are listed: deep enough for `services/x/cmd/y/main.go`.
const DEPTH: u32 = 5;
const ENTRIES_MAX: u32 = 10_000;
/// Go files that are looked into.
const READ_MAX: usize = 60;
/// Folders whose programs are not the application.
const ASIDE: [&str; 17] = [
    "example",
    "examples",
    "testdata",
    "vendor",
    "third_party",
    "tools",
    "hack",
    "scripts",
    "script",
    "docs",
    "doc",
    "test",
    "tests",
    "e2e",
    "benchmark",
    "benchmarks",
    "node_modules",
];

/// The facts.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) settings: Settings,
    pub(crate) declared: Declared,
    pub(crate) source: &'a Source,
    /// The modules by folder; the root's folder is `""`.
    pub(crate) modules: BTreeMap<String, Module>,
    /// Whether there is a `go.work`.
    pub(crate) workspace: bool,
    /// Go files without tests, in folders that may hold the application.
    pub(crate) files: BTreeSet<String>,
    /// Whether dependencies are committed.
    pub(crate) vendored: bool,
    /// Whether there is a `go.sum` beside the root's `go.mod`, or a workspace.
    pub(crate) locked: bool,
    pub(crate) previous: &'a [Toolchain],
}

impl<'a> Facts<'a> {
    /// Gathers them.
    ///
    /// # Errors
    /// Codes `settings.invalid`, `source.unreadable`.
    pub(crate) fn gather(ctx: &'a Context, source: &'a Source) -> Result<Self, PluginError> {
        let first =
            ["go.mod", "go.work", "go.sum", ".go-version", "vendor/modules.txt", "Procfile"];
        source.prefetch(&first);
        source.prefetch(&pins::FILES);
        let settings = settings::read(ctx, source)?;
        let declared = Declared::read(&settings, source)?;
        let work = source.text("go.work")?;
        let root = source.text("go.mod")?;
        let mut folders: BTreeSet<String> = root.iter().map(|_| String::new()).collect();
        folders.extend(work.iter().flat_map(|text| module::used(text)));
        let modules = modules(source, folders);
        let depth = if modules.is_empty() { 1 } else { DEPTH };
        let files = source.list(&["**/*.go"], depth, ENTRIES_MAX)?.entries.into_iter();
        let files = files.filter(|entry| entry.kind == Kind::File).map(|entry| entry.path);
        let files: BTreeSet<String> = files.filter(|path| counts(path)).collect();
        let facts = Self {
            settings,
            declared,
            source,
            workspace: work.is_some(),
            vendored: source.is_file("vendor/modules.txt"),
            locked: work.is_some() || source.is_file("go.sum"),
            previous: &ctx.previous_toolchains,
            modules,
            files,
        };
        facts.prefetch();
        Ok(facts)
    }

    /// Reads what may be a program's main file, in one call.
    fn prefetch(&self) {
        let main = |path: &&String| path.rsplit('/').next() == Some("main.go");
        let rest = self.files.iter().filter(|path| !main(path) && self.may_be_program(path));
        let paths: Vec<&str> =
            self.files.iter().filter(main).chain(rest).take(READ_MAX).map(String::as_str).collect();
        self.source.prefetch(&paths);
    }

    /// Files of a module's root and of `cmd/x` may be programs by any name.
    fn may_be_program(&self, path: &str) -> bool {
        let (_, within) = self.module_of(folder(path));
        within.is_empty() || within == "cmd" || within.starts_with("cmd/")
    }

    /// The module that a folder belongs to, and the folder's path within it.
    pub(crate) fn module_of<'f>(&self, folder: &'f str) -> (String, &'f str) {
        let inside = |module: &&String| {
            module.is_empty()
                || folder == module.as_str()
                || folder.starts_with(&format!("{module}/"))
        };
        let module = self.modules.keys().filter(inside).max_by_key(|module| module.len());
        let module = module.cloned().unwrap_or_default();
        let within = folder.strip_prefix(&module).unwrap_or(folder).trim_start_matches('/');
        (module, within)
    }

    /// The Go files of a folder.
    pub(crate) fn files_of<'f>(&'f self, of: &'f str) -> impl Iterator<Item = &'f str> {
        self.files.iter().map(String::as_str).filter(move |path| folder(path) == of)
    }

    /// Text of a file, empty if it cannot be read.
    pub(crate) fn text(&self, path: &str) -> String {
        self.source.text(path).ok().flatten().unwrap_or_default()
    }

    /// The file and line where a module is required.
    pub(crate) fn requires(&self, path: &str) -> Option<(String, usize)> {
        self.modules.iter().find_map(|(folder, module)| {
            let line = module.requires(path)?;
            Some((join(folder, "go.mod"), line))
        })
    }
}

fn modules(source: &Source, folders: BTreeSet<String>) -> BTreeMap<String, Module> {
    let paths: Vec<String> = folders.iter().map(|folder| join(folder, "go.mod")).collect();
    source.prefetch(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    let read = |folder: String| {
        let text = source.text(&join(&folder, "go.mod")).ok().flatten()?;
        Some((folder, Module::parse(&text)))
    };
    folders.into_iter().filter_map(read).collect()
}

/// `""`, `x` → `x`; `a`, `x` → `a/x`
pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// The folder of a file.
pub(crate) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn counts(path: &str) -> bool {
    let aside = |part: &str| ASIDE.contains(&part) || part.starts_with(['_', '.']);
    !path.ends_with("_test.go") && !folder(path).split('/').any(aside)
}
