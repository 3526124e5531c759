//! Answers of pure calls, kept as files and replayed with their logs.
//!
//! An answer's name is the digest of all that it may depend on: component, interface version, source
//! tree, function and arguments. What depends on more (a looked-up image, a refusal that asks for
//! another try) is never kept, and neither is a fault.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use windlass_model::Digest;
use windlass_model::plan::Refusal;

use crate::log::LogEntry;
use crate::versions::CONTRACT;

/// Answers kept; beyond, the oldest go.
const ANSWERS_MAX: usize = 4_096;
/// Answers written before the folder is looked through again.
const PRUNE_EVERY: usize = 256;
/// An answer larger than this is not kept.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// What an answer may depend on.
#[derive(Serialize)]
pub(crate) struct Key<'a, A: Serialize> {
    pub(crate) component: &'a Digest,
    pub(crate) tree: Option<&'a Digest>,
    pub(crate) function: &'a str,
    pub(crate) arguments: A,
}

impl<A: Serialize> Key<'_, A> {
    pub(crate) fn digest(&self) -> Digest {
        Digest::of_json(&(CONTRACT, self))
    }
}

/// An answer with what was said on the way to it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer<T> {
    pub(crate) result: Result<T, Refusal>,
    pub(crate) log: Vec<LogEntry>,
    pub(crate) log_bytes_dropped: u64,
    pub(crate) memory_peak_bytes: u64,
}

/// The folder of answers.
#[derive(Debug)]
pub(crate) struct Answers {
    folder: PathBuf,
    written: AtomicUsize,
}

impl Answers {
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let answers = Self { folder, written: AtomicUsize::new(0) };
        answers.prune()?;
        Ok(answers)
    }

    /// A kept answer. One that does not read is forgotten: the call is made again.
    pub(crate) fn get<T: DeserializeOwned>(&self, key: &Digest) -> Option<Answer<T>> {
        let path = self.path(key);
        let bytes = fs::read(&path).ok()?;
        match serde_json::from_slice(&bytes) {
            Ok(answer) => Some(answer),
            Err(error) => {
                tracing::debug!(%error, "a kept answer does not read any more");
                let _ = fs::remove_file(path);
                None
            }
        }
    }

    /// Keeps an answer. That it cannot be kept is no failure of the call.
    pub(crate) fn put<T: Serialize>(&self, key: &Digest, answer: &Answer<T>) {
        if let Err(error) = self.try_put(key, answer) {
            tracing::warn!(%error, "an answer of a plugin could not be kept");
        }
    }

    fn try_put<T: Serialize>(&self, key: &Digest, answer: &Answer<T>) -> io::Result<()> {
        let bytes = serde_json::to_vec(answer)?;
        if bytes.len() > ANSWER_BYTES_MAX {
            return Ok(());
        }
        write_atomically(&self.folder, &self.path(key), &bytes)?;
        if self.written.fetch_add(1, Ordering::Relaxed) % PRUNE_EVERY == PRUNE_EVERY - 1 {
            self.prune()?;
        }
        Ok(())
    }

    fn prune(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
        if files.len() > ANSWERS_MAX {
            files.sort();
            for (_, path) in files.iter().take(files.len() - ANSWERS_MAX) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn path(&self, key: &Digest) -> PathBuf {
        self.folder.join(format!("{}.json", key.hex()))
    }
}

/// Writes a file that is either whole or absent.
pub(crate) fn write_atomically(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Answer<String> {
        Answer {
            result: Ok(text.to_owned()),
            log: vec![(crate::LogLevel::Info, "said".to_owned())],
            log_bytes_dropped: 3,
            memory_peak_bytes: 5,
        }
    }

    #[test]
    fn an_answer_comes_back_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let answers = Answers::open(folder.path().join("answers")).unwrap();
        let key = Digest::of(b"key");
        assert!(answers.get::<String>(&key).is_none());
        answers.put(&key, &answer("yes"));
        let kept = answers.get::<String>(&key).unwrap();
        assert_eq!(kept.result.unwrap(), "yes");
        assert_eq!(kept.log[0].1, "said");
    }

    #[test]
    fn a_broken_file_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let answers = Answers::open(folder.path().to_owned()).unwrap();
        let key = Digest::of(b"key");
        fs::write(answers.path(&key), "{").unwrap();
        assert!(answers.get::<String>(&key).is_none());
        assert!(!answers.path(&key).exists());
    }

    #[test]
    fn the_folder_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..ANSWERS_MAX + 10 {
            fs::write(folder.path().join(format!("{i}.json")), "").unwrap();
        }
        Answers::open(folder.path().to_owned()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), ANSWERS_MAX);
    }

    #[test]
    fn everything_that_an_answer_depends_on_is_in_its_key() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let key = |component, tree, function, arguments: &str| {
            Key { component, tree, function, arguments }.digest()
        };
        let one = key(&a, Some(&a), "detect", "x");
        for other in [
            key(&b, Some(&a), "detect", "x"),
            key(&a, Some(&b), "detect", "x"),
            key(&a, None, "detect", "x"),
            key(&a, Some(&a), "plan", "x"),
            key(&a, Some(&a), "detect", "y"),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(one, key(&a, Some(&a), "detect", "x"));
    }
}
