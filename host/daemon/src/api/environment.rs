//! Handlers about environments, their variables, domains and services.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use windlass_model::api::{
    AddDomain, AddService, CreateEnvironment, DomainView, EnvironmentView, SetVariables,
    VariableView,
};
use windlass_model::id::ServiceName;
use windlass_model::project::Service;
use windlass_model::variable::VariableName;
use windlass_model::{EnvironmentName, ProjectName};

use super::App;
use super::extract::{Args, Body, Names};
use super::guard::detached;
use super::problem::Answer;
use crate::control::{Target, environment, projects, volumes};

/// Project and environment of the path.
pub(super) type Pair = (ProjectName, EnvironmentName);
/// Project, environment and a name in it.
type Triple<T> = (ProjectName, EnvironmentName, T);

pub(super) fn target((project, environment): Pair) -> Target {
    Target { project, environment }
}

pub(super) async fn list(
    State(app): State<App>,
    Names(project): Names<ProjectName>,
) -> Answer<Json<Vec<EnvironmentView>>> {
    Ok(Json(projects::environments(&app.host, &project).await?))
}

pub(super) async fn create(
    State(app): State<App>,
    Names(project): Names<ProjectName>,
    Body(body): Body<CreateEnvironment>,
) -> Answer<(StatusCode, Json<EnvironmentView>)> {
    let change = async move { projects::create_environment(&app.host, &project, body).await };
    Ok((StatusCode::CREATED, Json(detached(change).await?)))
}

pub(super) async fn show(
    State(app): State<App>,
    Names(pair): Names<Pair>,
) -> Answer<Json<EnvironmentView>> {
    Ok(Json(projects::show_environment(&app.host, &target(pair)).await?))
}

/// What becomes of the volumes of what is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum VolumesToo {
    Keep,
    Delete,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteArgs {
    volumes: Option<VolumesToo>,
}

impl DeleteArgs {
    /// Whether the volumes are deleted too.
    pub(super) fn with_volumes(&self) -> bool {
        self.volumes == Some(VolumesToo::Delete)
    }
}

pub(super) async fn delete(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Args(args): Args<DeleteArgs>,
) -> Answer<StatusCode> {
    let too = args.with_volumes();
    let change = async move {
        let target = target(pair);
        projects::delete_environment(&app.host, &target).await?;
        if too { volumes::remove_all_of(&app.host, &target).await } else { Ok(()) }
    };
    detached(change).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn variables(
    State(app): State<App>,
    Names(pair): Names<Pair>,
) -> Answer<Json<Vec<VariableView>>> {
    Ok(Json(environment::variables(&app.host, &target(pair))?))
}

pub(super) async fn set_variables(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Body(body): Body<SetVariables>,
) -> Answer<Json<Vec<VariableView>>> {
    let change = async move { environment::set_variables(&app.host, &target(pair), body).await };
    Ok(Json(detached(change).await?))
}

pub(super) async fn unset_variable(
    State(app): State<App>,
    Names((project, environment, name)): Names<Triple<VariableName>>,
) -> Answer<StatusCode> {
    let target = Target { project, environment };
    detached(async move { environment::unset_variable(&app.host, &target, &name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn domains(
    State(app): State<App>,
    Names(pair): Names<Pair>,
) -> Answer<Json<Vec<DomainView>>> {
    Ok(Json(environment::domains(&app.host, &target(pair)).await?))
}

pub(super) async fn add_domain(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Body(body): Body<AddDomain>,
) -> Answer<(StatusCode, Json<DomainView>)> {
    let change = async move { environment::add_domain(&app.host, &target(pair), body).await };
    Ok((StatusCode::CREATED, Json(detached(change).await?)))
}

pub(super) async fn remove_domain(
    State(app): State<App>,
    Names((project, environment, name)): Names<Triple<String>>,
) -> Answer<StatusCode> {
    let target = Target { project, environment };
    detached(async move { environment::remove_domain(&app.host, &target, &name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn services(
    State(app): State<App>,
    Names(pair): Names<Pair>,
) -> Answer<Json<Vec<Service>>> {
    Ok(Json(environment::services(&app.host, &target(pair))?))
}

pub(super) async fn add_service(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Body(body): Body<AddService>,
) -> Answer<(StatusCode, Json<Service>)> {
    let change = async move { environment::add_service(&app.host, &target(pair), body).await };
    Ok((StatusCode::CREATED, Json(detached(change).await?)))
}

pub(super) async fn remove_service(
    State(app): State<App>,
    Names((project, environment, name)): Names<Triple<ServiceName>>,
) -> Answer<StatusCode> {
    let target = Target { project, environment };
    detached(async move { environment::remove_service(&app.host, &target, &name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
