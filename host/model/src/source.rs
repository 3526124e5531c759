//! What can be asked of a [`Source`] without looking at it.

use serde::{Deserialize, Serialize};

use crate::deployment::Source;
use crate::id::Digest;

/// What an upload holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UploadKind {
    /// An application's source, to be built.
    #[default]
    Source,
    /// Finished files, to be served as they are.
    Static,
    /// An image, to be run as it is.
    ImageArchive,
}

impl UploadKind {
    /// Name as it stands in queries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Static => "static",
            Self::ImageArchive => "image-archive",
        }
    }

    /// The source that an upload of this kind is.
    pub fn source(self, digest: Digest, name: String, spa: bool) -> Source {
        match self {
            Self::Source => Source::Archive { digest, name },
            Self::Static => Source::Static { digest, name, spa },
            Self::ImageArchive => Source::ImageArchive { digest, name },
        }
    }
}

impl Source {
    /// The upload it was made of and the name it was given, if it was uploaded.
    pub fn upload(&self) -> Option<(&Digest, &str)> {
        match self {
            Self::Archive { digest, name }
            | Self::ImageArchive { digest, name }
            | Self::Static { digest, name, .. } => Some((digest, name)),
            Self::Git { .. } | Self::Image { .. } => None,
        }
    }

    /// Whether it is an image that runs as it is: nothing is detected, planned or built.
    pub fn is_image(&self) -> bool {
        matches!(self, Self::Image { .. } | Self::ImageArchive { .. })
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Git { url, reference: Some(reference) } => write!(f, "{url} at {reference}"),
            Self::Git { url, reference: None } => f.write_str(url),
            Self::Archive { name, digest } => write!(f, "archive {name} ({})", digest.short()),
            Self::Image { reference } => write!(f, "image {reference}"),
            Self::ImageArchive { name, digest } => {
                write!(f, "image archive {name} ({})", digest.short())
            }
            Self::Static { name, digest, .. } => {
                write!(f, "static files {name} ({})", digest.short())
            }
        }
    }
}
