//! What a builder asks about images, answered by the registry client with the project's logins.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use windlass_build::{Access, Builder};
use windlass_model::Failure;
use windlass_sandbox::{ImageConfig, ImageError, ImageLookup};

use crate::plugins;

/// The answers for one call; it keeps the first failure, in the registry's own words.
pub(super) struct Images {
    builder: Builder,
    access: Access,
    failure: Mutex<Option<Failure>>,
}

impl Images {
    pub(super) fn new(builder: Builder, access: Access) -> Self {
        Self { builder, access, failure: Mutex::new(None) }
    }

    /// A plugin's failure in the registry's words, if an image was what it wanted.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            Some(registry) => {
                let why = format!("{}: {}", failure.why, registry.why);
                Failure { what: failure.what, why, ..registry }
            }
            None => failure,
        }
    }
}

#[async_trait]
impl ImageLookup for Images {
    async fn config(&self, reference: &str, platform: &str) -> Result<ImageConfig, ImageError> {
        if platform != plugins::platform() {
            return Err(ImageError::UnsupportedPlatform);
        }
        match self.builder.describe_image(reference, self.access.clone()).await {
            Ok((digest, config)) => Ok(ImageConfig::new(&digest, config)),
            Err(failure) => {
                let error = match failure.code.as_str() {
                    "registry.not-found" | "registry.invalid-reference" => ImageError::NotFound,
                    "registry.unauthorized" => ImageError::Denied,
                    "registry.unsupported-platform" => ImageError::UnsupportedPlatform,
                    _ => ImageError::Unreachable,
                };
                let mut kept = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                kept.get_or_insert(failure);
                Err(error)
            }
        }
    }
}
