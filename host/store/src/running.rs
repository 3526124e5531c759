//! What runs in an environment, and what happened to it.
//!
//! **Invariant: events are bounded.** Each one that is put takes the oldest beyond
//! `environment_events_max` along, in the same transaction.

use windlass_model::running::{EnvironmentEvent, Running};
use windlass_model::{EnvironmentName, ProjectName};

use crate::doc::{Versioned, encode};
use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Page, Revision, Transaction, Watch, WatchEvent};
use crate::store::Store;

impl Store {
    /// What runs in an environment; none before its first live deployment.
    pub fn running(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<Option<Versioned<Running>>> {
        self.read(&keys::running(project, environment))
    }

    /// What runs in every environment.
    pub fn all_running(&self) -> Result<Vec<Versioned<Running>>> {
        let docs = self.read_all(keys::RUNNING, &Page::all())?;
        Ok(docs.into_iter().map(|(_, doc)| doc).collect())
    }

    /// Stores what runs in an environment. `expected` is the revision that was read, none for the first
    /// record. A read-only store takes it too.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it was changed since.
    pub async fn put_running(
        &self,
        running: &Running,
        expected: Option<Revision>,
    ) -> Result<Revision> {
        self.put_running_and_events(running, expected, Vec::new()).await
    }

    /// The same, with what is told of it: whoever sees the change finds its events, and neither is kept
    /// without the other. The events get the next ids.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the record was changed since, or another event took an id.
    pub async fn put_running_and_events(
        &self,
        running: &Running,
        expected: Option<Revision>,
        events: Vec<EnvironmentEvent>,
    ) -> Result<Revision> {
        let tx = running_in(Transaction::new().essential(), running, expected)?;
        let tx = self.events_in(tx, &running.project, &running.environment, events)?;
        self.submit(tx).await
    }

    /// Tells of every environment whose record is made, changed or deleted, from now on.
    pub fn watch_running(&self) -> RunningWatch {
        RunningWatch(self.inner.kv.watch(keys::RUNNING))
    }

    /// Adds an event of an environment, with the next id.
    pub async fn put_event(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        event: EnvironmentEvent,
    ) -> Result<()> {
        loop {
            let tx = Transaction::new().essential();
            let tx = self.events_in(tx, project, environment, vec![event.clone()])?;
            match self.submit(tx).await {
                Ok(_) => return Ok(()),
                // Another one took the id at the same moment.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Adds events with the next ids to a transaction, and takes the oldest beyond the limit away.
    fn events_in(
        &self,
        mut tx: Transaction,
        project: &ProjectName,
        environment: &EnvironmentName,
        events: Vec<EnvironmentEvent>,
    ) -> Result<Transaction> {
        if events.is_empty() {
            return Ok(tx);
        }
        let prefix = keys::events(project, environment);
        let known = self.inner.kv.list(&prefix, &Page::all())?;
        let last = known.last().and_then(|(key, _)| key.strip_prefix(&prefix)?.parse::<u64>().ok());
        let all = known.len() + events.len();
        let surplus = all.saturating_sub(self.inner.limits.environment_events_max);
        for (old, _) in known.iter().take(surplus) {
            tx = tx.delete(old, Expect::Any);
        }
        for (id, mut event) in (last.unwrap_or(0) + 1..).zip(events) {
            event.id = id;
            let key = keys::numbered(&prefix, id);
            let bytes = encode(&key, &event)?;
            tx = tx.put(key, Expect::Absent, bytes);
        }
        Ok(tx)
    }

    /// Events of an environment, newest first: at most `limit` (0 means all), with a smaller id than
    /// `before`.
    pub fn events(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<EnvironmentEvent>> {
        let prefix = keys::events(project, environment);
        let after = before.map(|before| keys::numbered(&prefix, before));
        let page = Page { after, limit, reverse: true };
        Ok(self.read_all(&prefix, &page)?.into_iter().map(|(_, doc)| doc.value).collect())
    }
}

/// Adds the record to a transaction.
pub(crate) fn running_in(
    tx: Transaction,
    running: &Running,
    expected: Option<Revision>,
) -> Result<Transaction> {
    let key = keys::running(&running.project, &running.environment);
    let bytes = encode(&key, running)?;
    Ok(tx.put(key, expected.map_or(Expect::Absent, Expect::Revision), bytes))
}

/// Changes of what runs.
#[derive(Debug)]
pub struct RunningWatch(Watch);

impl RunningWatch {
    /// The next environment whose record changed; `Some(None)` when some were missed: look at all. `None`
    /// when the store is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Option<(ProjectName, EnvironmentName)>> {
        match self.0.next().await? {
            WatchEvent::Missed => Some(None),
            WatchEvent::Changed(change) => {
                let rest = change.key.strip_prefix(keys::RUNNING).unwrap_or_default();
                let pair = rest.split_once('/');
                Some(pair.and_then(|(p, e)| Some((p.parse().ok()?, e.parse().ok()?))))
            }
        }
    }
}
