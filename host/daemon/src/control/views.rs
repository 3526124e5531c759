//! Records as they are shown: with addresses, place in the queue, and nothing secret.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use windlass_model::api::{DeploymentView, DomainView, EnvironmentView, ProjectView};
use windlass_model::project::{Domain, Environment, Project};
use windlass_model::{Deployment, DeploymentStatus, Failure};

use super::stored;
use crate::host::Host;

/// How long the proxy may take to say where it listens; addresses are shown without a port then.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the proxy listens, asked once for everything that one answer shows.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Vec<SocketAddr>);

impl Addresses {
    /// Asks the proxy. One that does not answer listens nowhere.
    pub async fn of(host: &Host) -> Self {
        let asked = tokio::time::timeout(PATIENCE, host.proxy.listeners()).await;
        Self(asked.ok().and_then(Result::ok).unwrap_or_default())
    }

    /// The listeners as addresses to open.
    pub fn urls(&self) -> Vec<String> {
        self.0.iter().map(|listener| format!("http://{}", reachable(*listener))).collect()
    }

    /// A domain with its address.
    pub fn domain(&self, domain: &Domain) -> DomainView {
        DomainView {
            host: domain.host.clone(),
            url: self.url(domain),
            created_at: domain.created_at,
        }
    }

    fn url(&self, domain: &Domain) -> String {
        let listener = self.0.first().copied();
        let port = listener.map_or(80, |listener| listener.port());
        match (domain.is_default, listener) {
            (true, Some(listener)) => format!("http://{}", without_port_80(&reachable(listener))),
            (true, None) => "http://127.0.0.1".to_owned(),
            (false, _) => format!("http://{}", without_port_80(&format!("{}:{port}", domain.host))),
        }
    }
}

/// A listener on every address is reached on this machine's own.
fn reachable(listener: SocketAddr) -> String {
    match listener.ip() {
        ip if !ip.is_unspecified() => listener.to_string(),
        IpAddr::V4(_) => format!("127.0.0.1:{}", listener.port()),
        IpAddr::V6(_) => format!("[::1]:{}", listener.port()),
    }
}

fn without_port_80(address: &str) -> &str {
    address.strip_suffix(":80").unwrap_or(address)
}

/// A project with its environments.
pub(crate) fn project(
    host: &Host,
    project: &Project,
    addresses: &Addresses,
) -> Result<ProjectView, Failure> {
    let environments = host.store.environments(&project.name).map_err(stored)?;
    let shown = environments.iter().map(|found| environment(host, found, addresses));
    Ok(ProjectView {
        name: project.name.clone(),
        created_at: project.created_at,
        has_git_token: host.store.has_git_token(&project.name).map_err(stored)?,
        environments: shown.collect::<Result<_, _>>()?,
    })
}

/// An environment with its live deployment.
pub(crate) fn environment(
    host: &Host,
    environment: &Environment,
    addresses: &Addresses,
) -> Result<EnvironmentView, Failure> {
    let live = match &environment.live {
        Some(id) => host.store.find_deployment(id).map_err(stored)?.map(|found| found.value),
        None => None,
    };
    let live = live.filter(|deployment| deployment.status == DeploymentStatus::Live);
    Ok(EnvironmentView {
        name: environment.name.clone(),
        created_at: environment.created_at,
        live_number: live.as_ref().map(|deployment| deployment.number),
        live: live.map(|deployment| deployment.id),
        urls: urls(host, environment, addresses)?,
    })
}

/// The default route first: it works without any name resolution.
fn urls(
    host: &Host,
    environment: &Environment,
    addresses: &Addresses,
) -> Result<Vec<String>, Failure> {
    let mut domains =
        host.store.domains(&environment.project, &environment.name).map_err(stored)?;
    domains.sort_by_key(|domain| (!domain.is_default, domain.host.ends_with(".localhost")));
    Ok(domains.iter().map(|domain| addresses.url(domain)).collect())
}

/// What runs and what waits, read once for everything that one answer shows.
pub(crate) struct Queue {
    running: Vec<Deployment>,
    queued: Vec<Deployment>,
    running_max: usize,
}

impl Queue {
    pub(crate) fn of(host: &Host) -> Result<Self, Failure> {
        let with = |status| -> Result<Vec<Deployment>, Failure> {
            let found = host.store.deployments_with_status(status).map_err(stored)?;
            Ok(found.into_iter().map(|found| found.value).collect())
        };
        Ok(Self {
            running: with(DeploymentStatus::Running)?,
            queued: with(DeploymentStatus::Queued)?,
            running_max: host.config.limits.deployments_running_max,
        })
    }

    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    pub(crate) fn queued(&self) -> usize {
        self.queued.len()
    }

    /// How many run or wait before a queued deployment, and what it waits for.
    fn place(&self, deployment: &Deployment) -> (u64, String) {
        let before = self.queued.iter().filter(|other| other.id < deployment.id).count();
        // It may have begun between the two look-ups.
        let running: Vec<&Deployment> =
            self.running.iter().filter(|other| other.id != deployment.id).collect();
        let same_environment = |other: &&&Deployment| {
            other.project == deployment.project && other.environment == deployment.environment
        };
        let why = if let Some(other) = running.iter().find(same_environment) {
            format!("deployment #{} of this environment is running", other.number)
        } else if running.len() >= self.running_max {
            format!("{} deployments are running, which is the limit", running.len())
        } else if before > 0 {
            format!("{before} queued before it")
        } else {
            "it is about to begin".to_owned()
        };
        ((running.len() + before) as u64, why)
    }
}

/// A deployment as it is shown.
pub(crate) fn deployment(
    host: &Host,
    deployment: Deployment,
    queue: &Queue,
    addresses: &Addresses,
) -> Result<DeploymentView, Failure> {
    let place = (deployment.status == DeploymentStatus::Queued).then(|| queue.place(&deployment));
    let is_live = deployment.status == DeploymentStatus::Live;
    let found = host.store.find_environment(&deployment.project, &deployment.environment);
    let urls = match found.map_err(stored)?.filter(|_| is_live) {
        Some(found) => urls(host, &found.value, addresses)?,
        None => Vec::new(),
    };
    let (queue_position, waiting_for) = place.unzip();
    Ok(DeploymentView { deployment, urls, queue_position, waiting_for })
}
