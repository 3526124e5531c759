//! Erlang: what `rebar.config` says.

use windlass_sdk::{Detection, NearMiss};

use crate::facts::Facts;

pub(crate) const FILE: &str = "rebar.config";

/// An application that rebar3 builds into a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rebar {
    /// Name of the release.
    pub(crate) release: String,
    line: usize,
}

impl Rebar {
    /// The detection.
    pub(crate) fn detection(&self) -> Detection {
        Detection::new("erlang", "Erlang", "erlang")
            .confidence(80)
            .evidence(FILE, format!("line {}: {{release, {{{}, …}}}}", self.line, self.release))
            .supersedes("static")
    }
}

/// What rebar3 builds here; `None` without a `rebar.config`.
pub(crate) fn decide(facts: &Facts) -> Option<Result<Rebar, NearMiss>> {
    if !facts.has(FILE) {
        return None;
    }
    let text = facts.text(FILE);
    let lines = text.lines().map(|line| line.split('%').next().unwrap_or(line));
    let text = lines.collect::<Vec<_>>().join("\n");
    let at = text.find("{release,").or_else(|| text.find("{release ,"));
    let name = at.and_then(|at| {
        let rest = text[at..].split_once(',')?.1.trim_start().strip_prefix('{')?.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        (end > 0).then(|| rest[..end].to_owned())
    });
    let Some(release) = name else {
        let reason = "rebar.config defines no release ({relx, [{release, {name, \"version\"}, [...]}]}): \
                      it is taken for a library";
        return Some(Err(NearMiss { id: "erlang".to_owned(), reason: reason.to_owned() }));
    };
    let line = text[..at.unwrap_or_default()].matches('\n').count() + 1;
    Some(Ok(Rebar { release, line }))
}
