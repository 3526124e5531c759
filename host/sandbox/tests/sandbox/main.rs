//! The sandbox against a real component that misbehaves on request: `sdk/rust/guests/adversary`.
//!
//! Each test has its own cache and its own source; the component is built once.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that is not as it should be"
)]

mod adversaries;
mod caches;
mod custom;
mod faults;
mod fuzz;
mod loading;
mod sights;
mod stages;
mod support;
mod time;
