//! The list of failure codes.

use axum::Json;
use axum::extract::{Path, State};
use windlass_model::failure::explain::{self, Explained};

use super::App;
use super::problem::Answer;
use super::route::{Row, Verb, row};

pub(super) fn about_failures() -> Vec<Row> {
    vec![
        row(Verb::Get, "/v1/failures", "Every failure code, the plugins' included", list)
            .answers::<Vec<Explained>>(200)
            .filtered(),
        row(Verb::Get, "/v1/failures/{code}", "What a failure code means", show)
            .answers::<Explained>(200)
            .errors(&[404]),
    ]
}

fn known(app: &App) -> Vec<Explained> {
    let plugins = app.host.plugins.infos();
    explain::all(plugins.iter().map(|plugin| &plugin.manifest))
}

async fn list(State(app): State<App>) -> Json<Vec<Explained>> {
    Json(known(&app))
}

async fn show(State(app): State<App>, Path(code): Path<String>) -> Answer<Json<Explained>> {
    Ok(Json(explain::one(&known(&app), &code)?.clone()))
}
