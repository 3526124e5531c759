//! Removing folders that are whole or not there: a cache or a tree of which a part is missing would be taken for all of
//! it by whoever comes after a crash in the middle of its removal.

use std::io;
use std::path::Path;

/// Prefix of the name that a folder has while it is being removed.
const GOING: &str = ".going-";

/// Removes a folder, under another name from the first moment on. One that is not there is no error.
///
/// # Errors
/// What the file system says; [`sweep`] removes what is left then.
pub(crate) fn remove(dir: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else { return Ok(()) };
    loop {
        let going = match tempfile::Builder::new().prefix(GOING).tempdir_in(parent) {
            Ok(going) => going.keep(),
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let renamed = std::fs::rename(dir, going.join(name));
        let removed = std::fs::remove_dir_all(&going);
        match (renamed, removed) {
            // Somebody swept before it was in use.
            (Err(error), _) if is_absent(&error) && dir.symlink_metadata().is_ok() => {}
            (Err(error), _) if !is_absent(&error) => return Err(error),
            (_, Err(error)) if !is_absent(&error) => return Err(error),
            _ => return Ok(()),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// Removes what removals that came to no end have left in this folder. What cannot be removed is in nobody's way.
pub(crate) fn sweep(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(GOING)) {
            match std::fs::remove_dir_all(entry.path()) {
                // Whoever is removing it was quicker.
                Err(error) if !is_absent(&error) => {
                    let path = entry.path();
                    tracing::warn!(path = %path.display(), %error, "remains could not be removed");
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_and_what_a_crash_left_goes() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("tree");
        std::fs::create_dir_all(dir.join("a/b")).unwrap();
        std::fs::write(dir.join("a/b/c"), "1").unwrap();
        remove(&dir).unwrap();
        remove(&dir).unwrap();
        remove(&outer.path().join("absent/tree")).unwrap();
        assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 0);

        std::fs::create_dir_all(outer.path().join(".going-1/tree/a")).unwrap();
        std::fs::create_dir_all(outer.path().join("stays")).unwrap();
        sweep(outer.path());
        let left: Vec<_> = std::fs::read_dir(outer.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].file_name(), "stays");
    }

    #[test]
    fn a_folder_whose_removal_is_interrupted_is_not_there_in_part() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("cache");
        std::fs::create_dir_all(dir.join("a")).unwrap();
        // A mount point cannot be removed: it stands for a crash in the middle.
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "none"])
            .arg(dir.join("a"))
            .status()
            .unwrap();
        assert!(mounted.success());
        let outcome = remove(&dir);
        let is_there = dir.exists();
        let unmounted = std::process::Command::new("sh")
            .args(["-c", "umount \"$1\"/.going-*/cache/a || umount \"$1\"/cache/a", "sh"])
            .arg(outer.path())
            .status()
            .unwrap();
        assert!(unmounted.success() && outcome.is_err());
        assert!(!is_there, "a part of it is there under its name");
        sweep(outer.path());
        assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 0);
    }
}
