//! Lists of deployments, newest first, over any choice of projects, environments and statuses.
//!
//! **Invariant: a page costs its own length, whatever the length of the history**: ids come from the
//! indexes, and only the records that are shown are read.

use windlass_model::{Deployment, DeploymentId, DeploymentStatus, EnvironmentName, ProjectName};

use crate::doc::{Versioned, decode, encode};
use crate::error::Result;
use crate::keys;
use crate::kv::{Expect, Page, Transaction};
use crate::store::Store;

/// Version of the indexes that this program keeps; a store with fewer gets the missing ones when it is
/// opened.
const INDEXES_VERSION: u32 = 2;
/// Deployments whose indexes are built in one commit.
const BUILT_AT_ONCE: usize = 200;
const STATUSES: [DeploymentStatus; 11] = [
    DeploymentStatus::Queued,
    DeploymentStatus::Running,
    DeploymentStatus::Paused,
    DeploymentStatus::Live,
    DeploymentStatus::Draining,
    DeploymentStatus::Retired,
    DeploymentStatus::Built,
    DeploymentStatus::Failed,
    DeploymentStatus::Cancelled,
    DeploymentStatus::Stopped,
    DeploymentStatus::Stuck,
];

/// Which deployments to list.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Of this project.
    pub project: Option<ProjectName>,
    /// Of these projects, where `project` says nothing; of all when absent.
    pub among: Option<Vec<ProjectName>>,
    /// Of the environments of this name.
    pub environment: Option<EnvironmentName>,
    /// Of this status.
    pub status: Option<DeploymentStatus>,
    /// Older than this one, which need not exist any more.
    pub before: Option<DeploymentId>,
    /// At most so many.
    pub limit: usize,
}

impl Store {
    /// A page of deployments, newest first, and what to pass as `before` for the next page.
    pub fn list_deployments(
        &self,
        filter: &ListFilter,
    ) -> Result<(Vec<Versioned<Deployment>>, Option<DeploymentId>)> {
        let limit = filter.limit.max(1);
        let all =
            filter.project.is_none() && filter.among.is_none() && filter.environment.is_none();
        let mut ids = if all && filter.status.is_none() {
            self.newest_of_all(filter, limit + 1)?
        } else {
            self.newest_of_some(filter, limit + 1)?
        };
        let more = ids.len() > limit;
        ids.truncate(limit);
        let next = ids.last().filter(|_| more).cloned();
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(self.find_deployment(&id)?);
        }
        Ok((found, next))
    }

    /// The deployments whose ids begin so, at most this many.
    pub fn deployments_beginning_with(
        &self,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<Deployment>> {
        let page = Page { limit, ..Page::default() };
        let docs = self.read_all(&format!("{}{prefix}", keys::DEPLOYMENTS), &page)?;
        Ok(docs.into_iter().map(|(_, doc)| doc.value).collect())
    }

    /// The ids of an environment's history, newest first, without the first `skip`.
    pub fn history_beyond(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        skip: usize,
    ) -> Result<Vec<DeploymentId>> {
        let page = Page { reverse: true, ..Page::default() };
        let ids = self.read_all(&keys::history(project, environment), &page)?;
        Ok(ids.into_iter().skip(skip).map(|(_, doc)| doc.value).collect())
    }

    fn newest_of_all(&self, filter: &ListFilter, limit: usize) -> Result<Vec<DeploymentId>> {
        let after = filter.before.as_ref().map(keys::deployment);
        let page = Page { after, limit, reverse: true };
        let found = self.inner.kv.list(keys::DEPLOYMENTS, &page)?;
        let id = |key: &str| key.strip_prefix(keys::DEPLOYMENTS)?.parse().ok();
        Ok(found.iter().filter_map(|(key, _)| id(key)).collect())
    }

    /// The newest of each environment and status, merged.
    fn newest_of_some(&self, filter: &ListFilter, limit: usize) -> Result<Vec<DeploymentId>> {
        let projects = match (&filter.project, &filter.among) {
            (Some(project), _) => vec![project.clone()],
            (None, Some(projects)) => projects.clone(),
            (None, None) => self.projects()?.into_iter().map(|project| project.name).collect(),
        };
        let statuses = filter.status.as_ref().map_or(&STATUSES[..], std::slice::from_ref);
        let mut ids: Vec<DeploymentId> = Vec::new();
        for project in projects {
            let environments = match &filter.environment {
                Some(environment) => vec![environment.clone()],
                None => self.environments(&project)?.into_iter().map(|one| one.name).collect(),
            };
            for environment in environments {
                for status in statuses {
                    let prefix = format!("{}{status}/", keys::listed(&project, &environment));
                    let after = filter.before.as_ref().map(|id| format!("{prefix}{id}"));
                    let page = Page { after, limit, reverse: true };
                    let found = self.read_all::<DeploymentId>(&prefix, &page)?;
                    ids.extend(found.into_iter().map(|(_, doc)| doc.value));
                }
            }
        }
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        ids.truncate(limit);
        Ok(ids)
    }

    /// Builds the indexes that an earlier version did not keep. Blocks; called while opening.
    pub(crate) fn build_missing_indexes(&self) -> Result<()> {
        let kv = &self.inner.kv;
        let built = self.read::<u32>(keys::INDEXES)?.map_or(0, |doc| doc.value);
        if built >= INDEXES_VERSION {
            return Ok(());
        }
        let mut page = Page { limit: BUILT_AT_ONCE, ..Page::default() };
        loop {
            let records = kv.list(keys::DEPLOYMENTS, &page)?;
            let Some((last, _)) = records.last() else { break };
            page.after = Some(last.clone());
            let mut tx = Transaction::new().essential();
            for (key, entry) in &records {
                let deployment = decode::<Deployment>(key, entry)?.value;
                let id = encode(key, &deployment.id)?;
                for index in crate::deployments::index_keys(&deployment) {
                    tx = tx.put(index, Expect::Any, id.clone());
                }
            }
            kv.submit(tx).wait()?;
        }
        let version = encode(keys::INDEXES, &INDEXES_VERSION)?;
        let tx = Transaction::new().put(keys::INDEXES, Expect::Any, version);
        // A store on a full disk opens too.
        kv.submit(tx.essential()).wait().map(drop)
    }
}
