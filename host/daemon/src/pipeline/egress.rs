//! What an environment's containers may reach beyond the defaults: `network.allow` of the settings.
//!
//! One wall stands around an environment's network, so what is open is the union of what its running,
//! live and draining deployments need. Names are resolved when a deployment is provisioned; what was
//! found is part of its record, and is in force again after a restart.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddrV4};
use std::time::Duration;

use windlass_model::destination::{self, Destination};
use windlass_model::{DeploymentId, DeploymentStatus, EnvironmentName, Failure, ProjectName};

use super::{Run, names};
use crate::host::Host;

/// How long one name may take.
const WITHIN: Duration = Duration::from_secs(5);

/// Resolves what the deployment may reach, and opens the wall for it.
pub(super) async fn open(run: &mut Run) -> Result<(), Failure> {
    let mut allowed = Vec::new();
    for destination in run.settings()?.network.allow.clone() {
        let addresses = resolve(&destination).await?;
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        run.log.say(format!("{destination} may be reached ({})", shown.join(", ")));
        allowed.extend(addresses);
    }
    allowed.sort_unstable();
    allowed.dedup();
    run.deployment.outputs.allowed = allowed.clone();
    let deployment = &run.deployment;
    apply(&run.host, &deployment.project, &deployment.environment, Some(&deployment.id), allowed)
        .await
}

/// Opens what is needed now, and closes the rest: `without` is a deployment that needs nothing any more.
pub(crate) async fn settle(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
    without: Option<&DeploymentId>,
) -> Result<(), Failure> {
    apply(host, project, environment, without, Vec::new()).await
}

async fn apply(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
    without: Option<&DeploymentId>,
    more: Vec<SocketAddrV4>,
) -> Result<(), Failure> {
    let _lock = host.named_lock(format!("egress:{project}/{environment}")).await;
    let mut open: BTreeSet<SocketAddrV4> = more.into_iter().collect();
    let live = host.live(project, environment)?;
    let needed = host.unsettled()?.into_iter().chain(live).map(|(deployment, _)| deployment);
    for other in needed.filter(|other| {
        other.project == *project
            && other.environment == *environment
            && without != Some(&other.id)
            && other.status != DeploymentStatus::Queued
    }) {
        open.extend(other.outputs.allowed);
    }
    let open: Vec<SocketAddrV4> = open.into_iter().collect();
    host.runtime
        .allow(&names::network(project, environment), &open)
        .await
        .map_err(|e| e.failure("the environment's network could not be opened"))
}

async fn resolve(destination: &Destination) -> Result<Vec<SocketAddrV4>, Failure> {
    let port = destination.port();
    if let Some(address) = destination.address() {
        return Ok(vec![SocketAddrV4::new(address, port)]);
    }
    let unresolved = |why: String| {
        Failure::app(
            "network.allow-unresolved",
            format!("{destination}, which the application may reach, has no address"),
            why,
            "correct the name in `network.allow` of windlass.toml, or give the address itself; it is looked \
             up on this machine",
        )
    };
    let found = tokio::time::timeout(WITHIN, tokio::net::lookup_host((destination.host(), port)))
        .await
        .map_err(|_| unresolved(format!("there was no answer within {} s", WITHIN.as_secs())))?
        .map_err(|error| unresolved(error.to_string()))?;
    let found: Vec<SocketAddrV4> = found
        .filter_map(|address| match address.ip() {
            IpAddr::V4(ip) if !destination::is_forbidden(ip) => Some(SocketAddrV4::new(ip, port)),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        let why = "it has no IPv4 address, or only ones that nobody may be let through to (loopback, \
                   link-local)";
        return Err(unresolved(why.to_owned()));
    }
    Ok(found)
}
