//! Records as they are shown: with addresses, place in the queue, and nothing secret.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use windlass_model::api::{DeploymentView, DomainView, EnvironmentView, ProjectView};
use windlass_model::project::{Domain, Environment, Project};
use windlass_model::running::RunningView;
use windlass_model::{Deployment, DeploymentStatus, Failure};
use windlass_store::Brief;

use super::stored;
use crate::host::Host;
use crate::pipeline::fairness;

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
        plugins_off: host.plugins.switched_off(Some(&project.name)),
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
    let running = live.as_ref().map(|live| running(host, live)).transpose()?.flatten();
    let live = live.filter(|deployment| deployment.status == DeploymentStatus::Live);
    Ok(EnvironmentView {
        running,
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
    running: Vec<Arc<Brief>>,
    held: Vec<Arc<Brief>>,
    queued: Vec<Arc<Brief>>,
    running_max: usize,
    /// Those that can begin, in their order; found when it is first asked for.
    order: OnceCell<Vec<Arc<Brief>>>,
}

impl Queue {
    pub(crate) fn of(host: &Host) -> Result<Self, Failure> {
        Ok(Self {
            running: host.briefs(DeploymentStatus::Running)?,
            held: host.briefs(DeploymentStatus::Paused)?,
            queued: host.briefs(DeploymentStatus::Queued)?,
            running_max: host.config.limits.deployments_running_max,
            order: OnceCell::new(),
        })
    }

    /// How many waiting ones begin before a queued deployment, and what it waits for.
    fn place(&self, host: &Host, deployment: &Deployment) -> Result<(u64, String), Failure> {
        let me = Brief::from(deployment);
        let order =
            self.order.get_or_init(|| fairness::order(&self.queued, &self.running, &self.held));
        let before: Vec<_> = order.iter().take_while(|other| other.id != me.id).collect();
        let position = before.len() as u64;
        let same = |other: &&Arc<Brief>| other.shares_environment(&me) && other.id != me.id;
        let newer = self.queued.iter().filter(same).find(|other| other.number > me.number);
        if let Some(newer) = newer {
            let why = format!("#{} of this environment is newer and takes its place", newer.number);
            return Ok((position, why));
        }
        if let Some(other) = self.running.iter().chain(&self.held).find(same) {
            let found = host.store.find_deployment(&other.id).map_err(stored)?;
            return Ok((position, found.map_or_else(next, |found| doing(&found.value))));
        }
        // It may have begun between the look-ups, or one of the runners may have ended.
        let busy = self.running.iter().filter(|other| other.id != me.id).count();
        if before.is_empty() && busy < self.running_max {
            return Ok((position, next()));
        }
        let projects: BTreeSet<_> = before.iter().map(|other| &other.project).collect();
        let ahead = match projects.len() {
            0 => "it is next".to_owned(),
            1 if before.len() == 1 => "1 deployment is before it".to_owned(),
            1 => format!("{} deployments are before it", before.len()),
            n => format!("{n} projects are before it"),
        };
        Ok((position, format!("{busy} of {} runners are busy; {ahead}", self.running_max)))
    }
}

fn next() -> String {
    "it begins now".to_owned()
}

/// What keeps the environment's slot.
fn doing(deployment: &Deployment) -> String {
    let number = deployment.number;
    match (&deployment.paused, deployment.current_step()) {
        (Some(pause), _) if deployment.status == DeploymentStatus::Paused => {
            format!("#{number} of this environment is paused before {}", pause.before)
        }
        (_, Some(step)) if deployment.failure.is_none() && deployment.cancelled.is_none() => {
            format!("#{number} of this environment is in {step}")
        }
        _ => format!("#{number} of this environment is being cleaned up"),
    }
}

/// A deployment as it is shown.
pub(crate) fn deployment(
    host: &Host,
    deployment: Deployment,
    queue: &Queue,
    addresses: &Addresses,
) -> Result<DeploymentView, Failure> {
    let place = match deployment.status {
        DeploymentStatus::Queued => Some(queue.place(host, &deployment)?),
        _ => None,
    };
    let is_live = deployment.status == DeploymentStatus::Live;
    let urls = if is_live {
        let Deployment { project, environment, .. } = &deployment;
        let found = host.store.find_environment(project, environment).map_err(stored)?;
        found.map(|found| urls(host, &found.value, addresses)).transpose()?.unwrap_or_default()
    } else {
        Vec::new()
    };
    let (queue_position, waiting_for) = place.unzip();
    let waiting_for = waiting_for.or_else(|| paused(&deployment));
    let pinned = host.store.is_pinned(&deployment).map_err(stored)?;
    let running = running(host, &deployment)?;
    let building = host.building.now(&deployment.id);
    Ok(DeploymentView {
        building,
        running,
        deployment,
        urls,
        queue_position,
        waiting_for,
        pinned,
        replayed: false,
        stages: Vec::new(),
        annotations: Vec::new(),
        attached: Vec::new(),
    })
}

/// Why a halted deployment waits.
fn paused(deployment: &Deployment) -> Option<String> {
    let pause = deployment.paused.as_ref()?;
    Some(format!(
        "{} paused it before {}; `windlass resume {}` goes on, `windlass cancel {}` ends it",
        pause.actor, pause.before, deployment.number, deployment.number
    ))
}

/// What runs of a deployment, when it is its environment's live or stopped one.
fn running(host: &Host, deployment: &Deployment) -> Result<Option<RunningView>, Failure> {
    if !matches!(deployment.status, DeploymentStatus::Live | DeploymentStatus::Stopped) {
        return Ok(None);
    }
    let found = host.running(&deployment.project, &deployment.environment)?;
    let found = found.filter(|(running, _)| running.deployment == deployment.id);
    Ok(found.map(|(running, _)| RunningView::new(running, deployment)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use windlass_model::deployment::{Kind, Source};
    use windlass_model::{Limits, StepName, StepStatus};

    use super::*;
    use crate::testing::TestHost;

    async fn queued(host: &Host, project: &str) -> Deployment {
        let project = project.parse().unwrap();
        host.store.ensure_project(&project).await.unwrap();
        let source = Source::Git { url: "file:///x".into(), reference: None };
        let environment = windlass_model::EnvironmentName::production();
        let made = Deployment::queued(project, environment, 0, Kind::Deploy, source, "test".into());
        host.store.create_deployment(made).await.unwrap().value
    }

    async fn run(host: &Host, deployment: &Deployment, step: StepName) {
        let mut found = host.store.deployment(&deployment.id).unwrap();
        found.value.status = DeploymentStatus::Running;
        for done in found.value.steps.iter_mut().take_while(|one| one.name != step) {
            done.status = StepStatus::Succeeded;
        }
        host.store.update_deployment(&found.value, found.revision).await.unwrap();
    }

    fn why(host: &Host, deployment: &Deployment) -> (u64, String) {
        Queue::of(host).unwrap().place(host, deployment).unwrap()
    }

    #[tokio::test]
    async fn a_waiting_deployment_says_precisely_why() {
        let parts = TestHost::with(Limits::default(), &crate::pipeline::TABLE).await;
        let host = &parts.host;
        let made: HashMap<&str, Deployment> = {
            let mut made = HashMap::new();
            for project in ["a", "b", "c", "d"] {
                made.insert(project, queued(host, project).await);
            }
            made
        };
        assert_eq!(why(host, &made["a"]), (0, "it begins now".into()));
        run(host, &made["a"], StepName::Build).await;
        run(host, &made["b"], StepName::Fetch).await;
        assert_eq!(why(host, &made["c"]), (0, "2 of 2 runners are busy; it is next".into()));
        let (position, text) = why(host, &made["d"]);
        assert_eq!(
            (position, text.as_str()),
            (1, "2 of 2 runners are busy; 1 deployment is before it")
        );
        let again = queued(host, "a").await;
        assert_eq!(why(host, &again).1, "#1 of this environment is in build");
        let newer = queued(host, "a").await;
        assert_eq!(
            why(host, &again).1,
            format!("#{} of this environment is newer and takes its place", newer.number)
        );
    }
}
