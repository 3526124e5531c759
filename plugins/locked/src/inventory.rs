//! All lock files of an application together.

use std::collections::{BTreeMap, BTreeSet};

use windlass_plugin_common::glob::Globs;
use windlass_sdk::{PluginError, Source};

use crate::{
    Ecosystem, Hash, Locked, beam, bun, cargo, dotnet, go, jvm, npm, php, pnpm, purl, python,
    requirements, ruby, yarn,
};

/// Names of the files that are read, as globs of a file's name.
pub const NAMES: [&str; 19] = [
    "package-lock.json",
    "npm-shrinkwrap.json",
    "pnpm-lock.yaml",
    "yarn.lock",
    "bun.lock",
    "poetry.lock",
    "pdm.lock",
    "uv.lock",
    "Pipfile.lock",
    "requirements*.txt",
    "Cargo.lock",
    "go.mod",
    "go.sum",
    "Gemfile.lock",
    "composer.lock",
    "mix.lock",
    "gradle.lockfile",
    "pom.xml",
    "packages.lock.json",
];
/// Folders that hold what was installed, and not what the application asks for.
const INSTALLED: [&str; 8] = [
    "**/node_modules/**",
    "**/vendor/**",
    "**/target/**",
    "**/.venv/**",
    "**/venv/**",
    "**/site-packages/**",
    "**/deps/**",
    "**/bower_components/**",
];
/// Words in the name of a file of requirements that nothing needs at run time.
const FOR_DEVELOPMENT: [&str; 7] =
    ["dev", "development", "test", "tests", "testing", "lint", "docs"];
/// Lock files of one source.
const FILES_MAX: usize = 500;

/// Which lock files, and what of them.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The application's folder. Its lock files count, and those of the folders above it.
    pub app_dir: String,
    /// Globs of files that do not count.
    pub exclude: Vec<String>,
    /// Whether what is only needed to build and to test is left out.
    pub without_development: bool,
}

/// A package in one version, whatever lock files it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Its package URL, by which others refer to it.
    pub purl: String,
    /// Where it is from.
    pub ecosystem: Ecosystem,
    /// Its name there.
    pub name: String,
    /// Its version there.
    pub version: String,
    /// Whether it is that version of the ecosystem's registry, and not a repository or an archive somewhere.
    pub from_registry: bool,
    /// Whether it is only needed to build and to test.
    pub development: bool,
    /// Hashes of its archive.
    pub hashes: BTreeSet<Hash>,
    /// Licences as they are written.
    pub licences: BTreeSet<String>,
    /// Package URLs of what it needs; `None` where no file says.
    pub needs: Option<BTreeSet<String>>,
    /// The lock files that it is in.
    pub files: BTreeSet<String>,
}

/// A lock file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path from the source's root.
    pub path: String,
    /// Packages in it.
    pub packages: usize,
}

/// Something about a lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its path from the source's root.
    pub path: String,
    /// What, in one line.
    pub what: String,
}

/// What is installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// By package URL.
    pub components: BTreeMap<String, Component>,
    /// What the application itself needs, as far as it is known.
    pub roots: BTreeSet<String>,
    /// Files that were read, by path.
    pub files: Vec<File>,
    /// Files that were not, and why.
    pub unread: Vec<Note>,
    /// What is missing of files that were read.
    pub notes: Vec<Note>,
}

/// Reads all lock files of an application.
///
/// # Errors
/// Code `source.unreadable` when the source cannot be listed.
pub fn read(scope: &Scope) -> Result<Inventory, PluginError> {
    let source = Source::root();
    let globs: Vec<String> = NAMES.iter().map(|name| format!("**/{name}")).collect();
    let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
    let exclude = excluded(&scope.exclude);
    let mut inventory = Inventory::default();
    let found = source.files(&globs)?;
    let counts = |path: &String| is_of(path, &scope.app_dir) && !exclude.match_path(path);
    for path in found.iter().filter(|path| counts(path) && name_of(path) != "go.sum") {
        if inventory.files.len() + inventory.unread.len() >= FILES_MAX {
            let what = format!("it is one more than the {FILES_MAX} lock files that are read");
            inventory.unread.push(Note { path: path.clone(), what });
            break;
        }
        match locked(&source, path) {
            Ok(locked) => inventory.add(path, locked, scope.without_development),
            Err(what) => inventory.unread.push(Note { path: path.clone(), what }),
        }
    }
    Ok(inventory)
}

/// What is installed, and what the settings name.
fn excluded(set: &[String]) -> Globs {
    let all = INSTALLED.into_iter().chain(set.iter().map(String::as_str));
    // Here `/**` at the end means what is in the folder.
    let all: Vec<String> = all
        .map(|glob| match glob.strip_suffix("/**") {
            Some(folder) => format!("{folder}/**/*"),
            None => glob.to_owned(),
        })
        .collect();
    Globs::new(&all.iter().map(String::as_str).collect::<Vec<_>>())
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Whether a file is the application's: below its folder, or in one above it.
fn is_of(path: &str, app_dir: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        outer.is_empty()
            || inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let (folder, app_dir) = (folder_of(path), app_dir.trim_matches('/'));
    within(folder, app_dir) || within(app_dir, folder)
}

fn locked(source: &Source, path: &str) -> Result<Locked, String> {
    let text = source.text(path).map_err(|error| error.message)?;
    let text = text.ok_or("it went while it was read")?;
    match name_of(path) {
        "package-lock.json" | "npm-shrinkwrap.json" => npm::read(&text),
        "pnpm-lock.yaml" => pnpm::read(&text),
        "yarn.lock" => yarn::read(&text),
        "bun.lock" => bun::read(&text),
        "poetry.lock" | "pdm.lock" => python::poetry(&text),
        "uv.lock" => python::uv(&text),
        "Pipfile.lock" => python::pipfile(&text),
        "Cargo.lock" => cargo::read(&text),
        "go.mod" => {
            let sum = format!("{}sum", path.trim_end_matches("mod"));
            let sum = source.text(&sum).map_err(|error| error.message)?;
            go::read(&text, sum.as_deref())
        }
        "Gemfile.lock" => ruby::read(&text),
        "composer.lock" => php::read(&text),
        "mix.lock" => beam::read(&text),
        "gradle.lockfile" => jvm::gradle(&text),
        "pom.xml" => jvm::pom(&text),
        "packages.lock.json" => dotnet::read(&text),
        name => {
            let mut locked = requirements::read(&text)?;
            // What it is for is said by its name alone.
            let development =
                name.split(['-', '_', '.']).any(|word| FOR_DEVELOPMENT.contains(&word));
            locked.packages.iter_mut().for_each(|package| package.development = development);
            Ok(locked)
        }
    }
}

impl Inventory {
    /// Files, components and what they are of, in a few words: `214 components in 2 files`.
    pub fn summary(&self) -> String {
        let (components, files) = (self.components.len(), self.files.len());
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let known = format!(
            "{components} component{} in {files} file{}",
            plural(components),
            plural(files)
        );
        match self.unread.len() {
            0 => known,
            1 => format!("{known}; 1 file could not be read"),
            unread => format!("{known}; {unread} files could not be read"),
        }
    }

    fn add(&mut self, path: &str, locked: Locked, without_development: bool) {
        let by_key: BTreeMap<_, String> = locked
            .packages
            .iter()
            .filter(|package| !(without_development && package.development))
            .map(|package| {
                let url = purl(package.ecosystem, &package.name, &package.version);
                (package.key(), url)
            })
            .collect();
        let notes = locked.notes.into_iter().map(|what| Note { path: path.to_owned(), what });
        self.notes.extend(notes);
        self.files.push(File { path: path.to_owned(), packages: by_key.len() });
        let mut needed: BTreeSet<String> = BTreeSet::new();
        let mut has_graph = false;
        for package in locked.packages {
            let Some(url) = by_key.get(&package.key()) else {
                continue;
            };
            let urls = |keys: Vec<_>| -> BTreeSet<String> {
                keys.iter()
                    .filter_map(|key| by_key.get(key))
                    .filter(|&it| it != url)
                    .cloned()
                    .collect()
            };
            let needs = package.needs.map(urls);
            has_graph |= needs.is_some();
            needed.extend(needs.iter().flatten().cloned());
            let known = self.components.entry(url.clone()).or_insert_with(|| Component {
                purl: url.clone(),
                ecosystem: package.ecosystem,
                name: package.name,
                version: package.version,
                from_registry: package.from_registry,
                development: true,
                hashes: BTreeSet::new(),
                licences: BTreeSet::new(),
                needs: None,
                files: BTreeSet::new(),
            });
            known.development &= package.development;
            known.from_registry |= package.from_registry;
            known.hashes.extend(package.hashes);
            known.licences.extend(package.licences);
            known.files.insert(path.to_owned());
            if let Some(needs) = needs {
                known.needs.get_or_insert_default().extend(needs);
            }
        }
        if locked.roots.is_empty() && has_graph {
            // Nobody else needs these.
            self.roots.extend(by_key.into_values().filter(|url| !needed.contains(url)));
        } else {
            self.roots.extend(locked.roots.iter().filter_map(|key| by_key.get(key)).cloned());
        }
    }
}

#[cfg(test)]
mod tests {
    use windlass_sdk::testing::Harness;

    use super::*;

    const CARGO: &str = "version = 4\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\"libc\"]\n[[package]]\nname = \"libc\"\nversion = \"0.2.150\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n";

    fn inventory(files: &[(&str, &str)], scope: &Scope) -> Inventory {
        Harness::with_files(files).run(|_| read(scope)).0.unwrap()
    }

    #[test]
    fn files_of_the_application_and_above_it_count() {
        let requirements = "flask==3.0.0\n";
        let files = [
            ("Cargo.lock", CARGO),
            ("apps/web/requirements.txt", requirements),
            ("apps/other/requirements.txt", "django==4.2\n"),
            ("apps/web/node_modules/a/requirements.txt", "six==1.16.0\n"),
            ("apps/web/tests/fixtures/requirements-dev.txt", "six==1.16.0\n"),
        ];
        let scope = Scope {
            app_dir: "apps/web".to_owned(),
            exclude: vec!["**/fixtures/**".to_owned()],
            ..Scope::default()
        };
        let found = inventory(&files, &scope);
        let urls: Vec<&str> = found.components.keys().map(String::as_str).collect();
        assert_eq!(urls, ["pkg:cargo/libc@0.2.150", "pkg:pypi/flask@3.0.0"]);
        assert_eq!(found.summary(), "2 components in 2 files");
        let roots: Vec<&str> = found.roots.iter().map(String::as_str).collect();
        assert_eq!(roots, ["pkg:cargo/libc@0.2.150"]);
    }

    #[test]
    fn a_file_that_does_not_read_is_named() {
        let files =
            [("package-lock.json", "{ nope"), ("Cargo.lock", CARGO), ("yarn.lock", "\u{0}\u{1}x")];
        let found = inventory(&files, &Scope::default());
        let unread: Vec<&str> = found.unread.iter().map(|note| note.path.as_str()).collect();
        assert_eq!(unread, ["package-lock.json", "yarn.lock"]);
        assert_eq!(found.summary(), "1 component in 1 file; 2 files could not be read");
    }

    #[test]
    fn one_package_in_two_files_is_one_component() {
        let poetry = "[[package]]\nname = \"Flask\"\nversion = \"3.0.0\"\ncategory = \"dev\"\n";
        let files = [("requirements.txt", "flask==3.0.0\n"), ("poetry.lock", poetry)];
        let found = inventory(&files, &Scope::default());
        let one = &found.components["pkg:pypi/flask@3.0.0"];
        assert_eq!(one.files.len(), 2);
        assert!(!one.development, "one of the files says that it runs");
        let scope = Scope { without_development: true, ..Scope::default() };
        let found = inventory(&[("poetry.lock", poetry)], &scope);
        assert!(found.components.is_empty());
    }

    #[test]
    fn requirements_are_for_what_their_name_says() {
        let files =
            [("requirements.txt", "flask==3.0.0\n"), ("requirements-dev.txt", "ruff==0.5.0\n")];
        let found = inventory(&files, &Scope::default());
        assert!(!found.components["pkg:pypi/flask@3.0.0"].development);
        assert!(found.components["pkg:pypi/ruff@0.5.0"].development);
    }

    mod lenient {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            #[test]
            fn no_reader_panics(text in "[ -~\n\t{}\\[\\]:\"',@/#()=>%-]{0,200}") {
                for read in [
                    npm::read, pnpm::read, yarn::read, bun::read, python::poetry, python::uv,
                    python::pipfile, requirements::read, cargo::read, ruby::read, php::read,
                    beam::read, jvm::gradle, jvm::pom, dotnet::read,
                ] {
                    let read: fn(&str) -> Result<Locked, String> = read;
                    let _ = read(&text);
                }
                let _ = go::read(&text, Some(&text));
            }

            #[test]
            fn half_a_lock_file_does_not_panic_either(cut in 0_usize..400) {
                let whole = [
                    "\"a@^1\", \"@b/c@npm:d@2\":\n  version \"1.0.0\"\n  dependencies:\n    \"e\" \"^1\"\n",
                    "%{\n  \"jason\": {:hex, :jason, \"1.4.1\", \"aa\", [:mix], [{:decimal, \"~> 1.0\", []}], \"hexpm\", \"bb\"},\n",
                    "GEM\n  specs:\n    a (1.0-x)\n      b (~> 1)\nDEPENDENCIES\n  a!\nCHECKSUMS\n  a (1.0) sha256=aa\n",
                    "module a\ngo 1.13\nrequire (\n b v1.0.0 // indirect\n)\nreplace b v1.0.0 => c v2\n",
                    "lockfileVersion: '9.0'\npackages:\n  '@a/b@1(c@2)':\n    resolution: {integrity: sha512-AA}\n",
                ];
                for text in whole {
                    let half: String = text.chars().take(cut).collect();
                    let _ = (yarn::read(&half), beam::read(&half), ruby::read(&half));
                    let _ = (go::read(&half, Some(&half)), pnpm::read(&half), bun::read(&half));
                }
            }
        }
    }
}
