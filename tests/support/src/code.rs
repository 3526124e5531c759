//! Compiled plugins for the hosts of tests: each has a data directory of its own, and compiling every bundled
//! plugin anew takes half a minute of a core with a binary that is not optimised.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Gives a data directory the code of the bundled plugins, as links to the files of one folder of all tests. The
/// host looks at each before it uses it, and compiles what is not there.
///
/// # Panics
/// When the plugins cannot be compiled.
pub(crate) fn seed(data_dir: &Path) {
    let made = made();
    let cache = data_dir.join("cache/plugins");
    fs::create_dir_all(&cache).unwrap();
    let status = Command::new("cp").arg("-al").arg(&made).arg(cache.join("code")).status();
    assert!(status.unwrap().success(), "the code of {} could not be linked", made.display());
}

/// The folder, made by the first that needs it.
fn made() -> PathBuf {
    let binary = crate::binary();
    let folder = crate::target_dir().join("code").join(format!("{:016x}", of(&binary)));
    let made = folder.join("windlass/plugins/code");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let complete = folder.join("complete");
    if !complete.exists() {
        // To plan is to ask all of them.
        let mut plan = Command::new(&binary);
        plan.arg("plan").arg(crate::fixture("express")).env("XDG_CACHE_HOME", &folder);
        let planned = plan.stdin(Stdio::null()).output().unwrap();
        assert!(planned.status.success(), "{}", String::from_utf8_lossy(&planned.stderr));
        fs::write(complete, "").unwrap();
    }
    made
}

/// What the code depends on, by names, sizes and times: the host itself looks more closely.
fn of(binary: &Path) -> u64 {
    let plugins = fs::read_dir(binary.with_file_name("plugins")).unwrap();
    let mut files: Vec<PathBuf> = plugins.map(|entry| entry.unwrap().path()).collect();
    files.push(binary.to_owned());
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        let meta = fs::metadata(&file).unwrap();
        (file.file_name(), meta.len(), meta.modified().unwrap()).hash(&mut hasher);
    }
    hasher.finish()
}
