//! Routes about webhooks, automatic deployments and previews, and the door for deliveries.

use std::time::Duration;

use axum::Json;
use axum::body::Body as RawBody;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use windlass_model::access::TokenScope;
use windlass_model::api::Page;
use windlass_model::hooks::{
    AutoDeployView, CreateWebhook, DeliveryReceipt, PreviewsView, RotateWebhook, SetAutoDeploy,
    SetPreviews, SetStatusToken, WebhookView, WebhookWithSecret,
};
use windlass_model::webhook::{Delivery, DeliveryId, PreviewSettings, WebhookId};
use windlass_model::{EnvironmentName, Failure, ProjectName};

use super::App;
use super::environment::{Pair, target};
use super::extract::{Actor, Args, Body, Names, whole};
use super::guard::detached;
use super::problem::{Answer, Problem};
use super::route::{Row, Verb, row};
use crate::control::{previews, webhooks};
use crate::webhook::receive;

/// How long a sender may take for its body.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// Deliveries of a page when the query does not say.
const PAGE_DEFAULT: usize = 50;

type One = (ProjectName, WebhookId);

/// The rows.
pub(super) fn about_webhooks() -> Vec<Row> {
    use Verb::{Delete, Get, Post, Put};
    const ALL: &str = "/v1/projects/{project}/webhooks";
    const ONE: &str = "/v1/projects/{project}/webhooks/{webhook}";
    const ROTATE: &str = "/v1/projects/{project}/webhooks/{webhook}/rotate";
    const TOKEN: &str = "/v1/projects/{project}/webhooks/{webhook}/status-token";
    const DELIVERIES: &str = "/v1/projects/{project}/webhooks/{webhook}/deliveries";
    const AGAIN: &str = "/v1/projects/{project}/webhooks/{webhook}/deliveries/{delivery}/redeliver";
    let mut rows = vec![
        row(Post, "/v1/hooks/{webhook}", "Where senders deliver: signed, without a token", deliver)
            .takes::<serde_json::Value>()
            .answers::<DeliveryReceipt>(202)
            .errors(&[400, 401, 403, 404, 408, 409, 413, 422])
            .open(),
        row(Get, ALL, "A project's webhooks", list)
            .answers::<Page<WebhookView>>(200)
            .errors(&[400, 404]),
        row(Post, ALL, "Make a webhook; its secret is shown this once", create)
            .takes::<CreateWebhook>()
            .answers::<WebhookWithSecret>(201)
            .errors(&[400, 404, 429])
            .needs(TokenScope::Admin),
        row(Get, ONE, "A webhook", show).answers::<WebhookView>(200).errors(&[400, 404]),
        row(Delete, ONE, "Delete a webhook with its deliveries", delete)
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
        row(Post, ROTATE, "Replace its secret; the old one is accepted for a while", rotate)
            .takes::<RotateWebhook>()
            .answers::<WebhookWithSecret>(200)
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
        row(Put, TOKEN, "Set the token for commit statuses", set_status_token)
            .takes::<SetStatusToken>()
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
        row(Delete, TOKEN, "Forget that token", remove_status_token)
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
        row(Get, DELIVERIES, "Its deliveries with their verdicts, newest first", deliveries)
            .query(&[
                ("before", "`next` of the page before"),
                ("limit", "at most so many, 1 to 200; 50 when absent"),
            ])
            .answers::<Page<Delivery>>(200)
            .errors(&[400, 404]),
        row(Post, AGAIN, "Take a delivery up once more", redeliver)
            .answers::<Delivery>(202)
            .errors(&[400, 404, 409])
            .needs(TokenScope::Deploy),
    ];
    rows.extend(about_what_pushes_lead_to());
    rows
}

fn about_what_pushes_lead_to() -> Vec<Row> {
    use Verb::{Delete, Get, Put};
    const RULE: &str = "/v1/projects/{project}/environments/{environment}/auto-deploy";
    const PREVIEWS: &str = "/v1/projects/{project}/previews";
    const SETTINGS: &str = "/v1/projects/{project}/preview-settings";
    const PREVIEW: &str = "/v1/projects/{project}/previews/{environment}";
    vec![
        row(Get, RULE, "When pushes deploy here", auto_deploy)
            .answers::<AutoDeployView>(200)
            .errors(&[400, 404]),
        row(Put, RULE, "Change when pushes deploy here", set_auto_deploy)
            .takes::<SetAutoDeploy>()
            .answers::<AutoDeployView>(200)
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
        row(Get, PREVIEWS, "A project's previews", list_previews)
            .answers::<PreviewsView>(200)
            .errors(&[400, 404]),
        row(Put, SETTINGS, "Change what a project has previews for", set_previews)
            .takes::<SetPreviews>()
            .answers::<PreviewSettings>(200)
            .errors(&[400, 404])
            .needs(TokenScope::Admin),
        row(Delete, PREVIEW, "Remove a preview with all that it has", remove_preview)
            .errors(&[400, 404])
            .needs(TokenScope::Deploy),
    ]
}

/// What is not genuine is refused before anything of it is read; the work follows the answer.
async fn deliver(
    State(app): State<App>,
    Names(id): Names<WebhookId>,
    headers: HeaderMap,
    body: RawBody,
) -> Answer<(StatusCode, Json<DeliveryReceipt>)> {
    let webhook = receive::webhook(&app.host, &id)?;
    let body = match read(&app, body).await {
        Ok(body) => body,
        Err(failure) => {
            return Err(Problem(receive::refuse_unread(&app.host, &webhook, failure).await));
        }
    };
    let work = async move { receive::receive(&app.host, webhook, &headers, &body).await };
    let Delivery { id, verdict, code, reason, .. } = detached(work).await?;
    Ok((StatusCode::ACCEPTED, Json(DeliveryReceipt { delivery: id, verdict, code, reason })))
}

async fn read(app: &App, body: RawBody) -> Result<Bytes, Failure> {
    let bytes_max = app.host.config.limits.webhook_body_bytes_max;
    tokio::time::timeout(BODY_WITHIN, whole(body, bytes_max)).await.unwrap_or_else(|_| {
        Err(Failure::app(
            "webhook.too-slow",
            "the delivery's body did not come in time",
            format!("it took longer than {} s", BODY_WITHIN.as_secs()),
            "send it again",
        ))
    })
}

async fn list(
    State(app): State<App>,
    Names(project): Names<ProjectName>,
) -> Answer<Json<Page<WebhookView>>> {
    Ok(Json(Page { items: webhooks::list(&app.host, &project)?, next: None }))
}

async fn create(
    State(app): State<App>,
    Names(project): Names<ProjectName>,
    Body(body): Body<CreateWebhook>,
) -> Answer<(StatusCode, Json<WebhookWithSecret>)> {
    let change = async move { webhooks::create(&app.host, &project, body).await };
    Ok((StatusCode::CREATED, Json(detached(change).await?)))
}

async fn show(
    State(app): State<App>,
    Names((project, id)): Names<One>,
) -> Answer<Json<WebhookView>> {
    Ok(Json(webhooks::show(&app.host, &project, &id)?))
}

async fn delete(State(app): State<App>, Names((project, id)): Names<One>) -> Answer<StatusCode> {
    detached(async move { webhooks::delete(&app.host, &project, &id).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn rotate(
    State(app): State<App>,
    Names((project, id)): Names<One>,
    Body(body): Body<RotateWebhook>,
) -> Answer<Json<WebhookWithSecret>> {
    let change = async move { webhooks::rotate(&app.host, &project, &id, body).await };
    Ok(Json(detached(change).await?))
}

async fn set_status_token(
    State(app): State<App>,
    Names((project, id)): Names<One>,
    Body(body): Body<SetStatusToken>,
) -> Answer<StatusCode> {
    let change =
        async move { webhooks::set_status_token(&app.host, &project, &id, Some(body)).await };
    detached(change).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove_status_token(
    State(app): State<App>,
    Names((project, id)): Names<One>,
) -> Answer<StatusCode> {
    detached(async move { webhooks::set_status_token(&app.host, &project, &id, None).await })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PageArgs {
    #[serde(default)]
    before: Option<DeliveryId>,
    #[serde(default)]
    limit: Option<usize>,
}

async fn deliveries(
    State(app): State<App>,
    Names((project, id)): Names<One>,
    Args(args): Args<PageArgs>,
) -> Answer<Json<Page<Delivery>>> {
    let limit = args.limit.unwrap_or(PAGE_DEFAULT);
    Ok(Json(webhooks::deliveries(&app.host, &project, &id, args.before.as_ref(), limit)?))
}

async fn redeliver(
    State(app): State<App>,
    Names((project, id, delivery)): Names<(ProjectName, WebhookId, DeliveryId)>,
) -> Answer<(StatusCode, Json<Delivery>)> {
    let change = async move { webhooks::redeliver(&app.host, &project, &id, &delivery).await };
    Ok((StatusCode::ACCEPTED, Json(detached(change).await?)))
}

async fn auto_deploy(
    State(app): State<App>,
    Names(pair): Names<Pair>,
) -> Answer<Json<AutoDeployView>> {
    Ok(Json(webhooks::auto_deploy(&app.host, &target(pair))?))
}

async fn set_auto_deploy(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Body(body): Body<SetAutoDeploy>,
) -> Answer<Json<AutoDeployView>> {
    let change = async move { webhooks::set_auto_deploy(&app.host, &target(pair), body).await };
    Ok(Json(detached(change).await?))
}

async fn list_previews(
    State(app): State<App>,
    Names(project): Names<ProjectName>,
) -> Answer<Json<PreviewsView>> {
    Ok(Json(previews::list(&app.host, &project).await?))
}

async fn set_previews(
    State(app): State<App>,
    Names(project): Names<ProjectName>,
    Body(body): Body<SetPreviews>,
) -> Answer<Json<PreviewSettings>> {
    let change = async move { previews::set(&app.host, &project, body).await };
    Ok(Json(detached(change).await?))
}

async fn remove_preview(
    State(app): State<App>,
    Names((project, environment)): Names<(ProjectName, EnvironmentName)>,
    Actor(actor): Actor,
) -> Answer<StatusCode> {
    let change = async move { previews::remove(&app.host, &project, &environment, &actor).await };
    detached(change).await?;
    Ok(StatusCode::NO_CONTENT)
}
