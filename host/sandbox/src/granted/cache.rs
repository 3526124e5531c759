//! `windlass:cache`: a small store of the plugin's own.

use super::PURE;
use crate::bindings::cache::{CacheError, Host, Reason};
use crate::state::CallState;

fn denied() -> CacheError {
    CacheError { reason: Reason::Denied, message: PURE.to_owned() }
}

impl Host for CallState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        let found = self.outside(|effects| async move { effects.cached(key).await }).await;
        Ok(found.flatten())
    }

    async fn put(
        &mut self,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), CacheError>> {
        let done =
            self.outside(|effects| async move { effects.cache(key, Some(value)).await }).await;
        Ok(self.cache_said(done))
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), CacheError>> {
        let done = self.outside(|effects| async move { effects.cache(key, None).await }).await;
        Ok(self.cache_said(done))
    }
}

impl CallState {
    /// What the guest is told; a denial is counted.
    fn cache_said(&mut self, done: Option<Result<(), CacheError>>) -> Result<(), CacheError> {
        let done = done.unwrap_or_else(|| Err(denied()));
        self.count_denied(matches!(&done, Err(CacheError { reason: Reason::Denied, .. })));
        done
    }
}
