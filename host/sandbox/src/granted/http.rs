//! `windlass:http`: requests.

use super::PURE;
use crate::bindings::http::{Host, HttpError, Reason, Request, Response};
use crate::state::CallState;

impl Host for CallState {
    async fn fetch(&mut self, request: Request) -> wasmtime::Result<Result<Response, HttpError>> {
        self.asked.http += 1;
        let answer = self.outside(|effects| async move { effects.fetch(request).await }).await;
        let denied = || HttpError { reason: Reason::Denied, message: PURE.to_owned() };
        let answer = answer.unwrap_or_else(|| Err(denied()));
        self.count_denied(matches!(&answer, Err(HttpError { reason: Reason::Denied, .. })));
        Ok(answer)
    }
}
