//! The plugin `rust` on folders, natively.

mod detect;
mod plan;
mod samples;
mod support;
