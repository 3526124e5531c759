//! `windlass plugin`: what decides. [`install`], [`change`], [`index`] and [`stats`] ask the host; [`author`] and [`publish`] are
//! done on the author's machine.

mod author;
mod change;
mod index;
mod install;
mod publish;
mod stats;

use clap::Subcommand;

use crate::exit::{CliResult, Exit};
use crate::session::Session;

/// Install plugins and say what they may do; write, build and test one of your own.
#[derive(Debug, clap::Args)]
pub struct Plugin {
    #[command(subcommand)]
    verb: PluginVerb,
}

#[derive(Debug, Subcommand)]
enum PluginVerb {
    List(change::List),
    Show(change::Show),
    Stats(stats::Stats),
    Search(index::Search),
    Install(install::Install),
    Upgrade(install::Upgrade),
    Rollback(change::Rollback),
    Remove(change::Remove),
    Grant(change::Grant),
    Enable(change::Enable),
    Disable(change::Disable),
    Configure(change::Configure),
    Trust(change::Trust),
    Index(index::Index),
    New(author::New),
    Build(author::Build),
    Check(author::Check),
    Test(author::Test),
    Run(author::Run),
    Bench(author::Bench),
    Publish(publish::Publish),
}

impl Plugin {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        match self.verb {
            PluginVerb::List(verb) => verb.run(session),
            PluginVerb::Show(verb) => verb.run(session),
            PluginVerb::Stats(verb) => verb.run(session),
            PluginVerb::Search(verb) => verb.run(session),
            PluginVerb::Install(verb) => verb.run(session),
            PluginVerb::Upgrade(verb) => verb.run(session),
            PluginVerb::Rollback(verb) => verb.run(session),
            PluginVerb::Remove(verb) => verb.run(session),
            PluginVerb::Grant(verb) => verb.run(session),
            PluginVerb::Enable(verb) => verb.run(session),
            PluginVerb::Disable(verb) => verb.run(session),
            PluginVerb::Configure(verb) => verb.run(session),
            PluginVerb::Trust(verb) => verb.run(session),
            PluginVerb::Index(verb) => verb.run(session),
            PluginVerb::New(verb) => verb.run(session),
            PluginVerb::Build(verb) => verb.run(session),
            PluginVerb::Check(verb) => verb.run(session),
            PluginVerb::Test(verb) => verb.run(session),
            PluginVerb::Run(verb) => verb.run(session),
            PluginVerb::Bench(verb) => verb.run(session),
            PluginVerb::Publish(verb) => verb.run(session),
        }
    }
}
