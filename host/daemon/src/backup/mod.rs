//! Backups of a host: the state with its key, the proxy's table, installed plugins, what was uploaded for
//! live and stopped deployments (source, finished files, images), and the volumes if they are wanted. One
//! file each, in `backups` of the data directory; see `bundle` for its layout, `interval` for those that
//! are made by themselves.
//!
//! **Invariants.** A backup counts only after it was read back and every digest was right. It is made
//! while everything goes on: nothing waits but commits, and only while the state itself is written.
//! Artifacts and logs are not part of it: what was live is built again by `windlass redeploy`.

mod bundle;
mod interval;
mod restore;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use windlass_model::recovery::{BackupKey, BackupManifest, BackupStatus, BackupView, CreateBackup};
use windlass_model::{Digest, Failure, Secret, Timestamp};
use windlass_store::{seal_key, verify_backup};

use self::bundle::{Keep, Writer};
use crate::host::Host;
use crate::source::uploads;
pub(crate) use interval::{check, keep};
pub use restore::{RestoreConfig, restore};
pub(crate) use restore::{interrupted, restore_state};

/// Layout of the file.
const FORMAT: u32 = 1;
const SUFFIX: &str = ".tar.zst";
/// What earlier versions wrote: the state alone.
const STATE_SUFFIX: &str = ".backup";
const STATE: &str = "state.backup";
const KEY: &str = "secret.key";
const SEALED_KEY: &str = "secret.key.sealed";
const TABLE: &str = "proxy-table.json";
/// Written beside the backups when the last try failed.
const FAILED: &str = "last-failure.json";

/// Folder of a host's backups.
pub(crate) fn dir(data_dir: &Path) -> PathBuf {
    data_dir.join("backups")
}

/// The backups in a folder, oldest first.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|p| is_one(p)).collect();
    found.sort();
    found
}

fn is_one(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("windlass-") && (name.ends_with(SUFFIX) || name.ends_with(STATE_SUFFIX))
}

fn is_state_alone(path: &Path) -> bool {
    path.to_string_lossy().ends_with(STATE_SUFFIX)
}

/// Makes a backup, reads it back, and deletes all but the newest ones. Blocks.
///
/// # Errors
/// `backup.failed` with what did.
pub(crate) fn create(host: &Host, wanted: &CreateBackup) -> Result<BackupView, Failure> {
    let made = try_create(host, wanted);
    match &made {
        Ok(_) => drop(std::fs::remove_file(dir(&host.config.data_dir).join(FAILED))),
        Err(failure) => note(&host.config.data_dir, failure),
    }
    made
}

/// Writes down that the last try failed, for the host's status.
fn note(data_dir: &Path, failure: &Failure) {
    let dir = dir(data_dir);
    let text = serde_json::to_vec(failure).unwrap_or_default();
    let written =
        std::fs::create_dir_all(&dir).and_then(|()| std::fs::write(dir.join(FAILED), text));
    if let Err(error) = written {
        tracing::error!(%error, "that the backup failed could not be written down");
    }
}

fn try_create(host: &Host, wanted: &CreateBackup) -> Result<BackupView, Failure> {
    let data_dir = &host.config.data_dir;
    let dir = dir(data_dir);
    let scratch = dir.join(".partial");
    std::fs::create_dir_all(&scratch).map_err(|e| failed(&e))?;
    let _key = host.store.hold_key();
    let state = host.store.backup_to(&scratch, 1).map_err(|e| e.to_failure())?;
    let key = match (wanted.without_key, &wanted.passphrase) {
        (true, _) => BackupKey::Absent,
        (false, Some(_)) => BackupKey::Passphrase,
        (false, None) => BackupKey::Plain,
    };
    let manifest = BackupManifest {
        format: FORMAT,
        windlass: env!("CARGO_PKG_VERSION").to_owned(),
        host: host.store.host_id().clone(),
        made_at: Timestamp::now(),
        revision: state.revision,
        keys: state.keys,
        key,
        volumes: wanted.volumes,
    };
    let partial = scratch.join("bundle");
    write(host, wanted, &manifest, &state.path, &partial)?;
    verify(&partial)?;
    let time = manifest.made_at.strftime("%Y%m%dT%H%M%S%.6fZ");
    let path = dir.join(format!("windlass-{time}-{}{SUFFIX}", manifest.revision));
    std::fs::rename(&partial, &path).map_err(|e| failed(&e))?;
    std::fs::File::open(&dir).and_then(|dir| dir.sync_all()).map_err(|e| failed(&e))?;
    let _ = std::fs::remove_dir_all(&scratch);
    prune(&dir, host.config.limits.backups_kept_max);
    Ok(view(&path))
}

fn write(
    host: &Host,
    wanted: &CreateBackup,
    manifest: &BackupManifest,
    state: &Path,
    to: &Path,
) -> Result<(), Failure> {
    let data_dir = &host.config.data_dir;
    let key = sealed(data_dir, wanted, manifest.key)?;
    let uploaded = uploaded(host)?;
    let write = || -> std::io::Result<()> {
        let mut bundle = Writer::begin(to, manifest)?;
        bundle.path(STATE, state)?;
        if let Some((name, bytes)) = &key {
            bundle.bytes(name, bytes)?;
        }
        if data_dir.join(TABLE).is_file() {
            bundle.path(TABLE, &data_dir.join(TABLE))?;
        }
        bundle.tree("plugins", &data_dir.join("plugins"))?;
        for digest in &uploaded {
            let path = uploads::path(data_dir, digest);
            if path.is_file() {
                bundle.path(&format!("uploads/{}", digest.hex()), &path)?;
            }
        }
        if wanted.volumes {
            bundle.tree("volumes", &data_dir.join("volumes"))?;
        }
        bundle.end()
    };
    write().map_err(|e| failed(&e))
}

/// What was uploaded for the deployments that serve, or would again when they are started: without it
/// none of them can be deployed again on another machine.
fn uploaded(host: &Host) -> Result<BTreeSet<Digest>, Failure> {
    let mut deployments = host.all_live()?;
    deployments.extend(host.all_stopped()?);
    let uploads = deployments.iter().filter_map(|(deployment, _)| deployment.source.upload());
    Ok(uploads.map(|(digest, _)| digest.clone()).collect())
}

/// The key as it goes into the backup.
fn sealed(
    data_dir: &Path,
    wanted: &CreateBackup,
    how: BackupKey,
) -> Result<Option<(&'static str, Vec<u8>)>, Failure> {
    if how == BackupKey::Absent {
        return Ok(None);
    }
    let key = windlass_store::read_key(data_dir).map_err(|e| e.to_failure())?;
    let Some(passphrase) = &wanted.passphrase else {
        return Ok(Some((KEY, key.expose().clone().into_bytes())));
    };
    let sealed = seal_key(&key, &Secret::new(passphrase.clone())).map_err(|e| e.to_failure())?;
    let text = serde_json::to_vec(&sealed).map_err(|e| failed(&std::io::Error::from(e)))?;
    Ok(Some((SEALED_KEY, text)))
}

/// Reads a whole backup and checks every digest, and the state in it by its own checksum. Returns the
/// number of files. Blocks.
///
/// # Errors
/// `backup.damaged`.
pub fn verify(path: &Path) -> Result<u64, Failure> {
    if is_state_alone(path) {
        return verify_backup(path).map(|_| 1).map_err(|e| damaged(path, &e.to_string()));
    }
    let scratch = Scratch::beside(path).map_err(|e| damaged(path, &e.to_string()))?;
    let state = scratch.0.join(STATE);
    let keep = |name: &str| match name {
        STATE => Keep::At(state.clone()),
        _ => Keep::Nothing,
    };
    let files = bundle::read(path, &keep).map_err(|e| damaged(path, &e.to_string()))?;
    verify_backup(&state).map_err(|e| damaged(path, &e.to_string()))?;
    Ok(files)
}

/// A folder that is gone when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    /// Beside the file, or among the machine's temporary files where that cannot be written.
    fn beside(path: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let name = format!(".verify-{}-{}", std::process::id(), windlass_model::HostId::generate());
        let make = |dir: &Path| {
            let dir = dir.join(&name);
            std::fs::DirBuilder::new().mode(0o700).create(&dir).map(|()| Self(dir))
        };
        let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        make(parent.unwrap_or(Path::new("."))).or_else(|_| make(&std::env::temp_dir()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A backup as it is shown, by what it says of itself alone.
pub fn view(path: &Path) -> BackupView {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = path.metadata().map_or(0, |file| file.len());
    let (manifest, failure) = match bundle::manifest(path) {
        _ if is_state_alone(path) => (None, None),
        Ok(manifest) => (Some(manifest), None),
        Err(error) => (None, Some(damaged(path, &error.to_string()))),
    };
    BackupView { name, path: path.to_owned(), bytes, manifest, verified_files: None, failure }
}

/// A backup as it is shown after it was read as a whole. Blocks.
pub fn view_verified(path: &Path) -> BackupView {
    let mut view = view(path);
    match verify(path) {
        Ok(files) => view.verified_files = Some(files),
        Err(failure) => view.failure = Some(failure),
    }
    view
}

/// The backup of this name.
///
/// # Errors
/// `backup.not-found`.
pub(crate) fn find(data_dir: &Path, name: &str) -> Result<PathBuf, Failure> {
    let mut files = files(&dir(data_dir)).into_iter();
    files.find(|path| path.file_name().is_some_and(|file| file == name)).ok_or_else(|| {
        Failure::app(
            "backup.not-found",
            format!("there is no backup {name}"),
            "nothing in the folder of backups has this name",
            "see `windlass backup list`",
        )
    })
}

fn prune(dir: &Path, keep: usize) {
    let files = files(dir);
    let gone = files.len().saturating_sub(keep.max(1));
    for old in &files[..gone] {
        if let Err(error) = std::fs::remove_file(old) {
            tracing::warn!(%error, file = %old.display(), "an old backup could not be removed");
        }
    }
}

/// [`create`] on a thread of its own; it goes on when nobody waits for it any more.
pub(crate) async fn create_in_background(
    host: &Arc<Host>,
    wanted: CreateBackup,
) -> Result<BackupView, Failure> {
    let _one = host.named_lock("backup".to_owned()).await;
    let host = host.clone();
    let made = tokio::task::spawn_blocking(move || create(&host, &wanted)).await;
    made.map_err(|e| failed(&std::io::Error::other(e)))?
}

/// When the newest backup was made.
fn newest(data_dir: &Path) -> Option<Timestamp> {
    files(&dir(data_dir)).last().and_then(|path| made_at(path))
}

fn made_at(path: &Path) -> Option<Timestamp> {
    let modified = path.metadata().ok()?.modified().ok()?;
    Timestamp::try_from(modified).ok()
}

/// How the backups stand.
pub(crate) fn status(host: &Host) -> BackupStatus {
    let data_dir = &host.config.data_dir;
    let files = files(&dir(data_dir));
    let last_at = newest(data_dir);
    let noted = std::fs::read(dir(data_dir).join(FAILED)).ok();
    let noted = noted.and_then(|text| serde_json::from_slice::<Failure>(&text).ok());
    let longest = Duration::from_secs(host.config.limits.backup_every_s.saturating_mul(2));
    let is_old = last_at.is_some_and(|at| {
        Duration::try_from(Timestamp::now().duration_since(at)).is_ok_and(|age| age > longest)
    });
    let failure = noted.or_else(|| is_old.then(too_old));
    let last = files.last().and_then(|path| path.file_name());
    BackupStatus { last_at, last: last.map(|name| name.to_string_lossy().into_owned()), failure }
}

fn too_old() -> Failure {
    Failure::host(
        "backup.too-old",
        "the newest backup is too old",
        "it is older than twice `backup_every_s` of the limits",
        "run `windlass backup create`, and see the log of `windlass serve` for why none was made",
    )
}

fn failed(error: &std::io::Error) -> Failure {
    Failure::host(
        "backup.failed",
        "the backup could not be made",
        error.to_string(),
        "check the space and the permissions of `backups` in the data directory, then run `windlass \
         backup create`",
    )
}

fn damaged(path: &Path, why: &str) -> Failure {
    Failure::host(
        "backup.damaged",
        format!("{} is no whole backup", path.display()),
        why,
        "use another one (`windlass backup list`), and make a new one with `windlass backup create`",
    )
}
