//! Short facts that are shown with the deployment. Needs the capability `annotations`.

#[cfg(target_arch = "wasm32")]
use crate::bindings::custom::windlass::annotations::annotations as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::mock as host;

pub use crate::bindings::custom::windlass::annotations::annotations::{
    Annotation, AnnotationError, Reason, Tone,
};

impl Annotation {
    /// A fact without a tone.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into(), tone: Tone::Neutral, url: None }
    }

    /// How it is to be taken.
    #[must_use]
    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// Where a person reads more.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Sets it, in place of an earlier one of this name.
    ///
    /// # Errors
    /// See [`Reason`].
    pub fn set(&self) -> Result<(), AnnotationError> {
        host::set(self)
    }
}

/// Sets a fact. Where it cannot be set, the log says why, and nothing else happens.
pub fn set(name: &str, value: &str) {
    if let Err(error) = Annotation::new(name, value).set() {
        crate::log::debug(format!("{name} was not noted: {}", error.message));
    }
}
