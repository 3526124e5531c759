//! What a fresh Debian 12 lacks: packages and the plugins' compilation target.
//!
//! **Invariant: nothing is ever removed or replaced.** A part that is there under its program's name
//! counts as present, whoever installed it: another distribution of containers brings its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// A Debian package, and the files of which one shows that it (or a substitute) is there; `python3 NAME` is a
/// module of Python.
struct Package {
    name: &'static str,
    programs: &'static [&'static str],
}

const NEEDED: [Package; 10] = [
    Package { name: "protobuf-compiler", programs: &["protoc"] },
    Package { name: "containerd", programs: &["containerd"] },
    Package { name: "runc", programs: &["runc"] },
    Package { name: "netavark", programs: &["/usr/lib/podman/netavark", "netavark"] },
    Package { name: "aardvark-dns", programs: &["/usr/lib/podman/aardvark-dns", "aardvark-dns"] },
    Package { name: "nftables", programs: &["nft"] },
    Package { name: "iptables", programs: &["iptables"] },
    Package { name: "iproute2", programs: &["ip"] },
    Package { name: "mmdebstrap", programs: &["mmdebstrap"] },
    Package { name: "git", programs: &["git"] },
];

/// What the tests need beside it.
const NEEDED_FOR_TESTS: [Package; 10] = [
    Package { name: "docker-registry", programs: &["docker-registry"] },
    Package { name: "skopeo", programs: &["skopeo"] },
    // The peer that Dockerfiles are compared with: the daemon, and the client that is made for it.
    Package { name: "docker.io", programs: &["/usr/sbin/dockerd"] },
    Package { name: "zstd", programs: &["zstd"] },
    Package { name: "openssh-server", programs: &["sshd"] },
    Package { name: "busybox-static", programs: &["busybox"] },
    Package { name: "curl", programs: &["curl"] },
    // The module itself: without its package `python3 -m venv` is there and fails.
    Package { name: "python3-venv", programs: &["python3 ensurepip"] },
    // Plugins in JavaScript are built with them.
    Package { name: "nodejs", programs: &["node"] },
    Package { name: "npm", programs: &["npm"] },
];

const WASM_TARGET: &str = "wasm32-wasip2";

/// Everything that building, running and testing need.
pub(crate) fn all() -> Result<()> {
    for_running()?;
    install(&NEEDED_FOR_TESTS)
}

/// What building and running need.
pub(crate) fn for_running() -> Result<()> {
    install(&NEEDED)?;
    add_target()
}

fn install(packages: &[Package]) -> Result<()> {
    let absent: Vec<&str> =
        packages.iter().filter(|package| !present(package)).map(|package| package.name).collect();
    if absent.is_empty() {
        return Ok(());
    }
    println!("These Debian packages are absent and will be installed:\n  {}", absent.join(" "));
    if !is_root()? {
        bail!(
            "installing packages needs root: run this command as root, or run `apt-get install {}`",
            absent.join(" ")
        );
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    process::run(apt().args(["update", "-qq"]))?;
    process::run(
        apt()
            .args([
                "install",
                "-y",
                "-qq",
                "--no-install-recommends",
                "--no-remove",
                "--no-upgrade",
            ])
            .args(&absent),
    )
}

fn present(package: &Package) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin".into(), "/sbin".into(), "/usr/local/sbin".into()]);
    let found = |program: &str| match program.split_once(' ') {
        Some((python, module)) => has_module(python, module),
        None if program.starts_with('/') => Path::new(program).exists(),
        None => folders.iter().any(|folder| folder.join(program).is_file()),
    };
    package.programs.iter().any(|program| found(program))
}

/// Whether a Python has a module.
fn has_module(python: &str, module: &str) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", &format!("import {module}")]).stderr(std::process::Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn is_root() -> Result<bool> {
    Ok(process::output(Command::new("id").arg("-u"))?.trim() == "0")
}

fn add_target() -> Result<()> {
    let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib").join(WASM_TARGET);
    if library.is_dir() {
        return Ok(());
    }
    println!("The Rust target {WASM_TARGET} is absent and will be added, for the plugins.");
    process::run(Command::new("rustup").args(["target", "add", WASM_TARGET]))
}
