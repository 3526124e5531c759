//! Finding deployments by what people say: an id, the beginning of one, a number.

use windlass_model::{
    Deployment, DeploymentId, DeploymentStatus, EnvironmentName, Failure, ProjectName,
};
use windlass_store::ListFilter;

use super::stored;
use crate::access::caller;
use crate::host::Host;

/// Shortest beginning of an id.
const PREFIX_CHARS_MIN: usize = 4;
/// Deployments that are looked at when the beginning of an id is given.
const BEGINNINGS_MAX: usize = 100;
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
    let usable =
        prefix.len() >= PREFIX_CHARS_MIN && prefix.bytes().all(|b| b.is_ascii_alphanumeric());
    let mut found = if usable {
        host.store.deployments_beginning_with(&prefix, BEGINNINGS_MAX).map_err(stored)?
    } else {
        Vec::new()
    };
    found.retain(|deployment| {
        let wanted = project.is_none_or(|project| deployment.project == *project);
        wanted && caller::sees(&deployment.project)
    });
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
    let filter = ListFilter {
        among: among(host, wanted)?,
        project: wanted.project.clone(),
        environment: wanted.environment.clone(),
        status: wanted.status,
        before: wanted.before.clone(),
        limit: wanted.limit.clamp(1, PAGE_MAX),
    };
    let (found, next) = host.store.list_deployments(&filter).map_err(stored)?;
    Ok((found.into_iter().map(|found| found.value).collect(), next))
}

/// The projects that the caller sees, where he asks for all and does not see all.
fn among(host: &Host, wanted: &Wanted) -> Result<Option<Vec<ProjectName>>, Failure> {
    if wanted.project.is_some() {
        return Ok(None);
    }
    let projects = host.store.projects().map_err(stored)?;
    let all = projects.len();
    let seen: Vec<ProjectName> =
        projects.into_iter().map(|project| project.name).filter(caller::sees).collect();
    Ok((seen.len() < all).then_some(seen))
}
