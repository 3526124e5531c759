//! `windlass backup`: the state of a host in one file.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use windlass_model::recovery::{BackupKey, BackupView, CreateBackup};

use super::unreadable;
use crate::client;
use crate::exit::{CliError, CliResult, Exit};
use crate::render::{bytes, date, failure, harmless, table};
use crate::session::Session;

/// Make, list and verify backups. They are put back with `windlass restore`.
///
/// A backup holds the state, its key, the proxy's table, installed plugins, and what was uploaded for
/// live and stopped deployments; volumes if asked for. Artifacts and logs are not part of it. What the
/// backups at intervals hold is set in the limits file: backup_volumes, backup_passphrase_file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass backup create --volumes
  windlass backup create --passphrase-file /root/passphrase
  windlass backup list
  windlass backup verify /mnt/copy/windlass-20261121T072100.356531Z-44.tar.zst")]
pub struct Backup {
    #[command(subcommand)]
    verb: BackupVerb,
}

#[derive(Debug, Subcommand)]
enum BackupVerb {
    /// Make a backup now, and read it back; it is written on the host, in `backups` of its data
    /// directory.
    Create {
        /// Take the volumes along.
        #[arg(long)]
        volumes: bool,
        /// Leave the key out: keep a copy of `secret.key` elsewhere, or the variables are lost.
        #[arg(long, conflicts_with = "passphrase_file")]
        without_key: bool,
        /// Encrypt the key with the passphrase in this file. Without it, whoever has the backup can
        /// read every variable.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// List the host's backups, oldest first.
    List,
    /// Read a backup as a whole and check every digest.
    Verify {
        /// A file on this machine, or the name of one of the host's backups.
        backup: String,
    },
}

impl Backup {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        match self.verb {
            BackupVerb::Create { volumes, without_key, passphrase_file } => {
                let passphrase = passphrase_file.as_deref().map(passphrase).transpose()?;
                let wanted = CreateBackup { volumes, without_key, passphrase };
                let made: BackupView =
                    session.client()?.send(ureq::http::Method::POST, "/v1/backups", &wanted)?;
                show(session, &made);
                Ok(Exit::Ok)
            }
            BackupVerb::List => list(session),
            BackupVerb::Verify { backup } => verify(session, &backup),
        }
    }
}

/// The first line of a file.
pub(super) fn passphrase(file: &Path) -> CliResult<String> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|e| unreadable(&file.display().to_string(), e))?;
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => Ok(line.to_owned()),
        None => Err(unreadable(&file.display().to_string(), "its first line is empty")),
    }
}

fn verify(session: &mut Session<'_, '_>, backup: &str) -> CliResult<Exit> {
    let file = Path::new(backup);
    let view = if file.is_file() {
        session.roles.verify_backup(file).map_err(CliError::of_role)?
    } else {
        session.client()?.post(&client::path(&["v1", "backups", backup, "verify"]))?
    };
    show(session, &view);
    Ok(if view.failure.is_some() { Exit::Failed } else { Exit::Ok })
}

fn show(session: &mut Session<'_, '_>, view: &BackupView) {
    if session.json() {
        session.print_json(view);
        return;
    }
    if let Some(problem) = &view.failure {
        let block = failure::block(problem, session.console.color());
        session.console.out(&block);
        return;
    }
    session.console.line(&format!("{} ({})", view.path.display(), bytes(view.bytes)));
    if let Some(files) = view.verified_files {
        session.console.line(&format!("whole: {files} files, every digest is right"));
    }
    match view.manifest.as_ref().map(|manifest| manifest.key) {
        Some(BackupKey::Plain) => session
            .console
            .note("it holds the key to every variable: keep it as safe as the host itself"),
        Some(BackupKey::Absent) => {
            session.console.note("it holds no key: keep a copy of secret.key elsewhere");
        }
        Some(BackupKey::Passphrase) | None => {}
    }
}

fn list(session: &mut Session<'_, '_>) -> CliResult<Exit> {
    let views: Vec<BackupView> = session.client()?.get("/v1/backups")?;
    if session.json() {
        session.print_json(&views);
        return Ok(Exit::Ok);
    }
    let rows: Vec<Vec<String>> = views.iter().map(row).collect();
    session.console.out(&table(&["name", "made", "size", "key", "volumes"], &rows));
    Ok(Exit::Ok)
}

fn row(view: &BackupView) -> Vec<String> {
    let of = |text: fn(&windlass_model::recovery::BackupManifest) -> String| match &view.manifest {
        Some(manifest) => text(manifest),
        None if view.failure.is_some() => "damaged".to_owned(),
        None => String::new(),
    };
    vec![
        harmless(&view.name),
        of(|manifest| date(manifest.made_at)),
        bytes(view.bytes),
        of(|manifest| {
            let key = match manifest.key {
                BackupKey::Plain => "plain",
                BackupKey::Passphrase => "passphrase",
                BackupKey::Absent => "absent",
            };
            key.to_owned()
        }),
        of(|manifest| if manifest.volumes { "yes" } else { "no" }.to_owned()),
    ]
}
