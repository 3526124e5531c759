//! `windlass deploy`: a Git repository, or this folder, goes live.

use std::path::Path;

use ureq::http::Method;
use windlass_model::api::{CreateDeployment, DeploymentView};
use windlass_model::settings::{self, Settings};
use windlass_model::{EnvironmentName, ProjectName};

use super::wait::{Once, Wait};
use super::{environment_path, unreadable};
use crate::client::{Client, with_query};
use crate::exit::{CliError, CliResult, Exit};
use crate::session::{Session, project_of_folder};
use crate::{archive, render};

/// Deploy a Git repository, or a folder as it is.
///
/// A Git address has `://` or the form user@host:path; anything else is a folder (the present one
/// unless named), which is sent as an archive without what .gitignore names. The project and the
/// environment are made when they do not exist. The project's name is, unless --project says it, the
/// repository's; for a folder, `name` in its windlass.toml, else the folder's name.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass deploy https://github.com/me/shop.git --ref v2
  windlass deploy                                  # this folder
  windlass deploy ../shop -e staging --no-wait
  windlass deploy https://github.com/me/private.git --git-token-env GITHUB_TOKEN")]
pub struct Deploy {
    /// A Git address, or a folder.
    #[arg(value_name = "GIT_URL|PATH", default_value = ".")]
    source: String,
    /// Branch, tag or commit [default: the repository's default branch].
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// Take the HTTPS token for a private repository from this environment variable; it is stored,
    /// encrypted, for the project.
    #[arg(long, value_name = "VAR", conflicts_with = "git_token_stdin")]
    git_token_env: Option<String>,
    /// Take the HTTPS token for a private repository from standard input.
    #[arg(long)]
    git_token_stdin: bool,
    #[command(flatten)]
    once: Once,
    #[command(flatten)]
    wait: Wait,
}

impl Deploy {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let is_git = is_git_address(&self.source);
        if session.common.project.is_none() {
            let project = if is_git {
                project_of_repository(&self.source)?
            } else {
                project_of_folder(Path::new(&self.source))?
            };
            session.common.project = Some(project);
        }
        let client = self.once.client(session)?;
        let accepted = if is_git {
            self.send_address(session, &client)?
        } else {
            self.send_folder(session, &client)?
        };
        self.wait.finish(session, client, accepted)
    }

    fn send_address(
        &self,
        session: &mut Session<'_, '_>,
        client: &Client,
    ) -> CliResult<DeploymentView> {
        let git_token = match (&self.git_token_env, self.git_token_stdin) {
            (Some(variable), _) => Some(
                std::env::var(variable)
                    .map_err(|e| unreadable(&format!("the token from {variable}"), e))?,
            ),
            (None, true) => {
                Some(session.console.read_stdin().map_err(|e| unreadable("standard input", e))?)
            }
            (None, false) => None,
        };
        let body = CreateDeployment {
            git_url: Some(self.source.clone()),
            reference: self.reference.clone(),
            git_token: git_token.map(|token| token.trim().to_owned()),
        };
        let path = environment_path(session, &["deployments"])?;
        client.send(Method::POST, &with_query(&path, &[("create", "true")]), &body)
    }

    fn send_folder(
        &self,
        session: &mut Session<'_, '_>,
        client: &Client,
    ) -> CliResult<DeploymentView> {
        if self.reference.is_some() || self.git_token_env.is_some() || self.git_token_stdin {
            return Err(CliError::new(
                Exit::Usage,
                "cli.usage",
                "--ref and the Git token are for Git addresses",
                format!(
                    "{:?} is taken as a folder, and a folder is deployed as it is",
                    self.source
                ),
                "give the repository's address, or leave these options out",
            ));
        }
        let folder = Path::new(&self.source);
        check_settings(folder, &session.environment())?;
        let archive = archive::pack(folder)?;
        for path in &archive.left_out {
            session.console.note(&format!("left out, not a file: {}", path.display()));
        }
        if !session.json() {
            session.console.note(&format!(
                "sending {} ({}) to {}",
                render::count(archive.files, "file"),
                render::bytes(archive.bytes),
                session.common.url,
            ));
        }
        let absolute = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let name =
            absolute.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let path = environment_path(session, &["deployments", "archive"])?;
        let path = with_query(&path, &[("create", "true"), ("name", &name)]);
        client.upload(&path, "application/gzip", &archive.file)
    }
}

/// What the host would refuse is refused before anything is sent.
fn check_settings(folder: &Path, environment: &EnvironmentName) -> CliResult<()> {
    let Ok(text) = std::fs::read_to_string(folder.join(settings::FILE)) else {
        return Ok(());
    };
    Settings::parse(&text, environment).map(drop).map_err(CliError::of_role)
}

/// `scheme://…`, or `user@host:path` as ssh has it.
fn is_git_address(source: &str) -> bool {
    let scp = source
        .split_once(':')
        .is_some_and(|(host, path)| host.contains('@') && !host.contains('/') && !path.is_empty());
    source.contains("://") || scp
}

fn project_of_repository(url: &str) -> CliResult<ProjectName> {
    let last = url.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
    let name = last.strip_suffix(".git").unwrap_or(last);
    ProjectName::from_loose(name).ok_or_else(|| {
        CliError::bad_input(
            "cli.no-project",
            "it is not clear which project is meant",
            format!("no name can be made of {url}"),
            "name it with --project",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_folders_are_told_apart() {
        for git in
            ["https://x/y.git", "git@example.com:me/shop.git", "file:///srv/shop", "ssh://h/x"]
        {
            assert!(is_git_address(git), "{git}");
        }
        for folder in [".", "..", "shop", "/srv/shop", "C:shop", "./a@b/c:d", "a@b:"] {
            assert!(!is_git_address(folder), "{folder}");
        }
    }

    #[test]
    fn a_repository_names_its_project() {
        let rows = [
            ("https://example.com/me/My_Shop.git", "my-shop"),
            ("git@example.com:shop.git", "shop"),
            ("file:///srv/repos/shop/", "shop"),
        ];
        for (url, name) in rows {
            assert_eq!(project_of_repository(url).unwrap().as_str(), name);
        }
        assert!(project_of_repository("https://example.com/___.git").is_err());
    }
}
