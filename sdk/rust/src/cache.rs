//! A small store that outlives deployments, of this plugin in this project. Needs the capability `cache`;
//! without it the cache is empty.

use serde::Serialize;
use serde::de::DeserializeOwned;

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

/// What [`put_json`] put under a key. `None` also where it does not read as a `T`: what another version of the plugin
/// left behind is nothing that is known.
///
/// ```
/// # use windlass_sdk::cache;
/// cache::put_json("seen/7", &[1, 2])?;
/// assert_eq!(cache::get_json("seen/7"), Some([1, 2]));
/// assert_eq!(cache::get_json::<String>("seen/7"), None);
/// # Ok::<(), cache::CacheError>(())
/// ```
pub fn get_json<T: DeserializeOwned>(key: &str) -> Option<T> {
    serde_json::from_slice(&get(key)?).ok()
}

/// Puts a value under a key, as JSON.
///
/// # Errors
/// See [`Reason`]; `invalid` also where the value is none that JSON can hold, such as a map whose keys are no texts.
pub fn put_json<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<(), CacheError> {
    let bytes = serde_json::to_vec(value).map_err(|error| CacheError {
        reason: Reason::Invalid,
        message: format!("the value for {key} cannot be written as JSON: {error}"),
    })?;
    put(key, &bytes)
}

/// Forgets a key.
///
/// # Errors
/// See [`Reason`].
pub fn delete(key: &str) -> Result<(), CacheError> {
    host::delete(key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Reason, get_json, put_json};
    use crate::mock::{self, Answers};

    #[test]
    fn values_are_kept_as_json_and_what_does_not_read_is_nothing() {
        let cache = BTreeMap::from([("old".to_owned(), b"{\"a\":".to_vec())]);
        let ((), done) = mock::with(Answers { cache, ..Answers::default() }, || {
            assert_eq!(get_json::<BTreeMap<String, u8>>("old"), None);
            put_json("list", &[1, 2]).unwrap();
            assert_eq!(get_json("list"), Some([1, 2]));
            assert_eq!(get_json::<String>("list"), None);
            assert_eq!(get_json::<String>("never"), None);
            let error = put_json("pairs", &BTreeMap::from([((1, 2), 3)])).unwrap_err();
            assert_eq!(error.reason, Reason::Invalid);
            assert!(error.message.contains("pairs"), "{}", error.message);
        });
        assert_eq!(done.cache["list"], b"[1,2]");
        assert!(!done.cache.contains_key("pairs"));
    }

    #[test]
    fn a_cache_that_is_not_granted_is_empty_and_says_so() {
        let cache = BTreeMap::from([("n".to_owned(), b"1".to_vec())]);
        let denied = ["cache".to_owned()].into();
        mock::with(Answers { cache, denied, ..Answers::default() }, || {
            assert_eq!(get_json::<u8>("n"), None);
            assert_eq!(put_json("n", &2).unwrap_err().reason, Reason::Denied);
        });
    }
}
