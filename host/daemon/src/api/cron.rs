//! Handlers about schedules, and their routes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use windlass_model::access::TokenScope;
use windlass_model::schedule::{CronRun, ScheduleView};
use windlass_model::{EnvironmentName, ProjectName};

use super::App;
use super::environment::{Pair, target};
use super::extract::{Actor, Names};
use super::guard::detached;
use super::problem::Answer;
use super::route::{Row, Verb, row};
use crate::control::cron;

/// The rows of this module.
pub(super) fn about_schedules() -> Vec<Row> {
    use Verb::{Get, Post};
    const ALL: &str = "/v1/projects/{project}/environments/{environment}/cron";
    const RUNS: &str = "/v1/projects/{project}/environments/{environment}/cron/{schedule}/runs";
    const RUN: &str = "/v1/projects/{project}/environments/{environment}/cron/{schedule}/run";
    vec![
        row(Get, ALL, "The schedules of the live version, each with its next and last run", list)
            .answers::<Vec<ScheduleView>>(200)
            .errors(&[400, 404]),
        row(Get, RUNS, "The runs of a schedule that are kept, newest first", runs)
            .answers::<Vec<CronRun>>(200)
            .errors(&[400, 404]),
        row(Post, RUN, "Run the command of a schedule now", run)
            .answers::<CronRun>(202)
            .needs(TokenScope::Deploy)
            .errors(&[400, 404, 409]),
    ]
}

type Named = Names<(ProjectName, EnvironmentName, String)>;

async fn list(State(app): State<App>, Names(pair): Names<Pair>) -> Answer<Json<Vec<ScheduleView>>> {
    Ok(Json(cron::list(&app.host, &target(pair))?))
}

async fn runs(
    State(app): State<App>,
    Names((project, environment, name)): Named,
) -> Answer<Json<Vec<CronRun>>> {
    Ok(Json(cron::runs(&app.host, &target((project, environment)), &name)?))
}

async fn run(
    State(app): State<App>,
    Names((project, environment, name)): Named,
    Actor(actor): Actor,
) -> Answer<(StatusCode, Json<CronRun>)> {
    let target = target((project, environment));
    let asked = async move { cron::run(&app.host, &target, &name, &actor).await };
    Ok((StatusCode::ACCEPTED, Json(detached(asked).await?)))
}
