//! `windlass plugin stats`.

use jiff::Timestamp;
use windlass_model::plugin::account::PluginStats;

use crate::client::with_query;
use crate::exit::{CliResult, Exit};
use crate::render;
use crate::session::Session;

/// Show what the calls of plugins amounted to: how many, how they ended, time, memory, denials.
///
/// Of all projects, unless --project names one. Also what is switched off because it kept failing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass plugin stats
  windlass plugin stats scan --project shop
  windlass plugin stats --json")]
pub(super) struct Stats {
    /// Only this plugin.
    name: Option<String>,
}

impl Stats {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let project = session.common.project.as_ref().map(ToString::to_string);
        let all = [("project", project), ("plugin", self.name)];
        let query: Vec<(&str, &str)> =
            all.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
        let view: PluginStats = session.client()?.get(&with_query("/v1/plugin-stats", &query))?;
        if session.json() {
            session.print_json(&view);
        } else {
            session.console.out(&render::plugin::stats(&view, Timestamp::now()));
        }
        Ok(Exit::Ok)
    }
}
