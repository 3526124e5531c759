//! Handlers about the host itself.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;
use windlass_model::api::HostStatus;

use super::App;
use super::problem::Answer;
use super::table::Readiness;
use crate::control;

pub(super) async fn healthz() -> Json<Readiness> {
    Json(Readiness { ready: true, problems: Vec::new() })
}

pub(super) async fn readyz(State(app): State<App>) -> (StatusCode, Json<Readiness>) {
    let problems = control::status::problems(&app.host).await;
    let ready = problems.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, problems }))
}

pub(super) async fn openapi() -> Json<Value> {
    Json(super::openapi())
}

pub(super) async fn status(State(app): State<App>) -> Answer<Json<HostStatus>> {
    Ok(Json(control::status::host(&app.host).await?))
}
