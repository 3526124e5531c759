//! A file that only takes space: it is removed when the disk is full, so that what frees space or
//! settles a deployment can still be written. That it can be made again is the proof of new space.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::error::{Result, StoreError};

/// Size of the file. One deployment's update takes some 10 KiB.
const BYTES: usize = 8 * 1024 * 1024;
const BLOCK_BYTES: usize = 64 * 1024;

pub(super) struct Ballast {
    path: PathBuf,
}

impl Ballast {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join("ballast") }
    }

    /// Makes the file if it is not there in full.
    pub(super) fn ensure(&self) -> Result<()> {
        if self.path.metadata().is_ok_and(|metadata| metadata.len() == BYTES as u64) {
            return Ok(());
        }
        let written = self.refuse_if_scarce().and_then(|()| self.write());
        if written.is_err() {
            self.release();
        }
        written.map_err(StoreError::io("writing", &self.path))
    }

    /// Half of what is free must be left for others, and a disk that is still full is not worn out
    /// by trying again and again.
    fn refuse_if_scarce(&self) -> std::io::Result<()> {
        let disk = rustix::fs::statvfs(self.path.parent().unwrap_or(Path::new(".")))?;
        if disk.f_bavail * disk.f_frsize < 2 * BYTES as u64 {
            let why = "less than 16 MiB are free on the disk of the data directory";
            return Err(std::io::Error::new(std::io::ErrorKind::StorageFull, why));
        }
        Ok(())
    }

    fn write(&self) -> std::io::Result<()> {
        let mut file = File::create(&self.path)?;
        // Not zeros: a file system that compresses would give them no space.
        let mut block = vec![0_u8; BLOCK_BYTES];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..BYTES / BLOCK_BYTES {
            for word in block.chunks_exact_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            file.write_all(&block)?;
        }
        file.sync_all()
    }

    /// Gives the space back; whether there was any to give.
    pub(super) fn release(&self) -> bool {
        std::fs::remove_file(&self.path).is_ok()
    }
}
