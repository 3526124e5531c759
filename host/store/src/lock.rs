//! The lock that keeps a second host off a data directory: `flock` on `lock`, which the kernel
//! releases when the process ends, however it ends. The process id in it is only for people.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::error::{Result, StoreError};

/// Held as long as it lives.
#[derive(Debug)]
pub(crate) struct DirLock(#[expect(dead_code, reason = "the lock lives as long as the file")] File);

impl DirLock {
    /// # Errors
    /// [`StoreError::InUse`] with the holder's process id.
    pub(crate) fn take(dir: &Path) -> Result<Self> {
        let path = dir.join("lock");
        let mut options = File::options();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(StoreError::io("opening", &path))?;
        if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(StoreError::io("locking", &path)(error.into()));
            }
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            let pid = pid.trim();
            let pid = if pid.is_empty() { "unknown" } else { pid };
            return Err(StoreError::InUse { dir: dir.to_owned(), pid: pid.to_owned() });
        }
        let mut write = || {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        // A full disk must not keep the host from starting: the lock holds without the id.
        if let Err(error) = write() {
            tracing::warn!(%error, "the process id could not be written into the lock file");
        }
        Ok(Self(file))
    }
}
