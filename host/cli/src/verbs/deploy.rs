//! `windlass deploy`: a Git repository, or this folder, goes live.

use std::fs::File;
use std::path::{Path, PathBuf};

use ureq::http::Method;
use windlass_model::api::{CreateDeployment, DeploymentView};
use windlass_model::settings::{self, Settings};
use windlass_model::source::UploadKind;
use windlass_model::{EnvironmentName, ProjectName};

use super::wait::{Once, Wait};
use super::{environment_path, unreadable, unreadable_file};
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
  windlass deploy https://github.com/me/private.git --git-token-env GITHUB_TOKEN
  windlass deploy source.tar.gz --project shop     # or .zip, .tar, .tar.zst
  windlass deploy --static dist --spa              # finished files, served as they are
  windlass deploy --image ghcr.io/me/shop:2.1      # `windlass registry login` for private ones
  windlass deploy --image-archive shop.tar         # from `docker save`, or an OCI layout")]
pub struct Deploy {
    /// A Git address, a folder, or an archive of the source (zip, tar, tar.gz, tar.zst).
    #[arg(value_name = "GIT_URL|PATH", default_value = ".")]
    source: String,
    /// Branch, tag or commit [default: the repository's default branch].
    #[arg(long = "ref", value_name = "REF", group = "which")]
    reference: Option<String>,
    /// A branch.
    #[arg(long, value_name = "NAME", group = "which")]
    branch: Option<String>,
    /// A tag, even where a branch has the same name.
    #[arg(long, value_name = "NAME", group = "which")]
    tag: Option<String>,
    /// A commit, by its id or an unambiguous beginning of it; it may be an old one.
    #[arg(long, value_name = "ID", group = "which")]
    commit: Option<String>,
    /// Serve these finished files as they are: a folder, or an archive of one.
    #[arg(long = "static", value_name = "PATH", group = "kind", conflicts_with_all = ["source", "which"])]
    files: Option<PathBuf>,
    /// With --static: answer unknown paths with index.html, as single-page applications need it.
    #[arg(long, requires = "files")]
    spa: bool,
    /// Run this image of a registry as it is.
    #[arg(long, value_name = "IMAGE", group = "kind", conflicts_with_all = ["source", "which"])]
    image: Option<String>,
    /// Run the image in this file as it is: from `docker save`, or an OCI layout as a tar.
    #[arg(long, value_name = "FILE", group = "kind", conflicts_with_all = ["source", "which"])]
    image_archive: Option<PathBuf>,
    /// Take the HTTPS token for a private repository from this environment variable; it is stored,
    /// encrypted, for the project.
    #[arg(long, value_name = "VAR", conflicts_with = "git_token_stdin")]
    git_token_env: Option<String>,
    /// Take the HTTPS token for a private repository from standard input.
    #[arg(long)]
    git_token_stdin: bool,
    /// Carry out every step of the build although its result is there; the new results take the
    /// place of the old ones.
    #[arg(long)]
    no_cache: bool,
    #[command(flatten)]
    once: Once,
    #[command(flatten)]
    wait: Wait,
}

impl Deploy {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        if session.common.project.is_none() {
            session.common.project = Some(self.project()?);
        }
        let client = self.once.client(session)?;
        let accepted = if let Some(image) = &self.image {
            let body = CreateDeployment { image: Some(image.clone()), ..self.body() };
            send(session, &client, &body)?
        } else if let Some(path) = &self.files {
            self.send_path(session, &client, path, UploadKind::Static)?
        } else if let Some(path) = &self.image_archive {
            let mut query = vec![("kind", UploadKind::ImageArchive.as_str())];
            self.add_no_cache(&mut query);
            send_file(session, &client, path, &query)?
        } else if is_git_address(&self.source) {
            self.send_address(session, &client)?
        } else {
            self.refuse_git_options()?;
            self.send_path(session, &client, Path::new(&self.source), UploadKind::Source)?
        };
        self.wait.finish(session, client, accepted)
    }

    /// What is the same of every kind.
    fn body(&self) -> CreateDeployment {
        CreateDeployment { no_cache: self.no_cache, ..CreateDeployment::default() }
    }

    fn add_no_cache(&self, query: &mut Vec<(&str, &str)>) {
        if self.no_cache {
            query.push(("no_cache", "true"));
        }
    }

    /// The project that is meant where nobody says it.
    fn project(&self) -> CliResult<ProjectName> {
        if let Some(image) = &self.image {
            let name = image.split('@').next().unwrap_or(image);
            let last = name.rsplit('/').next().unwrap_or(name);
            return project_of_repository(last.split(':').next().unwrap_or(last));
        }
        let path = match self.files.as_ref().or(self.image_archive.as_ref()) {
            Some(path) => path,
            None if is_git_address(&self.source) => return project_of_repository(&self.source),
            None => Path::new(&self.source),
        };
        if path.is_file() { project_of_file(path) } else { project_of_folder(path) }
    }

    /// What the host is asked for: tags by their full name, since a branch of the same name wins.
    fn wanted(&self) -> CliResult<Option<String>> {
        if let Some(commit) = &self.commit {
            let is_id =
                (4..=64).contains(&commit.len()) && commit.bytes().all(|b| b.is_ascii_hexdigit());
            if !is_id {
                return Err(CliError::new(
                    Exit::Usage,
                    "cli.usage",
                    format!("{commit:?} is no commit id"),
                    "an id has 4 to 64 hexadecimal digits",
                    "give the id as `git log` shows it, or use --branch or --tag for a name",
                ));
            }
        }
        let tag = self.tag.as_ref().map(|tag| format!("refs/tags/{tag}"));
        let named = self.reference.as_ref().or(self.branch.as_ref()).or(self.commit.as_ref());
        Ok(tag.or_else(|| named.cloned()))
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
            reference: self.wanted()?,
            git_token: git_token.map(|token| token.trim().to_owned()),
            ..self.body()
        };
        send(session, client, &body)
    }

    fn refuse_git_options(&self) -> CliResult<()> {
        let is_named = self.wanted()?.is_some();
        if !is_named && self.git_token_env.is_none() && !self.git_token_stdin {
            return Ok(());
        }
        let options = "--ref, --branch, --tag, --commit and the Git token are";
        Err(only_for_git(options, &self.source, "deployed"))
    }

    /// A folder is packed first; a file is an archive already, and the host looks what is in it.
    fn send_path(
        &self,
        session: &mut Session<'_, '_>,
        client: &Client,
        path: &Path,
        kind: UploadKind,
    ) -> CliResult<DeploymentView> {
        // An application's source is what the host expects when nothing is said.
        let mut query = Vec::new();
        if kind != UploadKind::Source {
            query.push(("kind", kind.as_str()));
        }
        if self.spa {
            query.push(("spa", "true"));
        }
        self.add_no_cache(&mut query);
        if path.is_file() {
            return send_file(session, client, path, &query);
        }
        if kind == UploadKind::Source {
            check_settings(path, &session.environment())?;
        }
        let archive = match kind {
            UploadKind::Static => archive::pack_all(path)?,
            UploadKind::Source | UploadKind::ImageArchive => archive::pack(path)?,
        };
        say_packed(session, &archive);
        upload(session, client, path, "application/gzip", &archive.file, &query)
    }
}

/// Asks for a deployment of something that the host fetches itself.
fn send(
    session: &Session<'_, '_>,
    client: &Client,
    body: &CreateDeployment,
) -> CliResult<DeploymentView> {
    let path = environment_path(session, &["deployments"])?;
    client.send(Method::POST, &with_query(&path, &[("create", "true")]), body)
}

fn send_file(
    session: &mut Session<'_, '_>,
    client: &Client,
    path: &Path,
    query: &[(&str, &str)],
) -> CliResult<DeploymentView> {
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let file = match opened {
        Ok((meta, file)) if meta.is_file() => file,
        Ok(_) => return Err(unreadable_file(path, &std::io::Error::other("it is no file"))),
        Err(error) => return Err(unreadable_file(path, &error)),
    };
    say_file(session, path);
    upload(session, client, path, "application/octet-stream", &file, query)
}

/// Says what of a folder is sent, and what is left out.
pub(super) fn say_packed(session: &mut Session<'_, '_>, packed: &archive::Archive) {
    for path in &packed.left_out {
        session.console.note(&format!("left out, not a file: {}", path.display()));
    }
    if !session.json() {
        session.console.note(&format!(
            "sending {} ({}) to {}",
            render::count(packed.files, "file"),
            render::bytes(packed.bytes),
            session.common.url,
        ));
    }
}

/// Says which file is sent.
pub(super) fn say_file(session: &mut Session<'_, '_>, path: &Path) {
    if !session.json() {
        let to = &session.common.url;
        session.console.note(&format!("sending {} to {to}", path.display()));
    }
}

fn upload(
    session: &Session<'_, '_>,
    client: &Client,
    shown: &Path,
    content_type: &str,
    file: &File,
    query: &[(&str, &str)],
) -> CliResult<DeploymentView> {
    let absolute = shown.canonicalize().unwrap_or_else(|_| shown.to_owned());
    let name = absolute.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut all = vec![("create", "true"), ("name", name.as_str())];
    all.extend(query);
    let path = environment_path(session, &["deployments", "archive"])?;
    client.upload(&with_query(&path, &all), content_type, file)
}

/// The refusal of options that a path has no use for: of them and what they are, as in `--ref is`, and what is done
/// with the path.
pub(super) fn only_for_git(options: &str, source: &str, done: &str) -> Box<CliError> {
    CliError::new(
        Exit::Usage,
        "cli.usage",
        format!("{options} for Git addresses"),
        format!("{source:?} is taken as a path, and what lies there is {done} as it is"),
        "give the repository's address, or leave these options out",
    )
}

/// What the host would refuse is refused before anything is sent.
pub(super) fn check_settings(folder: &Path, environment: &EnvironmentName) -> CliResult<()> {
    let Ok(text) = std::fs::read_to_string(folder.join(settings::FILE)) else {
        return Ok(());
    };
    Settings::parse(&text, environment).map(drop).map_err(CliError::of_role)
}

/// `scheme://…`, or `user@host:path` as ssh has it.
pub(super) fn is_git_address(source: &str) -> bool {
    let scp = source
        .split_once(':')
        .is_some_and(|(host, path)| host.contains('@') && !host.contains('/') && !path.is_empty());
    source.contains("://") || scp
}

/// The project that an archive's name suggests: `shop-site.tar.gz` is `shop-site`.
pub(super) fn project_of_file(path: &Path) -> CliResult<ProjectName> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let endings = [".tar.gz", ".tar.zst", ".tar", ".tgz", ".zip", ".gz", ".zst"];
    let stem = endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    project_of_repository(stem)
}

pub(super) fn project_of_repository(url: &str) -> CliResult<ProjectName> {
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
