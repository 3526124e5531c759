//! The key file as a thing that is taken along: read, written, and encrypted with a passphrase.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use argon2::Argon2;
use chacha20poly1305::aead::{Aead as _, Generate as _, KeyInit as _};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use windlass_model::{Secret, Timestamp};

use crate::error::{Result, StoreError};

/// A key file, encrypted with a passphrase: Argon2id and XChaCha20-Poly1305.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SealedKey {
    salt: String,
    nonce: String,
    text: String,
}

/// The key file of a data directory.
pub fn key_path(data_dir: &Path) -> PathBuf {
    data_dir.join("secret.key")
}

fn refused(path: &Path, why: &str) -> StoreError {
    StoreError::KeyFile { path: path.to_owned(), why: why.to_owned() }
}

/// The contents of the key file.
///
/// # Errors
/// The file's.
pub fn read_key(data_dir: &Path) -> Result<Secret<String>> {
    let path = key_path(data_dir);
    std::fs::read_to_string(&path).map(Secret::new).map_err(StoreError::io("reading", &path))
}

/// Puts the key file in place. Another one that is there is kept beside it.
///
/// # Errors
/// The file's.
pub fn write_key(data_dir: &Path, key: &Secret<String>) -> Result<()> {
    let path = key_path(data_dir);
    if path.exists() {
        if read_key(data_dir)?.expose() == key.expose() {
            return Ok(());
        }
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        let aside = data_dir.join(format!("secret.key.replaced-{time}"));
        std::fs::rename(&path, &aside).map_err(StoreError::io("renaming", &path))?;
    }
    let partial = data_dir.join("secret.key.partial");
    let write = || -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        let _ = std::fs::remove_file(&partial);
        let mut file = options.write(true).create_new(true).mode(0o600).open(&partial)?;
        file.write_all(key.expose().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&partial, &path)?;
        std::fs::File::open(data_dir)?.sync_all()
    };
    write().map_err(StoreError::io("writing", &path))
}

/// Encrypts a key with a passphrase.
///
/// # Errors
/// [`StoreError::KeyFile`] when the system gives no randomness.
pub fn seal_key(key: &Secret<String>, passphrase: &Secret<String>) -> Result<SealedKey> {
    let path = Path::new("secret.key");
    let failed = |why: &'static str| refused(path, why);
    let salt = XNonce::try_generate().map_err(|_| failed("the system gave no randomness"))?;
    let nonce = XNonce::try_generate().map_err(|_| failed("the system gave no randomness"))?;
    let cipher = cipher(passphrase, &salt)?;
    let text = cipher.encrypt(&nonce, key.expose().as_bytes());
    let text = text.map_err(|_| failed("encryption failed"))?;
    Ok(SealedKey { salt: hex::encode(salt), nonce: hex::encode(nonce), text: hex::encode(text) })
}

/// Decrypts a key with its passphrase; `None` when the passphrase is not the right one.
///
/// # Errors
/// [`StoreError::KeyFile`] when the key cannot be derived.
pub fn open_key(sealed: &SealedKey, passphrase: &Secret<String>) -> Result<Option<Secret<String>>> {
    let bytes = |text: &str| hex::decode(text).ok();
    let nonce: Option<[u8; 24]> = bytes(&sealed.nonce).and_then(|nonce| nonce.try_into().ok());
    let (Some(salt), Some(nonce), Some(text)) = (bytes(&sealed.salt), nonce, bytes(&sealed.text))
    else {
        return Ok(None);
    };
    let plain = cipher(passphrase, &salt)?.decrypt(&XNonce::from(nonce), text.as_slice());
    Ok(plain.ok().and_then(|plain| String::from_utf8(plain).ok()).map(Secret::new))
}

fn cipher(passphrase: &Secret<String>, salt: &[u8]) -> Result<XChaCha20Poly1305> {
    let mut key = [0_u8; 32];
    Argon2::default()
        .hash_password_into(passphrase.expose().as_bytes(), salt, &mut key)
        .map_err(|_| refused(Path::new("secret.key"), "the passphrase could not be used"))?;
    XChaCha20Poly1305::new_from_slice(&key)
        .map_err(|_| refused(Path::new("secret.key"), "the passphrase could not be used"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_opened_by_its_passphrase_alone() {
        let key = Secret::new("00".repeat(32));
        let sealed = seal_key(&key, &Secret::new("correct horse".to_owned())).unwrap();
        let text = serde_json::to_string(&sealed).unwrap();
        assert!(!text.contains(key.expose().as_str()));
        let open = |passphrase: &str| {
            open_key(&sealed, &Secret::new(passphrase.to_owned())).unwrap().map(Secret::into_inner)
        };
        assert_eq!(open("correct horse"), Some("00".repeat(32)));
        assert_eq!(open("battery staple"), None);
    }

    #[test]
    fn another_key_is_kept_beside_the_one_that_is_put_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        for key in ["11", "11", "22"] {
            write_key(dir.path(), &Secret::new(key.repeat(32))).unwrap();
        }
        assert_eq!(read_key(dir.path()).unwrap().expose(), &"22".repeat(32));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
