//! The plugin `scripts` on folders, natively.

mod detect;
mod plan;
mod samples;
mod support;
