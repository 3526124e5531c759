//! A migration tool as a row of data, and what follows from it.

use windlass_plugin_common::migrations::{self, NodeTool};
use windlass_plugin_common::{command, package_json::PackageJson};
use windlass_sdk::{Evidence, Migration};

use crate::facts::Facts;
use crate::{leave, migration};

/// Where the tool's program comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Program {
    /// One of these packages, which must be declared.
    Packages(&'static [&'static str]),
    /// The framework or the language that the image has.
    Image,
    /// The output for migrations, where the builder made one; else what to do instead.
    Built(&'static str),
    /// The same for applications in this language; it is told by `DATABASE_URL` where the database is.
    Told(&'static str, &'static str),
    /// Nowhere: what to do instead.
    Absent(&'static str),
}

/// A tool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    /// For people.
    pub(crate) name: &'static str,
    pub(crate) ecosystems: &'static [&'static str],
    /// Packages one of which must be declared; none where files alone are the sign.
    pub(crate) packages: &'static [&'static str],
    /// Globs of files one of which must be there; none where the package alone is the sign.
    pub(crate) files: &'static [&'static str],
    /// Globs of its migrations; none where a tool needs none of the application's own.
    pub(crate) migrations: &'static [&'static str],
    pub(crate) argv: &'static [&'static str],
    pub(crate) program: Program,
    /// In a command: the application does it itself.
    pub(crate) commands: &'static [&'static str],
    /// In a source: the application does it itself at its start.
    pub(crate) signs: &'static [&'static str],
    /// Globs of those sources.
    pub(crate) sources: &'static [&'static str],
    /// How a migration is made.
    pub(crate) create: &'static str,
    /// For a script of package.json that is the command.
    pub(crate) node: Option<&'static NodeTool>,
    /// Tools that this one uses, and that are not meant where it is found.
    pub(crate) over: &'static [&'static str],
    /// What no row can say.
    pub(crate) special: fn(&Facts, &mut Found),
}

/// A row with nothing in it.
pub(crate) const TOOL: Tool = Tool {
    name: "",
    ecosystems: &[],
    packages: &[],
    files: &[],
    migrations: &[],
    argv: &[],
    program: Program::Image,
    commands: &[],
    signs: &[],
    sources: &[],
    create: "",
    node: None,
    over: &[],
    special: |_, _| {},
};

/// What was found of a tool so far.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) argv: Vec<String>,
    pub(crate) evidence: Vec<Evidence>,
    /// The first of its files.
    pub(crate) file: Option<String>,
    /// The newest last.
    pub(crate) migrations: Vec<String>,
    /// Why it is not run.
    pub(crate) leave: Option<String>,
    /// Nothing was found after all.
    pub(crate) absent: bool,
}

impl Found {
    /// Says why it is not run, if nothing said so before.
    pub(crate) fn leave(&mut self, why: impl Into<String>) {
        self.leave.get_or_insert_with(|| why.into());
    }

    /// The folder of its migrations, with this many folders of their own below it; several are said.
    pub(crate) fn folder(&mut self, below: usize) -> String {
        let folder = |path: &String| {
            let parts: Vec<&str> = path.split('/').collect();
            parts[..parts.len().saturating_sub(below + 1)].join("/")
        };
        let mut folders: Vec<String> = self.migrations.iter().map(folder).collect();
        folders.sort();
        folders.dedup();
        if folders.len() > 1 {
            self.leave(format!(
                "its migrations lie in several folders ({}): set migrate.command in windlass.toml",
                folders.join(", ")
            ));
        }
        folders
            .into_iter()
            .next()
            .filter(|folder| !folder.is_empty())
            .unwrap_or_else(|| ".".to_owned())
    }

    /// Sets the command.
    pub(crate) fn run(&mut self, words: &[&str]) {
        self.argv = words.iter().map(|word| (*word).to_owned()).collect();
    }
}

impl Tool {
    /// The migration with this tool, if the application uses it.
    pub(crate) fn find(&self, facts: &Facts) -> Option<Migration> {
        if !self.ecosystems.contains(&facts.ecosystem.as_str()) {
            return None;
        }
        let package = facts.declared(self.packages);
        let file = facts.first(self.files).map(str::to_owned);
        let missing = |list: &[&str], found: bool| !list.is_empty() && !found;
        if missing(self.packages, package.is_some()) || missing(self.files, file.is_some()) {
            return None;
        }
        let mut found = Found {
            argv: self.argv.iter().map(|word| (*word).to_owned()).collect(),
            evidence: package.into_iter().collect(),
            migrations: by_name(facts.matching(self.migrations)),
            file: file.clone(),
            leave: None,
            absent: false,
        };
        found.evidence.extend(file.map(|file| Evidence::new(file, "")));
        (self.special)(facts, &mut found);
        if found.absent || found.evidence.is_empty() && found.migrations.is_empty() {
            return None;
        }
        self.script(facts, &mut found);
        self.decide(facts, &mut found);
        Some(self.finish(found))
    }

    /// The project's own script knows where the tool's settings lie.
    fn script(&self, facts: &Facts, found: &mut Found) {
        let script = |json: &PackageJson| {
            let (name, line) = migrations::script(json, self.node?)?;
            Some((name.to_owned(), line.to_owned()))
        };
        if let Some((name, line)) = facts.package.as_ref().and_then(script) {
            found.argv = command::argv(&line);
            found.evidence.push(Evidence::new("package.json", format!("scripts.{name}: {line}")));
        }
    }

    /// The first reason not to run it.
    fn decide(&self, facts: &Facts, found: &mut Found) {
        if found.leave.is_some() {
            return;
        }
        if let Some(place) = facts.runs_itself(self.commands) {
            return found.leave(format!("{place} does it already"));
        }
        if !self.migrations.is_empty() && found.migrations.is_empty() {
            return found.leave(format!("there are no migrations: {}", self.create));
        }
        if !self.signs.is_empty()
            && let Some(sign) = facts.at_start(self.sources, self.signs)
        {
            let place = format!("{}, {}", facts.shown(&sign.path), sign.detail);
            found.evidence.push(sign);
            return found.leave(format!("the application does it itself at its start ({place})"));
        }
        match self.program {
            Program::Packages(names) if facts.declared(names).is_none() => {
                let name = names.first().copied().unwrap_or_default();
                found.leave(format!("{name}, which brings its program, is no dependency: add it"));
            }
            Program::Absent(instead) => found.leave(instead),
            Program::Built(instead) if !facts.has_tools => found.leave(instead),
            Program::Told(language, instead)
                if !facts.has_tools || facts.ecosystem != language =>
            {
                found.leave(instead);
            }
            Program::Told(..) if !facts.has_variable(&["DATABASE_URL"]) => found.leave(
                "DATABASE_URL, which tells the tool where the database is, is not set: `windlass env set \
                 --secret DATABASE_URL=…`",
            ),
            Program::Packages(_) | Program::Image | Program::Built(_) | Program::Told(..) => {}
        }
    }

    fn finish(&self, found: Found) -> Migration {
        let mut evidence = found.evidence;
        if let Some(newest) = found.migrations.last() {
            let schema = ["schema.rb", "structure.sql"].iter().any(|end| newest.ends_with(end));
            let what = if schema { "a schema" } else { "the newest migration" };
            evidence.push(Evidence::new(newest, what));
        }
        let mut migration = migration(self.name, found.argv, evidence);
        if let Some(why) = found.leave {
            leave(&mut migration, &why);
        }
        migration
    }
}

/// Migrations are numbered: by the name of the folder or file that has the number.
pub(crate) fn by_name(mut paths: Vec<&str>) -> Vec<String> {
    let key = |path: &str| {
        let mut parts: Vec<&str> = path.rsplit('/').take(2).collect();
        parts.reverse();
        let numbered = |part: &&str| part.contains(|c: char| c.is_ascii_digit());
        parts.iter().find(|part| numbered(part)).map_or(path.to_owned(), |part| (*part).to_owned())
    };
    paths.sort_by_cached_key(|path| key(path));
    paths.into_iter().map(str::to_owned).collect()
}

/// What to say of a database that is a file in the image; `None` where a volume may hold it.
pub(crate) fn lost_with_the_image(facts: &Facts) -> Option<&'static str> {
    (!facts.has_volumes()).then_some(
        "the database is a SQLite file in the image, so what a migration writes is gone with its \
         container: put the file on a volume (run.volumes in windlass.toml), or use a database service",
    )
}
