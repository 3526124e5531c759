//! Containers of Windlass: images, snapshots, tasks, networks, logs.
//!
//! **Invariant: this is the only crate that names containerd, netavark or nft.** Everything above it
//! speaks to the [`Runtime`] trait, which [`Engine`] implements on a real containerd and
//! [`fake::FakeRuntime`] in memory; one conformance suite (`tests/conformance.rs`) runs against both.
//!
//! Reading order: [`runtime`] (the trait and its plain data), [`engine`], [`network`], [`logs`].

pub mod runtime;
mod error;
pub mod engine;
mod client;
mod leases;
mod content;
mod snapshots;
mod mount;
mod containers;
mod tasks;
mod exec;
mod files;
mod userdb;
mod cgroup;
pub mod network;
pub mod spec;
pub mod logger;
pub mod logs;
pub mod doctor;
pub mod leak;
pub mod fake;

pub use engine::{Config, Engine};
pub use error::{Result, RuntimeError};
pub use network::subnet_in_use;
pub use runtime::{ContainerSpec, Labels, Runtime};
