//! Files of secrets, in memory only, under a directory that root alone can enter.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use windlass_model::{DeploymentId, Failure};

/// Places that are usually in memory.
const PLACES: [&str; 2] = ["/run", "/dev/shm"];
const TMPFS_MAGIC: u64 = 0x0102_1994;

fn dir_in(place: &str, deployment: &DeploymentId) -> PathBuf {
    Path::new(place).join(format!("windlass-secrets-{deployment}"))
}

/// Writes a secret to memory and says where.
pub(super) fn write(
    deployment: &DeploymentId,
    name: &str,
    value: &str,
    mode: u32,
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
    let path = dir.join(name);
    let written = DirBuilder::new().recursive(true).mode(0o700).create(&dir).and_then(|()| {
        let _absent = std::fs::remove_file(&path);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(value.as_bytes())?;
        Ok(rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(mode & 0o777))?)
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
