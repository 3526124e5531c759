//! WebAssembly components in registries: an artifact of one layer of the type `application/wasm`, as `wkg` (the crate
//! `oci-wasm`) writes and reads it. The layout is the guidance of CNCF's TAG Runtime for Wasm OCI artifacts. Blocking:
//! the caller puts it on a thread of its own.

use std::path::Path;

use serde::{Deserialize, Serialize};
use windlass_model::Digest;

use super::access::Login;
use super::client::Client;
use super::error::RegistryError;
use super::manifest::{self, MANIFEST_TYPE};
use super::reference::Reference;
use super::upload::{Target, in_memory};

const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
const LAYER_TYPE: &str = "application/wasm";
/// When an artifact was made, which readers insist on: always the same, so that a component pushed again has the same
/// digest.
const CREATED: &str = "1970-01-01T00:00:00Z";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
}

/// A component that was read from a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// The component, checked against its digest.
    pub bytes: Vec<u8>,
    /// The digest of the manifest that named it: what the artifact is known by, and what a signature beside it is of.
    pub manifest: Digest,
}

/// What a registry is told of a component beside its bytes.
#[derive(Debug, Clone)]
pub struct About<'a> {
    /// Interfaces that it imports.
    pub imports: &'a [String],
    /// Interfaces that it exports.
    pub exports: &'a [String],
}

impl Client {
    /// The component that the reference names, checked against its digest.
    ///
    /// # Errors
    /// Every [`RegistryError`]; what is no component, or larger than `bytes_max`, is
    /// [`RegistryError::Protocol`].
    pub fn component(&self, bytes_max: u64) -> Result<Component, RegistryError> {
        let host = self.reference().host();
        let unusable = |why: String| RegistryError::Protocol { host: host.to_owned(), why };
        let top = self.top()?;
        let document: Manifest = manifest::json(host, &top)?;
        let [layer] = document.layers.as_slice() else {
            let layers = document.layers.len();
            return Err(unusable(format!("a component is one layer, and this has {layers}")));
        };
        if layer.media_type != LAYER_TYPE {
            let kind = &layer.media_type;
            return Err(unusable(format!(
                "it is no component: its layer is {kind}, not {LAYER_TYPE}"
            )));
        }
        if layer.size > bytes_max {
            let bytes = layer.size;
            return Err(unusable(format!(
                "it has {bytes} bytes, more than the {bytes_max} allowed"
            )));
        }
        let bytes = self.blob(&layer.digest, bytes_max)?;
        Ok(Component { bytes, manifest: Digest::of(&top) })
    }
}

/// Pushes a component under this name; the digest of its manifest, which is the same for the same component.
///
/// # Errors
/// Every [`RegistryError`].
pub fn push_component(
    reference: &Reference,
    certificates: Option<&Path>,
    login: Option<Login>,
    bytes: &[u8],
    about: &About<'_>,
) -> Result<Digest, RegistryError> {
    let target = Target::new(reference.clone(), certificates, login);
    let digest = Digest::of(bytes);
    let config = serde_json::json!({
        "created": CREATED,
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [digest],
        "component": { "imports": about.imports, "exports": about.exports },
    });
    let config = config.to_string().into_bytes();
    for blob in [bytes, config.as_slice()] {
        target.put_blob(&Digest::of(blob), blob.len() as u64, None, &in_memory(blob))?;
    }
    let descriptor = |media_type: &str, blob: &[u8]| Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::of(blob),
        size: blob.len() as u64,
    };
    let document = Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST_TYPE.to_owned()),
        config: Some(descriptor(CONFIG_TYPE, &config)),
        layers: vec![descriptor(LAYER_TYPE, bytes)],
    };
    let text = serde_json::to_vec(&document).map_err(|error| RegistryError::Protocol {
        host: reference.host().to_owned(),
        why: error.to_string(),
    })?;
    target.put_manifest(MANIFEST_TYPE, &text)?;
    Ok(Digest::of(&text))
}
