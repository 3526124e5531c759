//! The files of a build, written into a folder of this machine.
//!
//! **Invariant: what cannot be written as a whole is taken away again**, with the folders that were made for it:
//! the next try finds what this one found.

use std::error::Error;
use std::fs::Permissions;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::exit::{CliError, CliResult, Exit};

/// Mode bits by which a file runs as its owner and group. They mean the image's, and here it is whoever builds.
const SET_IDS: u32 = 0o6000;

/// Refuses a folder in which something lies.
///
/// # Errors
/// `cli.not-saved`.
pub(super) fn refuse_full(dir: &Path) -> CliResult<()> {
    let is_empty = std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
    if is_empty && !dir.is_file() {
        return Ok(());
    }
    Err(CliError::new(
        Exit::Usage,
        "cli.not-saved",
        format!("{} is not an empty folder", dir.display()),
        "what is built is not mixed with what lies there",
        "name a folder that is empty or not there yet",
    ))
}

/// Unpacks a tar into a folder that is empty or not there yet, without owners; how many files came out.
///
/// # Errors
/// `cli.not-saved`; nothing of it is left then.
pub(super) fn write(body: impl Read, dir: &Path) -> CliResult<u64> {
    // Building took its time: something may lie there now.
    refuse_full(dir)?;
    let is_absent = |dir: &&Path| !dir.as_os_str().is_empty() && dir.symlink_metadata().is_err();
    let made: Vec<&Path> = dir.ancestors().take_while(is_absent).collect();
    let written = std::fs::create_dir_all(dir).and_then(|()| unpack(body, dir));
    written.map_err(|error| {
        let fix = match take_away(dir, &made) {
            Ok(()) => "check the folder and its free space, and build again",
            Err(_) => "check the folder and its free space, empty it, and build again",
        };
        let what = format!("the files could not be written to {}", dir.display());
        CliError::new(Exit::Failed, "cli.not-saved", what, said(&error), fix)
    })
}

/// Folders get their modes when everything is in them: some may not even be written to by their owner.
fn unpack(body: impl Read, dir: &Path) -> io::Result<u64> {
    let mut tar = tar::Archive::new(body);
    tar.set_preserve_permissions(true);
    tar.set_mask(SET_IDS);
    let (mut files, mut folders) = (0, Vec::new());
    for entry in tar.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_dir() {
            folders.push(entry);
        } else {
            files += 1;
            put(&mut entry, dir)?;
        }
    }
    // Also an empty output has its own folder in it.
    if folders.is_empty() {
        return Err(io::Error::other("nothing came"));
    }
    // The name of what lies in a folder begins with that of the folder: the deepest come first.
    folders.sort_by(|one, other| other.path_bytes().cmp(&one.path_bytes()));
    for mut folder in folders {
        put(&mut folder, dir)?;
    }
    Ok(files)
}

fn put<R: Read>(entry: &mut tar::Entry<'_, R>, dir: &Path) -> io::Result<()> {
    match entry.unpack_in(dir)? {
        true => Ok(()),
        false => Err(io::Error::other("an entry leads out of the folder")),
    }
}

/// Takes away what lies in a folder that was empty, and the folders that were made on the way to it, it first.
fn take_away(dir: &Path, made: &[&Path]) -> io::Result<()> {
    use io::ErrorKind::{NotADirectory, NotFound};
    match clear(dir) {
        // It could not even be made.
        Err(e) if matches!(e.kind(), NotFound | NotADirectory) => {}
        cleared => cleared?,
    }
    for folder in made {
        // One that somebody else uses by now stays.
        let _stays_when_used = std::fs::remove_dir(folder);
    }
    Ok(())
}

/// Removes what lies in a folder, also in folders that may not be written to. Links are not followed.
fn clear(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            std::fs::set_permissions(&path, Permissions::from_mode(0o700))?;
            clear(&path)?;
            std::fs::remove_dir(&path)?;
        } else {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// The error with what it goes back to: of an archive it says by itself only which entry it was.
fn said(error: &io::Error) -> String {
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let (what, why) = (error.to_string(), cause.to_string());
    if what == why { what } else { format!("{what}: {why}") }
}

#[cfg(test)]
mod tests {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    use tar::EntryType;

    use super::*;

    const FOLDER: EntryType = EntryType::Directory;
    const FILE: EntryType = EntryType::Regular;

    /// A tar of these, each with its mode; a file holds its own name.
    fn tar_of(entries: &[(EntryType, u32, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (kind, mode, name) in entries {
            let text = if *kind == FILE { *name } else { "" };
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(*mode);
            header.set_size(text.len() as u64);
            tar.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    /// Does something on a thread that modes hold for, as they do for everybody but root.
    fn as_anybody<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let thread = std::thread::spawn(move || {
            let mut sets = capabilities(None).unwrap();
            sets.effective.remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH);
            set_capabilities(None, sets).unwrap();
            work()
        });
        thread.join().unwrap()
    }

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_folder_that_may_not_be_written_to_gets_its_files_before_its_mode() {
        let scratch = tempfile::tempdir().unwrap();
        let to = scratch.path().join("to");
        let bytes = tar_of(&[
            (FOLDER, 0o755, "."),
            (FOLDER, 0o555, "locked"),
            (FILE, 0o644, "locked/file"),
            (FOLDER, 0o500, "locked/inner"),
            (FILE, 0o444, "locked/inner/file"),
            (FOLDER, 0o555, "locked/inner/nothing"),
        ]);
        let dir = to.clone();
        let files = as_anybody(move || write(&bytes[..], &dir));
        assert_eq!(files.unwrap(), 2);
        let text = std::fs::read_to_string(to.join("locked/inner/file")).unwrap();
        assert_eq!(text, "locked/inner/file");
        let modes = ["locked", "locked/inner", "locked/inner/nothing", "locked/inner/file"];
        assert_eq!(modes.map(|path| mode(&to.join(path))), [0o555, 0o500, 0o555, 0o444]);
    }

    #[test]
    fn the_sticky_bit_stays_and_nothing_runs_as_who_built_it() {
        let scratch = tempfile::tempdir().unwrap();
        let to = scratch.path().join("to");
        let bytes = tar_of(&[
            (FOLDER, 0o755, "."),
            (FOLDER, 0o1777, "tmp"),
            (FOLDER, 0o3775, "shared"),
            (FILE, 0o4755, "su"),
            (FILE, 0o2755, "wall"),
        ]);
        assert_eq!(write(&bytes[..], &to).unwrap(), 2);
        let modes = ["tmp", "shared", "su", "wall"].map(|path| mode(&to.join(path)));
        assert_eq!(modes, [0o1777, 0o1775, 0o755, 0o755]);
    }

    #[test]
    fn what_fails_leaves_neither_files_nor_the_folders_that_were_made_for_it() {
        let scratch = tempfile::tempdir().unwrap();
        let empty = scratch.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        let whole = tar_of(&[(FOLDER, 0o755, "."), (FILE, 0o644, "one"), (FILE, 0o644, "two")]);
        let cut = whole[..2048].to_vec();
        // The last folder that gets its mode is a file: the others have theirs by then.
        let broken = tar_of(&[
            (FILE, 0o644, "a"),
            (FILE, 0o644, "locked/file"),
            (FOLDER, 0o555, "locked"),
            (FOLDER, 0o755, "a"),
        ]);
        for bytes in [cut, broken, Vec::new()] {
            for dir in [scratch.path().join("new/deep"), empty.clone()] {
                let (bytes, to) = (bytes.clone(), dir.clone());
                let failure = as_anybody(move || write(&bytes[..], &to)).unwrap_err().failure;
                assert_eq!(failure.code, "cli.not-saved");
                assert!(!failure.fix.contains("empty it"), "{failure:?}");
                assert!(refuse_full(&dir).is_ok(), "{failure:?}");
            }
            assert!(!scratch.path().join("new").exists() && empty.is_dir());
        }
        assert_eq!(write(&whole[..], &empty).unwrap(), 2);
    }

    #[test]
    fn what_lies_there_already_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("full");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("mine"), "text").unwrap();
        let failure = write(&[][..], &dir).unwrap_err();
        assert_eq!((failure.exit, &*failure.failure.code), (Exit::Usage, "cli.not-saved"));
        assert_eq!(std::fs::read_to_string(dir.join("mine")).unwrap(), "text");
    }

    #[test]
    fn an_error_is_told_with_its_cause() {
        let scratch = tempfile::tempdir().unwrap();
        // A file where a folder is needed.
        let bytes = tar_of(&[(FOLDER, 0o755, "."), (FILE, 0o644, "a"), (FILE, 0o644, "a/b")]);
        let failure = write(&bytes[..], &scratch.path().join("to")).unwrap_err().failure;
        assert!(failure.why.contains("os error"), "{failure:?}");
    }
}
