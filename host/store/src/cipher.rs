//! Encryption of variables and tokens at rest: XChaCha20-Poly1305 with a random nonce for each value.
//!
//! **Invariant: a sealed value opens only under the key it was stored under**, because that key
//! (which names project, environment and variable) is the associated data: sealed bytes cannot be
//! moved from one variable to another.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, Generate as _, Key, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use windlass_model::Secret;

use crate::error::{Result, StoreError};
use crate::kv::{Expect, Kv};
use crate::{doc, keys};

/// An encrypted value: hexadecimal nonce and ciphertext.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sealed {
    nonce: String,
    text: String,
}

pub(crate) struct Cipher {
    cipher: XChaCha20Poly1305,
    path: PathBuf,
}

const KEY_BYTES: usize = 32;
const CHECK_TEXT: &str = "windlass key check";

impl Cipher {
    /// A key that is gone with the process.
    pub(crate) fn ephemeral() -> Result<Self> {
        let path = PathBuf::from("(a key in memory)");
        Ok(Self { cipher: XChaCha20Poly1305::new(&new_key(&path)?), path })
    }

    /// The key in this file. It is only made when the store is new: a lost key must not be replaced
    /// silently, since everything that it encrypted would be lost too.
    pub(crate) fn load_or_create(path: &Path, store_is_new: bool) -> Result<Self> {
        if !path.exists() {
            if !store_is_new {
                let why =
                    "the file is missing, and the store's secrets are encrypted with it".into();
                return Err(StoreError::KeyFile { path: path.to_owned(), why });
            }
            create_key_file(path)?;
        }
        let key = read_key_file(path)?;
        let cipher = XChaCha20Poly1305::new_from_slice(&key).map_err(|_| StoreError::KeyFile {
            path: path.to_owned(),
            why: "it has the wrong length".into(),
        })?;
        Ok(Self { cipher, path: path.to_owned() })
    }

    /// Refuses a key that is not the one this store was made with.
    pub(crate) fn check(&self, kv: &dyn Kv) -> Result<()> {
        let key = keys::KEY_CHECK;
        match doc::read::<Sealed>(kv, key)? {
            Some(sealed) => {
                self.open(key, &sealed.value, || "this store's check value".into()).map(drop)
            }
            None => {
                let sealed = self.seal(key, &Secret::new(CHECK_TEXT.to_owned()))?;
                kv.compare_and_set(key, Expect::Absent, doc::encode(key, &sealed)?).wait().map(drop)
            }
        }
    }

    pub(crate) fn seal(&self, key: &str, value: &Secret<String>) -> Result<Sealed> {
        let failed =
            |why: &str| StoreError::KeyFile { path: self.path.clone(), why: why.to_owned() };
        let nonce = XNonce::try_generate().map_err(|_| failed("the system gave no randomness"))?;
        let payload = Payload { msg: value.expose().as_bytes(), aad: key.as_bytes() };
        let text = self.cipher.encrypt(&nonce, payload).map_err(|_| failed("encryption failed"))?;
        Ok(Sealed { nonce: hex::encode(nonce), text: hex::encode(text) })
    }

    pub(crate) fn open(
        &self,
        key: &str,
        sealed: &Sealed,
        what: impl FnOnce() -> String,
    ) -> Result<Secret<String>> {
        let opened = || {
            let nonce: [u8; 24] = hex::decode(&sealed.nonce).ok()?.try_into().ok()?;
            let text = hex::decode(&sealed.text).ok()?;
            let payload = Payload { msg: &text, aad: key.as_bytes() };
            let plain = self.cipher.decrypt(&XNonce::from(nonce), payload).ok()?;
            String::from_utf8(plain).ok()
        };
        opened()
            .map(Secret::new)
            .ok_or_else(|| StoreError::KeyLost { what: what(), path: self.path.clone() })
    }
}

fn new_key(path: &Path) -> Result<Key<XChaCha20Poly1305>> {
    Key::<XChaCha20Poly1305>::try_generate().map_err(|_| StoreError::KeyFile {
        path: path.to_owned(),
        why: "the system gave no randomness".into(),
    })
}

/// Writes a new key beside the path and renames it there, so that a crash leaves no half of a key.
fn create_key_file(path: &Path) -> Result<()> {
    let key = new_key(path)?;
    let partial = path.with_extension("key.partial");
    let write = || -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        file.write_all(hex::encode(key).as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&partial, path)?;
        path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
    };
    write().map_err(StoreError::io("writing", path))
}

fn read_key_file(path: &Path) -> Result<Vec<u8>> {
    let mut file = std::fs::File::open(path).map_err(StoreError::io("opening", path))?;
    let metadata = file.metadata().map_err(StoreError::io("reading", path))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(StoreError::KeyPermissions { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(StoreError::io("reading", path))?;
    let key = hex::decode(text.trim()).ok().filter(|key| key.len() == KEY_BYTES);
    key.ok_or_else(|| StoreError::KeyFile {
        path: path.to_owned(),
        why: "it must hold 64 hexadecimal digits".into(),
    })
}
