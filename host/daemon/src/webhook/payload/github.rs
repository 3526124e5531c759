//! GitHub: `push`, `pull_request`, `ping`.

use serde::Deserialize;
use windlass_model::Failure;
use windlass_model::webhook::{Event, EventRepository, PullRequestAction, PullRequestEvent};

use super::{Commit, addresses, branch, json, message, push, some_commit, unknown};

pub(super) const EVENTS: &str = "push, pull_request, ping";

#[derive(Debug, Deserialize)]
pub(super) struct Push {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    before: Option<String>,
    after: String,
    #[serde(default)]
    head_commit: Option<Commit>,
    #[serde(default)]
    commits: Option<Vec<Commit>>,
    repository: Repository,
}

#[derive(Debug, Deserialize)]
pub(super) struct Repository {
    full_name: String,
    #[serde(default)]
    clone_url: Option<String>,
    #[serde(default)]
    ssh_url: Option<String>,
    #[serde(default)]
    git_url: Option<String>,
    #[serde(default)]
    html_url: Option<String>,
    #[serde(default)]
    default_branch: Option<String>,
}

#[derive(Debug, Deserialize)]
struct PullRequestChange {
    action: String,
    number: u64,
    pull_request: PullRequest,
    repository: Repository,
}

#[derive(Debug, Deserialize)]
struct PullRequest {
    #[serde(default)]
    title: Option<String>,
    head: Side,
    base: Side,
}

#[derive(Debug, Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    reference: String,
    sha: String,
    /// Absent when the fork was deleted.
    #[serde(default)]
    repo: Option<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    full_name: String,
}

pub(super) fn read(event: &str, body: &[u8]) -> Result<Vec<Event>, Failure> {
    match event {
        "ping" => Ok(vec![Event::Ping]),
        "push" => read_push(json(body)?),
        "pull_request" => read_pull_request(body),
        _ => Err(unknown(event, EVENTS)),
    }
}

/// For an annotated tag `after` is the tag's own id: the commit it points at is the head commit's.
pub(super) fn read_push(push_of: Push) -> Result<Vec<Event>, Failure> {
    let Push { reference, before, after, head_commit, commits, repository } = push_of;
    let deleted = after.bytes().all(|b| b == b'0');
    let head = head_commit.or_else(|| commits?.into_iter().find(|one| one.id == after));
    let after = match &head {
        Some(head) if !deleted && reference.starts_with("refs/tags/") => head.id.clone(),
        _ => after,
    };
    let text = head.and_then(|head| head.message);
    push(repository.read()?, &reference, before.as_deref(), Some(&after), text.as_deref())
}

pub(super) fn read_pull_request(body: &[u8]) -> Result<Vec<Event>, Failure> {
    let change: PullRequestChange = json(body)?;
    let action = match change.action.as_str() {
        "opened" | "reopened" => PullRequestAction::Opened,
        "synchronize" | "synchronized" => PullRequestAction::Updated,
        "closed" => PullRequestAction::Closed,
        _ => return Ok(Vec::new()),
    };
    let PullRequest { title, head, base } = change.pull_request;
    let into = base.repo.map_or_else(|| change.repository.full_name.clone(), |repo| repo.full_name);
    Ok(vec![Event::PullRequest(PullRequestEvent {
        repository: change.repository.read()?,
        number: change.number,
        action,
        branch: branch(&head.reference)?,
        commit: some_commit(&head.sha)?,
        // A fork that is gone is one all the same.
        from_fork: head.repo.is_none_or(|from| !from.full_name.eq_ignore_ascii_case(&into)),
        message: message(title.as_deref()),
    })])
}

impl Repository {
    fn read(self) -> Result<EventRepository, Failure> {
        Ok(EventRepository {
            addresses: addresses([self.clone_url, self.ssh_url, self.git_url, self.html_url])?,
            api_name: self.full_name,
            default_branch: self.default_branch.filter(|name| !name.is_empty()),
        })
    }
}
