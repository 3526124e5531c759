//! What handlers take out of a request, each with a typed failure when it is not there.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use windlass_model::Failure;

use super::App;
use super::problem::Problem;
use crate::access::Caller;
use crate::source::uploads::body_too_large;

/// JSON of the body. An absent body counts as `{}`.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let bytes_max = app.host.config.limits.request_body_bytes_max;
        let limit = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let bytes = axum::body::to_bytes(request.into_body(), limit).await.map_err(|e| {
            let source = std::error::Error::source(&e);
            if source.is_some_and(|s| s.is::<http_body_util::LengthLimitError>()) {
                Problem(body_too_large(bytes_max))
            } else {
                Problem(broken(&e))
            }
        })?;
        let json: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        Ok(Self(serde_json::from_slice(json).map_err(|e| Problem(bad_json(&e)))?))
    }
}

fn broken(error: &dyn std::fmt::Display) -> Failure {
    Failure::app(
        "request.body-broken",
        "the request's body broke off",
        error.to_string(),
        "send it again",
    )
}

fn bad_json(error: &serde_json::Error) -> Failure {
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Data => Failure::app(
            "request.invalid-body",
            format!("the request's body is not what is expected here ({place})"),
            error.to_string(),
            "GET /v1/openapi.json describes the body of every request",
        ),
        _ => Failure::app(
            "request.malformed-json",
            format!("the request's body is not valid JSON ({place})"),
            error.to_string(),
            "mend the JSON at that place",
        ),
    }
}

/// Parameters of the query.
pub(super) struct Args<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Args<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(args)) => Ok(Self(args)),
            Err(rejection) => Err(Problem(Failure::app(
                "request.invalid-query",
                "the query of the address is not what is expected here",
                rejection.body_text(),
                "GET /v1/openapi.json lists the query parameters of every path",
            ))),
        }
    }
}

/// Names in the path.
pub(super) struct Names<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Names<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, app).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(rejection) => Err(Problem(bad_name(&rejection))),
        }
    }
}

fn bad_name(rejection: &PathRejection) -> Failure {
    Failure::app(
        "request.invalid-name",
        "a name in the address is not valid",
        rejection.body_text(),
        "use the names that `windlass project list` and `windlass deployments` show",
    )
}

/// Who asks: the name of the token.
pub(super) struct Actor(pub(super) String);

impl FromRequestParts<App> for Actor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Caller>();
        Ok(Self(caller.map_or("anonymous", |caller| &caller.actor).to_owned()))
    }
}
