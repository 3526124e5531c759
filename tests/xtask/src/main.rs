//! `cargo xtask`: the tasks of this repository. Each does its own set-up.
//!
//! - `demo [--once]`: builds, starts Windlass, deploys a sample application, prints its address.
//! - `test [FILTER]`: every test on real parts, with a seeded sample of every long matrix.
//! - `soak`: the same, with every matrix in full.
//! - `bench`: the figures of `tests/bench/README.md`.
//! - `score FILE`: how far detection and start commands agree with labelled trees.
//! - `release-contract VERSION`: closes a version of the contract for ever.
//! - `build`: the binary and the bundled plugins, where `target/<profile>/windlass` finds them.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this program talks to a person")]

mod build;
mod contract;
mod demo;
mod process;
mod promises;
mod setup;
mod tests;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo xtask <command>

  demo [--once]   build, start Windlass, deploy a sample application and print its address;
                  --once checks the application and stops again
  test [FILTER]   run every test; long matrices are sampled (WINDLASS_TEST_SEED repeats a sample)
  soak            run every test, with every matrix in full
  bench [NAME]    measure, and print the table of tests/bench/README.md
  score FILE      compare detections and start commands with the labelled trees of FILE (JSON lines: id,
                  language, framework, start, files, manifests); prints the agreement per source and each
                  disagreement, and fails below 97 % of languages or 80 % of start commands; --only
                  LANGUAGE, --source SOURCE, --quiet, --json; with --none, the trees must match
                  nothing, or only what their field `expected` names
  build [--debug] build the binary and the bundled plugins
  release-contract VERSION
                  list the files of wit/VERSION as released, with components that are built from them; refused
                  where the version is released already
  setup           install what the other commands need, and nothing else
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn build(profile: build::Profile) -> Result<()> {
    setup::for_running()?;
    let binary = build::all(profile)?;
    println!("{}", binary.display());
    Ok(())
}

fn run(args: &[String]) -> Result<()> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["demo"] => demo::run(false),
        ["demo", "--once"] => demo::run(true),
        ["test", filter @ ..] => tests::run(tests::Extent::Sample, filter),
        ["soak", filter @ ..] => tests::run(tests::Extent::Full, filter),
        ["bench", names @ ..] => tests::bench(names),
        ["score", args @ ..] => tests::score(args),
        ["build"] => build(build::Profile::Release),
        ["build", "--debug"] => build(build::Profile::Debug),
        ["release-contract", version] => contract::release(version),
        ["setup"] => setup::all(),
        [] | ["help" | "-h" | "--help"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("there is no such command\n\n{USAGE}"),
    }
}
