//! The plugin on folders, natively.

mod detect;
mod plan;
mod support;
