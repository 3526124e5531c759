//! State lives in sled 0.34.7, and **a journal of our own vouches for it**. A commit is a frame appended to
//! the journal and synced; then it is acknowledged, and applied to sled, which is flushed at intervals. At
//! opening sled is compared with the journal, key by key, and built anew when it differs: see
//! `host/decisions/0003-journal.md`. So readers never see what is not on disk.
//!
//! Reading order: `frame` and `truth` (the format, and reading it), `journal` (appending, checkpoints),
//! `index` (checking sled), `writer` (the order of a commit).
//!
//! Faults of sled, each read in its source or seen, and what is done:
//!
//! - After a kill it was seen to list 44 of 5087 keys, without an error: hence the journal.
//! - `flush()` is `sync_file_range` on Linux, which neither writes the file's metadata nor empties the
//!   disk's cache: sled counts as synced after flush **and** fsync of its `db` file through a handle of
//!   our own.
//! - A kill while opening can leave `snap.*.generating`, which every later open takes for a snapshot
//!   and calls corruption: such files are removed before opening.
//! - A page above 128 KiB (a quarter of a segment) becomes a blob file that is never synced. A leaf
//!   page is rewritten as a whole and holds up to 19 items, so it is not enough that *values* are
//!   small: they are split into parts of [`physical::PART_BYTES`], and should a blob appear all the
//!   same, it is synced with the rest.
//! - After a failed write sled takes nothing more: it is closed, opened again, and brought up to the
//!   journal's end.
//! - A failed write on one path wakes nobody who waits in `flush()`: a watchdog flushes too when a
//!   flush takes long, which wakes them all.
//! - The flusher thread, which also collects garbage, ends silently on an error: its absence is
//!   noticed, and the database is opened again.
//! - Transactions take a lock of the whole process: one writer thread evaluates the conditions itself
//!   and applies plain batches, which are atomic across a crash.
//!
//! Commits that arrive while another is being written share the next frame (group commit).

mod ballast;
mod database;
mod frame;
mod index;
mod journal;
mod physical;
mod truth;
mod watchdog;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

use self::ballast::Ballast;
use self::database::Database;
use self::journal::Journal;
use self::writer::{Command, Writer};
use super::dump::sync_dir;
use super::{Entry, Health, Kv, Page, Reply, Revision, Transaction, Watch, Watchers};
use crate::error::{Result, StoreError};

/// Keys in one step of an export; reads go on in between.
const EXPORT_PAGE: usize = 256;

/// See the module.
pub struct SledKv {
    shared: Arc<Shared>,
    queue: Sender<Command>,
    writer: Option<JoinHandle<()>>,
}

/// What readers and the writer share.
struct Shared {
    /// Read-locked for each read, write-locked while a batch is applied or the database is opened
    /// again. Empty when it could not be opened again.
    open: RwLock<Option<Arc<Database>>>,
    /// Held while a batch is applied, and during a whole export.
    gate: Mutex<()>,
    health: Mutex<Health>,
    /// Why the database was built anew, the last time it was.
    recovered: Mutex<Option<String>>,
    watchers: Watchers,
}

impl SledKv {
    /// Opens `<data_dir>/store`, and makes it at first. The caller holds the directory's lock.
    ///
    /// On a full disk it still opens, read-only, from the space of `<data_dir>/ballast`. A database that
    /// is not what the journal says is built anew: [`Kv::recovered`] tells.
    ///
    /// # Errors
    /// [`StoreError::JournalDamaged`] when something that was acknowledged is lost; the disk's.
    pub fn open(data_dir: &Path) -> Result<Self> {
        let dir = data_dir.join("store");
        let ballast = Ballast::new(data_dir);
        let (opened, why) = match Opened::open(&dir) {
            Ok(opened) => (opened, ballast.ensure().err().map(|error| describe(&error))),
            Err(error @ StoreError::JournalDamaged { .. }) => return Err(error),
            Err(error) if ballast.release() => {
                tracing::error!(%error, "the store could not be opened; trying without the ballast");
                (Opened::open(&dir)?, Some(describe(&error)))
            }
            Err(error) => return Err(error),
        };
        if let Some(why) = &why {
            tracing::error!(why, "the store starts read-only");
        }
        let Opened { journal, database, recovered } = opened;
        let shared = Arc::new(Shared {
            open: RwLock::new(Some(Arc::new(database))),
            gate: Mutex::new(()),
            health: Mutex::new(why.map_or(Health::Ok, |why| Health::ReadOnly { why })),
            recovered: Mutex::new(recovered),
            watchers: Watchers::new(),
        });
        let (queue, commands) = channel();
        let writer = Writer::new(dir.clone(), shared.clone(), journal, ballast)?;
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(&commands))
            .map_err(StoreError::io("starting the writer of", &dir))?;
        Ok(Self { shared, queue, writer: Some(thread) })
    }
}

/// A journal with an index that was checked against it.
struct Opened {
    journal: Journal,
    database: Database,
    recovered: Option<String>,
}

impl Opened {
    fn open(store: &Path) -> Result<Self> {
        let is_new = !index::path(store).exists();
        let (journal, truth) = Journal::open(&store.join("journal"), is_new)?;
        let (database, rebuilt) = index::open(store, &truth)?;
        if is_new {
            sync_dir(store)?;
            store.parent().map_or(Ok(()), sync_dir)?;
        }
        let recovered = truth.passed_over.into_iter().chain(rebuilt).reduce(|a, b| a + "; " + &b);
        Ok(Self { journal, database, recovered })
    }
}

impl Drop for SledKv {
    fn drop(&mut self) {
        let _ = self.queue.send(Command::Stop);
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

impl Shared {
    /// Runs a read; it sees no half-applied batch.
    fn read<T>(&self, read: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        match open.as_deref() {
            Some(open) => read(open),
            None => Err(StoreError::Backend {
                doing: "reading",
                why: "it could not be opened again after a failed commit".into(),
            }),
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recovered(&self) -> MutexGuard<'_, Option<String>> {
        self.recovered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gate(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kv for SledKv {
    fn get(&self, key: &str) -> Result<Option<Entry>> {
        self.shared.read(|open| physical::get(&open.db, key))
    }

    fn list(&self, prefix: &str, page: &Page) -> Result<Vec<(String, Entry)>> {
        self.shared.read(|open| physical::list(&open.db, prefix, page))
    }

    fn submit(&self, transaction: Transaction) -> Reply {
        let (respond, reply) = Reply::channel();
        // When the writer is gone, the responder is dropped, and the reply says so.
        let _ = self.queue.send(Command::Commit(transaction, respond));
        reply
    }

    fn watch(&self, prefix: &str) -> Watch {
        self.shared.watchers.watch(prefix)
    }

    fn health(&self) -> Health {
        self.shared.health().clone()
    }

    fn recovered(&self) -> Option<String> {
        self.shared.recovered().clone()
    }

    fn export(&self, each: &mut dyn FnMut(&str, &Entry) -> Result<()>) -> Result<Revision> {
        let _no_commits = self.shared.gate();
        let mut page = Page { limit: EXPORT_PAGE, ..Page::default() };
        loop {
            let entries = self.list("", &page)?;
            for (key, entry) in &entries {
                each(key, entry)?;
            }
            match entries.into_iter().last() {
                Some((last, _)) => page.after = Some(last),
                None => return self.shared.read(|open| physical::revision(&open.db)),
            }
        }
    }
}

impl std::fmt::Debug for SledKv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SledKv")
    }
}

/// An error with its cause, in one line.
fn describe(error: &StoreError) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

fn backend(doing: &'static str) -> impl Fn(::sled::Error) -> StoreError {
    move |error| match error {
        ::sled::Error::Io(source) => StoreError::io(doing, "store/db")(source),
        other => StoreError::Backend { doing, why: other.to_string() },
    }
}

/// sled panics in its drop when the last sync fails.
fn drop_quietly<T>(open: T) {
    if catch_unwind(AssertUnwindSafe(|| drop(open))).is_err() {
        tracing::error!("closing the store's database failed");
    }
}

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod power_tests;
#[cfg(test)]
mod tests;
