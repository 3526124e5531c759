//! Runs plugins: loads components, compiles them in a limited child, and makes one call at a time
//! in a fresh instance with limits on everything.
//!
//! **Invariants.** This is the only crate that names wasmtime. A guest gets no environment, no
//! arguments, no sockets, no clock that moves and no randomness; of files it sees the source, read
//! only. Whatever a guest does, the host is unharmed, the fault is named as the plugin's, and there
//! is a report. Code is only ever mapped from files that this crate wrote itself.
//!
//! Reading order: [`Sandbox`], `plugin` (what is loaded), `call` (one call), `limits` and `times` (what it may
//! use and has used), `source` (what it sees), `versions` (which interfaces it may name), `exports` (what it is asked),
//! `compiled` and `answers` (the two caches).

#[cfg(test)]
mod adapters;
mod answers;
mod bindings;
mod call;
mod compiled;
mod convert;
mod custom;
mod engine;
mod exports;
mod fault;
mod globs;
mod granted;
mod images;
mod inspect;
mod known;
mod limits;
mod log;
mod plugin;
mod sandbox;
mod smoke;
mod source;
mod stages;
mod state;
mod streams;
mod text;
mod times;
mod versions;

pub use call::{Call, Observer};
pub use compiled::{CompileError, compile_main};
pub use convert::OUTPUTS_BYTES_MAX;
pub use custom::CustomCall;
pub use fault::{Limit, LoadError, LoadProblem, PluginFault};
pub use granted::{Effects, Process, contract};
pub use images::{ImageConfig, ImageError, ImageLookup, NotAsked};
pub use inspect::{Inspected, inspect, speaks};
pub use log::{LogEntry, LogLevel};
pub use plugin::Plugin;
pub use sandbox::{Sandbox, SandboxConfig};
pub use source::{Source, SourceError};
pub use stages::OBSERVATIONS_MAX;
