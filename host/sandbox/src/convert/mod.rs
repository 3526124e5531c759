//! Between the contract's records and the model's.
//!
//! Nothing is lost and nothing is repaired on the way: what the contract does not allow is an error
//! that names the place. But texts that people read lose their escapes and control characters: they quote
//! the source, which is somebody else's.

mod facts;
mod health;
mod outcome;
mod plan;
mod rollout;
mod stage;

pub(crate) use facts::{context, detection, is_code, refusal, report};
pub(crate) use health::{
    check_migration, check_policy, migration, observation, policy, policy_to_guest, process,
    verdict,
};
pub use outcome::OUTPUTS_BYTES_MAX;
pub(crate) use outcome::{outcome, unusable};
pub(crate) use plan::{health_check_to_guest, plan};
pub(crate) use rollout::{rollout_decision, rollout_state};
pub(crate) use stage::{stage_facts, stage_input};
