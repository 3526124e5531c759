//! Node.js.

use windlass_plugin_common::migrations::{
    DB_MIGRATE, DBMATE, DRIZZLE, KNEX, KYSELY, MIKRO_ORM, NODE_PG_MIGRATE, NodeTool, PAYLOAD,
    PRISMA, SEQUELIZE, TYPEORM,
};
use windlass_sdk::Evidence;

use crate::facts::Facts;
use crate::tool::{Found, Program, TOOL, Tool, lost_with_the_image};

/// The tools.
pub(super) const TOOLS: [Tool; 13] = [
    Tool {
        packages: &["prisma", "@prisma/client"],
        files: &[
            "prisma/schema.prisma",
            "schema.prisma",
            "{prisma,prisma/schema,db,src/prisma,src/db}/*.prisma",
        ],
        migrations: &["**/migrations/*/migration.sql"],
        argv: &["prisma", "migrate", "deploy"],
        commands: &["prisma migrate deploy", "prisma db push", "prisma-migrate"],
        create: "create them with `prisma migrate dev` and commit them",
        special: prisma,
        ..of(&PRISMA)
    },
    Tool {
        packages: &["drizzle-kit", "drizzle-orm"],
        files: &["**/drizzle*.config.{ts,js,mjs,cjs,json}"],
        migrations: &["**/{drizzle,migrations}/*.sql", "**/{drizzle,migrations}/*/migration.sql"],
        argv: &["drizzle-kit", "migrate"],
        commands: &["drizzle-kit migrate", "drizzle-kit push"],
        signs: &["await migrate(", "migrate(db,", "migrate(database,"],
        create: "create them with `drizzle-kit generate` and commit them",
        special: drizzle,
        ..of(&DRIZZLE)
    },
    Tool {
        packages: &["knex"],
        files: &["**/knexfile.{js,ts,mjs,cjs}"],
        migrations: &["**/migrations/*.{js,ts,mjs,cjs}"],
        argv: &["knex", "migrate:latest"],
        commands: &["knex migrate:latest", "knex migrate:up"],
        signs: &[".migrate.latest(", ".migrate.up("],
        create: "create them with `knex migrate:make` and commit them",
        special: knex,
        ..of(&KNEX)
    },
    Tool {
        packages: &["typeorm"],
        migrations: &["**/{migration,migrations}/*.{ts,js,mjs,cjs}"],
        argv: &["typeorm", "migration:run"],
        commands: &["typeorm migration:run", "migration:run"],
        signs: &["migrationsRun: true", ".runMigrations("],
        create: "create them with `typeorm migration:generate` and commit them",
        special: typeorm,
        ..of(&TYPEORM)
    },
    Tool {
        packages: &["sequelize-cli", "sequelize"],
        files: &[".sequelizerc", "{src/,db/,database/,}migrations/*.{js,cjs,ts}"],
        migrations: &["**/migrations/*.{js,cjs,mjs,ts}"],
        argv: &["sequelize-cli", "db:migrate"],
        commands: &["sequelize db:migrate", "sequelize-cli db:migrate"],
        signs: &["umzug.up(", "migrator.up("],
        create: "create them with `sequelize-cli migration:generate` and commit them",
        ..of(&SEQUELIZE)
    },
    Tool {
        packages: &["@mikro-orm/cli", "@mikro-orm/migrations"],
        migrations: &["**/migrations/*.{js,ts,mjs,cjs}"],
        argv: &["mikro-orm", "migration:up"],
        commands: &["mikro-orm migration:up"],
        signs: &["getMigrator().up(", "migrator.up("],
        create: "create them with `mikro-orm migration:create` and commit them",
        over: &["Knex"],
        ..of(&MIKRO_ORM)
    },
    Tool {
        packages: &["node-pg-migrate"],
        migrations: &["**/migrations/*.{js,ts,mjs,cjs,sql}"],
        argv: &["node-pg-migrate", "up"],
        commands: &["node-pg-migrate up"],
        signs: &[
            "from 'node-pg-migrate'",
            "from \"node-pg-migrate\"",
            "require('node-pg-migrate')",
        ],
        create: "create them with `node-pg-migrate create` and commit them",
        special: node_pg_migrate,
        ..of(&NODE_PG_MIGRATE)
    },
    Tool {
        packages: &["dbmate"],
        migrations: &["**/migrations/*.sql"],
        argv: &["dbmate", "--no-dump-schema", "migrate"],
        commands: &["dbmate up", "dbmate migrate"],
        create: "create them with `dbmate new` and commit them",
        special: dbmate,
        ..of(&DBMATE)
    },
    Tool {
        packages: &["kysely-ctl"],
        files: &["{.config/,}kysely.config.{ts,js,mjs,cjs,mts,cts}"],
        migrations: &["**/migrations/*.{ts,js,mjs,cjs}"],
        argv: &["kysely", "migrate:latest"],
        commands: &["kysely migrate:latest", "kysely migrate latest"],
        signs: &[".migrateToLatest("],
        create: "create them with `kysely migrate:make` and commit them",
        ..of(&KYSELY)
    },
    Tool {
        packages: &["db-migrate"],
        migrations: &["migrations/*.js"],
        argv: &["db-migrate", "up"],
        commands: &["db-migrate up"],
        create: "create them with `db-migrate create` and commit them",
        ..of(&DB_MIGRATE)
    },
    Tool {
        packages: &["payload"],
        files: &["{src/,}payload.config.ts"],
        migrations: &["{src/,}migrations/*.ts"],
        argv: &["payload", "migrate"],
        commands: &["payload migrate"],
        signs: &["prodMigrations"],
        create: "create them with `payload migrate:create` and commit them",
        over: &["Drizzle"],
        ..of(&PAYLOAD)
    },
    Tool {
        name: "AdonisJS Lucid",
        ecosystems: &["node"],
        packages: &["@adonisjs/lucid"],
        migrations: &["database/migrations/*.{ts,js}"],
        argv: &["node", "build/ace.js", "migration:run", "--force"],
        commands: &["migration:run"],
        create: "create them with `node ace make:migration` and commit them",
        over: &["Knex"],
        ..TOOL
    },
    Tool {
        name: "Strapi",
        ecosystems: &["node"],
        packages: &["@strapi/strapi"],
        special: |_, found| found.leave("Strapi migrates its database itself at its start"),
        over: &["Knex"],
        ..TOOL
    },
];

/// What the rows have in common.
const fn of(tool: &'static NodeTool) -> Tool {
    Tool {
        name: tool.name,
        ecosystems: &["node"],
        program: Program::Packages(tool.packages),
        sources: &["**/*.{ts,js,mjs,cjs,mts,cts}"],
        node: Some(tool),
        ..TOOL
    }
}

/// Its providers differ: one has no migrations, another is a file.
fn prisma(facts: &Facts, found: &mut Found) {
    let schema = found.file.clone().unwrap_or_default();
    let folder = schema.rsplit_once('/').map_or("", |(folder, _)| folder);
    let parts = facts.matching(&["**/*.prisma"]);
    let parts = parts.into_iter().filter(|path| path.starts_with(folder));
    let texts: String = parts.filter_map(|path| facts.text(path)).collect();
    match datasource(&texts, "provider").as_deref() {
        Some("mongodb") => found.leave("the provider is mongodb, which has no migrations"),
        Some("sqlite") => {
            if let Some(why) = lost_with_the_image(facts) {
                found.leave(why);
            }
        }
        _ => {}
    }
    let configured = facts.first(&["prisma.config.{ts,js,mts,mjs}", ".config/prisma.ts"]).is_some();
    let json = facts.text("package.json").unwrap_or_default();
    let usual = schema == "prisma/schema.prisma" || schema == "schema.prisma";
    if !usual && !configured && !json.contains("\"schema\"") {
        let single = facts.matching(&["**/*.prisma"]).len() == 1;
        let path = if single { schema.as_str() } else { folder };
        found.run(&["prisma", "migrate", "deploy", "--schema", path]);
    }
}

/// A value of the schema's datasource.
fn datasource(schema: &str, key: &str) -> Option<String> {
    let datasource = schema.split("datasource ").nth(1)?;
    let inside = datasource.split('}').next()?;
    let line = inside.lines().map(str::trim).find(|line| line.starts_with(key))?;
    line.split('"').nth(1).map(str::to_owned)
}

/// Its settings may have another name, and name the folder.
fn drizzle(facts: &Facts, found: &mut Found) {
    let file = found.file.clone().unwrap_or_default();
    if !matches!(file.as_str(), "drizzle.config.ts" | "drizzle.config.js" | "drizzle.config.json") {
        found.run(&["drizzle-kit", "migrate", &format!("--config={file}")]);
    }
    let text = facts.text(&file).unwrap_or_default();
    if let Some(out) = value(&text, "out") {
        let out = out.trim_start_matches("./").trim_matches('/');
        let globs = [format!("{out}/*.sql"), format!("{out}/*/migration.sql")];
        let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
        found.migrations = facts.matching(&globs).into_iter().map(str::to_owned).collect();
    }
    let dialect = value(&text, "dialect").unwrap_or_default();
    if dialect == "sqlite"
        && !text.contains("driver")
        && let Some(why) = lost_with_the_image(facts)
    {
        found.leave(why);
    }
}

/// The text of `key: '…'`, which may stand on a line with others.
fn value(text: &str, key: &str) -> Option<String> {
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(key).find_map(|(at, _)| {
        if text[..at].ends_with(name) {
            return None;
        }
        let rest = text[at + key.len()..].trim_start_matches('"');
        let rest = rest.trim_start().strip_prefix(':')?.trim_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"' | '`'))?;
        rest[1..].split(quote).next().map(str::to_owned)
    })
}

/// A settings file elsewhere, in TypeScript, or for a database that is a file.
fn knex(facts: &Facts, found: &mut Found) {
    let file = found.file.clone().unwrap_or_default();
    let program = ["knex", "migrate:latest"];
    let loader = file.ends_with(".ts") && facts.declared(&["ts-node"]).is_none();
    let mut words = match facts.declared(&["tsx"]).filter(|_| loader) {
        Some(_) => vec!["tsx", "node_modules/.bin/knex", "migrate:latest"],
        None => program.to_vec(),
    };
    if file.contains('/') {
        words.extend(["--knexfile", &file]);
    }
    found.run(&words);
    let text = facts.text(&file).unwrap_or_default();
    let file_only = text.contains("sqlite3") && !text.contains("pg") && !text.contains("mysql");
    if file_only && let Some(why) = lost_with_the_image(facts) {
        found.leave(why);
    }
}

/// The command names the file with the data source: as it was compiled, unless something here runs
/// TypeScript.
fn typeorm(facts: &Facts, found: &mut Found) {
    let candidates = facts.matching(TYPEORM_FILES);
    let has = |path: &&&str| facts.text(path).is_some_and(|text| text.contains("new DataSource("));
    let Some(file) = candidates.iter().find(has).map(|path| (*path).to_owned()) else {
        found.absent = found.migrations.is_empty();
        let why = "no file with `new DataSource(` was found: set migrate.command in windlass.toml to \
                   `typeorm migration:run -d FILE`";
        return found.leave(why);
    };
    found.evidence.push(Evidence::new(&file, "new DataSource("));
    let module = facts.text("package.json").is_some_and(|text| text.contains("\"module\""));
    let runner = if module { "typeorm-ts-node-esm" } else { "typeorm-ts-node-commonjs" };
    if !file.ends_with("ts") {
        found.run(&["typeorm", "migration:run", "-d", &file]);
    } else if facts.package.as_ref().is_some_and(|json| json.script("build").is_some()) {
        found.run(&["typeorm", "migration:run", "-d", &compiled(facts, &file)]);
    } else if facts.declared(&["ts-node"]).is_some() {
        found.run(&[runner, "migration:run", "-d", &file]);
    } else if facts.declared(&["tsx"]).is_some() {
        found.run(&["tsx", "node_modules/typeorm/cli.js", "migration:run", "-d", &file]);
    } else {
        found.run(&["typeorm", "migration:run", "-d", &compiled(facts, &file)]);
    }
}

/// Where a data source may lie.
const TYPEORM_FILES: &[&str] = &["**/*.{ts,js,mjs,cjs}"];

/// Where the compiler puts a file.
fn compiled(facts: &Facts, file: &str) -> String {
    let options = ["tsconfig.build.json", "tsconfig.json"].map(|name| facts.text(name));
    let option = |key: &str| options.iter().flatten().find_map(|text| value(text, key));
    let clean = |path: String| path.trim_start_matches("./").trim_matches('/').to_owned();
    let out = option("outDir").map_or("dist".to_owned(), clean);
    let elsewhere = facts
        .matching(&["**/*.ts"])
        .into_iter()
        .any(|path| !path.starts_with("src/") && !path.ends_with(".d.ts") && path.contains('/'));
    let root = option("rootDir").map(clean);
    let root = root.unwrap_or_else(|| if elsewhere { "." } else { "src" }.to_owned());
    let inner = file.strip_prefix(&format!("{root}/")).unwrap_or(file);
    let inner = inner.trim_end_matches("ts");
    format!("{out}/{inner}js")
}

/// Another folder than the usual one.
fn node_pg_migrate(_: &Facts, found: &mut Found) {
    let folder = found.migrations.first().and_then(|path| path.rsplit_once('/'));
    let folder = folder.map_or("migrations", |(folder, _)| folder);
    if folder != "migrations" {
        let folder = folder.to_owned();
        found.run(&["node-pg-migrate", "up", "-m", &folder]);
    }
}

/// Another folder than the usual one.
fn dbmate(_: &Facts, found: &mut Found) {
    let folder = found.migrations.first().and_then(|path| path.rsplit_once('/'));
    let folder = folder.map_or("db/migrations", |(folder, _)| folder);
    if folder != "db/migrations" {
        let folder = folder.to_owned();
        found.run(&["dbmate", "--no-dump-schema", "--migrations-dir", &folder, "migrate"]);
    }
}
