//! Logins of image registries.

use std::sync::Arc;

use windlass_model::api::{RegistryView, SetRegistryLogin};
use windlass_model::{Failure, ProjectName};
use windlass_store::RegistryLogin;

use super::stored;
use crate::host::Host;

/// Bytes of a name or a password.
const WORD_BYTES_MAX: usize = 8192;

/// Stores a login in place of the one before.
///
/// # Errors
/// `project.not-found`, `registry-login.invalid`.
pub async fn set(
    host: &Arc<Host>,
    project: &ProjectName,
    body: SetRegistryLogin,
) -> Result<(), Failure> {
    check(&body)?;
    let login = RegistryLogin { user: body.user, password: body.password };
    host.store.set_registry_login(project, &body.registry, &login).await.map_err(stored)
}

fn check(body: &SetRegistryLogin) -> Result<(), Failure> {
    let refused = |what: &str, why: &str| {
        let fix = "windlass registry login ghcr.io --username NAME --password-stdin";
        Err(Failure::app("registry-login.invalid", what, why, fix))
    };
    let host_char = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    let registry = &body.registry;
    if registry.is_empty() || registry.len() > 255 || !registry.chars().all(host_char) {
        let why = "a registry is a host name, with a port where it has one of its own";
        return refused(&format!("{registry:?} is no registry"), why);
    }
    let fits = |word: &str| {
        (1..=WORD_BYTES_MAX).contains(&word.len()) && !word.chars().any(char::is_control)
    };
    if !fits(&body.user) || body.user.contains(':') || !fits(&body.password) {
        let why = format!(
            "name and password have 1 to {WORD_BYTES_MAX} characters without control characters, and \
             a name has no colon"
        );
        return refused("this cannot be a login", &why);
    }
    Ok(())
}

/// The registries that there are logins for.
///
/// # Errors
/// `project.not-found`.
pub fn list(host: &Host, project: &ProjectName) -> Result<Vec<RegistryView>, Failure> {
    host.store.project(project).map_err(stored)?;
    let logins = host.store.registry_logins(project).map_err(stored)?;
    let view =
        |(registry, login): (String, RegistryLogin)| RegistryView { registry, user: login.user };
    Ok(logins.into_iter().map(view).collect())
}

/// Forgets a login.
///
/// # Errors
/// `project.not-found`, `registry-login.not-found`.
pub async fn remove(
    host: &Arc<Host>,
    project: &ProjectName,
    registry: &str,
) -> Result<(), Failure> {
    host.store.project(project).map_err(stored)?;
    host.store.remove_registry_login(project, registry).await.map_err(stored)
}
