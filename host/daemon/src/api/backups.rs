//! Backups over the API: made, listed, verified. They are restored by `windlass restore`, while the host
//! is stopped.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use windlass_model::Failure;
use windlass_model::access::TokenScope;
use windlass_model::recovery::{BackupView, CreateBackup};

use super::App;
use super::extract::{Body, Names};
use super::problem::Answer;
use super::route::{Row, Verb, row};
use crate::backup;

/// The rows about backups.
pub(super) fn about_backups() -> Vec<Row> {
    const ALL: &str = "/v1/backups";
    vec![
        row(Verb::Get, ALL, "The host's backups, oldest first", list)
            .answers::<Vec<BackupView>>(200)
            .needs(TokenScope::Admin),
        row(Verb::Post, ALL, "Make a backup now, and verify it", create)
            .takes::<CreateBackup>()
            .answers::<BackupView>(201)
            .errors(&[400])
            .needs(TokenScope::Admin),
        row(Verb::Post, "/v1/backups/{name}/verify", "Read a backup as a whole", verify)
            .answers::<BackupView>(200)
            .errors(&[404])
            .needs(TokenScope::Admin),
    ]
}

async fn list(State(app): State<App>) -> Answer<Json<Vec<BackupView>>> {
    let dir = backup::dir(&app.host.config.data_dir);
    let views = blocking(move || {
        backup::files(&dir).iter().map(|path| backup::view(path)).collect::<Vec<_>>()
    });
    Ok(Json(views.await?))
}

async fn create(
    State(app): State<App>,
    Body(wanted): Body<CreateBackup>,
) -> Answer<(StatusCode, Json<BackupView>)> {
    // A task of its own: a client that hangs up ends nothing.
    let host = app.host.clone();
    let made = tokio::spawn(async move { backup::create_in_background(&host, wanted).await });
    let made = made.await.map_err(|e| cut_off(&e))??;
    Ok((StatusCode::CREATED, Json(made)))
}

async fn verify(State(app): State<App>, Names(name): Names<String>) -> Answer<Json<BackupView>> {
    let path = backup::find(&app.host.config.data_dir, &name)?;
    Ok(Json(blocking(move || backup::view_verified(&path)).await?))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|e| cut_off(&e))
}

fn cut_off(error: &tokio::task::JoinError) -> Failure {
    Failure::host(
        "backup.failed",
        "the work on the backup was cut off",
        error.to_string(),
        "try again; if it happens again, report it with the host's log",
    )
}
