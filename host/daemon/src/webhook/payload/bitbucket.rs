//! Bitbucket Cloud: `repo:push`, `pullrequest:created|updated|fulfilled|rejected`.

use serde::Deserialize;
use windlass_model::Failure;
use windlass_model::webhook::{
    Event, EventRepository, PullRequestAction, PullRequestEvent, PushEvent, Pushed,
};

use super::{addresses, branch, json, message, some_commit, unknown};

#[derive(Debug, Deserialize)]
struct Push {
    push: Changes,
    repository: Repository,
}

#[derive(Debug, Deserialize)]
struct Changes {
    changes: Vec<Change>,
}

#[derive(Debug, Deserialize)]
struct Change {
    #[serde(default)]
    old: Option<Reference>,
    /// Absent when it was deleted.
    #[serde(default)]
    new: Option<Reference>,
}

#[derive(Debug, Deserialize)]
struct Reference {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    target: Target,
}

#[derive(Debug, Deserialize)]
struct Target {
    hash: String,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Repository {
    full_name: String,
    #[serde(default)]
    links: Option<Links>,
    #[serde(default)]
    mainbranch: Option<Name>,
}

#[derive(Debug, Clone, Deserialize)]
struct Links {
    #[serde(default)]
    html: Option<Link>,
}

#[derive(Debug, Clone, Deserialize)]
struct Link {
    href: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Name {
    name: String,
}

#[derive(Debug, Deserialize)]
struct PullRequestChange {
    pullrequest: PullRequest,
    repository: Repository,
}

#[derive(Debug, Deserialize)]
struct PullRequest {
    id: u64,
    #[serde(default)]
    title: Option<String>,
    source: Side,
    destination: Side,
}

#[derive(Debug, Deserialize)]
struct Side {
    branch: Name,
    #[serde(default)]
    commit: Option<Hash>,
    /// Absent when the fork was deleted.
    #[serde(default)]
    repository: Option<Repository>,
}

#[derive(Debug, Deserialize)]
struct Hash {
    hash: String,
}

pub(super) fn read(event: &str, body: &[u8]) -> Result<Vec<Event>, Failure> {
    let action = match event {
        "diagnostics:ping" => return Ok(vec![Event::Ping]),
        "repo:push" => return read_push(json(body)?),
        "pullrequest:created" => PullRequestAction::Opened,
        "pullrequest:updated" => PullRequestAction::Updated,
        "pullrequest:fulfilled" | "pullrequest:rejected" => PullRequestAction::Closed,
        _ => {
            let known = "repo:push, pullrequest:created, pullrequest:updated, \
                         pullrequest:fulfilled, pullrequest:rejected, diagnostics:ping";
            return Err(unknown(event, known));
        }
    };
    read_pull_request(action, json(body)?)
}

fn read_push(of: Push) -> Result<Vec<Event>, Failure> {
    let repository = of.repository.read()?;
    let mut events = Vec::new();
    for Change { old, new } in of.push.changes {
        let Some(named) = new.as_ref().or(old.as_ref()) else { continue };
        let pushed = match named.kind.as_str() {
            "branch" | "named_branch" => Pushed::Branch(branch(&named.name)?),
            "tag" | "annotated_tag" => Pushed::Tag(branch(&named.name)?),
            _ => continue,
        };
        let hash = |side: &Option<Reference>| {
            side.as_ref().map(|one| some_commit(&one.target.hash)).transpose()
        };
        events.push(Event::Push(PushEvent {
            repository: repository.clone(),
            pushed,
            before: hash(&old)?,
            after: hash(&new)?,
            message: message(new.as_ref().and_then(|one| one.target.message.as_deref())),
        }));
    }
    Ok(events)
}

fn read_pull_request(
    action: PullRequestAction,
    change: PullRequestChange,
) -> Result<Vec<Event>, Failure> {
    let PullRequest { id, title, source, destination } = change.pullrequest;
    let into = destination.repository.unwrap_or_else(|| change.repository.clone()).full_name;
    let Some(head) = source.commit else {
        return Err(super::malformed("the pull request names no commit".to_owned()));
    };
    Ok(vec![Event::PullRequest(PullRequestEvent {
        repository: change.repository.read()?,
        number: id,
        action,
        branch: branch(&source.branch.name)?,
        commit: some_commit(&head.hash)?,
        from_fork: source.repository.is_none_or(|from| !from.full_name.eq_ignore_ascii_case(&into)),
        message: message(title.as_deref()),
    })])
}

impl Repository {
    /// The payload gives the page's address; the one to clone from is the same with `.git`.
    fn read(self) -> Result<EventRepository, Failure> {
        let page = self.links.and_then(|links| links.html).map(|link| link.href);
        let clone = format!("https://bitbucket.org/{}.git", self.full_name);
        Ok(EventRepository {
            addresses: addresses([Some(page.unwrap_or(clone)), None, None, None])?,
            api_name: self.full_name,
            default_branch: self.mainbranch.map(|main| main.name),
        })
    }
}
