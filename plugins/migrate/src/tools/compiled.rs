//! Go, Rust and .NET, and programs that belong to no language. What is compiled runs on a bare system: a
//! tool that is a program of its own is there where the builder made it, and left it in an output for
//! migrations. Else the application migrates itself, or people say how.

use windlass_plugin_common::command;
use windlass_plugin_common::layout::APP;
use windlass_sdk::Evidence;

use crate::facts::{Facts, stem};
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
        program: Program::Told(
            "go",
            "the image has no goose, which is built where go.mod names it (v3.14 or newer) and the \
             database is PostgreSQL: call goose.Up at the application's start, or set migrate.command in \
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
        program: Program::Told(
            "go",
            "the image has no golang-migrate, which is built where go.mod names it (v4.16 or newer) and \
             the database is PostgreSQL: call it at the application's start, or set migrate.command in \
             windlass.toml to a program of yours",
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
        program: Program::Told(
            "rust",
            "the image has no diesel, which is built where Cargo.lock names the library, and its features \
             PostgreSQL or MySQL: embed the migrations with diesel_migrations and run them at the \
             application's start, or set migrate.command in windlass.toml to a program of yours",
        ),
        create: "create them with `diesel migration generate` and commit them",
        special: |_, found| {
            let folder = found.folder(1);
            found.run(&["diesel", "migration", "run", "--migration-dir", &folder]);
        },
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
        program: Program::Told(
            "rust",
            "the image has no sqlx, which is built where Cargo.lock names the library, and its features \
             PostgreSQL or MySQL: run the migrations at the application's start with sqlx::migrate!(), or \
             set migrate.command in windlass.toml to a program of yours",
        ),
        create: "create them with `sqlx migrate add` and commit them",
        special: |_, found| {
            let folder = found.folder(0);
            found.run(&["sqlx", "migrate", "run", "--source", &folder]);
        },
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
        program: Program::Told(
            "rust",
            "the application does not run them itself, and no program of the workspace does (one that \
             calls run_cli): call Migrator::up at its start; or, if the migration crate is built into the \
             image, set migrate.command in windlass.toml to `migration up`",
        ),
        create: "create them with `sea-orm-cli migrate generate` and commit them",
        special: sea_orm,
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
        program: Program::Built(
            "the image has no SDK for `dotnet ef`: refer to Microsoft.EntityFrameworkCore.Design in the \
             project, call Database.Migrate() in Program.cs, or publish a bundle (`dotnet ef migrations \
             bundle`) and set migrate.command in windlass.toml to it",
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
    let coded = |path: &String| {
        path.ends_with(".go") && facts.text(path).is_some_and(|text| text.contains("goose.Add"))
    };
    if found.migrations.iter().any(coded) {
        return found.leave(
            "some of its migrations are code, which only a program of yours has: set migrate.command in \
             windlass.toml to it",
        );
    }
    found.migrations.retain(|path| path.ends_with(".sql"));
    let folder = found.folder(0);
    found.argv = command::argv(&format!("goose -dir {folder} postgres \"$DATABASE_URL\" up"));
}

/// `migration up`, by the name of the program that has them.
fn sea_orm(facts: &Facts, found: &mut Found) {
    let programs = facts.matching(&["**/src/main.rs", "**/src/bin/*.rs"]);
    let migrates = |path: &&&str| facts.text(path).is_some_and(|text| text.contains("run_cli("));
    let Some(program) = programs.iter().find(migrates) else {
        return;
    };
    let name = match program.split_once("src/bin/") {
        Some((_, file)) => Some(stem(file).to_owned()),
        None => program.strip_suffix("src/main.rs").and_then(|folder| {
            let manifest = facts.text(&format!("{folder}Cargo.toml"))?;
            let section =
                manifest.split("[[bin]]").nth(1).or_else(|| manifest.split("[package]").nth(1))?;
            let line = section.lines().find_map(|line| line.trim().strip_prefix("name"))?;
            line.split(['"', '\'']).nth(1).map(str::to_owned)
        }),
    };
    if let Some(name) = name {
        found.evidence.push(Evidence::new(*program, "run_cli("));
        found.run(&[&name, "up"]);
    }
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
    let folder = found.folder(0);
    // Its driver for newer servers has a scheme of its own.
    let url = "\"pgx5://${DATABASE_URL#*://}\"";
    found.argv = command::argv(&format!("migrate -path {folder} -database {url} up"));
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

/// The migrations, without what is generated beside them, and the command: it is run in the folder of the
/// project that starts, for each context in the project that has its migrations.
fn ef_core(facts: &Facts, found: &mut Found) {
    found.migrations.retain(|path| !path.contains(".Designer."));
    let snapshots: Vec<String> =
        facts.matching(&["**/*ModelSnapshot.{cs,fs,vb}"]).into_iter().map(str::to_owned).collect();
    found.evidence.retain(|sign| !snapshots.contains(&sign.path));
    for file in &snapshots {
        found.evidence.push(Evidence::new(file, "the model's snapshot"));
    }
    let projects = facts.matching(&["**/*.{csproj,fsproj,vbproj}"]);
    let main = facts.main.as_deref().filter(|path| projects.contains(path));
    let commands: Vec<Vec<String>> = snapshots
        .iter()
        .map(|snapshot| {
            let several = snapshots.len() > 1;
            let context = several.then(|| context(&facts.text(snapshot)?)).flatten();
            update(main, project_of(snapshot, &projects), context.as_deref())
        })
        .collect();
    if let [command] = commands.as_slice() {
        found.argv.clone_from(command);
    } else if !commands.is_empty() {
        let lines: Vec<String> = commands.iter().map(|command| command.join(" ")).collect();
        found.argv = command::argv(&lines.join(" && "));
    }
}

/// `dotnet ef database update`, where the migrations lie in another project and for one of several contexts.
fn update(main: Option<&str>, project: Option<&str>, context: Option<&str>) -> Vec<String> {
    let mut words = ["dotnet", "ef", "database", "update"].map(str::to_owned).to_vec();
    if let (Some(main), Some(project)) = (main, project)
        && main != project
    {
        words.extend(["--project".to_owned(), format!("{APP}/{project}")]);
        words.extend(["--startup-project".to_owned(), format!("{APP}/{main}")]);
    }
    if let Some(context) = context {
        words.extend(["--context".to_owned(), context.to_owned()]);
    }
    words
}

/// The project that a file belongs to: the one in the closest folder above.
fn project_of<'p>(file: &str, projects: &[&'p str]) -> Option<&'p str> {
    let holds = |project: &&&str| match project.rsplit_once('/') {
        Some((folder, _)) => file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')),
        None => true,
    };
    projects.iter().filter(holds).max_by_key(|project| project.matches('/').count()).copied()
}

/// `[DbContext(typeof(ShopContext))]`
fn context(snapshot: &str) -> Option<String> {
    let rest = snapshot.split("DbContext(typeof(").nth(1)?;
    let name = rest.split(')').next()?.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    (!name.is_empty() && name.chars().all(plain)).then(|| name.to_owned())
}
