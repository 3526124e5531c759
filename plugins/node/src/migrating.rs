//! Migrations in the scripts of a build. A build has no database and none of the variables that the
//! application runs with, so such a script is run by its parts, without those that migrate: they have
//! their own time, before the new version gets traffic.

use windlass_plugin_common::migrations;
use windlass_plugin_common::package_json::PackageJson;

use crate::facts::Facts;

/// How deep scripts that call each other are looked through.
const DEPTH: usize = 4;
/// Programs that run several scripts, by names that may have wildcards.
const RUNNERS: [&str; 5] = ["run-s", "run-p", "npm-run-all", "npm-run-all2", "concurrently"];
/// What stands between two commands that cannot be taken apart.
const JOINTS: [char; 7] = ['|', ';', '&', '(', ')', '`', '\n'];
/// Drivers of databases that are a file, and of those that are a service.
const FILES: [&str; 4] = ["better-sqlite3", "sqlite3", "sqlite", "@prisma/adapter-better-sqlite3"];
const SERVICES: [&str; 7] = [
    "pg",
    "postgres",
    "mysql",
    "mysql2",
    "mariadb",
    "@prisma/adapter-pg",
    "@prisma/adapter-mariadb",
];

/// What a script is without its migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Script {
    /// It has none.
    Whole,
    /// What is left, for a shell; and what was left out.
    Cut(String, Vec<String>),
    /// It migrates, and cannot be taken apart.
    Stuck,
}

/// Looks through a script, and with it the scripts that run before and after it where the package
/// manager knows those.
pub(crate) fn script(package: &PackageJson, name: &str, hooks: bool) -> Script {
    let mut seen = Seen { package, hooks, dropped: Vec::new(), stuck: false };
    let left = seen.script(name, 0);
    match (seen.stuck, seen.dropped.is_empty()) {
        (true, _) => Script::Stuck,
        (false, true) => Script::Whole,
        (false, false) => Script::Cut(left.join(" && "), seen.dropped),
    }
}

/// Whether a line of the settings migrates.
pub(crate) fn in_line(line: &str) -> bool {
    line.split(JOINTS).any(migrations::applies)
}

/// Whether the database may be a file, which a build can make and the image can hold.
pub(crate) fn may_be_a_file(facts: &Facts) -> bool {
    facts.packages().into_iter().any(|(dir, package)| {
        let uses = |names: &[&str]| names.iter().any(|name| package.uses(name));
        let schema = facts.package_text(dir, "prisma/schema.prisma").unwrap_or_default();
        let sqlite = |line: &str| line.contains("provider") && line.contains("\"sqlite\"");
        schema.lines().any(sqlite) || uses(&FILES) && !uses(&SERVICES)
    })
}

struct Seen<'p> {
    package: &'p PackageJson,
    hooks: bool,
    dropped: Vec<String>,
    stuck: bool,
}

impl Seen<'_> {
    /// What is left of a script and its hooks.
    fn script(&mut self, name: &str, depth: usize) -> Vec<String> {
        let (package, hooks) = (self.package, self.hooks);
        let names = [format!("pre{name}"), name.to_owned(), format!("post{name}")];
        let names = names.iter().filter(|one| hooks || *one == name);
        names.filter_map(|name| self.line(package.script(name)?, depth)).collect()
    }

    /// What is left of a line.
    fn line(&mut self, line: &str, depth: usize) -> Option<String> {
        let Some(commands) = chain(line) else {
            self.stuck |= in_line(line);
            return Some(format!("( {line} )"));
        };
        let mut left: Vec<String> = Vec::new();
        let mut moved = false;
        for command in commands {
            moved |= command.starts_with("cd ");
            let called = if moved { Vec::new() } else { called(self.package, command) };
            if migrations::applies(command) {
                self.dropped.push(command.to_owned());
            } else if called.is_empty() || depth >= DEPTH {
                self.stuck |= self.hides_a_migration(command);
                left.push(command.to_owned());
            } else {
                let before = self.dropped.len();
                let inner: Vec<String> =
                    called.iter().flat_map(|name| self.script(name, depth + 1)).collect();
                let cut = self.dropped.len() > before;
                if cut { left.extend(inner) } else { left.push(command.to_owned()) }
            }
        }
        let line = left.join(" && ");
        // Every script is run in the folder of its package.
        let line = if moved && !line.is_empty() { format!("( {line} )") } else { line };
        (!line.is_empty()).then_some(line)
    }

    /// Whether a command starts a migration in a way that cannot be taken out of it.
    fn hides_a_migration(&self, command: &str) -> bool {
        let bare = command.replace(['"', '\''], " ");
        in_line(&bare) && !command.starts_with("echo ") || self.runs_one_that_migrates(command)
    }

    fn runs_one_that_migrates(&self, command: &str) -> bool {
        let mut words = command.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
        let runs = words.next().is_some_and(|first| RUNNERS.contains(&first));
        let migrates = |word: &str| {
            let name = word.strip_prefix("npm:").unwrap_or(word);
            self.package.script(name).is_some_and(in_line)
        };
        runs && words.any(migrates)
    }
}

/// The commands of a line that are joined by `&&` alone; `None` for any other.
fn chain(line: &str) -> Option<Vec<&str>> {
    let mut commands = Vec::new();
    let (mut from, mut quote, mut skip) = (0, None, false);
    for (at, c) in line.char_indices() {
        match (quote, c) {
            _ if skip => skip = false,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '&') if line[at..].starts_with("&&") => {
                commands.push(line[from..at].trim());
                (from, skip) = (at + 2, true);
            }
            (None, c) if JOINTS.contains(&c) => return None,
            (None, _) => {}
        }
    }
    commands.push(line[from..].trim());
    let whole = quote.is_none() && commands.iter().all(|command| !command.is_empty());
    whole.then_some(commands)
}

/// The scripts that a command runs one after another, and nothing else.
fn called<'c>(package: &PackageJson, command: &'c str) -> Vec<&'c str> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let names = match words.as_slice() {
        ["npm" | "pnpm" | "yarn" | "bun", "run" | "run-script", name] => vec![*name],
        ["pnpm" | "yarn", name] => vec![*name],
        ["run-s", names @ ..] => names.to_vec(),
        _ => Vec::new(),
    };
    let known = names.iter().all(|name| package.script(name).is_some());
    if known { names } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn cut(scripts: &str) -> Script {
        let package = PackageJson::parse(&format!(r#"{{"scripts":{{{scripts}}}}}"#)).unwrap();
        script(&package, "build", true)
    }

    fn left(line: &str, dropped: &[&str]) -> Script {
        Script::Cut(line.to_owned(), dropped.iter().map(|one| (*one).to_owned()).collect())
    }

    #[test]
    fn a_chain_is_run_without_its_migrations() {
        assert_eq!(cut(r#""build":"prisma generate && next build""#), Script::Whole);
        assert_eq!(
            cut(r#""build":"prisma generate && prisma migrate deploy && next build""#),
            left("prisma generate && next build", &["prisma migrate deploy"])
        );
        assert_eq!(cut(r#""build":"npx prisma db push""#), left("", &["npx prisma db push"]));
        let quoted = r#""build":"echo 'a && b; c' && knex migrate:latest""#;
        assert_eq!(cut(quoted), left("echo 'a && b; c'", &["knex migrate:latest"]));
    }

    #[test]
    fn scripts_that_call_each_other_are_looked_through() {
        let called =
            r#""build":"npm run db && npm run app","db":"drizzle-kit migrate","app":"tsc""#;
        assert_eq!(cut(called), left("npm run app", &["drizzle-kit migrate"]));
        let hooks =
            r#""prebuild":"cd db && prisma migrate deploy","build":"tsc","postbuild":"x; y""#;
        assert_eq!(cut(hooks), left("( cd db ) && tsc && ( x; y )", &["prisma migrate deploy"]));
        let runner = r#""build":"run-s db app","db":"knex migrate:latest","app":"tsc""#;
        assert_eq!(cut(runner), left("tsc", &["knex migrate:latest"]));
        let around = r#""build":"npm run build""#;
        assert_eq!(cut(around), Script::Whole);
    }

    #[test]
    fn what_cannot_be_taken_apart_is_left_alone() {
        assert_eq!(cut(r#""build":"prisma migrate deploy || true""#), Script::Stuck);
        assert_eq!(cut(r#""build":"tsc; knex migrate:latest""#), Script::Stuck);
        let runner = r#""build":"run-p db app","db":"knex migrate:latest","app":"tsc""#;
        assert_eq!(cut(runner), Script::Stuck);
        assert_eq!(cut(r#""build":"sh -c 'knex migrate:latest && tsc'""#), Script::Stuck);
        assert_eq!(cut(r#""build":"tsc; echo done""#), Script::Whole);
        assert_eq!(cut(r#""build":"echo 'no knex migrate:latest' && tsc""#), Script::Whole);
    }
}
