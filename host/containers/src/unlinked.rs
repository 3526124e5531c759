//! Files without a name: what a process has open, or mapped, of a file that was removed still takes the disk.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// File systems that are in memory: what is there counts as memory. From `linux/magic.h`.
const IN_MEMORY: [u64; 3] = [0x0102_1994, 0x8584_58f6, 0x9584_58f6];

/// Bytes on the disk of the files without a name that these processes hold, each counted once.
pub(crate) fn bytes(processes: &[u32]) -> u64 {
    let mut found = BTreeMap::new();
    for pid in processes {
        for folder in ["fd", "map_files"] {
            let entries = std::fs::read_dir(format!("/proc/{pid}/{folder}"));
            for entry in entries.into_iter().flatten().flatten() {
                found.extend(unlinked(&entry.path()));
            }
        }
    }
    found.values().sum()
}

/// Device and inode of a file without a name on a disk, with its bytes there.
fn unlinked(open: &Path) -> Option<((u64, u64), u64)> {
    let meta = std::fs::metadata(open).ok()?;
    if !meta.is_file() || meta.nlink() > 0 || meta.blocks() == 0 || is_in_memory(open) {
        return None;
    }
    Some(((meta.dev(), meta.ino()), meta.blocks() * 512))
}

fn is_in_memory(path: &Path) -> bool {
    let Ok(system) = rustix::fs::statfs(path) else { return false };
    u64::try_from(system.f_type).is_ok_and(|kind| IN_MEMORY.contains(&kind))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_that_is_open_and_removed_is_counted_once_and_one_in_memory_is_not() {
        let own = [std::process::id()];
        // The folder for temporary files may be in memory; programs are on a disk.
        let exe = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir_in(exe.parent().unwrap()).unwrap();
        let path = folder.path().join("file");
        let before = bytes(&own);
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(&vec![1; 8 << 20]).unwrap();
        file.sync_all().unwrap();
        assert!(bytes(&own) < before + (8 << 20), "it has a name");
        let second = file.try_clone().unwrap();
        std::fs::remove_file(&path).unwrap();
        let held = bytes(&own);
        assert!(held >= before + (8 << 20) && held < before + (16 << 20), "{before}, {held}");
        drop((file, second));
        assert!(bytes(&own) < before + (8 << 20));
        let memory = rustix::fs::memfd_create("held", rustix::fs::MemfdFlags::empty()).unwrap();
        std::fs::File::from(memory).write_all(&vec![1; 8 << 20]).unwrap();
        assert!(bytes(&own) < before + (8 << 20));
    }
}
