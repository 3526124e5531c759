//! What the end-to-end tests and the measurements share: a real host of their own, and what looks at
//! it from outside.
//!
//! **Invariants**
//! - Everything here fails by panicking with a sentence that says what was waited for and what was
//!   seen: a test is the only caller.
//! - Nothing sleeps for a guessed time: every wait is for a condition, with a deadline.
//! - A [`TestHost`] that is dropped leaves nothing on the machine, also when its test panics.
//!
//! Reading order: [`host`], [`cli`], [`repo`], [`load`], [`leaks`]; [`adversaries`] for plugins that mean harm.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test says what it draws and what it saw")]

pub mod addresses;
pub mod adversaries;
pub mod cli;
mod code;
pub mod containerd_proxy;
pub mod docker;
pub mod git_server;
pub mod guest;
pub mod hooks;
pub mod host;
pub mod http;
pub mod https;
pub mod leaks;
pub mod load;
pub mod mutate;
pub mod names;
pub mod newcomer;
pub mod outside;
pub mod registry;
pub mod repo;
pub mod sample;
pub mod server;
pub mod smtp;
pub mod wait;

pub use cli::{CliOutput, Deployed};
pub use containerd_proxy::{ContainerdProxy, Fault};
pub use docker::PrivateDocker;
pub use host::{HostOptions, TestHost};
pub use http::{Connection, Request, Response};
pub use https::HttpsServer;
pub use leaks::Machine;
pub use load::{Load, LoadReport};
pub use names::NameServer;
pub use repo::GitRepo;
pub use server::{Asked, Server};
pub use smtp::{Mail, SmtpServer};
pub use wait::{until, wait_for};

use std::path::{Path, PathBuf};

/// The checkout's root.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Cargo's target directory.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| checkout().join("target"), PathBuf::from)
}

/// The folder of assembled bases that all hosts of all tests share.
pub fn bases_dir() -> PathBuf {
    target_dir().join("bases")
}

/// A sample application of `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    checkout().join("tests/fixtures").join(name)
}

/// The binary under test, with its plugins in `plugins` beside it.
///
/// # Panics
/// When it was not built.
pub fn binary() -> PathBuf {
    let binary = std::env::var_os("WINDLASS_BIN")
        .map_or_else(|| target_dir().join("debug/windlass"), PathBuf::from);
    let plugins = binary.with_file_name("plugins");
    assert!(
        binary.is_file() && plugins.is_dir(),
        "{} or its plugins are missing: run `cargo xtask build --debug` first",
        binary.display()
    );
    binary
}

/// A fresh folder with these files, by their paths in it.
pub fn folder_of(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// A fresh folder for a test, on the disk of the target directory.
pub fn scratch(name: &str) -> tempfile::TempDir {
    let parent = target_dir().join("tmp");
    std::fs::create_dir_all(&parent).unwrap();
    tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(parent).unwrap()
}
