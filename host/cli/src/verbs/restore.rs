//! `windlass restore`: a backup in the place of the state.

use std::path::PathBuf;

use windlass_model::Secret;

use super::backup::passphrase;
use super::require_yes;
use crate::exit::{CliError, CliResult, Exit};
use crate::roles::RestoreOptions;
use crate::session::Session;

/// Put a backup in the place of a host's state. Stop `windlass serve` first.
///
/// The state that was there is kept beside. What runs on this machine goes on when `windlass serve` is
/// started; on another machine, build again what was live with `windlass redeploy`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass restore /mnt/copy/windlass-20261121T072100.356531Z-44.tar.zst --yes
  windlass restore backup.tar.zst --data-dir /srv/windlass --passphrase-file /root/passphrase --yes")]
pub struct Restore {
    /// The backup.
    backup: PathBuf,
    /// The passphrase that its key is encrypted with, in this file.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Leave the volumes as they are.
    #[arg(long)]
    without_volumes: bool,
    /// Yes, replace the state.
    #[arg(long)]
    yes: bool,
}

impl Restore {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let data_dir = session.data_dir();
        let not_done = format!("nothing was restored into {}", data_dir.display());
        require_yes(self.yes, not_done, "this replaces the state of the host")?;
        let given = self.passphrase_file.as_deref().map(passphrase).transpose()?;
        let options = RestoreOptions {
            data_dir,
            backup: self.backup,
            passphrase: given.map(Secret::new),
            without_volumes: self.without_volumes,
        };
        let report = session.roles.restore(options).map_err(CliError::of_role)?;
        if session.json() {
            session.print_json(&report);
            return Ok(Exit::Ok);
        }
        session.console.line(&format!("the state of the host {} is back", report.manifest.host));
        if let Some(aside) = &report.set_aside {
            session.console.line(&format!("the state before it: {}", aside.display()));
        }
        if report.interrupted > 0 {
            let n = report.interrupted;
            session.console.line(&format!("{n} deployments were at work in it: marked as failed"));
        }
        for next in &report.next {
            session.console.line(&format!("  {next}"));
        }
        Ok(Exit::Ok)
    }
}
