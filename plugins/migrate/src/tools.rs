//! The tools: how each is recognised, what it runs, and when it is left alone.

use windlass_sdk::{Detection, Evidence, Migration, PluginError};

use crate::facts::Facts;
use crate::{leave, migration};

/// All migrations that the application's files show.
pub(crate) fn found(facts: &Facts, chosen: &Detection) -> Result<Vec<Migration>, PluginError> {
    let found = match chosen.ecosystem.as_str() {
        "node" => [prisma(facts)?, None],
        "python" => [django(facts)?, alembic(facts)?],
        _ => [None, None],
    };
    Ok(found.into_iter().flatten().collect())
}

fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Prisma Migrate, for its SQL databases.
fn prisma(facts: &Facts) -> Result<Option<Migration>, PluginError> {
    let Some(package) = &facts.package else { return Ok(None) };
    if !package.uses("prisma") && !package.uses("@prisma/client") {
        return Ok(None);
    }
    let schemas = facts.source.files(&["prisma/schema.prisma", "prisma/schema/*.prisma"])?;
    let Some(schema) = schemas.first() else { return Ok(None) };
    let words = ["/app/node_modules/.bin/prisma", "migrate", "deploy"];
    let mut migration = migration("Prisma", argv(&words), Evidence::new(schema, ""));
    let uses = if package.uses("prisma") { "prisma" } else { "@prisma/client" };
    migration.evidence.push(Evidence::new("package.json", package.key_of(uses)));
    let texts = schemas.iter().filter_map(|path| facts.text(path)).collect::<String>();
    let folders = facts.source.files(&["prisma/migrations/*/migration.sql"])?;
    if provider(&texts).as_deref() == Some("mongodb") {
        leave(&mut migration, "the provider is mongodb, which has no migrations");
    } else if let Some(place) = facts.runs_itself(&["prisma migrate deploy", "prisma db push"]) {
        leave(&mut migration, &format!("{place} does it already"));
    } else if !package.uses("prisma") {
        leave(&mut migration, "prisma itself is no dependency of package.json, only its client is");
    } else if folders.is_empty() {
        let why = "there are no migrations: create them with `prisma migrate dev` and commit them";
        leave(&mut migration, why);
    }
    if let Some(newest) = folders.last() {
        migration.evidence.push(Evidence::new(newest, "the newest migration"));
    }
    Ok(Some(migration))
}

/// `provider` of the datasource.
fn provider(schema: &str) -> Option<String> {
    let datasource = schema.split("datasource ").nth(1)?;
    let inside = datasource.split('}').next()?;
    let line = inside.lines().map(str::trim).find(|line| line.starts_with("provider"))?;
    line.split('"').nth(1).map(str::to_owned)
}

fn django(facts: &Facts) -> Result<Option<Migration>, PluginError> {
    let manage = facts.text("manage.py").unwrap_or_default();
    if !manage.contains("DJANGO_SETTINGS_MODULE") {
        return Ok(None);
    }
    let words = ["python", "manage.py", "migrate", "--noinput"];
    let mut migration =
        migration("Django", argv(&words), Evidence::new("manage.py", "DJANGO_SETTINGS_MODULE"));
    let settings = facts.source.files(&["**/settings.py", "**/settings/*.py"])?;
    let database = settings
        .iter()
        .find(|path| facts.text(path).is_some_and(|text| text.contains("DATABASES")));
    if let Some(place) = facts.runs_itself(&["manage.py migrate"]) {
        leave(&mut migration, &format!("{place} does it already"));
    } else if database.is_none() && !settings.is_empty() {
        leave(&mut migration, "the settings name no database (DATABASES)");
    }
    migration.evidence.extend(database.map(|path| Evidence::new(path, "DATABASES")));
    Ok(Some(migration))
}

/// Alembic, by itself or through Flask-Migrate.
fn alembic(facts: &Facts) -> Result<Option<Migration>, PluginError> {
    let versions = facts.source.files(&["*/versions/*.py"])?;
    let through_flask = facts.python.declares("flask-migrate");
    let (tool, words, sign) = if let Some((file, key)) = through_flask {
        ("Flask-Migrate", argv(&["flask", "db", "upgrade"]), Evidence::new(file, key))
    } else if facts.text("alembic.ini").is_some() && facts.python.declares("alembic").is_some() {
        ("Alembic", argv(&["alembic", "upgrade", "head"]), Evidence::new("alembic.ini", ""))
    } else {
        return Ok(None);
    };
    let mut migration = migration(tool, words, sign);
    if let Some(place) = facts.runs_itself(&["flask db upgrade", "alembic upgrade"]) {
        leave(&mut migration, &format!("{place} does it already"));
    } else if versions.is_empty() {
        leave(&mut migration, "there are no migrations: no folder versions with files in it");
    }
    Ok(Some(migration))
}
