use windlass_sdk::testing::Harness;
use windlass_sdk::{Detection, Migration, MigrationVerdict, Migrator as _, Source};

use super::Migrate;

mod compiled;
mod members;
mod node;
mod web;

/// A file: path and text.
type File<'a> = (&'a str, &'a str);

const PRISMA: File = ("package.json", r#"{"dependencies":{"prisma":"6"}}"#);
const SCHEMA: File = ("prisma/schema.prisma", "datasource db {\n  provider = \"postgresql\"\n}\n");
const MIGRATION: File = ("prisma/migrations/1_init/migration.sql", "");
const MANAGE: File = ("manage.py", "DJANGO_SETTINGS_MODULE");
const DATABASE: File = ("shop/settings.py", "DATABASES = {'ENGINE': 'postgresql'}");

fn harness(files: &[File], settings: &str) -> (tempfile::TempDir, Harness) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let harness = Harness::new(folder.path()).settings(settings);
    (folder, harness)
}

fn migrations(ecosystem: &str, files: &[File], settings: &str, outputs: &[&str]) -> Vec<Migration> {
    let (_folder, harness) = harness(files, settings);
    let chosen = Detection::new("x", "x", ecosystem);
    harness.migrations::<Migrate>(&chosen, outputs).unwrap()
}

#[track_caller]
fn one(ecosystem: &str, files: &[File]) -> Migration {
    let mut found = migrations(ecosystem, files, "{}", &["app"]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(!found[0].evidence.is_empty(), "{found:#?}");
    assert_eq!(found[0].cwd, "", "the image says where the application lies");
    found.remove(0)
}

/// The only tool, run with this command; gives the path that the newest migration has.
#[track_caller]
fn runs(ecosystem: &str, files: &[File], tool: &str, command: &str) -> String {
    let migration = one(ecosystem, files);
    assert_eq!(
        (migration.tool.as_str(), migration.argv.join(" ").as_str()),
        (tool, command),
        "{migration:#?}"
    );
    assert_eq!(migration.verdict, MigrationVerdict::Run);
    let newest = migration.evidence.iter().find(|sign| sign.detail == "the newest migration");
    newest.map(|sign| sign.path.clone()).unwrap_or_default()
}

/// The only tool, left alone for a reason that says this.
#[track_caller]
fn left(ecosystem: &str, files: &[File], tool: &str, why: &str) {
    let migration = one(ecosystem, files);
    assert_eq!(migration.tool, tool, "{migration:#?}");
    match &migration.verdict {
        MigrationVerdict::Leave(reason) => assert!(reason.contains(why), "{reason}"),
        MigrationVerdict::Run => panic!("it would be run: {migration:#?}"),
    }
}

fn nothing(ecosystem: &str, files: &[File]) {
    let found = migrations(ecosystem, files, "{}", &["app"]);
    assert!(found.is_empty(), "{found:#?}");
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
    assert_eq!(set.tool, "windlass.toml");
    let off = migrations("node", &files, r#"{"migrate":false}"#, &["app"]);
    assert_eq!(off.len(), 1);
    assert!(
        matches!(&off[0].verdict, MigrationVerdict::Leave(why) if why.contains("migrate = false"))
    );
}

#[test]
fn another_platform_s_file_is_named_where_it_says_how() {
    let railway = ("railway.json", r#"{"deploy":{"preDeployCommand":"npm run up"}}"#);
    let found = one("node", &[PRISMA, SCHEMA, MIGRATION, railway]);
    assert_eq!(
        (found.tool.as_str(), found.argv.join(" ").as_str()),
        ("railway.json", "npm run up")
    );
    assert_eq!(found.evidence[0].path, "railway.json");
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
    assert!(found.iter().all(|one| one.verdict == MigrationVerdict::Run));
    nothing("node", &[("package.json", "{}")]);
    nothing("static", &[PRISMA, SCHEMA]);
    nothing("dockerfile", &[PRISMA, SCHEMA, MIGRATION]);
    nothing("go", &[("go.mod", "module x"), ("main.go", "package main"), ("db/schema.sql", "")]);
}

#[test]
fn a_dockerfile_s_image_says_that_nothing_was_looked_for() {
    let log = |settings: &str| {
        let (_folder, harness) = harness(&[("Dockerfile", "FROM x")], settings);
        let chosen = Detection::new("dockerfile", "Dockerfile", "dockerfile");
        let outputs = ["app".to_owned()];
        let plan = |source: &Source| Migrate::plan(&harness.context, source, &chosen, &outputs);
        let (_, log) = harness.run(plan);
        log.into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n")
    };
    assert!(log("{}").contains("set migrate.command in windlass.toml"));
    assert!(log(r#"{"migrate":false}"#).is_empty());
}

#[test]
fn django_runs_if_it_has_a_database_that_stays() {
    runs("python", &[MANAGE, DATABASE], "Django", "python manage.py migrate --noinput");
    let below = [
        ("site/manage.py", "DJANGO_SETTINGS_MODULE"),
        ("site/x/settings.py", "DATABASES = env.db()"),
    ];
    runs("python", &below, "Django", "python site/manage.py migrate --noinput");
    let newest = runs(
        "python",
        &[MANAGE, DATABASE, ("a/migrations/0001_b.py", ""), ("c/migrations/0002_d.py", "")],
        "Django",
        "python manage.py migrate --noinput",
    );
    assert_eq!(newest, "c/migrations/0002_d.py");
    left("python", &[MANAGE, ("shop/settings.py", "DEBUG = True")], "Django", "DATABASES");
    let procfile = ("Procfile", "web: python manage.py migrate && gunicorn x\n");
    left("python", &[MANAGE, DATABASE, procfile], "Django", "web of the Procfile");
    let script = [("Procfile", "web: sh start.sh\n"), ("start.sh", "python manage.py migrate\n")];
    left("python", &[MANAGE, DATABASE, script[0], script[1]], "Django", "start.sh, which web");
    let sqlite = ("shop/settings.py", "DATABASES = {'ENGINE': 'django.db.backends.sqlite3'}");
    left("python", &[MANAGE, sqlite], "Django", "run.volumes");
    let on_volume = r#"{"run":{"volumes":["/data"]}}"#;
    let found = migrations("python", &[MANAGE, sqlite], on_volume, &["app"]);
    assert_eq!(found[0].verdict, MigrationVerdict::Run);
    nothing("python", &[("manage.py", "from flask_script import Manager")]);
}

#[test]
fn alembic_runs_by_itself_and_through_flask() {
    let lists = |text| ("requirements.txt", text);
    let first = ("migrations/versions/b.py", "revision = 'b'\ndown_revision = None\n");
    let second = ("migrations/versions/a.py", "revision = 'a'\ndown_revision = 'b'\n");
    let both = [first, second];
    let with = |more: &[File<'static>]| [&both[..], more].concat();
    let app = ("app.py", "app = Flask(__name__)");
    let files = with(&[lists("Flask-Migrate"), app]);
    let newest = runs("python", &files, "Flask-Migrate", "flask db upgrade");
    assert_eq!(newest, "migrations/versions/a.py", "what no other follows");
    let named = with(&[lists("flask-migrate"), ("shop/__init__.py", "migrate = Migrate(app, db)")]);
    runs("python", &named, "Flask-Migrate", "flask --app shop db upgrade");
    // Flask-Migrate brings Alembic, which is then not meant by itself.
    let all = with(&[lists("flask-migrate\nalembic"), app, ("migrations/alembic.ini", "")]);
    runs("python", &all, "Flask-Migrate", "flask db upgrade");
    left("python", &[lists("flask-migrate"), app], "Flask-Migrate", "no migrations");

    let ini = ("alembic.ini", "");
    runs("python", &with(&[lists("alembic"), ini]), "Alembic", "alembic upgrade head");
    let below = with(&[lists("alembic"), ("db/alembic.ini", "")]);
    runs("python", &below, "Alembic", "alembic -c db/alembic.ini upgrade head");
    let project =
        ("pyproject.toml", "[project]\nname='x'\ndependencies=['alembic']\n[tool.alembic]\n");
    runs("python", &with(&[project]), "Alembic", "alembic upgrade head");
    let boots =
        with(&[lists("alembic"), ini, ("app/main.py", "import x\ncommand.upgrade(c, 'head')")]);
    left("python", &boots, "Alembic", "app/main.py, line 2");
    left("python", &[lists("alembic"), ini], "Alembic", "alembic revision");
    nothing("python", &with(&[lists("alembic")]));
}

#[test]
fn other_python_tools_run() {
    let files = [("requirements.txt", "aerich"), ("migrations/models/0_x.py", "")];
    runs("python", &files, "Aerich", "aerich upgrade");
    let files = [("requirements.txt", "yoyo-migrations"), ("migrations/0001.x.sql", "")];
    left("python", &files, "yoyo", "yoyo.ini");
    let files = [files[0], files[1], ("yoyo.ini", "")];
    runs("python", &files, "yoyo", "yoyo apply --batch");
}

#[test]
fn the_sample_applications_are_recognised() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = root.join("../../tests/fixtures/migrations");
    for (sample, ecosystem, command) in [
        ("alembic", "python", "alembic upgrade head"),
        ("dbmate", "node", "dbmate --no-dump-schema migrate"),
        ("django", "python", "python manage.py migrate --noinput"),
        ("drizzle", "node", "drizzle-kit migrate"),
        ("flask-migrate", "python", "flask db upgrade"),
        ("knex", "node", "knex migrate:latest"),
        ("kysely", "node", "kysely migrate:latest"),
        ("mikro-orm", "node", "mikro-orm migration:up"),
        ("node-pg-migrate", "node", "node-pg-migrate up"),
        ("sequelize", "node", "sequelize-cli db:migrate"),
        ("typeorm", "node", "typeorm migration:run -d dist/data-source.js"),
        ("yoyo", "python", "yoyo apply --batch"),
    ] {
        let chosen = Detection::new("x", "x", ecosystem);
        let harness = Harness::new(root.join(sample).join("app"));
        let found = harness.migrations::<Migrate>(&chosen, &["app"]).unwrap();
        assert_eq!(found.len(), 1, "{sample}: {found:#?}");
        assert_eq!(found[0].argv.join(" "), command, "{sample}");
        assert_eq!(found[0].verdict, MigrationVerdict::Run, "{sample}");
    }
}

#[test]
fn tools_are_looked_for_in_the_member_that_was_chosen_and_the_procfile_where_the_settings_are() {
    let files = [
        ("package.json", "{\"workspaces\":[\"apps/*\"]}"),
        ("apps/api/package.json", "{\"dependencies\":{\"knex\":\"3\",\"pg\":\"8\"}}"),
        ("apps/api/knexfile.js", "module.exports = {}"),
        ("apps/api/migrations/1_notes.js", "exports.up = () => {}"),
    ];
    let (folder, harness) = harness(&files, "{}");
    let root = Detection::new("x", "x", "node");
    assert_eq!(harness.migrations::<Migrate>(&root, &["app"]).unwrap(), []);
    let member = root.app_dir("apps/api");
    let found = harness.migrations::<Migrate>(&member, &["app"]).unwrap();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].tool, "Knex");
    std::fs::write(folder.path().join("Procfile"), "release: node migrate.js\n").unwrap();
    let harness = Harness::new(folder.path()).settings("{}");
    let found = harness.migrations::<Migrate>(&member, &["app"]).unwrap();
    assert_eq!(found[0].argv.last().unwrap(), "migrate.js", "{found:#?}");
}
