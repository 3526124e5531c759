//! The nouns of Windlass, as plain data.
//!
//! **Invariant: this crate does no I/O and knows no runtime.** It names no tokio, sled, wasmtime or
//! containerd, so every other crate, the command line included, can depend on it.
//!
//! Reading order: [`id`], [`deployment`], [`plan`], [`failure`], [`settings`], [`api`].

pub mod access;
pub mod ahead;
pub mod ansi;
pub mod api;
pub mod audit;
pub mod author;
pub mod build;
pub mod changes;
pub mod cron;
pub mod deployment;
pub mod destination;
pub mod disk;
pub mod event;
pub mod failure;
pub mod hooks;
pub mod id;
pub mod image;
pub mod limits;
pub mod log;
pub mod network;
pub mod plan;
pub mod plugin;
pub mod project;
pub mod queue;
pub mod recovery;
pub mod running;
pub mod schedule;
pub mod secret;
pub mod session;
pub mod settings;
pub mod source;
pub mod spelling;
pub mod stage;
pub mod stats;
pub mod variable;
pub mod webhook;

pub use deployment::{Deployment, DeploymentStatus, Source, Step, StepName, StepStatus};
pub use failure::Failure;
pub use id::{DeploymentId, Digest, EnvironmentName, HostId, ProjectName};
pub use jiff::Timestamp;
pub use limits::Limits;
pub use log::{Dropped, LogLine, StoredLine, Stream};
pub use secret::Secret;
