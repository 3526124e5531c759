//! Reading images: names, logins, tokens, manifests, blobs of a registry, and images in a folder. No push.

mod access;
mod client;
mod layout;
mod manifest;
mod reference;

pub use access::{Access, Login};
pub(crate) use client::ImageSource;
pub use client::{Client, ImageManifest, Layer, RegistryError};
pub use layout::Layout;
pub use reference::{InvalidReference, Reference};
