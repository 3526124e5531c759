//! The sandbox against a real component that misbehaves on request: `sdk/rust/guests/adversary`.
//!
//! Each test has its own cache and its own source; the component is built once.

mod caches;
mod faults;
mod loading;
mod sights;
mod stages;
mod support;
