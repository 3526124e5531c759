//! Handlers about the settings of an environment, and their routes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use windlass_model::access::TokenScope;
use windlass_model::settings::{SetSettings, SettingsView};

use super::App;
use super::environment::{Pair, target};
use super::extract::{Actor, Body, Names};
use super::guard::detached;
use super::problem::Answer;
use super::route::{Row, Verb, row};
use crate::control::settings;

/// The rows of this module.
pub(super) fn about_settings() -> Vec<Row> {
    use Verb::{Delete, Get, Put};
    const SETTINGS: &str = "/v1/projects/{project}/environments/{environment}/settings";
    vec![
        row(Get, SETTINGS, "What is set over windlass.toml, and where each value comes from", show)
            .answers::<SettingsView>(200)
            .errors(&[400, 404]),
        row(
            Put,
            SETTINGS,
            "Set all that goes before windlass.toml, from the next deployment on",
            set,
        )
        .takes::<SetSettings>()
        .answers::<SettingsView>(200)
        .errors(&[400, 404, 409, 413])
        .needs(TokenScope::Admin),
        row(Delete, SETTINGS, "Take everything back that was set over windlass.toml", clear)
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
    ]
}

async fn show(State(app): State<App>, Names(pair): Names<Pair>) -> Answer<Json<SettingsView>> {
    Ok(Json(settings::show(&app.host, &target(pair))?))
}

async fn set(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Actor(actor): Actor,
    Body(body): Body<SetSettings>,
) -> Answer<Json<SettingsView>> {
    let change = async move { settings::set(&app.host, &target(pair), body, &actor).await };
    Ok(Json(detached(change).await?))
}

async fn clear(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Actor(actor): Actor,
) -> Answer<StatusCode> {
    detached(async move { settings::clear(&app.host, &target(pair), &actor).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
