//! What is kept of schedules: their newest runs, and until when it is decided what was due.
//!
//! **Invariant: of two who change a history at once, one is refused.** That is why a run is begun by one alone.

use windlass_model::schedule::CronHistory;
use windlass_model::{EnvironmentName, ProjectName, Timestamp};

use crate::doc::{Versioned, encode};
use crate::error::Result;
use crate::keys;
use crate::kv::{Expect, Page, Revision, Transaction};
use crate::store::Store;

impl Store {
    /// What is kept of a schedule; nothing before its first run.
    pub fn cron_history(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        schedule: &str,
    ) -> Result<Option<Versioned<CronHistory>>> {
        self.read(&format!("{}{schedule}", keys::cron(project, environment)))
    }

    /// The same of all schedules that an environment has or had, by name.
    pub fn cron_histories(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<Vec<CronHistory>> {
        self.histories(&keys::cron(project, environment))
    }

    /// The same of every environment.
    pub fn all_cron_histories(&self) -> Result<Vec<CronHistory>> {
        self.histories(keys::CRON)
    }

    /// Nothing that was due up to now is to be run any more: what waits is left out, for this reason. For a host that
    /// is not there yet, with a state that is older than what its schedules have done since.
    ///
    /// # Errors
    /// The store's.
    pub async fn forgo_schedules(&self, now: Timestamp, why: &str) -> Result<()> {
        for (_, mut doc) in self.read_all::<CronHistory>(keys::CRON, &Page::all())? {
            doc.value.forgo(now, why);
            self.put_cron_history(&doc.value, Some(doc.revision)).await?;
        }
        Ok(())
    }

    fn histories(&self, prefix: &str) -> Result<Vec<CronHistory>> {
        let docs = self.read_all(prefix, &Page::all())?;
        Ok(docs.into_iter().map(|(_, doc)| doc.value).collect())
    }

    /// Stores what is kept of a schedule. `expected` is the revision that was read, none for the first record. A
    /// read-only store takes it too.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound) of the environment, for the first record;
    /// [`StoreError::Conflict`](crate::StoreError::Conflict) when it was changed since.
    pub async fn put_cron_history(
        &self,
        history: &CronHistory,
        expected: Option<Revision>,
    ) -> Result<Revision> {
        let CronHistory { project, environment, schedule, .. } = history;
        let key = format!("{}{schedule}", keys::cron(project, environment));
        let bytes = encode(&key, history)?;
        let Some(expected) = expected else {
            // Nothing is made in what is being deleted.
            let _structure = self.inner.structure.lock().await;
            self.environment(project, environment)?;
            return self
                .submit(Transaction::new().put(key, Expect::Absent, bytes).essential())
                .await;
        };
        let tx = Transaction::new().put(key, Expect::Revision(expected), bytes);
        self.submit(tx.essential()).await
    }
}
