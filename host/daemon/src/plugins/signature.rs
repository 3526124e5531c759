//! Who made a file: signatures of minisign and of cosign with a key.
//!
//! A key is known by its form: a minisign public key (one line of base64, with or without its comment), or an
//! ECDSA P-256 key as PEM, as `cosign generate-key-pair` writes it. A signature too: a `.minisig` file has
//! comments, one of cosign is the base64 of an ASN.1 signature of the file (`cosign sign-blob`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign_verify::{PublicKey, Signature as Minisig};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use windlass_model::Failure;
use windlass_model::plugin::lock::{Policy, Signature, Signatures};

/// A signature is never longer, in bytes.
pub(super) const SIGNATURE_BYTES_MAX: usize = 8 * 1024;
/// What stands before the point of a P-256 key in its DER form (RFC 5480).
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
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

/// What is known of who made a file, and whether that is enough by the policy.
///
/// # Errors
/// `plugin.signature-missing` and `plugin.signature-wrong`, when a signature by a trusted key is required.
pub(super) fn check(
    trust: &Signatures,
    name: &str,
    bytes: &[u8],
    signature: Option<&str>,
) -> Result<Signature, Failure> {
    if trust.policy == Policy::Off {
        return Ok(Signature::NotChecked);
    }
    let found = match signature {
        None => Signature::Absent,
        Some(text) if text.len() > SIGNATURE_BYTES_MAX => Signature::Untrusted,
        Some(text) => {
            let made = |key: &str| Key::parse(key).is_ok_and(|key| key.made(text, bytes));
            let by = trust.keys.iter().find(|(_, key)| made(key));
            by.map_or(Signature::Untrusted, |(name, _)| Signature::Verified { key: name.clone() })
        }
    };
    match (&found, trust.policy) {
        (Signature::Absent, Policy::Require) => Err(missing(name)),
        (Signature::Untrusted, Policy::Require) => Err(wrong(name, trust)),
        _ => Ok(found),
    }
}

fn missing(name: &str) -> Failure {
    Failure::app(
        "plugin.signature-missing",
        format!("{name} has no signature"),
        "this host installs only what a trusted key signed",
        "give its signature with --signature FILE; `windlass plugin trust --policy warn` allows it without one",
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

    /// A key of cosign's form, and its signature of some bytes.
    pub(in super::super) fn cosign(bytes: &[u8]) -> (String, String) {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        let mut der = SPKI_P256.to_vec();
        der.extend(pair.public_key().as_ref());
        let body = STANDARD.encode(der);
        let (first, second) = body.split_at(64);
        let pem =
            format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n");
        let signature = pair.sign(&random, bytes).unwrap();
        (pem, STANDARD.encode(signature.as_ref()))
    }

    #[test]
    fn a_signature_of_either_kind_by_a_trusted_key_names_the_key() {
        let (pem, signature) = cosign(b"test");
        let keys = [("author", MINISIGN), ("team", &*pem)];
        let trust = trust(Policy::Require, &keys);
        for (signature, key) in [(MINISIG, "author"), (&*signature, "team")] {
            assert_eq!(check(&trust, "a.wasm", b"test", Some(signature)).unwrap(), by(key));
            let failure = check(&trust, "a.wasm", b"tesT", Some(signature)).unwrap_err();
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
        let tried = |policy, signature| check(&trusted(policy), "a.wasm", b"test", signature);
        assert_eq!(tried(Policy::Require, None).unwrap_err().code, "plugin.signature-missing");
        assert_eq!(tried(Policy::Warn, None).unwrap(), Signature::Absent);
        assert_eq!(tried(Policy::Warn, Some("odd")).unwrap(), Signature::Untrusted);
        assert_eq!(tried(Policy::Warn, Some(MINISIG)).unwrap(), by("author"));
        assert_eq!(tried(Policy::Off, Some(MINISIG)).unwrap(), Signature::NotChecked);
        let nobody = trust(Policy::Require, &[]);
        let failure = check(&nobody, "a.wasm", b"test", Some(MINISIG)).unwrap_err();
        assert!(failure.why.contains("no key is trusted"), "{failure:?}");
        let long = "x".repeat(SIGNATURE_BYTES_MAX + 1);
        assert_eq!(tried(Policy::Warn, Some(&long)).unwrap(), Signature::Untrusted);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let rsa = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK==\n-----END PUBLIC KEY-----";
        for text in ["", "hello", rsa, "-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----"] {
            assert_eq!(check_key("k", text).unwrap_err().code, "plugin.key-invalid", "{text}");
        }
    }
}
