//! `windlass teardown`: take a host off its machine.

use std::path::PathBuf;

use super::project::done;
use super::require_yes;
use crate::exit::{CliError, CliResult, Exit};
use crate::roles::TeardownOptions;
use crate::session::Session;

/// Stop everything of this host: applications, proxy, and its own containerd.
///
/// Networks, rules and control groups are removed. The data directory stays: `windlass serve` on it
/// starts the applications again. Stop `windlass serve` first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass teardown --yes
  windlass teardown --data-dir /srv/windlass --yes")]
pub struct Teardown {
    /// Socket of the containerd that `windlass serve` was given, if it was.
    #[arg(long, value_name = "SOCKET")]
    containerd: Option<PathBuf>,
    /// Yes, stop what serves.
    #[arg(long)]
    yes: bool,
}

impl Teardown {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let data_dir = session.data_dir();
        let not_done = format!("nothing was stopped: {}", data_dir.display());
        require_yes(self.yes, not_done, "this stops every application of the host")?;
        let options = TeardownOptions { data_dir: data_dir.clone(), containerd: self.containerd };
        session.roles.teardown(options).map_err(CliError::of_role)?;
        let kept = data_dir.display().to_string();
        done(
            session,
            &format!("everything of this host is stopped; its data stays in {kept}"),
            "torn_down",
            &kept,
        );
        Ok(Exit::Ok)
    }
}
