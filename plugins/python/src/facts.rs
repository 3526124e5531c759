//! What is known of the application before anything is decided.

use std::collections::BTreeSet;

use windlass_plugin_common::assets::Files;
use windlass_plugin_common::layout::Declared;
use windlass_plugin_common::python::Manifests;
use windlass_plugin_common::settings;
use windlass_sdk::config::Settings;
use windlass_sdk::{Context, PluginError, Source, Toolchain};

/// Folders below the application that are listed.
const DEPTH: u32 = 4;
const ENTRIES_MAX: u32 = 10_000;
const GLOBS: [&str; 16] = [
    "**/*.py",
    "**/pyproject.toml",
    "Pipfile*",
    "*.lock",
    "*.yml",
    "*.yaml",
    "*.ipynb",
    "package.json",
    "go.mod",
    "Cargo.toml",
    "Gemfile",
    "composer.json",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "mix.exs",
];
/// Files that say that the repository is another language's.
const OTHERS: [&str; 9] = [
    "package.json",
    "go.mod",
    "Cargo.toml",
    "Gemfile",
    "composer.json",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "mix.exs",
];
/// Files that say something, read at once.
const READ: [&str; 7] = [
    "Procfile",
    ".python-version",
    "runtime.txt",
    ".tool-versions",
    "mise.toml",
    ".mise.toml",
    "manage.py",
];
/// Folders with Python files that are never the application.
const ASIDE: [&str; 25] = [
    "tests",
    "test",
    "testing",
    "docs",
    "doc",
    "examples",
    "example",
    "samples",
    "benchmarks",
    "scripts",
    "tools",
    "notebooks",
    "migrations",
    "alembic",
    "node_modules",
    "venv",
    ".venv",
    "env",
    "site-packages",
    "fixtures",
    "build",
    "dist",
    ".github",
    ".tox",
    "pages",
];
/// Names of files that usually hold the application, the likeliest first.
const NAMES: [&str; 15] = [
    "wsgi.py",
    "asgi.py",
    "streamlit_app.py",
    "app.py",
    "main.py",
    "application.py",
    "server.py",
    "run.py",
    "api.py",
    "index.py",
    "Home.py",
    "home.py",
    "web.py",
    "bot.py",
    "__init__.py",
];
/// Files of tools: they start nothing.
const TOOLS: [&str; 11] = [
    "conanfile.py",
    "conf.py",
    "build.py",
    "setup.py",
    "conftest.py",
    "noxfile.py",
    "tasks.py",
    "fabfile.py",
    "manage.py",
    "gunicorn.conf.py",
    "dodo.py",
];
const CANDIDATES_MAX: usize = 240;

/// The facts.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) settings: Settings,
    pub(crate) manifests: Manifests,
    /// Why pyproject.toml does not read.
    pub(crate) broken: Option<PluginError>,
    pub(crate) declared: Declared,
    pub(crate) source: &'a Source,
    /// Names of the environment's variables.
    pub(crate) variables: &'a [String],
    /// Python files and the manifests of other tools.
    pub(crate) files: BTreeSet<String>,
    /// Toolchains that the application ran with before.
    pub(crate) previous: &'a [Toolchain],
}

impl<'a> Facts<'a> {
    /// Gathers them.
    ///
    /// # Errors
    /// Codes `settings.invalid`, `source.unreadable`.
    pub(crate) fn gather(ctx: &'a Context, source: &'a Source) -> Result<Self, PluginError> {
        source.prefetch(&READ);
        let settings = settings::read(ctx, source)?;
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
        let (previous, variables) = (&ctx.previous_toolchains, &ctx.variable_names);
        Ok(Self { settings, manifests, broken, declared, source, variables, files, previous })
    }

    /// Whether the file was listed.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    /// The first of these that was listed.
    pub(crate) fn first<'p>(&self, paths: &[&'p str]) -> Option<&'p str> {
        paths.iter().copied().find(|path| self.has(path))
    }

    /// Text of a file, empty if it cannot be read.
    pub(crate) fn text(&self, path: &str) -> String {
        self.source.text(path).ok().flatten().unwrap_or_default()
    }

    /// Version of Python that the application ran with before.
    pub(crate) fn previous_python(&self) -> Option<&str> {
        let found = self.previous.iter().find(|toolchain| toolchain.name == "python")?;
        Some(found.requirement.as_str()).filter(|version| !version.is_empty())
    }

    /// Whether a package is declared.
    pub(crate) fn declares(&self, package: &str) -> bool {
        self.manifests.declares(package).is_some()
    }

    /// Whether a package is declared with one of these extras, or another one that brings them.
    pub(crate) fn has_extra(&self, package: &str, extras: &[&str]) -> bool {
        let line = self.manifests.declares(package).map(|(_, line)| line).unwrap_or_default();
        let inside = line.split_once('[').and_then(|(_, rest)| rest.split(']').next());
        inside.is_some_and(|list| list.split(',').any(|one| extras.contains(&one.trim())))
    }

    /// Whether it is a manifest of Python that is there, and which.
    pub(crate) fn manifest(&self) -> Option<&'static str> {
        let pyproject = self.manifests.pyproject.as_ref();
        let project = pyproject.is_some_and(|p| p.project || p.poetry.is_some());
        if self.manifests.requirements.is_some() {
            return Some(self.manifests.requirements_file);
        }
        match (project, self.manifests.pipfile.is_some()) {
            (true, _) => Some("pyproject.toml"),
            (_, true) => Some("Pipfile"),
            _ => {
                let setup = self.manifests.setup.as_ref().map(|(file, _)| *file);
                let conda = self.manifests.conda.as_ref().filter(|conda| conda.is_for_pip());
                setup.or(conda.map(|conda| conda.file))
            }
        }
    }

    /// A manifest of another language.
    pub(crate) fn other_language(&self) -> Option<&'static str> {
        self.first(&OTHERS)
    }

    /// Python files that may hold the application, the likeliest first.
    pub(crate) fn candidates(&self) -> Vec<&str> {
        let mut found: Vec<_> = self.files.iter().filter_map(|file| ranked(file)).collect();
        found.sort_unstable();
        found.truncate(CANDIDATES_MAX);
        found.into_iter().map(|(.., file)| file).collect()
    }

    /// The folder of the application's own package, if the project is one that is installed: `shop`,
    /// `src/shop`.
    pub(crate) fn own_package(&self) -> Option<String> {
        let project = self.manifests.pyproject.as_ref()?;
        let (says, named) = (project.package, project.project || project.poetry.is_some());
        if says == Some(false) || !named || !(project.build_system || says == Some(true)) {
            return None;
        }
        let name = project.name.as_deref().unwrap_or_default().replace(['-', '.'], "_");
        let folders = [format!("src/{name}"), name.clone(), format!("src/{}", name.to_lowercase())];
        let named = folders.into_iter().find(|folder| self.has(&format!("{folder}/__init__.py")));
        named.or_else(|| {
            let package = |file: &String| {
                let folder = file.strip_suffix("/__init__.py")?;
                let inner = folder.strip_prefix("src/")?;
                (!inner.contains('/')).then(|| folder.to_owned())
            };
            self.files.iter().find_map(package)
        })
    }
}

impl Files for Facts<'_> {
    fn has(&self, path: &str) -> bool {
        self.source.is_file(path)
    }

    fn text(&self, path: &str) -> Option<String> {
        self.source.text(path).ok().flatten()
    }
}

/// Depth, rank of its name, and the path, of a file that may hold the application.
fn ranked(file: &str) -> Option<(usize, usize, &str)> {
    let inner = file.strip_prefix("src/").unwrap_or(file);
    let (folders, name) = inner.rsplit_once('/').unwrap_or(("", inner));
    let test = name.starts_with("test_") || name.ends_with("_test.py");
    let aside = folders.split('/').any(|folder| ASIDE.contains(&folder));
    if !name.ends_with(".py") || test || aside || TOOLS.contains(&name) {
        return None;
    }
    let rank = NAMES.iter().position(|known| *known == name).unwrap_or(NAMES.len());
    Some((inner.matches('/').count(), rank, file))
}

#[cfg(test)]
mod tests {
    use super::ranked;

    #[test]
    fn files_aside_are_no_candidates_and_shallow_ones_come_first() {
        for file in ["tests/app.py", "setup.py", "test_app.py", "shop/migrations/a.py", "x.txt"] {
            assert_eq!(ranked(file), None, "{file}");
        }
        assert!(ranked("app.py") < ranked("hello.py"));
        assert!(ranked("hello.py") < ranked("shop/app.py"));
        assert!(ranked("src/app.py") < ranked("shop/app.py"));
    }
}
