//! Identifiers as their own types, each validated once, where it enters.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Why a name or id was refused. The message says the rule and is fit for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given:?} is not valid: {rule}")]
pub struct InvalidId {
    /// What was being read: `project name`, `deployment id`, ...
    pub what: &'static str,
    /// What was given.
    pub given: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

const NAME_RULE: &str = "use 1 to 40 lower-case letters, digits and hyphens, starting and ending with a letter or digit";

fn check_name(what: &'static str, name: &str) -> Result<(), InvalidId> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = (1..=40).contains(&name.len())
        && edge(name.chars().next())
        && edge(name.chars().last())
        && name.chars().all(inner);
    if fits { Ok(()) } else { Err(InvalidId { what, given: name.to_owned(), rule: NAME_RULE }) }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(s: &str) -> Result<Self, InvalidId> {
                check_name($what, s)?;
                Ok(Self(s.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(s: String) -> Result<Self, InvalidId> {
                s.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(
    /// Name of a project: 1 to 40 of `a-z0-9-`, unique on one host.
    ProjectName,
    "project name"
);
name_type!(
    /// Name of an environment of a project: same alphabet as a project's.
    EnvironmentName,
    "environment name"
);
name_type!(
    /// Name of a process of an application: `web`, `worker`, ...
    ProcessName,
    "process name"
);
name_type!(
    /// Name of a service of an environment: it resolves under this name inside the environment.
    ServiceName,
    "service name"
);

name_type!(
    /// Name of an API token: same alphabet as a project's.
    TokenName,
    "token name"
);

name_type!(
    /// Name of a volume of an environment: the folder that its data lies in.
    VolumeName,
    "volume name"
);

impl ProjectName {
    /// The nearest valid name to a folder's or repository's name, if anything valid is left of it.
    pub fn from_loose(text: &str) -> Option<Self> {
        let mut name: String = text
            .to_ascii_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        name.truncate(40);
        name.trim_matches('-').parse().ok()
    }
}

impl EnvironmentName {
    /// The environment that is used when none is named.
    pub fn production() -> Self {
        Self("production".to_owned())
    }
}

impl ProcessName {
    /// The process that answers requests.
    pub fn web() -> Self {
        Self("web".to_owned())
    }
}

/// Id of a deployment: 26 characters of lower-case Crockford base 32 (a ULID), so ids sort by time
/// of creation and fit into every name derived from them.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct DeploymentId(String);

impl DeploymentId {
    /// A new id for the present moment, greater than all that this process made before: also within one
    /// millisecond, and when the clock was set back.
    pub fn generate() -> Self {
        static LAST: Mutex<ulid::Ulid> = Mutex::new(ulid::Ulid::nil());
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        let now = ulid::Ulid::new();
        let next = if now > *last { now } else { last.increment().unwrap_or(now) };
        *last = next;
        Self(next.to_string().to_ascii_lowercase())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeploymentId {
    type Err = InvalidId;
    fn from_str(s: &str) -> Result<Self, InvalidId> {
        let lower = s.to_ascii_lowercase();
        ulid::Ulid::from_string(&lower).map_err(|_| InvalidId {
            what: "deployment id",
            given: s.to_owned(),
            rule: "use the 26 characters that `windlass deployments` prints, or the number after #",
        })?;
        Ok(Self(lower))
    }
}

impl TryFrom<String> for DeploymentId {
    type Error = InvalidId;
    fn try_from(s: String) -> Result<Self, InvalidId> {
        s.parse()
    }
}

impl From<DeploymentId> for String {
    fn from(id: DeploymentId) -> String {
        id.0
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Id of this Windlass on this machine: eight hexadecimal digits, made at first start. It is part of
/// every name outside the data directory, so that two hosts on one machine never meet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct HostId(String);

impl HostId {
    /// A fresh id, derived from a new ULID.
    pub fn generate() -> Self {
        let digest = Digest::of(ulid::Ulid::new().to_string().as_bytes());
        Self(digest.hex()[..8].to_owned())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostId {
    type Err = InvalidId;
    fn from_str(s: &str) -> Result<Self, InvalidId> {
        if s.len() == 8 && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(Self(s.to_owned()))
        } else {
            Err(InvalidId {
                what: "host id",
                given: s.to_owned(),
                rule: "eight hexadecimal digits",
            })
        }
    }
}

impl TryFrom<String> for HostId {
    type Error = InvalidId;
    fn try_from(s: String) -> Result<Self, InvalidId> {
        s.parse()
    }
}

impl From<HostId> for String {
    fn from(id: HostId) -> String {
        id.0
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A SHA-256 digest, written `sha256:<64 hexadecimal digits>`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(format!("sha256:{}", hex::encode(Sha256::digest(bytes))))
    }

    /// The digest of a value's canonical JSON (struct fields in declaration order).
    ///
    /// # Panics
    /// Never for the types of this crate: all of them serialize.
    pub fn of_json<T: Serialize>(value: &T) -> Self {
        Self::of(&serde_json::to_vec(value).unwrap_or_default())
    }

    /// From a finished SHA-256.
    pub fn from_sha256(bytes: [u8; 32]) -> Self {
        Self(format!("sha256:{}", hex::encode(bytes)))
    }

    /// `sha256:…`
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 hexadecimal digits alone.
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }

    /// The first twelve hexadecimal digits, for people.
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }
}

impl FromStr for Digest {
    type Err = InvalidId;
    fn from_str(s: &str) -> Result<Self, InvalidId> {
        let digits = s.strip_prefix("sha256:").unwrap_or_default();
        if digits.len() == 64
            && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            Ok(Self(s.to_owned()))
        } else {
            Err(InvalidId {
                what: "digest",
                given: s.to_owned(),
                rule: "sha256: and 64 lower-case hexadecimal digits",
            })
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidId;
    fn try_from(s: String) -> Result<Self, InvalidId> {
        s.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule() {
        for good in ["a", "shop", "my-shop-2", "0x"] {
            good.parse::<ProjectName>().unwrap();
        }
        for bad in ["", "-a", "a-", "Shop", "a_b", "a.b", "ä", &"a".repeat(41)] {
            assert!(bad.parse::<ProjectName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_loose_name_becomes_the_nearest_valid_one() {
        assert_eq!(ProjectName::from_loose("My_Shop.git").unwrap().as_str(), "my-shop-git");
        assert_eq!(ProjectName::from_loose("___"), None);
    }

    #[test]
    fn deployment_ids_round_trip_and_sort_by_time() {
        let ids: Vec<DeploymentId> = (0..1000).map(|_| DeploymentId::generate()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "ids of one millisecond are out of order");
        let a = DeploymentId::generate();
        assert_eq!(a.as_str().parse::<DeploymentId>().unwrap(), a);
        assert!("nonsense".parse::<DeploymentId>().is_err());
    }
}
