//! What a builder may ask about base images. The host that has a registry client answers.

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

/// The answer where there is no registry client.
pub(crate) struct NoImages;

#[async_trait::async_trait]
impl ImageLookup for NoImages {
    async fn config(&self, _reference: &str, _platform: &str) -> Result<ImageConfig, ImageError> {
        Err(ImageError::Unreachable)
    }
}
