//! What the host knows about a source before it is fetched: what may be shown to it, and what earlier
//! deployments saw of it.

use windlass_build::Login;
use windlass_model::{Deployment, Failure, ProjectName, Secret, Source};
use windlass_store::{HistoryFilter, RegistryLogin};

use super::{Before, Credentials};
use crate::host::Host;

/// Deployments of a project that are looked at, newest first.
const LOOKED_AT: usize = 200;

impl Host {
    /// What a project has to show who is asking.
    ///
    /// # Errors
    /// The store's.
    pub fn source_credentials(&self, project: &ProjectName) -> Result<Credentials, Failure> {
        let stored = |e: windlass_store::StoreError| e.to_failure();
        let logins = self.store.registry_logins(project).map_err(stored)?;
        let login = |(registry, login): (String, RegistryLogin)| Login {
            registry,
            user: login.user,
            password: Secret::new(login.password),
        };
        Ok(Credentials {
            git_token: self.store.git_token(project).map_err(stored)?,
            deploy_key: self
                .store
                .deploy_key(project)
                .map_err(stored)?
                .map(|pair| Secret::new(pair.private)),
            logins: logins.into_iter().map(login).collect(),
        })
    }

    /// What earlier deployments of the project saw of the same repository.
    pub(crate) fn source_seen_before(&self, of: &Deployment) -> Result<Before, Failure> {
        let Source::Git { url, reference } = &of.source else {
            return Ok(Before::default());
        };
        let filter = HistoryFilter {
            project: of.project.clone(),
            environment: None,
            before: Some(of.number),
            limit: LOOKED_AT,
        };
        let page = self.store.deployments(&filter).map_err(|e| e.to_failure())?;
        let mut before = Before::default();
        for earlier in page.items {
            let Source::Git { url: its_url, reference: its_reference } = &earlier.source else {
                continue;
            };
            if let Some(fetched) = earlier.outputs.fetched.as_ref().filter(|_| its_url == url) {
                before.anonymous |= fetched.anonymous;
                before.reference |= reference.is_some() && its_reference == reference;
            }
        }
        Ok(before)
    }
}
