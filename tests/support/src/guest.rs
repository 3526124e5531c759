//! The plugin that misbehaves on request: `sdk/rust/guests/adversary`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::{checkout, target_dir};

/// Name that the plugin has in answers and failures.
pub const NAME: &str = "test-guest";

/// Name of the plugin with custom stages at every hook, `sdk/rust/guests/stages`.
pub const STAGES: &str = "test-stages";

/// The component's file, built on first use; other test processes wait for the one that builds.
///
/// # Panics
/// When it does not build.
pub fn component() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("windlass-test-guest")).clone()
}

/// The same of the plugin with custom stages.
///
/// # Panics
/// When it does not build.
pub fn stages() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("windlass-test-stages")).clone()
}

fn built(package: &str) -> PathBuf {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--package", package])
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
    assert!(cargo.status().unwrap().success(), "{package} does not build");
    let file = format!("wasm32-wasip2/plugin/{}.wasm", package.replace('-', "_"));
    target_dir().join(file)
}
