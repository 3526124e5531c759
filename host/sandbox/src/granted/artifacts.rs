//! `windlass:artifacts`: files that are kept with the deployment.

use super::PURE;
use crate::bindings::artifacts::{Artifact, ArtifactError, Host, Reason};
use crate::state::CallState;

fn denied() -> ArtifactError {
    ArtifactError { reason: Reason::Denied, message: PURE.to_owned() }
}

impl Host for CallState {
    async fn attach(
        &mut self,
        artifact: Artifact,
        content: Vec<u8>,
    ) -> wasmtime::Result<Result<(), ArtifactError>> {
        let done =
            self.outside(|effects| async move { effects.attach(artifact, content).await }).await;
        Ok(self.artifacts_said(done))
    }

    async fn append(
        &mut self,
        name: String,
        content: Vec<u8>,
    ) -> wasmtime::Result<Result<(), ArtifactError>> {
        let done = self.outside(|effects| async move { effects.append(name, content).await }).await;
        Ok(self.artifacts_said(done))
    }
}

impl CallState {
    /// What the guest is told; a denial is counted.
    fn artifacts_said(
        &mut self,
        done: Option<Result<(), ArtifactError>>,
    ) -> Result<(), ArtifactError> {
        let done = done.unwrap_or_else(|| Err(denied()));
        self.count_denied(matches!(&done, Err(ArtifactError { reason: Reason::Denied, .. })));
        done
    }
}
