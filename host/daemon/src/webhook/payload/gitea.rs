//! Gitea and Forgejo: GitHub's payloads, with events of their own for new and deleted references.

use windlass_model::Failure;
use windlass_model::webhook::Event;

use super::{github, json, unknown};

pub(super) fn read(event: &str, body: &[u8]) -> Result<Vec<Event>, Failure> {
    match event {
        "push" => github::read_push(json(body)?),
        "pull_request" | "pull_request_sync" => github::read_pull_request(body),
        // A push tells of the same.
        "create" => Ok(Vec::new()),
        "delete" => read_delete(body),
        _ => Err(unknown(event, "push, pull_request, pull_request_sync, create, delete")),
    }
}

/// The deletion of a branch comes as its own event, with the bare name.
fn read_delete(body: &[u8]) -> Result<Vec<Event>, Failure> {
    let mut payload: serde_json::Value = json(body)?;
    let kind = payload.get("ref_type").and_then(|kind| kind.as_str()).unwrap_or_default();
    let prefix = match kind {
        "branch" => "refs/heads/",
        "tag" => "refs/tags/",
        _ => return Err(super::malformed(format!("{kind:?} is no kind of reference"))),
    };
    let name = payload.get("ref").and_then(|name| name.as_str()).unwrap_or_default();
    payload["ref"] = format!("{prefix}{}", name.strip_prefix(prefix).unwrap_or(name)).into();
    payload["after"] = "0".repeat(40).into();
    let push = serde_json::from_value(payload).map_err(|e| super::malformed(e.to_string()))?;
    github::read_push(push)
}
