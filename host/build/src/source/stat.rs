//! What was hashed before and has not changed since, by size, times and inode: a folder that is built again
//! and again is read once.
//!
//! **Invariant: an entry is only trusted when nothing can have changed behind it.** The time of change of
//! the inode is part of it, which no program can set back, and a file that changed within the clock's
//! coarseness of being hashed is not remembered.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use windlass_model::Digest;

/// A file that changed so shortly before it was hashed may have changed again in the same tick.
const RACY_S: i64 = 2;
/// Records of folders that nobody built for so long go.
const UNUSED_FOR: Duration = Duration::from_secs(14 * 24 * 3600);
/// A larger record is begun anew.
const RECORD_BYTES_MAX: u64 = 256 << 20;

/// Name and state of a file: size, change of content, change of inode, inode, device.
type State = (u64, i64, i64, i64, i64, u64, u64);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    /// By path relative to the folder.
    files: HashMap<String, (State, String)>,
}

/// The record of one folder.
#[derive(Debug)]
pub(crate) struct StatCache {
    file: PathBuf,
    known: Mutex<(Known, bool)>,
}

impl StatCache {
    /// The record of this folder below `<data>/cache/stat`.
    pub(crate) fn open(data_dir: &Path, folder: &Path) -> Self {
        let name = Digest::of(folder.as_os_str().as_encoded_bytes());
        let file = data_dir.join("cache/stat").join(format!("{}.json", name.hex()));
        let small = std::fs::metadata(&file).is_ok_and(|meta| meta.len() <= RECORD_BYTES_MAX);
        let bytes = if small { std::fs::read(&file).unwrap_or_default() } else { Vec::new() };
        let known = serde_json::from_slice(&bytes).unwrap_or_default();
        Self { file, known: Mutex::new((known, false)) }
    }

    fn known(&self) -> MutexGuard<'_, (Known, bool)> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The digest of a file in this state, if it is known.
    pub(crate) fn get(&self, path: &Path, meta: &Metadata) -> Option<String> {
        let known = self.known();
        let (state, digest) = known.0.files.get(path.to_str()?)?;
        (*state == state_of(meta)).then(|| digest.clone())
    }

    /// Remembers a digest. `before` is the file's state before it was read.
    pub(crate) fn put(&self, path: &Path, before: &Metadata, digest: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if before.ctime().max(before.mtime()) + RACY_S > now {
            return;
        }
        let Some(path) = path.to_str() else { return };
        let mut known = self.known();
        known.0.files.insert(path.to_owned(), (state_of(before), digest.to_owned()));
        known.1 = true;
    }

    /// Writes what is new, and removes records that nobody needs any more.
    pub(crate) fn save(&self) -> io::Result<()> {
        let bytes = {
            let mut known = self.known();
            if !std::mem::take(&mut known.1) {
                return Ok(());
            }
            serde_json::to_vec(&known.0)?
        };
        let Some(dir) = self.file.parent() else { return Ok(()) };
        std::fs::create_dir_all(dir)?;
        let mut draft = tempfile::NamedTempFile::new_in(dir)?;
        io::Write::write_all(&mut draft, &bytes)?;
        draft.persist(&self.file).map_err(|e| e.error)?;
        for entry in std::fs::read_dir(dir)?.flatten() {
            let modified = entry.metadata().and_then(|meta| meta.modified());
            let age = modified.ok().and_then(|time| time.elapsed().ok());
            if age.is_some_and(|age| age > UNUSED_FOR) {
                let _another_build_did_it = std::fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

fn state_of(meta: &Metadata) -> State {
    (
        meta.size(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec(),
        meta.ino(),
        meta.dev(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_old(path: &Path) {
        // The time of change cannot be set back, so a test has to wait for it to be old enough.
        let started = std::time::Instant::now();
        let deadline = Duration::from_secs(20);
        loop {
            let meta = std::fs::metadata(path).unwrap();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            if meta.ctime() + RACY_S <= i64::try_from(now).unwrap() {
                return;
            }
            assert!(started.elapsed() < deadline);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[test]
    fn a_digest_is_known_until_anything_of_the_file_changes() {
        let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = folder.path().join("x");
        let name = Path::new("x");
        std::fs::write(&file, "one").unwrap();
        let fresh = std::fs::metadata(&file).unwrap();
        let cache = StatCache::open(data.path(), folder.path());
        cache.put(name, &fresh, "too fresh");
        assert_eq!(cache.get(name, &fresh), None);
        set_old(&file);
        let meta = std::fs::metadata(&file).unwrap();
        cache.put(name, &meta, "digest");
        cache.save().unwrap();

        let again = StatCache::open(data.path(), folder.path());
        assert_eq!(again.get(name, &meta).as_deref(), Some("digest"));
        // Another content of the same size, with the old time of last change put back.
        std::fs::write(&file, "two").unwrap();
        let times = std::fs::FileTimes::new().set_modified(meta.modified().unwrap());
        File::options().write(true).open(&file).unwrap().set_times(times).unwrap();
        let changed = std::fs::metadata(&file).unwrap();
        assert_eq!(changed.mtime_nsec(), meta.mtime_nsec());
        assert_eq!(again.get(name, &changed), None);
    }

    use std::fs::File;

    #[test]
    fn a_record_that_makes_no_sense_is_begun_anew() {
        let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cache = StatCache::open(data.path(), folder.path());
        std::fs::create_dir_all(cache.file.parent().unwrap()).unwrap();
        std::fs::write(&cache.file, "{\"files\":").unwrap();
        let cache = StatCache::open(data.path(), folder.path());
        std::fs::write(folder.path().join("x"), "1").unwrap();
        let meta = std::fs::metadata(folder.path().join("x")).unwrap();
        assert_eq!(cache.get(Path::new("x"), &meta), None);
    }
}
