//! Builds that are not deployed, over the API: asked for like deployments, and their files.

use axum::body::Body as Stream;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use serde::Deserialize;
use windlass_model::ProjectName;
use windlass_model::access::TokenScope;
use windlass_model::api::{CreateDeployment, DeploymentView};
use windlass_model::source::UploadKind;

use super::App;
use super::deployments;
use super::environment::{Pair, target};
use super::extract::{Actor, Args, Body, Names};
use super::guard::detached;
use super::problem::Answer;
use super::queue::{Accepted, OnceKey};
use super::route::{Row, Verb, row};
use super::table::{CREATE, PROJECT};
use crate::control::{builds, deployments as asked, find};
use crate::source::uploads;

/// The rows of this module.
pub(super) fn about_builds() -> Vec<Row> {
    const ALL: &str = "/v1/projects/{project}/environments/{environment}/builds";
    const ARCHIVE: &str = "/v1/projects/{project}/environments/{environment}/builds/archive";
    const FILES: &str = "/v1/deployments/{deployment}/files";
    const KEEP: (&str, &str) = ("keep", "the name that the artifact is kept under, as an image");
    const NO_CACHE: (&str, &str) = ("no_cache", "`true`: every step is carried out");
    vec![
        row(Verb::Post, ALL, "Build a Git repository or an image, and deploy nothing", create)
            .query(&[CREATE, KEEP])
            .takes::<CreateDeployment>()
            .answers::<DeploymentView>(202)
            .keyed()
            .errors(&[400, 404, 409, 429])
            .needs(TokenScope::Deploy),
        row(
            Verb::Post,
            ARCHIVE,
            "Build an uploaded source, and deploy nothing",
            create_from_archive,
        )
        .query(&[("name", "name of the file or folder, to be shown"), CREATE, KEEP, NO_CACHE])
        .takes_archive()
        .answers::<DeploymentView>(202)
        .keyed()
        .errors(&[400, 404, 409, 413, 429])
        .needs(TokenScope::Deploy),
        row(Verb::Get, FILES, "The files of an output of its artifact, as a tar", files)
            .query(&[
                PROJECT,
                ("output", "its name; the static files or the web process's if absent"),
            ])
            .answers_archive()
            .errors(&[400, 404, 409])
            .needs(TokenScope::Deploy),
    ]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateArgs {
    #[serde(default)]
    create: bool,
    #[serde(default)]
    keep: String,
}

async fn create(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Args(args): Args<CreateArgs>,
    Actor(actor): Actor,
    key: OnceKey,
    Body(body): Body<CreateDeployment>,
) -> Answer<Accepted> {
    builds::check_name(&args.keep)?;
    let once = key.of(&("build", &pair, &args.keep, &body))?;
    let (build, no_cache) = (Some(args.keep), body.no_cache);
    let request = asked::Request { actor, create: args.create, build, once, no_cache };
    let change = async move { asked::from_git(&app.host, &target(pair), body, &request).await };
    Ok(Accepted(detached(change).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArchiveArgs {
    #[serde(default = "deployments::default_archive_name")]
    name: String,
    #[serde(default)]
    create: bool,
    #[serde(default)]
    keep: String,
    #[serde(default)]
    no_cache: bool,
}

async fn create_from_archive(
    State(app): State<App>,
    Names(pair): Names<Pair>,
    Args(args): Args<ArchiveArgs>,
    Actor(actor): Actor,
    key: OnceKey,
    headers: HeaderMap,
    body: Stream,
) -> Answer<Accepted> {
    builds::check_name(&args.keep)?;
    let bytes_max = deployments::refuse_large(&app, &headers)?;
    let target = target(pair);
    let mut request = asked::Request {
        create: args.create,
        build: Some(args.keep.clone()),
        no_cache: args.no_cache,
        ..asked::Request::by(actor)
    };
    asked::check_archive_name(&args.name)?;
    asked::prepare(&app.host, &target, &request).await?;
    let stream = body.into_data_stream();
    let data_dir = &app.host.config.data_dir;
    let digest = uploads::take_in(&app.host, data_dir, stream, bytes_max).await?;
    let source = UploadKind::Source.source(digest, args.name, false);
    let of = ("build", &target.project, &target.environment, &args.keep, &source, args.no_cache);
    request.once = key.of(&of)?;
    let change = async move { asked::from_archive(&app.host, &target, source, &request).await };
    Ok(Accepted(detached(change).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilesArgs {
    project: Option<ProjectName>,
    output: Option<String>,
}

async fn files(
    State(app): State<App>,
    Names(text): Names<String>,
    Args(args): Args<FilesArgs>,
) -> Answer<Response> {
    let deployment = find::deployment(&app.host, &text, args.project.as_ref())?;
    let pieces = builds::files(&app.host, &deployment, args.output.as_deref()).await?;
    let pieces = futures::stream::unfold(pieces, async |mut pieces| {
        let piece = pieces.recv().await?;
        Some((piece, pieces))
    });
    let headers = [(header::CONTENT_TYPE, "application/x-tar")];
    Ok((headers, Stream::from_stream(pieces.boxed())).into_response())
}
