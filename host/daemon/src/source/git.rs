//! Fetching from Git, with the real `git`.
//!
//! Exactly one commit is fetched where the server allows it. A bare repository per project and address
//! is kept as a cache; it may be deleted at any time, and is, when Git finds it damaged. Beside it lies the last
//! checkout of a large tree.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;
use windlass_model::deployment::{Fetched, Warning};
use windlass_model::{Digest, EnvironmentName, Failure, Limits, ProjectName};

use super::ssh::Identity;
use super::{Before, Credentials, Got, Place, Tree, address, blocking, cancelled, remove_tree};
use crate::steplog::StepLog;

mod export;
mod failures;
pub(crate) mod kept;
mod run;
mod submodules;

use failures::Asked;
use run::{Git, GitFailed};

/// Where the repositories of all projects lie, from the data directory.
const CACHE: &str = "cache/git";
/// Keeps the commit that was fetched last: Git tells the server of it, and is sent what is new since.
const KEPT: &str = "refs/windlass/last";
/// Packs in the cache after which it is made anew: each fetch adds one, and old ones hold commits that
/// nothing points at any more.
const CACHE_PACKS_MAX: usize = 40;

/// A repository: its address, what may be shown to it, and where its cache lies.
#[derive(Clone, Copy)]
pub(super) struct Remote<'a> {
    pub(super) url: &'a str,
    pub(super) credentials: &'a Credentials,
    pub(super) before: Before,
    pub(super) data_dir: &'a Path,
    pub(super) project: &'a ProjectName,
    pub(super) limits: &'a Limits,
    /// Where Git's words go; nowhere when absent.
    pub(super) log: Option<&'a StepLog>,
    pub(super) cancel: &'a CancellationToken,
}

/// A repository's cache, in this call's hands alone.
pub(super) struct Opened<'a> {
    pub(super) git: Git<'a>,
    remote: Remote<'a>,
    _identity: Identity,
    _turn: OwnedMutexGuard<()>,
}

impl<'a> Remote<'a> {
    /// Checks the address and waits for the turn at the cache.
    pub(super) async fn open(self) -> Result<Opened<'a>, Failure> {
        address::check_url(self.url)?;
        if self.credentials.git_token.is_some() {
            address::refuse_clear_token(self.url)?;
        }
        let cache = self.cache_dir();
        let turn = tokio::select! {
            turn = turn_of(&cache).lock_owned() => turn,
            () = self.cancel.cancelled() => return Err(cancelled()),
        };
        let config = write_config(self.data_dir).await?;
        let key = self.credentials.deploy_key.as_ref();
        let identity = Identity::open(self.data_dir, self.project, key).await?;
        let git = Git::new(&cache, &config, identity.command(), &self);
        open_cache(&git).await?;
        Ok(Opened { git, remote: self, _identity: identity, _turn: turn })
    }

    /// `<data>/cache/git/<project>/<address>.git`
    fn cache_dir(&self) -> PathBuf {
        let name = format!("{}.git", Digest::of(self.url.as_bytes()).short());
        self.data_dir.join(CACHE).join(self.project.as_str()).join(name)
    }

    pub(super) fn say(&self, line: impl Into<String>) {
        if let Some(log) = self.log {
            log.say(line);
        }
    }
}

impl Opened<'_> {
    /// Brings a branch, tag or commit into the cache and answers the commit's full id.
    pub(super) async fn commit(&self, reference: Option<&str>) -> Result<String, Failure> {
        if let Some(reference) = reference {
            address::check_reference(reference)?;
        }
        let asked = Asked::of(&self.remote, reference, self.git.sends_token());
        match fetch_commit(&self.git, &asked).await {
            Err(Trouble::Damaged(_)) => self.commit_anew(reference).await,
            other => other.map_err(Trouble::into_failure),
        }
    }

    /// The same into a new cache.
    async fn commit_anew(&self, reference: Option<&str>) -> Result<String, Failure> {
        self.remote.say("the cached repository is damaged: making it anew");
        remove_cache(self.git.dir()).await?;
        open_cache(&self.git).await?;
        let asked = Asked::of(&self.remote, reference, self.git.sends_token());
        fetch_commit(&self.git, &asked).await.map_err(Trouble::into_failure)
    }

    /// Brings a commit into the cache, unless it is there.
    pub(super) async fn known_commit(&self, id: &str) -> Result<String, Failure> {
        match cached(&self.git, id).await {
            Ok(commit) if is_full_id(id) => Ok(commit),
            _ => self.commit(Some(id)).await,
        }
    }
}

/// Fetches a reference and writes its tree into the place.
pub(super) async fn fetch(
    remote: Remote<'_>,
    reference: Option<&str>,
    environment: &EnvironmentName,
    place: &Place,
) -> Result<Got, Failure> {
    remote.say(format!(
        "fetching {} from {}",
        reference.unwrap_or("the default branch"),
        remote.url
    ));
    let opened = remote.open().await?;
    let mut commit = opened.commit(reference).await?;
    let mut warnings = transport_warnings(remote.url, remote.credentials.git_token.is_some());
    let mut got = match export::export(&opened, &commit, place).await {
        // Git has no word for a cache of which something is gone that a commit names.
        Err(failure) if failure.code == failures::FETCH_FAILED => {
            commit = opened.commit_anew(reference).await?;
            // Some files may have been written, and it may be another commit now.
            place.empty().await?;
            export::export(&opened, &commit, place).await?
        }
        exported => exported?,
    };
    remote.say(format!("commit {} {}", &commit[..12.min(commit.len())], got.subject));
    let anonymous = !opened.git.sends_token();
    submodules::fetch(remote, opened, &commit, place, &mut got).await?;
    if !got.pointers.is_empty() {
        let workspace = place.partial();
        if lfs_wanted(&workspace, environment) {
            return Err(failures::lfs_missing(&got.pointers));
        }
        warnings.push(failures::lfs_kept(&got.pointers));
    }
    let fetched = Fetched {
        tree: Digest::of(format!("git-tree:{}", got.tree_oid).as_bytes()),
        commit: Some(commit),
        subject: Some(got.subject),
        author: Some(got.author),
        files: got.files,
        bytes: got.bytes,
        anonymous,
        image: None,
    };
    Ok(Got { tree: Tree { entries: got.entries }, fetched, warnings })
}

/// Whether Git LFS pointers are to be more than pointers: `build.lfs` of the tree's own settings.
/// Settings that cannot be read are refused a step later.
fn lfs_wanted(workspace: &Path, environment: &EnvironmentName) -> bool {
    let settings = super::read_settings(workspace, environment);
    settings.ok().and_then(|settings| settings.build.lfs) != Some(false)
}

/// A failure, or a sign that the cache is to blame.
enum Trouble {
    Failure(Failure),
    Damaged(Failure),
}

impl Trouble {
    fn into_failure(self) -> Failure {
        match self {
            Self::Failure(failure) | Self::Damaged(failure) => failure,
        }
    }
}

/// Brings the asked commit into the cache and answers its full id.
async fn fetch_commit(git: &Git<'_>, asked: &Asked<'_>) -> Result<String, Trouble> {
    let failed = |e: GitFailed| {
        if e.is_damage() {
            Trouble::Damaged(failures::classify(e, asked))
        } else {
            Trouble::Failure(failures::classify(e, asked))
        }
    };
    let reference = asked.reference.unwrap_or("HEAD");
    if is_full_id(reference) {
        match fetch_one(git, asked.url, reference).await {
            Ok(commit) => return Ok(commit),
            Err(e) if e.refused_by_id() => return from_everything(git, asked, reference).await,
            Err(e) => return Err(failed(e)),
        }
    }
    let (branch, tag) = (format!("refs/heads/{reference}"), format!("refs/tags/{reference}"));
    let listed = git.run(&["ls-remote", "--", asked.url, &branch, &tag, reference]).await;
    let listed = listed.map_err(failed)?;
    let named: Vec<(&str, &str)> =
        listed.lines().filter_map(|line| line.split_once('\t')).collect();
    let wanted = [reference, branch.as_str(), tag.as_str()];
    let found = |wanted: &str| named.iter().find(|(_, name)| *name == wanted);
    if let Some((id, name)) = wanted.into_iter().find_map(found) {
        if let Ok(commit) = cached(git, id).await {
            return Ok(commit);
        }
        return fetch_one(git, asked.url, name).await.map_err(failed);
    }
    if is_abbreviated_id(reference) {
        return from_everything(git, asked, reference).await;
    }
    Err(Trouble::Failure(failures::reference_not_found(asked, &known_names(git, asked.url).await)))
}

/// Fetches what has this name or id, without what came before it; it is kept under [`KEPT`].
async fn fetch_one(git: &Git<'_>, url: &str, name: &str) -> Result<String, GitFailed> {
    let kept = format!("+{name}:{KEPT}");
    git.run(&["fetch", "--depth=1", "--no-tags", "--", url, &kept]).await?;
    resolve(git, "FETCH_HEAD").await
}

/// Fetches every branch and tag, for a commit that the server does not hand out by its id.
async fn from_everything(git: &Git<'_>, asked: &Asked<'_>, id: &str) -> Result<String, Trouble> {
    let mut args = vec!["fetch", "--no-tags", "--prune", "--force"];
    if git.dir().join("shallow").exists() {
        args.push("--unshallow");
    }
    let specs = ["+refs/heads/*:refs/windlass/heads/*", "+refs/tags/*:refs/windlass/tags/*"];
    args.extend(["--", asked.url, specs[0], specs[1]]);
    let fetched = git.run(&args).await;
    fetched.map_err(|e| Trouble::Failure(failures::classify(e, asked)))?;
    match resolve(git, id).await {
        Ok(commit) => Ok(commit),
        Err(GitFailed::Exited { stderr, .. }) if stderr.contains("ambiguous") => {
            Err(Trouble::Failure(failures::reference_ambiguous(asked)))
        }
        Err(GitFailed::Exited { .. }) => {
            let names = known_names(git, asked.url).await;
            Err(Trouble::Failure(failures::reference_not_found(asked, &names)))
        }
        Err(other) => Err(Trouble::Failure(failures::classify(other, asked))),
    }
}

/// The commit of an object that lies in the cache. Git keeps a pack only if all that its commit needs is there.
async fn cached(git: &Git<'_>, id: &str) -> Result<String, GitFailed> {
    let commit = format!("{id}^{{commit}}");
    let args = ["rev-parse", "--verify", "--quiet", "--end-of-options", &commit];
    Ok(String::from_utf8_lossy(&git.quiet(&args).await?).trim().to_owned())
}

async fn resolve(git: &Git<'_>, name: &str) -> Result<String, GitFailed> {
    let commit = format!("{name}^{{commit}}");
    let out = git.run(&["rev-parse", "--verify", "--end-of-options", &commit]).await?;
    Ok(out.trim().to_owned())
}

/// Some branches and tags, to be named when the asked one is missing.
async fn known_names(git: &Git<'_>, url: &str) -> Vec<String> {
    let listed = git.run(&["ls-remote", "--heads", "--tags", "--refs", "--", url]).await;
    let short = |line: &str| {
        let name = line.split_once('\t')?.1;
        let short = name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/"));
        short.map(str::to_owned)
    };
    listed.unwrap_or_default().lines().filter_map(short).collect()
}

/// Makes the cache if there is none, and clears what a killed Git left in it.
async fn open_cache(git: &Git<'_>) -> Result<(), Failure> {
    let dir = git.dir().to_owned();
    let usable = blocking("open the cached repository", move || {
        if packs(&dir) > CACHE_PACKS_MAX {
            remove_tree(&dir)?;
        }
        let names = ["shallow", "index", "config", "packed-refs", "HEAD", KEPT];
        for name in names {
            let _ = std::fs::remove_file(dir.join(format!("{name}.lock")));
        }
        std::fs::create_dir_all(&dir)?;
        Ok(dir.join("HEAD").exists() && dir.join("objects").is_dir())
    })
    .await?;
    if usable {
        return Ok(());
    }
    let made = git.run(&["init", "--quiet", "--bare", "--template="]).await;
    made.map(drop).map_err(|e| failures::classify(e, &Asked::nothing()))
}

fn packs(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("objects/pack"))
        .map(|entries| {
            let is_pack = |e: &std::fs::DirEntry| e.path().extension().is_some_and(|x| x == "pack");
            entries.flatten().filter(is_pack).count()
        })
        .unwrap_or_default()
}

async fn remove_cache(dir: &Path) -> Result<(), Failure> {
    let dir = dir.to_owned();
    blocking("remove the cached repository", move || remove_tree(&dir)).await
}

/// The one configuration file that Git reads. Repositories reached by `file://` often belong to
/// another user, and the settings of the process are not handed to the other end.
async fn write_config(data_dir: &Path) -> Result<PathBuf, Failure> {
    let dir = data_dir.join(CACHE);
    blocking("write Git's configuration", move || {
        let path = dir.join("config");
        std::fs::create_dir_all(&dir)?;
        let text = "[safe]\n\tdirectory = *\n";
        if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(path);
        }
        let partial = dir.join(format!("config.{}", windlass_model::DeploymentId::generate()));
        std::fs::write(&partial, text)?;
        std::fs::rename(partial, &path)?;
        Ok(path)
    })
    .await
}

fn transport_warnings(url: &str, has_token: bool) -> Vec<Warning> {
    if !has_token || url.starts_with("https://") {
        return Vec::new();
    }
    if url.starts_with("http://") {
        return Vec::new();
    }
    let message = "the project's Git token was not used: it is for https:// addresses only";
    vec![Warning { code: "source.token-transport".to_owned(), message: message.to_owned() }]
}

type Turn = Arc<tokio::sync::Mutex<()>>;

/// One fetch at a time per cache. The data directory has one owner, so a lock in memory is enough.
fn turn_of(cache: &Path) -> Turn {
    static TURNS: LazyLock<Mutex<HashMap<PathBuf, Turn>>> = LazyLock::new(Mutex::default);
    let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    turns.retain(|_, turn| Arc::strong_count(turn) > 1);
    turns.entry(cache.to_owned()).or_default().clone()
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_full_id(reference: &str) -> bool {
    matches!(reference.len(), 40 | 64) && is_hex(reference)
}

fn is_abbreviated_id(reference: &str) -> bool {
    (4..64).contains(&reference.len()) && is_hex(reference)
}
