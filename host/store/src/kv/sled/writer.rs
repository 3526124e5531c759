//! The one thread that writes: it evaluates conditions, makes groups of transactions durable in the
//! journal, applies them to sled, and makes the store read-only when that fails.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::super::{Action, Health, Responder, Revision, Transaction};
use super::ballast::Ballast;
use super::database::{Database, flushers_live};
use super::journal::Journal;
use super::watchdog::Watchdog;
use super::{Shared, backend, describe, drop_quietly, index, physical};
use crate::error::{Result, StoreError};

/// Transactions that share one frame at most.
const GROUP_MAX: usize = 256;
/// Bytes from which on a group takes no further transaction.
const GROUP_BYTES: usize = 4 * 1024 * 1024;
/// How often a healthy store looks after itself.
const CHECK_EVERY: Duration = Duration::from_secs(30);
/// How often a read-only store tries whether it can be well again.
const RECOVER_EVERY: Duration = Duration::from_millis(500);
/// How long sled may take to let go of its file before it is opened again.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

const NOT_OPEN: &str = "the database could not be opened again";

pub(super) enum Command {
    Commit(Transaction, Responder),
    #[cfg(test)]
    Reopen,
    #[cfg(test)]
    CheckFlusher,
    #[cfg(test)]
    Compact,
    Stop,
}

/// A transaction with the revision it gets, or why it was refused.
type Decided = (Transaction, Responder, Result<Revision>);

/// Revisions that the keys of a group will have; `None` for removed ones.
type Pending = HashMap<String, Option<Revision>>;

pub(super) struct Writer {
    dir: PathBuf,
    shared: Arc<Shared>,
    journal: Journal,
    ballast: Ballast,
    watchdog: Watchdog,
    checked_at: Instant,
    flusher_missing: bool,
    /// Revision up to which sled's files were synced.
    synced: Revision,
}

impl Writer {
    pub(super) fn new(
        dir: PathBuf,
        shared: Arc<Shared>,
        journal: Journal,
        ballast: Ballast,
    ) -> Result<Self> {
        let watchdog = Watchdog::start(&dir)?;
        let checked_at = Instant::now();
        Ok(Self {
            dir,
            shared,
            journal,
            ballast,
            watchdog,
            checked_at,
            flusher_missing: false,
            synced: 0,
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
                self.sync_index();
            } else if self.journal.is_long() {
                self.compact();
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
        let mut bytes = 0;
        let mut next = Some(first);
        let mut go_on = true;
        while let Some(command) = next {
            match command {
                Command::Commit(transaction, respond) => {
                    bytes += size(&transaction);
                    group.push((transaction, respond));
                }
                Command::Stop => go_on = false,
                #[cfg(test)]
                Command::Reopen => self.reopen(),
                #[cfg(test)]
                Command::CheckFlusher => self.check_flusher(),
                #[cfg(test)]
                Command::Compact => self.compact(),
            }
            let is_open = go_on && group.len() < GROUP_MAX && bytes < GROUP_BYTES;
            next = if is_open { commands.try_recv().ok() } else { None };
        }
        if !group.is_empty() {
            self.commit_group(group);
        }
        go_on
    }

    fn commit_group(&mut self, group: Vec<(Transaction, Responder)>) {
        let mut decided = Vec::with_capacity(group.len());
        let result = catch_unwind(AssertUnwindSafe(|| self.write_group(group, &mut decided)));
        let result = result.unwrap_or_else(|_| Err(panicked()));
        if let Err(error) = &result {
            self.fail(error);
        }
        let why = result.as_ref().err().map(describe);
        for (transaction, respond, outcome) in decided {
            let outcome = match (outcome, &why) {
                // Durable, and sled was brought up to it when it was opened again.
                (Ok(revision), Some(why)) if !self.holds(revision) => {
                    Err(StoreError::ReadOnly { why: why.clone() })
                }
                (outcome, _) => outcome,
            };
            if let Ok(revision) = &outcome {
                self.shared.watchers.tell(&transaction, *revision);
            }
            let _ = respond.send(outcome);
        }
    }

    /// Whether journal and sled have this revision.
    fn holds(&self, revision: Revision) -> bool {
        revision <= self.journal.revision() && self.present().is_some()
    }

    /// Decides each transaction, makes the accepted ones durable together, and applies them.
    fn write_group(
        &mut self,
        group: Vec<(Transaction, Responder)>,
        decided: &mut Vec<Decided>,
    ) -> Result<()> {
        let read_only = match &*self.shared.health() {
            Health::Ok => None,
            Health::ReadOnly { why } => Some(why.clone()),
        };
        let mut failed = None;
        let mut pending = Pending::new();
        let mut revision = self.journal.revision();
        for (transaction, respond) in group {
            let refusal = read_only.clone().filter(|_| !transaction.essential);
            let outcome = match refusal {
                Some(why) => Err(StoreError::ReadOnly { why }),
                None => self.decide(&transaction, &pending),
            };
            let outcome = outcome.map(|()| {
                revision += 1;
                note(&mut pending, &transaction, revision);
                revision
            });
            if let Err(error @ (StoreError::Backend { .. } | StoreError::Io { .. })) = &outcome {
                failed.get_or_insert_with(|| describe(error));
            }
            decided.push((transaction, respond, outcome));
        }
        if let Some(why) = failed {
            return Err(StoreError::Backend { doing: "reading", why });
        }
        let accepted = decided.iter().filter(|(_, _, outcome)| outcome.is_ok());
        let accepted: Vec<_> = accepted.map(|(transaction, ..)| transaction).collect();
        self.write(&accepted)
    }

    /// Makes transactions durable, **and only then** shows them to readers.
    fn write(&mut self, accepted: &[&Transaction]) -> Result<()> {
        if accepted.is_empty() {
            return Ok(());
        }
        let first = self.journal.revision() + 1;
        self.journal.append(accepted)?;
        for (transaction, revision) in accepted.iter().zip(first..) {
            self.apply(transaction, revision)?;
        }
        Ok(())
    }

    /// Checks a transaction against what is there and what the group will have done before it.
    fn decide(&self, transaction: &Transaction, pending: &Pending) -> Result<()> {
        transaction.validate()?;
        let Some(open) = self.present() else {
            return Err(StoreError::ReadOnly { why: NOT_OPEN.into() });
        };
        transaction.check_expectations(|key| match pending.get(key) {
            Some(revision) => Ok(*revision),
            None => physical::revision_of(&open.db, key),
        })
    }

    fn apply(&self, transaction: &Transaction, revision: Revision) -> Result<()> {
        let _gate = self.shared.gate();
        let guard = self.shared.open.write().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = guard.as_deref() else {
            return Err(StoreError::ReadOnly { why: NOT_OPEN.into() });
        };
        let batch = physical::batch(&open.db, transaction, revision)?;
        open.db.apply_batch(batch).map_err(backend("writing"))
    }

    /// Flushes sled and syncs its files.
    fn flush(&mut self) -> Result<()> {
        let revision = self.journal.revision();
        let Some(open) = self.present() else { return Err(StoreError::Closed) };
        let weak = Arc::downgrade(&open);
        let flushed =
            catch_unwind(AssertUnwindSafe(|| self.watchdog.watch(weak, || open.commit())));
        flushed.unwrap_or_else(|_| Err(panicked()))?;
        if revision > self.synced {
            index::note_synced(&self.dir, revision);
            self.synced = revision;
        }
        Ok(())
    }

    /// So that little has to be made up for after a crash.
    fn sync_index(&mut self) {
        if self.synced < self.journal.revision()
            && let Err(error) = self.flush()
        {
            self.fail(&error);
        }
    }

    /// Starts the journal anew behind a checkpoint. sled is synced first, because what is in the
    /// checkpoint is no longer made up for at opening.
    fn compact(&mut self) {
        if let Err(error) = self.flush() {
            return self.fail(&error);
        }
        if let Err(error) = self.journal.compact() {
            tracing::error!(
                error = describe(&error),
                "no checkpoint could be written; the journal grows on"
            );
        }
    }

    fn present(&self) -> Option<Arc<Database>> {
        self.shared.open.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A commit failed: read-only from here on, loudly, with the truth of the disk for readers.
    fn fail(&mut self, error: &StoreError) {
        let why = describe(error);
        let freed = self.ballast.release();
        tracing::error!(
            why,
            freed,
            "a commit failed: the store is READ-ONLY until it is well again"
        );
        *self.shared.health() = Health::ReadOnly { why };
        self.reopen();
    }

    /// Closes the database, and opens it again as the journal says.
    fn reopen(&self) {
        let mut guard = self.shared.open.write().unwrap_or_else(PoisonError::into_inner);
        drop_quietly(guard.take());
        let deadline = Instant::now() + CLOSE_PATIENCE;
        loop {
            let opened = self.journal.load().and_then(|truth| index::open(&self.dir, &truth));
            match opened {
                Ok((open, rebuilt)) => {
                    *guard = Some(Arc::new(open));
                    if rebuilt.is_some() {
                        *self.shared.recovered() = rebuilt;
                    }
                    return;
                }
                // Its threads may still hold the old file for a moment.
                Err(error) if index::is_locked(&error) && Instant::now() < deadline => {
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
        if self.journal.is_broken() {
            return;
        }
        if self.present().is_none() {
            self.reopen();
        }
        if self.present().is_none() || self.ballast.ensure().is_err() {
            return;
        }
        let empty = Transaction::new();
        let tried = catch_unwind(AssertUnwindSafe(|| self.write(&[&empty])));
        let tried = tried.unwrap_or_else(|_| Err(panicked())).and_then(|()| self.flush());
        match tried {
            Ok(()) => {
                *self.shared.health() = Health::Ok;
                tracing::info!("the store takes changes again");
            }
            Err(error) => self.fail(&error),
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

    fn close(&mut self) {
        if self.present().is_some()
            && let Err(error) = self.flush()
        {
            tracing::error!(error = describe(&error), "the last sync of the database failed");
        }
        let mut guard = self.shared.open.write().unwrap_or_else(PoisonError::into_inner);
        drop_quietly(guard.take());
    }
}

fn panicked() -> StoreError {
    StoreError::Backend { doing: "writing", why: "the database panicked".into() }
}

/// Bytes of a transaction, roughly.
fn size(transaction: &Transaction) -> usize {
    let value = |action: &Action| if let Action::Put(value) = action { value.len() } else { 0 };
    transaction.ops.iter().map(|op| op.key.len() + value(&op.action)).sum()
}

/// Notes what a transaction of this revision does to its keys.
fn note(pending: &mut Pending, transaction: &Transaction, revision: Revision) {
    for op in &transaction.ops {
        let revision = match op.action {
            Action::Put(_) => Some(revision),
            Action::Delete => None,
            Action::Check => continue,
        };
        pending.insert(op.key.clone(), revision);
    }
}
