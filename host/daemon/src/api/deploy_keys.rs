//! Routes and handlers of projects' SSH keys.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use windlass_model::ProjectName;
use windlass_model::access::TokenScope;
use windlass_model::api::DeployKeyView;

use super::App;
use super::extract::Names;
use super::guard::detached;
use super::problem::Answer;
use super::route::{Row, Verb, row};
use crate::control::deploy_keys;

pub(super) fn about_deploy_keys() -> Vec<Row> {
    use Verb::{Delete, Get, Put};
    const KEY: &str = "/v1/projects/{project}/deploy-key";
    const HOST: &str = "/v1/projects/{project}/known-hosts/{host}";
    vec![
        row(Get, KEY, "Public part of the project's SSH key", show)
            .answers::<DeployKeyView>(200)
            .errors(&[400, 404]),
        row(Put, KEY, "Make a new SSH key in place of the one before", create)
            .answers::<DeployKeyView>(200)
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
        row(Delete, KEY, "Forget the SSH key", remove).errors(&[400, 404]).needs(TokenScope::Admin),
        row(Delete, HOST, "Forget the SSH key of a host", forget_host)
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
    ]
}

async fn show(
    State(app): State<App>,
    Names(name): Names<ProjectName>,
) -> Answer<Json<DeployKeyView>> {
    Ok(Json(deploy_keys::show(&app.host, &name)?))
}

async fn create(
    State(app): State<App>,
    Names(name): Names<ProjectName>,
) -> Answer<Json<DeployKeyView>> {
    let made = detached(async move { deploy_keys::create(&app.host, &name).await }).await?;
    Ok(Json(made))
}

async fn remove(State(app): State<App>, Names(name): Names<ProjectName>) -> Answer<StatusCode> {
    detached(async move { deploy_keys::remove(&app.host, &name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A project and a host.
#[derive(Debug, Deserialize)]
struct Known {
    project: ProjectName,
    host: String,
}

async fn forget_host(State(app): State<App>, Names(known): Names<Known>) -> Answer<StatusCode> {
    let change =
        async move { deploy_keys::forget_host(&app.host, &known.project, &known.host).await };
    detached(change).await?;
    Ok(StatusCode::NO_CONTENT)
}
