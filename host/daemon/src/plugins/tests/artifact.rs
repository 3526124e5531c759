//! Plugins in an image registry, and what cosign left beside them, from a real server.

use windlass_model::plugin::lock::Policy;

use super::super::signature::Proof;
use super::super::signature::tests::{CosignKey, payload};
use super::index::{Files, wanted};
use super::*;

const KIND: &str = "cosign container image signature";

/// A registry with the artifact `acme/scan:1` in it.
struct Registry {
    files: Files,
    address: String,
    /// The digest of its manifest.
    artifact: Digest,
}

impl Registry {
    fn with(component: &[u8]) -> Self {
        let files = Files::serve();
        let address = files.url.replace("http://", "oci://") + "/acme/scan:1";
        let layer = json!({ "mediaType": "application/wasm", "size": component.len(),
                            "digest": Digest::of(component) });
        let manifest = json!({ "schemaVersion": 2, "layers": [layer] }).to_string();
        files.put(&blob(component), component);
        files.put("/v2/acme/scan/manifests/1", manifest.as_bytes());
        Self { files, address, artifact: Digest::of(manifest.as_bytes()) }
    }

    /// Where cosign leaves signatures of the artifact.
    fn place(&self) -> String {
        format!("/v2/acme/scan/manifests/sha256-{}.sig", self.artifact.hex())
    }

    /// Leaves there a signature of an artifact.
    fn sign(&self, key: &CosignKey, artifact: &Digest) {
        let payload = payload(KIND, artifact);
        let layer = json!({
            "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
            "size": payload.len(), "digest": Digest::of(&payload),
            "annotations": { "dev.cosignproject.cosign/signature": key.sign(&payload) },
        });
        self.files.put(&blob(&payload), payload);
        let manifest = json!({ "schemaVersion": 2, "layers": [layer] }).to_string();
        self.files.put(&self.place(), manifest);
    }

    /// How often somebody looked there.
    fn looked(&self) -> usize {
        self.files.asked_for(&self.place()).len()
    }
}

fn blob(bytes: &[u8]) -> String {
    format!("/v2/acme/scan/blobs/{}", Digest::of(bytes))
}

impl World {
    /// What an installation of the artifact would be.
    async fn tried(&self, registry: &Registry) -> Result<Proposal, Failure> {
        let fetched = self.plugins.fetch(wanted(&registry.address), &[]).await?;
        self.plugins.install(fetched, ask(None, None, true)).await
    }

    async fn trusts(&self, policy: Policy, key: &CosignKey) {
        let add = [("team".to_owned(), key.pem.clone())].into();
        let body = SetSignatures { policy: Some(policy), add, ..SetSignatures::default() };
        self.plugins.trust(body).await.unwrap();
    }
}

#[tokio::test]
async fn an_artifact_is_installed_only_with_cosigns_signature_of_it_where_one_is_required() {
    let world = World::new();
    let registry = Registry::with(&component("1.0.0", json!([])));
    let (key, stranger) = (CosignKey::generate(), CosignKey::generate());
    world.trusts(Policy::Require, &key).await;
    let refused = async || {
        let failure = world.tried(&registry).await.unwrap_err();
        (failure.code, failure.why)
    };
    let (code, why) = refused().await;
    let tag = format!("/acme/scan:sha256-{}.sig", registry.artifact.hex());
    assert_eq!((code.as_str(), why.ends_with(&tag)), ("plugin.signature-missing", true), "{why}");
    registry.sign(&stranger, &registry.artifact);
    let (code, why) = refused().await;
    assert_eq!(code, "plugin.signature-wrong", "{why}");
    let other = Digest::of(b"another artifact");
    registry.sign(&key, &other);
    let (code, why) = refused().await;
    assert_eq!(code, "plugin.signature-of-another", "{why}");
    assert!(why.contains(other.as_str()) && why.contains(registry.artifact.as_str()), "{why}");
    registry.files.put(&registry.place(), "{}");
    let (code, why) = refused().await;
    assert_eq!((code.as_str(), why.contains(&tag)), ("plugin.signature-unreadable", true), "{why}");

    registry.sign(&key, &registry.artifact);
    let fetched = world.plugins.fetch(wanted(&registry.address), &[]).await.unwrap();
    let proposal = world.plugins.install(fetched, ask(None, None, false)).await.unwrap();
    assert_eq!(proposal.signature, Signature::Verified { key: "team".to_owned() });
    assert_eq!(world.names(None), ["scan 1.0.0"]);
}

#[tokio::test]
async fn beside_an_artifact_nobody_looks_without_need_and_what_is_not_known_is_no_absence() {
    let world = World::new();
    let file = component("1.0.0", json!([]));
    let registry = Registry::with(&file);
    let key = CosignKey::generate();
    assert_eq!(world.tried(&registry).await.unwrap().signature, Signature::NotChecked);
    world.trusts(Policy::Warn, &key).await;
    let mut other = wanted(&registry.address);
    other.digest = Some(Digest::of(b"another file"));
    let failure = world.plugins.fetch(other, &[]).await.err().unwrap();
    assert_eq!(failure.code, "plugin.digest-wrong");
    let mut given = wanted(&registry.address);
    given.signature = Some(key.sign(&file));
    let given = world.plugins.fetch(given, &[]).await.unwrap();
    assert!(matches!(given.proof, Proof::OfFile(_)), "{:?}", given.proof);
    assert_eq!(registry.looked(), 0);
    let proposal = world.plugins.install(given, ask(None, None, true)).await.unwrap();
    assert_eq!(proposal.signature, Signature::Verified { key: "team".to_owned() });

    assert_eq!(world.tried(&registry).await.unwrap().signature, Signature::Absent);
    registry.sign(&CosignKey::generate(), &registry.artifact);
    assert_eq!(world.tried(&registry).await.unwrap().signature, Signature::Untrusted);
    assert_eq!(registry.looked(), 2);
    // The registry gives another payload than was signed: no other try would find a signature.
    registry.files.put(&blob(&payload(KIND, &registry.artifact)), "{}");
    assert_eq!(world.tried(&registry).await.unwrap().signature, Signature::Untrusted);
    world.trusts(Policy::Require, &key).await;
    let failure = world.tried(&registry).await.unwrap_err();
    assert_eq!(failure.code, "plugin.signature-unreadable", "{failure:?}");
    assert!(failure.why.contains("a payload cannot be read"), "{failure:?}");
    world.trusts(Policy::Warn, &key).await;
    // What it refuses to give may be a good one.
    registry.files.refuse(&registry.place());
    let failure = world.tried(&registry).await.unwrap_err();
    assert_eq!(failure.code, "plugin.fetch-failed", "{failure:?}");
    assert!(failure.what.starts_with("the signature of"), "{failure:?}");
}
