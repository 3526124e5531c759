//! What an environment's containers may reach beyond the defaults: `network.allow` of the settings.
//!
//! One wall stands around an environment's network, so what is open is the union of what its running,
//! live and draining deployments need. Names are resolved when a deployment is provisioned, and one that
//! does not resolve then is a failure. Later they are looked up again before instances start and at
//! intervals, because what they name moves: a new address is opened at once, an old one is closed an hour
//! after the name led there last. A name that does not resolve then keeps what it led to, after a restart
//! of the host what was found at first: it is part of the deployment's record.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinSet;
use windlass_model::destination::{self, Destination};
use windlass_model::{
    Deployment, DeploymentId, DeploymentStatus, EnvironmentName, Failure, ProjectName,
};

use super::{Run, names};
use crate::host::Host;

/// How long one name may take.
const WITHIN: Duration = Duration::from_secs(5);
/// Between two looks at what the names lead to.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// An address stays open for so long after its name led there last: many names lead to a few of their
/// addresses at a time.
const KEPT_FOR: Duration = Duration::from_secs(3600);

/// What names led to lately, and what is open for it.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    /// By name, when each address was seen last.
    seen: Mutex<HashMap<Destination, BTreeMap<SocketAddrV4, Instant>>>,
    /// What was opened last, by network.
    open: Mutex<HashMap<String, Vec<SocketAddrV4>>>,
}

impl Lookups {
    /// Notes what a name leads to now.
    fn learn(&self, name: &Destination, found: &[SocketAddrV4], now: Instant) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.entry(name.clone()).or_default();
        known.extend(found.iter().map(|address| (*address, now)));
        known.retain(|_, at| now.saturating_duration_since(*at) < KEPT_FOR);
    }

    /// What a name led to lately; nothing when it was not looked up since the host's start.
    fn known(&self, name: &Destination) -> Option<Vec<SocketAddrV4>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(name).map(|known| known.keys().copied().collect())
    }

    fn opened(&self, network: String, open: Vec<SocketAddrV4>) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(network, open);
    }

    fn is_open(&self, network: &str, open: &[SocketAddrV4]) -> bool {
        let known = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(network).is_some_and(|known| known == open)
    }
}

/// Looks names up again at intervals, until the host stops.
pub(crate) async fn keep(host: Arc<Host>) {
    loop {
        match host.all_live() {
            Ok(live) => {
                for (deployment, _) in live.iter().filter(|(one, _)| names_of(one).next().is_some())
                {
                    refresh(&host, &deployment.project, &deployment.environment).await;
                }
            }
            Err(failure) => tracing::warn!(%failure, "the live deployments could not be read"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Looks up what the names of an environment lead to now, and opens the wall for it. What cannot be looked
/// up, or opened, stays as it is and is logged: it is tried again.
pub(crate) async fn refresh(host: &Host, project: &ProjectName, environment: &EnvironmentName) {
    if let Err(failure) = look_again(host, project, environment).await {
        tracing::warn!(%failure, %project, %environment, "what may be reached could not be renewed");
    }
}

async fn look_again(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Result<(), Failure> {
    let needing = needing(host, project, environment, None)?;
    let wanted: BTreeSet<Destination> = needing.iter().flat_map(names_of).cloned().collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut lookups = JoinSet::new();
    for name in wanted {
        lookups.spawn(async move { (resolve(&name).await, name) });
    }
    while let Some(looked_up) = lookups.join_next().await {
        match looked_up {
            Ok((Ok(found), name)) => host.lookups.learn(&name, &found, Instant::now()),
            Ok((Err(failure), name)) => {
                tracing::warn!(%failure, %name, "a name keeps the addresses that it had");
            }
            Err(panic) => tracing::error!(%panic, "a lookup ended by a defect"),
        }
    }
    let network = names::network(project, environment);
    let _lock = lock(host, project, environment).await;
    let open = needed(host, project, environment, None, Vec::new())?;
    if host.lookups.is_open(&network, &open) {
        return Ok(());
    }
    tracing::info!(%project, %environment, ?open, "what names lead to has changed");
    allow(host, network, open).await
}

/// What of a deployment's destinations are names.
fn names_of(deployment: &Deployment) -> impl Iterator<Item = &Destination> {
    let settings = deployment.outputs.settings.iter();
    settings.flat_map(|settings| &settings.network.allow).filter(|to| to.address().is_none())
}

/// Resolves what the deployment may reach, and opens the wall for it.
pub(super) async fn open(run: &mut Run) -> Result<(), Failure> {
    let mut allowed = Vec::new();
    for destination in run.settings()?.network.allow.clone() {
        let addresses = resolve(&destination).await?;
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        run.log.say(format!("{destination} may be reached ({})", shown.join(", ")));
        if destination.address().is_none() {
            run.host.lookups.learn(&destination, &addresses, Instant::now());
        }
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
    let _lock = lock(host, project, environment).await;
    let open = needed(host, project, environment, without, more)?;
    allow(host, names::network(project, environment), open).await
}

/// Held from the look at what is needed until the wall is open for it.
async fn lock(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> OwnedMutexGuard<()> {
    host.named_lock(format!("egress:{project}/{environment}")).await
}

/// What an environment needs now, sorted.
fn needed(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
    without: Option<&DeploymentId>,
    more: Vec<SocketAddrV4>,
) -> Result<Vec<SocketAddrV4>, Failure> {
    let mut open: BTreeSet<SocketAddrV4> = more.into_iter().collect();
    for other in needing(host, project, environment, without)? {
        open.extend(reached_by(host, &other));
    }
    Ok(open.into_iter().collect())
}

/// Opens exactly this.
async fn allow(host: &Host, network: String, open: Vec<SocketAddrV4>) -> Result<(), Failure> {
    let allowed = host.runtime.allow(&network, &open).await;
    allowed.map_err(|e| e.failure("the environment's network could not be opened"))?;
    host.lookups.opened(network, open);
    Ok(())
}

/// The deployments of an environment that something was opened for and that still need it.
fn needing(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
    without: Option<&DeploymentId>,
) -> Result<Vec<Deployment>, Failure> {
    let live = host.live(project, environment)?;
    let all = host.unsettled()?.into_iter().chain(live).map(|(deployment, _)| deployment);
    let needs = |one: &Deployment| {
        one.project == *project
            && one.environment == *environment
            && without != Some(&one.id)
            && one.status != DeploymentStatus::Queued
            && one.failure.is_none()
            && one.cancelled.is_none()
            && !one.outputs.allowed.is_empty()
    };
    Ok(all.filter(needs).collect())
}

/// What a deployment may reach now.
fn reached_by(host: &Host, deployment: &Deployment) -> Vec<SocketAddrV4> {
    let outputs = &deployment.outputs;
    let destinations = outputs.settings.iter().flat_map(|settings| &settings.network.allow);
    let mut open: Option<Vec<SocketAddrV4>> = Some(Vec::new());
    for destination in destinations {
        let addresses = match destination.address() {
            Some(address) => Some(vec![SocketAddrV4::new(address, destination.port())]),
            None => host.lookups.known(destination),
        };
        open = open.zip(addresses).map(|(open, more)| [open, more].concat());
    }
    open.unwrap_or_else(|| outputs.allowed.clone())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_moves_leads_to_both_addresses_for_an_hour_and_then_to_the_new_one() {
        let (lookups, start) = (Lookups::default(), Instant::now());
        let name: Destination = "db.internal:5432".parse().unwrap();
        let address = |last: u8| SocketAddrV4::new([10, 0, 0, last].into(), 5432);
        assert_eq!(lookups.known(&name), None);
        lookups.learn(&name, &[address(1)], start);
        lookups.learn(&name, &[address(1)], start + LOOK_EVERY);
        assert_eq!(lookups.known(&name), Some(vec![address(1)]));
        lookups.learn(&name, &[address(2)], start + LOOK_EVERY * 2);
        assert_eq!(lookups.known(&name), Some(vec![address(1), address(2)]));
        let later = start + LOOK_EVERY + KEPT_FOR;
        lookups.learn(&name, &[address(2)], later);
        assert_eq!(lookups.known(&name), Some(vec![address(2)]));
    }

    #[test]
    fn a_name_that_does_not_resolve_for_long_keeps_what_it_led_to() {
        let (lookups, start) = (Lookups::default(), Instant::now());
        let name: Destination = "db.internal:5432".parse().unwrap();
        let address = SocketAddrV4::new([10, 0, 0, 1].into(), 5432);
        lookups.learn(&name, &[address], start);
        // Nothing is learnt while no name server answers; then it leads there as before.
        lookups.learn(&name, &[address], start + KEPT_FOR * 2);
        assert_eq!(lookups.known(&name), Some(vec![address]));
    }
}
