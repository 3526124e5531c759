//! Members of a workspace that the application needs.

use super::{File, harness};
use crate::Migrate;
use windlass_sdk::testing::Harness;
use windlass_sdk::{Detection, Migration, MigrationVerdict};

const ROOT: File = ("package.json", r#"{"name":"root","workspaces":["apps/*","packages/*"]}"#);
const WEB: File =
    ("apps/web/package.json", r#"{"name":"web","dependencies":{"@x/db":"workspace:*"}}"#);
const DB: File = (
    "packages/db/package.json",
    r#"{"name":"@x/db","scripts":{"up":"prisma migrate deploy"},"dependencies":{"prisma":"6"}}"#,
);
const SCHEMA: File =
    ("packages/db/prisma/schema.prisma", "datasource db {\n  provider = \"postgresql\"\n}\n");
const MIGRATION: File = ("packages/db/prisma/migrations/1_init/migration.sql", "");
const WITHIN: &str = "PATH=\"$PWD/node_modules/.bin:$PATH\" exec \"$0\" \"$@\"";

fn found(files: &[File]) -> Vec<Migration> {
    let (_folder, harness) = harness(files, "{}");
    let web = Detection::new("nextjs", "Next.js", "node").app_dir("apps/web");
    harness.migrations::<Migrate>(&web, &["app", "migrate"]).unwrap()
}

#[track_caller]
fn left(files: &[File], why: &str) {
    let found = found(files);
    match found.as_slice() {
        [Migration { verdict: MigrationVerdict::Leave(reason), .. }] => {
            assert!(reason.contains(why), "{reason}");
        }
        _ => panic!("it is not left alone: {found:#?}"),
    }
}

#[test]
fn the_schema_of_a_member_that_the_application_needs_is_migrated_in_its_folder() {
    let found = found(&[ROOT, WEB, DB, SCHEMA, MIGRATION]);
    assert_eq!(found.len(), 1, "{found:#?}");
    let migration = &found[0];
    assert_eq!(migration.tool, "Prisma");
    assert_eq!(migration.verdict, MigrationVerdict::Run);
    assert_eq!(migration.argv, ["/bin/sh", "-c", WITHIN, "prisma", "migrate", "deploy"]);
    assert_eq!(
        (migration.cwd.as_str(), migration.output.as_str()),
        ("/app/packages/db", "migrate")
    );
    let places: Vec<&str> = migration.evidence.iter().map(|sign| sign.path.as_str()).collect();
    let json = DB.0;
    assert_eq!(places, [json, SCHEMA.0, json, MIGRATION.0]);
}

#[test]
fn a_member_that_a_needed_member_needs_counts_and_any_other_does_not() {
    let deep = ("packages/api/package.json", r#"{"name":"@x/db","dependencies":{"@x/sql":"*"}}"#);
    let sql = ("packages/sql/package.json", r#"{"name":"@x/sql","dependencies":{"dbmate":"2"}}"#);
    let file = ("packages/sql/db/migrations/1_a.sql", "");
    let all = found(&[ROOT, WEB, deep, sql, file]);
    assert_eq!(all[0].argv[3..], ["dbmate", "--no-dump-schema", "migrate"], "{all:#?}");
    assert_eq!(all[0].cwd, "/app/packages/sql");
    let alone = ("apps/web/package.json", r#"{"name":"web","dependencies":{"next":"15"}}"#);
    assert_eq!(found(&[ROOT, alone, DB, SCHEMA, MIGRATION]), []);
}

#[test]
fn the_folder_is_that_of_the_image_wherever_the_workspace_lies() {
    let below = |path: &str| format!("shop/{path}");
    let files = [ROOT, WEB, DB, SCHEMA, MIGRATION];
    let paths = files.map(|(path, _)| below(path));
    let files: Vec<File> =
        paths.iter().zip(files).map(|(path, (_, text))| (&**path, text)).collect();
    let (_folder, harness) = harness(&files, "{}");
    let web = Detection::new("nextjs", "Next.js", "node");
    let harness = harness.app_dir("shop");
    // The builder chose the member: it copies from the folder of the settings.
    let chosen = web.clone().app_dir("shop/apps/web");
    let found = harness.migrations::<Migrate>(&chosen, &["app"]).unwrap();
    assert_eq!(found[0].cwd, "/app/packages/db", "{found:#?}");
    // The settings name the member: it copies from the root.
    let harness = harness.app_dir("shop/apps/web");
    let found = harness.migrations::<Migrate>(&web, &["app"]).unwrap();
    assert_eq!(found[0].cwd, "/app/shop/packages/db", "{found:#?}");
}

#[test]
fn what_the_application_or_the_schema_says_leaves_it_alone() {
    let web = |start: &str| {
        serde_json::json!({
            "name": "web", "dependencies": {"@x/db": "workspace:*"}, "scripts": {"start": start},
        })
        .to_string()
    };
    for start in [
        "prisma migrate deploy --schema ../../packages/db/prisma/schema.prisma && next start",
        "pnpm --filter @x/db up && next start",
        "pnpm --filter=@x/db run up && next start",
        "npm run up --prefix ../../packages/db && next start",
        "pnpm -r up && next start",
        "turbo run up && next start",
    ] {
        let web = web(start);
        let app = ("apps/web/package.json", web.as_str());
        left(&[ROOT, app, DB, SCHEMA, MIGRATION], "scripts.start does it already");
    }
    let other = web("pnpm --filter @x/ui up && next start");
    let app = ("apps/web/package.json", other.as_str());
    assert_eq!(found(&[ROOT, app, DB, SCHEMA, MIGRATION])[0].verdict, MigrationVerdict::Run);

    left(&[ROOT, WEB, DB, SCHEMA], "no migrations");
    let mongo = (SCHEMA.0, "datasource db {\n provider = \"mongodb\"\n}");
    left(&[ROOT, WEB, DB, mongo, MIGRATION], "mongodb");
    let client =
        ("packages/db/package.json", r#"{"name":"@x/db","dependencies":{"@prisma/client":"6"}}"#);
    left(&[ROOT, WEB, client, SCHEMA, MIGRATION], "prisma, which brings its program");
}

#[test]
fn an_application_that_migrates_a_member_s_database_at_its_start_is_left_alone() {
    let db = (
        "packages/db/package.json",
        r#"{"name":"@x/db","dependencies":{"drizzle-kit":"1","drizzle-orm":"1"}}"#,
    );
    let config = ("packages/db/drizzle.config.ts", "export default { dialect: 'postgresql' }");
    let sql = ("packages/db/drizzle/0000_a.sql", "");
    let files = [ROOT, WEB, db, config, sql];
    assert_eq!(found(&files)[0].verdict, MigrationVerdict::Run);
    let with = |more: &[File<'static>]| [&files[..], more].concat();
    let start = ("apps/web/src/instrumentation.ts", "await migrate(db, { migrationsFolder })");
    left(&with(&[start]), "at its start (apps/web/src/instrumentation.ts, line 1)");
    let places = found(&with(&[start])).remove(0).evidence;
    let places: Vec<String> = places.into_iter().map(|sign| sign.path).collect();
    assert_eq!(places, [db.0, config.0, start.0, sql.0]);
    // A program for it alone is no start, unless the application imports it.
    let script = ("packages/db/src/migrate.ts", "await migrate(db, {})");
    assert_eq!(found(&with(&[script]))[0].verdict, MigrationVerdict::Run);
    let imports = ("apps/web/src/server.ts", "import '@x/db/migrate';");
    left(&with(&[script, imports]), "at its start (packages/db/src/migrate.ts, line 1)");
}

#[test]
fn a_program_that_only_the_package_manager_can_place_is_left_alone() {
    let db = (
        "packages/db/package.json",
        r#"{"name":"@x/db","dependencies":{"knex":"3","pg":"8","tsx":"4"}}"#,
    );
    let files =
        [("packages/db/knexfile.ts", "client: 'pg'"), ("packages/db/migrations/1_a.ts", "")];
    left(&[ROOT, WEB, db, files[0], files[1]], "set migrate.command");
}

#[test]
fn the_sample_workspace_is_migrated_in_its_member() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/migrations");
    let harness = Harness::new(format!("{root}/pnpm-workspace/app"));
    let web = Detection::new("node", "Node.js", "node").app_dir("apps/web");
    let found = harness.migrations::<Migrate>(&web, &["app", "migrate"]).unwrap();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].argv[3..], ["node-pg-migrate", "up"]);
    assert_eq!((found[0].cwd.as_str(), found[0].output.as_str()), ("/app/packages/db", "migrate"));
    assert_eq!(found[0].verdict, MigrationVerdict::Run);
}

#[test]
fn tools_of_the_application_and_of_a_member_are_two() {
    let web = (
        "apps/web/package.json",
        r#"{"name":"web","dependencies":{"@x/db":"workspace:*","dbmate":"2"}}"#,
    );
    let own = ("apps/web/db/migrations/1_a.sql", "");
    let found = found(&[ROOT, web, own, DB, SCHEMA, MIGRATION]);
    let tools: Vec<_> = found.iter().map(|one| (one.tool.as_str(), one.cwd.as_str())).collect();
    assert_eq!(tools, [("dbmate", ""), ("Prisma", "/app/packages/db")]);
}

#[test]
fn a_member_s_own_procfile_says_what_is_started_and_released() {
    let scripts = r#""scripts":{"start":"pnpm --filter @x/db up && node a.js"}"#;
    let text = format!(r#"{{"name":"web","dependencies":{{"@x/db":"*"}},{scripts}}}"#);
    let web = (WEB.0, text.as_str());
    let files = [ROOT, web, DB, SCHEMA, MIGRATION];
    left(&files, "scripts.start does it already");
    let with = |procfile| [&files[..], &[("apps/web/Procfile", procfile)]].concat();
    assert_eq!(found(&with("web: node a.js\n"))[0].verdict, MigrationVerdict::Run);
    let released = found(&with("web: node a.js\nrelease: node m.js\n"));
    assert_eq!((released.len(), released[0].argv.join(" ").as_str()), (1, "node m.js"));
}

#[test]
fn a_declared_command_that_leads_to_a_member_is_looked_through_for_its_migration() {
    let start = |line: &str| {
        let web = format!(
            r#"{{"name":"web","scripts":{{"start":"{line}"}},"dependencies":{{"prisma":"6","@prisma/client":"6"}}}}"#
        );
        let schema = ("apps/web/prisma/schema.prisma", SCHEMA.1);
        let migration = ("apps/web/prisma/migrations/1_init/migration.sql", "");
        let files = [ROOT, ("apps/web/package.json", web.as_str()), schema, migration];
        let settings = r#"{"run":{"command":"pnpm --filter web start"}}"#;
        let (_folder, harness) = harness(&files, settings);
        let web = Detection::new("nextjs", "Next.js", "node").app_dir("apps/web");
        let mut found = harness.migrations::<Migrate>(&web, &["app", "migrate"]).unwrap();
        found.remove(0).verdict
    };
    assert_eq!(start("next start"), MigrationVerdict::Run);
    let MigrationVerdict::Leave(why) = start("prisma migrate deploy && next start") else {
        panic!("it would be run twice");
    };
    assert!(why.contains("scripts.start, which run.command calls,"), "{why}");
}
