//! Copies by the rules of container build files: what is picked, and how it is put into a root.
//!
//! **Invariant: nothing is read or written outside of the two roots.**

mod pattern;
mod pick;
mod put;
mod taken;

pub(crate) use pattern::{BadPattern, Rules};
pub(crate) use pick::{Pick, PickError, Picker};
pub(crate) use put::{Putting, lay_over};
pub(crate) use taken::digest as digest_of_taken;
