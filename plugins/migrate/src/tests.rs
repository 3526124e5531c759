use windlass_sdk::testing::Harness;
use windlass_sdk::{Detection, Migration, MigrationVerdict};

use super::Migrate;

const PRISMA: (&str, &str) = ("package.json", r#"{"dependencies":{"prisma":"6"}}"#);
const SCHEMA: (&str, &str) =
    ("prisma/schema.prisma", "datasource db {\n  provider = \"postgresql\"\n}\n");
const MIGRATION: (&str, &str) = ("prisma/migrations/1_init/migration.sql", "");
const MANAGE: (&str, &str) = ("manage.py", "DJANGO_SETTINGS_MODULE");
const DATABASE: (&str, &str) = ("shop/settings.py", "DATABASES = {}");

fn migrations(
    ecosystem: &str,
    files: &[(&str, &str)],
    settings: &str,
    outputs: &[&str],
) -> Vec<Migration> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let chosen = Detection::new("x", "x", ecosystem);
    Harness::new(folder.path()).settings(settings).migrations::<Migrate>(&chosen, outputs).unwrap()
}

#[track_caller]
fn one(ecosystem: &str, files: &[(&str, &str)]) -> Migration {
    let mut found = migrations(ecosystem, files, "{}", &["app"]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(!found[0].evidence.is_empty());
    found.remove(0)
}

#[track_caller]
fn left(ecosystem: &str, files: &[(&str, &str)], why: &str) {
    match one(ecosystem, files).verdict {
        MigrationVerdict::Leave(reason) => assert!(reason.contains(why), "{reason}"),
        MigrationVerdict::Run => panic!("it would be run"),
    }
}

#[test]
fn each_tool_has_its_command() {
    let prisma = one("node", &[PRISMA, SCHEMA, MIGRATION]);
    assert_eq!(prisma.argv, ["/app/node_modules/.bin/prisma", "migrate", "deploy"]);
    assert_eq!((prisma.verdict, prisma.cwd.as_str()), (MigrationVerdict::Run, "/app"));
    let django = one("python", &[MANAGE, DATABASE]);
    assert_eq!(django.argv, ["python", "manage.py", "migrate", "--noinput"]);
    assert_eq!(django.verdict, MigrationVerdict::Run);
    let versions = ("migrations/versions/1.py", "");
    let flask = one("python", &[("requirements.txt", "Flask-Migrate"), versions]);
    assert_eq!(flask.argv, ["flask", "db", "upgrade"]);
    let alembic = one("python", &[("requirements.txt", "alembic"), ("alembic.ini", ""), versions]);
    assert_eq!(alembic.argv, ["alembic", "upgrade", "head"]);
}

#[test]
fn it_runs_where_the_tool_is() {
    let files = [PRISMA, SCHEMA, MIGRATION];
    let output = |outputs: &[&str]| migrations("node", &files, "{}", outputs)[0].output.clone();
    assert_eq!(output(&["app"]), "app");
    assert_eq!(output(&["app", "migrate"]), "migrate");
    let on_site = migrations("node", &files, "{}", &["site"]);
    assert!(matches!(&on_site[0].verdict, MigrationVerdict::Leave(why) if why.contains("static")));
}

#[test]
fn what_must_not_run_is_left_with_its_reason() {
    let mongo = ("prisma/schema.prisma", "datasource db {\n provider = \"mongodb\"\n}");
    left("node", &[PRISMA, mongo, MIGRATION], "mongodb");
    left("node", &[PRISMA, SCHEMA], "no migrations");
    let itself = r#"{"dependencies":{"prisma":"6"},"scripts":{"start":"prisma migrate deploy && node a.js"}}"#;
    left("node", &[("package.json", itself), SCHEMA, MIGRATION], "scripts.start");
    let client = r#"{"dependencies":{"@prisma/client":"6"}}"#;
    left("node", &[("package.json", client), SCHEMA, MIGRATION], "only its client");
    left("python", &[MANAGE, ("shop/settings.py", "DEBUG = True")], "DATABASES");
    let procfile = ("Procfile", "web: python manage.py migrate && gunicorn x\n");
    left("python", &[MANAGE, DATABASE, procfile], "web of the Procfile");
    left("python", &[("requirements.txt", "flask-migrate")], "no migrations");
}

#[test]
fn what_was_declared_wins_over_what_was_found() {
    let files = [PRISMA, SCHEMA, MIGRATION, ("Procfile", "web: x\nrelease: npm run migrate\n")];
    let release = one("node", &files);
    assert_eq!(
        (release.tool.as_str(), release.argv.join(" ").as_str()),
        ("Procfile", "npm run migrate")
    );
    let setting = r#"{"migrate":{"command":"make db && echo done"}}"#;
    let set = &migrations("node", &files, setting, &["app"])[0];
    assert_eq!(set.argv, ["/bin/sh", "-c", "make db && exec echo done"]);
    let off = migrations("node", &files, r#"{"migrate":false}"#, &["app"]);
    assert_eq!(off.len(), 1);
    assert!(
        matches!(&off[0].verdict, MigrationVerdict::Leave(why) if why.contains("migrate = false"))
    );
}

#[test]
fn several_are_all_returned_and_none_is_none() {
    let files = [
        MANAGE,
        DATABASE,
        ("requirements.txt", "alembic\ndjango"),
        ("alembic.ini", ""),
        ("alembic/versions/1.py", ""),
    ];
    let found = migrations("python", &files, "{}", &["app"]);
    let tools: Vec<_> = found.iter().map(|one| one.tool.as_str()).collect();
    assert_eq!(tools, ["Django", "Alembic"]);
    assert!(migrations("node", &[("package.json", "{}")], "{}", &["app"]).is_empty());
    assert!(migrations("static", &[PRISMA, SCHEMA], "{}", &["site"]).is_empty());
}
