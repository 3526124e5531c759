//! Puts the SDKs, their templates and the contract into the binary: whoever has only that can begin a plugin.
//!
//! It writes a list of all files to `embedded.rs`; nothing is named one by one, so nothing is forgotten.

use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// What is taken, relative to the checkout.
const TAKEN: [&str; 9] = [
    "Cargo.toml",
    "LICENSE",
    "wit",
    "sdk/rust/Cargo.toml",
    "sdk/rust/src",
    "sdk/rust/template",
    "sdk/rust-macros",
    "sdk/javascript",
    "sdk/python",
];
/// What is of no use outside this repository.
const LEFT_OUT: [&str; 4] =
    ["sdk/javascript/scripts", "sdk/javascript/test", "sdk/python/build", "sdk/python/tests"];
/// What tools leave behind, wherever it lies.
const PASSED_OVER: [&str; 9] = [
    "target",
    "dist",
    "node_modules",
    ".venv",
    "__pycache__",
    ".pytest_cache",
    "Cargo.lock",
    "package-lock.json",
    ".npmrc",
];

fn main() -> io::Result<()> {
    let missing =
        |name: &str| io::Error::new(io::ErrorKind::NotFound, format!("{name} is not set"));
    let here =
        std::env::var_os("CARGO_MANIFEST_DIR").ok_or_else(|| missing("CARGO_MANIFEST_DIR"))?;
    let out = std::env::var_os("OUT_DIR").ok_or_else(|| missing("OUT_DIR"))?;
    let root = Path::new(&here).join("../..").canonicalize()?;
    let mut files = Vec::new();
    for path in TAKEN {
        let path = root.join(path);
        println!("cargo::rerun-if-changed={}", path.display());
        collect(&path, &mut files)?;
    }
    files.retain(|file| !LEFT_OUT.iter().any(|left_out| file.starts_with(root.join(left_out))));
    files.sort();
    let mut list = String::from("&[\n");
    for file in &files {
        let inside = file.strip_prefix(&root).map_err(io::Error::other)?;
        let executable = file.metadata()?.permissions().mode() & 0o100 != 0;
        writeln!(
            list,
            "    Embedded {{ path: {:?}, bytes: include_bytes!({:?}), executable: {executable} }},",
            inside.to_string_lossy(),
            file.to_string_lossy(),
        )
        .map_err(io::Error::other)?;
    }
    list.push_str("]\n");
    std::fs::write(Path::new(&out).join("embedded.rs"), list)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_passed_over = PASSED_OVER.contains(&name.as_str()) || name.ends_with(".egg-info");
    if is_passed_over || !path.exists() {
        return Ok(());
    }
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            collect(&entry?.path(), files)?;
        }
    } else if path.is_file() {
        files.push(path.to_owned());
    }
    Ok(())
}
