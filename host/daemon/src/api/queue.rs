//! Handlers about the queue, going back and keeping, and their rows.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use windlass_model::Failure;
use windlass_model::access::TokenScope;
use windlass_model::api::{CreateRollback, DeploymentView};
use windlass_model::queue::CreatePromotion;
use windlass_store::Idempotency;

use super::App;
use super::deployments::{FindArgs, found};
use super::environment::{Pair, target};
use super::extract::{Actor, Args, Body, Names};
use super::guard::detached;
use super::problem::{Answer, Problem};
use super::route::{Row, Verb, row};
use crate::control::deployments::Request;
use crate::control::{once, pausing, promote, rollback};

/// Header with a key by which a request can be sent again safely.
const KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Header of an answer that was given before.
const REPLAYED_HEADER: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The header `Idempotency-Key`, if it was sent.
pub(super) struct OnceKey(Option<String>);

impl FromRequestParts<App> for OnceKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let given = parts.headers.get(KEY_HEADER);
        // What is no text is refused as a key, like any other that is not valid.
        Ok(Self(given.map(|value| value.to_str().unwrap_or_default().to_owned())))
    }
}

impl OnceKey {
    /// The key for what is asked for: everything that tells this request from another.
    pub(super) fn of(self, what: &impl Serialize) -> Result<Option<Idempotency>, Failure> {
        self.0.map(|key| once::key(&key, what)).transpose()
    }
}

/// A deployment that was accepted: 202, or 200 when an earlier request with the same key made it.
pub(super) struct Accepted(pub(super) DeploymentView);

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        let Self(view) = self;
        if !view.replayed {
            return (StatusCode::ACCEPTED, Json(view)).into_response();
        }
        let mut response = (StatusCode::OK, Json(view)).into_response();
        response.headers_mut().insert(REPLAYED_HEADER, HeaderValue::from_static("true"));
        response
    }
}

/// Rows about halting, going back, promoting and keeping.
pub(super) fn about_the_queue() -> Vec<Row> {
    use Verb::{Delete, Post, Put};
    const PAUSE: &str = "/v1/deployments/{deployment}/pause";
    const RESUME: &str = "/v1/deployments/{deployment}/resume";
    const PIN: &str = "/v1/deployments/{deployment}/pin";
    const ROLLBACK: &str = "/v1/projects/{project}/environments/{environment}/rollback";
    const PROMOTE: &str = "/v1/projects/{project}/environments/{environment}/promote";
    vec![
        row(Post, ROLLBACK, "Go back to an earlier deployment or commit", go_back)
            .takes::<CreateRollback>()
            .answers::<DeploymentView>(202)
            .keyed()
            .errors(&[400, 404, 409, 429])
            .needs(TokenScope::Deploy),
        row(Post, PROMOTE, "Take over what is live in another environment", take_over)
            .query(&[super::table::CREATE])
            .takes::<CreatePromotion>()
            .answers::<DeploymentView>(202)
            .keyed()
            .errors(&[400, 404, 409, 429])
            .needs(TokenScope::Deploy),
        row(Post, PAUSE, "Halt it before its next step", pause)
            .query(&[super::table::PROJECT])
            .answers::<DeploymentView>(202)
            .errors(&[400, 404, 409])
            .needs(TokenScope::Deploy),
        row(Post, RESUME, "Go on with it after a halt", resume)
            .query(&[super::table::PROJECT])
            .answers::<DeploymentView>(202)
            .errors(&[400, 404, 409])
            .needs(TokenScope::Deploy),
        row(Put, PIN, "Never prune it", pin)
            .query(&[super::table::PROJECT])
            .answers::<DeploymentView>(200)
            .errors(&[400, 404, 409, 429])
            .needs(TokenScope::Deploy),
        row(Delete, PIN, "Leave it to retention again", unpin)
            .query(&[super::table::PROJECT])
            .answers::<DeploymentView>(200)
            .errors(&[400, 404, 409])
            .needs(TokenScope::Deploy),
    ]
}

async fn pause(
    State(app): State<App>,
    Names(text): Names<String>,
    Args(args): Args<FindArgs>,
    Actor(actor): Actor,
) -> Answer<Accepted> {
    let id = found(&app, &text, &args)?.id;
    let change = async move { pausing::pause(&app.host, &id, &actor).await };
    Ok(Accepted(detached(change).await?))
}

async fn resume(
    State(app): State<App>,
    Names(text): Names<String>,
    Args(args): Args<FindArgs>,
    Actor(actor): Actor,
) -> Answer<Accepted> {
    let id = found(&app, &text, &args)?.id;
    let change = async move { pausing::resume(&app.host, &id, &actor).await };
    Ok(Accepted(detached(change).await?))
}

async fn pin(
    State(app): State<App>,
    Names(text): Names<String>,
    Args(args): Args<FindArgs>,
    Actor(actor): Actor,
) -> Answer<Json<DeploymentView>> {
    let deployment = found(&app, &text, &args)?;
    let change = Box::pin(async move { pausing::pin(&app.host, deployment, &actor).await });
    Ok(Json(detached(change).await?))
}

async fn unpin(
    State(app): State<App>,
    Names(text): Names<String>,
    Args(args): Args<FindArgs>,
) -> Answer<Json<DeploymentView>> {
    let deployment = found(&app, &text, &args)?;
    let change = Box::pin(async move { pausing::unpin(&app.host, deployment).await });
    Ok(Json(detached(change).await?))
}

async fn go_back(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Actor(actor): Actor,
    key: OnceKey,
    Body(body): Body<CreateRollback>,
) -> Answer<Accepted> {
    let once = key.of(&("rollback", &pair, &body))?;
    let request = Request { once, ..Request::by(actor) };
    let change = async move { rollback::rollback(&app.host, &target(pair), body, &request).await };
    Ok(Accepted(detached(change).await?))
}

async fn take_over(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Args(args): Args<super::deployments::CreateArgs>,
    Actor(actor): Actor,
    key: OnceKey,
    Body(body): Body<CreatePromotion>,
) -> Answer<Accepted> {
    let once = key.of(&("promote", &pair, &body))?;
    let request = Request { once, create: args.create, ..Request::by(actor) };
    let change = async move { promote::promote(&app.host, &target(pair), body, &request).await };
    Ok(Accepted(detached(change).await?))
}
