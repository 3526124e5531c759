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
    let no_cache = body.no_cache;
    let request = Request { actor, create: args.create, once, no_cache, build: None };
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
    #[serde(default)]
    no_cache: bool,
}

pub(super) fn default_archive_name() -> String {
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
    let bytes_max = refuse_large(&app, &headers)?;
    let target = target(pair);
    let mut request =
        Request { create: args.create, no_cache: args.no_cache, ..Request::by(actor) };
    deployments::check_archive_name(&args.name)?;
    deployments::prepare(&app.host, &target, &request).await?;
    let stream = body.into_data_stream();
    let data_dir = &app.host.config.data_dir;
    let digest = uploads::take_in(&app.host, data_dir, stream, bytes_max).await?;
    let Target { project, environment } = &target;
    let source = args.kind.source(digest, args.name, args.spa);
    request.once = match args.no_cache {
        false => key.of(&("archive", (project, environment), &source))?,
        true => key.of(&("archive", (project, environment), &source, "no-cache"))?,
    };
    let change =
        async move { deployments::from_archive(&app.host, &target, source, &request).await };
    Ok(Accepted(detached(change).await?))
}

/// Refuses what says that it is too large; how large it may be.
pub(super) fn refuse_large(app: &App, headers: &HeaderMap) -> Answer<u64> {
    let bytes_max = app.host.config.limits.upload_bytes_max;
    match announced_bytes(headers).is_some_and(|bytes| bytes > bytes_max) {
        true => Err(Problem(uploads::body_too_large(bytes_max))),
        false => Ok(bytes_max),
    }
}

fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RedeployArgs {
    #[serde(default)]
    no_cache: bool,
}

/// The same of one deployment, by number or id.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RedeployOneArgs {
    project: Option<ProjectName>,
    #[serde(default)]
    no_cache: bool,
}

pub(super) async fn redeploy_environment(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Args(args): Args<RedeployArgs>,
    Actor(actor): Actor,
    key: OnceKey,
) -> Answer<Accepted> {
    let no_cache = args.no_cache;
    let once = key.of(&(if no_cache { "redeploy-no-cache" } else { "redeploy" }, &pair))?;
    let request = Request { once, no_cache, ..Request::by(actor) };
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
    pub(super) project: Option<ProjectName>,
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
    Args(RedeployOneArgs { project, no_cache }): Args<RedeployOneArgs>,
    Actor(actor): Actor,
    key: OnceKey,
) -> Answer<Accepted> {
    let of = found(&app, &text, &FindArgs { project })?;
    let once = key.of(&(if no_cache { "redeploy-no-cache" } else { "redeploy" }, &of.id))?;
    let request = Request { once, no_cache, ..Request::by(actor) };
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
