//! What is known of the application before anything is decided.

use std::collections::BTreeSet;

use windlass_plugin_common::layout::Declared;
use windlass_plugin_common::{settings, wanted};
use windlass_sdk::config::Settings;
use windlass_sdk::{Context, PluginError, Source, Toolchain};

use crate::project::Project;

/// Folders below the application that are listed; more of them where there is a sign of .NET.
const DEPTH: u32 = 3;
const DEPTH_MAX: u32 = 6;
const ENTRIES_MAX: u32 = 5_000;
const GLOBS: [&str; 13] = [
    "**/*.csproj",
    "**/*.fsproj",
    "**/*.vbproj",
    "*.sln",
    "*.slnx",
    "**/Directory.Build.props",
    "**/Migrations/*.*",
    "**/Migrations/*/*.*",
    "*.dll",
    "*.runtimeconfig.json",
    "Program.*",
    "*/Program.*",
    "global.json",
];
/// Projects in these folders are not the application.
const ASIDE: [&str; 11] = [
    "test",
    "tests",
    "sample",
    "samples",
    "example",
    "examples",
    "benchmark",
    "benchmarks",
    "perf",
    "docs",
    "build",
];
/// More than these are not read.
const PROJECTS_MAX: usize = 200;

/// The facts.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) settings: Settings,
    pub(crate) declared: Declared,
    pub(crate) source: &'a Source,
    pub(crate) files: BTreeSet<String>,
    /// The projects, in the order of their paths.
    pub(crate) projects: Vec<Project>,
    previous: &'a [Toolchain],
}

impl<'a> Facts<'a> {
    /// Gathers them.
    ///
    /// # Errors
    /// Codes `settings.invalid`, `source.unreadable`.
    pub(crate) fn gather(ctx: &'a Context, source: &'a Source) -> Result<Self, PluginError> {
        let settings = settings::read(ctx, source)?;
        let mut listing = source.list(&GLOBS, DEPTH, ENTRIES_MAX)?;
        let signs = [".sln", ".slnx", "proj", ".props"];
        if listing.entries.iter().any(|entry| signs.iter().any(|end| entry.path.ends_with(end))) {
            listing = source.list(&GLOBS, DEPTH_MAX, ENTRIES_MAX)?;
        }
        let built = |path: &String| {
            path.split('/').any(|part| matches!(part, "bin" | "obj" | "node_modules" | ".git"))
        };
        let files = listing.entries.into_iter().map(|entry| entry.path);
        let files: BTreeSet<String> = files.filter(|path| !built(path)).collect();
        let projects = read_projects(source, &files);
        let declared = Declared::read(&settings, source)?;
        let previous = &ctx.previous_toolchains;
        Ok(Self { settings, declared, source, files, projects, previous })
    }

    /// Whether there is a project, or something that one left.
    pub(crate) fn is_dotnet(&self) -> bool {
        !self.projects.is_empty()
            || self.files.iter().any(|path| path.ends_with(".runtimeconfig.json"))
    }

    /// Whether the folder itself has something of .NET.
    pub(crate) fn is_solution(&self) -> bool {
        let signs = [".sln", ".slnx", "proj", "Directory.Build.props", "global.json"];
        let mut rooted = self.files.iter().filter(|path| !path.contains('/'));
        rooted.any(|path| signs.iter().any(|end| path.ends_with(end)))
    }

    /// Text of a file, empty if it cannot be read.
    pub(crate) fn text(&self, path: &str) -> String {
        self.source.text(path).ok().flatten().unwrap_or_default()
    }

    /// Version of a toolchain that the application ran with before.
    pub(crate) fn previous(&self, name: &str) -> Option<&str> {
        wanted::before(name, self.previous)
    }

    /// Whether there are migrations of Entity Framework. The model's snapshot beside them migrates nothing.
    pub(crate) fn has_migrations(&self) -> bool {
        let sign = |path: &String| {
            let mut parts = path.rsplit('/');
            let file = parts.next().unwrap_or_default();
            let code = [".cs", ".fs", ".vb"].iter().any(|ending| file.ends_with(ending));
            let own = file.contains('_') && !file.contains(".Designer.");
            code && own && parts.any(|folder| folder == "Migrations")
        };
        self.files.iter().any(sign)
    }
}

/// Whether a project lies in a folder of tests or examples.
pub(crate) fn is_aside(path: &str) -> bool {
    let mut folders = path.split('/').rev().skip(1);
    folders.any(|folder| ASIDE.contains(&folder.to_ascii_lowercase().as_str()))
}

fn read_projects(source: &Source, files: &BTreeSet<String>) -> Vec<Project> {
    let is_project = |path: &&String| {
        [".csproj", ".fsproj", ".vbproj"].iter().any(|ending| path.ends_with(ending))
    };
    let paths: Vec<&str> =
        files.iter().filter(is_project).map(String::as_str).take(PROJECTS_MAX).collect();
    if paths.is_empty() {
        return Vec::new();
    }
    let shared = files.iter().filter(|path| path.ends_with("Directory.Build.props"));
    let shared: Vec<&str> = shared.map(String::as_str).collect();
    let wanted: Vec<&str> = paths.iter().chain(&shared).copied().chain(["global.json"]).collect();
    source.prefetch(&wanted);
    let text = |path: &str| source.text(path).ok().flatten().unwrap_or_default();
    paths
        .into_iter()
        .map(|path| match nearest(path, &shared) {
            Some(props) => Project::read(path, &text(path), Some((props, &text(props)))),
            None => Project::read(path, &text(path), None),
        })
        .collect()
}

/// The `Directory.Build.props` in the project's folder or the closest one above it.
fn nearest<'p>(project: &str, shared: &[&'p str]) -> Option<&'p str> {
    let folder = |path: &'p str| path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let above = |path: &&&'p str| {
        let folder = folder(path);
        folder.is_empty() || project.starts_with(&format!("{folder}/"))
    };
    shared.iter().filter(above).max_by_key(|path| path.len()).copied()
}
