//! Migration tools for real: a sample application for each, deployed against PostgreSQL, MariaDB or SQLite
//! on a volume. The migration writes what the application shows.
//!
//! `tests/fixtures/migrations/TOOL/app` is the application with its first migration, `second` what is added
//! for the second deployment.

use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use windlass_model::{StepName, StepStatus};
use windlass_test_support::{Deployed, GitRepo, TestHost, fixture, sample, wait_for};

use crate::services::{
    MARIADB, POSTGRES, POSTGRES_INIT, POSTGRES_SERVE, assert_once_before_the_switch,
};

/// Cases of a sample.
const SAMPLE: usize = 2;
const PASSWORD: &str = "correct-horse-battery";
const STARTS_WITHIN: Duration = Duration::from_secs(120);

/// What a tool migrates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    Postgres,
    MariaDb,
    /// On a volume, which the application's windlass.toml asks for.
    Sqlite,
}

/// A sample application.
#[derive(Debug, Clone, Copy)]
struct Case {
    /// Its folder.
    folder: &'static str,
    /// How the tool is shown.
    tool: &'static str,
    server: Server,
}

const fn case(folder: &'static str, tool: &'static str, server: Server) -> Case {
    Case { folder, tool, server }
}

const CASES: [Case; 13] = [
    case("drizzle", "Drizzle", Server::Postgres),
    case("mikro-orm", "MikroORM", Server::Postgres),
    case("node-pg-migrate", "node-pg-migrate", Server::Postgres),
    // The tool is a development dependency of another member than the application.
    case("pnpm-workspace", "node-pg-migrate", Server::Postgres),
    case("kysely", "Kysely", Server::Postgres),
    case("django", "Django", Server::Postgres),
    case("yoyo", "yoyo", Server::Postgres),
    case("knex", "Knex", Server::MariaDb),
    case("typeorm", "TypeORM", Server::MariaDb),
    case("sequelize", "Sequelize", Server::MariaDb),
    case("flask-migrate", "Flask-Migrate", Server::MariaDb),
    case("dbmate", "dbmate", Server::Sqlite),
    case("alembic", "Alembic", Server::Sqlite),
];

impl Case {
    /// The name of its database.
    fn database(&self) -> String {
        self.folder.replace('-', "_")
    }

    fn url(&self) -> String {
        let name = self.database();
        match (self.server, self.folder) {
            (Server::Postgres, _) => format!("postgres://app:{PASSWORD}@db:5432/{name}"),
            (Server::MariaDb, _) => format!("mysql://app:{PASSWORD}@db:3306/{name}"),
            // Two notations of the same: an absolute path.
            (Server::Sqlite, "alembic") => format!("sqlite:////data/{name}.sqlite3"),
            (Server::Sqlite, _) => format!("sqlite:/data/{name}.sqlite3"),
        }
    }
}

impl Server {
    fn project(self) -> &'static str {
        match self {
            Self::Postgres => "notes-postgres",
            Self::MariaDb => "notes-mariadb",
            Self::Sqlite => "notes-sqlite",
        }
    }

    fn page(self, host: &TestHost) -> String {
        let answer = host.get(&format!("{}.localhost", self.project()), "/");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }

    /// Starts it with an empty database for each case, if it is a server at all.
    fn start(self, host: &TestHost, cases: &[Case]) {
        let project = self.project();
        if self == Self::Sqlite {
            host.cli(&["project", "create", project]).ok();
            return;
        }
        // The first deployment makes the environment's network, which the database then joins.
        host.deploy_git(project, &GitRepo::of_fixture("express"), &[]).live();
        let network = format!("{project}-production-");
        let names = cases.iter().filter(|case| case.server == self).map(Case::database);
        let create: String = names.map(|name| format!("CREATE DATABASE {name};\n")).collect();
        let (address, port) = match self {
            Self::Postgres => {
                let make = format!(
                    "{POSTGRES_INIT}$bin/postgres --single -D /tmp/data postgres <<END\n{create}END\n"
                );
                (POSTGRES.start(host, &network, &format!("{make}{POSTGRES_SERVE}")), 5432)
            }
            _ => (MARIADB.start(host, &network, &mariadb(&create)), 3306),
        };
        wait_for(&format!("{self:?} listens"), STARTS_WITHIN, || {
            TcpStream::connect((address, port)).map_err(|error| error.to_string())
        });
        let kind = if self == Self::Postgres { "postgres" } else { "mysql" };
        let at = format!("db:{port}");
        let service = ["service", "add", "db", "--kind", kind, "--address", &at];
        host.cli(&[&service[..], &["--variable", "DATABASE_URL", "--project", project]].concat())
            .ok();
    }
}

/// Makes and serves a MariaDB with these databases.
fn mariadb(create: &str) -> String {
    format!(
        "set -e\nexport PATH=/usr/sbin:/usr/bin:/sbin:/bin\n\
         mariadb-install-db --no-defaults --force --datadir=/tmp/data --skip-test-db \
         --auth-root-authentication-method=normal\n\
         cat > /tmp/init.sql <<END\n\
         CREATE USER 'app'@'%' IDENTIFIED BY '{PASSWORD}';\n\
         GRANT ALL ON *.* TO 'app'@'%';\n{create}END\n\
         exec mariadbd --no-defaults --datadir=/tmp/data --socket=/tmp/socket --port=3306 \
         --bind-address=0.0.0.0 --init-file=/tmp/init.sql --skip-name-resolve \
         --innodb-flush-method=fsync --innodb-use-native-aio=OFF --innodb-buffer-pool-size=32M"
    )
}

#[test]
fn each_tool_migrates_once_before_the_switch_and_later_only_what_is_new() {
    let cases = sample::of_named(CASES.to_vec(), SAMPLE, |case| case.folder.to_owned());
    let host = TestHost::start();
    let mut failed = Vec::new();
    for server in [Server::Postgres, Server::MariaDb, Server::Sqlite] {
        let mine: Vec<Case> = cases.iter().copied().filter(|case| case.server == server).collect();
        if mine.is_empty() {
            continue;
        }
        server.start(&host, &cases);
        for case in mine {
            // Its panic is printed at once; the others are played all the same.
            if catch_unwind(AssertUnwindSafe(|| migrates(&host, case))).is_err() {
                failed.push(case.folder);
            }
        }
    }
    assert!(failed.is_empty(), "these tools failed, see above: {failed:?}");
    host.finish();
}

fn migrates(host: &TestHost, case: Case) {
    let project = case.server.project();
    let set = format!("DATABASE_URL={}", case.url());
    host.cli(&["env", "set", "--secret", &set, "--project", project]).ok();
    let repo = GitRepo::of_fixture(&format!("migrations/{}/app", case.folder));
    let first = host.deploy_git(project, &repo, &[]).live();
    assert_ran(&first, case);
    assert_eq!(case.server.page(host), "first\n", "{case:?}");

    overlay(&fixture(&format!("migrations/{}/second", case.folder)), "", &repo);
    repo.commit("A second migration");
    let second = host.deploy_git(project, &repo, &[]).live();
    assert_ran(&second, case);
    // The first one makes a table: run again, it would have failed or written a second note.
    assert_eq!(case.server.page(host), "first\nsecond\n", "{case:?}");

    let again = host.deploy_git(project, &repo, &[]).live();
    assert_ran(&again, case);
    assert_eq!(case.server.page(host), "first\nsecond\n", "{case:?}");
}

fn assert_ran(deployed: &Deployed, case: Case) {
    assert_once_before_the_switch(deployed);
    let record = deployed.view.deployment.outputs.migration.clone().unwrap();
    assert_eq!(record.migration.tool, case.tool, "{record:#?}");
    assert!(!record.migration.evidence.is_empty(), "{record:#?}");
}

/// Writes a folder's files into the repository.
fn overlay(folder: &Path, below: &str, repo: &GitRepo) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{below}{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            overlay(&entry.path(), &format!("{path}/"), repo);
        } else {
            repo.write(&path, &std::fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// Answers every request, and has two tools.
const TWO_TOOLS: [(&str, &str); 8] = [
    ("requirements.txt", "alembic==1.13.3\n"),
    ("alembic.ini", "[alembic]\nscript_location = alembic\n"),
    ("alembic/env.py", "raise SystemExit('Alembic was run')\n"),
    ("alembic/versions/a1_notes.py", "revision = 'a1'\ndown_revision = None\n"),
    (
        "manage.py",
        "import os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\nraise SystemExit(1)\n",
    ),
    ("settings.py", "DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql'}}\n"),
    (
        "main.py",
        "import os\nfrom http.server import BaseHTTPRequestHandler, HTTPServer\n\n\n\
         class Handler(BaseHTTPRequestHandler):\n    def do_GET(self):\n\
         \x20       self.send_response(200)\n        self.end_headers()\n\
         \x20       self.wfile.write(b'up\\n')\n\n\n\
         HTTPServer(('0.0.0.0', int(os.environ['PORT'])), Handler).serve_forever()\n",
    ),
    ("windlass.toml", "[build]\nframework = \"python\"\n\n[run]\ncommand = \"python main.py\"\n"),
];

#[test]
fn what_must_not_run_is_left_alone_and_the_deployment_says_why() {
    let host = TestHost::start();
    migrates_itself(&host);

    let repo = GitRepo::of_files(&TWO_TOOLS);
    let several = host.deploy_git("tools", &repo, &[]).live();
    assert_eq!(several.step(StepName::Migrate), StepStatus::Skipped);
    let warnings = &several.view.deployment.warnings;
    let warning = warnings.iter().find(|warning| warning.code == "migrate.several").unwrap();
    assert!(warning.message.contains("Django, Alembic"), "{warning:?}");

    let settings = repo.read("windlass.toml");
    repo.write("windlass.toml", &format!("migrate = false\n\n{settings}"));
    repo.commit("No migration");
    left(&host.deploy_git("tools", &repo, &[]).live(), "migrate = false");

    repo.write("windlass.toml", &settings);
    repo.remove("manage.py");
    repo.remove("alembic/versions/a1_notes.py");
    repo.commit("One tool, and nothing for it to do");
    left(&host.deploy_git("tools", &repo, &[]).live(), "there are no migrations");
    assert_eq!(host.get("tools.localhost", "/").text(), "up\n");
    host.finish();
}

/// An application whose start command migrates: nothing else may.
fn migrates_itself(host: &TestHost) {
    let project = Server::Sqlite.project();
    host.cli(&["project", "create", project]).ok();
    let url = "DATABASE_URL=sqlite:/data/itself.sqlite3";
    host.cli(&["env", "set", url, "--project", project]).ok();
    let repo = GitRepo::of_fixture("migrations/dbmate/app");
    let start = "dbmate --no-dump-schema migrate && node server.js";
    repo.edit("package.json", "node server.js", start);
    repo.commit("It migrates itself");
    left(&host.deploy_git(project, &repo, &[]).live(), "scripts.start does it already");
    assert_eq!(Server::Sqlite.page(host), "first\n");
}

fn left(deployed: &Deployed, why: &str) {
    assert_eq!(deployed.step(StepName::Migrate), StepStatus::Skipped);
    let summary = deployed.summary(StepName::Migrate);
    assert!(summary.contains(why), "{summary}");
    assert!(deployed.view.deployment.outputs.migration.is_none());
    let several =
        deployed.view.deployment.warnings.iter().any(|warning| warning.code == "migrate.several");
    assert!(!several, "only one tool is left");
}
