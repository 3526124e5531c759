//! Detection and planning of a folder on this machine: no daemon, no root, no network.
//!
//! **Invariant: what is said here is what a deployment would do.** The plugins, the rule that chooses
//! ([`choose`]) and the settings are the same ones that the pipeline uses.

pub mod choose;

pub use choose::{Chosen, choose, require_builder};
