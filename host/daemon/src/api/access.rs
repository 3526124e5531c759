//! Routes about tokens and the audit log.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use windlass_model::access::{
    CreateToken, KeyRotated, KeyView, NewToken, RotateToken, TokenScope, TokenView, WhoAmI,
};
use windlass_model::api::Page;
use windlass_model::audit::AuditEntry;
use windlass_model::{Failure, ProjectName, Timestamp};

use super::App;
use super::extract::{Actor, Args, Body, Names};
use super::guard::detached;
use super::problem::{Answer, Problem};
use super::route::{Row, Verb, row};
use crate::access::{audit, caller, key, tokens};

/// Entries of a page when the query does not say, and at most.
const PAGE: (usize, usize) = (100, 1000);

pub(super) fn about_access() -> Vec<Row> {
    use Verb::{Delete, Get, Post};
    const ALL: &str = "/v1/tokens";
    const ONE: &str = "/v1/tokens/{token}";
    vec![
        row(Get, "/v1/token", "The token that asks", who_am_i).answers::<WhoAmI>(200).filtered(),
        row(Get, ALL, "Tokens, revoked and expired ones too", list)
            .answers::<Page<TokenView>>(200)
            .needs(TokenScope::Admin),
        row(Post, ALL, "Make a token; its text is shown this once", create)
            .takes::<CreateToken>()
            .answers::<NewToken>(201)
            .errors(&[400, 409, 429])
            .needs(TokenScope::Admin),
        row(Delete, ONE, "Revoke a token, by name or id, at once and for good", revoke)
            .answers::<TokenView>(200)
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
        row(
            Post,
            "/v1/tokens/{token}/rotate",
            "Give a token a new text; the old one ends at once. `admin` is the host's own",
            rotate,
        )
        .takes::<RotateToken>()
        .answers::<NewToken>(200)
        .errors(&[400, 404, 409])
        .needs(TokenScope::Admin),
        row(Get, "/v1/key", "The key that secrets are encrypted with at rest", show_key)
            .answers::<KeyView>(200)
            .needs(TokenScope::Admin),
        row(Post, "/v1/key/rotate", "Replace it, and encrypt everything anew", rotate_key)
            .answers::<KeyRotated>(200)
            .errors(&[503])
            .needs(TokenScope::Admin),
        row(Get, "/v1/audit", "Who asked for which change, newest first", read)
            .query(&[
                ("since", "not older than this time (RFC 3339)"),
                ("actor", "only of this token, by name"),
                ("project", "only about this project"),
                ("before", "`next` of the page before"),
                ("limit", "at most so many, 1 to 1000; 100 when absent"),
            ])
            .answers::<Page<AuditEntry>>(200)
            .errors(&[400])
            .needs(TokenScope::Admin),
    ]
}

async fn who_am_i() -> Answer<Json<WhoAmI>> {
    let caller = caller::present().ok_or_else(|| {
        Failure::host("internal.no-caller", "nobody asks", "the guard was passed by", "report it")
    })?;
    let (actor, scope) = (caller.actor.clone(), caller.scope);
    Ok(Json(WhoAmI { actor, scope, projects: caller.projects.to_vec() }))
}

async fn list(State(app): State<App>) -> Answer<Json<Page<TokenView>>> {
    Ok(Json(Page { items: tokens::list(&app.host)?, next: None }))
}

async fn create(
    State(app): State<App>,
    Actor(actor): Actor,
    Body(body): Body<CreateToken>,
) -> Answer<(StatusCode, Json<NewToken>)> {
    let change = async move { tokens::create(&app.host, body, &actor).await };
    Ok((StatusCode::CREATED, Json(detached(change).await?)))
}

async fn revoke(State(app): State<App>, Names(token): Names<String>) -> Answer<Json<TokenView>> {
    let change = async move { tokens::revoke(&app.host, &token).await };
    Ok(Json(detached(change).await?))
}

async fn rotate(
    State(app): State<App>,
    Names(token): Names<String>,
    Body(body): Body<RotateToken>,
) -> Answer<Json<NewToken>> {
    let change = async move { tokens::rotate(&app.access, &app.host, &token, body).await };
    Ok(Json(detached(change).await?))
}

async fn show_key(State(app): State<App>) -> Answer<Json<KeyView>> {
    Ok(Json(key::show(&app.host)?))
}

async fn rotate_key(State(app): State<App>) -> Answer<Json<KeyRotated>> {
    Ok(Json(detached(async move { key::rotate(&app.host).await }).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditArgs {
    since: Option<Timestamp>,
    actor: Option<String>,
    project: Option<ProjectName>,
    before: Option<String>,
    limit: Option<usize>,
}

async fn read(
    State(app): State<App>,
    Args(args): Args<AuditArgs>,
) -> Answer<Json<Page<AuditEntry>>> {
    let limit = args.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let wanted = audit::Wanted {
        since: args.since,
        actor: args.actor,
        project: args.project,
        before: args.before,
        limit: limit + 1,
    };
    let log = app.access.audit.clone();
    let read = tokio::task::spawn_blocking(move || log.read(&wanted)).await;
    let mut items = read.map_err(|e| {
        Problem(Failure::host("internal.panic", "the log was not read", e.to_string(), "try again"))
    })??;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| last.id.clone());
    Ok(Json(Page { items, next }))
}
