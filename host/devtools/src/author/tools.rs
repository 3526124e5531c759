//! The tools of the languages: finding and running them, and what to do about one that is missing.
//!
//! What they print goes to standard error, as it comes: standard output is for our own answer.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use windlass_model::Failure;

/// A tool that plugins are built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Cargo,
    Npm,
    Python,
}

impl Tool {
    fn program(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Npm => "npm",
            Self::Python => "python3",
        }
    }

    fn fix(self) -> &'static str {
        match self {
            Self::Cargo => {
                "install Rust from https://rustup.rs, then `rustup target add wasm32-wasip2`"
            }
            Self::Npm => "install Node.js 20 or newer, which brings npm: https://nodejs.org",
            Self::Python => {
                "install Python 3.11 or newer with its module venv (Debian: `apt-get install python3-venv`)"
            }
        }
    }

    /// The command, without arguments.
    ///
    /// # Errors
    /// `plugin.tool-missing`, with how to get it.
    pub(super) fn command(self, folder: &Path) -> Result<Command, Failure> {
        let found = on_path(self.program(), std::env::var_os("PATH").as_deref());
        found.map(|program| in_folder(&program, folder)).ok_or_else(|| {
            missing(
                format!("{} is not installed", self.program()),
                "it is in no folder of PATH",
                self.fix(),
            )
        })
    }
}

/// A program that is run in a folder; its path is one from here, and not from there.
pub(super) fn in_folder(program: &Path, folder: &Path) -> Command {
    let is_name = program.components().count() == 1;
    let absolute = std::path::absolute(program).ok().filter(|_| !is_name);
    let mut command = Command::new(absolute.as_deref().unwrap_or(program));
    command.current_dir(folder);
    command
}

/// Something that a language's tools need is not there.
pub(super) fn missing(what: String, why: impl Into<String>, fix: impl Into<String>) -> Failure {
    Failure::app("plugin.tool-missing", what, why, fix)
}

fn on_path(program: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let folders = std::env::split_paths(path?);
    folders.map(|folder| folder.join(program)).find(|file| {
        file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// Runs a command to its end; what it prints is shown. `commands` gets its line.
///
/// # Errors
/// `plugin.build-failed`.
pub(super) fn run(command: &mut Command, commands: &mut Vec<String>) -> Result<(), Failure> {
    let line = line(command);
    commands.push(line.clone());
    command.stdout(io::stderr()).stdin(Stdio::null());
    let status = command.status().map_err(|e| failed(&line, &e.to_string()))?;
    if status.success() { Ok(()) } else { Err(failed(&line, &format!("{status}"))) }
}

/// The same with its standard output as the answer.
///
/// # Errors
/// `plugin.build-failed`.
pub(super) fn answer(command: &mut Command, commands: &mut Vec<String>) -> Result<String, Failure> {
    let line = line(command);
    commands.push(line.clone());
    command.stderr(Stdio::inherit()).stdin(Stdio::null());
    let output = command.output().map_err(|e| failed(&line, &e.to_string()))?;
    if !output.status.success() {
        return Err(failed(&line, &format!("{}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn failed(line: &str, why: &str) -> Failure {
    Failure::app(
        "plugin.build-failed",
        "the plugin does not build",
        format!("`{line}` failed: {why}; what it says stands above"),
        "mend what it names, and build again",
    )
}

/// A command as a person would type it, the program without its folder.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_the_folders_of_the_path_alone() {
        let path = std::env::join_paths(["/nonexistent", "/bin"]).unwrap();
        assert_eq!(on_path("sh", Some(&path)), Some(PathBuf::from("/bin/sh")));
        assert_eq!(on_path("sh", Some(OsStr::new("/nonexistent"))), None);
        assert_eq!(on_path("no-such-program", Some(&path)), None);
        assert_eq!(on_path("sh", None), None);
    }

    #[test]
    fn a_program_in_the_folder_is_found_from_where_the_folder_was_named() {
        let here = std::env::current_dir().unwrap();
        let command = in_folder(Path::new("my/.venv/bin/pip"), Path::new("my"));
        assert_eq!(Path::new(command.get_program()), here.join("my/.venv/bin/pip"));
        assert_eq!(in_folder(Path::new("rustc"), Path::new("my")).get_program(), "rustc");
    }

    #[test]
    fn a_command_that_fails_is_named_as_it_would_be_typed() {
        let mut ran = Vec::new();
        let mut command = Command::new("/bin/sh");
        let failure = run(command.args(["-c", "exit 3"]), &mut ran).unwrap_err();
        assert_eq!(
            (failure.code.as_str(), ran[0].as_str()),
            ("plugin.build-failed", "sh -c exit 3")
        );
        assert!(failure.why.contains("`sh -c exit 3` failed: exit status: 3"), "{}", failure.why);
        let said = answer(Command::new("/bin/sh").args(["-c", "echo yes"]), &mut ran).unwrap();
        assert_eq!((said.as_str(), ran.len()), ("yes\n", 2));
    }
}
