//! Who made a file: signatures of minisign and of cosign with a key.
//!
//! A key is known by its form: a minisign public key (one line of base64, with or without its comment), or an
//! ECDSA P-256 key as PEM, as `cosign generate-key-pair` writes it. A signature too: a `.minisig` file has
//! comments, one of cosign is the base64 of an ASN.1 signature of the file (`cosign sign-blob`). What `cosign sign`
//! leaves in a registry is a signature of a payload, which names the artifact by the digest of its manifest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign_verify::{PublicKey, Signature as Minisig};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::Deserialize;
use windlass_build::registry::{Cosign, CosignFound, CosignSignature};
use windlass_model::plugin::lock::{Policy, Signature, Signatures};
use windlass_model::plugin::manage::check_not_private;
use windlass_model::{Digest, Failure};

/// A signature is never longer, in bytes.
pub(super) const SIGNATURE_BYTES_MAX: usize = 8 * 1024;
/// What stands before the point of a P-256 key in its DER form (RFC 5480).
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// What a payload of cosign says that it is.
const PAYLOAD_KIND: &str = "cosign container image signature";
/// An uncompressed point, in bytes.
const POINT_BYTES: usize = 65;

/// A public key.
enum Key {
    Minisign(PublicKey),
    /// An uncompressed point.
    Ecdsa(Vec<u8>),
}

impl Key {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.contains("-----BEGIN") {
            return ecdsa(text).map(Self::Ecdsa);
        }
        // The key is on the last line, under its comment.
        let line = text.lines().next_back().unwrap_or_default().trim();
        PublicKey::from_base64(line).map(Self::Minisign).map_err(|_| {
            "it is neither a public key of minisign nor an ECDSA P-256 key as PEM".to_owned()
        })
    }

    fn made(&self, signature: &str, bytes: &[u8]) -> bool {
        match self {
            Self::Minisign(key) => Minisig::decode(signature.trim())
                .is_ok_and(|signature| key.verify(bytes, &signature, true).is_ok()),
            Self::Ecdsa(point) => {
                let compact: String = signature.split_whitespace().collect();
                let Ok(signature) = STANDARD.decode(compact) else { return false };
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
                key.verify(bytes, &signature).is_ok()
            }
        }
    }
}

fn ecdsa(pem: &str) -> Result<Vec<u8>, String> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(body.trim()).map_err(|_| "its PEM is not base64".to_owned())?;
    let point = der.strip_prefix(&SPKI_P256).filter(|point| point.len() == POINT_BYTES);
    point
        .map(<[u8]>::to_owned)
        .ok_or_else(|| "only ECDSA keys on the curve P-256 are known".to_owned())
}

/// Refuses what is no public key.
///
/// # Errors
/// `plugin.key-invalid`
pub(super) fn check_key(name: &str, text: &str) -> Result<(), Failure> {
    check_not_private(name, "KEY", text)?;
    Key::parse(text).map(drop).map_err(|why| {
        Failure::app(
            "plugin.key-invalid",
            format!("{name} is no key that can be trusted"),
            why,
            "give the text of `minisign.pub` or `cosign.pub`",
        )
    })
}

/// Whether a text has the form of a signature: the comments of minisign, or one base64 text.
pub(super) fn has_the_form(text: &str) -> bool {
    let compact: String = text.split_whitespace().collect();
    let is_minisig = text.trim_start().starts_with("untrusted comment:");
    is_minisig || (!compact.is_empty() && STANDARD.decode(compact).is_ok())
}

/// Whether a text reads as a signature: a whole `.minisig` file, or the base64 of an ASN.1 sequence.
fn is_signature(text: &str) -> bool {
    const SEQUENCE: u8 = 0x30;
    let compact: String = text.split_whitespace().collect();
    let is_asn1 = || STANDARD.decode(&compact).is_ok_and(|der| der.first() == Some(&SEQUENCE));
    text.len() <= SIGNATURE_BYTES_MAX && (Minisig::decode(text.trim()).is_ok() || is_asn1())
}

/// What came with a file to show who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nothing; where it was looked for, if anywhere.
    Nothing { looked: Option<String> },
    /// A signature of the file: the text of a `.minisig` file, or that of cosign.
    OfFile(String),
    /// What cosign left beside an artifact, of which the file is the only layer.
    OfArtifact(Cosign),
}

impl Proof {
    /// What somebody gave with a file, if anything.
    pub(super) fn given(signature: Option<String>) -> Self {
        signature.map_or(Self::Nothing { looked: None }, Self::OfFile)
    }
}

/// What is known of who made a file, and whether that is enough by the policy.
///
/// # Errors
/// When a signature by a trusted key is required: `plugin.signature-missing`; `plugin.signature-wrong`, when nobody made
/// it who is trusted; `plugin.signature-unreadable`, when it is none; of cosign's in a registry also
/// `plugin.signature-of-another`.
pub(super) fn check(
    trust: &Signatures,
    name: &str,
    bytes: &[u8],
    proof: &Proof,
) -> Result<Signature, Failure> {
    if trust.policy == Policy::Off {
        return Ok(Signature::NotChecked);
    }
    match made_by(trust, bytes, proof) {
        Ok(key) => Ok(Signature::Verified { key: key.to_owned() }),
        Err(lack) if trust.policy == Policy::Require => Err(lack.failure(name, trust)),
        Err(Lack::Missing { .. }) => Ok(Signature::Absent),
        Err(lack) => {
            tracing::info!(name, ?lack, "a signature does not count");
            Ok(Signature::Untrusted)
        }
    }
}

/// The name of the trusted key that made a file.
fn made_by<'a>(trust: &'a Signatures, bytes: &[u8], proof: &Proof) -> Result<&'a str, Lack> {
    match proof {
        Proof::Nothing { looked } => Err(Lack::Missing { looked: looked.clone() }),
        Proof::OfFile(text) if !is_signature(text) => Err(Lack::NoSignature),
        Proof::OfFile(text) => signer(trust, text, bytes).ok_or(Lack::Untrusted),
        Proof::OfArtifact(cosign) => signer_of_artifact(trust, cosign),
    }
}

/// The name of the trusted key that made this signature of these bytes.
fn signer<'a>(trust: &'a Signatures, signature: &str, bytes: &[u8]) -> Option<&'a str> {
    if signature.len() > SIGNATURE_BYTES_MAX {
        return None;
    }
    let made = |text: &str| Key::parse(text).is_ok_and(|key| key.made(signature, bytes));
    trust.keys.iter().find(|(_, key)| made(key)).map(|(name, _)| name.as_str())
}

/// The name of the trusted key that signed an artifact; of several signatures one is enough.
fn signer_of_artifact<'a>(trust: &'a Signatures, cosign: &Cosign) -> Result<&'a str, Lack> {
    let place = || cosign.place.clone();
    let signatures = match &cosign.found {
        CosignFound::Nothing => return Err(Lack::Missing { looked: Some(place()) }),
        CosignFound::Unreadable { why } => {
            return Err(Lack::Unreadable { place: place(), why: why.clone() });
        }
        CosignFound::Signatures(signatures) => signatures,
    };
    let mut lack = Lack::Untrusted;
    for CosignSignature { payload, signature } in signatures {
        // What nobody signed who is trusted is not read.
        let Some(key) = signer(trust, signature, payload) else { continue };
        lack = match signed_manifest(payload) {
            Ok(signed) if signed == cosign.artifact => return Ok(key),
            Ok(signed) => {
                let artifact = cosign.artifact.clone();
                Lack::OfAnother { key: key.to_owned(), signed, artifact }
            }
            Err(why) => Lack::Unreadable { place: place(), why },
        };
    }
    Err(lack)
}

/// What cosign signs of an artifact. The name that it was signed under is not looked at, as cosign does not: a copy in
/// another registry is the same artifact.
#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    manifest: Digest,
}

/// The digest of the manifest that a payload names.
fn signed_manifest(payload: &[u8]) -> Result<Digest, String> {
    let payload: Payload = serde_json::from_slice(payload)
        .map_err(|error| format!("its payload does not read: {error}"))?;
    let Critical { image, kind } = payload.critical;
    if kind == PAYLOAD_KIND {
        return Ok(image.manifest);
    }
    Err(format!("its payload is of the type {kind:?}, not {PAYLOAD_KIND:?}"))
}

/// Why what came with a file does not show that a trusted key signed it.
#[derive(Debug, PartialEq, Eq)]
enum Lack {
    /// There is no signature; where it was looked for.
    Missing { looked: Option<String> },
    /// What came with the file is none.
    NoSignature,
    /// No trusted key made it.
    Untrusted,
    /// A trusted key made it, of another artifact.
    OfAnother { key: String, signed: Digest, artifact: Digest },
    /// What lies there is none.
    Unreadable { place: String, why: String },
}

impl Lack {
    fn failure(self, name: &str, trust: &Signatures) -> Failure {
        match self {
            Self::Missing { looked } => missing(name, looked.as_deref()),
            Self::NoSignature => Failure::app(
                "plugin.signature-unreadable",
                format!("what came with {name} as its signature is none"),
                "it is neither a whole .minisig file nor the base64 text that `cosign sign-blob` writes",
                "sign the file again, or give its signature with --signature FILE; take away a .minisig or .sig file beside \
                 it that is none",
            ),
            Self::Untrusted => wrong(name, trust),
            Self::OfAnother { key, signed, artifact } => Failure::app(
                "plugin.signature-of-another",
                format!("the signature of {name} is of another artifact"),
                format!("the key {key} signed {signed}, and this is {artifact}"),
                "ask its author which artifact was meant; `cosign sign --key` of this very one mends it",
            ),
            Self::Unreadable { place, why } => Failure::app(
                "plugin.signature-unreadable",
                format!("the signature of {name} cannot be read"),
                format!("at {place}: {why}"),
                "sign the artifact again with `cosign sign --key`, or give the signature of the file with --signature \
                 FILE",
            ),
        }
    }
}

fn missing(name: &str, looked: Option<&str>) -> Failure {
    let nowhere = looked.map(|place| format!(", and there is no signature at {place}"));
    Failure::app(
        "plugin.signature-missing",
        format!("{name} has no signature"),
        format!("this host installs only what a trusted key signed{}", nowhere.unwrap_or_default()),
        "sign it, or give its signature with --signature FILE; `windlass plugin trust --policy warn` allows it \
         without one",
    )
}

fn wrong(name: &str, trust: &Signatures) -> Failure {
    let keys: Vec<&str> = trust.keys.keys().map(String::as_str).collect();
    Failure::app(
        "plugin.signature-wrong",
        format!("the signature of {name} was not made by a trusted key"),
        match keys.is_empty() {
            true => "no key is trusted yet".to_owned(),
            false => {
                format!("none of the trusted keys made it for this very file: {}", keys.join(", "))
            }
        },
        "check that file and signature belong together; trust its author's key with `windlass plugin trust --add \
         NAME=FILE` if you trust its author",
    )
}

#[cfg(test)]
pub(super) mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;

    /// From the documentation of minisign-verify: a key, and its signature of `test`.
    const MINISIGN: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const MINISIG: &str = "untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1556193335\tfile:test
y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==";

    fn trust(policy: Policy, keys: &[(&str, &str)]) -> Signatures {
        let keys = keys.iter().map(|(name, key)| ((*name).to_owned(), (*key).to_owned()));
        Signatures { policy, keys: keys.collect() }
    }

    fn by(key: &str) -> Signature {
        Signature::Verified { key: key.to_owned() }
    }

    /// A key pair of cosign's form.
    pub(in super::super) struct CosignKey {
        pair: EcdsaKeyPair,
        random: SystemRandom,
        /// `cosign.pub`
        pub(in super::super) pem: String,
    }

    impl CosignKey {
        pub(in super::super) fn generate() -> Self {
            let random = SystemRandom::new();
            let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
            let mut der = SPKI_P256.to_vec();
            der.extend(pair.public_key().as_ref());
            let body = STANDARD.encode(der);
            let (first, second) = body.split_at(64);
            let pem = format!(
                "-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n"
            );
            Self { pair, random, pem }
        }

        pub(in super::super) fn sign(&self, bytes: &[u8]) -> String {
            STANDARD.encode(self.pair.sign(&self.random, bytes).unwrap().as_ref())
        }
    }

    /// A key of cosign's form, and its signature of some bytes.
    pub(in super::super) fn cosign(bytes: &[u8]) -> (String, String) {
        let key = CosignKey::generate();
        let signature = key.sign(bytes);
        (key.pem, signature)
    }

    /// What `cosign sign` signs of an artifact.
    pub(in super::super) fn payload(kind: &str, artifact: &Digest) -> Vec<u8> {
        json!({
            "critical": {
                "identity": { "docker-reference": "registry.example/acme/scan" },
                "image": { "docker-manifest-digest": artifact },
                "type": kind,
            },
            "optional": null,
        })
        .to_string()
        .into_bytes()
    }

    fn of_file(signature: &str) -> Proof {
        Proof::OfFile(signature.to_owned())
    }

    #[test]
    fn a_signature_of_either_kind_by_a_trusted_key_names_the_key() {
        let (pem, signature) = cosign(b"test");
        let keys = [("author", MINISIGN), ("team", &*pem)];
        let trust = trust(Policy::Require, &keys);
        for (signature, key) in [(MINISIG, "author"), (&*signature, "team")] {
            assert_eq!(check(&trust, "a.wasm", b"test", &of_file(signature)).unwrap(), by(key));
            let failure = check(&trust, "a.wasm", b"tesT", &of_file(signature)).unwrap_err();
            assert_eq!(failure.code, "plugin.signature-wrong");
        }
        for (name, key) in keys {
            check_key(name, key).unwrap();
        }
        check_key("with its comment", &format!("untrusted comment: x\n{MINISIGN}\n")).unwrap();
    }

    #[test]
    fn by_policy_it_is_required_said_or_not_looked_at() {
        let trusted = |policy| trust(policy, &[("author", MINISIGN)]);
        let tried = |policy, signature: Option<&str>| {
            let proof = Proof::given(signature.map(ToOwned::to_owned));
            check(&trusted(policy), "a.wasm", b"test", &proof)
        };
        assert_eq!(tried(Policy::Require, None).unwrap_err().code, "plugin.signature-missing");
        assert_eq!(tried(Policy::Warn, None).unwrap(), Signature::Absent);
        assert_eq!(tried(Policy::Warn, Some("odd")).unwrap(), Signature::Untrusted);
        assert_eq!(tried(Policy::Warn, Some(MINISIG)).unwrap(), by("author"));
        assert_eq!(tried(Policy::Off, Some(MINISIG)).unwrap(), Signature::NotChecked);
        let nobody = trust(Policy::Require, &[]);
        let failure = check(&nobody, "a.wasm", b"test", &of_file(MINISIG)).unwrap_err();
        assert!(failure.why.contains("no key is trusted"), "{failure:?}");
        let long = "x".repeat(SIGNATURE_BYTES_MAX + 1);
        assert_eq!(tried(Policy::Warn, Some(&long)).unwrap(), Signature::Untrusted);
        let cut = MINISIG.lines().take(2).collect::<Vec<_>>().join("\n");
        for none in ["", "odd", "<html></html>", "MIGH is no ASN.1 either", &cut, &long] {
            let failure = tried(Policy::Require, Some(none)).unwrap_err();
            assert_eq!(failure.code, "plugin.signature-unreadable", "{none}: {failure}");
        }
    }

    /// What cosign left beside an artifact, and what is said of it where a signature by this key is required.
    fn beside(key: &CosignKey, found: CosignFound) -> (Result<Signature, Failure>, Signature) {
        let place = "registry.example/acme/scan:sha256-1.sig".to_owned();
        let proof = Proof::OfArtifact(Cosign { artifact: Digest::of(b"it"), place, found });
        let tried = |policy| {
            check(&trust(policy, &[("author", MINISIGN), ("team", &key.pem)]), "scan", b"f", &proof)
        };
        assert_eq!(tried(Policy::Off).unwrap(), Signature::NotChecked);
        (tried(Policy::Require), tried(Policy::Warn).unwrap())
    }

    #[test]
    fn an_artifact_counts_as_signed_when_a_trusted_key_signed_a_payload_that_names_it() {
        let (key, stranger) = (CosignKey::generate(), CosignKey::generate());
        let (it, other) = (Digest::of(b"it"), Digest::of(b"other"));
        let signed = |key: &CosignKey, payload: Vec<u8>| {
            let signature = key.sign(&payload);
            CosignSignature { payload, signature }
        };
        let good = signed(&key, payload(PAYLOAD_KIND, &it));
        let by_stranger = signed(&stranger, payload(PAYLOAD_KIND, &it));
        let of_other = signed(&key, payload(PAYLOAD_KIND, &other));
        let moved = CosignSignature { payload: payload(PAYLOAD_KIND, &it), ..of_other.clone() };
        let of_kind = signed(&key, payload("atomic container signature", &it));
        let no_digest = signed(&key, br#"{"critical": {"type": "x", "image": {}}}"#.to_vec());
        let no_json = signed(&key, b"it".to_vec());
        let of = |signatures: &[&CosignSignature]| {
            let signatures = signatures.iter().map(|one| (*one).clone()).collect();
            beside(&key, CosignFound::Signatures(signatures))
        };
        for signatures in [vec![&good], vec![&by_stranger, &no_json, &of_other, &good, &moved]] {
            assert_eq!(of(&signatures), (Ok(by("team")), by("team")));
        }
        for (signatures, code, why) in [
            (vec![&by_stranger], "plugin.signature-wrong", "author, team"),
            (vec![&moved], "plugin.signature-wrong", "none of the trusted keys made it"),
            (vec![&of_other, &by_stranger], "plugin.signature-of-another", other.as_str()),
            (vec![&of_kind], "plugin.signature-unreadable", "atomic container signature"),
            (vec![&no_digest], "plugin.signature-unreadable", "docker-manifest-digest"),
            (vec![&no_json], "plugin.signature-unreadable", "does not read"),
        ] {
            let (required, warned) = of(&signatures);
            let failure = required.unwrap_err();
            assert_eq!(
                (failure.code.as_str(), warned),
                (code, Signature::Untrusted),
                "{failure:?}"
            );
            assert!(failure.why.contains(why), "{failure:?}");
        }
    }

    #[test]
    fn where_a_signature_was_looked_for_is_said_and_what_lies_there_instead() {
        let key = CosignKey::generate();
        let (required, warned) = beside(&key, CosignFound::Nothing);
        let failure = required.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), warned),
            ("plugin.signature-missing", Signature::Absent)
        );
        assert!(failure.why.ends_with("at registry.example/acme/scan:sha256-1.sig"), "{failure:?}");
        let (required, warned) = beside(&key, CosignFound::Unreadable { why: "a cat".to_owned() });
        let failure = required.unwrap_err();
        let said = (failure.code.as_str(), warned);
        assert_eq!(said, ("plugin.signature-unreadable", Signature::Untrusted));
        assert!(failure.why.ends_with("scan:sha256-1.sig: a cat"), "{failure:?}");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let rsa = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK==\n-----END PUBLIC KEY-----";
        for text in ["", "hello", rsa, "-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----"] {
            assert_eq!(check_key("k", text).unwrap_err().code, "plugin.key-invalid", "{text}");
        }
        let private = "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----";
        let failure = check_key("k", private).unwrap_err();
        assert!(failure.what.ends_with("is a private key"), "{failure}");
    }
}
