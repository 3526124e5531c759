//! What is known of the application before anything is decided: its settings, its manifests, and one
//! listing of the files that a migration tool or an application's start may lie in.

use windlass_plugin_common::glob::Globs;
use windlass_plugin_common::layout::{Declared, OUTPUT_MIGRATE};
use windlass_plugin_common::lines::{self, has_word, is_comment};
use windlass_plugin_common::package_json::PackageJson;
use windlass_plugin_common::paths::{join, normal};
use windlass_plugin_common::procfile::{self, Entry};
use windlass_plugin_common::python::Manifests;
use windlass_plugin_common::{scripts, settings};
use windlass_sdk::config::{Migrate, Settings};
use windlass_sdk::{Context, Detection, Evidence, PluginError, Source};

/// What is listed, and how deep.
const LISTED: [&str; 4] = [
    "**/*.{js,cjs,mjs,ts,mts,cts,py,rb,php,rs,go,ex,exs,eex,java,kt,kts,groovy,scala,clj,cs,fs,vb}",
    "**/*.{json,toml,ini,cfg,conf,xml,yml,yaml,properties,gradle,sql,prisma,hcl,mod,csproj,fsproj,vbproj,props}",
    "**/{Gemfile,Rakefile,artisan,.sequelizerc,.flaskenv,docker-entrypoint,migrate,atlas.sum,schema.rb}",
    "**/*.{sh,sum}",
];
const DEPTH: u32 = 9;
const LISTED_MAX: u32 = 20_000;
/// Folders in which nothing of the application itself lies.
const FOREIGN: [&str; 17] = [
    "node_modules",
    "vendor",
    ".venv",
    "venv",
    "site-packages",
    "target",
    "obj",
    "deps",
    "_build",
    "test",
    "tests",
    "__tests__",
    "spec",
    "testdata",
    "fixtures",
    "examples",
    "docs",
];
/// What runs a script of every member that has it.
const OF_ALL: [&str; 7] = ["turbo", "nx", "lerna", "-r", "--recursive", "--workspaces", "-ws"];
/// Sources that are searched for what the application does at its start.
const SEARCHED_MAX: usize = 300;
const SEARCHED_BYTES_MAX: u64 = 200_000;
/// Files that are read in one call.
const BATCH: usize = 50;

/// The facts.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) settings: Settings,
    /// Whether windlass.toml itself says how to migrate; another platform's file may, too.
    pub(crate) migrate_is_own: bool,
    pub(crate) procfile: Vec<Entry>,
    pub(crate) ecosystem: String,
    /// Whether the builder made an output that has the migration's tool.
    pub(crate) has_tools: bool,
    /// Whether the builder chose a member of the workspace itself.
    is_chosen_member: bool,
    /// Whether the builder runs the start script, where no command line was declared.
    starts_a_script: bool,
    /// The file that the builder starts from, where the detection names one first.
    pub(crate) main: Option<String>,
    /// `None` without one, or if it does not read: the builder says so.
    pub(crate) package: Option<PackageJson>,
    pub(crate) python: Manifests,
    pub(crate) variables: Vec<String>,
    /// The application, where these are the facts of a member of its workspace.
    app: Option<&'a Facts<'a>>,
    /// The folder of such a member, from the root of its workspace; else empty.
    folder: String,
    /// The way from there to the application's folder: `../../apps/web`; else empty.
    to_app: String,
    source: &'a Source,
    files: Vec<(String, u64)>,
}

impl<'a> Facts<'a> {
    /// Gathers them.
    ///
    /// # Errors
    /// Codes `settings.invalid`, `source.unreadable`.
    pub(crate) fn gather(
        ctx: &Context,
        root: &Source,
        source: &'a Source,
        chosen: &Detection,
        outputs: &[String],
    ) -> Result<Self, PluginError> {
        source.prefetch(&["package.json", "requirements.txt", "pyproject.toml"]);
        // The builder reads that of the member which it chose; at the root there is none with processes then.
        let procfile = match procfile::read(root)? {
            listed if listed.is_empty() => procfile::read(source)?,
            listed => listed,
        };
        Ok(Self {
            settings: settings::read(ctx, root)?,
            migrate_is_own: Settings::of(ctx)?.migrate != Migrate::Unset,
            procfile,
            ecosystem: chosen.ecosystem.clone(),
            has_tools: outputs.iter().any(|output| output == OUTPUT_MIGRATE),
            is_chosen_member: chosen.app_dir.is_some(),
            starts_a_script: !chosen.evidence.iter().any(starts_otherwise),
            main: chosen.evidence.first().map(|sign| sign.path.clone()),
            package: PackageJson::read(source).ok().flatten(),
            python: Manifests::read(source).unwrap_or_default(),
            variables: ctx.variable_names.clone(),
            app: None,
            folder: String::new(),
            to_app: String::new(),
            source,
            files: Vec::new(),
        })
    }

    /// The facts of a member of the workspace that the application needs: its own files and packages, and of
    /// the application what it starts. Both folders are given from the root of the workspace.
    pub(crate) fn member(
        app: &'a Self,
        app_folder: &str,
        folder: &str,
        source: &'a Source,
        package: PackageJson,
    ) -> Self {
        Self {
            settings: app.settings.clone(),
            migrate_is_own: app.migrate_is_own,
            procfile: app.procfile.clone(),
            ecosystem: app.ecosystem.clone(),
            has_tools: app.has_tools,
            is_chosen_member: app.is_chosen_member,
            starts_a_script: app.starts_a_script,
            main: None,
            package: Some(package),
            python: Manifests::default(),
            variables: app.variables.clone(),
            app: Some(app),
            folder: folder.to_owned(),
            to_app: join(&"../".repeat(folder.split('/').count()), app_folder),
            source,
            files: Vec::new(),
        }
    }

    /// Lists the files; before, [`Self::matching`] finds nothing.
    ///
    /// # Errors
    /// Code `source.unreadable`.
    pub(crate) fn list(&mut self) -> Result<(), PluginError> {
        let listing = self.source.list(&LISTED, DEPTH, LISTED_MAX)?;
        let own = |path: &str| !path.split('/').any(|part| FOREIGN.contains(&part));
        let files = listing.entries.into_iter().filter(|entry| own(&entry.path));
        self.files = files.map(|entry| (entry.path, entry.size)).collect();
        self.files.sort_by_cached_key(|(path, _)| (path.matches('/').count(), path.clone()));
        Ok(())
    }

    /// Listed files that match one of the globs: those that lie less deep first, then by name.
    pub(crate) fn matching(&self, globs: &[&str]) -> Vec<&str> {
        let globs = Globs::new(globs);
        let paths = self.files.iter().map(|(path, _)| path.as_str());
        paths.filter(|path| globs.match_path(path)).collect()
    }

    /// The first of these.
    pub(crate) fn first(&self, globs: &[&str]) -> Option<&str> {
        self.matching(globs).first().copied()
    }

    /// Text of a file, if it can be read.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        self.source.text(path).ok().flatten()
    }

    /// Whether the environment keeps files over deployments.
    pub(crate) fn has_volumes(&self) -> bool {
        !self.settings.run.volumes.is_empty()
    }

    /// Whether one of these variables is set.
    pub(crate) fn has_variable(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.variables.iter().any(|known| known == name))
    }

    /// Where the first of these packages is declared that is.
    pub(crate) fn declared(&self, packages: &[&str]) -> Option<Evidence> {
        packages.iter().find_map(|package| self.declares(package))
    }

    fn declares(&self, package: &str) -> Option<Evidence> {
        match self.ecosystem.as_str() {
            "node" => {
                let json = self.package.as_ref().filter(|json| json.uses(package))?;
                Some(Evidence::new("package.json", json.key_of(package)))
            }
            "python" => {
                let (file, key) = self.python.declares(package)?;
                Some(Evidence::new(file, key))
            }
            _ => self.line_in(&self.matching(manifests(&self.ecosystem)), &[package]),
        }
    }

    /// The first line in these files that holds one of these as a word and is no comment.
    pub(crate) fn line_in(&self, files: &[&str], words: &[&str]) -> Option<Evidence> {
        self.source.prefetch(files);
        files.iter().find_map(|path| {
            let text = self.text(path)?;
            let (n, line) = lines::find(&text, words)?;
            let word = words.iter().find(|word| has_word(line, word)).copied();
            let line = lines::shown(line, word.unwrap_or_default());
            Some(Evidence::new(*path, format!("line {n}: {line}")))
        })
    }

    /// The first line of the application's sources that holds one of these signs. Programs and scripts
    /// that are there for migrations alone do not count, unless another source imports them. A member's path of
    /// what lies in the application leads out of its folder.
    pub(crate) fn at_start(&self, globs: &[&str], signs: &[&str]) -> Option<Evidence> {
        let files = self.searched(globs);
        let own = files.chunks(BATCH).find_map(|batch| {
            self.source.prefetch(batch);
            batch.iter().find_map(|path| {
                let text = self.text(path)?;
                let holds =
                    |line: &&str| !is_comment(line) && signs.iter().any(|sign| line.contains(sign));
                let line = text.lines().position(|line| holds(&line))?;
                let imported = || {
                    let by_app = |app: &Facts| app.imports(path, &app.searched(globs));
                    self.imports(path, &files) || self.app.is_some_and(by_app)
                };
                if is_for_migrations(path) && !imported() {
                    return None;
                }
                Some(Evidence::new(*path, format!("line {}", line + 1)))
            })
        });
        own.or_else(|| {
            let sign = self.app?.at_start(globs, signs)?;
            Some(Evidence { path: join(&self.to_app, &sign.path), ..sign })
        })
    }

    /// A path for people: a member's from the root of the workspace.
    pub(crate) fn shown(&self, path: &str) -> String {
        normal(&join(&self.folder, path))
    }

    /// Sources that match one of the globs, as many as are searched.
    fn searched(&self, globs: &[&str]) -> Vec<&str> {
        let globs = Globs::new(globs);
        let fits =
            |(path, size): &&(String, u64)| *size < SEARCHED_BYTES_MAX && globs.match_path(path);
        let files = self.files.iter().filter(fits).take(SEARCHED_MAX);
        files.map(|(path, _)| path.as_str()).collect()
    }

    /// Whether one of the files imports a file of this path.
    fn imports(&self, path: &str, files: &[&str]) -> bool {
        let stem = stem(path);
        let imports = |line: &str| {
            let words = ["import", "require", "from ", "mod ", "use "];
            words.iter().any(|word| line.contains(word)) && has_word(line, stem)
        };
        let asks = |file: &&&str| **file != path && !is_for_migrations(file);
        files
            .iter()
            .filter(asks)
            .any(|file| self.text(file).is_some_and(|text| text.lines().any(imports)))
    }

    /// Where a command stands that holds one of these: at the application's start, or in the settings' build
    /// command. Scripts of the build do not count: a build has no database.
    pub(crate) fn runs_itself(&self, signs: &[&str]) -> Option<String> {
        if let Some(app) = self.app {
            return app.runs_itself(signs).or_else(|| self.is_called(app, signs));
        }
        let lines = self.lines();
        if let Some((place, _)) = lines.iter().find(|(_, line)| runs(line, signs)) {
            return Some(place.clone());
        }
        // A script that the command calls, such as `sh start.sh` or `bin/docker-entrypoint`.
        lines.iter().find_map(|(place, line)| {
            let mut called = line.split_whitespace().map(|word| word.trim_start_matches("./"));
            let file = called.find(|word| {
                let shell = stem(word).contains("entrypoint") || word.ends_with(".sh");
                let holds =
                    |text: String| text.lines().any(|line| !is_comment(line) && runs(line, signs));
                shell && self.text(word).is_some_and(holds)
            })?;
            Some(format!("{file}, which {place} calls,"))
        })
    }

    /// Where the application calls a script of this member that holds one of these: `pnpm --filter @x/db
    /// migrate`.
    fn is_called(&self, app: &Facts, signs: &[&str]) -> Option<String> {
        let package = self.package.as_ref()?;
        let is_script = |word: &str| package.script(word).is_some_and(|script| runs(script, signs));
        let below = format!("/{}", self.folder);
        let names = |word: &str| {
            let word = word.trim_end_matches(['/', '.']);
            let named = Some(word) == package.name() || word == self.folder;
            named || word.ends_with(&below) || OF_ALL.contains(&word)
        };
        let lines = app.lines();
        let calls = |line: &str| {
            let words = || line.split(|c: char| c.is_whitespace() || c == '=');
            words().any(names) && words().any(is_script)
        };
        let (place, _) = lines.iter().find(|(_, line)| calls(line))?;
        Some(place.clone())
    }

    /// The command lines that start the application, the scripts that these call, and the settings' build
    /// command, with their places.
    fn lines(&self) -> Vec<(String, String)> {
        let mut lines = self.started();
        if let Some(package) = &self.package {
            let mut all = Vec::new();
            for (place, line) in &lines {
                follow(package, place, line, &mut all);
            }
            lines.extend(all);
        }
        let build = self.settings.build.command.clone();
        lines.extend(build.map(|line| ("build.command".to_owned(), line)));
        lines
    }

    /// The command lines of the processes: those that were declared, else the start script that the builder
    /// takes.
    fn started(&self) -> Vec<(String, String)> {
        let declared = Declared::of(&self.settings, &self.procfile);
        let web = declared.web.as_ref().map(|(line, file, sign)| {
            let key = sign.split(':').next().unwrap_or(file);
            let from_procfile = *file == procfile::FILE;
            let place = if from_procfile { format!("web of the {file}") } else { key.to_owned() };
            // `pnpm --filter web start` is the script of the member that was chosen for it.
            let called = scripts::of_member(line).filter(|_| self.is_chosen_member);
            (place, called.map_or_else(|| line.clone(), |(.., called)| called))
        });
        let worker = |(name, line): &(String, String)| {
            let listed = self.procfile.iter().any(|entry| entry.command == *line);
            let place = if listed {
                format!("{name} of the Procfile")
            } else {
                format!("run.processes.{name}")
            };
            (place, line.clone())
        };
        let scripted = web.is_none() && !declared.only_workers && self.starts_a_script;
        let package = self.package.as_ref().filter(|_| scripted && self.ecosystem == "node");
        let start = package.and_then(|json| scripts::starting(json, &|path| self.text(path)));
        let names = start.map(|name| [name.to_owned(), format!("pre{name}")]);
        let script =
            |name: String| Some((format!("scripts.{name}"), package?.script(&name)?.to_owned()));
        let workers = declared.workers.iter().map(worker);
        web.into_iter()
            .chain(workers)
            .chain(names.into_iter().flatten().filter_map(script))
            .collect()
    }
}

/// Adds the scripts that a line calls, and those that these call, each once.
fn follow(package: &PackageJson, place: &str, line: &str, all: &mut Vec<(String, String)>) {
    for name in scripts::called(package, line) {
        for name in [format!("pre{name}"), name.to_owned()] {
            let there = format!("scripts.{name}, which {place} calls,");
            let Some(line) = package.script(&name) else {
                continue;
            };
            if !all.iter().any(|(known, _)| *known == there) {
                all.push((there, line.to_owned()));
                follow(package, place, line, all);
            }
        }
    }
}

/// Whether a line holds one of the commands, whatever flags stand in between.
fn runs(line: &str, signs: &[&str]) -> bool {
    let bare = without_flags(line);
    signs.iter().any(|sign| line.contains(sign) || bare.contains(sign))
}

/// Whether the builder says that the server is one that its framework made, whatever the start script says.
fn starts_otherwise(sign: &Evidence) -> bool {
    let begins = [scripts::BUILT_BY_NX, scripts::LEFT_OUT];
    sign.detail == scripts::STANDALONE || begins.iter().any(|begin| sign.detail.starts_with(begin))
}

/// The files that name an ecosystem's dependencies.
fn manifests(ecosystem: &str) -> &'static [&'static str] {
    match ecosystem {
        "go" => &["go.mod"],
        "rust" => &["Cargo.toml", "*/Cargo.toml", "*/*/Cargo.toml"],
        "ruby" => &["Gemfile"],
        "php" => &["composer.json"],
        "java" | "kotlin" | "scala" | "clojure" => &[
            "{pom.xml,build.gradle,build.gradle.kts,gradle/libs.versions.toml}",
            "{*,*/*}/{pom.xml,build.gradle,build.gradle.kts}",
        ],
        "dotnet" => &["**/*.{csproj,fsproj,vbproj}", "Directory.Packages.props"],
        "elixir" => &["mix.exs", "apps/*/mix.exs"],
        _ => &[],
    }
}

/// The name of a file without folders and extensions.
pub(crate) fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split('.').next().unwrap_or(name)
}

/// Whether a source is there for migrations alone: `scripts/migrate.ts`, `cmd/migrate/main.go`.
fn is_for_migrations(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let alone = |part: &str| ["migrat", "umzug", "seed"].iter().any(|sign| part.contains(sign));
    path.starts_with("scripts/") || path.split('/').rev().take(2).any(alone)
}

/// `dbmate --wait migrate` → `dbmate migrate`
fn without_flags(line: &str) -> String {
    line.split_whitespace().filter(|word| !word.starts_with('-')).collect::<Vec<_>>().join(" ")
}
