//! Backups that are made by themselves, at intervals and as the limits want them.
//!
//! **Invariant: the passphrase is in the host's memory only while a backup is made.** Its file is read for
//! each one, so that another passphrase is in force at once; a file that cannot be read is a backup
//! that failed, and never one with the key in plain.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use windlass_model::recovery::{BackupView, CreateBackup};
use windlass_model::{Failure, Limits, Timestamp};

use super::{create_in_background, newest, note};
use crate::host::Host;

/// Whether the backups that the limits want can be made, as far as that can be said beforehand.
///
/// # Errors
/// `backup.passphrase-file`.
pub(crate) fn check(limits: &Limits) -> Result<(), Failure> {
    wanted(limits).map(drop)
}

/// Makes backups at intervals until the host stops: at once when the newest is old.
pub(crate) async fn keep(host: Arc<Host>) {
    let every = Duration::from_secs(host.config.limits.backup_every_s.max(60));
    loop {
        tokio::time::sleep(due_in(newest(&host.config.data_dir), Timestamp::now(), every)).await;
        match make(&host).await {
            Ok(view) => tracing::info!(name = view.name, "the host was backed up"),
            Err(failure) => {
                tracing::error!(%failure, "the backup failed");
                tokio::time::sleep(every / 12).await;
            }
        }
    }
}

/// How long until the next is due: a newest one of the future (the clock was set back) counts as made
/// now.
fn due_in(newest: Option<Timestamp>, now: Timestamp, every: Duration) -> Duration {
    match newest {
        Some(at) => {
            let age = Duration::try_from(now.duration_since(at)).unwrap_or_default();
            every.saturating_sub(age)
        }
        None => Duration::ZERO,
    }
}

async fn make(host: &Arc<Host>) -> Result<BackupView, Failure> {
    match wanted(&host.config.limits) {
        Ok(wanted) => create_in_background(host, wanted).await,
        Err(failure) => {
            note(&host.config.data_dir, &failure);
            Err(failure)
        }
    }
}

/// What the limits want to be in it.
fn wanted(limits: &Limits) -> Result<CreateBackup, Failure> {
    let passphrase = limits.backup_passphrase_file.as_deref().map(passphrase).transpose()?;
    Ok(CreateBackup { volumes: limits.backup_volumes, without_key: false, passphrase })
}

/// The first line of the file, as `--passphrase-file` of the command line takes it.
fn passphrase(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| no_passphrase(file, &e.to_string()))?;
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => Ok(line.to_owned()),
        None => Err(no_passphrase(file, "its first line is empty")),
    }
}

fn no_passphrase(file: &Path, why: &str) -> Failure {
    Failure::host(
        "backup.passphrase-file",
        "the passphrase for the backups at intervals cannot be read",
        format!("{}: {why}", file.display()),
        "put the passphrase into the first line of this file, or take `backup_passphrase_file` out of \
         the limits file and start `windlass serve` again",
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use windlass_model::Secret;
    use windlass_model::recovery::BackupKey;

    use super::super::{KEY, Keep, SEALED_KEY, bundle, files, status};
    use super::*;
    use crate::testing::TestHost;

    #[test]
    fn a_backup_is_due_when_the_newest_is_old_or_there_is_none() {
        let every = Duration::from_secs(3600);
        let at = |second| Timestamp::from_second(second).unwrap();
        let now = at(100_000);
        assert_eq!(due_in(None, now, every), Duration::ZERO);
        assert_eq!(due_in(Some(now), now, every), every);
        assert_eq!(due_in(Some(at(99_000)), now, every), Duration::from_secs(2600));
        assert_eq!(due_in(Some(at(96_400)), now, every), Duration::ZERO);
        assert_eq!(due_in(Some(at(1)), now, every), Duration::ZERO);
        assert_eq!(due_in(Some(at(200_000)), now, every), every, "the clock was set back");
    }

    #[test]
    fn a_passphrase_that_cannot_be_read_is_refused_and_none_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("passphrase");
        let with = |file: PathBuf| Limits {
            backup_passphrase_file: Some(file),
            backup_volumes: true,
            ..Limits::default()
        };
        let plain = wanted(&Limits::default()).unwrap();
        assert_eq!((plain.volumes, plain.without_key, plain.passphrase), (false, false, None));
        for text in [None, Some(""), Some("\nin the second line")] {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let failure = check(&with(file.clone())).unwrap_err();
            assert_eq!(failure.code, "backup.passphrase-file");
            assert!(failure.why.contains(&file.display().to_string()), "{failure:?}");
            assert!(failure.fix.contains("backup_passphrase_file"), "{failure:?}");
        }
        std::fs::write(&file, "correct horse\n# of the vault\n").unwrap();
        let wanted = wanted(&with(file)).unwrap();
        assert_eq!(wanted.passphrase.as_deref(), Some("correct horse"));
        assert!(wanted.volumes && !wanted.without_key);
    }

    #[tokio::test]
    async fn backups_at_intervals_hold_volumes_and_a_sealed_key_if_the_limits_want_that() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("passphrase");
        std::fs::write(&file, "correct horse\n").unwrap();
        let limits = Limits {
            backup_volumes: true,
            backup_passphrase_file: Some(file.clone()),
            ..Limits::default()
        };
        let world = TestHost::with(limits, &crate::pipeline::TABLE).await;
        let host = world.host.clone();
        let data_dir = &host.config.data_dir;
        let key = "5e".repeat(32);
        windlass_store::write_key(data_dir, &Secret::new(key)).unwrap();
        std::fs::create_dir_all(data_dir.join("volumes/shop")).unwrap();
        std::fs::write(data_dir.join("volumes/shop/picture"), "of a cat").unwrap();

        let keeper = tokio::spawn(keep(host.clone()));
        let made = async {
            while files(&super::super::dir(data_dir)).is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), made).await.expect("a backup");
        keeper.abort();
        let made = files(&super::super::dir(data_dir)).remove(0);
        let manifest = bundle::manifest(&made).unwrap();
        assert_eq!((manifest.key, manifest.volumes), (BackupKey::Passphrase, true));
        let out = dir.path().join("out");
        bundle::read(&made, &|name: &str| match name {
            KEY | SEALED_KEY => Keep::At(out.join(name)),
            _ if name.starts_with("volumes/") => Keep::At(out.join(name)),
            _ => Keep::Nothing,
        })
        .unwrap();
        assert!(out.join(SEALED_KEY).is_file() && !out.join(KEY).exists());
        let picture = std::fs::read_to_string(out.join("volumes/shop/picture")).unwrap();
        assert_eq!(picture, "of a cat");

        // A passphrase that is gone is said, and no backup with a plain key is made in its place.
        std::fs::remove_file(&file).unwrap();
        let failure = make(&host).await.unwrap_err();
        assert_eq!(failure.code, "backup.passphrase-file");
        assert_eq!(status(&host).failure.unwrap().code, "backup.passphrase-file");
        assert_eq!(files(&super::super::dir(data_dir)), [made]);
        std::fs::write(&file, "another\n").unwrap();
        make(&host).await.unwrap();
        assert_eq!(status(&host).failure, None);
    }
}
