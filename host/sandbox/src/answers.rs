//! Answers of pure calls, kept as files and replayed with their logs.
//!
//! An answer's name is the digest of all that it may depend on: component, interface version, source
//! tree, function and arguments. What depends on more (a looked-up image, a refusal that asks for
//! another try) is never kept, and neither is a fault.
//!
//! Files are written by a thread beside the calls: making one takes a file system as long as a detector takes to
//! look at a small repository, and much longer while files are removed. What waits to be written is read from memory.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

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
/// Answers that wait to be written. Most are a few hundred bytes long.
const WAITING_MAX: usize = 256;
/// Bytes of all that wait: that many large ones would be gigabytes.
const WAITING_BYTES_MAX: usize = 64 << 20;

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

/// The folder of answers. Dropping it writes what waits.
#[derive(Debug)]
pub(crate) struct Answers {
    folder: Arc<Folder>,
    /// `None` while it is dropped.
    to_write: Option<mpsc::SyncSender<Digest>>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// What is not written yet.
    waiting: Mutex<Waiting>,
}

/// Answers in memory, and how many bytes they have together.
#[derive(Debug, Default)]
struct Waiting {
    answers: HashMap<Digest, Arc<[u8]>>,
    bytes: usize,
}

impl Waiting {
    /// Takes an answer, if there is room for it.
    fn take(&mut self, key: &Digest, answer: Arc<[u8]>) -> bool {
        let before = self.answers.get(key).map_or(0, |before| before.len());
        let bytes = self.bytes - before + answer.len();
        if bytes > WAITING_BYTES_MAX {
            return false;
        }
        self.bytes = bytes;
        self.answers.insert(key.clone(), answer);
        true
    }

    fn remove(&mut self, key: &Digest) {
        if let Some(answer) = self.answers.remove(key) {
            self.bytes -= answer.len();
        }
    }
}

impl Answers {
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        let folder = Arc::new(Folder { path, waiting: Mutex::default() });
        folder.prune()?;
        let (to_write, written) = mpsc::sync_channel(WAITING_MAX);
        let writer = std::thread::Builder::new().name("answers".to_owned()).spawn({
            let folder = Arc::clone(&folder);
            move || folder.write_all(&written)
        })?;
        Ok(Self { folder, to_write: Some(to_write), writer: Some(writer) })
    }

    /// A kept answer. One that does not read is forgotten: the call is made again.
    pub(crate) fn get<T: DeserializeOwned>(&self, key: &Digest) -> Option<Answer<T>> {
        let waiting = self.folder.waiting().answers.get(key).cloned();
        if let Some(bytes) = waiting {
            return serde_json::from_slice(&bytes).ok();
        }
        let path = self.folder.file(key);
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

    /// Keeps an answer. That it cannot be kept is no failure of the call, and while the disk is too slow for
    /// the calls none is.
    pub(crate) fn put<T: Serialize>(&self, key: &Digest, answer: &Answer<T>) {
        let bytes = match serde_json::to_vec(answer) {
            Ok(bytes) if bytes.len() <= ANSWER_BYTES_MAX => bytes,
            Ok(_) => return,
            Err(error) => return tracing::warn!(%error, "an answer of a plugin could not be kept"),
        };
        let Some(to_write) = &self.to_write else { return };
        // Before the writer hears of it, who takes it out again.
        if !self.folder.waiting().take(key, bytes.into()) {
            return;
        }
        if to_write.try_send(key.clone()).is_err() {
            self.folder.waiting().remove(key);
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.to_write = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Folder {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes, until nobody can send any more.
    fn write_all(&self, keys: &mpsc::Receiver<Digest>) {
        for (written, key) in keys.iter().enumerate() {
            let Some(bytes) = self.waiting().answers.get(&key).cloned() else { continue };
            let mut done = write_atomically(&self.path, &self.file(&key), &bytes);
            if written % PRUNE_EVERY == PRUNE_EVERY - 1 {
                done = done.and_then(|()| self.prune());
            }
            if let Err(error) = done {
                tracing::warn!(%error, "an answer of a plugin could not be kept");
            }
            self.waiting().remove(&key);
        }
    }

    fn prune(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
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

    fn file(&self, key: &Digest) -> PathBuf {
        self.path.join(format!("{}.json", key.hex()))
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
        let at_once = answers.get::<String>(&key).unwrap();
        assert_eq!(at_once.result.unwrap(), "yes");
        drop(answers);
        let answers = Answers::open(folder.path().join("answers")).unwrap();
        let kept = answers.get::<String>(&key).unwrap();
        assert_eq!(kept.result.unwrap(), "yes");
        assert_eq!(kept.log[0].1, "said");
    }

    #[test]
    fn what_waits_to_be_written_is_bounded_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let answers = Answers::open(folder.path().to_owned()).unwrap();
        let keys: Vec<_> = (0..4 * WAITING_MAX).map(|n| Digest::of(&n.to_le_bytes())).collect();
        for key in &keys {
            answers.put(key, &answer("yes"));
            assert!(answers.folder.waiting().answers.len() <= WAITING_MAX + 2);
        }
        let folder = Arc::clone(&answers.folder);
        drop(answers);
        assert!(folder.waiting().answers.is_empty());
        assert_eq!(folder.waiting().bytes, 0);
        let answers = Answers::open(folder.path.clone()).unwrap();
        let kept = keys.iter().filter_map(|key| answers.get::<String>(key));
        let kept = kept.inspect(|kept| assert_eq!(kept.log_bytes_dropped, 3)).count();
        assert!(kept >= WAITING_MAX, "{kept} were kept");
    }

    #[test]
    fn large_answers_that_wait_have_a_budget_of_bytes() {
        let mut waiting = Waiting::default();
        let large: Arc<[u8]> = vec![0; ANSWER_BYTES_MAX].into();
        let key = |n: usize| Digest::of(&n.to_le_bytes());
        let taken = (0..20).filter(|n| waiting.take(&key(*n), Arc::clone(&large))).count();
        assert_eq!(taken, WAITING_BYTES_MAX / ANSWER_BYTES_MAX);
        assert!(waiting.take(&key(0), Arc::clone(&large)), "one that is there is exchanged");
        waiting.remove(&key(1));
        assert!(waiting.take(&key(20), large));
        for n in 0..=20 {
            waiting.remove(&key(n));
        }
        assert_eq!((waiting.bytes, waiting.answers.len()), (0, 0));
    }

    #[test]
    fn a_broken_file_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let answers = Answers::open(folder.path().to_owned()).unwrap();
        let key = Digest::of(b"key");
        fs::write(answers.folder.file(&key), "{").unwrap();
        assert!(answers.get::<String>(&key).is_none());
        assert!(!answers.folder.file(&key).exists());
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
