//! Handlers about projects.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use windlass_model::ProjectName;
use windlass_model::api::{CreateProject, Page, ProjectView, SetGitToken};

use super::App;
use super::environment::DeleteArgs;
use super::extract::{Args, Body, Names};
use super::guard::detached;
use super::problem::Answer;
use crate::control::{projects, volumes};

pub(super) async fn list(State(app): State<App>) -> Answer<Json<Page<ProjectView>>> {
    Ok(Json(Page { items: projects::list(&app.host).await?, next: None }))
}

pub(super) async fn create(
    State(app): State<App>,
    Body(body): Body<CreateProject>,
) -> Answer<(StatusCode, Json<ProjectView>)> {
    let made = detached(async move { projects::create(&app.host, body).await }).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

pub(super) async fn show(
    State(app): State<App>,
    Names(name): Names<ProjectName>,
) -> Answer<Json<ProjectView>> {
    Ok(Json(projects::show(&app.host, &name).await?))
}

pub(super) async fn delete(
    State(app): State<App>,
    Names(name): Names<ProjectName>,
    Args(args): Args<DeleteArgs>,
) -> Answer<StatusCode> {
    let too = args.with_volumes();
    let change = async move {
        projects::delete(&app.host, &name).await?;
        if too { volumes::remove_all_of_project(&app.host, &name).await } else { Ok(()) }
    };
    detached(change).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn set_git_token(
    State(app): State<App>,
    Names(name): Names<ProjectName>,
    Body(body): Body<SetGitToken>,
) -> Answer<StatusCode> {
    detached(async move { projects::set_git_token(&app.host, &name, body).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove_git_token(
    State(app): State<App>,
    Names(name): Names<ProjectName>,
) -> Answer<StatusCode> {
    detached(async move { projects::remove_git_token(&app.host, &name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
