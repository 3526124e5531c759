//! What a deployment would be, before the first one: asked for like a deployment, and answered at once.
//!
//! Nothing is accepted here that would go on without the one who asks: who hangs up ends it.

use axum::Json;
use axum::body::Body as Stream;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use windlass_model::access::TokenScope;
use windlass_model::ahead::{CreatePlan, PlanView};

use super::App;
use super::deployments;
use super::environment::{Pair, target};
use super::extract::{Args, Body, Names};
use super::guard::detached;
use super::problem::Answer;
use super::route::{Row, Verb, row};
use crate::control::plans;

/// The rows of this module.
pub(super) fn about_plans() -> Vec<Row> {
    const PLAN: &str = "/v1/projects/{project}/environments/{environment}/plan";
    const ARCHIVE: &str = "/v1/projects/{project}/environments/{environment}/plan/archive";
    vec![
        row(Verb::Post, PLAN, "What a deployment of a Git repository would be", of_git)
            .takes::<CreatePlan>()
            .answers::<PlanView>(200)
            .errors(&[400, 404])
            .needs(TokenScope::Deploy),
        row(Verb::Post, ARCHIVE, "What a deployment of an uploaded source would be", of_archive)
            .query(&[("name", "name of the file or folder, to be shown")])
            .takes_archive()
            .answers::<PlanView>(200)
            .errors(&[400, 404, 413])
            .needs(TokenScope::Deploy),
    ]
}

async fn of_git(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Body(body): Body<CreatePlan>,
) -> Answer<Json<PlanView>> {
    let cancel = CancellationToken::new();
    let _until_hung_up = cancel.clone().drop_guard();
    let look =
        Box::pin(async move { plans::of_git(&app.host, &target(pair), body, &cancel).await });
    Ok(Json(detached(look).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArchiveArgs {
    #[serde(default = "deployments::default_archive_name")]
    name: String,
}

async fn of_archive(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Args(args): Args<ArchiveArgs>,
    headers: HeaderMap,
    body: Stream,
) -> Answer<Json<PlanView>> {
    let bytes_max = deployments::refuse_large(&app, &headers)?;
    let target = target(pair);
    let body = body.into_data_stream();
    let upload = plans::take_in(&app.host, &target, args.name, body, bytes_max).await?;
    let cancel = CancellationToken::new();
    let _until_hung_up = cancel.clone().drop_guard();
    let look = Box::pin(async move { plans::of_archive(&target, upload, &cancel).await });
    Ok(Json(detached(look).await?))
}
