//! What can be asked of a [`Source`] without looking at it.

use crate::deployment::Source;
use crate::id::Digest;

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
