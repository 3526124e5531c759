//! What a genuine delivery says: from each sender's own payload to [`Event`]s.
//!
//! **Invariant: whatever the bytes are, the answer is events or a typed refusal.** Everything that is
//! taken over is checked (commit ids are hexadecimal digits, branch names follow Git's rule) and
//! bounded. An event of a known kind in which nothing happened that matters gives no events.

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use windlass_model::Failure;
use windlass_model::webhook::{Event, EventRepository, Provider, PushEvent, Pushed};

use crate::source::address;

mod bitbucket;
mod generic;
mod gitea;
mod github;
mod gitlab;

/// Characters kept of a commit's message: enough for its first line and a marker.
const MESSAGE_CHARS_MAX: usize = 2000;
/// Branches and tags in one delivery.
const CHANGES_MAX: usize = 50;

/// Reads a delivery's payload. `content_type` matters only for senders that may wrap their JSON in a
/// form.
///
/// # Errors
/// `webhook.malformed`, `webhook.event-unknown`.
pub(super) fn read(
    provider: Provider,
    event: &str,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Vec<Event>, Failure> {
    let json = unwrap_form(content_type, body)?;
    let events = match provider {
        Provider::Github => github::read(event, &json),
        Provider::Gitlab => gitlab::read(event, &json),
        Provider::Gitea => gitea::read(event, &json),
        Provider::Bitbucket => bitbucket::read(event, &json),
        Provider::Generic => generic::read(event, &json),
    }?;
    if events.len() > CHANGES_MAX {
        let why =
            format!("it names {} branches and tags, at most {CHANGES_MAX} are taken", events.len());
        return Err(malformed(why));
    }
    Ok(events)
}

/// GitHub and Gitea can send a form with the JSON in its field `payload`.
fn unwrap_form(content_type: Option<&str>, body: &[u8]) -> Result<Vec<u8>, Failure> {
    if !content_type.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        return Ok(body.to_owned());
    }
    let text = std::str::from_utf8(body).map_err(|e| malformed(e.to_string()))?;
    let field = text.split('&').find_map(|pair| pair.strip_prefix("payload="));
    let field = field.ok_or_else(|| malformed("the form has no field `payload`".to_owned()))?;
    Ok(percent_decode_str(&field.replace('+', " ")).collect())
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|e| malformed(e.to_string()))
}

fn malformed(why: String) -> Failure {
    Failure::app(
        "webhook.malformed",
        "the delivery's payload is not what this event has",
        why.chars().take(300).collect::<String>(),
        "send it as application/json, and choose the right provider at \
         `windlass webhook create --provider`",
    )
}

fn unknown(event: &str, known: &str) -> Failure {
    Failure::app(
        "webhook.event-unknown",
        format!("the event {event:?} means nothing here"),
        format!("only these are used: {known}"),
        "choose only these events at the sender",
    )
}

/// A commit id; all zeros stand for no commit.
fn commit(id: &str) -> Result<Option<String>, Failure> {
    let is_id = (7..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_id {
        return Err(malformed(format!("{:?} is no commit id", cut(id, 80))));
    }
    Ok((!id.bytes().all(|b| b == b'0')).then(|| id.to_ascii_lowercase()))
}

/// The commit that must be there.
fn some_commit(id: &str) -> Result<String, Failure> {
    commit(id)?.ok_or_else(|| malformed("the commit id is all zeros".to_owned()))
}

fn optional_commit(id: Option<&str>) -> Result<Option<String>, Failure> {
    id.map_or(Ok(None), commit)
}

/// `refs/heads/main` or `refs/tags/v1`; none for references of other kinds.
fn pushed(reference: &str) -> Result<Option<Pushed>, Failure> {
    if let Some(name) = reference.strip_prefix("refs/heads/") {
        return branch(name).map(|name| Some(Pushed::Branch(name)));
    }
    if let Some(name) = reference.strip_prefix("refs/tags/") {
        return branch(name).map(|name| Some(Pushed::Tag(name)));
    }
    if reference.starts_with("refs/") {
        return Ok(None);
    }
    Err(malformed(format!("{:?} is no full reference", cut(reference, 80))))
}

/// A branch's or tag's name that Git would take.
fn branch(name: &str) -> Result<String, Failure> {
    address::check_reference(name).map_err(|e| malformed(e.what))?;
    Ok(name.to_owned())
}

fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

fn message(text: Option<&str>) -> Option<String> {
    text.map(|text| cut(text, MESSAGE_CHARS_MAX)).filter(|text| !text.is_empty())
}

fn addresses(given: [Option<String>; 4]) -> Result<Vec<String>, Failure> {
    let all: Vec<String> =
        given.into_iter().flatten().filter(|one| (1..=2048).contains(&one.len())).collect();
    if all.is_empty() {
        return Err(malformed("the repository has no address".to_owned()));
    }
    Ok(all)
}

/// A commit as several senders write it.
#[derive(Debug, Deserialize)]
struct Commit {
    id: String,
    #[serde(default)]
    message: Option<String>,
}

/// A push from what the senders have in common: nothing for references of other kinds.
fn push(
    repository: EventRepository,
    reference: &str,
    before: Option<&str>,
    after: Option<&str>,
    text: Option<&str>,
) -> Result<Vec<Event>, Failure> {
    let Some(pushed) = pushed(reference)? else {
        return Ok(Vec::new());
    };
    let (before, after) = (optional_commit(before)?, optional_commit(after)?);
    Ok(vec![Event::Push(PushEvent { repository, pushed, before, after, message: message(text) })])
}

#[cfg(test)]
mod tests;
