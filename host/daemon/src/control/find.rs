//! Finding deployments by what people say: an id, the beginning of one, a number.

use windlass_model::{
    Deployment, DeploymentId, DeploymentStatus, EnvironmentName, Failure, ProjectName,
};
use windlass_store::HistoryFilter;

use super::stored;
use crate::access::caller;
use crate::host::Host;

/// Shortest beginning of an id.
const PREFIX_CHARS_MIN: usize = 4;
/// Deployments in one page of a list.
pub const PAGE_MAX: usize = 200;

/// The deployment that `text` names: its whole id, a unique beginning of it, or its number in
/// `project` (with or without `#`).
///
/// # Errors
/// `project.not-found`, `deployment.not-found`, `deployment.ambiguous`,
/// `deployment.number-needs-project`.
pub fn deployment(
    host: &Host,
    text: &str,
    project: Option<&ProjectName>,
) -> Result<Deployment, Failure> {
    if let Ok(id) = text.parse::<DeploymentId>() {
        let found = host.store.find_deployment(&id).map_err(stored)?;
        let seen = found.filter(|found| caller::sees(&found.value.project));
        return seen.map(|found| found.value).ok_or_else(|| not_found(text));
    }
    if let Some(project) = project {
        caller::must_see(project)?;
        host.store.project(project).map_err(stored)?;
    }
    let digits = text.strip_prefix('#').unwrap_or(text);
    if let Ok(number) = digits.parse::<u64>() {
        let Some(project) = project else { return by_prefix(host, text, None, true) };
        return Ok(host.store.deployment_by_number(project, number).map_err(stored)?.value);
    }
    by_prefix(host, text, project, false)
}

fn by_prefix(
    host: &Host,
    text: &str,
    project: Option<&ProjectName>,
    is_number: bool,
) -> Result<Deployment, Failure> {
    let prefix = text.to_ascii_lowercase();
    let fits = |deployment: &Deployment| deployment.id.as_str().starts_with(&prefix);
    let long_enough = prefix.len() >= PREFIX_CHARS_MIN;
    let mut found = if long_enough { all(host, project, None, fits)? } else { Vec::new() };
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err(Failure::app(
            "deployment.ambiguous",
            format!("{} deployments begin with {text:?}", found.len() + 1),
            "the beginning of an id must be unique",
            "give more characters of it, or its number and its project",
        )),
        (None, _) if is_number => Err(Failure::app(
            "deployment.number-needs-project",
            format!("{text:?} names no deployment by itself"),
            "numbers are counted in each project",
            "name the project as well: ?project=NAME, or give the id",
        )),
        (None, _) => Err(not_found(text)),
    }
}

fn not_found(text: &str) -> Failure {
    Failure::app(
        "deployment.not-found",
        format!("there is no deployment {text:?}"),
        "no id begins so; old deployments leave the history",
        "`windlass deployments` shows those that are kept",
    )
}

/// Which deployments to list.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of this project.
    pub project: Option<ProjectName>,
    /// Of the environments of this name.
    pub environment: Option<EnvironmentName>,
    /// Of this status.
    pub status: Option<DeploymentStatus>,
    /// Older than this one.
    pub before: Option<DeploymentId>,
    /// At most so many, 1 to [`PAGE_MAX`].
    pub limit: usize,
}

/// A page of deployments, newest first, and where the next page begins.
///
/// # Errors
/// `project.not-found`, `environment.not-found`.
pub fn page(
    host: &Host,
    wanted: &Wanted,
) -> Result<(Vec<Deployment>, Option<DeploymentId>), Failure> {
    if let Some(project) = &wanted.project {
        caller::must_see(project)?;
        host.store.project(project).map_err(stored)?;
        if let Some(environment) = &wanted.environment {
            host.store.environment(project, environment).map_err(stored)?;
        }
    }
    let fits = |deployment: &Deployment| {
        wanted.status.is_none_or(|status| deployment.status == status)
            && wanted.before.as_ref().is_none_or(|before| deployment.id < *before)
    };
    let mut found = all(host, wanted.project.as_ref(), wanted.environment.as_ref(), fits)?;
    found.sort_by(|a, b| b.id.cmp(&a.id));
    let limit = wanted.limit.clamp(1, PAGE_MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| last.id.clone());
    Ok((found, next))
}

/// Histories are short: retention keeps them so, and the queue has its limit.
fn all(
    host: &Host,
    project: Option<&ProjectName>,
    environment: Option<&EnvironmentName>,
    fits: impl Fn(&Deployment) -> bool,
) -> Result<Vec<Deployment>, Failure> {
    let projects = match project {
        Some(project) => vec![project.clone()],
        None => {
            let all = host.store.projects().map_err(stored)?;
            all.into_iter().map(|p| p.name).filter(caller::sees).collect()
        }
    };
    let mut found = Vec::new();
    for project in projects {
        let mut filter = HistoryFilter {
            project,
            environment: environment.cloned(),
            before: None,
            limit: PAGE_MAX,
        };
        loop {
            let page = host.store.deployments(&filter).map_err(stored)?;
            found.extend(page.items.into_iter().filter(|deployment| fits(deployment)));
            filter.before = page.next;
            if filter.before.is_none() {
                break;
            }
        }
    }
    Ok(found)
}
