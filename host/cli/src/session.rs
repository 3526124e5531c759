//! What a verb works with: the common options, the console, the roles, and a client made on demand.

use std::path::{Path, PathBuf};

use serde::Serialize;
use windlass_model::secret::Secret;
use windlass_model::settings;
use windlass_model::{EnvironmentName, ProjectName};

use crate::args::Common;
use crate::client::{self, Client};
use crate::console::Console;
use crate::exit::{CliError, CliResult, Exit};
use crate::roles::Roles;

/// One run of the command line.
pub struct Session<'s, 'c> {
    /// Options of every verb.
    pub common: Common,
    /// What runs on this machine itself.
    pub roles: &'s dyn Roles,
    /// Where output goes.
    pub console: &'s mut Console<'c>,
}

impl<'s, 'c> Session<'s, 'c> {
    /// A session.
    pub fn new(common: Common, roles: &'s dyn Roles, console: &'s mut Console<'c>) -> Self {
        Self { common, roles, console }
    }

    /// Whether the output is for programs.
    pub fn json(&self) -> bool {
        self.common.json
    }

    /// Prints one JSON document.
    pub fn print_json<T: Serialize + ?Sized>(&mut self, value: &T) {
        let text = serde_json::to_string_pretty(value).unwrap_or_else(|_| "null".to_owned());
        self.console.line(&text);
    }

    /// The chosen environment.
    pub fn environment(&self) -> EnvironmentName {
        self.common.environment.clone()
    }

    /// The data directory in force.
    pub fn data_dir(&self) -> PathBuf {
        self.common.data_dir.clone().unwrap_or_else(default_data_dir)
    }

    /// A client for the chosen host.
    ///
    /// # Errors
    /// `cli.bad-url`, or `cli.token-unreadable` when the token's file may not be read.
    pub fn client(&self) -> CliResult<Client> {
        let given = self.common.token.clone().filter(|token| !token.is_empty());
        let mut looked_in = None;
        let token = match given {
            Some(token) => Some(Secret::new(token)),
            // The local token is for the local host only: it must not travel to another machine.
            None if client::is_local(&self.common.url) => {
                let found = local_token(&self.data_dir())?;
                if found.is_none() {
                    looked_in = Some(self.data_dir().join("token").display().to_string());
                }
                found
            }
            None => None,
        };
        Ok(Client::new(&self.common.url, token)?.looked_in(looked_in))
    }

    /// The project that is meant: `--project`, else the present folder's.
    ///
    /// # Errors
    /// As [`project_of_folder`].
    pub fn project(&self) -> CliResult<ProjectName> {
        match &self.common.project {
            Some(project) => Ok(project.clone()),
            None => project_of_folder(Path::new(".")),
        }
    }
}

/// The project that a folder stands for: `name` of its `windlass.toml`, else the folder's own name.
///
/// # Errors
/// `cli.settings-unreadable`, `cli.no-project`.
pub fn project_of_folder(folder: &Path) -> CliResult<ProjectName> {
    let file = folder.join(settings::FILE);
    let unreadable = |why: String| {
        CliError::bad_input(
            "cli.settings-unreadable",
            format!("{} says which project this is, and cannot be read", file.display()),
            why,
            "correct the file, or name the project with --project",
        )
    };
    match std::fs::read_to_string(&file) {
        Ok(text) => {
            let table: toml::Table =
                toml::from_str(&text).map_err(|e| unreadable(e.to_string()))?;
            match table.get("name") {
                Some(toml::Value::String(name)) => {
                    return name.parse().map_err(|e| unreadable(format!("`name`: {e}")));
                }
                Some(_) => return Err(unreadable("`name` is not a text".to_owned())),
                None => {}
            }
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(unreadable(e.to_string())),
    }
    let absolute = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = absolute.file_name().map(|name| name.to_string_lossy().into_owned());
    name.as_deref().and_then(ProjectName::from_loose).ok_or_else(|| {
        CliError::bad_input(
            "cli.no-project",
            "it is not clear which project is meant",
            format!(
                "there is no windlass.toml with a `name`, and no name can be made of the folder {}",
                absolute.display()
            ),
            "name it with --project, or run `windlass init` in the project's folder",
        )
    })
}

/// `/var/lib/windlass` for root, else `$XDG_DATA_HOME/windlass` or `~/.local/share/windlass`.
pub fn default_data_dir() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/windlass");
    }
    var("XDG_DATA_HOME")
        .or_else(|| var("HOME").map(|home| home.join(".local/share")))
        .unwrap_or_else(|| PathBuf::from("."))
        .join("windlass")
}

fn local_token(data_dir: &Path) -> CliResult<Option<Secret<String>>> {
    let file = data_dir.join("token");
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(Some(Secret::new(text.trim().to_owned()))),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => Err(CliError::new(
            Exit::Unauthorized,
            "cli.token-unreadable",
            format!("the host's token in {} may not be read", file.display()),
            e.to_string(),
            "run as the user that runs `windlass serve` (for root: sudo), or set WINDLASS_TOKEN",
        )),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_names_its_project() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("My_Shop");
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(project_of_folder(&folder).unwrap().as_str(), "my-shop");
        std::fs::write(folder.join("windlass.toml"), "name = \"shop\"\n").unwrap();
        assert_eq!(project_of_folder(&folder).unwrap().as_str(), "shop");
        for bad in ["name = 3", "name = \"No Good\"", "name = "] {
            std::fs::write(folder.join("windlass.toml"), bad).unwrap();
            assert_eq!(
                project_of_folder(&folder).unwrap_err().failure.code,
                "cli.settings-unreadable"
            );
        }
        let nameless = root.path().join("___");
        std::fs::create_dir(&nameless).unwrap();
        assert_eq!(project_of_folder(&nameless).unwrap_err().failure.code, "cli.no-project");
    }

    #[test]
    fn a_token_is_trimmed_and_may_be_absent() {
        let root = tempfile::tempdir().unwrap();
        assert!(local_token(root.path()).unwrap().is_none());
        std::fs::write(root.path().join("token"), "abc\n").unwrap();
        assert_eq!(local_token(root.path()).unwrap().unwrap().expose(), "abc");
    }
}
