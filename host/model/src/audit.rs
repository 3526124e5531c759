//! The audit log's entries: who asked for what, when, from where, and how it ended.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::access::TokenId;
use crate::id::ProjectName;

/// One request that changes something, or that was refused to. Neither bodies nor queries nor headers
/// are in it: they may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AuditEntry {
    /// The request's id, as in the answer's header `x-request-id` and in the log of `serve`.
    pub id: String,
    /// When it came.
    pub at: Timestamp,
    /// Name of the token; `unknown` where the token was none of this host's.
    pub actor: String,
    /// The token's public part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `POST`, ...
    pub method: String,
    /// The route, as OpenAPI writes it.
    pub route: String,
    /// The path itself.
    pub path: String,
    /// The project that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectName>,
    /// HTTP status of the answer; absent when the host ended before it answered, so that it may or may
    /// not have been carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Code of the failure, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditOutcome {
    /// The request's id.
    pub id: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// Code of the failure, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// A line of the log's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditLine {
    /// A request, before it is carried out; with its outcome already when it was refused.
    Asked(AuditEntry),
    /// How it ended.
    Answered(AuditOutcome),
}
