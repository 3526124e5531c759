//! Who asks, what they may do, and what they did.
//!
//! **Invariants**
//! - Every request but those to open routes is by a [`Caller`], known by its token before anything else
//!   of the request is looked at.
//! - A caller that is limited to projects finds nothing of the others: what is there and may not be seen
//!   is answered exactly as what is not there.
//! - Every request that changes something, and every one that was refused it, is a line of the audit log
//!   before it is carried out.
//!
//! Reading order: [`caller`], [`tokens`], `throttle`, [`audit`], [`key`]; the guard of `api` puts them together.

pub mod audit;
pub mod caller;
mod file;
pub mod key;
pub(crate) mod throttle;
pub mod tokens;

use std::path::Path;
use std::sync::{PoisonError, RwLock};

use windlass_model::{Failure, Limits};

pub use caller::Caller;
pub use file::{AdminToken, TOKEN_FILE, load_or_create};

use audit::Audit;
use throttle::Throttle;

/// What the API needs to know of tokens and to write down.
pub struct Access {
    admin: RwLock<AdminToken>,
    failures: Throttle,
    pub(crate) refusals: Throttle,
    uses: tokens::Uses,
    pub(crate) audit: Audit,
}

impl Access {
    /// The admin token and the audit log of a data directory, both made when missing. Blocks.
    ///
    /// # Errors
    /// `serve.token-permissions`, `serve.token-file`, `serve.audit-log`.
    pub fn open(data_dir: &Path, limits: &Limits) -> Result<Self, Failure> {
        let admin = load_or_create(data_dir)?;
        Ok(Self::new(admin, Audit::open(data_dir, &limits.access)?, limits))
    }

    pub(crate) fn new(admin: AdminToken, audit: Audit, limits: &Limits) -> Self {
        Self {
            admin: RwLock::new(admin),
            failures: Throttle::new(limits.access.failures_per_minute_max),
            refusals: Throttle::new(limits.access.refusals_logged_per_minute_max),
            uses: tokens::Uses::default(),
            audit,
        }
    }

    fn admin(&self) -> AdminToken {
        self.admin.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_admin(&self, admin: AdminToken) {
        *self.admin.write().unwrap_or_else(PoisonError::into_inner) = admin;
    }
}

/// A token of some randomness.
#[cfg(test)]
pub(crate) fn generate_token() -> windlass_model::access::TokenText {
    file::generate(None).unwrap()
}
