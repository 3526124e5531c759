//! What is written down of a step's key, and why it was not found.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use windlass_model::Failure;
use windlass_model::build::{BuildRecord, KeyParts, Reason, reasons};

use super::session::io_failure;

const SALT_BYTES: usize = 32;

/// What keeps digests of variables, in keys and records, from being tried out elsewhere: made once, kept beside
/// the caches. When it is lost, every variable counts as changed.
pub(super) fn salt(data_dir: &Path) -> Result<Vec<u8>, Failure> {
    let path = data_dir.join("cache/salt");
    let found = read_or_make(&path);
    found.map_err(|e| io_failure("The salt of the build records cannot be kept", &path, &e))
}

fn read_or_make(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Ok(salt) if salt.len() == SALT_BYTES => return Ok(salt),
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let mut salt = vec![0; SALT_BYTES];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut salt)?;
    let draft = tempfile::Builder::new().prefix(".salt-").make_in(dir, |path| {
        OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)
    })?;
    draft.as_file().write_all(&salt)?;
    // Another build may have been quicker; then its salt counts, unless it is damaged.
    match draft.persist_noclobber(path) {
        Ok(_) => Ok(salt),
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => {
            let there = std::fs::read(path)?;
            if there.len() == SALT_BYTES {
                return Ok(there);
            }
            e.file.persist(path).map_err(|e| e.error)?;
            Ok(salt)
        }
        Err(e) => Err(e.error),
    }
}

/// Why a step with this key is carried out, against the newest earlier build that had it.
pub(super) fn why(
    bypass: bool,
    earlier: &[BuildRecord],
    id: &str,
    key: &str,
    parts: &KeyParts,
) -> Vec<Reason> {
    if bypass {
        return vec![Reason::NoCache];
    }
    match earlier.iter().find_map(|record| record.step(id)) {
        None => vec![Reason::NoEarlierBuild],
        Some(old) if old.key == key && old.succeeded => vec![Reason::Pruned],
        Some(old) if old.key == key => vec![Reason::Failed],
        Some(old) => reasons(&old.parts, parts),
    }
}

#[cfg(test)]
mod tests {
    use windlass_model::build::StepRecord;

    use super::*;

    #[test]
    fn the_salt_is_made_once_and_only_the_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().unwrap();
        let first = salt(data.path()).unwrap();
        assert_eq!(salt(data.path()).unwrap(), first);
        let path = data.path().join("cache/salt");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "damaged").unwrap();
        assert_eq!(salt(data.path()).unwrap().len(), SALT_BYTES);
        assert_ne!(salt(tempfile::tempdir().unwrap().path()).unwrap(), first);
    }

    #[test]
    fn it_is_compared_with_the_newest_build_that_had_the_step() {
        let parts = |cwd: &str| KeyParts { cwd: cwd.into(), ..KeyParts::default() };
        let record = |id: &str, key: &str, cwd: &str, succeeded| BuildRecord {
            steps: vec![StepRecord {
                place: 0,
                id: id.into(),
                name: id.into(),
                key: key.into(),
                cached: false,
                succeeded,
                took_ms: 0,
                reasons: vec![],
                parts: parts(cwd),
            }],
        };
        let earlier = [
            record("other", "1", "/", true),
            record("app", "1", "/app", true),
            record("app", "2", "/", true),
        ];
        let why = |key: &str, cwd: &str| why(false, &earlier, "app", key, &parts(cwd));
        assert_eq!(why("1", "/app"), [Reason::Pruned]);
        assert_eq!(why("2", "/"), [Reason::Cwd]);
        let failed = [record("app", "1", "/app", false)];
        assert_eq!(super::why(false, &failed, "app", "1", &parts("/app")), [Reason::Failed]);
        assert_eq!(super::why(false, &[], "app", "1", &parts("/")), [Reason::NoEarlierBuild]);
        assert_eq!(super::why(true, &earlier, "app", "1", &parts("/")), [Reason::NoCache]);
    }
}
