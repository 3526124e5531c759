//! What can go wrong with a registry.

use windlass_model::{Digest, Failure};

use super::reference::Reference;

/// Why an image could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No such repository, tag or digest.
    #[error("the registry has no {what}")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// It is not public, or there is no such repository (registries do not tell which).
    #[error("the registry does not give {what} {}", readers(*with_login))]
    Unauthorized {
        /// What was asked for.
        what: String,
        /// Whether a login was shown.
        with_login: bool,
    },
    /// No connection, no answer, or none but that it cannot serve anybody for now.
    #[error("{host} {}: {why}", absence(*answered))]
    Unreachable {
        /// The registry's host.
        host: String,
        /// What was seen.
        why: String,
        /// Whether it answered, that it is in trouble: that may be so for one image alone.
        answered: bool,
    },
    /// It leads where the host does not go.
    #[error("{host} leads to another server that is not asked: {why}")]
    LeadsAway {
        /// The registry's host.
        host: String,
        /// Where it leads.
        why: String,
    },
    /// It sends, but slower than anybody waits for.
    #[error("{host} sends too slowly: {why}")]
    TooSlow {
        /// The registry's host.
        host: String,
        /// What came in which time, and what is expected.
        why: String,
    },
    /// Too many requests.
    #[error("{host} refuses more requests for now")]
    RateLimited {
        /// The registry's host.
        host: String,
    },
    /// The content is not what its digest says.
    #[error("{what} has digest {got}, expected {expected}")]
    DigestMismatch {
        /// What was read.
        what: String,
        /// The digest it was asked for by.
        expected: Digest,
        /// Its own digest.
        got: Digest,
    },
    /// No image for this machine.
    #[error("{what} is not made for linux/{wanted}, only for {available}")]
    UnsupportedPlatform {
        /// The image.
        what: String,
        /// This machine's architecture.
        wanted: &'static str,
        /// What there is.
        available: String,
    },
    /// The answer is longer than anything of its kind.
    #[error(
        "{host} gave an answer that cannot be used: {what} has more than the {bytes_max} bytes allowed"
    )]
    TooLarge {
        /// The registry's host.
        host: String,
        /// What was asked for.
        what: String,
        /// Bytes that it may have.
        bytes_max: u64,
    },
    /// The answer makes no sense.
    #[error("{host} gave an answer that cannot be used: {why}")]
    Protocol {
        /// The registry's host.
        host: String,
        /// What is wrong with it.
        why: String,
    },
}

impl RegistryError {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "registry.not-found",
            Self::Unauthorized { .. } => "registry.unauthorized",
            Self::Unreachable { .. } => "registry.unreachable",
            Self::LeadsAway { .. } => "registry.redirect-refused",
            Self::TooSlow { .. } => "registry.too-slow",
            Self::RateLimited { .. } => "registry.rate-limited",
            Self::DigestMismatch { .. } => "registry.digest-mismatch",
            Self::UnsupportedPlatform { .. } => "registry.unsupported-platform",
            Self::TooLarge { .. } | Self::Protocol { .. } => "registry.protocol",
        }
    }

    /// Why an image could not be pulled.
    pub fn failure(&self, image: &Reference) -> Failure {
        let what = format!("The image {image} could not be pulled");
        let fix = match self {
            Self::NotFound { .. } => "check the name and the tag, or push it first".to_owned(),
            Self::Unauthorized { .. } => format!(
                "check the name; if it is private, store a login that may read it: windlass registry \
                 login {}",
                image.registry
            ),
            _ => self.general_fix().to_owned(),
        };
        self.told(what, fix)
    }

    /// Why an image could not be pushed.
    pub fn push_failure(&self, image: &Reference) -> Failure {
        let what = format!("The image {image} could not be pushed");
        let fix = match self {
            Self::NotFound { .. } => {
                "make the repository there first, and check its name; then push again".to_owned()
            }
            Self::Unauthorized { .. } => format!(
                "store a login that may write there, then push again: windlass registry login {}",
                image.registry
            ),
            _ => format!("{}: what is there already is not sent again", self.general_fix()),
        };
        self.told(what, fix)
    }

    const fn general_fix(&self) -> &'static str {
        match self {
            Self::NotFound { .. } | Self::Unauthorized { .. } => "check the name and the login",
            Self::UnsupportedPlatform { .. } => "choose an image that is made for this machine",
            Self::Unreachable { answered: false, .. } => {
                "check this machine's connection and DNS, then try again"
            }
            Self::Unreachable { answered: true, .. } | Self::RateLimited { .. } => {
                "try again in a few minutes"
            }
            Self::LeadsAway { .. } => {
                "name another registry; one of your own on this machine has to answer, and to give tokens and \
                 layers, under one host name"
            }
            Self::TooSlow { .. } => {
                "try again later, or have the host ask a faster mirror first: windlass serve \
                 --registry-mirror"
            }
            Self::DigestMismatch { .. } | Self::TooLarge { .. } | Self::Protocol { .. } => {
                "try again; if it stays, something between here and the registry alters data"
            }
        }
    }

    fn told(&self, what: String, fix: String) -> Failure {
        let why = self.to_string();
        match self {
            Self::NotFound { .. }
            | Self::Unauthorized { .. }
            | Self::LeadsAway { .. }
            | Self::UnsupportedPlatform { .. } => Failure::app(self.code(), what, why, fix),
            _ => Failure::host(self.code(), what, why, fix),
        }
    }
}

fn absence(answered: bool) -> &'static str {
    if answered { "cannot serve this for now" } else { "cannot be reached" }
}

fn readers(with_login: bool) -> &'static str {
    if with_login { "to the stored login" } else { "to anonymous readers" }
}
