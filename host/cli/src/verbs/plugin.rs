//! `windlass plugin`: what decides.

use clap::Subcommand;
use windlass_model::api::PluginsView;
use windlass_model::plugin::{PluginInfo, Stage};

use crate::exit::{CliResult, Exit};
use crate::render::{bytes, failure, harmless, table};
use crate::session::Session;

/// List the host's plugins.
#[derive(Debug, clap::Args)]
pub struct Plugin {
    #[command(subcommand)]
    verb: PluginVerb,
}

#[derive(Debug, Subcommand)]
enum PluginVerb {
    /// List plugins with the stages they fill, and those that could not be loaded.
    List,
}

impl Plugin {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let PluginVerb::List = self.verb;
        let view: PluginsView = session.client()?.get("/v1/plugins")?;
        if session.json() {
            session.print_json(&view);
            return Ok(Exit::Ok);
        }
        let rows: Vec<Vec<String>> = view.plugins.iter().map(row).collect();
        let heading = ["plugin", "version", "stages", "from", "size", "summary"];
        session.console.out(&table(&heading, &rows));
        for (file, problem) in &view.problems {
            let block = failure::block(problem, session.console.color());
            session.console.out(&format!("\n{}\n{block}", harmless(file)));
        }
        Ok(Exit::Ok)
    }
}

fn row(plugin: &PluginInfo) -> Vec<String> {
    let stage = |stage: &Stage| match stage {
        Stage::Detector => "detector",
        Stage::Builder => "builder",
        Stage::Migrator => "migrator",
        Stage::Health => "health",
        Stage::Rollout => "rollout",
        Stage::Custom => "custom",
    };
    let stages: Vec<&str> = plugin.stages.iter().map(stage).collect();
    let from = if plugin.bundled { "bundled" } else { "installed" };
    let manifest = &plugin.manifest;
    vec![
        manifest.name.clone(),
        manifest.version.clone(),
        stages.join(", "),
        from.to_owned(),
        bytes(plugin.bytes),
        harmless(&manifest.summary),
    ]
}
