//! What lies in and beside the source of those that reach for more, and what they may have seen of it.

use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};

use super::Seen;

/// What lies outside.
const OUTSIDE: &str = "outside: must not be read";

/// Links of every sort that lead out.
pub(crate) fn ways_out(source: &Path) {
    let parent = source.parent().unwrap();
    std::fs::write(parent.join("outside"), OUTSIDE).unwrap();
    write(source, "inside", "inside");
    write(source, "folder/file", "inside");
    for (name, to) in [
        ("link-to-outside", "../outside"),
        ("link-to-absolute", "/etc/passwd"),
        ("link-to-folder", ".."),
        ("link-to-proc", "/proc"),
        ("chain-1", "chain-2"),
        ("chain-2", "folder/../../outside"),
    ] {
        symlink(to, source.join(name)).unwrap();
    }
}

/// The same with a pipe and a device, as which anybody may make the one that overlays use.
pub(crate) fn ways_out_and_special_files(source: &Path) {
    ways_out(source);
    pipe(&source.join("pipe"));
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, source.join("device"), FileType::CharacterDevice, mode, 0).unwrap();
}

fn write(source: &Path, path: &str, text: &str) {
    let path = source.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

pub(crate) fn pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

pub(crate) fn link(path: &Path, to: &str) {
    symlink(to, path).unwrap();
}

/// Many files with long names.
pub(crate) fn long_names(source: &Path) {
    for n in 0..2_000 {
        write(source, &format!("{}{n}", "a".repeat(240)), "");
    }
}

/// A folder that is exchanged for a link to one outside, as long as it is there.
pub(crate) fn a_door_that_is_exchanged(source: &Path) {
    let source = source.to_owned();
    let outside = source.parent().unwrap().join("other");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), OUTSIDE).unwrap();
    write(&source, "door/file", "inside");
    symlink(&outside, source.join("trap")).unwrap();
    std::thread::spawn(move || {
        let (door, trap) = (source.join("door"), source.join("trap"));
        while renameat_with(CWD, &door, CWD, &trap, RenameFlags::EXCHANGE).is_ok() {}
    });
}

/// It read what is inside, and nothing else.
pub(crate) fn saw_the_inside(seen: &Seen) {
    assert_eq!(seen.evidence["batch inside"], "seen: inside");
    assert_eq!(seen.evidence["wasi inside"], "seen: inside");
    for with_a_slash in ["link-to-outside/", "inside/", "link-to-folder/"] {
        for way in ["batch", "wasi", "folder"] {
            let came = &seen.evidence[&format!("{way} {with_a_slash}")];
            assert!(came.starts_with("denied"), "{way} {with_a_slash}: {came}");
        }
    }
    assert_nothing_else(seen);
}

/// The same, where the tree is not shown as files.
pub(crate) fn saw_the_inside_in_batches(seen: &Seen) {
    assert_eq!(seen.evidence["batch inside"], "seen: inside");
    assert!(seen.evidence["wasi inside"].starts_with("denied"));
    assert_nothing_else(seen);
}

fn assert_nothing_else(seen: &Seen) {
    for (path, came) in seen.evidence.iter().filter(|(path, _)| !path.ends_with(" inside")) {
        assert!(came.starts_with("denied"), "{path}: {came}");
    }
}

/// Nothing of the source, and nothing beside it, is other than it was.
pub(crate) fn changed_nothing(seen: &Seen) {
    for (what, came) in &seen.evidence {
        assert!(came.starts_with("denied"), "{what}: {came}");
    }
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let parent = seen.source.parent().unwrap();
    assert_eq!(read(&seen.source.join("inside")), "inside");
    assert_eq!(read(&parent.join("outside")), OUTSIDE);
    assert_eq!(std::fs::read_dir(parent).unwrap().count(), 2);
    assert_eq!(std::fs::read_dir(&seen.source).unwrap().count(), 9);
}

/// It read through the door, and never what is behind the link.
pub(crate) fn saw_no_outside(seen: &Seen) {
    let count = |what: &str| seen.evidence[what].parse::<u32>().unwrap();
    assert_eq!(count("outside"), 0, "{:?}", seen.evidence);
    assert!(count("inside") > 0, "{:?}", seen.evidence);
    // The link was there too: what was read was exchanged meanwhile.
    assert!(count("refused") > 0, "{:?}", seen.evidence);
}

/// It got the file, and nothing behind it.
pub(crate) fn read_no_more_than_there_is(seen: &Seen) {
    let bytes = std::fs::metadata(seen.source.join("behave")).unwrap().len();
    assert!(seen.log.contains(&format!("read: Ok({bytes})")), "{:?}", seen.log);
}
