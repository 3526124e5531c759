//! Containers of Windlass: images, snapshots, tasks, networks, logs.
//!
//! **Invariant: this is the only crate that names containerd, netavark or nft.** Everything above it
//! speaks to the [`Runtime`] trait, which [`Engine`] implements on a real containerd and
//! [`fake::FakeRuntime`] in memory; one conformance suite (`tests/conformance.rs`) runs against both.
//!
//! Reading order: [`runtime`] (the trait and its plain data), [`engine`], [`network`], [`logs`].

mod boot;
mod cgroup;
mod client;
mod containers;
mod content;
pub mod doctor;
pub mod engine;
mod error;
mod exec;
pub mod fake;
mod files;
mod init;
pub mod leak;
mod leases;
pub mod logger;
pub mod logs;
mod mount;
pub mod network;
pub mod runtime;
mod scoped;
mod session;
mod shims;
pub mod signal;
mod snapshots;
pub mod spec;
mod spread;
mod tasks;
mod unlinked;
mod userdb;
mod userns;

pub use boot::boot_id;
pub use engine::{Config, Engine};
pub use error::{Result, RuntimeError};
pub use files::generated_paths;
pub use network::{Inside, KnownNetwork, known_networks, subnet_in_use};
pub use runtime::{ContainerSpec, Labels, Runtime};
pub use scoped::open_scoped;
pub use spread::spread_children;
