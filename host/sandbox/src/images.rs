//! What a builder may ask about base images. The host that has a registry client answers.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use windlass_model::Digest;
use windlass_model::plan::{HealthCheck, ImageDetails, RunConfig};

/// What an image brings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// Digest of the image that the reference stands for.
    pub digest: String,
    /// Environment.
    pub env: Vec<(String, String)>,
    /// Fixed part of the command.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub cmd: Vec<String>,
    /// User.
    pub user: String,
    /// Working directory.
    pub cwd: String,
    /// Shell of shell-form commands.
    pub shell: Vec<String>,
    /// Triggers.
    pub onbuild: Vec<String>,
    /// Ports, as `80/tcp`.
    pub exposed: Vec<String>,
    /// Volumes.
    pub volumes: Vec<String>,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// Signal that asks it to end.
    pub stop_signal: Option<String>,
    /// How its process is asked whether it is well.
    pub health: Option<HealthCheck>,
    /// Who made it.
    pub author: Option<String>,
}

impl ImageConfig {
    /// What a builder is told of this image.
    pub fn new(digest: &Digest, config: RunConfig) -> Self {
        let ImageDetails { shell, onbuild, ports, health, author, .. } = *config.details;
        Self {
            digest: digest.to_string(),
            env: config.env,
            entrypoint: config.entrypoint,
            cmd: config.cmd,
            user: config.user,
            cwd: config.cwd,
            shell,
            onbuild,
            exposed: ports,
            volumes: config.volumes,
            labels: config.labels,
            stop_signal: config.stop_signal,
            health,
            author,
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// There is no such image.
    #[error("there is no such image")]
    NotFound,
    /// It is not for this host.
    #[error("access was denied")]
    Denied,
    /// The registry does not answer.
    #[error("the registry cannot be reached")]
    Unreachable,
    /// It has no variant for the platform.
    #[error("there is no variant for this platform")]
    UnsupportedPlatform,
}

/// Looks up images for builders. An answer that used it is not cached: a tag may move.
#[async_trait::async_trait]
pub trait ImageLookup: Send + Sync {
    /// The configuration of an image for a platform such as `linux/amd64`.
    ///
    /// # Errors
    /// See [`ImageError`].
    async fn config(&self, reference: &str, platform: &str) -> Result<ImageConfig, ImageError>;
}

/// The answer where no registry is to be asked: every image is there, and nothing is known of it.
#[derive(Debug, Default)]
pub struct NotAsked(Mutex<BTreeSet<String>>);

impl NotAsked {
    /// The images that somebody wanted to know about.
    pub fn names(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[async_trait::async_trait]
impl ImageLookup for NotAsked {
    async fn config(&self, reference: &str, _platform: &str) -> Result<ImageConfig, ImageError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(reference.to_owned());
        Ok(ImageConfig::default())
    }
}

/// Look-ups of one call: what they take is the host's time, so neither limit of time ends them.
pub(crate) const LOOKUPS_MAX: usize = 100;
/// The longest look-up of one image.
pub(crate) const LOOKUP_MAX: Duration = Duration::from_secs(60);

/// The answer where there is no registry client.
pub(crate) struct NoImages;

#[async_trait::async_trait]
impl ImageLookup for NoImages {
    async fn config(&self, _reference: &str, _platform: &str) -> Result<ImageConfig, ImageError> {
        Err(ImageError::Unreachable)
    }
}
