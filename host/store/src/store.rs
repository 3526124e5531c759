//! The store as the daemon sees it: opening, identity, health, watching.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use windlass_model::{DeploymentId, HostId, Limits};

use crate::briefs::Briefs;
use crate::cipher::Cipher;
use crate::doc::{self, Versioned};
use crate::error::{Result, StoreError};
use crate::kv::{
    Expect, Health, Kv, MemoryKv, Page, Revision, SledKv, Transaction, Watch, WatchEvent,
};
use crate::structure::Structure;
use crate::{identity, keys, lock::DirLock};

/// Version of the layout of keys and records. A store with a higher one is refused.
const SCHEMA_VERSION: u32 = 1;

/// The state of one host. Cheap to clone; all clones are the same store.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) kv: Arc<dyn Kv>,
    pub(crate) limits: Limits,
    pub(crate) cipher: Arc<Cipher>,
    /// Held while projects, environments and deployments are made or deleted, so that nothing is
    /// made in what is being deleted.
    pub(crate) structure: Structure,
    /// Facts of deployments that never change, by id.
    pub(crate) briefs: Briefs,
    /// Held while the key is replaced.
    pub(crate) rotation: tokio::sync::Mutex<()>,
    host_id: HostId,
    data_dir: Option<PathBuf>,
    // Last, so that the directory is only given up when the database is closed.
    _lock: Option<DirLock>,
}

impl Store {
    /// Opens the store in a data directory, and makes it at the first start: `store/` (the journal and
    /// the database, which is checked against it and built anew when it differs, see [`Self::recovered`]),
    /// `secret.key` (mode 0600), `lock`, `ballast`. Blocks; call it before serving.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::SchemaNewer`], [`StoreError::KeyPermissions`],
    /// [`StoreError::KeyFile`], [`StoreError::KeyLost`] (another key than the store was made with),
    /// [`StoreError::JournalDamaged`], [`StoreError::Lost`] when there was a store and is none, or the
    /// disk's.
    pub fn open(data_dir: &Path, limits: Limits) -> Result<Self> {
        Self::open_as(data_dir, limits, None)
    }

    /// Opens the store. A new one gets this id; without one it gets its own, unless the data directory
    /// has had another store before.
    pub(crate) fn open_as(data_dir: &Path, limits: Limits, host: Option<&HostId>) -> Result<Self> {
        std::fs::create_dir_all(data_dir).map_err(StoreError::io("creating", data_dir))?;
        let lock = DirLock::take(data_dir)?;
        let kv: Arc<dyn Kv> = Arc::new(SledKv::open(data_dir)?);
        check_schema(&*kv)?;
        identify(&*kv, data_dir, host)?;
        let is_new = kv.get(keys::KEY_CHECK)?.is_none();
        let cipher = Cipher::load_or_create(&data_dir.join("secret.key"), is_new)?;
        let (cipher, dir) = (Arc::new(cipher), Some(data_dir.to_owned()));
        let store = Self::build(kv, limits, cipher, dir, Some(lock))?;
        identity::remember(data_dir, store.host_id());
        Ok(store)
    }

    /// A store that is gone with the process, for tests of what stands on it.
    pub fn in_memory(limits: Limits) -> Result<Self> {
        Self::on(Arc::new(MemoryKv::new()), limits)
    }

    /// A store on any key-value store, with a key that is gone with the process.
    pub fn on(kv: Arc<dyn Kv>, limits: Limits) -> Result<Self> {
        check_schema(&*kv)?;
        Self::build(kv, limits, Arc::new(Cipher::ephemeral()?), None, None)
    }

    /// A store in memory opened anew: what was stored is there, and nothing else that this one keeps in
    /// memory. For tests of a host that was killed.
    pub fn opened_anew(&self) -> Result<Self> {
        let Inner { kv, limits, cipher, .. } = &*self.inner;
        check_schema(&**kv)?;
        Self::build(kv.clone(), limits.clone(), cipher.clone(), None, None)
    }

    fn build(
        kv: Arc<dyn Kv>,
        limits: Limits,
        cipher: Arc<Cipher>,
        data_dir: Option<PathBuf>,
        lock: Option<DirLock>,
    ) -> Result<Self> {
        cipher.check(&*kv)?;
        let host_id = host_id(&*kv)?;
        let (structure, briefs) = (Structure::default(), Briefs::default());
        let rotation = tokio::sync::Mutex::new(());
        let inner = Inner {
            kv,
            limits,
            cipher,
            structure,
            rotation,
            briefs,
            host_id,
            data_dir,
            _lock: lock,
        };
        let store = Self { inner: Arc::new(inner) };
        store.build_missing_indexes()?;
        Ok(store)
    }

    /// Id of this host, made at first start.
    pub fn host_id(&self) -> &HostId {
        &self.inner.host_id
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// The data directory; none for a store in memory.
    pub fn data_dir(&self) -> Option<&Path> {
        self.inner.data_dir.as_deref()
    }

    /// Whether it takes changes: what `/readyz` asks.
    pub fn health(&self) -> Health {
        self.inner.kv.health()
    }

    /// Why the database had to be built anew from the journal since this store was opened, if it had
    /// to. Nothing was lost.
    pub fn recovered(&self) -> Option<String> {
        self.inner.kv.recovered()
    }

    /// The key-value store below, for what has no typed call.
    pub fn kv(&self) -> &Arc<dyn Kv> {
        &self.inner.kv
    }

    /// Tells of every deployment that is made, changed or deleted, from now on.
    pub fn watch_deployments(&self) -> DeploymentWatch {
        DeploymentWatch(self.inner.kv.watch(keys::DEPLOYMENTS))
    }

    pub(crate) fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Versioned<T>>> {
        doc::read(&*self.inner.kv, key)
    }

    pub(crate) fn read_all<T: DeserializeOwned>(
        &self,
        prefix: &str,
        page: &Page,
    ) -> Result<Vec<(String, Versioned<T>)>> {
        doc::read_all(&*self.inner.kv, prefix, page)
    }

    pub(crate) async fn put<T: Serialize>(
        &self,
        key: &str,
        expect: Expect,
        value: &T,
    ) -> Result<Revision> {
        let bytes = doc::encode(key, value)?;
        self.submit(Transaction::new().put(key, expect, bytes)).await
    }

    pub(crate) async fn submit(&self, transaction: Transaction) -> Result<Revision> {
        self.inner.kv.submit(transaction).await
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.inner.host_id)
    }
}

fn check_schema(kv: &dyn Kv) -> Result<()> {
    match doc::read::<u32>(kv, keys::SCHEMA)? {
        Some(found) if found.value > SCHEMA_VERSION => {
            Err(StoreError::SchemaNewer { found: found.value, supported: SCHEMA_VERSION })
        }
        Some(_) => Ok(()),
        None => {
            let version = doc::encode(keys::SCHEMA, &SCHEMA_VERSION)?;
            kv.compare_and_set(keys::SCHEMA, Expect::Absent, version).wait().map(drop)
        }
    }
}

/// Gives a new store the id that it is to have.
fn identify(kv: &dyn Kv, data_dir: &Path, host: Option<&HostId>) -> Result<()> {
    if kv.get(keys::HOST_ID)?.is_some() {
        return Ok(());
    }
    match (host, identity::known_host_id(data_dir)?) {
        (Some(id), _) => {
            let bytes = doc::encode(keys::HOST_ID, id)?;
            kv.compare_and_set(keys::HOST_ID, Expect::Absent, bytes).wait().map(drop)
        }
        (None, None) => Ok(()),
        (None, Some(lost)) => {
            Err(StoreError::Lost { dir: data_dir.to_owned(), host: lost.to_string() })
        }
    }
}

fn host_id(kv: &dyn Kv) -> Result<HostId> {
    if let Some(found) = doc::read(kv, keys::HOST_ID)? {
        return Ok(found.value);
    }
    let id = HostId::generate();
    let bytes = doc::encode(keys::HOST_ID, &id)?;
    kv.compare_and_set(keys::HOST_ID, Expect::Absent, bytes).wait()?;
    Ok(id)
}

/// What a [`DeploymentWatch`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeploymentEvent {
    /// This deployment was made, changed or deleted: read it.
    Changed(DeploymentId),
    /// The watcher was too slow and missed some: read everything it cares for.
    Missed,
}

/// Changes of deployments, each after it is durable.
#[derive(Debug)]
pub struct DeploymentWatch(Watch);

impl DeploymentWatch {
    /// The next change; `None` when the store is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<DeploymentEvent> {
        loop {
            match self.0.next().await? {
                WatchEvent::Missed => return Some(DeploymentEvent::Missed),
                WatchEvent::Changed(change) => {
                    let id = change.key.strip_prefix(keys::DEPLOYMENTS).unwrap_or_default();
                    if let Ok(id) = id.parse() {
                        return Some(DeploymentEvent::Changed(id));
                    }
                }
            }
        }
    }
}
