//! Ruby, PHP and Elixir.

use windlass_plugin_common::lines;
use windlass_sdk::Evidence;

use crate::facts::Facts;
use crate::tool::{Found, Program, TOOL, Tool, by_name, lost_with_the_image};

/// The tools.
pub(super) const TOOLS: [Tool; 9] = [
    Tool {
        name: "Rails",
        ecosystems: &["ruby"],
        packages: &["rails", "activerecord-railties"],
        files: &["config/application.rb", "bin/rails"],
        migrations: &["db/{,*_}migrate/*.rb"],
        argv: &["bundle", "exec", "rails", "db:prepare"],
        commands: &["db:migrate", "db:prepare"],
        create: "create them with `bin/rails generate migration` and commit them",
        special: rails,
        ..TOOL
    },
    Tool {
        name: "Active Record",
        ecosystems: &["ruby"],
        packages: &["sinatra-activerecord", "standalone_migrations", "otr-activerecord"],
        files: &["Rakefile"],
        migrations: &["db/migrate/*.rb"],
        argv: &["bundle", "exec", "rake", "db:migrate"],
        commands: &["rake db:migrate"],
        create: "create them with `rake db:create_migration` and commit them",
        ..TOOL
    },
    Tool {
        name: "Hanami",
        ecosystems: &["ruby"],
        packages: &["hanami-db", "hanami-model"],
        migrations: &["{config/db,db}/migrate/*.rb", "db/migrations/*.rb"],
        argv: &["bundle", "exec", "hanami", "db", "migrate"],
        commands: &["hanami db migrate"],
        create: "create them with `hanami generate migration` and commit them",
        ..TOOL
    },
    Tool {
        name: "Laravel",
        ecosystems: &["php"],
        packages: &["laravel/framework"],
        files: &["artisan"],
        migrations: &["database/migrations/*.php"],
        argv: &["php", "artisan", "migrate", "--force"],
        commands: &["artisan migrate"],
        create: "create them with `php artisan make:migration` and commit them",
        special: laravel,
        ..TOOL
    },
    Tool {
        name: "Doctrine Migrations",
        ecosystems: &["php"],
        packages: &["doctrine/doctrine-migrations-bundle"],
        migrations: &["migrations/{,*/}Version*.php", "src/Migrations/Version*.php"],
        argv: &[
            "php",
            "bin/console",
            "doctrine:migrations:migrate",
            "--no-interaction",
            "--allow-no-migration",
        ],
        commands: &["doctrine:migrations:migrate", "doctrine:schema:update"],
        create: "create them with `bin/console make:migration` and commit them",
        over: &["Doctrine Migrations by themselves"],
        special: doctrine,
        ..TOOL
    },
    Tool {
        name: "Doctrine Migrations by themselves",
        ecosystems: &["php"],
        packages: &["doctrine/migrations"],
        files: &["migrations.{php,json,xml,yml,yaml}"],
        migrations: &["**/Version*.php"],
        argv: &["php", "vendor/bin/doctrine-migrations", "migrate", "--no-interaction"],
        commands: &["doctrine-migrations migrate"],
        create: "create them with `vendor/bin/doctrine-migrations generate` and commit them",
        ..TOOL
    },
    Tool {
        name: "Phinx",
        ecosystems: &["php"],
        packages: &["robmorgan/phinx"],
        files: &["phinx.{php,yml,yaml,json}"],
        migrations: &["**/{db/migrations,migrations}/*.php"],
        argv: &["php", "vendor/bin/phinx", "migrate", "--environment=production"],
        commands: &["phinx migrate"],
        create: "create them with `vendor/bin/phinx create` and commit them",
        ..TOOL
    },
    Tool {
        name: "CakePHP Migrations",
        ecosystems: &["php"],
        packages: &["cakephp/migrations"],
        migrations: &["config/Migrations/*.php"],
        argv: &["php", "bin/cake.php", "migrations", "migrate"],
        commands: &["migrations migrate"],
        create: "create them with `bin/cake bake migration` and commit them",
        ..TOOL
    },
    Tool {
        name: "Ecto",
        ecosystems: &["elixir"],
        packages: &["ecto_sql", "ash_postgres"],
        migrations: &["{,apps/*/}priv/*/migrations/*.exs"],
        argv: &[],
        program: Program::Image,
        commands: &["ecto.migrate", "bin/migrate", ".migrate\"", "Release.migrate"],
        signs: &[
            "{Ecto.Migrator",
            "Release.migrate",
            "Ecto.Migrator.run(",
            "Ecto.Migrator.with_repo(",
        ],
        sources: &["**/application.ex"],
        create: "create them with `mix ecto.gen.migration` and commit them",
        special: ecto,
        ..TOOL
    },
];

/// The first version whose `db:prepare` takes all databases of the application.
const PREPARES: (u64, u64) = (6, 1);
/// The first one whose `db:prepare` fills a database that is there and empty; before, only a missing one.
const FILLS: (u64, u64) = (7, 1);
/// What a database without migrations is made of: those of queue, cache and cable have nothing else.
const SCHEMAS: [&str; 2] = ["db/{,*_}schema.rb", "db/{,*_}structure.sql"];

/// How it is prepared; a database that is a file, or none at all.
fn rails(facts: &Facts, found: &mut Found) {
    rails_command(facts, found);
    let application = facts.text("config/application.rb").unwrap_or_default();
    let all = application.lines().any(|line| line.trim() == "require \"rails/all\"");
    let record = application.lines().any(|line| {
        line.trim_start().starts_with("require") && line.contains("active_record/railtie")
    });
    if !application.is_empty() && !all && !record && !application.contains("rails/all") {
        return found.leave("config/application.rb loads no Active Record");
    }
    let database = facts.text("config/database.yml").unwrap_or_default();
    let production = database.split("\nproduction:").nth(1).unwrap_or(&database);
    let url = facts.has_variable(&["DATABASE_URL"]) || production.contains("url:");
    let file = database.contains("sqlite3") && !production.contains("postgres");
    if file && !url && !production.contains("mysql") && !production.contains("trilogy") {
        found.evidence.push(Evidence::new("config/database.yml", "adapter: sqlite3"));
        if let Some(why) = lost_with_the_image(facts) {
            found.leave(why);
        }
    }
}

/// `db:prepare`, where Rails has it: `db:migrate` leaves databases alone that have only a schema.
fn rails_command(facts: &Facts, found: &mut Found) {
    let (file, line, version) = rails_version(facts);
    if version.is_some_and(|version| version < PREPARES) {
        return found.run(&["bundle", "exec", "rails", "db:migrate"]);
    }
    let fills = version.is_none_or(|version| version >= FILLS);
    let what = if fills { "a database that is empty" } else { "a database that is missing" };
    let does = format!("{line}: db:prepare also loads the schema and the seeds into {what}");
    found.evidence.push(Evidence::new(file, does));
    if fills && found.migrations.is_empty() {
        found.migrations = by_name(facts.matching(&SCHEMAS));
    }
}

/// The version of Rails, and where it stands: what was locked, else the least that is asked for.
fn rails_version(facts: &Facts) -> (&'static str, String, Option<(u64, u64)>) {
    let numbers = |text: &str| {
        let start = text.find(|c: char| c.is_ascii_digit())?;
        let mut parts = text[start..].split(|c: char| !c.is_ascii_digit());
        let major = parts.next()?.parse().ok()?;
        Some((major, parts.next().and_then(|minor| minor.parse().ok()).unwrap_or_default()))
    };
    let lock = facts.text("Gemfile.lock").unwrap_or_default();
    let names = ["rails (", "activerecord ("];
    let is_locked = |line: &&str| names.iter().any(|name| line.starts_with(name));
    // Four blanks before what is locked, six before what it needs.
    let locked = lock.lines().filter_map(|line| line.strip_prefix("    ")).find(is_locked);
    if let Some(line) = locked {
        return ("Gemfile.lock", line.to_owned(), numbers(line));
    }
    let gemfile = facts.text("Gemfile").unwrap_or_default();
    let asked = lines::find(&gemfile, &["rails"]).map(|(_, line)| line).unwrap_or_default();
    let code = asked.split(" #").next().unwrap_or_default();
    // A branch or a tag is no version that is compared.
    let version = code.split(',').nth(1).filter(|part| !part.contains(':'));
    ("Gemfile", asked.to_owned(), version.and_then(numbers))
}

/// Without a word about the database, it is a file.
fn laravel(facts: &Facts, found: &mut Found) {
    let config = facts.text("config/database.php").unwrap_or_default();
    let plain = |c: &char| !c.is_whitespace();
    let config: String = config.chars().filter(plain).collect::<String>().replace('"', "'");
    let by_default = config.contains("env('DB_CONNECTION','sqlite')");
    let named = ["DB_CONNECTION", "DATABASE_URL", "DB_URL", "DB_HOST"];
    if by_default && !facts.has_variable(&named) {
        found.evidence.push(Evidence::new("config/database.php", "env('DB_CONNECTION', 'sqlite')"));
        if let Some(why) = lost_with_the_image(facts) {
            found.leave(why);
        }
    }
}

/// The other store of Doctrine has no migrations.
fn doctrine(facts: &Facts, found: &mut Found) {
    let documents = facts.declared(&["doctrine/mongodb-odm-bundle"]).is_some();
    if documents && found.migrations.is_empty() {
        found.leave("the database is MongoDB, which has no migrations");
    }
}

/// A release has no Mix, but it has Ecto: the function that every release can call.
fn ecto(facts: &Facts, found: &mut Found) {
    let mix = facts.text("mix.exs").unwrap_or_default();
    let after = |text: &str, key: &str| -> Option<String> {
        let rest = text.split(key).nth(1)?.trim_start();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.')));
        Some(rest[..end.unwrap_or(rest.len())].to_owned()).filter(|name| !name.is_empty())
    };
    let releases = mix.split("releases:").nth(1).unwrap_or_default();
    let named = releases.trim_start().strip_prefix('[').and_then(|list| {
        let name = list.trim_start().split(':').next()?.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        (!name.is_empty() && name.chars().all(plain)).then(|| name.to_owned())
    });
    let Some(release) = named.or_else(|| after(&mix, "app: :")) else {
        return found.leave("mix.exs names no application: set migrate.command in windlass.toml");
    };
    let program = format!("_build/prod/rel/{release}/bin/{release}");
    let own = facts.matching(&["{,apps/*/}lib/**/release.ex"]);
    let function = own.iter().find_map(|path| {
        let text = facts.text(path)?;
        let module = after(&text, "defmodule ").filter(|_| text.contains("def migrate"))?;
        Some((path.to_string(), module))
    });
    let expression = if let Some((path, module)) = function {
        found.evidence.push(Evidence::new(path, "def migrate"));
        format!("{module}.migrate()")
    } else {
        let config = facts.matching(&["config/config.exs", "config/*.exs"]);
        let repo = config.iter().find_map(|path| {
            let repo = after(&facts.text(path)?, "ecto_repos: [")?;
            Some((path.to_string(), repo))
        });
        let Some((path, repo)) = repo else {
            return found.leave("config/config.exs names no ecto_repos: nothing to migrate");
        };
        found.evidence.push(Evidence::new(path, format!("ecto_repos: [{repo}]")));
        format!(
            "Application.load(:{release}); \
             {{:ok, _, _}} = Ecto.Migrator.with_repo({repo}, &Ecto.Migrator.run(&1, :up, all: true))"
        )
    };
    found.run(&[&program, "eval", &expression]);
}
