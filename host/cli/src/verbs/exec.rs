//! `windlass exec`: a shell, or any command, in a live instance.

use windlass_model::session::SessionStart;

use super::environment_path;
use crate::exit::{CliResult, Exit};
use crate::remote;
use crate::session::Session;

/// Run a command in a live instance, or a shell when none is named.
///
/// With a terminal on both ends, the command gets one, with this one's size. Its exit code is passed on. It ends,
/// with everything it started, when this command does.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass exec                                   # a shell in the first web instance
  windlass exec --process worker -- ps aux
  windlass exec -e staging --instance web.1 -- node repl.js
  windlass exec -- sh -c 'cat > /tmp/x' < file    # pipes work")]
pub struct Exec {
    /// In an instance of this process [default: web, else the first].
    #[arg(long, value_name = "NAME")]
    process: Option<String>,
    /// In this instance, as `web.0`.
    #[arg(long, value_name = "NAME", conflicts_with = "process")]
    instance: Option<String>,
    /// No terminal for the command, even if this is one.
    #[arg(long, short = 'T')]
    no_terminal: bool,
    /// The command and its arguments [default: bash, or sh].
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Exec {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let path = environment_path(session, &["exec"])?;
        let start = SessionStart {
            argv: self.command,
            process: self.process,
            instance: self.instance,
            ..SessionStart::default()
        };
        remote::run(session, &client, &path, start, !self.no_terminal)
    }
}
