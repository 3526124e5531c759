//! Building a component with its language's own tools. Which language it is, its files say.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;
use windlass_model::Failure;
use windlass_model::author::{Built, Language};

use super::component::{self, DIST};
use super::tools::{self, Tool};
use crate::local;

/// What Rust components are built for.
const TARGET: &str = "wasm32-wasip2";
/// Room for what a plugin allocates, from the start: memory that grows in each call is changed in the kernel's tables
/// each time, under a lock that all calls at the same moment share. Cargo adds it to the flags that its files set.
const HEAP: &str = "target.wasm32-wasip2.rustflags=[\"-Clink-arg=--initial-heap=1048576\"]";
/// Where Python's packages of a plugin are.
const VENV: &str = ".venv";
/// Written there when all of them were installed.
const INSTALLED: &str = "windlass-installed";
/// What npm writes when all of a plugin's packages were installed.
const NPM_INSTALLED: &str = "node_modules/.package-lock.json";

/// Builds the plugin of a folder; its component is put into `dist/` there.
///
/// # Errors
/// `plugin.no-project`, `plugin.tool-missing`, `plugin.build-failed`.
pub fn build(folder: &Path) -> Result<Built, Failure> {
    let began = Instant::now();
    let language = language(folder)?;
    let mut commands = Vec::new();
    let component = match language {
        Language::Rust => rust(folder, &mut commands)?,
        Language::Js => js(folder, &mut commands)?,
        Language::Python => python(folder, &mut commands)?,
    };
    let bytes = component.metadata().map_or(0, |meta| meta.len());
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Built { language, component, bytes, commands, took_ms })
}

fn language(folder: &Path) -> Result<Language, Failure> {
    const SIGNS: [(&str, Language); 4] = [
        ("Cargo.toml", Language::Rust),
        ("package.json", Language::Js),
        ("pyproject.toml", Language::Python),
        ("requirements.txt", Language::Python),
    ];
    let found = SIGNS.iter().find(|(file, _)| folder.join(file).is_file());
    found.map(|(_, language)| *language).ok_or_else(|| {
        Failure::app(
            "plugin.no-project",
            format!("{} is no folder of a plugin", folder.display()),
            "there is no Cargo.toml, package.json, pyproject.toml or requirements.txt in it",
            "begin one with `windlass plugin new`, or name its folder",
        )
    })
}

fn rust(folder: &Path, commands: &mut Vec<String>) -> Result<PathBuf, Failure> {
    let mut cargo = Tool::Cargo.command(folder)?;
    require_target(folder)?;
    cargo.args(["build", "--release", "--target", TARGET, "--config", HEAP]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let said = tools::answer(&mut cargo, commands)?;
    let made = artifact(&said, folder).ok_or_else(|| {
        Failure::app(
            "plugin.build-failed",
            "the plugin does not build",
            "Cargo made no component: the package is no library of the kind `cdylib`",
            "add `[lib]` with `crate-type = [\"cdylib\", \"rlib\"]` to its Cargo.toml",
        )
    })?;
    placed(&made, folder)
}

/// Cargo's own message about a missing target names a crate called `core`; ours says what to do.
fn require_target(folder: &Path) -> Result<(), Failure> {
    let mut rustc = tools::in_folder(Path::new("rustc"), folder);
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    let Ok(output) = rustc.output() else { return Ok(()) };
    let library = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || Path::new(&library).is_dir() {
        return Ok(());
    }
    Err(tools::missing(
        format!("Rust cannot build for {TARGET}"),
        format!("{library} does not exist"),
        format!("`rustup target add {TARGET}`"),
    ))
}

/// The component that Cargo says it made of the package in this folder.
fn artifact(messages: &str, folder: &Path) -> Option<PathBuf> {
    let here = folder.join("Cargo.toml").canonicalize().ok()?;
    let is_ours = |message: &Value| {
        let manifest = message["manifest_path"].as_str().map(Path::new);
        manifest.and_then(|path| path.canonicalize().ok()).is_some_and(|path| path == here)
    };
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let made = messages.filter(|message| message["reason"] == "compiler-artifact");
    let files = made
        .filter(is_ours)
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default());
    let files = files.filter_map(|file| file.as_str().map(PathBuf::from));
    files.into_iter().find(|file| file.extension().is_some_and(|ending| ending == "wasm"))
}

/// Puts a component into `dist/`, under the name that its manifest gives it.
fn placed(made: &Path, folder: &Path) -> Result<PathBuf, Failure> {
    let name = match windlass_sandbox::inspect(made) {
        Ok(inspected) => inspected.info.manifest.name,
        // `check` says what is wrong with it.
        Err(_) => local::file_stem(made).replace('_', "-"),
    };
    let place = folder.join(DIST).join(format!("{name}.wasm"));
    let put = fs::create_dir_all(folder.join(DIST)).and_then(|()| fs::copy(made, &place));
    put.map_err(|e| component::not_written(&place, &e))?;
    Ok(place)
}

/// npm runs what the plugin's `package.json` calls `build`, with the packages that it names.
fn js(folder: &Path, commands: &mut Vec<String>) -> Result<PathBuf, Failure> {
    if is_older(&folder.join(NPM_INSTALLED), &folder.join("package.json")) {
        let mut npm = Tool::Npm.command(folder)?;
        tools::run(npm.args(["install", "--no-audit", "--no-fund"]), commands)?;
    }
    let mut npm = Tool::Npm.command(folder)?;
    tools::run(npm.args(["run", "build"]), commands)?;
    component::find(folder)
}

/// The packages go into an environment of the plugin's own, in which the SDK builds it.
fn python(folder: &Path, commands: &mut Vec<String>) -> Result<PathBuf, Failure> {
    let venv = folder.join(VENV);
    let project = ["requirements.txt", "pyproject.toml"].map(|file| folder.join(file));
    let wanted = if project[0].is_file() { &project[0] } else { &project[1] };
    let installed = venv.join(INSTALLED);
    if is_older(&installed, wanted) {
        let mut python = Tool::Python.command(folder)?;
        tools::run(python.args(["-m", "venv", VENV]), commands)?;
        let mut pip = tools::in_folder(&venv.join("bin/pip"), folder);
        pip.args(["install", "--quiet", "--disable-pip-version-check"]);
        if wanted == &project[0] {
            pip.args(["-r", "requirements.txt"]);
        } else {
            pip.arg(".");
        }
        tools::run(&mut pip, commands)?;
        // Where it cannot be written, the packages are installed again the next time.
        let _ = fs::write(installed, "");
    }
    let mut python = tools::in_folder(&venv.join("bin/python"), folder);
    tools::run(python.args(["-m", "windlass_plugin", "build"]), commands)?;
    component::find(folder)
}

/// Whether what was installed is missing, or older than what is asked for.
fn is_older(installed: &Path, asked_for: &Path) -> bool {
    let at = |path: &Path| path.metadata().and_then(|meta| meta.modified());
    match (at(installed), at(asked_for)) {
        (Ok(installed), Ok(asked_for)) => installed < asked_for,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_say_which_language_it_is() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(language(folder.path()).unwrap_err().code, "plugin.no-project");
        for (file, expected) in [
            ("requirements.txt", Language::Python),
            ("package.json", Language::Js),
            ("Cargo.toml", Language::Rust),
        ] {
            fs::write(folder.path().join(file), "").unwrap();
            assert_eq!(language(folder.path()).unwrap(), expected);
        }
    }

    #[test]
    fn the_component_is_that_of_the_package_and_not_of_a_dependency() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["mine", "other"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("Cargo.toml"), "").unwrap();
        }
        let message = |name: &str, files: &str| {
            let manifest = folder.path().join(name).join("Cargo.toml");
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":{manifest:?},"filenames":[{files}]}}"#
            )
        };
        let said = [
            message("other", "\"/t/other.wasm\""),
            "not json".to_owned(),
            message("mine", "\"/t/libmine.rlib\", \"/t/mine.wasm\""),
        ];
        let mine = folder.path().join("mine");
        assert_eq!(artifact(&said.join("\n"), &mine), Some(PathBuf::from("/t/mine.wasm")));
        assert_eq!(artifact(&said[0], &mine), None);
    }

    #[test]
    fn what_was_installed_before_it_was_asked_for_is_installed_again() {
        let folder = tempfile::tempdir().unwrap();
        let (installed, asked_for) = (folder.path().join("installed"), folder.path().join("asked"));
        fs::write(&asked_for, "").unwrap();
        assert!(is_older(&installed, &asked_for), "nothing was installed");
        let early = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000);
        fs::write(&installed, "").unwrap();
        let set =
            |path: &Path| fs::File::options().write(true).open(path).unwrap().set_modified(early);
        set(&asked_for).unwrap();
        assert!(!is_older(&installed, &asked_for));
        set(&installed).unwrap();
        fs::write(&asked_for, "changed").unwrap();
        assert!(is_older(&installed, &asked_for));
    }
}
