//! Go, Rust and .NET, and programs that belong to no language. What is compiled runs on a bare system, so
//! a tool that is a program of its own is not there: the application migrates itself, or people say how.

use windlass_sdk::Evidence;

use crate::facts::Facts;
use crate::tool::{Found, Program, TOOL, Tool};

const GO: &[&str] = &["go"];
const RUST: &[&str] = &["rust"];
/// Every language whose image has no such program.
const ANY: &[&str] = &[
    "go", "rust", "ruby", "php", "java", "kotlin", "scala", "clojure", "dotnet", "elixir",
    "python", "node", "deno", "gleam", "swift", "dart", "crystal", "haskell",
];
/// dbmate comes as a package for Node.js and is a row there.
const NOT_NODE: &[&str] = &[
    "go", "rust", "ruby", "php", "java", "kotlin", "scala", "clojure", "dotnet", "elixir",
    "python", "deno", "gleam", "swift", "dart", "crystal", "haskell",
];
const GO_SOURCES: &[&str] = &["**/*.go"];
const RUST_SOURCES: &[&str] = &["**/src/**/*.rs"];

/// The tools.
pub(super) const TOOLS: [Tool; 10] = [
    Tool {
        name: "goose",
        ecosystems: ANY,
        argv: &["goose", "up"],
        commands: &["goose up", "goose -dir"],
        signs: &["goose.Up", "goose.NewProvider(", "goose.RunContext(", "goose.Run("],
        sources: GO_SOURCES,
        migrations: &[
            "**/{migrations,migration,migrate,goose,schema,sql}/*.sql",
            "**/{migrations,migration}/*.go",
        ],
        program: Program::Absent(
            "the image has no goose: call goose.Up at the application's start, or set migrate.command in \
             windlass.toml to a program of yours",
        ),
        create: "create them with `goose create` and commit them",
        special: goose,
        ..TOOL
    },
    Tool {
        name: "golang-migrate",
        ecosystems: ANY,
        argv: &["migrate", "up"],
        migrations: &["**/*.up.sql"],
        commands: &["migrate -path", "migrate -source", "migrate -database"],
        signs: &["migrate.New(", "migrate.NewWith"],
        sources: GO_SOURCES,
        program: Program::Absent(
            "the image has no golang-migrate: call it at the application's start, or set migrate.command \
             in windlass.toml to a program of yours",
        ),
        create: "create them with `migrate create` and commit them",
        special: golang_migrate,
        ..TOOL
    },
    Tool {
        name: "Atlas",
        ecosystems: ANY,
        files: &["**/atlas.sum", "atlas.hcl"],
        migrations: &["**/*.sql"],
        argv: &["atlas", "migrate", "apply"],
        commands: &["atlas migrate apply", "atlas schema apply"],
        signs: &["atlasexec.", ".MigrateApply("],
        sources: GO_SOURCES,
        program: Program::Absent(
            "the image has no atlas: run `atlas migrate apply` in your CI, or set migrate.command in \
             windlass.toml to a program of yours",
        ),
        create: "create them with `atlas migrate diff` and commit them",
        over: &["goose", "golang-migrate"],
        special: atlas,
        ..TOOL
    },
    Tool {
        name: "dbmate",
        ecosystems: NOT_NODE,
        migrations: &["db/migrations/*.sql", "migrations/*.sql"],
        argv: &["dbmate", "--no-dump-schema", "migrate"],
        commands: &["dbmate up", "dbmate migrate"],
        signs: &[".CreateAndMigrate()", "dbmate.New("],
        sources: GO_SOURCES,
        program: Program::Absent(
            "the image has no dbmate: set migrate.command in windlass.toml to a program of yours, or run \
             it in your CI",
        ),
        special: dbmate,
        ..TOOL
    },
    Tool {
        name: "Diesel",
        ecosystems: RUST,
        packages: &["diesel", "diesel-async"],
        migrations: &["**/migrations/*/up.sql"],
        argv: &["diesel", "migration", "run"],
        commands: &["diesel migration run", "diesel setup"],
        signs: &["run_pending_migrations(", "embed_migrations!"],
        sources: RUST_SOURCES,
        program: Program::Absent(
            "the image has no diesel: embed the migrations with diesel_migrations and run them at the \
             application's start, or set migrate.command in windlass.toml to a program of yours",
        ),
        create: "create them with `diesel migration generate` and commit them",
        ..TOOL
    },
    Tool {
        name: "sqlx",
        ecosystems: RUST,
        packages: &["sqlx"],
        migrations: &["**/migrations/*.sql"],
        argv: &["sqlx", "migrate", "run"],
        commands: &["sqlx migrate run", "sqlx database setup"],
        signs: &["sqlx::migrate!", "migrate!(", "Migrator::new("],
        sources: RUST_SOURCES,
        program: Program::Absent(
            "the image has no sqlx: run the migrations at the application's start with sqlx::migrate!(), \
             or set migrate.command in windlass.toml to a program of yours",
        ),
        create: "create them with `sqlx migrate add` and commit them",
        ..TOOL
    },
    Tool {
        name: "SeaORM",
        ecosystems: RUST,
        packages: &["sea-orm-migration"],
        migrations: &["**/src/{,*/}m*_*.rs"],
        argv: &["migration", "up"],
        commands: &["migration up", "sea-orm-cli migrate"],
        signs: &["Migrator::up(", "Migrator::refresh("],
        sources: &["src/**/*.rs", "*/src/**/*.rs"],
        program: Program::Absent(
            "the application does not run them itself: call Migrator::up at its start; or, if the \
             migration crate is built into the image, set migrate.command in windlass.toml to \
             `migration up`",
        ),
        create: "create them with `sea-orm-cli migrate generate` and commit them",
        ..TOOL
    },
    Tool {
        name: "refinery",
        ecosystems: RUST,
        packages: &["refinery"],
        migrations: &["**/migrations/{V,U}*__*.{sql,rs}"],
        argv: &["refinery", "migrate"],
        commands: &["refinery migrate"],
        signs: &["embed_migrations!", "migrations::runner("],
        sources: RUST_SOURCES,
        program: Program::Absent(
            "the image has no refinery: embed the migrations and run them at the application's start",
        ),
        create: "write them into a folder migrations and commit them",
        ..TOOL
    },
    Tool {
        name: "Ent",
        ecosystems: GO,
        packages: &["entgo.io/ent"],
        signs: &[".Schema.Create("],
        sources: GO_SOURCES,
        special: |facts, found| {
            found.absent = facts.at_start(GO_SOURCES, &[".Schema.Create("]).is_none();
        },
        over: &["Atlas"],
        ..TOOL
    },
    Tool {
        name: "EF Core",
        ecosystems: &["dotnet"],
        packages: &["Microsoft.EntityFrameworkCore"],
        files: &["**/*ModelSnapshot.{cs,fs,vb}"],
        migrations: &["**/Migrations/**/*_*.{cs,fs,vb}"],
        argv: &["dotnet", "ef", "database", "update"],
        commands: &["dotnet ef database update", "efbundle"],
        signs: &[
            ".Database.Migrate(",
            ".Database.MigrateAsync(",
            ".MigrateDatabase",
            ".MigrateDbContext",
        ],
        sources: &["**/*.{cs,fs,vb}"],
        program: Program::Absent(
            "the image has no SDK for `dotnet ef`: call Database.Migrate() in Program.cs, or publish a \
             bundle (`dotnet ef migrations bundle`) and set migrate.command in windlass.toml to it",
        ),
        create: "create them with `dotnet ef migrations add` and commit them",
        special: ef_core,
        ..TOOL
    },
];

/// Its files say that they are its own.
fn goose(facts: &Facts, found: &mut Found) {
    let package = facts.line_in(&["go.mod"], &["github.com/pressly/goose"]);
    let marked = |path: &String| {
        facts.text(path).is_some_and(|text| text.to_ascii_lowercase().contains("-- +goose up"))
    };
    let code = |path: &String| {
        path.ends_with(".go") && facts.text(path).is_some_and(|text| text.contains("goose."))
    };
    found.migrations.retain(|path| {
        !path.ends_with(".up.sql") && (path.ends_with(".sql") && marked(path) || code(path))
    });
    found.absent = package.is_none() && found.migrations.is_empty();
    found.evidence.extend(package);
}

/// Pairs of files, one up and one down; other tools name theirs so as well.
fn golang_migrate(facts: &Facts, found: &mut Found) {
    let package = facts.line_in(&["go.mod"], &["github.com/golang-migrate/migrate"]);
    let others =
        ["sqlx", "diesel", "node-pg-migrate", "knex", "github.com/uptrace/bun", "db-migrate"];
    let numbered = |path: &String| {
        let name = path.rsplit('/').next().unwrap_or(path);
        name.starts_with(|c: char| c.is_ascii_digit())
    };
    let down =
        |path: &String| facts.first(&[path.replace(".up.sql", ".down.sql").as_str()]).is_some();
    found.migrations.retain(numbered);
    let pairs = found.migrations.iter().any(down) && facts.declared(&others).is_none();
    found.absent = package.is_none() && (!pairs || facts.ecosystem == "node");
    found.evidence.extend(package);
}

/// The migrations lie beside its sums.
fn atlas(facts: &Facts, found: &mut Found) {
    let sums = facts.first(&["**/atlas.sum"]);
    let folder =
        sums.and_then(|path| path.rsplit_once('/')).map(|(folder, _)| format!("{folder}/"));
    let own =
        |path: &String| folder.as_ref().is_some_and(|folder| path.starts_with(folder.as_str()));
    found.migrations.retain(own);
}

/// Its files say that they are its own.
fn dbmate(facts: &Facts, found: &mut Found) {
    let marked =
        |path: &String| facts.text(path).is_some_and(|text| text.contains("-- migrate:up"));
    found.migrations.retain(marked);
    found.absent = found.migrations.is_empty();
}

/// The migrations, without what is generated beside them.
fn ef_core(_: &Facts, found: &mut Found) {
    found.migrations.retain(|path| !path.contains(".Designer."));
    if let Some(file) = found.file.clone() {
        found.evidence.retain(|sign| sign.path != file);
        found.evidence.push(Evidence::new(file, "the model's snapshot"));
    }
}
