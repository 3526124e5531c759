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
        Ok(done.unwrap_or_else(|| Err(denied())))
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), CacheError>> {
        let done = self.outside(|effects| async move { effects.cache(key, None).await }).await;
        Ok(done.unwrap_or_else(|| Err(denied())))
    }
}
