//! Deployments: numbered, versioned, and indexed so that any page of any history is a few look-ups.
//!
//! **Invariant: the indexes change in the transaction that changes the record.** They are by number
//! (project), by number (environment), by status, by retained artifact, and by the plan and the upload that they
//! were made of; their values are ids.

use std::collections::BTreeSet;

use windlass_model::deployment::DeploymentStatus;
use windlass_model::{Deployment, DeploymentId, Digest, EnvironmentName, ProjectName, Source};

use crate::doc::{Versioned, encode};
use crate::error::{Result, StoreError};
use crate::idempotency::{Created, Idempotency};
use crate::keys;
use crate::kv::{Expect, Page, Revision, Transaction};
use crate::store::Store;

/// Largest page of a list.
const PAGE_MAX: usize = 200;
const CREATE_TRIES_MAX: u32 = 20;

/// Which deployments of a project to list, newest first.
#[derive(Debug, Clone)]
pub struct HistoryFilter {
    /// The project.
    pub project: ProjectName,
    /// Only this environment's.
    pub environment: Option<EnvironmentName>,
    /// Only those with a smaller number: [`DeploymentPage::next`] of the page before.
    pub before: Option<u64>,
    /// At most so many, 1 to 200.
    pub limit: usize,
}

/// A page of a list, newest first.
#[derive(Debug, Clone)]
pub struct DeploymentPage {
    /// The deployments.
    pub items: Vec<Deployment>,
    /// What to pass as [`HistoryFilter::before`] for the next page; absent on the last.
    pub next: Option<u64>,
}

impl Store {
    /// Stores a new deployment under the project's next number (the given one is ignored), makes the
    /// environment if need be, and remembers the source as the project's.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the project; [`StoreError::TooMany`] over `deployments_queued_max`.
    pub async fn create_deployment(&self, deployment: Deployment) -> Result<Versioned<Deployment>> {
        match self.create_deployment_once(deployment, None).await? {
            Created::New(stored) | Created::Replayed(stored) => Ok(stored),
            // Only a key is ever used again.
            Created::KeyReused { number } | Created::Gone { number } => {
                Err(StoreError::Conflict { what: format!("deployment #{number}") })
            }
        }
    }

    /// The same, unless this idempotency key was used before.
    ///
    /// # Errors
    /// As [`Self::create_deployment`]; [`StoreError::TooMany`] over `idempotency_keys_max`.
    pub async fn create_deployment_once(
        &self,
        mut deployment: Deployment,
        once: Option<&Idempotency>,
    ) -> Result<Created> {
        let (project, environment) = (deployment.project.clone(), deployment.environment.clone());
        let _making = self.inner.structure.making(&project).await;
        if let Some(used) =
            once.map(|once| self.idempotency_key_used(&project, once)).transpose()?.flatten()
        {
            return Ok(used);
        }
        self.refuse_full_queue(&project)?;
        self.ensure_environment_locked(&project, &environment).await?;
        for _ in 0..CREATE_TRIES_MAX {
            let mut record = self.project(&project)?;
            deployment.number = record.value.next_number;
            record.value.next_number += 1;
            // An image or an upload in between does not make it another repository's.
            if matches!(deployment.source, Source::Git { .. }) || record.value.source.is_none() {
                record.value.source = Some(deployment.source.clone());
            }
            let key = keys::project(&project);
            let tx = Transaction::new().put(&key, record.expect(), encode(&key, &record.value)?);
            let mut tx = self.writing(tx, None, &deployment, Expect::Absent)?;
            if let Some(once) = once {
                tx = self.using_key(tx, once, &deployment)?;
            }
            match self.submit(tx).await {
                Ok(revision) => {
                    self.inner.briefs.remember(&deployment);
                    return Ok(Created::New(Versioned { value: deployment, revision }));
                }
                Err(StoreError::Conflict { what }) if what == key => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict { what: keys::project(&project) })
    }

    fn refuse_full_queue(&self, project: &ProjectName) -> Result<()> {
        let queued = self.briefs_with_status(DeploymentStatus::Queued)?;
        let count_max = self.inner.limits.deployments_queued_max;
        if queued.len() >= count_max {
            return Err(StoreError::TooMany { what: "queued deployments".into(), count_max });
        }
        let count_max = self.inner.limits.deployments_queued_per_project_max;
        if queued.iter().filter(|brief| brief.project == *project).count() >= count_max {
            let what = format!("queued deployments of project {project}");
            return Err(StoreError::TooMany { what, count_max });
        }
        Ok(())
    }

    /// The deployment, if there is one.
    pub fn find_deployment(&self, id: &DeploymentId) -> Result<Option<Versioned<Deployment>>> {
        self.read(&keys::deployment(id))
    }

    /// The deployment.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn deployment(&self, id: &DeploymentId) -> Result<Versioned<Deployment>> {
        let found = self.find_deployment(id)?;
        found.ok_or_else(|| StoreError::not_found(format!("deployment {id}")))
    }

    /// The deployment of this number in the project.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn deployment_by_number(
        &self,
        project: &ProjectName,
        number: u64,
    ) -> Result<Versioned<Deployment>> {
        let key = keys::numbered(&keys::numbers(project), number);
        let missing = || StoreError::not_found(format!("deployment #{number} of {project}"));
        let id = self.read::<DeploymentId>(&key)?.ok_or_else(missing)?;
        self.find_deployment(&id.value)?.ok_or_else(missing)
    }

    /// A page of a project's deployments, newest first.
    pub fn deployments(&self, filter: &HistoryFilter) -> Result<DeploymentPage> {
        let (items, next) = self.deployments_versioned(filter)?;
        Ok(DeploymentPage { items: items.into_iter().map(|item| item.value).collect(), next })
    }

    /// The same, with the revisions, for who is going to change them.
    pub fn deployments_versioned(
        &self,
        filter: &HistoryFilter,
    ) -> Result<(Vec<Versioned<Deployment>>, Option<u64>)> {
        let prefix = match &filter.environment {
            Some(environment) => keys::history(&filter.project, environment),
            None => keys::numbers(&filter.project),
        };
        let limit = filter.limit.clamp(1, PAGE_MAX);
        let after = filter.before.map(|before| keys::numbered(&prefix, before));
        let page = Page { after, limit: limit + 1, reverse: true };
        let mut items = self.deployments_in(&prefix, &page)?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| last.value.number);
        Ok((items, next))
    }

    /// Every deployment that is not settled (queued, running, draining) or is paused, oldest first
    /// within a status: what a restarted host looks at.
    pub fn unsettled_deployments(&self) -> Result<Vec<Versioned<Deployment>>> {
        use DeploymentStatus::{Draining, Paused, Queued, Running};
        let mut found = Vec::new();
        for status in [Draining, Running, Paused, Queued] {
            found.extend(self.deployments_with_status(status)?);
        }
        Ok(found)
    }

    /// Every deployment of this status, oldest first.
    pub fn deployments_with_status(
        &self,
        status: DeploymentStatus,
    ) -> Result<Vec<Versioned<Deployment>>> {
        self.deployments_in(&keys::in_status(status), &Page::all())
    }

    /// The ids of all deployments there are records of.
    pub fn deployment_ids(&self) -> Result<BTreeSet<DeploymentId>> {
        let ids = self.read_all::<DeploymentId>(keys::STATUSES, &Page::all())?;
        Ok(ids.into_iter().map(|(_, id)| id.value).collect())
    }

    /// The uploads that a project's deployments were made of.
    pub fn uploads_used(&self, project: &ProjectName) -> Result<BTreeSet<Digest>> {
        let prefix = keys::uploads_used(project);
        let found = self.inner.kv.list(&prefix, &Page::all())?;
        let digest = |key: &str| {
            let (hex, _) = key.strip_prefix(&prefix)?.split_once('/')?;
            format!("sha256:{hex}").parse().ok()
        };
        Ok(found.iter().filter_map(|(key, _)| digest(key)).collect())
    }

    /// The deployment that has been queued longest.
    pub fn next_queued_deployment(&self) -> Result<Option<Versioned<Deployment>>> {
        let page = Page { limit: 1, ..Page::default() };
        let queued = self.deployments_in(&keys::in_status(DeploymentStatus::Queued), &page)?;
        Ok(queued.into_iter().next())
    }

    /// An environment's deployments whose artifact is retained, newest first.
    pub fn deployments_with_artifact(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<Vec<Versioned<Deployment>>> {
        let page = Page { reverse: true, ..Page::default() };
        self.deployments_in(&keys::artifacts(project, environment), &page)
    }

    /// The documents that an index names; one deleted between the two look-ups is left out.
    fn deployments_in(&self, index: &str, page: &Page) -> Result<Vec<Versioned<Deployment>>> {
        let mut found = Vec::new();
        for (_, id) in self.read_all::<DeploymentId>(index, page)? {
            found.extend(self.find_deployment(&id.value)?);
        }
        Ok(found)
    }

    /// Changes a deployment. A read-only store takes it too: it is how a deployment gets settled.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] unless `expected` is its present revision; [`StoreError::NotFound`].
    pub async fn update_deployment(
        &self,
        deployment: &Deployment,
        expected: Revision,
    ) -> Result<Revision> {
        let tx = self.updating(Transaction::new().essential(), deployment, expected)?;
        self.submit(tx).await
    }

    /// Deletes a settled deployment from the history.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while it is live or unsettled; [`StoreError::NotFound`].
    pub async fn delete_deployment(&self, id: &DeploymentId) -> Result<()> {
        let found = self.deployment(id)?;
        let status = found.value.status;
        let in_use = matches!(status, DeploymentStatus::Live | DeploymentStatus::Paused);
        if in_use || !status.is_settled() {
            let what = format!("deployment #{}", found.value.number);
            return Err(StoreError::Busy { what, why: format!("it is {status}") });
        }
        self.submit(self.deleting(Transaction::new().essential(), &found)?).await.map(drop)
    }

    /// Adds the change of a deployment, with its indexes.
    pub(crate) fn updating(
        &self,
        tx: Transaction,
        deployment: &Deployment,
        expected: Revision,
    ) -> Result<Transaction> {
        let before = self.deployment(&deployment.id)?;
        let same_place = before.value.project == deployment.project
            && before.value.environment == deployment.environment
            && before.value.number == deployment.number;
        if before.revision != expected || !same_place {
            return Err(StoreError::Conflict { what: format!("deployment {}", deployment.id) });
        }
        self.writing(tx, Some(&before.value), deployment, Expect::Revision(expected))
    }

    pub(crate) fn writing(
        &self,
        mut tx: Transaction,
        before: Option<&Deployment>,
        deployment: &Deployment,
        expect: Expect,
    ) -> Result<Transaction> {
        let key = keys::deployment(&deployment.id);
        let id = encode(&key, &deployment.id)?;
        let after = index_keys(deployment);
        let before = before.map(index_keys).unwrap_or_default();
        for gone in before.iter().filter(|key| !after.contains(key)) {
            tx = tx.delete(gone, Expect::Any);
        }
        for new in after.into_iter().filter(|key| !before.contains(key)) {
            tx = tx.put(new, Expect::Any, id.clone());
        }
        Ok(tx.put(&key, expect, encode(&key, deployment)?))
    }

    pub(crate) fn deleting(
        &self,
        mut tx: Transaction,
        deployment: &Versioned<Deployment>,
    ) -> Result<Transaction> {
        let Deployment { id, project, environment, .. } = &deployment.value;
        for key in index_keys(&deployment.value) {
            tx = tx.delete(key, Expect::Any);
        }
        tx = tx.delete(format!("{}{id}", keys::pins(project, environment)), Expect::Any);
        tx = self.dropping_snapshot(tx, id)?;
        Ok(tx.delete(keys::deployment(id), deployment.expect()))
    }
}

/// Every index key under which this deployment is to be found.
pub(crate) fn index_keys(deployment: &Deployment) -> Vec<String> {
    let Deployment { id, project, environment, number, status, .. } = deployment;
    let mut found = vec![
        keys::numbered(&keys::numbers(project), *number),
        keys::numbered(&keys::history(project, environment), *number),
        keys::status(deployment),
        format!("{}{status}/{id}", keys::listed(project, environment)),
    ];
    if deployment.outputs.artifact.is_some() && !deployment.artifact_pruned {
        found.push(keys::numbered(&keys::artifacts(project, environment), *number));
    }
    found.extend(deployment.outputs.plan.as_ref().map(|plan| keys::plan_used(plan, id)));
    if let Some((upload, _)) = deployment.source.upload() {
        found.push(format!("{}{}/{id}", keys::uploads_used(project), upload.hex()));
    }
    found
}
