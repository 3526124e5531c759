//! Migrations that nothing in the application runs: the program of SeaORM's migration crate, which is a
//! member of the workspace, or the program of sqlx or Diesel, in the version of the library. These two are
//! built where they are told of the database by `DATABASE_URL` alone: PostgreSQL and MySQL.

use windlass_plugin_common::compiled::TOOLS;
use windlass_sdk::plan::Run;

use crate::facts::Facts;
use crate::program::Program;

/// A library whose migrations a program of its own applies.
struct Tool {
    library: &'static str,
    package: &'static str,
    program: &'static str,
    /// Features that the program always gets.
    features: &'static str,
    migrations: &'static str,
    /// In a source: the application applies them itself.
    signs: &'static [&'static str],
}

const TOOLS_OF_RUST: [Tool; 2] = [
    Tool {
        library: "sqlx",
        package: "sqlx-cli",
        program: "sqlx",
        features: "rustls,",
        migrations: "**/migrations/*.sql",
        signs: &["migrate!(", "Migrator::new("],
    },
    Tool {
        library: "diesel",
        package: "diesel_cli",
        program: "diesel",
        features: "",
        migrations: "**/migrations/*/up.sql",
        signs: &["embed_migrations!", "run_pending_migrations("],
    },
];
const DATABASES: [&str; 2] = ["postgres", "mysql"];
const DEPTH: u32 = 6;
const FILES_MAX: u32 = 2_000;
/// Sources that are searched.
const SEARCHED_MAX: usize = 300;

/// Whether a program is the one of SeaORM's migration crate.
pub(crate) fn is_migrator(facts: &Facts, program: &Program) -> bool {
    let package = facts.packages.get(&program.folder);
    package.is_some_and(|package| package.uses("sea-orm-migration"))
        && facts.text(&program.file).contains("run_cli(")
}

/// The program's name, and the command that builds it.
pub(crate) fn tool(facts: &Facts) -> Option<(&'static str, Run)> {
    let tool = TOOLS_OF_RUST.iter().find(|tool| tool.is_used(facts))?;
    let version = locked(&facts.text("Cargo.lock"), tool.library)?;
    // Both are published together with their library; of Diesel's not every version is.
    let version = match version.rsplit_once('.') {
        Some((minor, _)) if tool.library == "diesel" => format!("~{minor}"),
        _ => format!("={version}"),
    };
    let wanted = |name: &&str| {
        let mut packages = facts.packages.values();
        packages.any(|one| {
            one.dependencies.get(tool.library).is_some_and(|all| all.iter().any(|f| f == name))
        })
    };
    let databases: Vec<&str> = DATABASES.into_iter().filter(wanted).collect();
    if databases.is_empty() {
        return None;
    }
    let features = format!("{}{}", tool.features, databases.join(","));
    let run = Run::new([
        "cargo",
        "install",
        "--locked",
        "--root",
        TOOLS,
        "--no-default-features",
        "--features",
        &features,
        "--version",
        &version,
        tool.package,
    ]);
    Some((tool.program, run))
}

impl Tool {
    /// Whether there are migrations that nothing in the application runs.
    fn is_used(&self, facts: &Facts) -> bool {
        let used = facts.packages.values().any(|package| package.uses(self.library));
        used && !list(facts, self.migrations).is_empty() && !self.is_called(facts)
    }

    fn is_called(&self, facts: &Facts) -> bool {
        let files = list(facts, "**/src/**/*.rs");
        let files: Vec<&str> = files.iter().map(String::as_str).take(SEARCHED_MAX).collect();
        files.chunks(50).any(|batch| {
            facts.source.prefetch(batch);
            batch.iter().any(|path| {
                let text = facts.text(path);
                self.signs.iter().any(|sign| text.contains(sign))
            })
        })
    }
}

/// Files of the application.
fn list(facts: &Facts, glob: &str) -> Vec<String> {
    let listing = facts.source.list(&[glob], DEPTH, FILES_MAX);
    let paths = listing.map(|listing| listing.entries).unwrap_or_default().into_iter();
    let own = |path: &String| {
        !path.split('/').any(|part| matches!(part, "target" | "examples" | "tests"))
    };
    paths.map(|entry| entry.path).filter(own).collect()
}

/// The version of a package in `Cargo.lock`.
fn locked(lock: &str, package: &str) -> Option<String> {
    let name = format!("name = {package:?}");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    let version = lines.nth(1)?.strip_prefix("version = \"")?;
    Some(version.trim_end_matches('"').to_owned())
}
