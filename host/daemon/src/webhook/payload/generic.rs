//! The generic kind: `push`, `pull_request`, `ping`, as `host/OPERATIONS.md` describes them. Unlike
//! with the payloads of others, an unknown field is an error.

use serde::Deserialize;
use windlass_model::Failure;
use windlass_model::webhook::{Event, EventRepository, PullRequestAction, PullRequestEvent};

use super::{addresses, branch, json, message, push, some_commit, unknown};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Push {
    repository: Repository,
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    before: Option<String>,
    /// Absent, null or zeros when the branch or tag was deleted.
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Repository {
    url: String,
    #[serde(default)]
    default_branch: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PullRequest {
    repository: Repository,
    number: u64,
    action: PullRequestAction,
    branch: String,
    commit: String,
    fork: bool,
    #[serde(default)]
    message: Option<String>,
}

pub(super) fn read(event: &str, body: &[u8]) -> Result<Vec<Event>, Failure> {
    match event {
        "ping" => Ok(vec![Event::Ping]),
        "push" => {
            let of: Push = json(body)?;
            let (before, after) = (of.before.as_deref(), of.after.as_deref());
            push(of.repository.read()?, &of.reference, before, after, of.message.as_deref())
        }
        "pull_request" => {
            let of: PullRequest = json(body)?;
            Ok(vec![Event::PullRequest(PullRequestEvent {
                repository: of.repository.read()?,
                number: of.number,
                action: of.action,
                branch: branch(&of.branch)?,
                commit: some_commit(&of.commit)?,
                from_fork: of.fork,
                message: message(of.message.as_deref()),
            })])
        }
        _ => Err(unknown(event, "push, pull_request, ping")),
    }
}

impl Repository {
    fn read(self) -> Result<EventRepository, Failure> {
        Ok(EventRepository {
            api_name: self.url.clone(),
            addresses: addresses([Some(self.url), None, None, None])?,
            default_branch: self.default_branch.filter(|name| !name.is_empty()),
        })
    }
}
