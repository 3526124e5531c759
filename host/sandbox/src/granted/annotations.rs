//! `windlass:annotations`: short facts that are shown with the deployment.

use super::PURE;
use crate::bindings::annotations::{Annotation, AnnotationError, Host, Reason};
use crate::state::CallState;

impl Host for CallState {
    async fn set(
        &mut self,
        annotation: Annotation,
    ) -> wasmtime::Result<Result<(), AnnotationError>> {
        let done = self.outside(|effects| async move { effects.annotate(annotation).await }).await;
        let denied = || AnnotationError { reason: Reason::Denied, message: PURE.to_owned() };
        let done = done.unwrap_or_else(|| Err(denied()));
        self.count_denied(matches!(&done, Err(AnnotationError { reason: Reason::Denied, .. })));
        Ok(done)
    }
}
