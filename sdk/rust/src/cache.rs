//! A small store that outlives deployments, of this plugin in this project. Needs the capability `cache`;
//! without it the cache is empty.

#[cfg(target_arch = "wasm32")]
use crate::bindings::custom::windlass::cache::cache as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::mock as host;

pub use crate::bindings::custom::windlass::cache::cache::{CacheError, Reason};

/// What was put under a key, unless it has gone since.
pub fn get(key: &str) -> Option<Vec<u8>> {
    host::get(key)
}

/// Puts a value under a key.
///
/// # Errors
/// See [`Reason`].
pub fn put(key: &str, value: &[u8]) -> Result<(), CacheError> {
    host::put(key, value)
}

/// Forgets a key.
///
/// # Errors
/// See [`Reason`].
pub fn delete(key: &str) -> Result<(), CacheError> {
    host::delete(key)
}
