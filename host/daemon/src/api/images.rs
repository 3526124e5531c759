//! Routes and handlers of images that are taken out of deployments.

use axum::Json;
use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use tokio_util::io::ReaderStream;
use windlass_model::ProjectName;
use windlass_model::access::TokenScope;
use windlass_model::image::{PushImage, PushedView, SavedView};

use super::App;
use super::extract::{Args, Body, Names};
use super::guard::detached;
use super::problem::Answer;
use super::route::{Row, Verb, row};
use super::table::PROJECT;
use crate::control::{find, images};

/// Bytes of a piece of an archive.
const PIECE_BYTES: usize = 256 * 1024;

pub(super) fn about_images() -> Vec<Row> {
    const PUSH: &str = "/v1/deployments/{deployment}/push";
    const IMAGE: &str = "/v1/deployments/{deployment}/image";
    vec![
        row(
            Verb::Post,
            PUSH,
            "Push its image to a registry, with the project's login; answered when it is there. It \
             can be asked for again: what is there is not sent again",
            push,
        )
        .query(&[PROJECT])
        .takes::<PushImage>()
        .answers::<PushedView>(200)
        .errors(&[400, 404, 409])
        .needs(TokenScope::Deploy),
        row(
            Verb::Get,
            IMAGE,
            "Its image as an archive; the header windlass-image says what it is, as JSON",
            image,
        )
        .query(&[
            PROJECT,
            ("format", "`oci` (when absent) or `docker`, which `docker load` reads"),
            ("output", "which output; that of the web process, or the only one, when absent"),
        ])
        .answers_archive()
        .errors(&[400, 404, 409])
        .needs(TokenScope::Deploy),
    ]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PushArgs {
    project: Option<ProjectName>,
}

async fn push(
    State(app): State<App>,
    Names(text): Names<String>,
    Args(args): Args<PushArgs>,
    Body(body): Body<PushImage>,
) -> Answer<Json<PushedView>> {
    let of = find::deployment(&app.host, &text, args.project.as_ref())?;
    let work = async move { images::push(&app.host, &of, &body).await };
    Ok(Json(detached(work).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageArgs {
    project: Option<ProjectName>,
    format: Option<String>,
    output: Option<String>,
}

async fn image(
    State(app): State<App>,
    Names(text): Names<String>,
    Args(args): Args<ImageArgs>,
) -> Answer<Response> {
    let of = find::deployment(&app.host, &text, args.project.as_ref())?;
    let name = format!("attachment; filename=\"{}-{}.tar\"", of.project, of.number);
    let work = async move {
        let format = args.format.as_deref().unwrap_or("oci");
        images::save(&app.host, &of, args.output.as_deref(), format).await
    };
    let (saved, file) = detached(work).await?;
    let file = ReaderStream::with_capacity(tokio::fs::File::from_std(file), PIECE_BYTES);
    let headers = [
        (header::CONTENT_TYPE, "application/x-tar".to_owned()),
        (header::CONTENT_LENGTH, saved.bytes.to_string()),
        (header::CONTENT_DISPOSITION, name),
    ];
    let mut response = (headers, HttpBody::from_stream(file)).into_response();
    let told = serde_json::to_string(&saved).unwrap_or_default();
    if let Ok(told) = HeaderValue::from_str(&told) {
        response.headers_mut().insert(SavedView::HEADER, told);
    }
    Ok(response)
}
