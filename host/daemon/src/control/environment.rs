//! Variables, domains and services of an environment.

use std::sync::Arc;

use windlass_model::access::TokenScope;
use windlass_model::api::{AddDomain, AddService, DomainView, SetVariables, VariableView};
use windlass_model::id::ServiceName;
use windlass_model::project::Service;
use windlass_model::variable::{Scope, Variable, VariableName};
use windlass_model::{Failure, Secret, Timestamp};

use super::{Target, require, stored, views};
use crate::access::caller;
use crate::host::Host;

/// Sets variables: all or none. What runs sees them when it is started anew: after a restart, or with the
/// next deployment.
///
/// # Errors
/// `environment.not-found`, `variable.repeated`, `variable.port-invalid`, `store.too-large`,
/// `store.too-many`.
pub async fn set_variables(
    host: &Arc<Host>,
    target: &Target,
    body: SetVariables,
) -> Result<Vec<VariableView>, Failure> {
    let mut names = std::collections::BTreeSet::new();
    if let Some(twice) = body.variables.iter().find(|v| !names.insert(v.name.clone())) {
        return Err(Failure::app(
            "variable.repeated",
            format!("the variable {} is set twice in one request", twice.name),
            "one of the values would be lost",
            "give each name once",
        ));
    }
    if let Some(port) = body.variables.iter().find(|v| v.name.as_str() == "PORT") {
        check_port(&port.value)?;
    }
    // Once secret, a variable stays so until it is unset: a new value is no smaller a secret.
    let known = host.store.variables(&target.project, &target.environment).unwrap_or_default();
    let was_secret =
        |name: &VariableName| known.iter().any(|view| view.secret && view.name == *name);
    let known_scope =
        |name: &VariableName| known.iter().find(|view| view.name == *name).map(|view| view.scope);
    let variables: Vec<Variable> = body
        .variables
        .into_iter()
        .map(|v| {
            let secret = v.secret || was_secret(&v.name);
            // What a build need not see is no reason to build again, and cannot leak there.
            let usual = if secret { Scope::Run } else { Scope::Both };
            Variable {
                scope: v.scope.or_else(|| known_scope(&v.name)).unwrap_or(usual),
                name: v.name,
                value: Secret::new(v.value),
                secret,
            }
        })
        .collect();
    let Target { project, environment } = target;
    host.store.set_variables(project, environment, &variables).await.map_err(stored)?;
    self::variables(host, target)
}

/// `PORT` is what the proxy dials, so it must be one.
fn check_port(value: &str) -> Result<(), Failure> {
    if value.trim().parse::<u16>().is_ok_and(|port| port > 0) {
        return Ok(());
    }
    Err(Failure::app(
        "variable.port-invalid",
        "the variable PORT is no port",
        "the proxy dials it, so it is a number from 1 to 65535",
        "set such a number, or remove the variable: a port is chosen then",
    ))
}

/// The variables, secret ones without their values; all without, for whom may not change them.
///
/// # Errors
/// `environment.not-found`.
pub fn variables(host: &Host, target: &Target) -> Result<Vec<VariableView>, Failure> {
    require(host, target)?;
    let mut views = host.store.variables(&target.project, &target.environment).map_err(stored)?;
    if caller::present().is_some_and(|caller| caller.scope < TokenScope::Admin) {
        views.iter_mut().for_each(|view| view.value = None);
    }
    Ok(views)
}

/// Removes a variable.
///
/// # Errors
/// `environment.not-found`, `variable.not-found`.
pub async fn unset_variable(
    host: &Arc<Host>,
    target: &Target,
    name: &VariableName,
) -> Result<(), Failure> {
    let Target { project, environment } = target;
    let names = std::slice::from_ref(name);
    let removed = host.store.unset_variables(project, environment, names).await.map_err(stored)?;
    if removed == 0 {
        return Err(Failure::app(
            "variable.not-found",
            format!("the variable {name} is not set in {project}/{environment}"),
            "there is nothing to remove",
            "`windlass env list` shows what is set",
        ));
    }
    Ok(())
}

/// Leads a host name to the environment, and tells the proxy.
///
/// # Errors
/// `environment.not-found`, `domain.taken`, `store.invalid`; the proxy's, with the domain stored.
pub async fn add_domain(
    host: &Arc<Host>,
    target: &Target,
    body: AddDomain,
) -> Result<DomainView, Failure> {
    let Target { project, environment } = target;
    let domain = host.store.add_domain(project, environment, &body.host).await.map_err(stored)?;
    host.routes_changed(project, environment).await?;
    Ok(views::Addresses::of(host).await.domain(&domain))
}

/// The domains of the environment.
///
/// # Errors
/// `environment.not-found`.
pub async fn domains(host: &Arc<Host>, target: &Target) -> Result<Vec<DomainView>, Failure> {
    require(host, target)?;
    let addresses = views::Addresses::of(host).await;
    let domains = host.store.domains(&target.project, &target.environment).map_err(stored)?;
    Ok(domains.iter().map(|domain| addresses.domain(domain)).collect())
}

/// Removes a domain of the environment, and tells the proxy.
///
/// # Errors
/// `environment.not-found`, `domain.not-found`; the proxy's, with the domain removed.
pub async fn remove_domain(host: &Arc<Host>, target: &Target, name: &str) -> Result<(), Failure> {
    require(host, target)?;
    let Target { project, environment } = target;
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let found = host.store.domain(&name).map_err(stored)?;
    let is_ours = found.is_some_and(|d| d.project == *project && d.environment == *environment);
    if !is_ours {
        return Err(Failure::app(
            "domain.not-found",
            format!("{name} does not lead to {project}/{environment}"),
            "there is nothing to remove",
            "`windlass domain list` shows the domains of the environment",
        ));
    }
    host.store.remove_domain(&name).await.map_err(stored)?;
    host.routes_changed(project, environment).await
}

/// Adds a service, or replaces the one of this name.
///
/// # Errors
/// `environment.not-found`, `store.invalid`.
pub async fn add_service(
    host: &Arc<Host>,
    target: &Target,
    body: AddService,
) -> Result<Service, Failure> {
    let service = Service {
        name: body.name,
        kind: body.kind,
        address: body.address,
        variable_names: body.variable_names,
        created_at: Timestamp::now(),
    };
    let Target { project, environment } = target;
    host.store.put_service(project, environment, &service).await.map_err(stored)?;
    Ok(service)
}

/// The services of the environment.
///
/// # Errors
/// `environment.not-found`.
pub fn services(host: &Host, target: &Target) -> Result<Vec<Service>, Failure> {
    require(host, target)?;
    host.store.services(&target.project, &target.environment).map_err(stored)
}

/// Removes a service.
///
/// # Errors
/// `environment.not-found`, `service.not-found`.
pub async fn remove_service(
    host: &Arc<Host>,
    target: &Target,
    name: &ServiceName,
) -> Result<(), Failure> {
    require(host, target)?;
    let Target { project, environment } = target;
    host.store.remove_service(project, environment, name).await.map_err(stored)
}
