//! `windlass doctor`: is everything there that a host needs?

use std::path::PathBuf;

use crate::exit::{CliError, CliResult, Exit};
use crate::render;
use crate::roles::{CheckState, DoctorOptions};
use crate::session::Session;

/// Check this machine: every part that a host needs, its version, what is in force, and the fix for
/// what is missing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exits with 1 when something is missing.")]
pub struct Doctor {
    /// Socket of an existing containerd to use instead of the installed binaries.
    #[arg(long, value_name = "SOCKET")]
    containerd: Option<PathBuf>,
    /// Folder of the plugins that came with Windlass [default: `plugins` beside the binary].
    #[arg(long, value_name = "DIR")]
    plugins_dir: Option<PathBuf>,
}

impl Doctor {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let options = DoctorOptions {
            data_dir: session.data_dir(),
            containerd: self.containerd,
            plugins_dir: self.plugins_dir,
        };
        let checks = session.roles.doctor(&options).map_err(CliError::of_role)?;
        if session.json() {
            session.print_json(&checks);
        } else {
            let text = render::local::doctor(&checks, session.console.color());
            session.console.out(&text);
        }
        let missing = checks.iter().any(|check| check.state == CheckState::Missing);
        Ok(if missing { Exit::Failed } else { Exit::Ok })
    }
}
