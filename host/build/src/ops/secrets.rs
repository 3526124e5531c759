//! Files of secrets, in memory only, under a directory that root alone can enter.

use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, fchown};
use std::path::{Path, PathBuf};

use windlass_model::{DeploymentId, Failure};

/// Places that are usually in memory.
const PLACES: [&str; 2] = ["/run", "/dev/shm"];
const TMPFS_MAGIC: u64 = 0x0102_1994;

fn dir_in(place: &str, deployment: &DeploymentId) -> PathBuf {
    Path::new(place).join(format!("windlass-secrets-{deployment}"))
}

/// Writes a secret to memory, for this user and group, and says where. One that is wanted in several ways is a
/// file for each; steps that run at the same time may want the same.
pub(super) fn write(
    deployment: &DeploymentId,
    name: &str,
    value: &str,
    mode: u32,
    (uid, gid): (u32, u32),
) -> Result<PathBuf, Failure> {
    let in_memory = |place: &&&str| {
        rustix::fs::statfs(**place)
            .is_ok_and(|s| u64::try_from(s.f_type).is_ok_and(|kind| kind == TMPFS_MAGIC))
    };
    let Some(place) = PLACES.iter().find(in_memory) else {
        return Err(Failure::host(
            "build.no-secret-storage",
            "A secret could not be given to the build",
            format!("none of {} is a tmpfs", PLACES.join(", ")),
            "mount a tmpfs at /run",
        ));
    };
    let dir = dir_in(place, deployment);
    let path = dir.join(format!("{name}-{:o}-{uid}-{gid}", mode & 0o777));
    let written = DirBuilder::new().recursive(true).mode(0o700).create(&dir).and_then(|()| {
        // Only its owner reads it until it is whole.
        let mut file = tempfile::NamedTempFile::new_in(&dir)?;
        file.write_all(value.as_bytes())?;
        fchown(file.as_file(), Some(uid), Some(gid))?;
        rustix::fs::fchmod(file.as_file(), rustix::fs::Mode::from_raw_mode(mode & 0o777))?;
        file.persist(&path)?;
        Ok(())
    });
    written.map_err(|e| {
        let fix = "check the free space of /run";
        Failure::host("build.io", "A secret could not be given to the build", e.to_string(), fix)
    })?;
    Ok(path)
}

/// Removes every secret of a deployment's build.
pub(crate) fn remove(deployment: &DeploymentId) -> Result<(), Failure> {
    for place in PLACES {
        let dir = dir_in(place, deployment);
        match std::fs::remove_dir_all(&dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                let what = "A build's secrets could not be removed";
                let why = format!("{}: {e}", dir.display());
                let fix = "remove that directory";
                return Err(Failure::host("build.io", what, why, fix));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_secret_in_two_ways_is_two_files_and_all_of_them_go() {
        let deployment = DeploymentId::generate();
        let own = std::fs::metadata("/proc/self").map(|meta| (meta.uid(), meta.gid())).unwrap();
        let of = |mode, value: &str| write(&deployment, "TOKEN", value, mode, own).unwrap();
        let (narrow, wide) = (of(0o400, "hush"), of(0o444, "hush"));
        assert_ne!(narrow, wide);
        assert_eq!(of(0o400, "again"), narrow, "a second step gets the same");
        for (path, mode, text) in [(&narrow, 0o400, "again"), (&wide, 0o444, "hush")] {
            let meta = std::fs::metadata(path).unwrap();
            assert_eq!((meta.mode() & 0o777, (meta.uid(), meta.gid())), (mode, own));
            assert_eq!(std::fs::read_to_string(path).unwrap(), text);
        }
        let dir = narrow.parent().unwrap();
        assert_eq!(std::fs::read_dir(dir).unwrap().count(), 2, "nothing half-written is left");
        assert_eq!(std::fs::metadata(dir).unwrap().mode() & 0o777, 0o700);
        remove(&deployment).unwrap();
        assert!(!dir.exists());
        remove(&deployment).unwrap();
    }
}
