//! Compiles `init/main.rs`, the first process of instances, into a static program of its own.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=init/main.rs");
    let of = |name: &str| {
        std::env::var(name).unwrap_or_else(|error| panic!("cargo sets {name}: {error}"))
    };
    let program = PathBuf::from(of("OUT_DIR")).join("init");
    let mut rustc = Command::new(of("RUSTC"));
    rustc.args(["--edition", "2024", "--crate-name", "init", "--target", &of("TARGET")]);
    for option in ["target-feature=+crt-static", "opt-level=s", "panic=abort", "strip=symbols"] {
        rustc.args(["-C", option]);
    }
    rustc.arg("-o").arg(&program).arg("init/main.rs");
    let status = rustc.status().unwrap_or_else(|error| panic!("{rustc:?}: {error}"));
    assert!(
        status.success(),
        "{rustc:?} ended with {status}: a static program needs the static C library \
         (Debian's libc6-dev)"
    );
}
