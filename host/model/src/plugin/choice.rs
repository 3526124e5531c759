//! How an operator says what is granted: in one word, or exactly.

use std::fmt;
use std::str::FromStr;

use super::capability::{Capability, Grants, Kind, Request};

/// What is to be granted: `all` that is asked for, `none`, what is asked for of some kinds (`exec,http`), or
/// exactly a list of requests as JSON, which may be narrower than what is asked for.
#[derive(
    Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Give {
    /// All that is asked for.
    All,
    /// What is asked for of these kinds; none is nothing.
    Kinds(Vec<Kind>),
    /// These.
    Exactly(Grants),
}

impl Give {
    /// The grants that it makes for a plugin that asks for this.
    pub fn of(&self, capabilities: &[Capability]) -> Grants {
        match self {
            Self::All => Grants::all_of(capabilities),
            Self::Kinds(kinds) => Grants::of_kinds(capabilities, kinds),
            Self::Exactly(grants) => grants.clone(),
        }
    }

    /// What is granted already and `more` of what is asked for, in the fewest words: kinds, unless one of them would
    /// also give what was left out of `granted`.
    pub fn with(granted: &Grants, more: &[&Capability], capabilities: &[Capability]) -> Self {
        let mut whole = granted.clone();
        whole.add(more.iter().map(|one| one.request.clone()));
        let had: Vec<&Request> = whole.0.iter().collect();
        let of_kinds = Grants::of_kinds(capabilities, &kinds(granted));
        let gives_no_more = of_kinds.0.iter().all(|request| request.beyond(&had).is_empty());
        if gives_no_more { Self::Kinds(kinds(&whole)) } else { Self::Exactly(whole) }
    }

    /// What it gives and a plugin that asks for this does not ask for, in words for people. It has no effect.
    pub fn unasked(&self, capabilities: &[Capability]) -> Vec<String> {
        let asked: Vec<&Request> = capabilities.iter().map(|one| &one.request).collect();
        match self {
            Self::All => Vec::new(),
            Self::Kinds(kinds) => {
                let is_asked = |kind: &Kind| asked.iter().any(|one| one.kind() == *kind);
                let unasked = kinds.iter().filter(|kind| !is_asked(kind));
                unasked.map(|kind| kind.as_str().to_owned()).collect()
            }
            Self::Exactly(grants) => {
                let beyond = grants.0.iter().flat_map(|grant| public(grant).beyond(&asked));
                beyond.map(|request| request.to_string()).collect()
            }
        }
    }
}

fn kinds(grants: &Grants) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for kind in grants.0.iter().map(Request::kind) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

/// Without private hosts: no manifest can ask for them.
fn public(grant: &Request) -> Request {
    match grant.clone() {
        Request::Http { hosts, methods, .. } => {
            Request::Http { hosts, methods, private: Vec::new() }
        }
        other => other,
    }
}

impl FromStr for Give {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with('[') {
            let grants: Grants = serde_json::from_str(text).map_err(|e| e.to_string())?;
            grants.0.iter().try_for_each(Request::check)?;
            return Ok(Self::Exactly(grants));
        }
        match text {
            "all" => Ok(Self::All),
            "none" => Ok(Self::Kinds(Vec::new())),
            kinds => {
                let kinds = kinds.split(',').map(|kind| kind.trim().parse());
                let kinds = kinds
                    .collect::<Result<_, String>>()
                    .map_err(|why| format!("{why}; `all` and `none` are words too"))?;
                Ok(Self::Kinds(kinds))
            }
        }
    }
}

impl fmt::Display for Give {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Kinds(kinds) if kinds.is_empty() => f.write_str("none"),
            Self::Kinds(kinds) => {
                let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
                f.write_str(&kinds.join(","))
            }
            Self::Exactly(grants) => {
                f.write_str(&serde_json::to_string(grants).map_err(|_| fmt::Error)?)
            }
        }
    }
}

impl TryFrom<String> for Give {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Give> for String {
    fn from(give: Give) -> Self {
        give.to_string()
    }
}
