//! Handlers about volumes, and their routes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use windlass_model::access::TokenScope;
use windlass_model::id::VolumeName;
use windlass_model::running::VolumeView;
use windlass_model::{EnvironmentName, ProjectName};

use super::App;
use super::environment::{Pair, target};
use super::extract::Names;
use super::guard::detached;
use super::problem::Answer;
use super::route::{Row, Verb, row};
use crate::control::{Target, volumes};

/// The rows of this module.
pub(super) fn about_volumes() -> Vec<Row> {
    use Verb::{Delete, Get};
    const ALL: &str = "/v1/projects/{project}/environments/{environment}/volumes";
    const ONE: &str = "/v1/projects/{project}/environments/{environment}/volumes/{volume}";
    vec![
        row(Get, ALL, "Volumes, also those that nothing mounts any more", list)
            .answers::<Vec<VolumeView>>(200)
            .errors(&[400]),
        row(Delete, ONE, "Remove a volume with everything in it", remove)
            .errors(&[400, 404, 409])
            .needs(TokenScope::Admin),
    ]
}

async fn list(State(app): State<App>, Names(pair): Names<Pair>) -> Answer<Json<Vec<VolumeView>>> {
    Ok(Json(volumes::list(&app.host, &target(pair)).await?))
}

async fn remove(
    State(app): State<App>,
    Names((project, environment, name)): Names<(ProjectName, EnvironmentName, VolumeName)>,
) -> Answer<StatusCode> {
    let target = Target { project, environment };
    detached(async move { volumes::remove(&app.host, &target, &name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
