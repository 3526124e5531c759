//! Where an application's source comes from: a Git repository or an uploaded archive.
//!
//! **Invariant: what is fetched becomes a workspace whole or not at all.** It is made under another
//! name and renamed at the end; whatever fails or is cancelled leaves nothing behind, and nothing is
//! ever written outside of it. Nobody writes to a finished workspace.
//!
//! Beside the workspace lies [`TREE_FILE`] with the mode and content id of each file, so that a step's
//! key costs no hashing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use windlass_build::{Access, Builder, Login};
use windlass_model::deployment::{Fetched, Warning};
use windlass_model::settings::{self, Settings};
use windlass_model::{
    DeploymentId, Digest, EnvironmentName, Failure, Limits, ProjectName, Secret, Source,
};

use crate::failpoint;
use crate::steplog::StepLog;

pub mod address;
mod archive;
pub mod changes;
mod git;
pub mod image;
mod seen;
pub mod ssh;
pub mod uploads;
mod writer;
mod zipped;

pub(crate) use git::kept;

#[cfg(test)]
mod tests;

/// Name of the file beside a workspace that lists its tree.
pub const TREE_FILE: &str = "tree.json";
/// What the name of a folder ends with that is being removed.
const GONE: &str = "gone";

/// What a project has to show who is asking.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// HTTPS token, or `user:token` where the service wants a certain user name.
    pub git_token: Option<Secret<String>>,
    /// Private part of the project's SSH key.
    pub deploy_key: Option<Secret<String>>,
    /// Logins of registries.
    pub logins: Vec<Login>,
}

impl Credentials {
    /// What a project's images may be reached with.
    pub fn images(&self, project: &ProjectName) -> Access {
        let logins = Arc::new(self.logins.clone());
        Access { project: Some(project.clone()), logins, layout: None }
    }
}

/// What earlier deployments of the project saw of the same source. It decides nothing but which words a
/// failure is told in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Before {
    /// The address was fetched without a token.
    pub anonymous: bool,
    /// The same branch or tag was there.
    pub reference: bool,
}

/// What to fetch, and whereto.
#[derive(Clone, Copy)]
pub struct FetchRequest<'a> {
    /// Where the source comes from.
    pub source: &'a Source,
    /// What the project may show of itself.
    pub credentials: &'a Credentials,
    /// What earlier deployments saw.
    pub before: Before,
    /// The data directory.
    pub data_dir: &'a Path,
    /// The project: its fetches share a cache and run one after another.
    pub project: &'a ProjectName,
    /// Its environment, whose settings count.
    pub environment: &'a EnvironmentName,
    /// The deployment: the workspace is named after it.
    pub deployment: &'a DeploymentId,
    /// The limits in force.
    pub limits: &'a Limits,
    /// Who can look images up; tests of other sources have none.
    pub builder: Option<&'a Builder>,
}

impl<'a> FetchRequest<'a> {
    fn builder(&self) -> Result<&'a Builder, Failure> {
        self.builder.ok_or_else(|| host_failed("look up an image", &"nobody here knows how"))
    }

    fn remote(
        &self,
        url: &'a str,
        log: &'a StepLog,
        cancel: &'a CancellationToken,
    ) -> git::Remote<'a> {
        git::Remote {
            url,
            credentials: self.credentials,
            before: self.before,
            data_dir: self.data_dir,
            project: self.project,
            limits: self.limits,
            log: Some(log),
            cancel,
        }
    }
}

/// A finished workspace.
#[derive(Debug, Clone)]
pub struct FetchedWorkspace {
    /// The source tree, without `.git`. For reading only.
    pub dir: PathBuf,
    /// The file that lists the tree: a [`Tree`] as JSON.
    pub tree_file: PathBuf,
    /// What was fetched.
    pub fetched: Fetched,
    /// What was worth saying: submodules, LFS pointers, a token sent in clear text.
    pub warnings: Vec<Warning>,
}

/// Every file and symbolic link of a workspace, by path from its root.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Path to what lies there.
    pub entries: BTreeMap<String, TreeEntry>,
}

/// One file or symbolic link of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeEntry {
    /// As in Git: `100644`, `100755` or `120000`, in octal digits.
    pub mode: String,
    /// Id of the content: a Git object id, or `sha256:…` of an archive's file.
    pub oid: String,
}

impl Tree {
    /// Reads the list that was written beside a workspace.
    ///
    /// # Errors
    /// When there is none or it is damaged; fetching again makes a new one.
    pub fn read(file: &Path) -> std::io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(file)?)?)
    }

    /// A digest over paths, modes and contents; used where there is no Git tree id.
    pub fn digest(&self) -> Digest {
        Digest::of_json(&self.entries)
    }
}

/// The folder of a deployment's workspace and what lies beside it.
pub fn work_dir(data_dir: &Path, deployment: &DeploymentId) -> PathBuf {
    data_dir.join("work").join(deployment.as_str())
}

/// Where a deployment's source tree lies once it is fetched.
pub fn workspace_dir(data_dir: &Path, deployment: &DeploymentId) -> PathBuf {
    work_dir(data_dir, deployment).join("source")
}

/// Fetches the source into the deployment's workspace. Can be repeated: an earlier one is replaced.
///
/// # Errors
/// `source.repository-not-found`, `source.reference-not-found`, `source.token-rejected`,
/// `source.authentication-required`, `source.unreachable`, `source.timed-out`, `source.too-large`,
/// `source.archive-invalid`, `source.archive-unsafe-entry`, `source.upload-missing`,
/// `source.cancelled`, `source.git-missing`, `source.fetch-failed` or `source.host-failed`.
pub async fn fetch(
    request: FetchRequest<'_>,
    log: &StepLog,
    cancel: &CancellationToken,
) -> Result<FetchedWorkspace, Failure> {
    let place = Place::prepare(&request).await?;
    let got = match request.source {
        Source::Git { url, reference } => {
            let remote = request.remote(url, log, cancel);
            git::fetch(remote, reference.as_deref(), request.environment, &place).await
        }
        Source::Archive { digest, name } | Source::Static { digest, name, .. } => {
            log.say(format!("unpacking {name} ({})", digest.short()));
            archive::fetch(&request, digest, &place, cancel).await
        }
        Source::Image { reference } => {
            log.say(format!("looking up the image {reference}"));
            let access = request.credentials.images(request.project);
            image::look_up(request.builder()?, access, reference, cancel).await
        }
        Source::ImageArchive { digest, name } => {
            log.say(format!("unpacking the image {name} ({})", digest.short()));
            image::unpack(&request, digest, &place, cancel).await
        }
    };
    // In the middle: what came lies there, and is not in its place yet.
    failpoint::reached("during:fetch");
    let finished = match got {
        Ok(got) => place.finish(got).await,
        Err(failure) => Err(failure),
    };
    if finished.is_err() {
        place.discard().await;
    }
    let workspace = finished?;
    let fetched = &workspace.fetched;
    match &fetched.image {
        Some(image) => log.say(format!("it is {}", image.reference)),
        None => log.say(format!("{} files, {} bytes", fetched.files, fetched.bytes)),
    }
    for warning in &workspace.warnings {
        log.say(format!("warning: {}", warning.message));
    }
    Ok(workspace)
}

/// Removes a deployment's workspace and what lies beside it.
///
/// # Errors
/// When something of it cannot be removed.
pub fn remove(data_dir: &Path, deployment: &DeploymentId) -> std::io::Result<()> {
    remove_tree(&work_dir(data_dir, deployment))
}

/// Lets go of a deployment's workspace: nothing has its name afterwards. A large checkout goes back to its
/// repository; the rest is only moved aside, and answered for [`remove_tree`]. None is no error.
///
/// # Errors
/// When it cannot be moved; then it lies where it was.
pub fn release(data_dir: &Path, deployment: &DeploymentId) -> std::io::Result<Option<PathBuf>> {
    let (dir, aside) = (work_dir(data_dir, deployment), gone_dir(data_dir));
    if let Err(error) = kept::give_back(data_dir, &dir) {
        tracing::debug!(%error, "the checkout is not kept");
    }
    match std::fs::rename(&dir, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// What was moved aside and not removed yet, for [`remove_tree`]. At a host's start it is what an earlier one
/// left, and nobody else touches it.
pub fn gone(data_dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data_dir.join("work")).into_iter().flatten().flatten();
    let is_gone = |path: &PathBuf| path.extension().is_some_and(|x| x == GONE);
    entries.map(|entry| entry.path()).filter(is_gone).collect()
}

/// A name that nothing has yet, for what is being removed.
fn gone_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("work").join(format!("{}.{GONE}", ulid::Ulid::new()))
}

/// Reads the workspace's `windlass.toml` for an environment; defaults when there is none.
///
/// # Errors
/// Those of [`Settings::parse`], `settings.unreadable` when it is no readable file of text.
pub fn read_settings(workspace: &Path, environment: &EnvironmentName) -> Result<Settings, Failure> {
    const BYTES_MAX: u64 = 256 * 1024;
    let unreadable = |why: String| {
        Failure::app(
            "settings.unreadable",
            format!("{} cannot be read", settings::FILE),
            why,
            format!("make {} a plain text file in the repository's root", settings::FILE),
        )
    };
    let path = workspace.join(settings::FILE);
    let meta = match std::fs::symlink_metadata(&path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Settings::default()),
        Err(e) => return Err(unreadable(e.to_string())),
    };
    if !meta.is_file() {
        return Err(unreadable("it is a folder or a symbolic link".to_owned()));
    }
    if meta.len() > BYTES_MAX {
        return Err(unreadable(format!("it is longer than {BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(&path).map_err(|e| unreadable(e.to_string()))?;
    Settings::parse(&text, environment)
}

/// What a fetch yields before it is moved into its place.
struct Got {
    tree: Tree,
    fetched: Fetched,
    warnings: Vec<Warning>,
}

/// The folder that a workspace is made in.
struct Place {
    dir: PathBuf,
}

impl Place {
    async fn prepare(request: &FetchRequest<'_>) -> Result<Self, Failure> {
        let place = Self { dir: work_dir(request.data_dir, request.deployment) };
        let (dir, partial) = (place.dir.clone(), place.partial());
        let all = request.data_dir.join("work");
        blocking("prepare the workspace", move || {
            remove_tree(&dir)?;
            std::fs::create_dir_all(&all)?;
            if let Err(error) = windlass_containers::spread_children(&all) {
                tracing::debug!(%error, "workspaces lie beside each other on the disk");
            }
            std::fs::create_dir_all(partial)
        })
        .await?;
        Ok(place)
    }

    /// Where the tree grows.
    fn partial(&self) -> PathBuf {
        self.dir.join("source.partial")
    }

    /// A file for this fetch alone.
    fn scratch(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Throws away what of the tree is written, for another attempt.
    async fn empty(&self) -> Result<(), Failure> {
        let (root, index) = (self.partial(), self.scratch(kept::INDEX));
        blocking("empty the workspace", move || {
            remove_tree(&root)?;
            match std::fs::remove_file(index) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
                _ => std::fs::create_dir(root),
            }
        })
        .await
    }

    async fn finish(&self, got: Got) -> Result<FetchedWorkspace, Failure> {
        let (dir, tree_file) = (self.dir.join("source"), self.dir.join(TREE_FILE));
        let (from, to, list) = (self.partial(), dir.clone(), tree_file.clone());
        blocking("finish the workspace", move || {
            std::fs::write(list, serde_json::to_vec(&got.tree)?)?;
            std::fs::rename(from, to)
        })
        .await?;
        Ok(FetchedWorkspace { dir, tree_file, fetched: got.fetched, warnings: got.warnings })
    }

    async fn discard(&self) {
        let dir = self.dir.clone();
        if let Err(failure) = blocking("discard the workspace", move || remove_tree(&dir)).await {
            tracing::warn!(%failure, "an unfinished workspace is left");
        }
    }
}

/// Removes a folder with everything in it; none is no error.
///
/// # Errors
/// When something of it cannot be removed.
pub fn remove_tree(dir: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Runs file work off the runtime's threads.
async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(std::io::Error::other).flatten().map_err(|e| host_failed(doing, &e))
}

fn host_failed(doing: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::host(
        "source.host-failed",
        format!("could not {doing}"),
        error.to_string(),
        "check the space and the permissions of the data directory, then redeploy",
    )
}

fn cancelled() -> Failure {
    Failure::app(
        "source.cancelled",
        "the fetch was stopped",
        "the deployment was cancelled, or its time was up",
        "redeploy when you want it",
    )
}

fn too_large(what: impl Into<String>, limit: &str) -> Failure {
    Failure::app(
        "source.too-large",
        "the source is too large",
        what,
        format!("remove what the application does not need, or raise `{limit}`"),
    )
}
