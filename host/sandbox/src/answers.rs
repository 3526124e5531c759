//! Answers of pure calls, kept on disk and replayed with their logs.
//!
//! An answer's name is the digest of all that it may depend on: component, interface version, source
//! tree, function and arguments. What depends on more (a looked-up image, a refusal that asks for
//! another try) is never kept, and neither is a fault.
//!
//! Two files hold them, a line each: the older one is only read, the recent one is appended to, and takes the older
//! one's place when it is full. What is asked for again moves into the recent one. A file for each answer would be
//! simpler, but making one takes a file system as long as a detector takes to look at a small repository, and much
//! longer while files are removed.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use windlass_model::Digest;
use windlass_model::plan::Refusal;

use crate::log::LogEntry;
use crate::versions::CONTRACT;

/// The file that is appended to.
const RECENT: &str = "recent.jsonl";
/// The file that it becomes.
const OLDER: &str = "older.jsonl";
/// Bytes of one file. Most answers are a few hundred bytes long.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// An answer larger than this is not kept.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// A line begins with the answer's name, and the digest of the rest of the line: both as hexadecimal digits, each with
/// a blank behind it.
const NAME_CHARS: usize = 64;
const HEADER_BYTES: usize = 2 * (NAME_CHARS + 1);

/// What an answer may depend on.
#[derive(Serialize)]
pub(crate) struct Key<'a, A: Serialize> {
    pub(crate) component: &'a Digest,
    /// Of the interface that is asked. An adapter of the host may stand before it, so the newest release counts too.
    pub(crate) version: Option<&'a str>,
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

/// The folder of answers. Processes may share it: what one of them keeps, another finds when it opens the files again.
#[derive(Debug)]
pub(crate) struct Answers {
    folder: PathBuf,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    recent: Lines,
    older: Option<Lines>,
}

/// A file of answers, and where in it they are.
#[derive(Debug)]
struct Lines {
    file: File,
    at: HashMap<Name, Place>,
    /// Its length, and whether its last line has an end.
    bytes: u64,
    is_whole: bool,
}

/// Hexadecimal digits of a key.
type Name = [u8; NAME_CHARS];

/// Where a line is, without its end.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    bytes: usize,
}

impl Answers {
    /// Opens the folder, or makes it.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let name = entry?.file_name();
            if name != RECENT && name != OLDER {
                // Earlier versions kept a file for each. Another process may remove it at the same time.
                let _ = fs::remove_file(folder.join(name));
            }
        }
        let kept = Kept::open(&folder)?;
        Ok(Self { folder, kept: Mutex::new(kept) })
    }

    /// A kept answer. One that does not read is forgotten: the call is made again.
    pub(crate) fn get<T: DeserializeOwned>(&self, key: &Digest) -> Option<Answer<T>> {
        let name = name_of(key)?;
        let line = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            match kept.recent.get(&name) {
                Some(line) => line,
                None => {
                    let line = kept.older.as_mut()?.get(&name)?;
                    self.append(&mut kept, &name, &line);
                    line
                }
            }
        };
        let answer = serde_json::from_slice(line.get(HEADER_BYTES..)?);
        answer.inspect_err(|error| tracing::debug!(%error, "a kept answer is of another form")).ok()
    }

    /// Keeps an answer. That it cannot be kept is no failure of the call.
    pub(crate) fn put<T: Serialize>(&self, key: &Digest, answer: &Answer<T>) {
        let Some(name) = name_of(key) else { return };
        let json = match serde_json::to_vec(answer) {
            Ok(json) if json.len() <= ANSWER_BYTES_MAX => json,
            Ok(_) => return,
            Err(error) => return tracing::warn!(%error, "an answer of a plugin could not be kept"),
        };
        let mut line = format!("{} {} ", key.hex(), Digest::of(&json).hex()).into_bytes();
        line.extend(json);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.append(&mut kept, &name, &line);
    }

    fn append(&self, kept: &mut Kept, name: &Name, line: &[u8]) {
        let is_full = kept.recent.bytes >= FILE_BYTES_MAX;
        let ready = if is_full { kept.rotate(&self.folder) } else { Ok(()) };
        if let Err(error) = ready.and_then(|()| kept.recent.append(name, line)) {
            tracing::warn!(%error, "an answer of a plugin could not be kept");
        }
    }
}

impl Kept {
    fn open(folder: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let recent = Lines::open(options.open(folder.join(RECENT))?)?;
        let older = match File::open(folder.join(OLDER)) {
            Ok(file) => Some(Lines::open(file)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { recent, older })
    }

    /// Lets the recent file take the older one's place, unless another process did, or it was removed; then both are
    /// opened again.
    fn rotate(&mut self, folder: &Path) -> io::Result<()> {
        let path = folder.join(RECENT);
        let own = self.recent.file.metadata()?;
        if fs::metadata(&path).is_ok_and(|it| (it.dev(), it.ino()) == (own.dev(), own.ino())) {
            fs::rename(&path, folder.join(OLDER))?;
        }
        *self = Self::open(folder)?;
        Ok(())
    }
}

impl Lines {
    /// Finds the lines of a file. They are looked at when they are asked for.
    fn open(mut file: File) -> io::Result<Self> {
        let (mut all, mut at, mut offset) = (Vec::new(), HashMap::new(), 0);
        file.read_to_end(&mut all)?;
        for line in all.split_inclusive(|byte| *byte == b'\n') {
            if let (Some(name), Some(b'\n')) = (line.first_chunk(), line.last()) {
                at.insert(*name, Place { offset, bytes: line.len() - 1 });
            }
            offset += line.len() as u64;
        }
        let is_whole = all.last().is_none_or(|last| *last == b'\n');
        Ok(Self { file, at, bytes: offset, is_whole })
    }

    /// A line, if it is the one that was written.
    fn get(&mut self, name: &Name) -> Option<Vec<u8>> {
        let place = self.at.get(name)?;
        let mut line = vec![0; place.bytes];
        let read = self.file.read_exact_at(&mut line, place.offset);
        let is_written = || {
            let header = line.get(..HEADER_BYTES)?;
            let digest = header.get(NAME_CHARS + 1..HEADER_BYTES - 1)?;
            let is = Digest::of(line.get(HEADER_BYTES..)?).hex().as_bytes() == digest;
            (is && header.starts_with(name)).then_some(())
        };
        if read.is_err() || is_written().is_none() {
            tracing::debug!("a kept answer does not read any more");
            self.at.remove(name);
            return None;
        }
        Some(line)
    }

    /// Adds a line in one write, so that lines of other processes stay whole.
    fn append(&mut self, name: &Name, line: &[u8]) -> io::Result<()> {
        let mut written = Vec::with_capacity(line.len() + 2);
        if !self.is_whole {
            // A disk that was full, or a process that was killed, left a part of one.
            written.push(b'\n');
        }
        written.extend_from_slice(line);
        written.push(b'\n');
        self.is_whole = false;
        self.file.write_all(&written)?;
        self.is_whole = true;
        self.bytes = self.file.stream_position()?;
        let offset = self.bytes.saturating_sub(line.len() as u64 + 1);
        self.at.insert(*name, Place { offset, bytes: line.len() });
        Ok(())
    }
}

fn name_of(key: &Digest) -> Option<Name> {
    key.hex().as_bytes().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Answer<String> {
        Answer {
            result: Ok(text.to_owned()),
            log: vec![(crate::LogLevel::Info, "said\nand said".to_owned())],
            log_bytes_dropped: 3,
            memory_peak_bytes: 5,
        }
    }

    fn key(n: usize) -> Digest {
        Digest::of(&n.to_le_bytes())
    }

    fn got(answers: &Answers, n: usize) -> Option<String> {
        answers.get::<String>(&key(n)).map(|kept| kept.result.unwrap())
    }

    #[test]
    fn an_answer_comes_back_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let answers = Answers::open(folder.path().join("answers")).unwrap();
        assert_eq!(got(&answers, 0), None);
        answers.put(&key(0), &answer("yes"));
        answers.put(&key(1), &answer("no"));
        assert_eq!(got(&answers, 0).as_deref(), Some("yes"));
        drop(answers);
        let answers = Answers::open(folder.path().join("answers")).unwrap();
        let kept = answers.get::<String>(&key(0)).unwrap();
        assert_eq!(kept.result.unwrap(), "yes");
        assert_eq!(kept.log[0].1, "said\nand said");
        assert_eq!(got(&answers, 1).as_deref(), Some("no"));
    }

    #[test]
    fn processes_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Answers::open(folder.path().to_owned()).unwrap();
        let (one, other) = (open(), open());
        for n in 0..20 {
            if n % 2 == 0 { &one } else { &other }.put(&key(n), &answer(&n.to_string()));
        }
        let later = open();
        for n in 0..20 {
            let (own, foreign) = if n % 2 == 0 { (&one, &other) } else { (&other, &one) };
            assert_eq!(got(own, n), Some(n.to_string()));
            assert_eq!(got(foreign, n), None);
            assert_eq!(got(&later, n), Some(n.to_string()));
        }
    }

    #[test]
    fn processes_that_share_a_folder_keep_what_the_others_kept() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Answers::open(folder.path().to_owned()).unwrap();
        let (one, other) = (open(), open());
        let long = answer(&"x".repeat(ANSWER_BYTES_MAX - 1024));
        for n in 0..10 {
            one.put(&key(n), &long);
        }
        let path = folder.path().join(RECENT);
        assert!(fs::metadata(&path).unwrap().len() < FILE_BYTES_MAX, "it was exchanged");
        // The other one still appends to what is the older file now, and sees that when it is full.
        other.put(&key(100), &answer("in the older one"));
        other.put(&key(101), &answer("in the recent one"));
        let later = open();
        for n in [0, 8, 9, 100, 101] {
            assert!(got(&later, n).is_some(), "{n}");
        }
        // A cache that is cleared under a host is begun again.
        fs::remove_dir_all(folder.path()).unwrap();
        fs::create_dir(folder.path()).unwrap();
        for n in 0..20 {
            one.put(&key(n), &long);
        }
        assert!(fs::metadata(&path).unwrap().len() <= FILE_BYTES_MAX + ANSWER_BYTES_MAX as u64);
        assert!(got(&open(), 19).is_some());
    }

    #[test]
    fn a_part_of_a_line_and_a_changed_one_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let answers = Answers::open(folder.path().to_owned()).unwrap();
        (0..3).for_each(|n| answers.put(&key(n), &answer("yes")));
        let path = folder.path().join(RECENT);
        let mut all = fs::read(&path).unwrap();
        let changed = all.windows(3).position(|three| three == b"yes").unwrap();
        all[changed] = b'n';
        all.truncate(all.len() - 9);
        fs::write(&path, &all).unwrap();
        let answers = Answers::open(folder.path().to_owned()).unwrap();
        assert_eq!([0, 1, 2].map(|n| got(&answers, n).is_some()), [false, true, false]);
        answers.put(&key(2), &answer("again"));
        let answers = Answers::open(folder.path().to_owned()).unwrap();
        assert_eq!(got(&answers, 2).as_deref(), Some("again"));
    }

    #[test]
    fn the_folder_is_bounded_and_what_is_asked_for_stays() {
        let folder = tempfile::tempdir().unwrap();
        // A file of an earlier version.
        fs::write(folder.path().join("0.json"), "{}").unwrap();
        let answers = Answers::open(folder.path().to_owned()).unwrap();
        let long = answer(&"x".repeat(ANSWER_BYTES_MAX / 2));
        answers.put(&key(0), &answer("asked for"));
        answers.put(&key(1), &answer("not asked for"));
        answers.put(&key(2), &answer(&"x".repeat(ANSWER_BYTES_MAX + 1)));
        assert_eq!(got(&answers, 2), None);
        for n in 3..100 {
            answers.put(&key(n), &long);
            assert_eq!(got(&answers, 0).as_deref(), Some("asked for"));
            let held = fs::read_dir(folder.path()).unwrap();
            let held: u64 = held.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
            assert!(held <= 2 * FILE_BYTES_MAX + 2 * ANSWER_BYTES_MAX as u64, "{held}");
        }
        assert_eq!(got(&answers, 1), None);
        assert_eq!(got(&answers, 99), Some("x".repeat(ANSWER_BYTES_MAX / 2)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn everything_that_an_answer_depends_on_is_in_its_key() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let key = |component, tree, function, arguments: &str| {
            Key { component, version: Some("1.0.0"), tree, function, arguments }.digest()
        };
        let one = key(&a, Some(&a), "detect", "x");
        let older = Key {
            component: &a,
            version: Some("0.9.0"),
            tree: Some(&a),
            function: "detect",
            arguments: "x",
        };
        for other in [
            key(&b, Some(&a), "detect", "x"),
            key(&a, Some(&b), "detect", "x"),
            key(&a, None, "detect", "x"),
            key(&a, Some(&a), "plan", "x"),
            key(&a, Some(&a), "detect", "y"),
            older.digest(),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(one, key(&a, Some(&a), "detect", "x"));
    }
}
