//! Which logs there are: of one deployment, or of an environment's.

use std::collections::BTreeMap;

use windlass_containers::logs::is_closed;
use windlass_model::{
    Deployment, DeploymentId, DeploymentStatus, EnvironmentName, Failure, ProjectName, StepName,
};
use windlass_store::HistoryFilter;

use super::merge::Source;
use super::place::{Of, Origin};
use super::query::{Filter, Wanted};
use crate::control::stored;
use crate::host::Host;
use crate::pipeline::names::MIGRATION_LOG;

/// Deployments that are looked at, newest first.
const PAGE: usize = 200;

/// Whose logs are read.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    /// One deployment's.
    Deployment(DeploymentId),
    /// An environment's: of whichever deployments there are.
    Environment(ProjectName, EnvironmentName),
}

/// The wanted logs of a deployment; one that is not written yet counts.
pub(crate) fn of_deployment(host: &Host, deployment: &Known, wanted: &Wanted) -> Vec<Source> {
    let origin = |of| Origin { number: deployment.number, of };
    let all = wanted.instance.is_none() && wanted.process.is_none();
    let steps = StepName::ALL.into_iter().enumerate().filter(|(_, step)| match wanted.step {
        Some(only) => *step == only,
        None => all,
    });
    let mut sources: Vec<Source> = steps
        .map(|(place, step)| {
            Source::file(origin(Of::Step(place)), host.logs.step_file(&deployment.id, step))
        })
        .collect();
    for name in instances(host, &deployment.id) {
        if takes_instance(&name, wanted) {
            let path = host.logs.instance_dir(&deployment.id, &name);
            sources.push(Source::dir(origin(Of::Instance(name)), path));
        }
    }
    sources
}

fn takes_instance(name: &str, wanted: &Wanted) -> bool {
    if let Some(step) = wanted.step {
        return step == StepName::Migrate && name == MIGRATION_LOG;
    }
    let of_process = |process: &str| {
        let ordinal = name.strip_prefix(process).and_then(|rest| rest.strip_prefix('.'));
        ordinal.is_some_and(|ordinal| ordinal.bytes().all(|b| b.is_ascii_digit()))
    };
    wanted.instance.as_deref().is_none_or(|only| only == name)
        && wanted.process.as_deref().is_none_or(of_process)
}

/// Names of everything of a deployment that has run in a container and has a log.
pub(crate) fn instances(host: &Host, id: &DeploymentId) -> Vec<String> {
    let dir = host.logs.deployment_dir(id).join("instances");
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Whether the logs of all wanted instances have ended.
pub(crate) fn are_closed(host: &Host, id: &DeploymentId, wanted: &Wanted) -> bool {
    let mut names = instances(host, id).into_iter().filter(|name| takes_instance(name, wanted));
    names.all(|name| is_closed(&host.logs.instance_dir(id, &name)))
}

/// What is known of a deployment whose logs are read.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) id: DeploymentId,
    pub(crate) number: u64,
    pub(crate) project: ProjectName,
    pub(crate) environment: EnvironmentName,
    pub(crate) commit: Option<String>,
}

impl From<Deployment> for Known {
    fn from(deployment: Deployment) -> Self {
        Self {
            commit: deployment.outputs.fetched.and_then(|fetched| fetched.commit),
            id: deployment.id,
            number: deployment.number,
            project: deployment.project,
            environment: deployment.environment,
        }
    }
}

/// The deployments of a scope whose past is asked for: the one, those of the wanted time, or else the
/// environment's newest.
pub(crate) fn past(
    host: &Host,
    scope: &Scope,
    filter: &Filter,
) -> Result<BTreeMap<u64, Known>, Failure> {
    let (project, environment) = match scope {
        Scope::Deployment(id) => {
            let found = Known::from(host.store.deployment(id).map_err(stored)?.value);
            return Ok(BTreeMap::from([(found.number, found)]));
        }
        Scope::Environment(project, environment) => (project, environment),
    };
    let is_ranged = filter.since.is_some() || filter.until.is_some();
    let in_range = |deployment: &Deployment| {
        filter.until.is_none_or(|until| deployment.created_at <= until)
            && filter.since.is_none_or(|since| {
                let is_over = deployment.status.is_settled()
                    && !matches!(
                        deployment.status,
                        DeploymentStatus::Live | DeploymentStatus::Paused
                    );
                !is_over || deployment.ended_at.is_none_or(|ended| ended >= since)
            })
    };
    let history = history(host, project, environment, if is_ranged { PAGE } else { 1 })?;
    let wanted = history.into_iter().filter(|deployment| !is_ranged || in_range(deployment));
    Ok(wanted.map(|deployment| (deployment.number, deployment.into())).collect())
}

/// An environment's newest deployments.
pub(crate) fn history(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
    limit: usize,
) -> Result<Vec<Deployment>, Failure> {
    host.store.environment(project, environment).map_err(stored)?;
    let filter = HistoryFilter {
        project: project.clone(),
        environment: Some(environment.clone()),
        before: None,
        limit,
    };
    Ok(host.store.deployments(&filter).map_err(stored)?.items)
}
