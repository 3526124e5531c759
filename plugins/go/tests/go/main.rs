//! The plugin `go` on folders, natively.

mod detect;
mod plan;
mod samples;
mod support;
