//! A plugin in an image registry: an artifact of one layer, and what cosign left beside it. Both are asked from the same
//! registry with the same login, and by the same client: it may reach no more for a signature than for the artifact.

use std::sync::Arc;

use tokio::task::spawn_blocking;
use windlass_build::Login;
use windlass_build::http::certificate_bundle;
use windlass_build::registry::{Client, Component, Reference, RegistryError};
use windlass_model::Failure;

use super::fetch::{self, OCI, Reach, SMALL_TIME_MAX, TIME_MAX};
use super::signature::Proof;

/// An artifact that was pulled.
pub(super) struct Artifact {
    /// The plugin in it.
    pub(super) component: Component,
    client: Arc<Client>,
    /// Its name, for people.
    shown: String,
}

impl Artifact {
    /// Pulls the one of this name, with the login for its registry if there is one. Its component has at most so many
    /// bytes.
    ///
    /// # Errors
    /// `plugin.url-invalid`, `plugin.fetch-failed`.
    pub(super) async fn pull(
        name: &str,
        reach: Reach<'_>,
        logins: &[Login],
        bytes_max: u64,
    ) -> Result<Self, Failure> {
        let reference = name.parse::<Reference>().map_err(|error| {
            let fix = "give one such as oci://ghcr.io/acme/scan:1.2.0";
            let what = format!("{OCI}{name} is no address of a plugin");
            Failure::app("plugin.url-invalid", what, error.to_string(), fix)
        })?;
        let login = logins.iter().find(|login| login.registry == reference.registry).cloned();
        let shown = reference.to_string();
        // A registry that a project has a login for was chosen with it.
        let but = reach.but().filter(|_| login.is_none()).map(ToOwned::to_owned);
        let pulled = spawn_blocking(move || {
            let bundle = certificate_bundle(None);
            let client = match but {
                None => Client::new(reference, bundle.as_deref(), login, Vec::new()),
                Some(chosen) => Client::outside_but(reference, bundle.as_deref(), &chosen),
            };
            let client = client.within(TIME_MAX);
            let component = client.component(bytes_max);
            component.map(|component| (component, Arc::new(client.within(SMALL_TIME_MAX))))
        });
        match pulled.await {
            Ok(Ok((component, client))) => Ok(Self { component, client, shown }),
            Ok(Err(error)) => Err(not_pulled(&shown, &error)),
            Err(ended) => Err(fetch::failed(&shown, ended.to_string())),
        }
    }

    /// What cosign left beside it.
    ///
    /// # Errors
    /// `plugin.fetch-failed`: it is not known whether there is anything.
    pub(super) async fn proof(&self) -> Result<Proof, Failure> {
        let (client, manifest) = (Arc::clone(&self.client), self.component.manifest.clone());
        let why = match spawn_blocking(move || client.cosign(&manifest)).await {
            Ok(Ok(cosign)) => return Ok(Proof::OfArtifact(cosign)),
            Ok(Err(error)) => error.to_string(),
            Err(ended) => ended.to_string(),
        };
        Err(fetch::no_signature(&self.shown, why))
    }
}

fn not_pulled(shown: &str, error: &RegistryError) -> Failure {
    let mut failure = fetch::failed(shown, error.to_string());
    if matches!(error, RegistryError::Unauthorized { .. }) {
        failure.fix = "if it is private, name a project that has a login for its registry: --project NAME; `windlass \
                       registry login` stores one"
            .to_owned();
    }
    failure
}
