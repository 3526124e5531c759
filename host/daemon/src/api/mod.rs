//! The HTTP API under `/v1`.
//!
//! **Invariants.** One table ([`table`]) holds every route; the router and the OpenAPI document are
//! both made from it. No work runs inside a request's future: a client that hangs up cancels nothing
//! that was accepted. Every error has the body [`windlass_model::api::ErrorBody`].
//!
//! Reading order: [`table`], `route`, the handlers (`host`, `projects`, `environment`, `deployments`,
//! `events`), then what is around them (`guard`, `extract`, `problem`, `openapi`, `token`).

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio::net::TcpListener;
use windlass_model::Failure;

use crate::host::Host;

mod backups;
mod deployments;
mod environment;
mod events;
mod extract;
mod guard;
mod host;
mod openapi;
mod problem;
mod projects;
mod route;
mod table;
mod token;
mod webhooks;

#[cfg(test)]
mod tests;

pub use token::{ApiToken, TOKEN_FILE, load_or_create_token};

/// What every handler gets.
#[derive(Clone)]
struct App {
    host: Arc<Host>,
    token: Arc<ApiToken>,
}

/// Serves the API until the future is dropped.
///
/// # Errors
/// `serve.api-failed` when the listener breaks.
pub async fn serve(listener: TcpListener, host: Arc<Host>, token: ApiToken) -> Result<(), Failure> {
    axum::serve(listener, router(host, token)).await.map_err(|e| {
        Failure::host(
            "serve.api-failed",
            "the API stopped",
            e.to_string(),
            "start `windlass serve` again; what is live goes on serving",
        )
    })
}

/// The OpenAPI 3.1 document, as `/v1/openapi.json` serves it.
pub fn openapi() -> serde_json::Value {
    openapi::document(&table::rows())
}

/// The whole API.
pub(crate) fn router(host: Arc<Host>, token: ApiToken) -> Router {
    let app = App { host, token: Arc::new(token) };
    let (mut open, mut guarded) = (Router::new(), Router::new());
    for row in table::rows() {
        let into = if row.is_open { &mut open } else { &mut guarded };
        *into = std::mem::take(into).route(row.path, row.handler);
    }
    let guarded = guarded.route_layer(from_fn_with_state(app.clone(), guard::authenticate));
    open.merge(guarded)
        .fallback(problem::unknown_path)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(from_fn(guard::catch_panic))
        .layer(from_fn(guard::trace))
        .with_state(app)
}
