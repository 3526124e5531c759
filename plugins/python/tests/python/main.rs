//! The Python plugin on folders, natively.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not there")]

mod conda;
mod detect;
mod plan;
mod ports;
mod samples;
mod start;
mod support;
