//! `plugins.lock` on disk.
//!
//! **Invariant: the file is whole or the one before.** It is written under another name, synced and renamed, and
//! so is its folder. A file that does not read is moved aside, never overwritten.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use windlass_model::plugin::lock::{FILE, FORMAT, Lock, LockError};
use windlass_model::{Failure, Timestamp};

/// A lock file of this size is none: reading it is not even tried.
const BYTES_MAX: u64 = 16 << 20;

/// Reads the file; none is an empty lock. One that does not read is moved aside and said; one that a newer
/// Windlass wrote stays where it is, and nothing is changed until it can be read.
pub(super) fn read(folder: &Path) -> Result<(Lock, Option<Failure>), Failure> {
    let path = folder.join(FILE);
    let error = match read_bounded(&path) {
        Ok(None) => return Ok((Lock::default(), None)),
        Ok(Some(text)) => match Lock::parse(&text) {
            Ok(lock) => return Ok((lock, None)),
            Err(LockError::Newer { found }) => return Err(newer(&path, found)),
            Err(error) => error.to_string(),
        },
        Err(error) if error.kind() == io::ErrorKind::InvalidData => error.to_string(),
        Err(error) => return Err(unreadable(&path, &error)),
    };
    let aside = move_aside(&path).map_err(|error| unreadable(&path, &error))?;
    Ok((Lock::default(), Some(corrupt(&aside, &error))))
}

/// Writes the file, durably.
pub(super) fn write(folder: &Path, lock: &Lock) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".plugins.lock-").tempfile_in(folder)?;
    file.write_all(lock.to_text().as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(folder.join(FILE)).map_err(|error| error.error)?;
    sync(folder)
}

/// Makes the names in a folder durable.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn read_bounded(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(meta) if meta.len() > BYTES_MAX => {
            let why = format!("it has {} bytes, and at most {BYTES_MAX} are read", meta.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        meta => meta?,
    };
    fs::read(path).map(Some)
}

fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = path.with_file_name(format!("{FILE}.corrupt-{}", Timestamp::now().as_second()));
    fs::rename(path, &aside)?;
    Ok(aside)
}

fn corrupt(aside: &Path, why: &str) -> Failure {
    Failure::host(
        "plugin.lock-corrupt",
        "plugins.lock could not be read: no installed plugin is loaded, and nothing is granted",
        format!("{why}; it was moved to {}", aside.display()),
        "stop `windlass serve`, mend the file and move it back, or install the plugins again: their files are \
         still in their folders",
    )
}

fn newer(path: &Path, found: u64) -> Failure {
    Failure::host(
        "plugin.lock-newer",
        "plugins.lock was written by a newer Windlass: no installed plugin is loaded",
        format!("{} has the form {found}, and this Windlass knows {FORMAT}", path.display()),
        "upgrade Windlass again, or move the file away and install the plugins again",
    )
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::host(
        "plugin.lock-unreadable",
        "plugins.lock cannot be read: no installed plugin is loaded",
        format!("{}: {error}", path.display()),
        "check the file's and its folder's permissions, then restart `windlass serve`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_and_none_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), (Lock::default(), None));
        let mut lock = Lock::default();
        lock.signatures.keys.insert("me".to_owned(), "RWQ".to_owned());
        write(folder.path(), &lock).unwrap();
        assert_eq!(read(folder.path()).unwrap(), (lock, None));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_does_not_read_is_moved_aside_and_said_and_grants_nothing() {
        for text in ["{", "", "{\"version\": 1, \"plugins\": 3}"] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(FILE), text).unwrap();
            let (lock, problem) = read(folder.path()).unwrap();
            assert_eq!(lock, Lock::default());
            let problem = problem.unwrap();
            assert_eq!(problem.code, "plugin.lock-corrupt");
            let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(Result::unwrap).collect();
            let [aside] = files.as_slice() else { panic!("{files:?}") };
            assert!(problem.why.contains(&*aside.path().to_string_lossy()), "{problem:?}");
            assert_eq!(fs::read_to_string(aside.path()).unwrap(), text);
        }
    }

    #[test]
    fn a_huge_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join(FILE)).unwrap().set_len(BYTES_MAX + 1).unwrap();
        let (_, problem) = read(folder.path()).unwrap();
        assert_eq!(problem.unwrap().code, "plugin.lock-corrupt");
    }

    #[test]
    fn one_of_a_newer_windlass_stays_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), r#"{"version": 2}"#).unwrap();
        assert_eq!(read(folder.path()).unwrap_err().code, "plugin.lock-newer");
        assert!(folder.path().join(FILE).exists());
    }
}
