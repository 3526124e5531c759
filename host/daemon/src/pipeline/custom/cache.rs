//! The small store of a plugin in a project: `<data>/cache/stages/<project>/<plugin>/`, one file for each key,
//! named by its digest. What was used longest ago goes when there is no room; everything may go at any time.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use windlass_model::{Digest, ProjectName};
use windlass_sandbox::contract::cache::{CacheError, Reason};

use crate::source::remove_tree;

/// Entries of one plugin in one project.
const ENTRIES_MAX: usize = 10_000;
/// Bytes of a key.
const KEY_BYTES_MAX: usize = 200;

/// The cache of one plugin in one project.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    dir: PathBuf,
    bytes_max: u64,
}

/// Where the caches of a project lie.
pub(crate) fn of_project(data_dir: &Path, project: &ProjectName) -> PathBuf {
    data_dir.join("cache").join("stages").join(project.as_str())
}

/// The caches of all projects, one folder each.
pub(crate) fn of_projects(data_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(data_dir.join("cache").join("stages")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// Removes those of projects that are not named.
pub(crate) fn forget_others(caches: &[PathBuf], projects: &HashSet<&str>) -> io::Result<()> {
    for cache in caches {
        let name = cache.file_name().and_then(|name| name.to_str());
        if !name.is_some_and(|name| projects.contains(name)) {
            remove_tree(cache)?;
        }
    }
    Ok(())
}

impl Cache {
    pub(crate) fn of(data_dir: &Path, project: &ProjectName, plugin: &str, bytes_max: u64) -> Self {
        Self { dir: of_project(data_dir, project).join(plugin), bytes_max }
    }

    /// What is under a key; it counts as used now.
    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        let path = self.path(key).ok()?;
        let value = fs::read(&path).ok()?;
        if let Ok(file) = fs::File::options().append(true).open(path) {
            // A time that cannot be set makes it go earlier, and nothing worse.
            let _ = file.set_modified(SystemTime::now());
        }
        Some(value)
    }

    /// Puts a value under a key; what was used longest ago makes room.
    pub(crate) fn put(&self, key: &str, value: &[u8]) -> Result<(), CacheError> {
        let path = self.path(key)?;
        let bytes = value.len() as u64;
        if bytes > self.bytes_max {
            let message =
                format!("{bytes} bytes are more than the {} of the cache", self.bytes_max);
            return Err(CacheError { reason: Reason::OverLimit, message });
        }
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.dir)?;
            self.make_room(bytes, &path)?;
            let draft = self.dir.join(".new");
            let mut file = fs::File::create(&draft)?;
            file.write_all(value)?;
            fs::rename(draft, path.clone())
        };
        write().map_err(|error| failed(&error))
    }

    /// Forgets a key; none is no error.
    pub(crate) fn delete(&self, key: &str) -> Result<(), CacheError> {
        match fs::remove_file(self.path(key)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&error)),
            _ => Ok(()),
        }
    }

    fn make_room(&self, bytes: u64, except: &Path) -> io::Result<()> {
        let mut entries = Vec::new();
        let mut used = bytes;
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let (meta, path) = (entry.metadata()?, entry.path());
            if path != except && meta.is_file() {
                used += meta.len();
                entries.push((meta.modified()?, meta.len(), path));
            }
        }
        entries.sort();
        let mut count = entries.len() + 1;
        for (_, freed, path) in entries {
            if used <= self.bytes_max && count <= ENTRIES_MAX {
                break;
            }
            fs::remove_file(path)?;
            used = used.saturating_sub(freed);
            count -= 1;
        }
        Ok(())
    }

    fn path(&self, key: &str) -> Result<PathBuf, CacheError> {
        if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
            let message = format!("a key has 1 to {KEY_BYTES_MAX} bytes");
            return Err(CacheError { reason: Reason::Invalid, message });
        }
        Ok(self.dir.join(Digest::of(key.as_bytes()).hex()))
    }
}

fn failed(error: &io::Error) -> CacheError {
    CacheError { reason: Reason::HostFailed, message: format!("it cannot be written: {error}") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn cache(dir: &Path, bytes_max: u64) -> Cache {
        Cache::of(dir, &"shop".parse().unwrap(), "p", bytes_max)
    }

    fn used_at(cache: &Cache, key: &str, seconds: u64) {
        let file = fs::File::options().append(true).open(cache.path(key).unwrap()).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn what_was_used_longest_ago_makes_room() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path(), 10);
        cache.put("a", b"aaaa").unwrap();
        cache.put("b", b"bbbb").unwrap();
        used_at(&cache, "a", 1);
        used_at(&cache, "b", 2);
        assert_eq!(cache.get("a").unwrap(), b"aaaa");
        cache.put("c", b"cccc").unwrap();
        assert!(cache.get("b").is_none(), "a was used since");
        assert!(cache.get("a").is_some() && cache.get("c").is_some());
        cache.put("a", b"0123456789").unwrap();
        assert_eq!(cache.get("a").unwrap(), b"0123456789");
        assert!(cache.get("c").is_none());
        assert_eq!(cache.put("a", b"0123456789!").unwrap_err().reason, Reason::OverLimit);
        cache.delete("a").unwrap();
        cache.delete("a").unwrap();
        assert!(cache.get("a").is_none());
    }

    #[test]
    fn keys_are_no_paths_and_plugins_and_projects_are_apart() {
        let dir = tempfile::tempdir().unwrap();
        let one = cache(dir.path(), 100);
        one.put("../../x", b"1").unwrap();
        assert_eq!(one.get("../../x").unwrap(), b"1");
        let other = Cache::of(dir.path(), &"shop".parse().unwrap(), "q", 100);
        assert!(other.get("../../x").is_none());
        assert_eq!(
            fs::read_dir(of_project(dir.path(), &"shop".parse().unwrap())).unwrap().count(),
            1
        );
        assert_eq!(one.put("", b"1").unwrap_err().reason, Reason::Invalid);
        assert_eq!(one.put(&"k".repeat(201), b"1").unwrap_err().reason, Reason::Invalid);
        assert!(one.get(&"k".repeat(201)).is_none());
        let caches = of_projects(dir.path()).unwrap();
        forget_others(&caches, &HashSet::from(["shop"])).unwrap();
        assert!(one.get("../../x").is_some());
        forget_others(&caches, &HashSet::from(["other"])).unwrap();
        assert!(one.get("../../x").is_none());
    }
}
