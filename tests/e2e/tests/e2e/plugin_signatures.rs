//! Plugins in a private image registry with what `cosign sign --key` leaves beside them. The keys and the signatures are
//! OpenSSL's: a program that knows nothing of ours.

use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use windlass_test_support::registry::{DockerRegistry, LOGIN};
use windlass_test_support::{CliOutput, TestHost, guest};

use crate::plugins::Versions;

const PLUGIN: &str = guest::STAGES;
const REPOSITORY: &str = "acme/stages";

/// A key pair on the curve P-256, as `cosign generate-key-pair` makes one.
struct Key(TempDir);

impl Key {
    fn generate() -> Self {
        let key = Self(tempfile::tempdir().unwrap());
        let curve = "ec_paramgen_curve:P-256";
        key.openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", curve, "-out", "cosign.key"]);
        key.openssl(&["pkey", "-in", "cosign.key", "-pubout", "-out", "cosign.pub"]);
        key
    }

    fn openssl(&self, args: &[&str]) -> Vec<u8> {
        let ran = Command::new("openssl").args(args).current_dir(&self.0).output().unwrap();
        assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
        ran.stdout
    }

    fn public(&self) -> PathBuf {
        self.0.path().join("cosign.pub")
    }

    /// Leaves a signature beside an artifact, of the one that it names.
    fn sign(&self, registry: &DockerRegistry, beside: &str, named: &str) {
        let payload = json!({
            "critical": {
                "identity": { "docker-reference": format!("{}/{REPOSITORY}", registry.address) },
                "image": { "docker-manifest-digest": named },
                "type": "cosign container image signature",
            },
            "optional": null,
        });
        let payload = payload.to_string().into_bytes();
        std::fs::write(self.0.path().join("payload"), &payload).unwrap();
        let signature = self.openssl(&["dgst", "-sha256", "-sign", "cosign.key", "payload"]);
        let signed = json!({ "dev.cosignproject.cosign/signature": STANDARD.encode(signature) });
        let layer = ("application/vnd.dev.cosign.simplesigning.v1+json", &payload[..], signed);
        registry.push_artifact(REPOSITORY, &tag(beside), &[layer]);
    }
}

/// Where cosign leaves the signatures of an artifact.
fn tag(artifact: &str) -> String {
    format!("{}.sig", artifact.replace(':', "-"))
}

/// Publishes a version; the digest of the artifact.
fn publish(
    host: &TestHost,
    registry: &DockerRegistry,
    versions: &Versions,
    version: &str,
) -> String {
    let to = format!("{}/{REPOSITORY}:{version}", registry.address);
    let file = versions.file(&format!("{version}.wasm"));
    let args = ["--json", "plugin", "publish", &to, file.to_str().unwrap()];
    let login = ["--username", LOGIN.0, "--password-stdin"];
    let said: Value = host.cli_with_input(&[&args[..], &login[..]].concat(), LOGIN.1).ok().json();
    said["artifact"].as_str().unwrap().to_owned()
}

fn plugin(host: &TestHost, args: &[&str]) -> CliOutput {
    host.cli_json(&[&["plugin"], args].concat())
}

#[test]
fn a_plugin_of_a_private_registry_is_installed_only_with_cosigns_signature_by_a_trusted_key() {
    let versions = Versions::new();
    let registry = DockerRegistry::start_guarded();
    let (author, stranger) = (Key::generate(), Key::generate());
    let host = TestHost::start();
    host.cli(&["project", "create", "shop"]).ok();
    let login = ["registry", "login", &registry.address, "--username", LOGIN.0, "--password-stdin"];
    host.cli_with_input(&[&login[..], &["--project", "shop"]].concat(), LOGIN.1).ok();
    let first = publish(&host, &registry, &versions, "1");
    let second = publish(&host, &registry, &versions, "2");
    let trusted = format!("acme={}", author.public().display());
    plugin(&host, &["trust", "--add", &trusted, "--policy", "require"]).ok();

    let address = |version: &str| format!("oci://{}/{REPOSITORY}:{version}", registry.address);
    let install = || {
        let args = ["install", &address("1"), "--grant", "source,cache", "--project", "shop"];
        plugin(&host, &args)
    };
    let refused = |code: &str, why: &str| {
        let failure = install().failure();
        assert_eq!(failure.code, code, "{failure:#?}");
        assert!(failure.why.contains(why), "{failure:#?}");
    };
    let place = format!("{}/{REPOSITORY}:{}", registry.address, tag(&first));
    refused("plugin.signature-missing", &place);
    stranger.sign(&registry, &first, &first);
    refused("plugin.signature-wrong", "acme");
    author.sign(&registry, &first, &second);
    refused("plugin.signature-of-another", &second);
    registry.push_artifact(REPOSITORY, &tag(&first), &[("application/wasm", b"text", json!({}))]);
    refused("plugin.signature-unreadable", &place);
    let listed: Value = plugin(&host, &["list"]).ok().json();
    assert!(!listed["plugins"].to_string().contains(PLUGIN), "nothing was installed: {listed:#}");

    author.sign(&registry, &first, &first);
    let installed: Value = install().ok().json();
    let by_author = json!({ "is": "verified", "key": "acme" });
    assert_eq!(installed["signature"], by_author, "{installed:#}");

    // The next version is not signed, and that is taken with a word about it.
    let to = address("2");
    let upgrade = ["upgrade", PLUGIN, &to, "--project", "shop"];
    assert_eq!(plugin(&host, &upgrade).failure().code, "plugin.signature-missing");
    plugin(&host, &["trust", "--policy", "warn"]).ok();
    let upgraded: Value = plugin(&host, &upgrade).ok().json();
    assert_eq!(upgraded["signature"], json!({ "is": "absent" }), "{upgraded:#}");
    let shown: Value = plugin(&host, &["show", PLUGIN]).ok().json();
    let signatures: Vec<&Value> =
        shown["versions"].as_array().unwrap().iter().map(|version| &version["signature"]).collect();
    assert!(signatures.contains(&&by_author), "what was verified stays so: {shown:#}");
    host.finish();
}
