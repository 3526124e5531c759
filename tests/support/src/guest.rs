//! The plugin that misbehaves on request: `sdk/rust/guests/adversary`.

use std::path::PathBuf;
use std::process::Command;

use crate::{checkout, target_dir};

/// Name that the plugin has in answers and failures.
pub const NAME: &str = "test-guest";

/// Builds the component and returns its file.
///
/// # Panics
/// When it does not build.
pub fn component() -> PathBuf {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--package", "windlass-test-guest"])
        .args(["--target", "wasm32-wasip2", "--profile", "plugin", "--target-dir"])
        .arg(target_dir())
        .current_dir(checkout());
    // What cargo set for this test must not make the guest be built anew each time.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let sets = text.starts_with("CARGO_") || text.starts_with("NEXTEST") || text == "RUSTFLAGS";
        if sets && text != "CARGO_HOME" {
            cargo.env_remove(&name);
        }
    }
    assert!(cargo.status().unwrap().success(), "the guest does not build");
    target_dir().join("wasm32-wasip2/plugin/windlass_test_guest.wasm")
}
