//! What Git complains of, as failures that a person can act on.

use windlass_model::deployment::Warning;
use windlass_model::{Failure, LogLine, Stream};

use super::Remote;
use super::run::GitFailed;
use crate::source::{Before, address, cancelled, host_failed, too_large};

/// What was asked of the other end, for the text of a failure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) url: &'a str,
    pub(super) reference: Option<&'a str>,
    pub(super) with_token: bool,
    pub(super) with_key: bool,
    pub(super) before: Before,
}

impl<'a> Asked<'a> {
    pub(super) fn of(remote: &Remote<'a>, reference: Option<&'a str>, with_token: bool) -> Self {
        let with_key = remote.credentials.deploy_key.is_some();
        Self { url: remote.url, reference, with_token, with_key, before: remote.before }
    }

    /// For calls that ask nobody.
    pub(super) fn nothing() -> Self {
        Self {
            url: "",
            reference: None,
            with_token: false,
            with_key: false,
            before: Before::default(),
        }
    }
}

/// Git says something that is not in the lists below.
pub(super) const FETCH_FAILED: &str = "source.fetch-failed";

const NOT_FOUND: &[&str] = &[
    "Repository not found",
    "repository not found",
    "does not appear to be a git repository",
    "returned error: 404",
    "' not found",
    "does not exist",
    "no such repository",
    "access denied or repository not exported",
];
const UNAUTHORISED: &[&str] = &[
    "could not read Username",
    "could not read Password",
    "Authentication failed",
    "returned error: 401",
    "returned error: 403",
    "Permission denied (publickey",
    "Invalid username or",
    "Invalid credentials",
];
const HOST_KEY_CHANGED: &[&str] = &[
    "REMOTE HOST IDENTIFICATION HAS CHANGED",
    "Host key for",
    "has changed and you have requested",
];
const TIMED_OUT: &[&str] = &["timed out", "Timeout", "Operation too slow", "timeout"];
const UNREACHABLE: &[&str] = &[
    "Could not resolve host",
    "Failed to connect",
    "Couldn't connect",
    "Connection refused",
    "unable to connect",
    "Connection reset",
    "No route to host",
    "Network is unreachable",
    "SSL certificate problem",
    "server certificate verification failed",
    "Empty reply from server",
    "Host key verification failed",
    "Could not resolve hostname",
    "Could not resolve proxy",
    "returned error: 5",
];

/// Turns a failed call into what it means.
pub(super) fn classify(failed: GitFailed, asked: &Asked<'_>) -> Failure {
    match failed {
        GitFailed::Cancelled => cancelled(),
        GitFailed::TooLarge(bytes) => {
            too_large(format!("fetching it took more than {bytes} bytes"), "source_bytes_max")
        }
        GitFailed::NotStarted(e) if e.kind() == std::io::ErrorKind::NotFound => git_missing(),
        GitFailed::NotStarted(e) | GitFailed::Io(e) => host_failed("run git", &e),
        GitFailed::Exited { stderr } => from_text(&stderr, asked).with_log(lines(&stderr)),
    }
}

fn from_text(stderr: &str, asked: &Asked<'_>) -> Failure {
    let says = |signs: &[&str]| signs.iter().any(|sign| stderr.contains(sign));
    if says(HOST_KEY_CHANGED) {
        return host_key_changed(asked);
    }
    if says(UNAUTHORISED) && asked.with_key && !asked.url.starts_with("http") {
        return key_rejected(asked);
    }
    if says(UNAUTHORISED) {
        return match (asked.with_token, asked.before.anonymous) {
            (true, _) => token_rejected(asked),
            (false, true) if asked.url.starts_with("http") => repository_private(asked),
            (false, _) => authentication_required(asked),
        };
    }
    if says(TIMED_OUT) {
        return timed_out(asked, cause(stderr));
    }
    if says(UNREACHABLE) {
        return unreachable(asked, cause(stderr));
    }
    if stderr.contains("couldn't find remote ref") {
        return reference_not_found(asked, &[]);
    }
    if says(NOT_FOUND) {
        return repository_not_found(asked);
    }
    Failure::host(
        FETCH_FAILED,
        format!("git could not fetch {}", asked.url),
        cause(stderr),
        "read what Git says in the log; `git ls-remote` with the same address on this machine shows the same",
    )
}

fn repository_not_found(asked: &Asked<'_>) -> Failure {
    let fix = if asked.with_token {
        "check the address for a typing error, and that the token may read this repository: hosting \
         services answer \"not found\" for a private repository that a token cannot see"
    } else {
        "check the address for a typing error; if the repository is private, set a token with \
         --git-token-env: hosting services answer \"not found\" for private repositories"
    };
    Failure::app(
        "source.repository-not-found",
        format!("there is no repository at {}", asked.url),
        "the other end says that it does not exist, or that it is no Git repository",
        fix,
    )
}

fn token_rejected(asked: &Asked<'_>) -> Failure {
    Failure::app(
        "source.token-rejected",
        format!("the Git token was rejected by {}", asked.url),
        "the token is wrong, has expired, or may not read this repository (some services answer so, \
         too, when the repository does not exist)",
        "make a token that may read the repository's contents and set it with --git-token-env; some \
         services want a certain user name: give `user:token` then",
    )
}

fn authentication_required(asked: &Asked<'_>) -> Failure {
    let (why, fix) = if asked.url.starts_with("http") {
        (
            "the other end asks for credentials, and no Git token is set for this project; hosting \
             services also answer so when the repository does not exist",
            "check the address, or set a token that may read the repository with --git-token-env",
        )
    } else {
        (
            "the other end accepted none of this machine's SSH keys",
            "use the https:// address with --git-token-env, or give this machine's user a key that may \
             read the repository",
        )
    };
    let what = format!("{} wants to know who is asking", asked.url);
    Failure::app("source.authentication-required", what, why, fix)
}

fn repository_private(asked: &Asked<'_>) -> Failure {
    Failure::app(
        "source.repository-private",
        format!("{} is not public any more", asked.url),
        "an earlier deployment fetched it without a token; now the other end asks for credentials \
         (or the repository is gone: hosting services answer the same)",
        "make a token that may read the repository's contents and store it: `windlass project token`; \
         then `windlass redeploy`",
    )
}

fn host_key_changed(asked: &Asked<'_>) -> Failure {
    let host = address::ssh_host(asked.url).unwrap_or_default();
    Failure::app(
        "source.host-key-changed",
        format!("{host} shows another SSH key than before"),
        "either its key was replaced, or someone else answers in its place; nothing was sent to it",
        format!(
            "compare the key with the one that the service publishes; if it was replaced, forget the old \
             one: windlass project deploy-key forget-host '{host}'; then `windlass redeploy`"
        ),
    )
}

fn key_rejected(asked: &Asked<'_>) -> Failure {
    Failure::app(
        "source.deploy-key-rejected",
        format!("the project's deploy key was rejected by {}", asked.url),
        "the key is not known there, or may not read this repository",
        "add the public part to the repository's deploy keys at its hosting service: `windlass project \
         deploy-key show` prints it",
    )
}

fn timed_out(asked: &Asked<'_>, why: String) -> Failure {
    Failure::app(
        "source.timed-out",
        format!("fetching {} took too long", asked.url),
        why,
        "check the network between this machine and the repository, then redeploy",
    )
}

fn unreachable(asked: &Asked<'_>, why: String) -> Failure {
    let fix = if why.contains("certificate") {
        "if your network has its own certificate authority, name its bundle in SSL_CERT_FILE where \
         Windlass is started"
    } else {
        "check the host name, and that this machine can reach it: `git ls-remote` with the same \
         address"
    };
    Failure::app("source.unreachable", format!("{} could not be reached", asked.url), why, fix)
}

/// No branch, tag or commit of that name; the nearest names are said.
pub(super) fn reference_not_found(asked: &Asked<'_>, names: &[String]) -> Failure {
    let Some(reference) = asked.reference else {
        return Failure::app(
            "source.reference-not-found",
            format!("{} has no default branch", asked.url),
            "the repository is empty, or its HEAD names a branch that does not exist",
            "push a commit, or name a branch with --ref",
        );
    };
    if asked.before.reference {
        return branch_deleted(asked.url, reference, names);
    }
    let near = nearest(reference, names);
    let fix = if near.is_empty() {
        "push it first, or name another branch, tag or commit with --ref".to_owned()
    } else {
        format!("push it first, or name one that exists with --ref: {}", near.join(", "))
    };
    Failure::app(
        "source.reference-not-found",
        format!("there is no branch, tag or commit {reference:?} in {}", asked.url),
        "the repository was reached, but it does not have that",
        fix,
    )
}

/// An earlier deployment was made of it.
fn branch_deleted(url: &str, reference: &str, names: &[String]) -> Failure {
    let near = nearest(reference, names);
    let others = if near.is_empty() { String::new() } else { format!(": {}", near.join(", ")) };
    Failure::app(
        "source.branch-deleted",
        format!("{reference:?} does not exist any more in {url}"),
        "an earlier deployment was made of it; since then it was deleted or renamed",
        format!(
            "deploy another one with `windlass deploy {url} --ref NAME`{others}; what is live goes on \
             serving, and `windlass rollback` needs no branch"
        ),
    )
}

/// Several commits begin like this.
pub(super) fn reference_ambiguous(asked: &Asked<'_>) -> Failure {
    Failure::app(
        "source.reference-not-found",
        format!("{:?} is the beginning of several commits", asked.reference.unwrap_or_default()),
        "an abbreviated commit id must be unique",
        "give more characters of it",
    )
}

/// Files of the tree are only pointers, and what they point at cannot be had.
pub(super) fn lfs_missing(pointers: &[String]) -> Failure {
    Failure::app(
        "source.lfs-missing",
        format!("these files are only pointers of Git LFS: {}", some(pointers)),
        "their contents lie on an LFS server, and Windlass does not fetch from one: deployed so, the \
         application would find a few lines of text in their place",
        "put their contents into the repository (`git lfs migrate export --include=PATH`); if the \
         application does without them or fetches them in its build, say `lfs = false` under [build] in \
         windlass.toml",
    )
}

/// The same, where the settings want it so.
pub(super) fn lfs_kept(pointers: &[String]) -> Warning {
    let message =
        format!("these files stay pointers of Git LFS, as build.lfs says: {}", some(pointers));
    Warning { code: "source.lfs-pointers".to_owned(), message }
}

/// The first few of a list, and how many more there are.
fn some(paths: &[String]) -> String {
    let shown: Vec<&str> = paths.iter().take(5).map(String::as_str).collect();
    match paths.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn git_missing() -> Failure {
    Failure::host(
        "source.git-missing",
        "git is not installed on this machine",
        "Windlass fetches repositories with the program `git`",
        "install it: apt-get install git",
    )
}

/// The first line that says what is wrong; `fatal:` alone is often only the consequence.
fn cause(stderr: &str) -> String {
    let starts = ["fatal: ", "error: ", "ssh: ", "remote: "];
    let line = stderr.lines().find(|line| starts.iter().any(|start| line.starts_with(start)));
    line.or_else(|| stderr.lines().last()).unwrap_or("git said nothing").to_owned()
}

fn lines(stderr: &str) -> Vec<LogLine> {
    stderr.lines().map(|text| LogLine::now(Stream::Stderr, text)).collect()
}

/// Up to five names: those that share most with what was asked come first.
fn nearest<'n>(asked: &str, names: &'n [String]) -> Vec<&'n str> {
    let asked = asked.to_lowercase();
    let shared = |name: &str| {
        let name = name.to_lowercase();
        let front = name.chars().zip(asked.chars()).take_while(|(a, b)| a == b).count();
        if name.contains(&asked) || asked.contains(&name) { front + 100 } else { front }
    };
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_by_key(|name| std::cmp::Reverse(shared(name)));
    sorted.truncate(5);
    sorted
}
