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

use super::reference::Reference;
use crate::http::{Timeouts, agent};
use crate::key::architecture;

/// A manifest or an image's configuration is never larger.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

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
    #[error("the registry does not give {what} to anonymous readers")]
    Unauthorized {
        /// What was asked for.
        what: String,
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
            Self::NotFound { .. } | Self::Unauthorized { .. } => Failure::app(
                self.code(),
                what,
                why,
                "check the name and the tag; images that need a login are not supported yet",
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

/// Speaks to one registry about one repository.
pub struct Client {
    agent: Agent,
    reference: Reference,
    token: Mutex<Option<String>>,
}

impl Client {
    /// A client for an image, trusting these certificate authorities.
    pub fn new(reference: Reference, certificates: Option<&Path>) -> Self {
        let timeouts =
            Timeouts { connect: Duration::from_secs(4), silence: Duration::from_secs(60) };
        Self { agent: agent(certificates, timeouts), reference, token: Mutex::new(None) }
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
        let document: Document = self.json(&top)?;
        let manifest = match document.manifests {
            Some(list) => {
                let chosen = self.choose(&list)?;
                let (_, bytes) =
                    self.document("manifests", chosen.as_str(), Some(chosen.clone()))?;
                self.json(&bytes)?
            }
            None => document,
        };
        let (Some(config), Some(layers)) = (manifest.config, manifest.layers) else {
            return Err(self.protocol("a manifest without configuration or layers"));
        };
        let (_, bytes) =
            self.document("blobs", config.digest.as_str(), Some(config.digest.clone()))?;
        let image: ImageConfig = self.json(&bytes)?;
        self.check_platform(&image)?;
        if image.rootfs.diff_ids.len() != layers.len() {
            return Err(self.protocol("the configuration names other layers than the manifest"));
        }
        let layers = layers
            .into_iter()
            .zip(image.rootfs.diff_ids)
            .map(|(layer, diff_id)| Layer { digest: layer.digest, bytes: layer.size, diff_id })
            .collect();
        Ok(ImageManifest { digest, config: image.config.unwrap_or_default().into(), layers })
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

    fn choose(&self, list: &[Descriptor]) -> Result<Digest, RegistryError> {
        let wanted = architecture();
        let fits = |d: &&Descriptor| {
            d.platform.as_ref().is_some_and(|p| p.os == "linux" && p.architecture == wanted)
        };
        list.iter().find(fits).map(|d| d.digest.clone()).ok_or_else(|| {
            let named = |d: &Descriptor| {
                d.platform.as_ref().map(|p| format!("{}/{}", p.os, p.architecture))
            };
            let available: Vec<_> = list.iter().filter_map(named).collect();
            self.unsupported(available.join(", "))
        })
    }

    fn check_platform(&self, image: &ImageConfig) -> Result<(), RegistryError> {
        let os = image.os.as_deref().unwrap_or("linux");
        let given = image.architecture.as_deref().unwrap_or(architecture());
        if os == "linux" && given == architecture() {
            return Ok(());
        }
        Err(self.unsupported(format!("{os}/{given}")))
    }

    fn unsupported(&self, available: String) -> RegistryError {
        let what = self.reference.to_string();
        RegistryError::UnsupportedPlatform { what, wanted: architecture(), available }
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

    fn json<T: for<'a> Deserialize<'a>>(&self, bytes: &[u8]) -> Result<T, RegistryError> {
        serde_json::from_slice(bytes).map_err(|e| self.protocol(&e.to_string()))
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
        if response.status() == 401 && self.fetch_token(&response)? {
            response = self.request(&url, accept)?;
        }
        let what = format!("{}/{selector} of {}", kind, self.reference);
        match response.status().as_u16() {
            200..=299 => Ok(response),
            404 => Err(RegistryError::NotFound { what }),
            401 | 403 => Err(RegistryError::Unauthorized { what }),
            429 => {
                let host = self.reference.host().to_owned();
                Err(RegistryError::RateLimited { host })
            }
            status => Err(self.protocol(&format!("status {status} for {what}"))),
        }
    }

    fn request(&self, url: &str, accept: &str) -> Result<Response<Body>, RegistryError> {
        let mut request = self.agent.get(url).header("accept", accept);
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.call().map_err(|e| self.transport(&e))
    }

    /// Follows a challenge anonymously. Whether there is a token now.
    fn fetch_token(&self, refused: &Response<Body>) -> Result<bool, RegistryError> {
        let challenge = refused.headers().get("www-authenticate").and_then(|v| v.to_str().ok());
        let Some(bearer) = challenge.and_then(Challenge::parse) else { return Ok(false) };
        if !bearer.realm.starts_with("https://") && !self.reference.is_plain_http() {
            return Err(self.protocol("it wants a token to be fetched without encryption"));
        }
        let scope = format!("repository:{}:pull", self.reference.repository);
        let mut request = self.agent.get(&bearer.realm).query("scope", scope);
        if let Some(service) = bearer.service {
            request = request.query("service", service);
        }
        let mut answer = request.call().map_err(|e| self.transport(&e))?;
        if !answer.status().is_success() {
            return Ok(false);
        }
        let bytes = answer
            .body_mut()
            .with_config()
            .limit(DOCUMENT_BYTES_MAX)
            .read_to_vec()
            .map_err(|e| self.transport(&e))?;
        let token: Token = self.json(&bytes)?;
        let token = token.token.or(token.access_token);
        let found = token.is_some();
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
        Ok(found)
    }
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

/// An index or a manifest: which one shows in what it has.
#[derive(Deserialize)]
struct Document {
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: Digest,
    #[serde(default)]
    size: u64,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

#[derive(Deserialize)]
struct ImageConfig {
    architecture: Option<String>,
    os: Option<String>,
    config: Option<ConfigSection>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ConfigSection {
    env: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    exposed_ports: Option<std::collections::BTreeMap<String, serde_json::Value>>,
    volumes: Option<std::collections::BTreeMap<String, serde_json::Value>>,
    labels: Option<std::collections::BTreeMap<String, String>>,
    stop_signal: Option<String>,
}

impl From<ConfigSection> for RunConfig {
    fn from(section: ConfigSection) -> Self {
        let pair = |text: String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (text, String::new()),
        };
        let port = |text: String| text.split('/').next().and_then(|port| port.parse().ok());
        Self {
            entrypoint: section.entrypoint.unwrap_or_default(),
            cmd: section.cmd.unwrap_or_default(),
            env: section.env.unwrap_or_default().into_iter().map(pair).collect(),
            user: section.user.unwrap_or_default(),
            cwd: section.working_dir.unwrap_or_default(),
            exposed: section
                .exposed_ports
                .unwrap_or_default()
                .into_keys()
                .filter_map(port)
                .collect(),
            volumes: section.volumes.unwrap_or_default().into_keys().collect(),
            labels: section.labels.unwrap_or_default().into_iter().collect(),
            stop_signal: section.stop_signal,
        }
    }
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

    #[test]
    fn an_image_configuration_becomes_a_run_configuration() {
        let json = r#"{"Env":["PATH=/bin","A=b=c"],"Cmd":["node"],"WorkingDir":"/app",
                       "ExposedPorts":{"3000/tcp":{}},"Labels":null,"User":"node"}"#;
        let config = RunConfig::from(serde_json::from_str::<ConfigSection>(json).unwrap());
        assert_eq!(config.env[1], ("A".to_owned(), "b=c".to_owned()));
        assert_eq!(config.exposed, [3000]);
        assert_eq!((config.cwd.as_str(), config.user.as_str()), ("/app", "node"));
    }
}
