//! Handlers about what runs in an environment, and their routes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use windlass_model::access::TokenScope;
use windlass_model::api::Page;
use windlass_model::running::{EnvironmentEvent, RunningView, SetMaintenance, SetScale};

use super::App;
use super::environment::{Pair, target};
use super::extract::{Actor, Args, Body, Names};
use super::guard::detached;
use super::problem::Answer;
use super::route::{Row, Verb, row};
use crate::control::running;

/// The rows of this module.
pub(super) fn about_running() -> Vec<Row> {
    use Verb::{Delete, Get, Post, Put};
    const RUNNING: &str = "/v1/projects/{project}/environments/{environment}/running";
    const STOP: &str = "/v1/projects/{project}/environments/{environment}/stop";
    const START: &str = "/v1/projects/{project}/environments/{environment}/start";
    const RESTART: &str = "/v1/projects/{project}/environments/{environment}/restart";
    const SCALE: &str = "/v1/projects/{project}/environments/{environment}/scale";
    const MAINTENANCE: &str = "/v1/projects/{project}/environments/{environment}/maintenance";
    const EVENTS: &str = "/v1/projects/{project}/environments/{environment}/events";
    vec![
        row(Get, RUNNING, "What runs, and how many instances are wanted", show)
            .answers::<RunningView>(200)
            .errors(&[400, 404, 409]),
        row(Post, STOP, "End the instances and keep the deployment", stop)
            .answers::<RunningView>(202)
            .errors(&[400, 404, 409])
            .needs(TokenScope::Deploy),
        row(Post, START, "Bring the stopped deployment back", start)
            .answers::<RunningView>(202)
            .errors(&[400, 404, 409])
            .needs(TokenScope::Deploy),
        row(Post, RESTART, "Replace each instance by a fresh one", restart)
            .answers::<RunningView>(202)
            .errors(&[400, 404, 409])
            .needs(TokenScope::Deploy),
        row(Put, SCALE, "Set how many instances a process has", scale)
            .takes::<SetScale>()
            .answers::<RunningView>(202)
            .errors(&[400, 404, 409])
            .needs(TokenScope::Deploy),
        row(Put, MAINTENANCE, "Keep visitors away", maintenance_on)
            .takes::<SetMaintenance>()
            .answers::<RunningView>(200)
            .errors(&[400, 404, 409, 502])
            .needs(TokenScope::Deploy),
        row(Delete, MAINTENANCE, "Let visitors in again", maintenance_off)
            .answers::<RunningView>(200)
            .errors(&[400, 404, 409, 502])
            .needs(TokenScope::Deploy),
        row(Get, EVENTS, "What happened to the environment, newest first", events)
            .query(&[
                ("before", "`next` of the page before"),
                ("limit", "at most so many, 1 to 500; 50 when absent"),
            ])
            .answers::<Page<EnvironmentEvent>>(200)
            .errors(&[400, 404]),
    ]
}

type Accepted = (StatusCode, Json<RunningView>);

async fn show(State(app): State<App>, Names(pair): Names<Pair>) -> Answer<Json<RunningView>> {
    Ok(Json(running::show(&app.host, &target(pair))?))
}

async fn stop(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Actor(actor): Actor,
) -> Answer<Accepted> {
    let change = async move { running::stop(&app.host, &target(pair), &actor).await };
    Ok((StatusCode::ACCEPTED, Json(detached(change).await?)))
}

async fn start(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Actor(actor): Actor,
) -> Answer<Accepted> {
    let change = async move { running::start(&app.host, &target(pair), &actor).await };
    Ok((StatusCode::ACCEPTED, Json(detached(change).await?)))
}

async fn restart(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Actor(actor): Actor,
) -> Answer<Accepted> {
    let change = async move { running::restart(&app.host, &target(pair), &actor).await };
    Ok((StatusCode::ACCEPTED, Json(detached(change).await?)))
}

async fn scale(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Actor(actor): Actor,
    Body(body): Body<SetScale>,
) -> Answer<Accepted> {
    let change = async move { running::scale(&app.host, &target(pair), body, &actor).await };
    Ok((StatusCode::ACCEPTED, Json(detached(change).await?)))
}

async fn maintenance_on(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Actor(actor): Actor,
    Body(body): Body<SetMaintenance>,
) -> Answer<Json<RunningView>> {
    let change =
        async move { running::maintenance_on(&app.host, &target(pair), body, &actor).await };
    Ok(Json(detached(change).await?))
}

async fn maintenance_off(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Actor(actor): Actor,
) -> Answer<Json<RunningView>> {
    let change = async move { running::maintenance_off(&app.host, &target(pair), &actor).await };
    Ok(Json(detached(change).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventArgs {
    before: Option<u64>,
    limit: Option<usize>,
}

async fn events(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Args(args): Args<EventArgs>,
) -> Answer<Json<Page<EnvironmentEvent>>> {
    Ok(Json(running::events(&app.host, &target(pair), args.before, args.limit)?))
}
