//! Putting back what was found elsewhere: how `windlass recover` fills a store, and what a restored
//! backup must have settled before a host may run on it.
//!
//! **Invariant: what is put back never takes a route back.** Generations, numbers and the proxy's epoch
//! only grow.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use windlass_model::deployment::{DeploymentStatus, StepStatus, StoredPlan};
use windlass_model::network::Subnet;
use windlass_model::project::{Project, Service};
use windlass_model::variable::{Variable, VariableName};
use windlass_model::{
    Deployment, Digest, EnvironmentName, Failure, HostId, Limits, ProjectName, Timestamp,
};

use crate::doc::encode;
use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Transaction};
use crate::store::Store;

/// A deployment that was found, with what belongs to it.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its project.
    pub project: Project,
    /// The deployment as it is to be.
    pub deployment: Deployment,
    /// Whether it serves its environment.
    pub is_live: bool,
    /// Generation of its route; the environment's counter is at least this.
    pub generation: u64,
    /// Its plan.
    pub plan: Option<(Digest, StoredPlan)>,
    /// The environment's services.
    pub services: Vec<Service>,
    /// The environment's domains; `*` is the default route.
    pub domains: Vec<String>,
    /// Variables that the environment is to have unless it knows them.
    pub variables: Vec<Variable>,
}

/// What came of one that was put back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutBack {
    /// Variables that were not known.
    pub variables: Vec<VariableName>,
    /// Domains that were not known, and are no other environment's.
    pub domains: Vec<String>,
}

impl Store {
    /// Opens the store of a data directory whose state is lost: a new one, under the id of the host that
    /// still has things on the machine.
    ///
    /// # Errors
    /// As [`Store::open`]; [`StoreError::Exists`] when the store belongs to another host.
    pub fn open_anew(data_dir: &Path, limits: Limits, host: &HostId) -> Result<Self> {
        let store = Self::open_as(data_dir, limits, Some(host))?;
        if store.host_id() == host {
            return Ok(store);
        }
        Err(StoreError::Exists { what: format!("a store of the host {}", store.host_id()) })
    }

    /// Puts a deployment back with everything that belongs to it. Can be repeated.
    ///
    /// # Errors
    /// The store's.
    pub async fn put_back(&self, found: Found) -> Result<PutBack> {
        let (project, environment) =
            (found.deployment.project.clone(), found.deployment.environment.clone());
        self.put_back_project(&found).await?;
        self.ensure_environment(&project, &environment).await?;
        if let Some((digest, plan)) = &found.plan {
            self.put_plan(digest, plan).await?;
        }
        self.put_back_deployment(&found).await?;
        if found.is_live {
            self.put_back_settings(&found.deployment).await?;
        }
        for service in &found.services {
            self.put_service(&project, &environment, service).await?;
        }
        let mut put = PutBack::default();
        for host in &found.domains {
            if self.domain(host)?.is_none() {
                self.add_domain(&project, &environment, host).await?;
                put.domains.push(host.clone());
            }
        }
        let known = self.variables(&project, &environment)?;
        let is_new = |variable: &&Variable| !known.iter().any(|known| known.name == variable.name);
        let new: Vec<Variable> = found.variables.iter().filter(is_new).cloned().collect();
        if !new.is_empty() {
            self.set_variables(&project, &environment, &new).await?;
        }
        put.variables = new.into_iter().map(|variable| variable.name).collect();
        Ok(put)
    }

    async fn put_back_project(&self, found: &Found) -> Result<()> {
        let mut stored = self.ensure_project(&found.project.name).await?;
        let project = &mut stored.value;
        project.created_at = project.created_at.min(found.project.created_at);
        project.source = found.project.source.clone().or(project.source.take());
        project.app_dir = found.project.app_dir.clone().or(project.app_dir.take());
        let next = found.project.next_number.max(found.deployment.number + 1);
        project.next_number = project.next_number.max(next);
        self.update_project(stored).await.map(drop)
    }

    /// The deployment, and the environment that points at it, in one write.
    async fn put_back_deployment(&self, found: &Found) -> Result<()> {
        let deployment = &found.deployment;
        let mut environment = self.environment(&deployment.project, &deployment.environment)?;
        let before = self.find_deployment(&deployment.id)?;
        let expect = before.as_ref().map_or(Expect::Absent, |doc| doc.expect());
        let before = before.map(|doc| doc.value);
        let mut tx = self.writing(Transaction::new(), before.as_ref(), deployment, expect)?;
        let value = &mut environment.value;
        if found.is_live {
            if let Some(old) = value.live.replace(deployment.id.clone())
                && old != deployment.id
                && let Some(mut old) = self.find_deployment(&old)?
            {
                old.value.status = DeploymentStatus::Retired;
                old.value.ended_at = Some(Timestamp::now());
                tx = self.updating(tx, &old.value, old.revision)?;
            }
            value.generation = value.generation.max(found.generation) + 1;
        }
        let key = keys::environment(&deployment.project, &deployment.environment);
        let bytes = encode(&key, &environment.value)?;
        self.submit(tx.put(key, environment.expect(), bytes)).await.map(drop)
    }

    /// Whether it holds no project.
    ///
    /// # Errors
    /// The store's.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.projects()?.is_empty())
    }

    /// Makes an environment's next generation larger than this one; an environment that is not there
    /// is left alone.
    ///
    /// # Errors
    /// The store's.
    pub async fn raise_generation(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        to: u64,
    ) -> Result<()> {
        let Some(mut found) = self.find_environment(project, environment)? else {
            return Ok(());
        };
        if found.value.generation >= to {
            return Ok(());
        }
        found.value.generation = to;
        let key = keys::environment(project, environment);
        self.put(&key, found.expect(), &found.value).await.map(drop)
    }

    /// Ends every deployment that a backup shows at work: nobody knows how it went on. Those that
    /// drained are over. Returns how many were failed.
    ///
    /// # Errors
    /// The store's.
    pub async fn settle_unsettled(&self, failure: &Failure) -> Result<usize> {
        let mut failed = 0;
        for stored in self.unsettled_deployments()? {
            let mut deployment = stored.value;
            deployment.ended_at = Some(Timestamp::now());
            if deployment.status == DeploymentStatus::Draining {
                deployment.status = DeploymentStatus::Retired;
            } else {
                deployment.status = DeploymentStatus::Failed;
                deployment.failure = Some(failure.clone());
                for step in &mut deployment.steps {
                    if matches!(step.status, StepStatus::Pending | StepStatus::Running) {
                        step.status = StepStatus::Cancelled;
                    }
                }
                failed += 1;
            }
            self.update_deployment(&deployment, stored.revision).await?;
        }
        for intent in self.intents()? {
            self.remove_intent(intent.id).await?;
        }
        Ok(failed)
    }

    /// Writes down that a network has this subnet and its containers these addresses, in the place of
    /// what is known of it. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the subnet is another network's.
    pub fn put_back_network(
        &self,
        name: &str,
        subnet: Subnet,
        containers: BTreeMap<String, Ipv4Addr>,
    ) -> Result<()> {
        crate::addresses::put_back(self, name, subnet, containers)
    }
}
