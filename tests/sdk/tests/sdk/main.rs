//! Plugins in JavaScript and Python: the SDKs follow the contract, their own tests pass, and the components
//! that they build answer in the host's sandbox, both the same. And components that were built from earlier
//! releases of the contract answer as they did then.
//!
//! Everything is built as an author builds it, with npm and pip, from copies of the SDKs: nothing is written
//! into the checkout.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that is not as it should be"
)]

mod bench;
mod golden;
mod javascript;
mod python;
mod templates;
mod workshop;
