//! The first process of an instance's container: where it lies, and how it becomes that.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Result, RuntimeError};

/// What `build.rs` made of `init/main.rs`.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));
/// Where a container sees it: on the memory of `/dev`, so that nothing of it is in the image.
pub(crate) const TARGET: &str = "/dev/windlass-init";
/// Programs that want to be the first process themselves.
const OTHERS: [&str; 10] = [
    "init",
    "tini",
    "tini-static",
    "dumb-init",
    "docker-init",
    "catatonit",
    "systemd",
    "s6-svscan",
    "s6-overlay-suexec",
    "runsvdir",
];

/// The file on the host.
pub(crate) fn path(data: &Path) -> PathBuf {
    data.join("init")
}

/// Writes it, unless it is there. One that is replaced lives on in the containers that have it.
pub(crate) fn install(data: &Path) -> Result<()> {
    let path = path(data);
    if std::fs::read(&path).is_ok_and(|found| found == PROGRAM) {
        return Ok(());
    }
    let failed = |error| RuntimeError::io("write", &path)(error);
    let mut file = tempfile::NamedTempFile::new_in(data).map_err(failed)?;
    file.write_all(PROGRAM).map_err(failed)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o555)).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// The command as a child of it, unless it is such a program itself.
pub(crate) fn wrap(argv: &[String]) -> Option<Vec<String>> {
    let name = argv.first()?.rsplit('/').next().unwrap_or_default();
    if OTHERS.contains(&name) {
        return None;
    }
    let own = [TARGET.to_owned(), "--".to_owned()];
    Some(own.into_iter().chain(argv.iter().cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_becomes_its_child_unless_it_is_one_of_its_kind() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let wrapped = wrap(&words("node server.js")).unwrap();
        assert_eq!(wrapped, words("/dev/windlass-init -- node server.js"));
        for own in ["/init", "/usr/bin/tini -- node server.js", "dumb-init python app.py"] {
            assert_eq!(wrap(&words(own)), None, "{own}");
        }
    }

    #[test]
    fn it_is_written_once_and_mended() {
        let dir = tempfile::tempdir().unwrap();
        install(dir.path()).unwrap();
        let path = path(dir.path());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o555);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, b"an older one").unwrap();
        install(dir.path()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), PROGRAM);
    }
}
