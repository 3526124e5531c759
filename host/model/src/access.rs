//! Who may do what: API tokens, their scopes, and how a token is written.
//!
//! **Invariants.** A token's text is shown once and stored nowhere; a host keeps its SHA-256. That is
//! enough, and a slow password hash would be none the better: the secret is 256 random bits, so there is
//! nothing to guess and no dictionary to try. The text ends in a checksum, so that a typo is told from a
//! wrong token, and begins with `wl_`, so that secret scanners know it.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::id::{InvalidId, ProjectName, TokenName};
use crate::secret::Secret;

/// What every token begins with.
pub const TOKEN_PREFIX: &str = "wl_";
/// Random bytes of a token's secret.
pub const TOKEN_SECRET_BYTES: usize = 32;
/// Random bytes of a token's id.
pub const TOKEN_ID_BYTES: usize = 6;
/// Hexadecimal digits of the checksum.
const CHECKSUM_CHARS: usize = 8;

/// What a token may do. Each includes those before it.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum TokenScope {
    /// Look at everything but secrets and the values of variables.
    Read,
    /// Also change what runs: deploy, roll back, cancel, stop, start, scale, work inside an instance.
    Deploy,
    /// Also change what is set: projects, variables, domains, services, tokens, the host.
    Admin,
}

impl TokenScope {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for TokenScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TokenScope {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let all = [Self::Read, Self::Deploy, Self::Admin];
        all.into_iter().find(|scope| scope.as_str() == text).ok_or_else(|| InvalidId {
            what: "scope",
            given: text.to_owned(),
            rule: "use read, deploy or admin",
        })
    }
}

/// The public part of a token: 12 hexadecimal digits.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId(String);

impl TokenId {
    /// An id of this randomness.
    pub fn new(bytes: [u8; TOKEN_ID_BYTES]) -> Self {
        Self(hex::encode(bytes))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let fits = text.len() == 2 * TOKEN_ID_BYTES && text.chars().all(is_hex);
        let rule = "it is 12 hexadecimal digits: `windlass token list` shows ids";
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId { what: "token id", given: text.to_owned(), rule })
        }
    }
}

impl TryFrom<String> for TokenId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> String {
        id.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_hex(c: char) -> bool {
    c.is_ascii_digit() || ('a'..='f').contains(&c)
}

/// A token as it is used: `wl_<id>_<secret><checksum>`.
#[derive(Debug, Clone)]
pub struct TokenText {
    id: TokenId,
    text: Secret<String>,
}

impl TokenText {
    /// Writes a token of this id and randomness.
    pub fn new(id: TokenId, secret: [u8; TOKEN_SECRET_BYTES]) -> Self {
        let text = format!("{TOKEN_PREFIX}{id}_{}", hex::encode(secret));
        let text = Secret::new(format!("{text}{}", checksum(&text)));
        Self { id, text }
    }

    /// Reads a token.
    ///
    /// # Errors
    /// What is wrong with it, in words that do not repeat it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let rest = text.strip_prefix(TOKEN_PREFIX).ok_or("it does not begin with wl_")?;
        let (id, secret) = rest.split_once('_').ok_or("it is cut off")?;
        let id: TokenId = id.parse().map_err(|_| "a character of it is wrong or missing")?;
        let chars = 2 * TOKEN_SECRET_BYTES + CHECKSUM_CHARS;
        if secret.len() != chars || !secret.chars().all(is_hex) {
            return Err("it is cut off, or has characters that no token has");
        }
        let (body, sum) = text.split_at(text.len() - CHECKSUM_CHARS);
        if checksum(body) != sum {
            return Err("its checksum does not fit: a character of it is wrong");
        }
        Ok(Self { id, text: Secret::new(text.to_owned()) })
    }

    /// Its public part.
    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// What is stored of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(self.text.expose())
    }

    /// The whole text.
    pub fn text(&self) -> &Secret<String> {
        &self.text
    }
}

fn checksum(text: &str) -> String {
    let mut sum = hex::encode(Sha256::digest(text.as_bytes()));
    sum.truncate(CHECKSUM_CHARS);
    sum
}

/// SHA-256 of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenHash(String);

impl TokenHash {
    /// Of this text.
    pub fn of(text: &str) -> Self {
        Self(hex::encode(Sha256::digest(text.as_bytes())))
    }

    /// Its digits, to be compared in constant time.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A token as a host keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Its public part.
    pub id: TokenId,
    /// What it is called: the actor of everything done with it.
    pub name: TokenName,
    /// What it may do.
    pub scope: TokenScope,
    /// The projects it is limited to; all when empty.
    #[serde(default)]
    pub projects: Vec<ProjectName>,
    /// What it must hash to.
    pub hash: TokenHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When its present secret was made, where that is not the first.
    #[serde(default)]
    pub rotated_at: Option<Timestamp>,
    /// When it ends by itself.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default)]
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the hour.
    #[serde(default)]
    pub last_used_at: Option<Timestamp>,
}

impl ApiToken {
    /// How it stands at this moment.
    pub fn state(&self, now: Timestamp) -> TokenState {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => TokenState::Revoked,
            (None, Some(end)) if end <= now => TokenState::Expired,
            _ => TokenState::Active,
        }
    }

    /// Without its hash.
    pub fn view(&self, now: Timestamp) -> TokenView {
        TokenView {
            id: self.id.clone(),
            name: self.name.clone(),
            scope: self.scope,
            projects: self.projects.clone(),
            state: self.state(now),
            created_at: self.created_at,
            created_by: self.created_by.clone(),
            rotated_at: self.rotated_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            last_used_at: self.last_used_at,
        }
    }
}

/// Whether a token can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenState {
    /// It can.
    Active,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
}

/// A token as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TokenView {
    /// Its public part: what follows `wl_`.
    pub id: TokenId,
    /// What it is called: the actor of everything done with it.
    pub name: TokenName,
    /// What it may do.
    pub scope: TokenScope,
    /// The projects it is limited to; all when empty.
    pub projects: Vec<ProjectName>,
    /// Whether it can be used.
    pub state: TokenState,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When its present secret was made, where that is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<Timestamp>,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

/// `POST /v1/tokens`.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What it is called; unique among tokens that are not revoked.
    pub name: TokenName,
    /// What it may do.
    pub scope: TokenScope,
    /// The projects it is limited to; all when empty. They need not exist yet.
    #[serde(default)]
    pub projects: Vec<ProjectName>,
    /// Seconds until it ends by itself; never when absent.
    #[serde(default)]
    pub expires_in_s: Option<u64>,
}

/// `POST /v1/tokens/{token}/rotate`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateToken {
    /// Seconds until it ends by itself; as long as it was given before when absent.
    #[serde(default)]
    pub expires_in_s: Option<u64>,
}

/// A token with its text, which is shown this once.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NewToken {
    /// The text to send as `Authorization: Bearer TEXT`. It cannot be shown again.
    pub text: String,
    /// What it is; absent for the host's own admin token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenView>,
}

/// `GET /v1/token`: the token that asks.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WhoAmI {
    /// The actor of everything done with it.
    pub actor: String,
    /// What it may do.
    pub scope: TokenScope,
    /// The projects it is limited to; all when empty.
    pub projects: Vec<ProjectName>,
}

/// `GET /v1/key`: the key that variables and credentials are encrypted with at rest.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct KeyView {
    /// Its id; it says nothing about the key.
    pub id: String,
    /// Whether it is replacing another one, and not everything is under it yet.
    pub is_rotating: bool,
    /// Files in the data directory with keys that were replaced. Only backups from before need them:
    /// delete them with those.
    pub old_files: Vec<String>,
}

/// `POST /v1/key/rotate`: what was done.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct KeyRotated {
    /// The key as it stands now.
    pub key: KeyView,
    /// Values that were encrypted anew.
    pub resealed: u64,
    /// What looks like an encrypted value and could not be opened with any key; it was left as it is.
    pub unreadable: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_written_and_read_and_hides_itself() {
        let token = TokenText::new(TokenId::new([0xab; TOKEN_ID_BYTES]), [7; TOKEN_SECRET_BYTES]);
        let text = token.text().expose().clone();
        assert!(text.starts_with("wl_abababababab_0707"), "{text}");
        let read = TokenText::parse(&text).unwrap();
        assert_eq!((read.id(), read.hash()), (token.id(), token.hash()));
        assert!(!format!("{read:?}").contains("0707"));
    }

    #[test]
    fn every_single_typo_is_noticed() {
        let token = TokenText::new(TokenId::new([1; TOKEN_ID_BYTES]), [0x5c; TOKEN_SECRET_BYTES]);
        let text = token.text().expose();
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
            assert!(TokenText::parse(std::str::from_utf8(&bytes).unwrap()).is_err(), "{place}");
            assert!(TokenText::parse(&text[..place]).is_err(), "cut at {place}");
        }
        assert!(TokenText::parse(&format!("{text}0")).is_err());
    }

    #[test]
    fn each_scope_includes_those_before_it() {
        assert!(TokenScope::Read < TokenScope::Deploy && TokenScope::Deploy < TokenScope::Admin);
        assert_eq!("deploy".parse::<TokenScope>().unwrap(), TokenScope::Deploy);
        assert!("root".parse::<TokenScope>().is_err());
    }
}
