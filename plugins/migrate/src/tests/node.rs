//! Node.js.

use super::{File, MIGRATION, PRISMA, SCHEMA, harness, left, migrations, nothing, one, runs};
use crate::Migrate;
use windlass_sdk::{Detection, MigrationVerdict};

/// A package.json with these dependencies.
fn package(names: &[&str]) -> String {
    let all: serde_json::Map<_, _> =
        names.iter().map(|name| ((*name).to_owned(), "1".into())).collect();
    serde_json::json!({ "dependencies": all }).to_string()
}

#[track_caller]
fn uses(names: &[&str], files: &[File], tool: &str, command: &str) -> String {
    let text = package(names);
    runs("node", &[&[("package.json", text.as_str())], files].concat(), tool, command)
}

#[track_caller]
fn leaves(names: &[&str], files: &[File], tool: &str, why: &str) {
    let text = package(names);
    left("node", &[&[("package.json", text.as_str())], files].concat(), tool, why);
}

#[test]
fn prisma_runs_with_its_schema_and_not_for_mongodb() {
    let newest = ("prisma/migrations/2_more/migration.sql", "");
    let files = [PRISMA, SCHEMA, newest, MIGRATION];
    assert_eq!(runs("node", &files, "Prisma", "prisma migrate deploy"), newest.0);
    let elsewhere = [PRISMA, ("db/schema.prisma", SCHEMA.1), ("db/migrations/1/migration.sql", "")];
    runs("node", &elsewhere, "Prisma", "prisma migrate deploy --schema db/schema.prisma");
    let mongo = ("prisma/schema.prisma", "datasource db {\n provider = \"mongodb\"\n}");
    left("node", &[PRISMA, mongo, MIGRATION], "Prisma", "mongodb");
    left("node", &[PRISMA, SCHEMA], "Prisma", "no migrations");
    let itself = r#"{"dependencies":{"prisma":"6"},"scripts":{"start":"prisma migrate deploy && node a.js"}}"#;
    left("node", &[("package.json", itself), SCHEMA, MIGRATION], "Prisma", "scripts.start");
    let built = r#"{"dependencies":{"prisma":"6"},"scripts":{"build":"prisma migrate deploy && next build"}}"#;
    runs("node", &[("package.json", built), SCHEMA, MIGRATION], "Prisma", "prisma migrate deploy");
    let client = r#"{"dependencies":{"@prisma/client":"6"}}"#;
    left("node", &[("package.json", client), SCHEMA, MIGRATION], "Prisma", "no dependency");
    let file = ("prisma/schema.prisma", "datasource db {\n provider = \"sqlite\"\n}");
    left("node", &[PRISMA, file, MIGRATION], "Prisma", "SQLite");
    let volumes = r#"{"run":{"volumes":["/data"]}}"#;
    let found = migrations("node", &[PRISMA, file, MIGRATION], volumes, &["app"]);
    assert_eq!(found[0].verdict, MigrationVerdict::Run);
    nothing("node", &[PRISMA]);
}

#[test]
fn drizzle_runs_with_its_settings() {
    let config = ("drizzle.config.ts", "export default { dialect: 'postgresql', out: './db/sql' }");
    let sql = ("db/sql/0001_b.sql", "");
    let first = ("db/sql/0000_a.sql", "");
    let newest = uses(&["drizzle-kit"], &[config, sql, first], "Drizzle", "drizzle-kit migrate");
    assert_eq!(newest, sql.0);
    let named = ("config/drizzle.config.ts", "out: 'drizzle'");
    let command = "drizzle-kit migrate --config=config/drizzle.config.ts";
    uses(&["drizzle-kit"], &[named, ("drizzle/0000_a.sql", "")], "Drizzle", command);
    leaves(&["drizzle-kit"], &[config], "Drizzle", "drizzle-kit generate");
    leaves(&["drizzle-orm"], &[config, sql], "Drizzle", "drizzle-kit, which brings");
    let boots = ("src/index.ts", "import x\nawait migrate(db, { migrationsFolder: 'drizzle' })");
    leaves(&["drizzle-kit"], &[config, sql, boots], "Drizzle", "src/index.ts, line 2");
    // A program for it alone is no start, unless the application imports it.
    let script = ("src/db/migrate.ts", "await migrate(db, {})");
    uses(&["drizzle-kit"], &[config, sql, script], "Drizzle", "drizzle-kit migrate");
    let imports = ("src/index.ts", "import './db/migrate';");
    leaves(&["drizzle-kit"], &[config, sql, script, imports], "Drizzle", "src/db/migrate.ts");
    let file = ("drizzle.config.ts", "dialect: 'sqlite',\nout: 'db/sql',");
    leaves(&["drizzle-kit"], &[file, sql], "Drizzle", "SQLite");
}

#[test]
fn knex_runs_with_its_settings() {
    let file = ("knexfile.js", "client: 'pg'");
    let step = ("migrations/1_a.js", "");
    uses(&["knex"], &[file, step], "Knex", "knex migrate:latest");
    let below = ("db/knexfile.js", "client: 'mysql2'");
    let command = "knex migrate:latest --knexfile db/knexfile.js";
    uses(&["knex"], &[below, ("db/migrations/1_a.js", "")], "Knex", command);
    let typescript = ("knexfile.ts", "client: 'pg'");
    let command = "tsx node_modules/.bin/knex migrate:latest";
    uses(&["knex", "tsx"], &[typescript, step], "Knex", command);
    leaves(&["knex"], &[file], "Knex", "knex migrate:make");
    leaves(&["knex"], &[file, step, ("a.js", "await db.migrate.latest()")], "Knex", "a.js, line 1");
    leaves(&["knex"], &[("knexfile.js", "client: 'sqlite3'"), step], "Knex", "SQLite");
    // A query builder without migrations is no tool.
    let text = package(&["knex"]);
    nothing("node", &[("package.json", &text)]);
}

#[test]
fn typeorm_runs_what_was_compiled() {
    let source = ("src/data-source.ts", "export const db = new DataSource({})");
    let step = ("src/migration/1-A.ts", "");
    let options = (
        "tsconfig.json",
        "{\"compilerOptions\":{\n\"rootDir\": \"src\",\n\"outDir\": \"./build\"}}",
    );
    let command = "typeorm migration:run -d build/data-source.js";
    uses(&["typeorm"], &[source, step, options], "TypeORM", command);
    let command = "typeorm migration:run -d dist/data-source.js";
    uses(&["typeorm"], &[source, step], "TypeORM", command);
    let command = "typeorm-ts-node-commonjs migration:run -d src/data-source.ts";
    uses(&["typeorm", "ts-node"], &[source, step], "TypeORM", command);
    let plain = [("db.js", "new DataSource({})"), ("migrations/1.js", "")];
    uses(&["typeorm"], &plain, "TypeORM", "typeorm migration:run -d db.js");
    let itself = ("src/data-source.ts", "new DataSource({\n  migrationsRun: true })");
    leaves(&["typeorm"], &[itself, step], "TypeORM", "src/data-source.ts, line 2");
    leaves(&["typeorm"], &[source], "TypeORM", "typeorm migration:generate");
    leaves(&["typeorm"], &[step], "TypeORM", "new DataSource(");
}

#[test]
fn the_project_s_own_script_knows_more() {
    let text = r#"{"dependencies":{"typeorm":"1"},
        "scripts":{"migrate":"npx typeorm migration:run -d dist/x/db.js"}}"#;
    let files =
        [("package.json", text), ("src/x/db.ts", "new DataSource("), ("src/migrations/1.ts", "")];
    let found = one("node", &files);
    assert_eq!(found.argv.join(" "), "typeorm migration:run -d dist/x/db.js");
    assert!(found.evidence.iter().any(|sign| sign.detail.starts_with("scripts.migrate")));
}

#[test]
fn the_other_tools_run_and_are_left() {
    let step = ("migrations/20240101-a.js", "");
    let command = "sequelize-cli db:migrate";
    uses(&["sequelize", "sequelize-cli"], &[step], "Sequelize", command);
    leaves(&["sequelize"], &[step], "Sequelize", "sequelize-cli, which brings");
    let boots = ("index.js", "await umzug.up()");
    leaves(&["sequelize", "sequelize-cli"], &[step, boots], "Sequelize", "index.js");

    let names = ["@mikro-orm/cli", "@mikro-orm/migrations"];
    let file = ("migrations/Migration1.js", "");
    uses(&names, &[file], "MikroORM", "mikro-orm migration:up");
    leaves(&names[1..], &[file], "MikroORM", "@mikro-orm/cli, which brings");
    leaves(&names, &[file, ("a.ts", "await orm.getMigrator().up()")], "MikroORM", "a.ts");

    uses(&["node-pg-migrate"], &[step], "node-pg-migrate", "node-pg-migrate up");
    let below = ("db/migrations/1_a.sql", "");
    let command = "node-pg-migrate up -m db/migrations";
    uses(&["node-pg-migrate"], &[below], "node-pg-migrate", command);
    leaves(&["node-pg-migrate"], &[], "node-pg-migrate", "no migrations");

    let sql = ("db/migrations/1_a.sql", "-- migrate:up\n");
    uses(&["dbmate"], &[sql], "dbmate", "dbmate --no-dump-schema migrate");
    leaves(&["dbmate"], &[], "dbmate", "dbmate new");
    let start = "dbmate --no-dump-schema migrate && node server.js";
    let itself = format!(r#"{{"dependencies":{{"dbmate":"2"}},"scripts":{{"start":"{start}"}}}}"#);
    left("node", &[("package.json", &itself), sql], "dbmate", "scripts.start does it already");

    let config = ("kysely.config.ts", "");
    uses(&["kysely-ctl"], &[config, step], "Kysely", "kysely migrate:latest");
    leaves(&["kysely-ctl"], &[config, step, ("a.ts", "m.migrateToLatest()")], "Kysely", "a.ts");

    uses(&["db-migrate"], &[step], "db-migrate", "db-migrate up");
    leaves(&["@strapi/strapi"], &[("database/migrations/1.js", "")], "Strapi", "itself");
    let lucid = ("database/migrations/1_a.ts", "");
    let command = "node build/ace.js migration:run --force";
    uses(&["@adonisjs/lucid", "knex"], &[lucid], "AdonisJS Lucid", command);
    let payload = [("src/payload.config.ts", ""), ("src/migrations/1.ts", "")];
    uses(&["payload"], &payload, "Payload", "payload migrate");
}

#[test]
fn two_tools_are_two() {
    let text = package(&["knex", "node-pg-migrate"]);
    let files = [("package.json", text.as_str()), ("knexfile.js", ""), ("migrations/1.js", "")];
    let (_folder, harness) = harness(&files, "{}");
    let chosen = Detection::new("node", "Node.js", "node");
    let found = harness.migrations::<Migrate>(&chosen, &["app"]).unwrap();
    let tools: Vec<_> = found.iter().map(|one| one.tool.as_str()).collect();
    assert_eq!(tools, ["Knex", "node-pg-migrate"]);
}

/// A package with Prisma and these scripts.
fn with_prisma(scripts: &str) -> String {
    format!(r#"{{"dependencies":{{"prisma":"6"}},"scripts":{{{scripts}}}}}"#)
}

#[test]
fn only_a_script_that_is_started_does_it_already() {
    let command = "prisma migrate deploy";
    let both = r#""start":"prisma migrate deploy && node a.js""#;
    let other = r#""start":"node a.js","start:prod":"prisma migrate deploy && node a.js""#;
    let text = with_prisma(other);
    runs("node", &[("package.json", &text), SCHEMA, MIGRATION], "Prisma", command);
    let text = with_prisma(both);
    let files = [("package.json", text.as_str()), SCHEMA, MIGRATION];
    let declared = [files[0], files[1], files[2], ("Procfile", "web: node a.js\n")];
    runs("node", &declared, "Prisma", command);
    let calls = [files[0], files[1], files[2], ("Procfile", "web: npm start\n")];
    left("node", &calls, "Prisma", "scripts.start, which web of the Procfile calls, does it");
    let set = migrations("node", &files, r#"{"run":{"command":"node a.js"}}"#, &["app"]);
    assert_eq!(set[0].verdict, MigrationVerdict::Run);
    let text = with_prisma(r#""prestart":"prisma migrate deploy","start":"node a.js""#);
    let files = [("package.json", text.as_str()), SCHEMA, MIGRATION];
    left("node", &files, "Prisma", "scripts.prestart does it already");
}

#[test]
fn a_server_that_its_framework_made_runs_no_script() {
    let text = with_prisma(r#""start":"prisma migrate deploy && next start""#);
    let files = [("package.json", text.as_str()), SCHEMA, MIGRATION];
    let (_folder, harness) = harness(&files, "{}");
    let chosen = Detection::new("nextjs", "Next.js", "node");
    let chosen = chosen.evidence("next.config.js", windlass_plugin_common::scripts::STANDALONE);
    let found = harness.migrations::<Migrate>(&chosen, &["app", "migrate"]).unwrap();
    assert_eq!(found[0].verdict, MigrationVerdict::Run);
    assert_eq!(found[0].output, "migrate");
    let usual = format!("{}: node dist/main is run", windlass_plugin_common::scripts::LEFT_OUT);
    let chosen = Detection::new("nestjs", "NestJS", "node").evidence("package.json", usual);
    let found = harness.migrations::<Migrate>(&chosen, &["app", "migrate"]).unwrap();
    assert_eq!(found[0].verdict, MigrationVerdict::Run);
}

#[test]
fn scripts_that_the_start_script_calls_are_followed() {
    for scripts in [
        r#""start":"npm run setup && remix-serve","setup":"prisma migrate deploy""#,
        r#""start":"npm run migrate && next start","migrate":"prisma migrate deploy""#,
        r#""start":"npm-run-all db:* serve","db:up":"prisma migrate deploy","serve":"node a.js""#,
        r#""start":"npm run a","prea":"yarn b","a":"node a.js","b":"npx prisma migrate deploy""#,
    ] {
        let text = with_prisma(scripts);
        let files = [("package.json", text.as_str()), SCHEMA, MIGRATION];
        left("node", &files, "Prisma", "which scripts.start calls, does it already");
    }
}
