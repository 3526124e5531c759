//! The HTTP API under `/v1`.
//!
//! **Invariants.** One table ([`table`]) holds every route; the router and the OpenAPI document are
//! both made from it. No work runs inside a request's future: a client that hangs up cancels nothing
//! that was accepted. Every error has the body [`windlass_model::api::ErrorBody`].
//!
//! Reading order: [`table`], `route`, the handlers (`host`, `projects`, `environment`, `deployments`,
//! `events`, `access`), then what is around them (`guard`, `extract`, `problem`, `openapi`).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio::net::TcpListener;
use windlass_model::Failure;

use crate::access::Access;
use crate::host::Host;

mod access;
mod artifacts;
mod backups;
mod builds;
mod caches;
mod cron;
mod deploy_keys;
mod deployments;
mod disk;
mod environment;
mod events;
mod extract;
mod failures;
mod guard;
mod host;
mod images;
mod logs;
mod observe;
mod openapi;
mod plans;
mod plugins;
mod problem;
mod projects;
mod queue;
mod registries;
mod route;
mod running;
mod settings;
mod table;
mod volumes;
mod webhooks;

#[cfg(test)]
mod tests;

/// What every handler gets.
#[derive(Clone)]
struct App {
    host: Arc<Host>,
    access: Arc<Access>,
}

/// Serves the API until the future is dropped.
///
/// # Errors
/// `serve.api-failed` when the listener breaks.
pub async fn serve(listener: TcpListener, host: Arc<Host>, access: Access) -> Result<(), Failure> {
    let router = router(host, access).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, router).await.map_err(|e| {
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
pub(crate) fn router(host: Arc<Host>, access: Access) -> Router {
    let app = App { host, access: Arc::new(access) };
    let mut router = Router::new();
    for row in table::rows() {
        let rule = row.rule();
        let handler = match row.is_open {
            true => row.handler,
            false => row.handler.route_layer(from_fn_with_state((app.clone(), rule), guard::admit)),
        };
        router = router.route(row.path, handler);
    }
    router
        .fallback(problem::unknown_path)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(from_fn(guard::catch_panic))
        .layer(from_fn(guard::trace))
        .with_state(app)
}
