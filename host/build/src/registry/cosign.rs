//! Signatures that `cosign sign --key` leaves beside an artifact: an image under the tag `sha256-….sig` of the same
//! repository, each layer of which is a payload that says what was signed, with its signature as an annotation.
//! See the [specification](https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md). Blocking: the caller
//! puts it on a thread of its own.
//!
//! **Invariant: nothing that is read here is believed.** It is bounded, and whole as its digests say; who made a
//! signature, and of what, is checked by whoever has the keys.

use std::collections::BTreeMap;

use serde::Deserialize;
use windlass_model::Digest;

use super::client::Client;
use super::error::RegistryError;

/// Of a layer that is a payload.
const PAYLOAD_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation that has the signature of a payload.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// A manifest of signatures is never larger: beside each may be a chain of certificates and the entry of a log.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// A payload is never larger: it is a short document.
const PAYLOAD_BYTES_MAX: u64 = 16 << 10;
/// Of one artifact the first ones are read, and no more.
const SIGNATURES_MAX: usize = 50;

/// What lies where cosign leaves its signatures of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosign {
    /// The artifact: the digest of its manifest.
    pub artifact: Digest,
    /// Where that is: `ghcr.io/acme/scan:sha256-….sig`.
    pub place: String,
    /// What is there.
    pub found: CosignFound,
}

/// What lies in such a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CosignFound {
    /// Nothing.
    Nothing,
    /// Something that has no signature that could be read.
    Unreadable {
        /// What is wrong with it.
        why: String,
    },
    /// One signature or more, by whomever.
    Signatures(Vec<CosignSignature>),
}

/// A payload and a signature of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignSignature {
    /// What was signed, byte for byte: a document in JSON that names an artifact.
    pub payload: Vec<u8>,
    /// Base64.
    pub signature: String,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Client {
    /// What cosign left in this repository beside an artifact of it, which is given by the digest of its manifest.
    ///
    /// # Errors
    /// Every [`RegistryError`]; that there is nothing, or nothing that can be read, is none.
    pub fn cosign(&self, artifact: &Digest) -> Result<Cosign, RegistryError> {
        let tag = format!("sha256-{}.sig", artifact.hex());
        let reference = self.reference();
        let place = format!("{}/{}:{tag}", reference.registry, reference.repository);
        let found = match self.tagged(&tag, MANIFEST_BYTES_MAX) {
            Err(RegistryError::NotFound { .. }) => CosignFound::Nothing,
            Err(error @ RegistryError::TooLarge { .. }) => {
                CosignFound::Unreadable { why: error.to_string() }
            }
            Err(error) => return Err(error),
            Ok(manifest) => match listed(&manifest) {
                Err(why) => CosignFound::Unreadable { why },
                Ok(listed) => self.with_payloads(listed)?,
            },
        };
        Ok(Cosign { artifact: artifact.clone(), place, found })
    }

    /// Reads each payload once, however many signatures there are of it. A signature whose payload cannot be one is
    /// passed over.
    fn with_payloads(&self, listed: Vec<(Digest, String)>) -> Result<CosignFound, RegistryError> {
        let mut payloads: BTreeMap<Digest, Result<Vec<u8>, String>> = BTreeMap::new();
        let mut signatures = Vec::new();
        let mut why = "it has no signature".to_owned();
        for (digest, signature) in listed {
            let payload = match payloads.get(&digest) {
                Some(known) => known.clone(),
                None => {
                    let read = self.payload(&digest)?;
                    payloads.insert(digest, read.clone());
                    read
                }
            };
            match payload {
                Ok(payload) => signatures.push(CosignSignature { payload, signature }),
                Err(lack) => why = lack,
            }
        }
        if signatures.is_empty() {
            return Ok(CosignFound::Unreadable { why });
        }
        Ok(CosignFound::Signatures(signatures))
    }

    /// A payload; why there is none, which another try would not change.
    fn payload(&self, digest: &Digest) -> Result<Result<Vec<u8>, String>, RegistryError> {
        match self.blob(digest, PAYLOAD_BYTES_MAX) {
            Ok(payload) => Ok(Ok(payload)),
            Err(
                error @ (RegistryError::NotFound { .. }
                | RegistryError::DigestMismatch { .. }
                | RegistryError::TooLarge { .. }),
            ) => Ok(Err(format!("a payload cannot be read: {error}"))),
            Err(error) => Err(error),
        }
    }
}

/// The signatures that a manifest names, each with the digest of its payload; why there is none. Layers of other types
/// are passed over, and so is a signature that cannot be one: another beside it may be good.
fn listed(manifest: &[u8]) -> Result<Vec<(Digest, String)>, String> {
    let manifest: Manifest = serde_json::from_slice(manifest)
        .map_err(|error| format!("it does not read as the manifest of an image: {error}"))?;
    let layers = manifest.layers.into_iter().filter(|layer| layer.media_type == PAYLOAD_TYPE);
    let mut why = format!("it has no layer of the type {PAYLOAD_TYPE}");
    let mut listed = Vec::new();
    for mut layer in layers.take(SIGNATURES_MAX) {
        let signature = layer.annotations.remove(SIGNATURE);
        match signature {
            _ if layer.size > PAYLOAD_BYTES_MAX => {
                let bytes = layer.size;
                why = format!(
                    "a payload has {bytes} bytes, more than the {PAYLOAD_BYTES_MAX} allowed"
                );
            }
            None => why = format!("a payload has no annotation {SIGNATURE}"),
            Some(signature) => listed.push((layer.digest, signature)),
        }
    }
    if listed.is_empty() { Err(why) } else { Ok(listed) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn layer(media_type: &str, size: u64, annotations: &Value) -> Value {
        json!({ "mediaType": media_type, "digest": Digest::of(b"payload"), "size": size,
                "annotations": annotations })
    }

    fn of(layers: &[Value]) -> Result<Vec<(Digest, String)>, String> {
        listed(json!({ "schemaVersion": 2, "layers": layers }).to_string().as_bytes())
    }

    #[test]
    fn signatures_are_listed_and_what_is_beside_them_is_passed_over() {
        let good = layer(PAYLOAD_TYPE, 200, &json!({ SIGNATURE: "c2ln", "other": "x" }));
        let attestation = layer("application/vnd.dsse.envelope.v1+json", 9_000_000, &json!({}));
        let bare = layer(PAYLOAD_TYPE, 200, &json!({}));
        let found = of(&[attestation, bare, good.clone(), good]).unwrap();
        let expected = (Digest::of(b"payload"), "c2ln".to_owned());
        assert_eq!(found, [expected.clone(), expected]);
    }

    #[test]
    fn of_many_signatures_the_first_ones_are_listed() {
        let layers: Vec<Value> = (0..=SIGNATURES_MAX)
            .map(|n| layer(PAYLOAD_TYPE, 200, &json!({ SIGNATURE: n.to_string() })))
            .collect();
        let found = of(&layers).unwrap();
        let found: Vec<String> = found.into_iter().map(|(_, signature)| signature).collect();
        let expected: Vec<String> = (0..SIGNATURES_MAX).map(|n| n.to_string()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_has_no_signature_says_why() {
        let signed = json!({ SIGNATURE: "c2ln" });
        for (layers, expected) in [
            (Vec::new(), "no layer of the type"),
            (vec![layer("application/wasm", 1, &signed)], "no layer of the type"),
            (vec![layer(PAYLOAD_TYPE, 1, &json!({}))], "no annotation dev.cosignproject.cosign"),
            (vec![layer(PAYLOAD_TYPE, PAYLOAD_BYTES_MAX + 1, &signed)], "16385 bytes, more than"),
            (vec![json!({ "mediaType": PAYLOAD_TYPE, "size": 1 })], "does not read"),
        ] {
            let why = of(&layers).unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
        assert!(listed(b"<html>").unwrap_err().contains("does not read"));
    }
}
