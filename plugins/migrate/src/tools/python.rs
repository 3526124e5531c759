//! Python.

use windlass_sdk::Evidence;

use crate::facts::{Facts, stem};
use crate::tool::{Found, Program, TOOL, Tool, by_name, lost_with_the_image};

/// The tools.
pub(super) const TOOLS: [Tool; 5] = [
    Tool {
        name: "Django",
        ecosystems: &["python"],
        files: &["{*/,}manage.py"],
        argv: &["python", "manage.py", "migrate", "--noinput"],
        commands: &["manage.py migrate", "call_command(\"migrate\""],
        signs: &["call_command(\"migrate\"", "call_command('migrate'"],
        sources: &["**/{wsgi,asgi,apps,__init__}.py"],
        special: django,
        ..TOOL
    },
    Tool {
        name: "Flask-Migrate",
        ecosystems: &["python"],
        packages: &["flask-migrate"],
        migrations: &["**/versions/*.py"],
        argv: &["flask", "db", "upgrade"],
        commands: &["flask db upgrade", "manage.py db upgrade"],
        signs: &["upgrade("],
        sources: &["{app,wsgi,main,run,server}.py", "*/__init__.py", "*/app.py"],
        create: "create them with `flask db migrate` and commit them",
        over: &["Alembic"],
        special: flask,
        ..TOOL
    },
    Tool {
        name: "Alembic",
        ecosystems: &["python"],
        packages: &["alembic"],
        files: &["{*/,*/*/,}alembic.ini", "pyproject.toml"],
        migrations: &["**/versions/**/*.py"],
        argv: &["alembic", "upgrade", "head"],
        commands: &["alembic upgrade", "-m alembic upgrade"],
        signs: &["command.upgrade(", "alembic.command.upgrade(", "\"alembic\", \"upgrade\""],
        sources: &["**/*.py"],
        create: "create them with `alembic revision` and commit them",
        special: alembic,
        ..TOOL
    },
    Tool {
        name: "Aerich",
        ecosystems: &["python"],
        packages: &["aerich"],
        migrations: &["**/migrations/*/*.py", "**/migrations/*.py"],
        argv: &["aerich", "upgrade"],
        commands: &["aerich upgrade"],
        signs: &["Command(tortoise_config"],
        sources: &["**/*.py"],
        create: "create them with `aerich migrate` and commit them",
        ..TOOL
    },
    Tool {
        name: "yoyo",
        ecosystems: &["python"],
        packages: &["yoyo-migrations"],
        migrations: &["**/migrations/*.{py,sql}"],
        argv: &["yoyo", "apply", "--batch"],
        program: Program::Image,
        commands: &["yoyo apply", "yoyo-migrate apply"],
        signs: &["apply_migrations("],
        sources: &["**/*.py"],
        create: "write them into a folder migrations and commit them",
        special: yoyo,
        ..TOOL
    },
];

/// A project that has no database needs no migration; one whose database is a file loses it.
fn django(facts: &Facts, found: &mut Found) {
    let manage = facts.matching(&["{*/,}manage.py"]);
    let is_django =
        |path: &&&str| facts.text(path).is_some_and(|text| text.contains("DJANGO_SETTINGS_MODULE"));
    let Some(manage) = manage.iter().find(is_django).map(|path| (*path).to_owned()) else {
        found.absent = true;
        return;
    };
    found.evidence = vec![Evidence::new(&manage, "DJANGO_SETTINGS_MODULE")];
    found.run(&["python", &manage, "migrate", "--noinput"]);
    let newest = facts.matching(&["**/migrations/0*.py"]);
    found.migrations = by_name(newest);
    let settings = facts.matching(&["**/*settings*.py", "**/settings/*.py"]);
    let texts: Vec<_> =
        settings.iter().filter_map(|path| Some((*path, facts.text(path)?))).collect();
    let names = |text: &str| text.contains("DATABASES");
    let Some((path, _)) = texts.iter().find(|(_, text)| names(text)) else {
        if !settings.is_empty() {
            found.leave("the settings name no database (DATABASES)");
        }
        return;
    };
    found.evidence.push(Evidence::new(*path, "DATABASES"));
    let all: String = texts.iter().map(|(_, text)| text.as_str()).collect();
    let others =
        ["postgres", "mysql", "oracle", "dj_database_url", "DATABASE_URL", "db_url(", ".db("];
    let only_file = all.contains("sqlite3") && !others.iter().any(|other| all.contains(other));
    if only_file && let Some(why) = lost_with_the_image(facts) {
        found.leave(why);
    }
}

/// Flask looks for `app.py` and `wsgi.py`; anything else must be named.
fn flask(facts: &Facts, found: &mut Found) {
    newest_last(facts, found);
    let usual = facts.first(&["{app,wsgi}.py", "{app,wsgi}/__init__.py", ".flaskenv"]).is_some();
    if usual || facts.has_variable(&["FLASK_APP"]) {
        return;
    }
    let files = facts.matching(&["{*,*/*}.py"]);
    let signs = ["Migrate(", "Flask(__name__"];
    let file = signs.iter().find_map(|sign| {
        files.iter().find(|path| facts.text(path).is_some_and(|text| text.contains(sign)))
    });
    if let Some(file) = file {
        let module = match file.split_once('/') {
            Some((folder, "__init__.py")) => folder.to_owned(),
            Some((folder, name)) => format!("{folder}.{}", stem(name)),
            None => stem(file).to_owned(),
        };
        found.run(&["flask", "--app", &module, "db", "upgrade"]);
    }
}

/// Settings elsewhere.
fn alembic(facts: &Facts, found: &mut Found) {
    let settings = facts.first(&["{*/,*/*/,}alembic.ini"]).map(str::to_owned);
    let in_project =
        facts.text("pyproject.toml").is_some_and(|text| text.contains("[tool.alembic]"));
    match (&settings, in_project) {
        (Some(file), _) => {
            found.evidence.retain(|sign| sign.path != "pyproject.toml" || !sign.detail.is_empty());
            if file != "alembic.ini" {
                found.run(&["alembic", "-c", file, "upgrade", "head"]);
            }
        }
        (None, true) => {}
        (None, false) => {
            found.absent = true;
            return;
        }
    }
    newest_last(facts, found);
}

/// Puts the revision that no other follows last: the names of the files do not say it.
fn newest_last(facts: &Facts, found: &mut Found) {
    let texts: Vec<(String, String)> = found
        .migrations
        .iter()
        .filter_map(|path| Some((path.clone(), facts.text(path)?)))
        .collect();
    let revisions = |key: &str, text: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.starts_with(key));
        let quoted = line.unwrap_or_default().split(['"', '\'']).skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    };
    let followed: Vec<String> =
        texts.iter().flat_map(|(_, text)| revisions("down_revision", text)).collect();
    let is_head = |text: &str| {
        revisions("revision", text).first().is_some_and(|revision| !followed.contains(revision))
    };
    if let Some((head, _)) = texts.iter().find(|(_, text)| is_head(text)) {
        let head = head.clone();
        found.migrations.retain(|path| *path != head);
        found.migrations.push(head);
    }
}

/// The database is named in its settings.
fn yoyo(facts: &Facts, found: &mut Found) {
    found.migrations.retain(|path| !path.contains(".rollback."));
    match facts.first(&["yoyo.ini"]) {
        Some(file) => found.evidence.push(Evidence::new(file, "")),
        None => found.leave(
            "there is no yoyo.ini that names the database: add one, or set migrate.command in \
             windlass.toml",
        ),
    }
}
