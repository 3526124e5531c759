//! What every request passes: an id and a span, a net under panics, the token.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use tracing::Instrument as _;
use windlass_model::{DeploymentId, Failure};

use super::App;
use super::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request an id, which the answer and every log line of it carry. Query, headers and body
/// are not logged: they may hold secrets.
pub(super) async fn trace(request: Request, next: Next) -> Response {
    let id = DeploymentId::generate().to_string();
    let span = tracing::info_span!(
        "request", id, method = %request.method(), path = request.uri().path()
    );
    let begun = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    span.in_scope(|| tracing::debug!(status, ms = took.as_millis(), "answered"));
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// A panic is one request's misfortune, not the host's.
pub(super) async fn catch_panic(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => Problem(Failure::host(
            "internal.panic",
            "Windlass failed to answer this request",
            "a fault in Windlass itself; its log has the place",
            "report it with the log lines of this request's id (header x-request-id)",
        ))
        .into_response(),
    }
}

/// Lets through who has the token.
pub(super) async fn authenticate(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match given {
        None => Err(Problem(Failure::app(
            "auth.token-missing",
            "this request needs a token",
            "it has no header `Authorization: Bearer TOKEN`",
            "pass --token or WINDLASS_TOKEN; on the host itself it is in the file `token` of the data \
             directory",
        ))),
        Some(token) if app.token.is(token) => Ok(next.run(request).await),
        Some(_) => Err(Problem(Failure::app(
            "auth.token-wrong",
            "the token is not this host's",
            "it differs from the one in the host's data directory",
            "compare it with the file `token` of the data directory; delete that file and restart to \
             get a new one",
        ))),
    }
}

/// Carries a change through to its end, even when the client hangs up meanwhile.
pub(super) async fn detached<T: Send + 'static>(
    change: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::spawn(change.in_current_span()).await {
        Ok(result) => result.map_err(Problem),
        Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
        Err(_) => Err(Problem(Failure::host(
            "internal.stopping",
            "the request was not carried out",
            "Windlass is shutting down",
            "send it again when it is back",
        ))),
    }
}
