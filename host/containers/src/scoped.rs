//! Opening what lies below a directory, whoever filled it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::path::Arg;

/// How often is tried; each takes microseconds, and only a rename or a mount in just these spoils it.
const TRIES: usize = 1_000;

/// Opens what `path` leads to, looked up as `resolve` says, without making anything.
///
/// With `RESOLVE_BENEATH` or `RESOLVE_IN_ROOT`, a `..` on the way (that of a symbolic link) makes the
/// kernel answer `EAGAIN` whenever something was renamed or mounted meanwhile, anywhere on the machine
/// (openat2(2)): it is asked again.
///
/// # Errors
///
/// What openat2(2) answers; `EAGAIN` only after very many attempts.
pub fn open_scoped(
    root: impl AsFd,
    path: impl Arg + Copy,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    for _ in 1..TRIES {
        match rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => std::thread::yield_now(),
            other => return other,
        }
    }
    rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_link_with_dots_is_followed_while_others_rename() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        std::fs::write(dir.path().join("file"), "1").unwrap();
        std::os::unix::fs::symlink("../../../file", dir.path().join("a/b/c/link")).unwrap();
        let root = std::fs::File::open(dir.path()).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let (one, other) = (elsewhere.path().join("1"), elsewhere.path().join("2"));
        std::fs::write(&one, "").unwrap();
        let done = AtomicBool::new(false);
        let (flags, inside) = (OFlags::PATH | OFlags::CLOEXEC, ResolveFlags::IN_ROOT);
        let asked_again = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _spoilt = std::fs::rename(&one, &other);
                    let _spoilt = std::fs::rename(&other, &one);
                }
            });
            // Until the kernel has said a few times what this is for; then the same with asking again.
            let (mut asked_again, began) = (0, Instant::now());
            while asked_again < 20 && began.elapsed() < Duration::from_secs(60) {
                let plain = rustix::fs::openat2(&root, "a/b/c/link", flags, Mode::empty(), inside);
                asked_again += u32::from(plain.is_err_and(|e| e == Errno::AGAIN));
            }
            let found: Result<Vec<_>, _> = (0..20_000)
                .map(|_| open_scoped(&root, "a/b/c/link", flags, inside).map(drop))
                .collect();
            done.store(true, Ordering::Relaxed);
            found.map(|_| asked_again)
        });
        assert_eq!(asked_again, Ok(20));
    }

    #[test]
    fn what_leads_outside_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("../outside", dir.path().join("link")).unwrap();
        let root = std::fs::File::open(dir.path()).unwrap();
        let opened = open_scoped(&root, "link", OFlags::PATH, ResolveFlags::BENEATH);
        assert_eq!(opened.unwrap_err(), Errno::XDEV);
    }
}
