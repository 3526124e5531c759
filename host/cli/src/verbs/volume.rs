//! `windlass volume`: what outlives deployments.

use clap::Subcommand;
use windlass_model::id::VolumeName;
use windlass_model::running::VolumeView;

use super::project::done;
use super::{confirm, environment_path};
use crate::exit::{CliResult, Exit};
use crate::render::{bytes, harmless, table};
use crate::session::Session;

/// List and remove volumes: directories that outlive deployments (`run.volumes` in windlass.toml).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass volume list
  windlass volume remove uploads --project shop")]
pub struct Volume {
    #[command(subcommand)]
    verb: VolumeVerb,
}

#[derive(Debug, Subcommand)]
enum VolumeVerb {
    /// List volumes, also those that nothing mounts any more.
    List,
    /// Remove a volume with everything in it; refused while something mounts it.
    Remove {
        /// Its name.
        name: VolumeName,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

impl Volume {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        match self.verb {
            VolumeVerb::List => {
                let path = environment_path(session, &["volumes"])?;
                let volumes: Vec<VolumeView> = client.get(&path)?;
                if session.json() {
                    session.print_json(&volumes);
                } else if volumes.is_empty() {
                    session.console.line("no volumes");
                } else {
                    let rows: Vec<Vec<String>> = volumes.iter().map(row).collect();
                    let head = ["volume", "mounted at", "size", "folder"];
                    session.console.out(&table(&head, &rows));
                }
            }
            VolumeVerb::Remove { name, yes } => {
                confirm(session, yes, "volume", name.as_str())?;
                client.delete(&environment_path(session, &["volumes", name.as_str()])?)?;
                done(session, &format!("volume {name} is removed"), "removed", name.as_str());
            }
        }
        Ok(Exit::Ok)
    }
}

fn row(volume: &VolumeView) -> Vec<String> {
    let shared = if volume.shared { " (shared)" } else { "" };
    let mounted = volume.path.as_ref().map(|path| format!("{}{shared}", harmless(path)));
    vec![
        volume.name.to_string(),
        mounted.unwrap_or_else(|| "–".to_owned()),
        bytes(volume.bytes),
        harmless(&volume.folder),
    ]
}
