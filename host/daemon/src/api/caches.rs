//! Caches of builds over the API: why a step was carried out, and clearing.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use windlass_model::ProjectName;
use windlass_model::access::TokenScope;
use windlass_model::build::{BuildWhy, CacheCleared};

use super::App;
use super::deployments::{FindArgs, found};
use super::extract::{Args, Names};
use super::guard::detached;
use super::problem::Answer;
use super::route::{Row, Verb, row};
use super::table::PROJECT;
use crate::control::caches;

/// The rows about caches.
pub(super) fn about_caches() -> Vec<Row> {
    vec![
        row(
            Verb::Get,
            "/v1/deployments/{deployment}/why",
            "For each step of its build: found, or what changed",
            why,
        )
        .query(&[PROJECT])
        .answers::<BuildWhy>(200)
        .errors(&[400, 404, 409]),
        row(Verb::Post, "/v1/cache/clear", "Clear the caches of builds", clear)
            .query(&[("project", "only what this project alone has used")])
            .answers::<CacheCleared>(200)
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
    ]
}

async fn why(
    State(app): State<App>,
    Names(text): Names<String>,
    Args(args): Args<FindArgs>,
) -> Answer<Json<BuildWhy>> {
    let deployment = found(&app, &text, &args)?;
    Ok(Json(caches::why(&app.host, &deployment)?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClearArgs {
    project: Option<ProjectName>,
}

async fn clear(State(app): State<App>, Args(args): Args<ClearArgs>) -> Answer<Json<CacheCleared>> {
    let change = async move { caches::clear(&app.host, args.project.as_ref()).await };
    Ok(Json(detached(change).await?))
}
