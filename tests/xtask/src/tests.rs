//! `test`, `soak` and `bench`.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::build;
use crate::process::{self, cargo};
use crate::setup;

/// How much of each long matrix is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A seeded sample.
    Sample,
    /// All of it.
    Full,
}

/// Runs the tests: first those that need no host, then the end-to-end tests.
pub(crate) fn run(extent: Extent, filter: &[&str]) -> Result<()> {
    setup::all()?;
    let binary = build::with_tests()?;
    let seed = std::env::var("WINDLASS_TEST_SEED").unwrap_or_else(|_| fresh_seed());
    println!("seed of the sampled matrices: WINDLASS_TEST_SEED={seed}");
    let mut command = runner(extent);
    command
        .args(["--workspace", "--exclude", "windlass-bench"])
        .args(filter)
        .env("WINDLASS_BIN", &binary)
        .env("WINDLASS_TEST_SEED", seed)
        .env("WINDLASS_TEST_EXTENT", if extent == Extent::Full { "full" } else { "sample" });
    process::run(&mut command)
}

/// Measures, with everything built for release.
pub(crate) fn bench(names: &[&str]) -> Result<()> {
    setup::all()?;
    let (binary, bench) = build::with_bench()?;
    process::run(Command::new(bench).args(names).env("WINDLASS_BIN", binary))
}

/// Compares what the bundled plugins say with labelled trees. It needs no host, so it needs no set-up.
pub(crate) fn score(args: &[&str]) -> Result<()> {
    let mut command = cargo();
    // The paths are as the person wrote them, from where the person is.
    command.current_dir(std::env::current_dir()?);
    command.args(["run", "--quiet", "--package", "windlass-score", "--manifest-path"]);
    command.arg(process::root().join("Cargo.toml")).arg("--").args(args);
    process::run(&mut command)
}

/// `cargo nextest` where it is installed, else `cargo test`: both print a summary at the end. The profile
/// `soak` gives a test hours.
fn runner(extent: Extent) -> Command {
    let mut command = cargo();
    let nextest = cargo().args(["nextest", "--version"]).output();
    if nextest.is_ok_and(|output| output.status.success()) {
        command.args(["nextest", "run", "--no-fail-fast"]);
        if extent == Extent::Full {
            command.args(["--profile", "soak"]);
        }
    } else {
        command.args(["test", "--no-fail-fast"]);
    }
    command
}

fn fresh_seed() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now.as_nanos() % 1_000_000_007).to_string()
}
