//! Projects, their environments and their Git token.

use std::sync::Arc;

use windlass_model::api::{
    CreateEnvironment, CreateProject, EnvironmentView, ProjectView, SetGitToken,
};
use windlass_model::project::Project;
use windlass_model::{EnvironmentName, Failure, ProjectName, Secret};

use super::{Target, ensure, require, stored, views};
use crate::access::caller;
use crate::commands;
use crate::host::Host;
use crate::pipeline::{names, prune};

/// Longest Git token, in bytes.
const TOKEN_BYTES_MAX: usize = 4096;

/// Makes a project with the environment `production`.
///
/// # Errors
/// `project.exists`.
pub async fn create(host: &Arc<Host>, body: CreateProject) -> Result<ProjectView, Failure> {
    let made = host.store.create_project(&Project::new(body.name)).await.map_err(stored)?;
    let name = made.value.name;
    let production = EnvironmentName::production();
    ensure(host, &Target { project: name.clone(), environment: production }).await?;
    show(host, &name).await
}

/// A project with its environments.
///
/// # Errors
/// `project.not-found`.
pub async fn show(host: &Arc<Host>, name: &ProjectName) -> Result<ProjectView, Failure> {
    let project = host.store.project(name).map_err(stored)?.value;
    views::project(host, &project, &views::Addresses::of(host).await)
}

/// All projects that may be seen, by name.
///
/// # Errors
/// The store's.
pub async fn list(host: &Arc<Host>) -> Result<Vec<ProjectView>, Failure> {
    let addresses = views::Addresses::of(host).await;
    let projects = host.store.projects().map_err(stored)?;
    let seen = projects.iter().filter(|project| caller::sees(&project.name));
    seen.map(|project| views::project(host, project, &addresses)).collect()
}

/// Deletes a project with all that it has.
///
/// # Errors
/// `project.not-found`; `project.has-live` while anything of it is live, queued or running.
pub async fn delete(host: &Arc<Host>, name: &ProjectName) -> Result<(), Failure> {
    let environments = host.store.environments(name).unwrap_or_default();
    let logged = prune::logs::of(host, name, None).await?;
    host.store.delete_project(name).await.map_err(stored).map_err(|mut failure| {
        if failure.code == "environment.has-live" {
            failure.code = "project.has-live".to_owned();
        }
        failure
    })?;
    end_commands(host, name, None).await;
    for environment in environments {
        withdraw(host, &Target { project: name.clone(), environment: environment.name }).await;
    }
    host.forget_files(logged).await;
    let cache = host.config.data_dir.join("cache/git").join(name.as_str());
    // A cache that stays costs space and nothing else.
    let _ = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(cache)).await;
    if let Err(failure) = host.plugins.forget(name).await {
        tracing::warn!(%failure, project = %name, "what a deleted project chose of plugins is left");
    }
    // What its builds left must not meet those of a later project of its name.
    if let Err(failure) = host.builder.forget_project(name).await {
        tracing::warn!(%failure, project = %name, "cache mounts of a deleted project are left");
    }
    Ok(())
}

/// Stores the token for private repositories.
///
/// # Errors
/// `project.not-found`, `git-token.invalid`.
pub async fn set_git_token(
    host: &Arc<Host>,
    name: &ProjectName,
    body: SetGitToken,
) -> Result<(), Failure> {
    let token = check_token(&body.token)?;
    host.store.project(name).map_err(stored)?;
    host.store.set_git_token(name, &token).await.map_err(stored)
}

/// A token that fits into a header.
pub(super) fn check_token(token: &str) -> Result<Secret<String>, Failure> {
    let token = token.trim();
    let fits =
        (1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.chars().all(|c| c.is_ascii_graphic());
    if fits {
        return Ok(Secret::new(token.to_owned()));
    }
    Err(Failure::app(
        "git-token.invalid",
        "this cannot be a Git token",
        format!("a token has 1 to {TOKEN_BYTES_MAX} printable characters and no white space"),
        "copy it again from where it was made",
    ))
}

/// Forgets the token.
///
/// # Errors
/// `project.not-found`.
pub async fn remove_git_token(host: &Arc<Host>, name: &ProjectName) -> Result<(), Failure> {
    host.store.project(name).map_err(stored)?;
    host.store.remove_git_token(name).await.map_err(stored)
}

/// Makes an environment; one that is there already is no error.
///
/// # Errors
/// `project.not-found`.
pub async fn create_environment(
    host: &Arc<Host>,
    project: &ProjectName,
    body: CreateEnvironment,
) -> Result<EnvironmentView, Failure> {
    host.store.project(project).map_err(stored)?;
    let target = Target { project: project.clone(), environment: body.name };
    ensure(host, &target).await?;
    show_environment(host, &target).await
}

/// An environment.
///
/// # Errors
/// `project.not-found`, `environment.not-found`.
pub async fn show_environment(
    host: &Arc<Host>,
    target: &Target,
) -> Result<EnvironmentView, Failure> {
    let found = host.store.environment(&target.project, &target.environment).map_err(stored)?;
    views::environment(host, &found.value, &views::Addresses::of(host).await)
}

/// A project's environments, by name.
///
/// # Errors
/// `project.not-found`.
pub async fn environments(
    host: &Arc<Host>,
    project: &ProjectName,
) -> Result<Vec<EnvironmentView>, Failure> {
    Ok(show(host, project).await?.environments)
}

/// Deletes an environment with all that it has.
///
/// # Errors
/// `environment.not-found`; `environment.has-live` while anything of it is live, queued or running.
pub async fn delete_environment(host: &Arc<Host>, target: &Target) -> Result<(), Failure> {
    require(host, target)?;
    let logged = prune::logs::of(host, &target.project, Some(&target.environment)).await?;
    let deleted = host.store.delete_environment(&target.project, &target.environment).await;
    deleted.map_err(stored)?;
    end_commands(host, &target.project, Some(&target.environment)).await;
    withdraw(host, target).await;
    host.forget_files(logged).await;
    Ok(())
}

/// Ends the one-off commands and the runs of schedules of what was deleted. What is left of them ends at its own time limit.
async fn end_commands(host: &Host, project: &ProjectName, environment: Option<&EnvironmentName>) {
    if let Err(failure) = commands::end_all(host, project, environment).await {
        tracing::warn!(%failure, %project, "commands of a deleted environment go on");
    }
}

/// Withdraws the route of a deleted environment, and removes its network. A proxy that does not answer is told at the next start.
async fn withdraw(host: &Host, target: &Target) {
    if let Err(error) = host.proxy.remove_route(&target.to_string()).await {
        tracing::warn!(%error, %target, "the route of a deleted environment stays for now");
    }
    let network = names::network(&target.project, &target.environment);
    if let Err(error) = host.runtime.remove_network(&network).await {
        tracing::warn!(%error, %target, "the network of a deleted environment stays");
    }
}
