//! What handlers take out of a request, each with a typed failure when it is not there.

use axum::body::{Body as RawBody, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use windlass_model::Failure;

use super::App;
use super::problem::Problem;
use crate::access::Caller;
use crate::source::uploads::{body_broken, body_too_large};

/// JSON of the body. An absent body counts as `{}`.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let bytes_max = app.host.config.limits.request_body_bytes_max;
        let bytes = whole(request.into_body(), bytes_max).await.map_err(Problem)?;
        let json: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        Ok(Self(serde_json::from_slice(json).map_err(|e| Problem(bad_json(&e)))?))
    }
}

/// All bytes of a body.
///
/// # Errors
/// `request.body-too-large` beyond `bytes_max`, `request.body-broken`.
pub(super) async fn whole(body: RawBody, bytes_max: u64) -> Result<Bytes, Failure> {
    let limit = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        let source = std::error::Error::source(&error);
        match source.is_some_and(|source| source.is::<http_body_util::LengthLimitError>()) {
            true => body_too_large(bytes_max),
            false => body_broken(&error),
        }
    })
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
