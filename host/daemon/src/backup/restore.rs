//! `windlass restore`: puts a backup in the place of a data directory's state.
//!
//! **Invariants.** Nothing is changed before the whole backup was verified and its key is at hand. What
//! was there is kept beside. What the backup shows at work is settled: nobody knows how it went on.

use std::path::{Path, PathBuf};

use windlass_model::recovery::{BackupKey, BackupManifest, RestoreReport};
use windlass_model::{DeploymentStatus, Failure, Limits, Secret};
use windlass_proxy::read_table;
use windlass_store::{
    SealedKey, Store, known_host_id, open_key, restore_from, verify_backup, write_key,
};

use super::bundle::{self, Keep};
use super::{KEY, SEALED_KEY, STATE, Scratch, TABLE, damaged, failed, is_state_alone, verify};

/// What to restore, and where.
#[derive(Debug, Clone)]
pub struct RestoreConfig {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The backup.
    pub backup: PathBuf,
    /// Opens the key in it.
    pub passphrase: Option<Secret<String>>,
    /// Leaves the volumes as they are.
    pub without_volumes: bool,
}

/// Restores a backup. `windlass serve` must not run on the data directory.
///
/// # Errors
/// `backup.damaged`, `restore.no-key`, `restore.passphrase`, `restore.other-host`, `store.in-use`.
pub async fn restore(config: RestoreConfig) -> Result<RestoreReport, Failure> {
    let unpacked = {
        let config = config.clone();
        let work = tokio::task::spawn_blocking(move || put_in_place(&config));
        work.await.map_err(|e| failed(&std::io::Error::other(e)))??
    };
    let store = {
        let data_dir = config.data_dir.clone();
        let opened = tokio::task::spawn_blocking(move || Store::open(&data_dir, Limits::default()));
        opened.await.map_err(|e| failed(&std::io::Error::other(e)))?.map_err(|e| e.to_failure())?
    };
    let interrupted = store.settle_unsettled(&interrupted()).await.map_err(|e| e.to_failure())?;
    crate::cron::recover::forgo(&store).await?;
    keep_ahead_of_the_proxy(&store, &config.data_dir).await?;
    let live = store.deployments_with_status(DeploymentStatus::Live).map_err(|e| e.to_failure())?;
    let live: Vec<String> =
        live.iter().map(|d| format!("{}/{}", d.value.project, d.value.environment)).collect();
    let Unpacked { manifest, files, set_aside } = unpacked;
    let manifest = manifest.unwrap_or_else(|| of_state_alone(&store));
    let next = next(&live);
    Ok(RestoreReport { manifest, files, set_aside, interrupted, live, next })
}

fn next(live: &[String]) -> Vec<String> {
    let mut next = vec![
        "start `windlass serve`: what still runs on this machine goes on".to_owned(),
        "artifacts are not part of a backup; on another machine build again what was live:"
            .to_owned(),
    ];
    for name in live {
        let (project, environment) = name.split_once('/').unwrap_or((name, "production"));
        next.push(format!("windlass redeploy --project {project} --environment {environment}"));
    }
    next
}

struct Unpacked {
    manifest: Option<BackupManifest>,
    files: u64,
    set_aside: Option<PathBuf>,
}

fn put_in_place(config: &RestoreConfig) -> Result<Unpacked, Failure> {
    let RestoreConfig { data_dir, backup, .. } = config;
    verify(backup)?;
    let before = set_asides(data_dir);
    if is_state_alone(backup) {
        restore_from(backup, data_dir).map_err(|e| e.to_failure())?;
        let set_aside = set_asides(data_dir).into_iter().find(|path| !before.contains(path));
        return Ok(Unpacked { manifest: None, files: 0, set_aside });
    }
    let manifest = bundle::manifest(backup).map_err(|e| damaged(backup, &e.to_string()))?;
    refuse_other_host(data_dir, &manifest)?;
    let key = key(config, &manifest)?;
    restore_state(backup, data_dir)?;
    if let Some(key) = key {
        write_key(data_dir, &key).map_err(|e| e.to_failure())?;
    }
    let volumes = !config.without_volumes;
    // The table leads to instances of the old machine: only where it is the same one it is of use.
    let same_machine = Path::new("/run/windlass").join(manifest.host.as_str()).is_dir();
    let keep = |name: &str| match name.split('/').next().unwrap_or_default() {
        "plugins" | "uploads" => Keep::At(data_dir.join(name)),
        "volumes" if volumes => Keep::AsItWas(data_dir.join(name)),
        TABLE if same_machine && !data_dir.join(TABLE).exists() => Keep::At(data_dir.join(TABLE)),
        _ => Keep::Nothing,
    };
    let files = bundle::read(backup, &keep).map_err(|e| damaged(backup, &e.to_string()))?;
    let set_aside = set_asides(data_dir).into_iter().find(|path| !before.contains(path));
    Ok(Unpacked { manifest: Some(manifest), files, set_aside })
}

/// Puts the state of a backup in place, and nothing else of it.
pub(crate) fn restore_state(backup: &Path, data_dir: &Path) -> Result<(), Failure> {
    if is_state_alone(backup) {
        return restore_from(backup, data_dir).map(drop).map_err(|e| e.to_failure());
    }
    let scratch = Scratch::beside(&data_dir.join("restore")).map_err(|e| failed(&e))?;
    let state = scratch.0.join(STATE);
    let keep = |name: &str| match name {
        STATE => Keep::At(state.clone()),
        _ => Keep::Nothing,
    };
    bundle::read(backup, &keep).map_err(|e| damaged(backup, &e.to_string()))?;
    verify_backup(&state).map_err(|e| e.to_failure())?;
    restore_from(&state, data_dir).map(drop).map_err(|e| e.to_failure())
}

/// Stores that were moved out of the way.
fn set_asides(data_dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data_dir).into_iter().flatten().flatten();
    let is_one = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("store.replaced-"))
    };
    entries.map(|entry| entry.path()).filter(is_one).collect()
}

/// What another host has on this machine would be nobody's any more.
fn refuse_other_host(data_dir: &Path, manifest: &BackupManifest) -> Result<(), Failure> {
    std::fs::create_dir_all(data_dir).map_err(|e| failed(&e))?;
    match known_host_id(data_dir) {
        Ok(Some(host)) if host != manifest.host => Err(Failure::app(
            "restore.other-host",
            format!("{} is the data directory of another host", data_dir.display()),
            format!("the backup is of the host {}, and this is {host}", manifest.host),
            "restore into an empty folder with --data-dir; to replace this host, run `windlass \
             teardown --yes` and remove its folder first",
        )),
        _ => Ok(()),
    }
}

/// The key that the restored state needs; none when the one that is there is to be used.
fn key(
    config: &RestoreConfig,
    manifest: &BackupManifest,
) -> Result<Option<Secret<String>>, Failure> {
    let name = match manifest.key {
        BackupKey::Plain => KEY,
        BackupKey::Passphrase => SEALED_KEY,
        BackupKey::Absent if windlass_store::key_path(&config.data_dir).exists() => {
            return Ok(None);
        }
        BackupKey::Absent => {
            return Err(Failure::app(
                "restore.no-key",
                "the backup holds no key, and there is none here",
                "every variable in it is encrypted with the file secret.key of its host",
                format!(
                    "put that file at {} (mode 600), and run this again",
                    windlass_store::key_path(&config.data_dir).display()
                ),
            ));
        }
    };
    let text = read_one(&config.backup, name)?;
    if manifest.key == BackupKey::Plain {
        return Ok(Some(Secret::new(text)));
    }
    let wrong = |why: &str| {
        Failure::app(
            "restore.passphrase",
            "the key in the backup cannot be opened",
            why,
            "give the passphrase that the backup was made with: --passphrase-file FILE",
        )
    };
    let Some(passphrase) = &config.passphrase else {
        return Err(wrong("it is encrypted with a passphrase, and none was given"));
    };
    let sealed: SealedKey = serde_json::from_str(&text)
        .map_err(|e| damaged(&config.backup, &format!("{SEALED_KEY}: {e}")))?;
    match open_key(&sealed, passphrase).map_err(|e| e.to_failure())? {
        Some(key) => Ok(Some(key)),
        None => Err(wrong("it is encrypted with another passphrase")),
    }
}

/// The text of one file in a backup.
fn read_one(backup: &Path, wanted: &str) -> Result<String, Failure> {
    let scratch = Scratch::beside(backup).map_err(|e| failed(&e))?;
    let to = scratch.0.join("file");
    let keep = |name: &str| match name == wanted {
        true => Keep::At(to.clone()),
        false => Keep::Nothing,
    };
    bundle::read(backup, &keep).map_err(|e| damaged(backup, &e.to_string()))?;
    std::fs::read_to_string(&to).map_err(|e| damaged(backup, &format!("{wanted}: {e}")))
}

/// A proxy that goes on serving has seen newer numbers than the backup: it would refuse older ones.
async fn keep_ahead_of_the_proxy(store: &Store, data_dir: &Path) -> Result<(), Failure> {
    let Ok(Some((epoch, routes))) = read_table(&data_dir.join(TABLE)) else {
        return Ok(());
    };
    let known = crate::last_epoch(store)?;
    crate::keep_epoch(store, epoch.max(known)).await?;
    for route in routes {
        let Some((project, environment)) = route.name.split_once('/') else { continue };
        let (Ok(project), Ok(environment)) = (project.parse(), environment.parse()) else {
            continue;
        };
        store
            .raise_generation(&project, &environment, route.generation)
            .await
            .map_err(|e| e.to_failure())?;
    }
    Ok(())
}

/// What a backup of the state alone would say of itself.
fn of_state_alone(store: &Store) -> BackupManifest {
    BackupManifest {
        format: 0,
        windlass: String::new(),
        host: store.host_id().clone(),
        made_at: windlass_model::Timestamp::now(),
        revision: 0,
        keys: 0,
        key: BackupKey::Absent,
        volumes: false,
    }
}

/// Why a deployment that was at work in a backup is over.
pub(crate) fn interrupted() -> Failure {
    Failure::host(
        "restore.interrupted",
        "the deployment was at work when the backup was made",
        "how it went on is not known any more",
        "deploy again: windlass redeploy",
    )
}
