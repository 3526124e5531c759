//! Ruby, PHP, Elixir and the Java virtual machine.

use super::{File, harness, left, migrations, nothing, runs};
use crate::Migrate;
use windlass_sdk::{Detection, MigrationVerdict};

const RAILS: [File; 4] = [
    ("Gemfile", "source \"https://rubygems.org\"\ngem \"rails\", \"~> 8.0\"\ngem \"pg\"\n"),
    ("config/application.rb", "require \"rails/all\"\n"),
    ("config/database.yml", "production:\n  adapter: postgresql\n"),
    ("db/migrate/20240101000000_create_notes.rb", ""),
];

fn with<'a>(files: &[File<'a>], more: &[File<'a>]) -> Vec<File<'a>> {
    let replaced = |file: &&File| more.iter().all(|(path, _)| *path != file.0);
    files.iter().filter(replaced).chain(more).copied().collect()
}

#[test]
fn rails_runs_unless_its_entry_point_does_it() {
    let command = "bundle exec rails db:prepare";
    assert_eq!(runs("ruby", &RAILS, "Rails", command), RAILS[3].0);
    let entry = [
        ("bin/docker-entrypoint", "#!/bin/bash -e\n./bin/rails db:prepare\nexec \"${@}\"\n"),
        ("Procfile", "web: ./bin/docker-entrypoint ./bin/rails server\n"),
    ];
    left("ruby", &with(&RAILS, &entry), "Rails", "bin/docker-entrypoint, which web");
    // Nothing of ours calls it, so nothing would migrate.
    runs("ruby", &with(&RAILS, &entry[..1]), "Rails", command);
    left("ruby", &RAILS[..3], "Rails", "no migrations");
    let file = (
        "config/database.yml",
        "default: &default\n  adapter: sqlite3\nproduction:\n  <<: *default\n  database: storage/production.sqlite3\n",
    );
    left("ruby", &with(&RAILS, &[file]), "Rails", "SQLite");
    let none =
        ("config/application.rb", "require \"rails\"\nrequire \"action_controller/railtie\"\n");
    left("ruby", &with(&RAILS, &[none]), "Rails", "Active Record");
    nothing("ruby", &[("Gemfile", "# gem \"rails\"\ngem \"sinatra\"\n"), RAILS[1]]);
    let sinatra =
        [("Gemfile", "gem 'sinatra-activerecord'\n"), ("Rakefile", ""), ("db/migrate/1_a.rb", "")];
    runs("ruby", &sinatra, "Active Record", "bundle exec rake db:migrate");
    let hanami = [("Gemfile", "gem 'hanami-db'\n"), ("config/db/migrate/1_a.rb", "")];
    runs("ruby", &hanami, "Hanami", "bundle exec hanami db migrate");
}

#[test]
fn rails_prepares_all_databases_where_it_can() {
    let runs_as = |gemfile: &str, lock: &str, command: &str| {
        let line = format!("source \"https://rubygems.org\"\n{gemfile}\n");
        let files = [("Gemfile", line.as_str()), ("Gemfile.lock", lock)];
        let files = with(&RAILS, &files);
        runs("ruby", &files, "Rails", &format!("bundle exec rails {command}"));
    };
    for (gemfile, command) in [
        ("gem \"rails\", \"~> 8.0.1\"", "db:prepare"),
        ("gem \"rails\", \"~> 6.1\"", "db:prepare"),
        ("gem \"rails\"", "db:prepare"),
        ("gem \"rails\", github: \"rails/rails\", branch: \"5-2-stable\"", "db:prepare"),
        ("gem 'rails', '~> 6.0.3'", "db:migrate"),
        ("gem 'rails', '>= 5.2', '< 9'", "db:migrate"),
    ] {
        runs_as(gemfile, "", command);
    }
    let lock = "GEM\n  specs:\n    railties (5.2.8)\n      rails (= 1)\n    rails (5.2.8)\n";
    runs_as("gem \"rails\"", lock, "db:migrate");
    runs_as("gem \"rails\", \">= 5\"", "GEM\n  specs:\n    rails (7.1.0)\n", "db:prepare");

    let found = super::one("ruby", &RAILS);
    let sign = found.evidence.iter().find(|sign| sign.detail.contains("seeds")).unwrap();
    assert!(
        sign.path == "Gemfile" && sign.detail.contains("gem \"rails\", \"~> 8.0\""),
        "{sign:?}"
    );
    // The databases of a new application have no migrations, and need their tables nevertheless.
    let schema = ("db/queue_schema.rb", "");
    let found = super::one("ruby", &with(&RAILS[..3], &[schema]));
    assert_eq!(found.verdict, MigrationVerdict::Run);
    assert!(found.evidence.iter().any(|sign| sign.path == schema.0 && sign.detail == "a schema"));
    for old in ["gem 'rails', '6.0.1'\n", "gem 'rails', '~> 7.0.8'\n"] {
        let files = with(&RAILS[..3], &[schema, ("Gemfile", old)]);
        left("ruby", &files, "Rails", "no migrations");
    }
}

#[test]
fn php_frameworks_run_theirs() {
    let laravel = [
        ("composer.json", r#"{"require":{"laravel/framework":"^12"}}"#),
        ("artisan", "<?php"),
        ("database/migrations/0001_01_01_000000_a.php", ""),
    ];
    runs("php", &laravel, "Laravel", "php artisan migrate --force");
    left("php", &laravel[..2], "Laravel", "make:migration");
    let procfile = ("Procfile", "web: php artisan migrate --force && apache2-foreground\n");
    left("php", &with(&laravel, &[procfile]), "Laravel", "web of the Procfile");
    let config = ("config/database.php", "'default' => env('DB_CONNECTION', 'sqlite'),");
    left("php", &with(&laravel, &[config]), "Laravel", "SQLite");
    for spelled in ["env('DB_CONNECTION','sqlite')", "env( \"DB_CONNECTION\", \"sqlite\")"] {
        let config = ("config/database.php", spelled);
        left("php", &with(&laravel, &[config]), "Laravel", "SQLite");
    }
    let files = with(&laravel, &[config]);
    let (_folder, harness) = harness(&files, "{}");
    let chosen = Detection::new("laravel", "Laravel", "php");
    let named = harness.variables(["DB_CONNECTION"]);
    let found = named.migrations::<Migrate>(&chosen, &["app"]).unwrap();
    assert_eq!(found[0].verdict, MigrationVerdict::Run);

    let symfony = [
        ("composer.json", r#"{"require":{"doctrine/doctrine-migrations-bundle":"^3"}}"#),
        ("migrations/Version20240101000000.php", ""),
    ];
    let command =
        "php bin/console doctrine:migrations:migrate --no-interaction --allow-no-migration";
    runs("php", &symfony, "Doctrine Migrations", command);
    left("php", &symfony[..1], "Doctrine Migrations", "no migrations");
    let phinx = [
        ("composer.json", r#"{"require":{"robmorgan/phinx":"*"}}"#),
        ("phinx.php", ""),
        ("db/migrations/1_a.php", ""),
    ];
    runs("php", &phinx, "Phinx", "php vendor/bin/phinx migrate --environment=production");
}

#[test]
fn ecto_runs_in_the_release() {
    let app = [
        (
            "mix.exs",
            "defmodule Shop.MixProject do\n  def project do\n    [app: :shop, deps: deps()]\n  end\n  defp deps, do: [{:ecto_sql, \"~> 3.6\"}]\nend\n",
        ),
        ("config/config.exs", "config :shop, ecto_repos: [Shop.Repo]\n"),
        ("priv/repo/migrations/20240101000000_a.exs", ""),
    ];
    let command = "_build/prod/rel/shop/bin/shop eval Application.load(:shop); {:ok, _, _} = \
                   Ecto.Migrator.with_repo(Shop.Repo, &Ecto.Migrator.run(&1, :up, all: true))";
    runs("elixir", &app, "Ecto", command);
    let release = ("lib/shop/release.ex", "defmodule Shop.Release do\n  def migrate do\n");
    runs(
        "elixir",
        &with(&app, &[release]),
        "Ecto",
        "_build/prod/rel/shop/bin/shop eval Shop.Release.migrate()",
    );
    let boots = ("lib/shop/application.ex", "children = [\n  {Ecto.Migrator, repos: []},");
    left("elixir", &with(&app, &[boots]), "Ecto", "lib/shop/application.ex, line 2");
    left("elixir", &app[..2], "Ecto", "no migrations");
    nothing("elixir", &[("mix.exs", "[app: :shop]")]);
}

#[test]
fn flyway_and_liquibase_run_inside_the_application() {
    let spring = |more: &str| {
        format!(
            "<project><parent><artifactId>spring-boot-starter-parent</artifactId></parent>\n<artifactId>{more}</artifactId></project>"
        )
    };
    let flyway = spring("flyway-core");
    let sql = ("src/main/resources/db/migration/V1__init.sql", "");
    let files = [("pom.xml", flyway.as_str()), sql];
    left("java", &files, "Flyway", "Spring Boot runs flyway itself");
    let off = ("src/main/resources/application.yml", "spring:\n  flyway:\n    enabled: false\n");
    left(
        "kotlin",
        &with(&files, &[off]),
        "Flyway",
        "switched off (src/main/resources/application.yml, line 3)",
    );
    let liquibase = spring("liquibase-core");
    let log = ("src/main/resources/db/changelog/db.changelog-master.yaml", "");
    left("java", &[("pom.xml", &liquibase), log], "Liquibase", "Spring Boot runs liquibase");

    let gradle = ("build.gradle.kts", "implementation(\"io.quarkus:quarkus-flyway\")\n");
    left("java", &[gradle, sql], "Flyway", "migrate-at-start=true");
    let on =
        ("src/main/resources/application.properties", "quarkus.flyway.migrate-at-start = true\n");
    left("java", &[gradle, sql, on], "Flyway", "Quarkus runs flyway itself");
    let plain = ("build.gradle", "implementation 'org.flywaydb:flyway-core:10.0'\n");
    let main = ("src/main/java/Main.java", "Flyway flyway = Flyway.configure().load();");
    left("java", &[plain, sql, main], "Flyway", "src/main/java/Main.java, line 1");
    left("java", &[plain, sql], "Flyway", "nothing in the application runs them");
    let beside = migrations("php", &[("flyway.conf", "")], "{}", &["app"]);
    assert!(
        matches!(&beside[0].verdict, MigrationVerdict::Leave(why) if why.contains("needs Java"))
    );
}
