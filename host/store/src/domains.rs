//! Domains: each host name leads to exactly one environment on this host.

use windlass_model::project::Domain;
use windlass_model::{EnvironmentName, ProjectName, Timestamp};

use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Page, Transaction};
use crate::store::Store;

const RULE: &str = "use a host name such as shop.example.com, without scheme, port or path, or * for \
                    every request that no other domain takes";

impl Store {
    /// Leads a host name (or `*`, the default route) to an environment. Adding it again is no error.
    ///
    /// # Errors
    /// [`StoreError::Invalid`]; [`StoreError::DomainTaken`], saying by whom;
    /// [`StoreError::NotFound`] for the environment.
    pub async fn add_domain(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        host: &str,
    ) -> Result<Domain> {
        let _structure = self.inner.structure.lock().await;
        let host = normalise(host)?;
        self.environment(project, environment)?;
        if let Some(taken) = self.domain(&host)? {
            if taken.project == *project && taken.environment == *environment {
                return Ok(taken);
            }
            let (project, environment) = (taken.project.into(), taken.environment.into());
            return Err(StoreError::DomainTaken { host, project, environment });
        }
        let domain = Domain {
            is_default: host == "*",
            project: project.clone(),
            environment: environment.clone(),
            created_at: Timestamp::now(),
            host,
        };
        self.put(&keys::domain(&domain.host), Expect::Absent, &domain).await?;
        Ok(domain)
    }

    /// Removes a domain.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn remove_domain(&self, host: &str) -> Result<Domain> {
        let host = normalise(host)?;
        let key = keys::domain(&host);
        let found = self.read::<Domain>(&key)?;
        let found = found.ok_or_else(|| StoreError::not_found(format!("domain {host}")))?;
        self.submit(Transaction::new().delete(key, found.expect()).essential()).await?;
        Ok(found.value)
    }

    /// The domain of this host name (or `*`), if there is one.
    pub fn domain(&self, host: &str) -> Result<Option<Domain>> {
        let found = self.read(&keys::domain(&normalise(host)?))?;
        Ok(found.map(|doc| doc.value))
    }

    /// Every domain of this host, by name.
    pub fn all_domains(&self) -> Result<Vec<Domain>> {
        let docs = self.read_all(keys::DOMAINS, &Page::all())?;
        Ok(docs.into_iter().map(|(_, doc)| doc.value).collect())
    }

    /// The domains of an environment, by name.
    pub fn domains(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<Vec<Domain>> {
        let mut domains = self.all_domains()?;
        domains.retain(|domain| domain.project == *project && domain.environment == *environment);
        Ok(domains)
    }
}

/// Lower case, no trailing dot; labels of letters, digits and inner hyphens.
fn normalise(host: &str) -> Result<String> {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name == "*" || (name.len() <= 253 && name.split('.').all(is_label)) {
        Ok(name)
    } else {
        Err(StoreError::Invalid { what: "domain", given: host.to_owned(), rule: RULE })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_in_one_form() {
        assert_eq!(normalise("Shop.Example.COM.").unwrap(), "shop.example.com");
        assert_eq!(normalise("*").unwrap(), "*");
        assert_eq!(normalise("127.0.0.1").unwrap(), "127.0.0.1");
    }

    #[test]
    fn what_is_no_host_name_is_refused() {
        for bad in ["", ".", "a..b", "http://a", "a:80", "a/b", "*.a", "-a.b", "a_b", "ä.de"] {
            assert!(normalise(bad).is_err(), "{bad}");
        }
        assert!(normalise(&"a".repeat(64)).is_err());
    }
}
