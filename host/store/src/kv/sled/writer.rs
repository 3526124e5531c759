//! The one thread that writes: it evaluates conditions, applies batches, commits groups of them, and
//! makes the store read-only when a commit fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::super::{Health, Responder, Revision, Transaction};
use super::ballast::Ballast;
use super::database::{Database, flushers_live};
use super::watchdog::Watchdog;
use super::{Shared, backend, describe, physical};
use crate::error::{Result, StoreError};

/// Transactions that share one flush at most.
const GROUP_MAX: usize = 256;
/// How often a healthy store looks after itself.
const CHECK_EVERY: Duration = Duration::from_secs(30);
/// How often a read-only store tries whether it can be well again.
const RECOVER_EVERY: Duration = Duration::from_millis(500);
/// How long sled may take to let go of its file before it is opened again.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

pub(super) enum Command {
    Commit(Transaction, Responder),
    #[cfg(test)]
    Reopen,
    #[cfg(test)]
    CheckFlusher,
    Stop,
}

/// A transaction that was applied and waits for the flush, or was refused.
type Applied = (Transaction, Responder, Result<Revision>);

pub(super) struct Writer {
    dir: PathBuf,
    shared: Arc<Shared>,
    ballast: Ballast,
    watchdog: Watchdog,
    checked_at: Instant,
    flusher_missing: bool,
    /// The device itself failed: what the page cache holds may never have reached it, so only a
    /// restart reads the truth.
    broken: bool,
}

impl Writer {
    pub(super) fn new(dir: PathBuf, shared: Arc<Shared>, ballast: Ballast) -> Result<Self> {
        let watchdog = Watchdog::start(&dir)?;
        let checked_at = Instant::now();
        Ok(Self {
            dir,
            shared,
            ballast,
            watchdog,
            checked_at,
            flusher_missing: false,
            broken: false,
        })
    }

    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        loop {
            let pause = if self.is_well() { CHECK_EVERY } else { RECOVER_EVERY };
            let go_on = match commands.recv_timeout(pause) {
                Ok(first) => self.take_group(first, commands),
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => false,
            };
            if !go_on {
                break;
            }
            if !self.is_well() {
                self.try_to_recover();
            } else if self.checked_at.elapsed() >= CHECK_EVERY {
                self.check_flusher();
            }
        }
        self.close();
    }

    fn is_well(&self) -> bool {
        *self.shared.health() == Health::Ok
    }

    /// Carries out this command and what has queued up behind it. Returns whether to go on.
    fn take_group(&mut self, first: Command, commands: &Receiver<Command>) -> bool {
        let mut group = Vec::new();
        let mut next = Some(first);
        let mut go_on = true;
        while let Some(command) = next {
            match command {
                Command::Commit(transaction, respond) => group.push((transaction, respond)),
                Command::Stop => go_on = false,
                #[cfg(test)]
                Command::Reopen => self.reopen(),
                #[cfg(test)]
                Command::CheckFlusher => self.check_flusher(),
            }
            next = if go_on && group.len() < GROUP_MAX { commands.try_recv().ok() } else { None };
        }
        if !group.is_empty() {
            self.commit_group(group);
        }
        go_on
    }

    fn commit_group(&mut self, group: Vec<(Transaction, Responder)>) {
        let mut applied = Vec::with_capacity(group.len());
        let result = catch_unwind(AssertUnwindSafe(|| self.write_group(group, &mut applied)));
        let result = result.unwrap_or_else(|_| {
            Err(StoreError::Backend { doing: "writing", why: "the database panicked".into() })
        });
        if let Err(error) = &result {
            self.fail(error);
        }
        let why = result.as_ref().err().map(describe);
        for (transaction, respond, outcome) in applied {
            let outcome = match (outcome, &why) {
                (Ok(_), Some(why)) => Err(StoreError::ReadOnly { why: why.clone() }),
                (outcome, _) => outcome,
            };
            if let Ok(revision) = &outcome {
                self.shared.watchers.tell(&transaction, *revision);
            }
            let _ = respond.send(outcome);
        }
    }

    /// Applies each transaction and makes all of them durable together.
    fn write_group(
        &self,
        group: Vec<(Transaction, Responder)>,
        applied: &mut Vec<Applied>,
    ) -> Result<()> {
        let read_only = match &*self.shared.health() {
            Health::Ok => None,
            Health::ReadOnly { why } => Some(why.clone()),
        };
        let mut failed = None;
        let mut wrote = false;
        for (transaction, respond) in group {
            let refusal = read_only.clone().filter(|_| !transaction.essential);
            let outcome = match refusal {
                Some(why) => Err(StoreError::ReadOnly { why }),
                None if failed.is_some() => Err(StoreError::ReadOnly {
                    why: "an earlier change could not be written".into(),
                }),
                None => self.apply(&transaction),
            };
            wrote |= outcome.is_ok();
            if let Err(error @ (StoreError::Backend { .. } | StoreError::Io { .. })) = &outcome {
                failed.get_or_insert_with(|| describe(error));
            }
            applied.push((transaction, respond, outcome));
        }
        match failed {
            Some(why) => Err(StoreError::Backend { doing: "writing", why }),
            None if wrote => self.flush(),
            None => Ok(()),
        }
    }

    /// Checks and applies one transaction; it is not durable yet.
    fn apply(&self, transaction: &Transaction) -> Result<Revision> {
        transaction.validate()?;
        let _gate = self.shared.gate();
        let guard = self.shared.open.write().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = guard.as_deref() else {
            let why = "the database could not be opened again".into();
            return Err(StoreError::ReadOnly { why });
        };
        let db = &open.db;
        transaction.check_expectations(|key| physical::revision_of(db, key))?;
        let revision = physical::revision(db)? + 1;
        let batch = physical::batch(db, transaction, revision)?;
        db.apply_batch(batch).map_err(backend("writing"))?;
        Ok(revision)
    }

    fn flush(&self) -> Result<()> {
        let open = self.present();
        match open {
            Some(open) => self.watchdog.watch(Arc::downgrade(&open), || open.commit()),
            None => Err(StoreError::Closed),
        }
    }

    fn present(&self) -> Option<Arc<Database>> {
        self.shared.open.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A commit failed: read-only from here on, loudly, with the truth of the disk for readers.
    fn fail(&mut self, error: &StoreError) {
        let why = describe(error);
        self.broken |= matches!(error, StoreError::Io { source, .. } if !is_full(source));
        let freed = self.ballast.release();
        tracing::error!(
            why,
            freed,
            "a commit failed: the store is READ-ONLY until it is well again"
        );
        *self.shared.health() = Health::ReadOnly { why };
        self.reopen();
    }

    /// Closes the database and opens it again from what is on disk.
    fn reopen(&self) {
        let mut guard = self.shared.open.write().unwrap_or_else(PoisonError::into_inner);
        drop_quietly(guard.take());
        let deadline = Instant::now() + CLOSE_PATIENCE;
        loop {
            match Database::open(&self.dir) {
                Ok(open) => {
                    *guard = Some(Arc::new(open));
                    return;
                }
                // Its threads may still hold the old file for a moment.
                Err(error)
                    if describe(&error).contains("acquire lock") && Instant::now() < deadline =>
                {
                    std::thread::park_timeout(Duration::from_millis(5));
                }
                Err(error) => {
                    tracing::error!(
                        error = describe(&error),
                        "the store could not be opened again"
                    );
                    return;
                }
            }
        }
    }

    /// Well again means: opened, the ballast is back, and a commit went through.
    fn try_to_recover(&mut self) {
        if self.broken {
            return;
        }
        if self.present().is_none() {
            self.reopen();
        }
        if self.present().is_none() || self.ballast.ensure().is_err() {
            return;
        }
        let empty = Transaction::new();
        let tried =
            catch_unwind(AssertUnwindSafe(|| self.apply(&empty).and_then(|_| self.flush())));
        match tried {
            Ok(Ok(())) => {
                *self.shared.health() = Health::Ok;
                tracing::info!("the store takes changes again");
            }
            Ok(Err(error)) => self.fail(&error),
            Err(_) => self.fail(&StoreError::Backend {
                doing: "writing",
                why: "the database panicked".into(),
            }),
        }
    }

    /// Two looks in a row, because a thread takes its name only when it runs.
    fn check_flusher(&mut self) {
        self.checked_at = Instant::now();
        if flushers_live() {
            self.flusher_missing = false;
        } else if self.flusher_missing {
            tracing::error!("the store's flusher has ended: opening the store again");
            self.reopen();
            self.flusher_missing = false;
        } else {
            self.flusher_missing = true;
        }
    }

    fn close(&self) {
        let mut guard = self.shared.open.write().unwrap_or_else(PoisonError::into_inner);
        drop_quietly(guard.take());
    }
}

/// sled panics in its drop when the last sync fails.
fn drop_quietly(open: Option<Arc<Database>>) {
    if catch_unwind(AssertUnwindSafe(|| drop(open))).is_err() {
        tracing::error!("closing the store's database failed");
    }
}

fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}
