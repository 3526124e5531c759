//! Files that are kept with the deployment. Needs the capability `artifacts`.

#[cfg(target_arch = "wasm32")]
use crate::bindings::custom::windlass::artifacts::artifacts as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::mock as host;

pub use crate::bindings::custom::windlass::artifacts::artifacts::{
    Artifact, ArtifactError, Kind, Reason,
};

/// Bytes that are passed at once: below what a host takes in one call.
const PIECE_BYTES: usize = 1 << 20;

impl Artifact {
    /// A file of this name; `media_type` as `text/html`.
    pub fn new(name: impl Into<String>, kind: Kind, media_type: impl Into<String>) -> Self {
        let name = name.into();
        Self { title: name.clone(), name, kind, media_type: media_type.into() }
    }

    /// What people are shown in place of its name.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Attaches it, of any length, in place of an earlier one of this name.
    ///
    /// # Errors
    /// See [`Reason`].
    pub fn attach(&self, content: &[u8]) -> Result<(), ArtifactError> {
        let (first, rest) = content.split_at(content.len().min(PIECE_BYTES));
        host::attach(self, first)?;
        self.append(rest)
    }

    /// Adds to it, once this call has attached it.
    ///
    /// # Errors
    /// See [`Reason`].
    pub fn append(&self, content: &[u8]) -> Result<(), ArtifactError> {
        content.chunks(PIECE_BYTES).try_for_each(|piece| host::append(&self.name, piece))
    }
}

impl From<ArtifactError> for crate::PluginError {
    /// As a failure of the plugin with the code `artifacts.failed`.
    fn from(error: ArtifactError) -> Self {
        Self::new("artifacts.failed", error.message)
    }
}
