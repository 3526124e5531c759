//! What every request passes: an id and a span, a net under panics, and who asks.
//!
//! The guard of a route ([`admit`]) knows the route's row. It refuses, in this order, who is nobody (401),
//! whose token's scope is too small (403), who is limited to other projects (404 for a project or a
//! deployment, in the words for one that is not there; 403 for what is about the whole host), and writes
//! what changes something into the audit log before it is carried out.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRequestParts as _, Query, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use tracing::Instrument as _;
use windlass_model::access::TokenScope;
use windlass_model::audit::{AuditEntry, AuditOutcome};
use windlass_model::{DeploymentId, Failure, ProjectName, Timestamp};

use super::App;
use super::problem::{FailureCode, Problem};
use super::route::{Reach, Verb};
use crate::access::caller::{self, Caller};
use crate::access::throttle::Origin;
use crate::access::tokens::Denied;
use crate::control::find;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest path that is written to the audit log.
const PATH_CHARS_MAX: usize = 512;

/// The request's id.
#[derive(Clone)]
struct RequestId(String);

/// Gives the request an id, which the answer and every log line of it carry. Query, headers and body
/// are not logged: they may hold secrets.
pub(super) async fn trace(mut request: Request, next: Next) -> Response {
    let id = DeploymentId::generate().to_string();
    request.extensions_mut().insert(RequestId(id.clone()));
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

/// What the guard knows of a route.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) verb: Verb,
    pub(super) path: &'static str,
    pub(super) scope: TokenScope,
    pub(super) reach: Reach,
    /// Whether it becomes a websocket on which commands are run: written down like a change.
    pub(super) opens_session: bool,
}

/// Lets through who may, and writes down what changes something.
pub(super) async fn admit(
    State((app, rule)): State<(App, Rule)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let asked = Asked::of(&mut parts).await;
    let admitted = admitted(&app, rule, &asked);
    let entry = entry(rule, &asked, &admitted);
    let caller = match admitted {
        Ok(caller) => caller,
        Err(refused) => return refuse(&app, rule, entry, *refused).await,
    };
    parts.extensions.insert(caller.clone());
    let handled = caller.during(next.run(Request::from_parts(parts, body)));
    if rule.verb == Verb::Get && !rule.opens_session {
        return handled.await;
    }
    let id = entry.id.clone();
    let pending = app.access.audit.asked(entry).await;
    let (response, ()) = tokio::join!(handled, pending.synced());
    app.access.audit.answered(outcome(id, &response)).await;
    response
}

/// What a request says of itself, before its body.
struct Asked {
    id: String,
    token: Option<String>,
    address: Option<IpAddr>,
    path: String,
    names: Vec<(String, String)>,
    query_project: Option<ProjectName>,
}

impl Asked {
    async fn of(parts: &mut Parts) -> Self {
        let names = match RawPathParams::from_request_parts(parts, &()).await {
            Ok(params) => params.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            Err(_) => Vec::new(),
        };
        let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let query = query.map(|Query(pairs)| pairs).unwrap_or_default();
        let project = query.iter().find(|(name, _)| name == "project");
        let id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        Self {
            id,
            token: bearer(parts),
            address: address(parts),
            path: parts.uri.path().chars().take(PATH_CHARS_MAX).collect(),
            names,
            query_project: project.and_then(|(_, name)| name.parse().ok()),
        }
    }

    fn named(&self, name: &str) -> Option<&str> {
        self.names.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The project of the path, or of the query.
    fn project(&self) -> Option<ProjectName> {
        match self.named("project") {
            Some(name) => name.parse().ok(),
            None => self.query_project.clone(),
        }
    }
}

fn bearer(parts: &Parts) -> Option<String> {
    let (scheme, token) =
        parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// Where the request came from. A proxy on this machine says for whom it asks: the last address of
/// `x-forwarded-for` is the one that it added itself.
fn address(parts: &Parts) -> Option<IpAddr> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip();
    if !peer.to_canonical().is_loopback() {
        return Some(peer);
    }
    let forwarded = parts.headers.get_all("x-forwarded-for").iter().next_back();
    let last =
        forwarded.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    Some(last.unwrap_or(peer))
}

/// Why a request is refused, and to whom.
struct Refused {
    failure: Failure,
    retry_after_s: Option<u64>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { failure, retry_after_s: None }
    }
}

type Admitted = Result<Caller, Box<(Option<Caller>, Option<String>, Refused)>>;

fn admitted(app: &App, rule: Rule, asked: &Asked) -> Admitted {
    let token = asked.token.as_deref();
    let caller = app.access.caller(&app.host.store, token, asked.address).map_err(
        |Denied { failure, actor, retry_after_s }| {
            Box::new((None, actor, Refused { failure, retry_after_s }))
        },
    )?;
    match allowed(app, rule, asked, &caller) {
        Ok(()) => Ok(caller),
        Err(failure) => Err(Box::new((Some(caller), None, failure.into()))),
    }
}

fn allowed(app: &App, rule: Rule, asked: &Asked, caller: &Caller) -> Result<(), Failure> {
    if caller.scope < rule.scope {
        let what = format!("{} {}", rule.verb.key().to_uppercase(), rule.path);
        return Err(caller::scope_too_small(caller, rule.scope, &what));
    }
    if !caller.is_limited() {
        return Ok(());
    }
    if let Some(other) = asked.project().filter(|project| !caller.sees(project)) {
        return Err(caller::no_such_project(&other));
    }
    match rule.reach {
        Reach::Project | Reach::Filtered => Ok(()),
        Reach::Deployment => {
            let text = asked.named("deployment").unwrap_or_default();
            let project = asked.query_project.as_ref();
            caller.within(|| find::deployment(&app.host, text, project)).map(drop)
        }
        Reach::Host => Err(caller::limited_to_projects(caller)),
    }
}

fn entry(rule: Rule, asked: &Asked, admitted: &Admitted) -> AuditEntry {
    let (caller, actor) = match admitted {
        Ok(caller) => (Some(caller), None),
        Err(refused) => (refused.0.as_ref(), refused.1.clone()),
    };
    AuditEntry {
        id: asked.id.clone(),
        at: Timestamp::now(),
        actor: caller
            .map(|caller| caller.actor.clone())
            .or(actor)
            .unwrap_or_else(|| "unknown".to_owned()),
        token: caller.and_then(|caller| caller.token.clone()),
        address: asked.address.map(|address| address.to_string()),
        method: rule.verb.key().to_uppercase(),
        route: rule.path.to_owned(),
        path: asked.path.clone(),
        project: asked.project(),
        status: None,
        code: None,
    }
}

fn outcome(id: String, response: &Response) -> AuditOutcome {
    let code = response.extensions().get::<FailureCode>().map(|code| code.0.clone());
    AuditOutcome { id, status: response.status().as_u16(), code }
}

/// Answers a refusal. It is written down where something would have been changed or a command run, a
/// limited number of them in a minute.
async fn refuse(
    app: &App,
    rule: Rule,
    mut entry: AuditEntry,
    (caller, _, refused): (Option<Caller>, Option<String>, Refused),
) -> Response {
    let mut response = Problem(refused.failure).into_response();
    if let Some(seconds) = refused.retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    let address = entry.address.as_deref().and_then(|text| text.parse().ok());
    let origin = Origin::new(address, caller.and_then(|caller| caller.token));
    let matters = rule.verb != Verb::Get || rule.opens_session;
    if matters && app.access.refusals.count(origin, Instant::now()) {
        let AuditOutcome { status, code, .. } = outcome(String::new(), &response);
        (entry.status, entry.code) = (Some(status), code);
        app.access.audit.asked(entry).await;
    }
    response
}

/// Carries a change through to its end, even when the client hangs up meanwhile.
pub(super) async fn detached<T: Send + 'static>(
    change: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Problem> {
    let change = change.in_current_span();
    let spawned = match caller::present() {
        Some(caller) => tokio::spawn(caller.during(change)),
        None => tokio::spawn(change),
    };
    match spawned.await {
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
