//! The disk over the API: who uses what, and what can go.

use axum::Json;
use axum::extract::State;
use windlass_model::access::TokenScope;
use windlass_model::disk::{DiskView, PruneRequest, PruneView};

use super::App;
use super::extract::Body;
use super::guard::detached;
use super::problem::Answer;
use super::route::{Row, Verb, row};
use crate::disk;

/// The rows of this module.
pub(super) fn about_the_disk() -> Vec<Row> {
    vec![
        row(Verb::Get, "/v1/disk", "Who uses what of the disk, and the budgets", show)
            .answers::<DiskView>(200),
        row(
            Verb::Post,
            "/v1/prune",
            "What can go and why; with `dry_run: false`, remove it",
            prune,
        )
        .takes::<PruneRequest>()
        .answers::<PruneView>(200)
        .errors(&[400])
        .needs(TokenScope::Admin),
    ]
}

async fn show(State(app): State<App>) -> Answer<Json<DiskView>> {
    Ok(Json(disk::usage::view(&app.host).await?))
}

async fn prune(
    State(app): State<App>,
    Body(request): Body<PruneRequest>,
) -> Answer<Json<PruneView>> {
    let pruned =
        detached(async move { Box::pin(disk::prune::prune(&app.host, &request)).await }).await?;
    Ok(Json(pruned))
}
