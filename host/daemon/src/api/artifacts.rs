//! Routes and handlers of files that plugins attached to deployments.

use axum::Json;
use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse as _, Response};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;
use windlass_model::stage::Attached;

use super::App;
use super::deployments::{FindArgs, found};
use super::extract::{Args, Names};
use super::problem::Answer;
use super::route::{Row, Verb, row};
use super::table::PROJECT;
use crate::control::artifacts;

/// Bytes of a piece of a file.
const PIECE_BYTES: usize = 256 * 1024;
/// What a browser may do with it: nothing of it is ours.
const SANDBOX: &str = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'";

pub(super) fn about_artifacts() -> Vec<Row> {
    const ALL: &str = "/v1/deployments/{deployment}/artifacts";
    const ONE: &str = "/v1/deployments/{deployment}/artifacts/{plugin}/{name}";
    vec![
        row(Verb::Get, ALL, "Files that plugins attached to it", list)
            .query(&[PROJECT])
            .answers::<Vec<Attached>>(200)
            .errors(&[400, 404, 409]),
        row(Verb::Get, ONE, "One of these files, with the media type that the plugin says", get)
            .query(&[PROJECT])
            .answers_archive()
            .errors(&[400, 404, 409]),
    ]
}

async fn list(
    State(app): State<App>,
    Names(text): Names<String>,
    Args(args): Args<FindArgs>,
) -> Answer<Json<Vec<Attached>>> {
    Ok(Json(artifacts::list(&app.host, &found(&app, &text, &args)?)))
}

async fn get(
    State(app): State<App>,
    Names((text, plugin, name)): Names<(String, String, String)>,
    Args(args): Args<FindArgs>,
) -> Answer<Response> {
    let of = found(&app, &text, &args)?;
    let (attached, file) = artifacts::open(&app.host, &of, &plugin, &name)?;
    // What is being added to it is not noted yet.
    let file = tokio::fs::File::from_std(file).take(attached.bytes);
    let file = ReaderStream::with_capacity(file, PIECE_BYTES);
    let headers = [
        (header::CONTENT_TYPE, attached.media_type),
        (header::CONTENT_LENGTH, attached.bytes.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", attached.name)),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CONTENT_SECURITY_POLICY, SANDBOX.to_owned()),
        (HeaderName::from_static("windlass-digest"), attached.digest.to_string()),
    ];
    Ok((headers, HttpBody::from_stream(file)).into_response())
}
