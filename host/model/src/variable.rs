//! Variables of an environment.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::InvalidId;
use crate::secret::Secret;

/// When a variable is given to the application.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// While building: it is part of the key of the steps that see it.
    Build,
    /// While running and migrating.
    Run,
    /// Both.
    #[default]
    Both,
}

impl Scope {
    /// Whether a build sees the variable.
    pub const fn in_build(self) -> bool {
        matches!(self, Self::Build | Self::Both)
    }

    /// Whether a running instance, a migration or a probe sees it.
    pub const fn in_run(self) -> bool {
        matches!(self, Self::Run | Self::Both)
    }
}

/// Name of a variable: a letter or underscore, then letters, digits and underscores; at most 256.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct VariableName(String);

impl VariableName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VariableName {
    type Err = InvalidId;
    fn from_str(s: &str) -> Result<Self, InvalidId> {
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let fits = (1..=256).contains(&s.len())
            && s.starts_with(first)
            && s.chars().all(|c| first(c) || c.is_ascii_digit());
        if !fits {
            return Err(InvalidId {
                what: "variable name",
                given: s.to_owned(),
                rule: "a letter or underscore, then letters, digits and underscores, 256 at most",
            });
        }
        if s.starts_with("WINDLASS_") {
            return Err(InvalidId {
                what: "variable name",
                given: s.to_owned(),
                rule: "names that start with WINDLASS_ are set by Windlass itself",
            });
        }
        Ok(Self(s.to_owned()))
    }
}

impl TryFrom<String> for VariableName {
    type Error = InvalidId;
    fn try_from(s: String) -> Result<Self, InvalidId> {
        s.parse()
    }
}

impl From<VariableName> for String {
    fn from(name: VariableName) -> String {
        name.0
    }
}

impl fmt::Display for VariableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A variable with its value, as the host holds it in memory. At rest it is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: VariableName,
    /// Its value; at most [`crate::Limits::variable_value_bytes_max`].
    pub value: Secret<String>,
    /// When it is given.
    pub scope: Scope,
    /// Whether the value is write-only: never shown again, masked in every log.
    pub secret: bool,
}
