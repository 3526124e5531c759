//! Images of registries: names, logins, tokens, mirrors, manifests and blobs, read and pushed; what cosign
//! left beside them; and images in a folder.

mod access;
mod blob;
mod client;
mod component;
mod cosign;
mod error;
mod layout;
mod manifest;
mod mirror;
mod reference;
mod transport;
mod upload;

pub use access::{Access, Login};
pub use client::{Client, ImageManifest, Layer};
pub(crate) use client::{ImageSource, download};
pub use component::{About, Component, push_component};
pub use cosign::{Cosign, CosignFound, CosignSignature};
pub use error::RegistryError;
pub use layout::Layout;
pub(crate) use manifest::MANIFEST_TYPE;
pub use mirror::Mirror;
pub use reference::{InvalidReference, Reference};
pub(crate) use upload::{Target, in_memory};
