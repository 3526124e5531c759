//! Encryption of variables and tokens at rest: XChaCha20-Poly1305 with a random nonce for each value.
//!
//! **Invariant: a sealed value opens only under the key it was stored under**, because that key
//! (which names project, environment and variable) is the associated data: sealed bytes cannot be
//! moved from one variable to another.
//!
//! A key is replaced in three steps, each of which a crash may cut off: the next key is made beside it,
//! and everything new is sealed with it; everything stored is sealed anew; the next key takes the place of
//! the old one. Until the end both are read, so every value can be opened at every moment.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use chacha20poly1305::aead::{Aead as _, Generate as _, Key, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use windlass_model::Secret;

use crate::error::{Result, StoreError};
use crate::kv::{Expect, Kv};
use crate::{doc, keys};

/// An encrypted value: hexadecimal nonce and ciphertext, and which key it is under.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sealed {
    nonce: String,
    text: String,
    /// Id of the key; absent in values of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// A key with its id, which is derived from it and says nothing about it.
struct KeyOf {
    id: String,
    cipher: XChaCha20Poly1305,
}

impl KeyOf {
    fn new(key: &Key<XChaCha20Poly1305>) -> Self {
        let mut id =
            hex::encode(Sha256::digest([b"windlass key id ".as_slice(), &key[..]].concat()));
        id.truncate(KEY_ID_CHARS);
        Self { id, cipher: XChaCha20Poly1305::new(key) }
    }
}

/// The keys that are known: new values are sealed with the first, all of them open values.
pub(crate) struct Cipher {
    keys: RwLock<Vec<KeyOf>>,
    /// None for a key that is gone with the process.
    file: Option<PathBuf>,
}

const KEY_BYTES: usize = 32;
const KEY_ID_CHARS: usize = 8;
const CHECK_TEXT: &str = "windlass key check";

impl Cipher {
    /// A key that is gone with the process.
    pub(crate) fn ephemeral() -> Result<Self> {
        let key = KeyOf::new(&new_key(Path::new(IN_MEMORY))?);
        Ok(Self { keys: RwLock::new(vec![key]), file: None })
    }

    /// The key in this file, behind the next one while that replaces it, and before those that it
    /// replaced. It is only made when the store is new: a lost key must not be replaced silently, since
    /// everything that it encrypted would be lost too.
    pub(crate) fn load_or_create(path: &Path, store_is_new: bool) -> Result<Self> {
        if !path.exists() {
            if !store_is_new {
                let why =
                    "the file is missing, and the store's secrets are encrypted with it".into();
                return Err(StoreError::KeyFile { path: path.to_owned(), why });
            }
            create_key_file(path)?;
        }
        let mut keys = vec![KeyOf::new(&read_key_file(path)?)];
        let next = next_file(path);
        if next.exists() {
            keys.insert(0, KeyOf::new(&read_key_file(&next)?));
        }
        for old in old_files(path)? {
            keys.push(KeyOf::new(&read_key_file(&old)?));
        }
        Ok(Self { keys: RwLock::new(keys), file: Some(path.to_owned()) })
    }

    /// Id of the key that new values are sealed with.
    pub(crate) fn key_id(&self) -> String {
        self.keys().first().map(|key| key.id.clone()).unwrap_or_default()
    }

    /// Whether a new key is replacing the present one.
    pub(crate) fn is_rotating(&self) -> bool {
        self.file.as_deref().is_some_and(|file| next_file(file).exists())
    }

    /// From now on new values are sealed with a new key, which is on the disk before this returns; one
    /// that was made and not finished with is gone on with.
    pub(crate) fn begin_rotation(&self) -> Result<()> {
        if self.is_rotating() {
            return Ok(());
        }
        let key = match &self.file {
            Some(file) => {
                create_key_file(&next_file(file))?;
                read_key_file(&next_file(file))?
            }
            None => new_key(Path::new(IN_MEMORY))?,
        };
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(0, KeyOf::new(&key));
        Ok(())
    }

    /// Puts the new key in the place of the old one, which is kept beside it: backups from before need
    /// it. Returns where.
    pub(crate) fn finish_rotation(&self) -> Result<Option<PathBuf>> {
        let Some(file) = self.file.as_deref().filter(|_| self.is_rotating()) else {
            return Ok(None);
        };
        let old = KeyOf::new(&read_key_file(file)?);
        let kept = old_file(file, &old.id);
        if !kept.exists() {
            std::fs::hard_link(file, &kept).map_err(StoreError::io("keeping", file))?;
        }
        std::fs::rename(next_file(file), file).map_err(StoreError::io("replacing", file))?;
        sync_folder(file).map_err(StoreError::io("syncing", file))?;
        Ok(Some(kept))
    }

    /// Refuses keys of which none is the one that this store was made with.
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

    /// Encrypts a value that will be stored under this key of the store. **It must be that key and no
    /// other**: the rotation opens and seals every value anew by the key under which it finds it.
    pub(crate) fn seal(&self, key: &str, value: &Secret<String>) -> Result<Sealed> {
        let failed = |why: &str| StoreError::KeyFile { path: self.path(), why: why.to_owned() };
        let nonce = XNonce::try_generate().map_err(|_| failed("the system gave no randomness"))?;
        let payload = Payload { msg: value.expose().as_bytes(), aad: key.as_bytes() };
        let keys = self.keys();
        let first = keys.first().ok_or_else(|| failed("there is no key"))?;
        let text =
            first.cipher.encrypt(&nonce, payload).map_err(|_| failed("encryption failed"))?;
        let (nonce, text) = (hex::encode(nonce), hex::encode(text));
        Ok(Sealed { nonce, text, key: Some(first.id.clone()) })
    }

    pub(crate) fn open(
        &self,
        key: &str,
        sealed: &Sealed,
        what: impl FnOnce() -> String,
    ) -> Result<Secret<String>> {
        let keys = self.keys();
        let fits = |known: &&KeyOf| sealed.key.as_ref().is_none_or(|id| *id == known.id);
        let opened = keys.iter().filter(fits).find_map(|known| opened(&known.cipher, key, sealed));
        opened
            .map(Secret::new)
            .ok_or_else(|| StoreError::KeyLost { what: what(), path: self.path() })
    }

    /// Seals every value in a record anew that is not under the present key: how many, and how many
    /// look like sealed values and cannot be opened. By the shape of values, not by a list of records: a
    /// record that is added later is covered without anyone thinking of it.
    pub(crate) fn reseal(&self, key: &str, record: &mut Value) -> Result<Resealed> {
        let present = self.key_id();
        let mut done = Resealed::default();
        self.reseal_in(key, &present, record, &mut done)?;
        Ok(done)
    }

    fn reseal_in(
        &self,
        key: &str,
        present: &str,
        value: &mut Value,
        done: &mut Resealed,
    ) -> Result<()> {
        match value {
            Value::Object(map) => {
                let Some(sealed) = as_sealed(map) else {
                    return map
                        .values_mut()
                        .try_for_each(|each| self.reseal_in(key, present, each, done));
                };
                if sealed.key.as_deref() == Some(present) {
                    return Ok(());
                }
                match self.open(key, &sealed, || key.to_owned()) {
                    Ok(plain) => {
                        let sealed = self.seal(key, &plain)?;
                        *value = serde_json::to_value(sealed).map_err(|error| {
                            StoreError::Corrupt { what: key.to_owned(), why: error.to_string() }
                        })?;
                        done.resealed += 1;
                    }
                    Err(_) => done.unreadable += 1,
                }
                Ok(())
            }
            Value::Array(items) => {
                items.iter_mut().try_for_each(|each| self.reseal_in(key, present, each, done))
            }
            _ => Ok(()),
        }
    }

    fn keys(&self) -> RwLockReadGuard<'_, Vec<KeyOf>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self) -> PathBuf {
        self.file.clone().unwrap_or_else(|| IN_MEMORY.into())
    }
}

/// What was found in a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Resealed {
    pub(crate) resealed: u64,
    pub(crate) unreadable: u64,
}

/// Whether bytes may hold a sealed value: cheaper than reading all of them as JSON.
pub(crate) fn may_hold_sealed(bytes: &[u8]) -> bool {
    const MARK: &[u8] = b"\"nonce\"";
    bytes.windows(MARK.len()).any(|window| window == MARK)
}

fn as_sealed(map: &serde_json::Map<String, Value>) -> Option<Sealed> {
    if map.len() > 3 || !map.keys().all(|name| matches!(name.as_str(), "nonce" | "text" | "key")) {
        return None;
    }
    let sealed: Sealed = serde_json::from_value(Value::Object(map.clone())).ok()?;
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let fits = sealed.nonce.len() == 48 && is_hex(&sealed.nonce) && is_hex(&sealed.text);
    fits.then_some(sealed)
}

fn opened(cipher: &XChaCha20Poly1305, key: &str, sealed: &Sealed) -> Option<String> {
    let nonce: [u8; 24] = hex::decode(&sealed.nonce).ok()?.try_into().ok()?;
    let text = hex::decode(&sealed.text).ok()?;
    let payload = Payload { msg: &text, aad: key.as_bytes() };
    String::from_utf8(cipher.decrypt(&XNonce::from(nonce), payload).ok()?).ok()
}

const IN_MEMORY: &str = "(a key in memory)";

fn next_file(path: &Path) -> PathBuf {
    path.with_extension("key.next")
}

fn old_file(path: &Path, id: &str) -> PathBuf {
    path.with_extension(format!("key.old-{id}"))
}

/// Keys that were replaced and whose files nobody has deleted yet.
pub(crate) fn old_files(path: &Path) -> Result<Vec<PathBuf>> {
    let io = |doing| StoreError::io(doing, path);
    let prefix = old_file(path, "");
    let prefix = prefix.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut old = Vec::new();
    for file in std::fs::read_dir(dir).map_err(io("listing"))? {
        let file = file.map_err(io("listing"))?;
        if file.file_name().to_string_lossy().starts_with(&prefix) {
            old.push(file.path());
        }
    }
    old.sort_unstable();
    Ok(old)
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
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
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let write = || -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        file.write_all(hex::encode(key).as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&partial, path)?;
        sync_folder(path)
    };
    write().map_err(StoreError::io("writing", path))
}

fn read_key_file(path: &Path) -> Result<Key<XChaCha20Poly1305>> {
    let mut file = std::fs::File::open(path).map_err(StoreError::io("opening", path))?;
    let metadata = file.metadata().map_err(StoreError::io("reading", path))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(StoreError::KeyPermissions { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(StoreError::io("reading", path))?;
    let key: Option<[u8; KEY_BYTES]> =
        hex::decode(text.trim()).ok().and_then(|key| key.try_into().ok());
    key.map(Key::<XChaCha20Poly1305>::from).ok_or_else(|| StoreError::KeyFile {
        path: path.to_owned(),
        why: "it must hold 64 hexadecimal digits".into(),
    })
}
