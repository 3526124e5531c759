//! Idempotency keys of requests that make deployments: a request that is sent again, because its answer
//! was lost, is answered with what the first one made.
//!
//! **Invariant: a known key is looked at before anything else is**, because what was asked for may not
//! be possible any more: a rollback cannot be asked for again when it is live.

use std::sync::Arc;

use serde::Serialize;
use windlass_model::api::DeploymentView;
use windlass_model::{Digest, Failure, ProjectName};
use windlass_store::{Created, Idempotency};

use super::{deployments, stored};
use crate::host::Host;

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// A key and what is asked for under it. `what` is everything that tells one request from another.
///
/// # Errors
/// `idempotency.key-invalid`.
pub fn key(key: &str, what: &impl Serialize) -> Result<Idempotency, Failure> {
    let fits = |key: &str| key.bytes().all(|byte| byte.is_ascii_graphic());
    if !(1..=KEY_BYTES_MAX).contains(&key.len()) || !fits(key) {
        return Err(Failure::app(
            "idempotency.key-invalid",
            "the idempotency key cannot be used",
            format!("it must have 1 to {KEY_BYTES_MAX} visible ASCII characters"),
            "use a fresh random one for each deployment, for instance a UUID",
        ));
    }
    Ok(Idempotency { key: key.to_owned(), fingerprint: Digest::of_json(what) })
}

/// What the first request with this key made, if there was one.
///
/// # Errors
/// `idempotency.key-reused`, `idempotency.deployment-gone`.
pub async fn answered_before(
    host: &Arc<Host>,
    project: &ProjectName,
    once: Option<&Idempotency>,
) -> Result<Option<DeploymentView>, Failure> {
    let used = once.map(|once| host.store.idempotency_key_used(project, once)).transpose();
    match used.map_err(stored)?.flatten() {
        Some(created) => Box::pin(answer(host, created)).await.map(Some),
        None => Ok(None),
    }
}

/// What was made, as it is shown.
pub(super) async fn answer(host: &Arc<Host>, created: Created) -> Result<DeploymentView, Failure> {
    match created {
        Created::New(made) => deployments::show(host, made.value).await,
        Created::Replayed(made) => {
            let view = deployments::show(host, made.value).await?;
            Ok(DeploymentView { replayed: true, ..view })
        }
        Created::KeyReused { number } => Err(Failure::app(
            "idempotency.key-reused",
            "the idempotency key was used for another request",
            format!("that request made deployment #{number}, and this one asks for something else"),
            "use a fresh key for each deployment; send a request again with its own key only",
        )),
        Created::Gone { number } => Err(Failure::app(
            "idempotency.deployment-gone",
            format!("the deployment #{number} that this key made has left the history"),
            "it was made and pruned since; it is not made a second time",
            "`windlass deployments` shows what is kept; use a fresh key for a new deployment",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_text_of_bounded_length() {
        for bad in ["", "with space", "ä", &"x".repeat(256)] {
            assert_eq!(key(bad, &1).unwrap_err().code, "idempotency.key-invalid", "{bad:?}");
        }
        assert_ne!(key("k", &1).unwrap(), key("k", &2).unwrap());
    }
}
