//! The command line's outer shape: what every verb shares.

use std::path::PathBuf;

use clap::{Args, Parser};
use windlass_model::{EnvironmentName, ProjectName};

use crate::exit;
use crate::verbs::Verb;

/// Where a host listens unless it is told otherwise.
pub const DEFAULT_URL: &str = "http://127.0.0.1:7070";

/// Turns a repository into a running, routed application on a machine you own.
#[derive(Debug, Parser)]
#[command(
    name = "windlass",
    version,
    max_term_width = 100,
    propagate_version = false,
    arg_required_else_help = true,
    after_help = exit::HELP,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What every verb understands.
    #[command(flatten)]
    pub common: Common,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    pub json: bool,

    /// Address of the host.
    #[arg(long, global = true, env = "WINDLASS_URL", default_value = DEFAULT_URL, hide_env_values = true)]
    pub url: String,

    /// Token of the host; on the same machine it is read from the data directory.
    #[arg(long, global = true, env = "WINDLASS_TOKEN", hide_env_values = true)]
    pub token: Option<String>,

    /// The host's data directory [default: /var/lib/windlass for root, else
    /// $XDG_DATA_HOME/windlass].
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "WINDLASS_DATA_DIR",
        hide_env_values = true
    )]
    pub data_dir: Option<PathBuf>,

    /// The project [default: `name` in windlass.toml, else the folder's name].
    #[arg(long, short = 'p', global = true)]
    pub project: Option<ProjectName>,

    /// The environment.
    #[arg(long, short, global = true, default_value = "production")]
    pub environment: EnvironmentName,
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory as _};

    use super::Cli;

    fn check(command: &Command, shared: &[String], path: &str) {
        for verb in command.get_subcommands() {
            let path = format!("{path} {}", verb.get_name());
            for arg in verb.get_arguments().filter(|arg| !arg.is_global_set()) {
                let id = arg.get_id().as_str();
                assert!(
                    !shared.iter().any(|one| one == id),
                    "{path}: its {id} is every verb's {id}"
                );
            }
            check(verb, shared, &path);
        }
    }

    #[test]
    fn no_argument_of_a_verb_is_taken_for_an_option_of_every_verb() {
        let cli = Cli::command();
        let shared: Vec<String> = cli
            .get_arguments()
            .filter(|arg| arg.is_global_set())
            .map(|arg| arg.get_id().to_string())
            .collect();
        assert!(shared.iter().any(|one| one == "token"), "{shared:?}");
        check(&cli, &shared, "windlass");
    }
}
