//! sled 0.34.7, made to keep its word. Its known faults, each read in its source, and what is done:
//!
//! - `flush()` is `sync_file_range` on Linux, which neither writes the file's metadata nor empties the
//!   disk's cache: a commit is flush **and** fsync of the `db` file through a handle of our own.
//! - A kill while opening can leave `snap.*.generating`, which every later open takes for a snapshot
//!   and calls corruption: such files are removed before opening.
//! - A page above 128 KiB (a quarter of a segment) becomes a blob file that is never synced. A leaf
//!   page is rewritten as a whole and holds up to 19 items, so it is not enough that *values* are
//!   small: they are split into parts of [`physical::PART_BYTES`], and should a blob appear all the
//!   same, it is synced before the commit is acknowledged.
//! - After a failed write everything in memory is ahead of the disk: the database is closed and opened
//!   again, so that reads show what is really there.
//! - A failed write on one path wakes nobody who waits in `flush()`: a watchdog flushes too when a
//!   flush takes long, which wakes them all.
//! - The flusher thread, which also collects garbage, ends silently on an error: its absence is
//!   noticed, and the database is opened again.
//! - Transactions take a lock of the whole process: one writer thread evaluates the conditions itself
//!   and applies plain batches, which are atomic across a crash.
//!
//! Commits that arrive while another is being written share the next flush (group commit).

mod ballast;
mod database;
mod physical;
mod watchdog;
mod writer;

use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

use self::ballast::Ballast;
use self::database::Database;
use self::writer::{Command, Writer};
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
    watchers: Watchers,
}

impl SledKv {
    /// Opens `<data_dir>/store`, and makes it at first. The caller holds the directory's lock.
    ///
    /// On a full disk it still opens, read-only, from the space of `<data_dir>/ballast`.
    pub fn open(data_dir: &Path) -> Result<Self> {
        let dir = data_dir.join("store");
        let ballast = Ballast::new(data_dir);
        let (open, why) = match Database::open(&dir) {
            Ok(open) => (open, ballast.ensure().err().map(|error| describe(&error))),
            Err(error) if ballast.release() => {
                tracing::error!(%error, "the store could not be opened; trying without the ballast");
                (Database::open(&dir)?, Some(describe(&error)))
            }
            Err(error) => return Err(error),
        };
        if let Some(why) = &why {
            tracing::error!(why, "the store starts read-only");
        }
        let shared = Arc::new(Shared {
            open: RwLock::new(Some(Arc::new(open))),
            gate: Mutex::new(()),
            health: Mutex::new(why.map_or(Health::Ok, |why| Health::ReadOnly { why })),
            watchers: Watchers::new(),
        });
        let (queue, commands) = channel();
        let writer = Writer::new(dir.clone(), shared.clone(), ballast)?;
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(&commands))
            .map_err(StoreError::io("starting the writer of", &dir))?;
        Ok(Self { shared, queue, writer: Some(thread) })
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
    move |error| StoreError::Backend { doing, why: error.to_string() }
}

#[cfg(test)]
mod tests;
