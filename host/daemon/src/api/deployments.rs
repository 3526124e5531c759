//! Handlers about deployments. They store what is asked for; the runner does it.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use windlass_model::api::{CreateDeployment, DeploymentView, Page};
use windlass_model::deployment::StoredPlan;
use windlass_model::source::UploadKind;
use windlass_model::{Deployment, DeploymentId, DeploymentStatus, EnvironmentName, ProjectName};

use super::App;
use super::environment::{Pair, target};
use super::extract::{Actor, Args, Body, Names};
use super::guard::detached;
use super::problem::{Answer, Problem};
use super::queue::{Accepted, OnceKey};
use crate::control::Target;
use crate::control::deployments::{self, Request};
use crate::control::find::{self, Wanted};
use crate::source::uploads;

/// Deployments of a page when the query does not say.
const PAGE_DEFAULT: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateArgs {
    #[serde(default)]
    pub(super) create: bool,
}

pub(super) async fn create(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Args(args): Args<CreateArgs>,
    Actor(actor): Actor,
    key: OnceKey,
    Body(body): Body<CreateDeployment>,
) -> Answer<Accepted> {
    let once = key.of(&("deploy", &pair, &body))?;
    let request = Request { actor, create: args.create, once };
    let change =
        async move { deployments::from_git(&app.host, &target(pair), body, &request).await };
    Ok(Accepted(detached(change).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ArchiveArgs {
    #[serde(default = "default_archive_name")]
    name: String,
    #[serde(default)]
    create: bool,
    #[serde(default)]
    kind: UploadKind,
    #[serde(default)]
    spa: bool,
}

fn default_archive_name() -> String {
    "source.tar.gz".to_owned()
}

/// The upload itself is the request; what follows it is carried through whatever the client does.
pub(super) async fn create_from_archive(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Args(args): Args<ArchiveArgs>,
    Actor(actor): Actor,
    key: OnceKey,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Answer<Accepted> {
    let bytes_max = app.host.config.limits.upload_bytes_max;
    if announced_bytes(&headers).is_some_and(|bytes| bytes > bytes_max) {
        return Err(Problem(uploads::body_too_large(bytes_max)));
    }
    let target = target(pair);
    let mut request = Request { create: args.create, ..Request::by(actor) };
    deployments::check_archive_name(&args.name)?;
    deployments::prepare(&app.host, &target, &request).await?;
    let stream = body.into_data_stream();
    let digest = uploads::store(&app.host.config.data_dir, stream, bytes_max).await?;
    let Target { project, environment } = &target;
    let source = args.kind.source(digest, args.name, args.spa);
    request.once = key.of(&("archive", (project, environment), &source))?;
    let change =
        async move { deployments::from_archive(&app.host, &target, source, &request).await };
    Ok(Accepted(detached(change).await?))
}

fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(super) async fn redeploy_environment(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Actor(actor): Actor,
    key: OnceKey,
) -> Answer<Accepted> {
    let once = key.of(&("redeploy", &pair))?;
    let request = Request { once, ..Request::by(actor) };
    let change = async move { deployments::redeploy(&app.host, &target(pair), &request).await };
    Ok(Accepted(detached(change).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListArgs {
    project: Option<ProjectName>,
    environment: Option<EnvironmentName>,
    status: Option<DeploymentStatus>,
    before: Option<DeploymentId>,
    limit: Option<usize>,
}

pub(super) async fn list(
    State(app): State<App>,
    Args(args): Args<ListArgs>,
) -> Answer<Json<Page<DeploymentView>>> {
    let wanted = Wanted {
        project: args.project,
        environment: args.environment,
        status: args.status,
        before: args.before,
        limit: args.limit.unwrap_or(PAGE_DEFAULT),
    };
    Ok(Json(deployments::list(&app.host, &wanted).await?))
}

/// Says in which project a number counts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FindArgs {
    project: Option<ProjectName>,
}

pub(super) fn found(app: &App, text: &str, args: &FindArgs) -> Answer<Deployment> {
    Ok(find::deployment(&app.host, text, args.project.as_ref())?)
}

pub(super) async fn show(
    State(app): State<App>,
    Names(text): Names<String>,
    Args(args): Args<FindArgs>,
) -> Answer<Json<DeploymentView>> {
    let deployment = found(&app, &text, &args)?;
    Ok(Json(deployments::show(&app.host, deployment).await?))
}

pub(super) async fn cancel(
    State(app): State<App>,
    Names(text): Names<String>,
    Args(args): Args<FindArgs>,
    Actor(actor): Actor,
) -> Answer<Accepted> {
    let id = found(&app, &text, &args)?.id;
    let change = async move { deployments::cancel(&app.host, &id, &actor).await };
    Ok(Accepted(detached(change).await?))
}

pub(super) async fn redeploy(
    State(app): State<App>,
    Names(text): Names<String>,
    Args(args): Args<FindArgs>,
    Actor(actor): Actor,
    key: OnceKey,
) -> Answer<Accepted> {
    let of = found(&app, &text, &args)?;
    let once = key.of(&("redeploy", &of.id))?;
    let request = Request { once, ..Request::by(actor) };
    let change = async move { deployments::redeploy_of(&app.host, of, &request).await };
    Ok(Accepted(Box::pin(detached(change)).await?))
}

pub(super) async fn plan(
    State(app): State<App>,
    Names(text): Names<String>,
    Args(args): Args<FindArgs>,
) -> Answer<Json<StoredPlan>> {
    let deployment = found(&app, &text, &args)?;
    Ok(Json(deployments::plan(&app.host, &deployment)?))
}
