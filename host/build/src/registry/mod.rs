//! Reading public images from a registry: names, tokens, manifests, blobs. No push, no credentials.

mod client;
mod reference;

pub use client::{Client, ImageManifest, Layer, RegistryError};
pub use reference::{InvalidReference, Reference};
