//! The migration plugin: the command that brings the database up to date, and whether to run it.
//!
//! In this order: the setting, the Procfile's `release:`, the tools that were found. All tools that were
//! found are returned: which one is meant when there are several is not this plugin's to guess.
//!
//! **Invariant: what the application does itself at its start is never done twice.**

mod facts;
mod members;
mod tool;
mod tools;

use windlass_plugin_common::layout::{OUTPUT_APP, OUTPUT_MIGRATE};
use windlass_plugin_common::{command, others, procfile};
use windlass_sdk::config::Migrate as Setting;
use windlass_sdk::{
    Context, Detection, Evidence, Migration, MigrationVerdict, Migrator, PluginError, Source, log,
};

use facts::Facts;

/// The plugin.
#[derive(Debug)]
pub struct Migrate;

impl Migrator for Migrate {
    fn plan(
        ctx: &Context,
        source: &Source,
        chosen: &Detection,
        outputs: &[String],
    ) -> Result<Vec<Migration>, PluginError> {
        // A Procfile and the settings lie where the person said, tools in the member that was chosen.
        let place = Source::of_chosen(ctx, chosen);
        let mut facts = Facts::gather(ctx, source, &place, chosen, outputs)?;
        let mut found = match declared(&facts, source) {
            Some(declared) => vec![declared],
            None => {
                let mut found = tools::found(&mut facts)?;
                found.extend(members::found(ctx, &facts, chosen)?);
                found
            }
        };
        if found.is_empty() && chosen.ecosystem == "dockerfile" {
            log::info(
                "a Dockerfile builds the image, so no migration tool is looked for: if the database is to \
                 be migrated, set migrate.command in windlass.toml to a program of the image",
            );
        }
        let output = output(outputs);
        for migration in &mut found {
            match output {
                Some(output) => output.clone_into(&mut migration.output),
                None => leave(
                    migration,
                    "the application is a static site: there is nothing to run it in",
                ),
            }
        }
        Ok(found)
    }
}

/// What people declared themselves.
fn declared(facts: &Facts, source: &Source) -> Option<Migration> {
    let of = |tool: &str, line: &str, sign| migration(tool, command::argv(line), vec![sign]);
    match &facts.settings.migrate {
        Setting::Off => {
            let evidence = Evidence::new("windlass.toml", "migrate = false");
            let mut migration = of("windlass.toml", "true", evidence);
            leave(&mut migration, "windlass.toml says migrate = false");
            return Some(migration);
        }
        Setting::Command(line) if !facts.migrate_is_own => {
            let others = others::read(source);
            let (taken, file) = others.get(&others::Field::Release)?;
            return Some(of(file, line, Evidence::new(file, &taken.key)));
        }
        Setting::Command(line) => {
            let evidence = Evidence::new("windlass.toml", format!("migrate.command: {line}"));
            return Some(of("windlass.toml", line, evidence));
        }
        Setting::Unset => {}
    }
    let release = facts.procfile.iter().find(|entry| entry.name == "release")?;
    let sign = format!("line {}: release: {}", release.line, release.command);
    Some(of(procfile::FILE, &release.command, Evidence::new(procfile::FILE, sign)))
}

/// The output that still has the tools, else the application's.
fn output(outputs: &[String]) -> Option<&str> {
    let has = |name: &&str| outputs.iter().any(|output| output == name);
    [OUTPUT_MIGRATE, OUTPUT_APP].into_iter().find(has)
}

fn migration(tool: &str, argv: Vec<String>, evidence: Vec<Evidence>) -> Migration {
    Migration {
        tool: tool.to_owned(),
        output: OUTPUT_APP.to_owned(),
        argv,
        // The image's: the builder knows where the application lies.
        cwd: String::new(),
        evidence,
        verdict: MigrationVerdict::Run,
    }
}

fn leave(migration: &mut Migration, why: &str) {
    migration.verdict = MigrationVerdict::Leave(why.to_owned());
}

windlass_sdk::export! {
    Migrate: [migrator],
    name: "migrate",
    failures: "failures.toml",
}

#[cfg(test)]
mod tests;
