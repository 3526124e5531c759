//! Gleam: what `gleam.toml` says.

use windlass_sdk::{Detection, NearMiss};

use crate::facts::Facts;

pub(crate) const FILE: &str = "gleam.toml";

/// An application that is exported as a shipment for Erlang.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gleam {
    pub(crate) name: String,
    /// Frameworks and servers that it depends on.
    pub(crate) server: Option<&'static str>,
    /// `gleam = ">= 1.13.0"`
    pub(crate) requirement: Option<String>,
    confidence: u8,
    sign: String,
}

const SERVERS: [&str; 3] = ["wisp", "mist", "elli"];

impl Gleam {
    /// The detection.
    pub(crate) fn detection(&self) -> Detection {
        let found = Detection::new("gleam", "Gleam", "gleam")
            .confidence(self.confidence)
            .evidence(FILE, format!("name = {:?}", self.name))
            .evidence(format!("src/{}.gleam", self.name), &self.sign)
            .supersedes("static");
        match self.server {
            Some(server) => found.evidence(FILE, format!("dependencies.{server}")),
            None => found,
        }
    }
}

/// What Gleam builds here; `None` without a `gleam.toml`.
pub(crate) fn decide(facts: &Facts) -> Option<Result<Gleam, NearMiss>> {
    if !facts.has(FILE) {
        return None;
    }
    let miss = |reason: String| Some(Err(NearMiss { id: "gleam".to_owned(), reason }));
    let Ok(table) = facts.text(FILE).parse::<toml::Table>() else {
        return miss("gleam.toml is not valid TOML".to_owned());
    };
    let text = |key: &str| table.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    let Some(name) = text("name") else {
        return miss("gleam.toml has no name".to_owned());
    };
    if text("target").as_deref() == Some("javascript") {
        return miss(
            "gleam.toml has target = \"javascript\", which makes scripts for browsers and Node.js, not a \
             shipment for Erlang"
                .to_owned(),
        );
    }
    let main = format!("src/{name}.gleam");
    if !facts.has(&main) {
        return miss(format!("there is no {main}, whose main function would be run"));
    }
    let source = facts.text(&main);
    let unknown = source.trim().is_empty();
    if !unknown && !source.contains("pub fn main(") {
        return miss(format!("{main} has no public main function: it is taken for a library"));
    }
    let dependencies = table.get("dependencies").and_then(|value| value.as_table());
    let uses = |name: &&str| dependencies.is_some_and(|all| all.contains_key(*name));
    let server = SERVERS.into_iter().find(uses);
    let confidence = match (unknown, server.is_some()) {
        (true, _) => 72,
        (false, true) => 90,
        (false, false) => 80,
    };
    let sign = if unknown { "nothing in it could be read" } else { "pub fn main" }.to_owned();
    Some(Ok(Gleam { name, server, requirement: text("gleam"), confidence, sign }))
}
