//! Webhooks: a push or a pull request becomes a deployment, or nothing, and one can see which and why.
//!
//! ```text
//! sender → signature → payload → receive: stored, answered → work → deployment → status → sender
//!                                                              └──→ preview, its end
//! ```
//!
//! **Invariants**
//! - Nothing of a body is read before its signature has passed; nothing of a payload decides where
//!   source is fetched from: that is the project's own repository.
//! - What was answered as pending is done, also after `kill -9`, and leads to one deployment, not two.
//! - A delivery that came before is refused, also after a restart.
//! - Every delivery is kept with its verdict and the reason. A webhook never silently does nothing.
//! - A commit status never delays or fails a deployment.
//!
//! Reading order: [`signature`], [`payload`], [`decide`], [`receive`], [`work`], [`preview`],
//! [`removal`], [`status`].

use std::sync::Arc;

use crate::host::Host;

pub(crate) mod decide;
mod paths;
mod payload;
pub(crate) mod preview;
pub(crate) mod receive;
pub(crate) mod removal;
pub(crate) mod signature;
mod status;
mod work;

#[cfg(test)]
mod door_tests;
#[cfg(test)]
mod tests;

/// All background work around webhooks, until the host stops.
pub(crate) async fn run(host: Arc<Host>) {
    tokio::join!(work::run(host.clone()), removal::run(host.clone()), status::run(host));
}
