//! Builds the binary and the bundled plugins, and puts the plugins beside the binary.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::process::{self, cargo, target_dir};

pub(crate) const WASM_TARGET: &str = "wasm32-wasip2";

/// The bundled plugins: their crates' names, and the files' names without an ending.
pub(crate) const PLUGINS: [&str; 22] = [
    "node",
    "deno",
    "python",
    "go",
    "rust",
    "ruby",
    "php",
    "jvm",
    "dotnet",
    "beam",
    "native",
    "scripts",
    "static",
    "dockerfile",
    "migrate",
    "health",
    "notify",
    "sourcemaps",
    "cron",
    "sbom",
    "screenshot",
    "vulnerabilities",
];

/// How the binary is built. Plugins are always optimised for size.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Profile {
    Debug,
    Release,
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

/// Builds all of it and returns the binary's path.
pub(crate) fn all(profile: Profile) -> Result<PathBuf> {
    with(profile, &["--package", "windlass"])
}

/// The same together with the tests, so that dependencies are compiled once: with the features that both need.
pub(crate) fn with_tests() -> Result<PathBuf> {
    with(Profile::Debug, &["--workspace", "--exclude", "windlass-bench", "--bins", "--tests"])
}

/// The same together with what measures, for release; both paths.
pub(crate) fn with_bench() -> Result<(PathBuf, PathBuf)> {
    let binary = with(Profile::Release, &["--package", "windlass", "--package", "windlass-bench"])?;
    let bench = binary.with_file_name("windlass-bench");
    Ok((binary, bench))
}

fn with(profile: Profile, what: &[&str]) -> Result<PathBuf> {
    let mut command = cargo();
    command.arg("build").args(what);
    if let Profile::Release = profile {
        command.arg("--release");
    }
    process::run(&mut command)?;
    plugins(profile)?;
    Ok(target_dir().join(profile.folder()).join("windlass"))
}

fn plugins(profile: Profile) -> Result<()> {
    let mut command = cargo();
    command.args(["build", "--profile", "plugin", "--target", WASM_TARGET]);
    for plugin in PLUGINS {
        command.args(["--package", &format!("windlass-plugin-{plugin}")]);
    }
    process::run(&mut command)?;
    let built = target_dir().join(WASM_TARGET).join("plugin");
    let beside = target_dir().join(profile.folder()).join("plugins");
    std::fs::create_dir_all(&beside).with_context(|| beside.display().to_string())?;
    for plugin in PLUGINS {
        let from = built.join(format!("windlass_plugin_{plugin}.wasm"));
        let to = beside.join(format!("{plugin}.wasm"));
        // Under another name first: a host that runs never sees half a file.
        let half = beside.join(format!(".{plugin}.wasm.new"));
        std::fs::copy(&from, &half).with_context(|| format!("copying {}", from.display()))?;
        std::fs::rename(&half, &to).with_context(|| format!("renaming to {}", to.display()))?;
    }
    Ok(())
}
