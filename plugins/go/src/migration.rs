//! goose and golang-migrate, where `go.mod` names one and the application does not call it: the program is
//! built in the version that is named there. Both are told of a PostgreSQL database by `DATABASE_URL`;
//! other databases want an address of their own kind.

use windlass_plugin_common::compiled::TOOLS;
use windlass_sdk::plan::Run;

use crate::facts::Facts;

/// A tool.
struct Tool {
    module: &'static str,
    /// Its program's package, within the module.
    package: &'static str,
    program: &'static str,
    /// What the build leaves out or takes in.
    tags: &'static str,
    /// The first version of the module that can be used so.
    least: (u64, u64),
    /// Globs of its migrations, and what one of them holds.
    migrations: &'static str,
    holds: &'static str,
    /// In a source: the application calls it, or its migrations are code that no other program has.
    signs: &'static [&'static str],
}

const TOOLS_OF_GO: [Tool; 2] = [
    Tool {
        module: "github.com/pressly/goose/v3",
        package: "cmd/goose",
        program: "goose",
        tags: "no_clickhouse,no_libsql,no_mssql,no_mysql,no_sqlite3,no_turso,no_vertica,no_ydb",
        least: (3, 14),
        migrations: "**/*.sql",
        holds: "-- +goose Up",
        signs: &["goose.Up", "goose.NewProvider(", "goose.Run", "goose.Add"],
    },
    Tool {
        module: "github.com/golang-migrate/migrate/v4",
        package: "cmd/migrate",
        program: "migrate",
        tags: "pgx5",
        least: (4, 16),
        migrations: "**/*.up.sql",
        holds: "",
        signs: &["migrate.New"],
    },
];
/// Modules that speak to PostgreSQL.
const POSTGRES: [&str; 4] = [
    "github.com/jackc/pgx",
    "github.com/lib/pq",
    "gorm.io/driver/postgres",
    "github.com/uptrace/bun/driver/pgdriver",
];
const DEPTH: u32 = 6;
const MIGRATIONS_MAX: u32 = 200;
/// Sources that are searched.
const SEARCHED_MAX: usize = 300;

/// The program's name, and the command that builds it.
pub(crate) fn tool(facts: &Facts) -> Option<(&'static str, Run)> {
    if !POSTGRES.iter().any(|module| facts.requires(module).is_some()) {
        return None;
    }
    let (tool, version) = TOOLS_OF_GO.iter().find_map(|tool| {
        let version = facts.modules.values().find_map(|module| module.version(tool.module))?;
        (numbers(version)? >= tool.least && tool.is_used(facts)).then_some((tool, version))
    })?;
    let package = format!("{}/{}@{version}", tool.module, tool.package);
    let run =
        Run::new(["go", "install", "-trimpath", "-ldflags", "-s -w", "-tags", tool.tags, &package]);
    let bin = format!("{TOOLS}/bin");
    Some((tool.program, run.env("GOBIN", &bin).env("GOFLAGS", "").env("CGO_ENABLED", "0")))
}

impl Tool {
    /// Whether there are migrations that nothing in the application runs.
    fn is_used(&self, facts: &Facts) -> bool {
        let Ok(listing) = facts.source.list(&[self.migrations], DEPTH, MIGRATIONS_MAX) else {
            return false;
        };
        let own =
            |path: &String| !path.split('/').any(|part| matches!(part, "vendor" | "testdata"));
        let files = listing.entries.into_iter().map(|entry| entry.path).filter(own);
        let found = files.take(20).any(|path| facts.text(&path).contains(self.holds));
        found && !self.is_called(facts)
    }

    fn is_called(&self, facts: &Facts) -> bool {
        let files: Vec<&str> = facts.files.iter().map(String::as_str).take(SEARCHED_MAX).collect();
        files.chunks(50).any(|batch| {
            facts.source.prefetch(batch);
            batch.iter().filter(|path| !is_for_migrations(path)).any(|path| {
                let text = facts.text(path);
                self.signs.iter().any(|sign| text.contains(sign))
            })
        })
    }
}

/// Whether a program is there for migrations alone: `cmd/migrate/main.go`. It is not the application.
fn is_for_migrations(path: &str) -> bool {
    path.ends_with("/main.go") && path.to_ascii_lowercase().contains("migrat")
}

/// `v3.20.0` → 3, 20
fn numbers(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.strip_prefix('v')?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
