//! Bodies about images that are taken out of deployments.

use serde::{Deserialize, Serialize};

use crate::id::Digest;

/// `POST /v1/deployments/{deployment}/push`.
#[derive(Debug, Clone, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PushImage {
    /// Where to: `registry.example.com/team/shop:12`. Without a registry it is Docker Hub, without a tag
    /// `latest`.
    pub reference: String,
    /// Which output; that of the web process, or the only one, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// An image that was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
pub struct PushedView {
    /// Its name with its digest.
    pub reference: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Layers in it.
    pub layers: usize,
    /// Bytes that were sent; what the registry had is not sent again.
    pub bytes_sent: u64,
    /// What is worth saying.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// An image that was saved: the header [`SavedView::HEADER`] of
/// `GET /v1/deployments/{deployment}/image`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
pub struct SavedView {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Digest of its configuration, which Docker calls the image's id.
    pub config: Digest,
    /// Bytes of the archive.
    pub bytes: u64,
    /// Layers in it.
    pub layers: usize,
    /// What is worth saying.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl SavedView {
    /// The header with this as JSON.
    pub const HEADER: &'static str = "windlass-image";
}
