//! What images were at their registries when they were asked for last: of one that is the same, its index or manifest
//! alone is read again, and nothing that it names.
//!
//! **Invariant: nothing is taken from here but by the digest that a registry told just now.** Names with a login are
//! each project's own ([`Access::remembered`](crate::registry::Access::remembered)).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::registry::ImageManifest;

/// Images that are known at once; beyond it all are read anew.
const KNOWN_MAX: usize = 256;
/// What is larger is read anew each time: a registry may say very much of an image.
const LAYERS_MAX: usize = 200;
const TYPES_BYTES_MAX: usize = 32 << 10;
const CONFIG_BYTES_MAX: usize = 16 << 10;

/// Images by the names that they are remembered under.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<String, ImageManifest>>);

impl Known {
    pub(super) fn find(&self, asked: &str) -> Option<ImageManifest> {
        self.images().get(asked).cloned()
    }

    pub(super) fn note(&self, asked: String, image: &ImageManifest) {
        let mut images = self.images();
        if images.get(&asked).is_some_and(|known| known.digest == image.digest) || is_large(image) {
            return;
        }
        if images.len() >= KNOWN_MAX {
            images.clear();
        }
        images.insert(asked, image.clone());
    }

    fn images(&self) -> MutexGuard<'_, HashMap<String, ImageManifest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_large(image: &ImageManifest) -> bool {
    let config = serde_json::to_vec(&image.config).map_or(usize::MAX, |config| config.len());
    let types: usize = image.layers.iter().map(|layer| layer.media_type.len()).sum();
    image.layers.len() > LAYERS_MAX || types > TYPES_BYTES_MAX || config > CONFIG_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use windlass_model::Digest;
    use windlass_model::plan::RunConfig;

    use super::*;

    fn image(text: &str) -> ImageManifest {
        let config = RunConfig { cwd: text.to_owned(), ..RunConfig::default() };
        ImageManifest { digest: Digest::of(text.as_bytes()), config, layers: Vec::new() }
    }

    #[test]
    fn the_newest_of_each_name_is_known_and_never_too_much() {
        let known = Known::default();
        known.note("a".to_owned(), &image("old"));
        known.note("a".to_owned(), &image("new"));
        assert_eq!(known.find("a"), Some(image("new")));
        assert_eq!(known.find("a of project b"), None);
        known.note("large".to_owned(), &image(&"x".repeat(CONFIG_BYTES_MAX)));
        assert_eq!(known.find("large"), None);
        (0..KNOWN_MAX).for_each(|n| known.note(n.to_string(), &image("b")));
        assert_eq!(known.find("a"), None, "all are forgotten");
        assert_eq!(known.find(&(KNOWN_MAX - 1).to_string()), Some(image("b")));
    }
}
