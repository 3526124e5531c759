//! Routes and handlers of registry logins.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use windlass_model::ProjectName;
use windlass_model::access::TokenScope;
use windlass_model::api::{RegistryView, SetRegistryLogin};

use super::App;
use super::extract::{Body, Names};
use super::guard::detached;
use super::problem::Answer;
use super::route::{Row, Verb, row};
use crate::control::registries;

pub(super) fn about_registries() -> Vec<Row> {
    use Verb::{Delete, Get, Put};
    const ALL: &str = "/v1/projects/{project}/registries";
    const ONE: &str = "/v1/projects/{project}/registries/{registry}";
    vec![
        row(Get, ALL, "Registries that the project has a login for", list)
            .answers::<Vec<RegistryView>>(200)
            .errors(&[400, 404]),
        row(Put, ALL, "Store a login for private images", set)
            .takes::<SetRegistryLogin>()
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
        row(Delete, ONE, "Forget a login", remove).errors(&[400, 404]).needs(TokenScope::Admin),
    ]
}

async fn list(
    State(app): State<App>,
    Names(name): Names<ProjectName>,
) -> Answer<Json<Vec<RegistryView>>> {
    Ok(Json(registries::list(&app.host, &name)?))
}

async fn set(
    State(app): State<App>,
    Names(name): Names<ProjectName>,
    Body(body): Body<SetRegistryLogin>,
) -> Answer<StatusCode> {
    detached(async move { registries::set(&app.host, &name, body).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A project and a registry.
#[derive(Debug, Deserialize)]
struct One {
    project: ProjectName,
    registry: String,
}

async fn remove(State(app): State<App>, Names(one): Names<One>) -> Answer<StatusCode> {
    let change = async move { registries::remove(&app.host, &one.project, &one.registry).await };
    detached(change).await?;
    Ok(StatusCode::NO_CONTENT)
}
