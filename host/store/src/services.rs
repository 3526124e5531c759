//! Services of an environment: what its variables point at.

use windlass_model::id::ServiceName;
use windlass_model::project::Service;
use windlass_model::{EnvironmentName, ProjectName};

use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Page, Transaction};
use crate::store::Store;

const RULE: &str = "use host:port, such as db.internal:5432";

impl Store {
    /// Adds a service, or replaces the one of this name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the environment; [`StoreError::Invalid`] for the address.
    pub async fn put_service(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        service: &Service,
    ) -> Result<()> {
        let _structure = self.inner.structure.lock().await;
        check_address(&service.address)?;
        self.environment(project, environment)?;
        let key = format!("{}{}", keys::services(project, environment), service.name);
        self.put(&key, Expect::Any, service).await.map(drop)
    }

    /// Removes a service.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn remove_service(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        name: &ServiceName,
    ) -> Result<()> {
        let key = format!("{}{name}", keys::services(project, environment));
        if self.inner.kv.get(&key)?.is_none() {
            let what = format!("service {name} of {project}/{environment}");
            return Err(StoreError::NotFound { what });
        }
        self.submit(Transaction::new().delete(key, Expect::Any).essential()).await.map(drop)
    }

    /// The services of an environment, by name.
    pub fn services(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<Vec<Service>> {
        let docs = self.read_all(&keys::services(project, environment), &Page::all())?;
        Ok(docs.into_iter().map(|(_, doc)| doc.value).collect())
    }
}

fn check_address(address: &str) -> Result<()> {
    let (host, port) = address.rsplit_once(':').unwrap_or_default();
    let has_port = port.parse::<u16>().is_ok_and(|port| port != 0);
    if host.is_empty() || host.contains(['/', '@', ' ']) || !has_port {
        let given = address.to_owned();
        return Err(StoreError::Invalid { what: "service address", given, rule: RULE });
    }
    Ok(())
}
