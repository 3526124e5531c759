//! A folder with copies of the SDKs and of the tests' plugins, where things are built.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use windlass_test_support::{binary, checkout, scratch};

/// The fixtures of the tests' plugins: the same answers are expected of every language.
pub(crate) const FIXTURES: &str = "tests/sdk/plugins/fixtures";

/// Temporary files of what is run lie here, so that they go with the workshop also when it was killed.
const TEMPORARY: &str = "tmp";

/// See the module. Paths are laid out as in the checkout.
pub(crate) struct Workshop(TempDir);

impl Workshop {
    /// With copies of these folders of the checkout.
    pub(crate) fn with(folders: &[&str]) -> Self {
        let workshop = Self(scratch("sdk"));
        std::fs::create_dir(workshop.path(TEMPORARY)).unwrap();
        for folder in folders {
            copy(&checkout().join(folder), &workshop.path(folder));
        }
        workshop
    }

    /// A path in it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Where `windlass` keeps compiled plugins when it is run here.
    pub(crate) fn plugins_cache(&self) -> PathBuf {
        let folder = self.path("cache/windlass");
        std::fs::create_dir_all(&folder).unwrap();
        folder.join("plugins")
    }

    /// Asks the component of a plugin about the fixtures, as its author does: with a mock of what a host grants.
    pub(crate) fn assert_fixtures(&self, plugin: &str) {
        copy(&self.path(FIXTURES), &self.path(plugin).join("fixtures"));
        let mut windlass = self.command(plugin, binary().as_os_str(), &["plugin", "test"]);
        for (variable, folder) in [("XDG_CACHE_HOME", "cache"), ("XDG_DATA_HOME", "data")] {
            windlass.env(variable, self.path(folder));
        }
        finish(windlass);
    }

    /// Runs a program in one of its folders; it must end well.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, folder: &str, program: S, args: &[&str]) {
        finish(self.command(folder, program.as_ref(), args));
    }

    fn command(&self, folder: &str, program: &OsStr, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.path(folder));
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("TMPDIR", self.path(TEMPORARY));
        command
    }
}

fn finish(mut command: Command) {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            panic!("{} is missing: run `cargo xtask setup`", command.get_program().display())
        }
        Err(error) => panic!("{command:?}: {error}"),
    };
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{out}\n{err}");
}

/// What building leaves in a checkout is not taken along.
const LEFT_BEHIND: [&str; 5] =
    ["node_modules", "package-lock.json", "__pycache__", ".venv", "dist"];

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (name, path) = (entry.file_name(), entry.path());
        if LEFT_BEHIND.iter().any(|left| name == *left) {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}
