//! Failures as answers: one table from codes to statuses.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use windlass_model::Failure;
use windlass_model::api::ErrorBody;
use windlass_model::failure::Fault;

/// What a handler answers.
pub(super) type Answer<T> = Result<T, Problem>;

/// A failure as an answer.
#[derive(Debug)]
pub(super) struct Problem(pub(super) Failure);

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

/// Statuses by code. A code that is not here is 400 when the asker is at fault, else 500.
const STATUSES: &[(&str, StatusCode)] = &[
    ("auth.token-missing", StatusCode::UNAUTHORIZED),
    ("auth.token-wrong", StatusCode::UNAUTHORIZED),
    ("auth.token-mistyped", StatusCode::UNAUTHORIZED),
    ("auth.token-expired", StatusCode::UNAUTHORIZED),
    ("auth.token-revoked", StatusCode::UNAUTHORIZED),
    ("auth.too-many-failures", StatusCode::TOO_MANY_REQUESTS),
    ("auth.scope-too-small", StatusCode::FORBIDDEN),
    ("auth.project-limited", StatusCode::FORBIDDEN),
    ("token.not-found", StatusCode::NOT_FOUND),
    ("token.exists", StatusCode::CONFLICT),
    ("token.revoked", StatusCode::CONFLICT),
    ("token.cannot-revoke", StatusCode::BAD_REQUEST),
    ("request.path-unknown", StatusCode::NOT_FOUND),
    ("request.method-not-allowed", StatusCode::METHOD_NOT_ALLOWED),
    ("request.body-too-large", StatusCode::PAYLOAD_TOO_LARGE),
    ("store.too-large", StatusCode::PAYLOAD_TOO_LARGE),
    ("store.too-many", StatusCode::TOO_MANY_REQUESTS),
    ("store.conflict", StatusCode::CONFLICT),
    ("store.read-only", StatusCode::SERVICE_UNAVAILABLE),
    ("store.closed", StatusCode::SERVICE_UNAVAILABLE),
    ("project.not-found", StatusCode::NOT_FOUND),
    ("project.exists", StatusCode::CONFLICT),
    ("project.has-live", StatusCode::CONFLICT),
    ("environment.not-found", StatusCode::NOT_FOUND),
    ("environment.has-live", StatusCode::CONFLICT),
    ("environment.nothing-live", StatusCode::CONFLICT),
    ("environment.stopped", StatusCode::CONFLICT),
    ("environment.stopping", StatusCode::CONFLICT),
    ("environment.serving", StatusCode::CONFLICT),
    ("environment.deploying", StatusCode::CONFLICT),
    ("environment.no-instances", StatusCode::CONFLICT),
    ("scale.memory", StatusCode::CONFLICT),
    ("scale.volume-not-shared", StatusCode::CONFLICT),
    ("volume.not-found", StatusCode::NOT_FOUND),
    ("volume.in-use", StatusCode::CONFLICT),
    ("variable.not-found", StatusCode::NOT_FOUND),
    ("domain.not-found", StatusCode::NOT_FOUND),
    ("domain.taken", StatusCode::CONFLICT),
    ("service.not-found", StatusCode::NOT_FOUND),
    ("registry-login.not-found", StatusCode::NOT_FOUND),
    ("deploy-key.not-found", StatusCode::NOT_FOUND),
    ("known-host.not-found", StatusCode::NOT_FOUND),
    ("deployment.not-found", StatusCode::NOT_FOUND),
    ("code.not-found", StatusCode::NOT_FOUND),
    ("deployment.ambiguous", StatusCode::CONFLICT),
    ("deployment.no-plan", StatusCode::NOT_FOUND),
    ("deployment.not-built", StatusCode::NOT_FOUND),
    ("deployment.no-source", StatusCode::CONFLICT),
    ("deployment.upload-gone", StatusCode::CONFLICT),
    ("deployment.past-switch", StatusCode::CONFLICT),
    ("deployment.live", StatusCode::CONFLICT),
    ("deployment.over", StatusCode::CONFLICT),
    ("rollback.nothing-before", StatusCode::CONFLICT),
    ("rollback.never-live", StatusCode::CONFLICT),
    ("rollback.already-live", StatusCode::CONFLICT),
    ("rollback.other-environment", StatusCode::CONFLICT),
    ("rollback.artifact-pruned", StatusCode::CONFLICT),
    ("backup.not-found", StatusCode::NOT_FOUND),
    ("webhook.not-found", StatusCode::NOT_FOUND),
    ("webhook.delivery-not-found", StatusCode::NOT_FOUND),
    ("webhook.not-repeatable", StatusCode::CONFLICT),
    ("webhook.signature-missing", StatusCode::UNAUTHORIZED),
    ("webhook.signature-wrong", StatusCode::UNAUTHORIZED),
    ("webhook.timestamp-off", StatusCode::UNAUTHORIZED),
    ("webhook.replayed", StatusCode::CONFLICT),
    ("webhook.other-repository", StatusCode::FORBIDDEN),
    ("webhook.no-repository", StatusCode::FORBIDDEN),
    ("webhook.event-unknown", StatusCode::UNPROCESSABLE_ENTITY),
    ("webhook.too-slow", StatusCode::REQUEST_TIMEOUT),
    ("preview.not-found", StatusCode::NOT_FOUND),
    ("deployment.not-begun", StatusCode::CONFLICT),
    ("deployment.already-paused", StatusCode::CONFLICT),
    ("deployment.not-paused", StatusCode::CONFLICT),
    ("pin.artifact-pruned", StatusCode::CONFLICT),
    ("image.no-artifact", StatusCode::CONFLICT),
    ("rollback.env-unknown", StatusCode::CONFLICT),
    ("rollback.commit-unknown", StatusCode::CONFLICT),
    ("promote.nothing-live", StatusCode::CONFLICT),
    ("idempotency.key-reused", StatusCode::CONFLICT),
    ("idempotency.deployment-gone", StatusCode::CONFLICT),
    ("artifact.not-found", StatusCode::NOT_FOUND),
    ("plugin.not-found", StatusCode::NOT_FOUND),
    ("plugin.not-installed", StatusCode::CONFLICT),
    ("plugin.exists", StatusCode::CONFLICT),
    ("plugin.asks-more", StatusCode::CONFLICT),
    ("plugin.not-granted", StatusCode::CONFLICT),
    ("plugin.nothing-before", StatusCode::CONFLICT),
    ("plugin.version-unknown", StatusCode::NOT_FOUND),
    ("plugin.key-unknown", StatusCode::NOT_FOUND),
    ("plugin.signature-missing", StatusCode::FORBIDDEN),
    ("plugin.signature-of-another", StatusCode::FORBIDDEN),
    ("plugin.signature-unreadable", StatusCode::FORBIDDEN),
    ("plugin.signature-wrong", StatusCode::FORBIDDEN),
    ("plugin.index-unknown", StatusCode::NOT_FOUND),
    ("plugin.index-signature", StatusCode::FORBIDDEN),
    ("plugin.not-in-index", StatusCode::NOT_FOUND),
    ("plugin.ambiguous", StatusCode::CONFLICT),
    ("plugin.lock-newer", StatusCode::CONFLICT),
    ("run.not-found", StatusCode::NOT_FOUND),
    ("cron.not-found", StatusCode::NOT_FOUND),
    ("cron.suspended", StatusCode::CONFLICT),
    ("cron.still-running", StatusCode::CONFLICT),
    ("session.nothing-live", StatusCode::CONFLICT),
    ("session.too-many", StatusCode::TOO_MANY_REQUESTS),
    ("switch.proxy-unreachable", StatusCode::BAD_GATEWAY),
    ("switch.proxy-refused", StatusCode::BAD_GATEWAY),
];

/// The status of a failure.
pub(super) fn status(failure: &Failure) -> StatusCode {
    let listed = STATUSES.iter().find(|(code, _)| *code == failure.code);
    listed.map_or_else(
        || match failure.fault {
            Fault::App => StatusCode::BAD_REQUEST,
            Fault::Host | Fault::Plugin(_) => StatusCode::INTERNAL_SERVER_ERROR,
        },
        |(_, status)| *status,
    )
}

/// The code of a failure that was answered, for the audit log.
#[derive(Debug, Clone)]
pub(super) struct FailureCode(pub(super) String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = status(&self.0);
        if status.is_server_error() {
            tracing::error!(code = self.0.code, failure = %self.0, "a request failed");
        }
        let code = FailureCode(self.0.code.clone());
        let mut response = (status, Json(ErrorBody { error: self.0 })).into_response();
        response.extensions_mut().insert(code);
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"windlass\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// The answer where no route is.
pub(super) async fn unknown_path(uri: Uri) -> Problem {
    Problem(Failure::app(
        "request.path-unknown",
        format!("there is nothing at {}", uri.path()),
        "the API has no such path",
        "GET /v1/openapi.json lists every path",
    ))
}

/// The answer where a route has other methods.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem(Failure::app(
        "request.method-not-allowed",
        format!("{method} is not possible at {}", uri.path()),
        "the path exists with other methods",
        "GET /v1/openapi.json lists the methods of every path; the header Allow names them here",
    ))
}
