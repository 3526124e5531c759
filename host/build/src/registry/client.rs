//! The registry's HTTP API (OCI distribution), as far as a pull needs it. Blocking: the caller puts it on
//! a thread of its own.

use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use ureq::http::Response;
use ureq::{Agent, Body};
use windlass_model::plan::RunConfig;
use windlass_model::{Digest, Failure};

use super::access::Login;
use super::manifest;
use super::reference::Reference;
use crate::http::{Timeouts, agent};

/// A manifest or an image's configuration is never larger.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// A registry that does not take a connection within this time counts as unreachable.
const CONNECT: Duration = Duration::from_secs(2);

const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

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
    /// No connection, or no answer.
    #[error("{host} cannot be reached: {why}")]
    Unreachable {
        /// The registry's host.
        host: String,
        /// What was seen.
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
            Self::RateLimited { .. } => "registry.rate-limited",
            Self::DigestMismatch { .. } => "registry.digest-mismatch",
            Self::UnsupportedPlatform { .. } => "registry.unsupported-platform",
            Self::Protocol { .. } => "registry.protocol",
        }
    }

    /// As a step's failure.
    pub fn failure(&self, image: &Reference) -> Failure {
        let what = format!("The image {image} could not be pulled");
        let why = self.to_string();
        match self {
            Self::NotFound { .. } => {
                Failure::app(self.code(), what, why, "check the name and the tag, or push it first")
            }
            Self::Unauthorized { .. } => Failure::app(
                self.code(),
                what,
                why,
                format!(
                    "check the name; if it is private, store a login that may read it: windlass \
                     registry login {}",
                    image.registry
                ),
            ),
            Self::UnsupportedPlatform { .. } => Failure::app(
                self.code(),
                what,
                why,
                "choose an image that is made for this machine",
            ),
            Self::Unreachable { .. } | Self::RateLimited { .. } => Failure::host(
                self.code(),
                what,
                why,
                "check this machine's connection and DNS, then try again",
            ),
            Self::DigestMismatch { .. } | Self::Protocol { .. } => Failure::host(
                self.code(),
                what,
                why,
                "try again; if it stays, something between here and the registry alters data",
            ),
        }
    }
}

fn readers(with_login: bool) -> &'static str {
    if with_login { "to the stored login" } else { "to anonymous readers" }
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob.
    pub bytes: u64,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
}

/// An image for this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageManifest {
    /// Digest that names the image: of the index or manifest that was asked for.
    pub digest: Digest,
    /// How it is run.
    pub config: RunConfig,
    /// Its layers, lowest first.
    pub layers: Vec<Layer>,
}

/// Where an image is read from. Blocking: the caller puts it on a thread of its own.
pub(crate) trait ImageSource: Send + Sync {
    /// The image for this machine.
    fn manifest(&self) -> Result<ImageManifest, RegistryError>;
    /// A layer's blob. Who reads it checks its digest.
    fn layer(&self, layer: &Layer) -> Result<Box<dyn Read + Send>, RegistryError>;
}

impl ImageSource for Client {
    fn manifest(&self) -> Result<ImageManifest, RegistryError> {
        Self::manifest(self)
    }

    fn layer(&self, layer: &Layer) -> Result<Box<dyn Read + Send>, RegistryError> {
        Ok(Box::new(Self::layer(self, layer)?))
    }
}

/// Speaks to one registry about one repository.
pub struct Client {
    agent: Agent,
    reference: Reference,
    login: Option<Login>,
    /// Value of the header that authorizes, once it is known.
    authorization: Mutex<Option<String>>,
}

impl Client {
    /// A client for an image, trusting these certificate authorities.
    pub fn new(reference: Reference, certificates: Option<&Path>, login: Option<Login>) -> Self {
        let timeouts = Timeouts { connect: CONNECT, silence: Duration::from_secs(60) };
        let agent = agent(certificates, timeouts);
        Self { agent, reference, login, authorization: Mutex::new(None) }
    }

    fn url(&self, kind: &str, selector: &str) -> String {
        let scheme = if self.reference.is_plain_http() { "http" } else { "https" };
        let (host, repository) = (self.reference.host(), &self.reference.repository);
        format!("{scheme}://{host}/v2/{repository}/{kind}/{selector}")
    }

    /// The image's manifest and configuration for this machine, each checked against its digest.
    ///
    /// # Errors
    /// Every [`RegistryError`].
    pub fn manifest(&self) -> Result<ImageManifest, RegistryError> {
        let expected = self.reference.digest.clone();
        let (digest, top) = self.document("manifests", self.reference.selector(), expected)?;
        let (what, host) = (self.reference.to_string(), self.reference.host());
        manifest::read(&what, host, digest, &top, |kind, wanted| {
            Ok(self.document(kind, wanted.as_str(), Some(wanted.clone()))?.1)
        })
    }

    /// A layer's blob. Who reads it checks its digest.
    ///
    /// # Errors
    /// Every [`RegistryError`] but a digest mismatch.
    pub fn layer(&self, layer: &Layer) -> Result<impl Read + Send + use<>, RegistryError> {
        let response = self.get("blobs", layer.digest.as_str(), "*/*")?;
        let body = response.into_body().into_with_config().limit(layer.bytes + 1).reader();
        Ok(body)
    }

    /// A small document, checked against the digest if there is one.
    fn document(
        &self,
        kind: &str,
        selector: &str,
        expected: Option<Digest>,
    ) -> Result<(Digest, Vec<u8>), RegistryError> {
        let mut response = self.get(kind, selector, ACCEPTED)?;
        let bytes = response
            .body_mut()
            .with_config()
            .limit(DOCUMENT_BYTES_MAX)
            .read_to_vec()
            .map_err(|e| self.transport(&e))?;
        let got = Digest::of(&bytes);
        match expected {
            Some(expected) if expected != got => {
                let what = format!("{kind}/{selector}");
                Err(RegistryError::DigestMismatch { what, expected, got })
            }
            _ => Ok((got, bytes)),
        }
    }

    fn protocol(&self, why: &str) -> RegistryError {
        RegistryError::Protocol { host: self.reference.host().to_owned(), why: why.to_owned() }
    }

    fn transport(&self, error: &ureq::Error) -> RegistryError {
        let host = self.reference.host().to_owned();
        RegistryError::Unreachable { host, why: error.to_string() }
    }

    fn get(
        &self,
        kind: &str,
        selector: &str,
        accept: &str,
    ) -> Result<Response<Body>, RegistryError> {
        let url = self.url(kind, selector);
        let mut response = self.request(&url, accept)?;
        if response.status() == 401 && self.authorize(&response)? {
            response = self.request(&url, accept)?;
        }
        let what = format!("{}/{selector} of {}", kind, self.reference);
        match response.status().as_u16() {
            200..=299 => Ok(response),
            404 => Err(RegistryError::NotFound { what }),
            401 | 403 => {
                Err(RegistryError::Unauthorized { what, with_login: self.login.is_some() })
            }
            429 => {
                let host = self.reference.host().to_owned();
                Err(RegistryError::RateLimited { host })
            }
            status => Err(self.protocol(&format!("status {status} for {what}"))),
        }
    }

    fn request(&self, url: &str, accept: &str) -> Result<Response<Body>, RegistryError> {
        let mut request = self.agent.get(url).header("accept", accept);
        let known = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known {
            request = request.header("authorization", known);
        }
        request.call().map_err(|e| self.transport(&e))
    }

    /// Follows a challenge, with the login if there is one. Whether another try makes sense.
    fn authorize(&self, refused: &Response<Body>) -> Result<bool, RegistryError> {
        let challenge = refused.headers().get("www-authenticate").and_then(|v| v.to_str().ok());
        let challenge = challenge.unwrap_or_default();
        let value = match (Challenge::parse(challenge), &self.login) {
            (Some(bearer), _) => self.fetch_token(bearer)?.map(|token| format!("Bearer {token}")),
            (None, Some(login)) if is_basic(challenge) => Some(login.basic()),
            (None, _) => None,
        };
        let found = value.is_some();
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = value;
        Ok(found)
    }

    fn fetch_token(&self, bearer: Challenge) -> Result<Option<String>, RegistryError> {
        if !bearer.realm.starts_with("https://") && !self.reference.is_plain_http() {
            return Err(self.protocol("it wants a token to be fetched without encryption"));
        }
        let scope = format!("repository:{}:pull", self.reference.repository);
        let mut request = self.agent.get(&bearer.realm).query("scope", scope);
        if let Some(service) = bearer.service {
            request = request.query("service", service);
        }
        if let Some(login) = &self.login {
            request = request.header("authorization", login.basic());
        }
        let mut answer = request.call().map_err(|e| self.transport(&e))?;
        if !answer.status().is_success() {
            return Ok(None);
        }
        let bytes = answer
            .body_mut()
            .with_config()
            .limit(DOCUMENT_BYTES_MAX)
            .read_to_vec()
            .map_err(|e| self.transport(&e))?;
        let token: Token = manifest::json(self.reference.host(), &bytes)?;
        Ok(token.token.or(token.access_token))
    }
}

fn is_basic(challenge: &str) -> bool {
    challenge.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic"))
}

/// `Bearer realm="...",service="..."`
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    realm: String,
    service: Option<String>,
}

impl Challenge {
    fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let value = |name: &str| {
            rest.split(',').find_map(|pair| {
                let (key, value) = pair.trim().split_once('=')?;
                (key == name).then(|| value.trim_matches('"').to_owned())
            })
        };
        Some(Self { realm: value("realm")?, service: value("service") })
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read() {
        let header = r#"Bearer realm="https://auth.example/token",service="registry.example""#;
        let expected = Challenge {
            realm: "https://auth.example/token".into(),
            service: Some("registry.example".into()),
        };
        assert_eq!(Challenge::parse(header), Some(expected));
        assert_eq!(Challenge::parse("Basic realm=\"x\""), None);
    }
}
