//! GitLab: `Push Hook`, `Tag Push Hook`, `Merge Request Hook`.

use serde::Deserialize;
use windlass_model::Failure;
use windlass_model::webhook::{Event, EventRepository, PullRequestAction, PullRequestEvent};

use super::{Commit, addresses, branch, json, message, push, some_commit, unknown};

#[derive(Debug, Deserialize)]
struct Push {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    before: Option<String>,
    after: String,
    /// The commit, also where `after` is the id of an annotated tag; absent for deletions.
    #[serde(default)]
    checkout_sha: Option<String>,
    #[serde(default)]
    commits: Option<Vec<Commit>>,
    project: Project,
}

#[derive(Debug, Deserialize)]
struct Project {
    id: u64,
    #[serde(default)]
    git_http_url: Option<String>,
    #[serde(default)]
    git_ssh_url: Option<String>,
    #[serde(default)]
    web_url: Option<String>,
    #[serde(default)]
    default_branch: Option<String>,
}

#[derive(Debug, Deserialize)]
struct MergeRequestChange {
    project: Project,
    object_attributes: MergeRequest,
}

#[derive(Debug, Deserialize)]
struct MergeRequest {
    iid: u64,
    #[serde(default)]
    title: Option<String>,
    /// Absent in what GitLab's own test button sends.
    #[serde(default)]
    action: Option<String>,
    /// The commit before, when new commits were pushed.
    #[serde(default)]
    oldrev: Option<String>,
    source_branch: String,
    source_project_id: Option<u64>,
    target_project_id: u64,
    last_commit: Commit,
}

pub(super) fn read(event: &str, body: &[u8]) -> Result<Vec<Event>, Failure> {
    match event {
        "Push Hook" | "Tag Push Hook" => read_push(json(body)?),
        "Merge Request Hook" => read_merge_request(json(body)?),
        _ => Err(unknown(event, "Push Hook, Tag Push Hook, Merge Request Hook")),
    }
}

fn read_push(of: Push) -> Result<Vec<Event>, Failure> {
    let deleted = of.after.bytes().all(|b| b == b'0');
    let head = of.checkout_sha.filter(|_| !deleted).unwrap_or(of.after);
    let newest = of.commits.unwrap_or_default().into_iter().find(|one| one.id == head);
    let text = newest.and_then(|commit| commit.message);
    push(of.project.read()?, &of.reference, of.before.as_deref(), Some(&head), text.as_deref())
}

fn read_merge_request(change: MergeRequestChange) -> Result<Vec<Event>, Failure> {
    let of = change.object_attributes;
    let action = match (of.action.as_deref(), &of.oldrev) {
        (Some("open" | "reopen"), _) => PullRequestAction::Opened,
        (Some("update"), Some(_)) => PullRequestAction::Updated,
        (Some("close" | "merge"), _) => PullRequestAction::Closed,
        _ => return Ok(Vec::new()),
    };
    let title = of.title.unwrap_or_default();
    let text = format!("{title}\n{}", of.last_commit.message.unwrap_or_default());
    Ok(vec![Event::PullRequest(PullRequestEvent {
        repository: change.project.read()?,
        number: of.iid,
        action,
        branch: branch(&of.source_branch)?,
        commit: some_commit(&of.last_commit.id)?,
        from_fork: of.source_project_id != Some(of.target_project_id),
        message: message(Some(text.trim())),
    })])
}

impl Project {
    fn read(self) -> Result<EventRepository, Failure> {
        Ok(EventRepository {
            addresses: addresses([self.git_http_url, self.git_ssh_url, self.web_url, None])?,
            api_name: self.id.to_string(),
            default_branch: self.default_branch.filter(|name| !name.is_empty()),
        })
    }
}
