//! Releases of the contract: which files belong to one, and that none of them ever changes.
//!
//! A release is a folder below `wit/` that is named after its version, with the components that were built from it
//! below `tests/golden/`. `wit/RELEASED` lists the digests of both, as `sha256sum` writes them.
//!
//! **Invariant: what is listed stays.** Nothing here changes a line of the list or a file that it names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};

use crate::build::{self, Profile, WASM_TARGET};
use crate::process::{self, cargo, root, target_dir};
use crate::setup;

/// The list, from the root.
const LIST: &str = "wit/RELEASED";
/// Where releases and what was built from them lie, each in a folder that is named after its version.
const FOLDERS: [&str; 2] = ["wit", "tests/golden"];
/// The stages, for each of which a template is built.
const STAGES: [&str; 6] = ["detector", "builder", "migrator", "health", "rollout", "custom"];
/// The plugin of the tests that uses every interface which must be granted.
const GRANTED: &str = "sdk/rust/guests/stages";
/// A component that is kept for ever is not larger than this.
const GOLDEN_BYTES_MAX: u64 = 400_000;

/// Digests by path from the root.
type Listed = BTreeMap<String, String>;

/// Releases a version of the contract: builds its golden components and lists all of its files. Refused where the
/// version is released already.
pub(crate) fn release(version: &str) -> Result<()> {
    ensure!(is_version(version), "{version:?} is no version such as 1.1.0");
    let root = root();
    let wit = root.join("wit").join(version);
    ensure!(wit.is_dir(), "there is no {}: write the files of the release first", wit.display());
    let mut listed = list(&root)?;
    let golden = root.join("tests/golden").join(version);
    let is_released = listed.keys().any(|path| version_of(path) == Some(version));
    if is_released || golden.exists() {
        bail!(
            "{version} is released, and a released file never changes: describe what is new as another version, \
             in {}/NEW with the packages that change under a new version (host/decisions/0012)",
            root.join("wit").display()
        );
    }
    let problems = problems(&root, &history(&root)?)?;
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    setup::for_running()?;
    let made = goldens(version)?;
    fs::create_dir_all(golden.parent().unwrap_or(&root))?;
    // Only what is whole gets its place.
    copy(&made, &golden)?;
    for path in files_of(&root, version)? {
        let digest = digest(&root.join(&path))?;
        listed.insert(path, digest);
    }
    let lines = listed.iter().map(|(path, digest)| format!("{digest}  {path}\n"));
    fs::write(root.join(LIST), lines.collect::<String>())?;
    println!("{version} is released: commit {LIST} and {}", golden.display());
    Ok(())
}

/// Builds the components of a version with the SDK of this tree and asks them about their fixtures; the folder
/// with one folder for each.
fn goldens(version: &str) -> Result<PathBuf> {
    let windlass = build::all(Profile::Debug)?;
    let work = target_dir().join("golden").join(version);
    let (sources, made) = (work.join("sources"), work.join("made"));
    for folder in [&sources, &made] {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
    }
    let built = work.join("target");
    let flags = without_paths(&work)?;
    let run = |command: &mut Command| {
        // They share what they are built of.
        process::run(command.env("CARGO_TARGET_DIR", &built).env("CARGO_ENCODED_RUSTFLAGS", &flags))
    };
    let ask = |args: &[&str], at: &Path| {
        run(Command::new(&windlass).args(["plugin"]).args(args).arg(at).current_dir(root()))
    };
    let sdk = root();
    for stage in STAGES {
        let (name, folder) = (format!("golden-{stage}"), sources.join(stage));
        let new = ["new", &name, "--stage", stage, "--sdk-path", path_text(&sdk)?, "--folder"];
        ask(&new, &folder)?;
        ask(&["build"], &folder)?;
        keep(
            &folder.join(format!("dist/{name}.wasm")),
            &folder.join("fixtures"),
            &made.join(stage),
        )?;
    }
    run(cargo()
        .args(["build", "--profile", "plugin", "--target", WASM_TARGET])
        .args(["--package", "windlass-test-stages"]))?;
    let granted = built.join(WASM_TARGET).join("plugin/windlass_test_stages.wasm");
    keep(&granted, &root().join(GRANTED).join("fixtures"), &made.join("granted"))?;
    for name in STAGES.iter().chain(&["granted"]) {
        ask(&["test"], &made.join(name).join("plugin.wasm"))?;
    }
    Ok(made)
}

/// Flags of the compiler, in Cargo's encoding, with which no path of this machine gets into what is kept.
fn without_paths(work: &Path) -> Result<String> {
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    );
    // Of several that fit the last one counts.
    let prefixes = [(home.as_path(), "cargo"), (&root(), "windlass"), (work, "golden")]
        .map(|(path, name)| Ok(format!("--remap-path-prefix={}={name}", path_text(path)?)));
    Ok(prefixes.into_iter().collect::<Result<Vec<_>>>()?.join("\u{1f}"))
}

/// Puts a component and what it is asked into a folder.
fn keep(component: &Path, fixtures: &Path, to: &Path) -> Result<()> {
    let bytes = fs::metadata(component).with_context(|| component.display().to_string())?.len();
    ensure!(
        bytes <= GOLDEN_BYTES_MAX,
        "{} has {bytes} bytes, more than the {GOLDEN_BYTES_MAX} of a file that stays in the history for ever",
        component.display()
    );
    fs::create_dir_all(to)?;
    fs::copy(component, to.join("plugin.wasm"))?;
    copy(fixtures, &to.join("fixtures"))
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is no text", path.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, target)?;
        }
    }
    Ok(())
}

/// What is wrong with the releases of a tree: a file that was changed, is gone or was added, and a list that says
/// something else than it did in an earlier commit.
fn problems(root: &Path, history: &[(String, Listed)]) -> Result<Vec<String>> {
    let listed = list(root)?;
    let mut problems = Vec::new();
    for (path, wanted) in &listed {
        if !root.join(path).is_file() {
            problems.push(format!("{path} was released and is gone"));
        } else if digest(&root.join(path))? != *wanted {
            problems.push(format!("{path} was released and was changed"));
        }
    }
    let mut versions: Vec<&str> = listed.keys().filter_map(|path| version_of(path)).collect();
    versions.sort_unstable();
    versions.dedup();
    for version in versions {
        let added = files_of(root, version)?.into_iter().filter(|path| !listed.contains_key(path));
        problems.extend(added.map(|path| format!("{path} was added to the release {version}")));
    }
    for (commit, earlier) in history {
        for (path, digest) in
            earlier.iter().filter(|(path, digest)| listed.get(*path) != Some(digest))
        {
            problems
                .push(format!("{LIST} had {path} with {digest} in {commit}, and has not any more"));
        }
    }
    Ok(problems)
}

/// The files of a release, by their paths from the root.
fn files_of(root: &Path, version: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        below(root, &root.join(folder).join(version), &mut found)?;
    }
    found.sort();
    Ok(found)
}

fn below(root: &Path, folder: &Path, found: &mut Vec<String>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            below(root, &path, found)?;
        } else {
            found.push(path_text(path.strip_prefix(root)?)?.to_owned());
        }
    }
    Ok(())
}

/// The list of a tree; empty where nothing is released.
fn list(root: &Path) -> Result<Listed> {
    let file = root.join(LIST);
    if !file.is_file() {
        return Ok(Listed::new());
    }
    read(&fs::read_to_string(file)?)
}

fn read(text: &str) -> Result<Listed> {
    let line = |line: &str| {
        let (digest, path) = line.split_once("  ").with_context(|| format!("{LIST}: {line:?}"))?;
        Ok((path.to_owned(), digest.to_owned()))
    };
    text.lines().map(line).collect()
}

/// The list as every commit that touched it had it, oldest first; empty where there is no history.
fn history(root: &Path) -> Result<Vec<(String, Listed)>> {
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(root).args(args);
        command
    };
    let is_tree = git(&["rev-parse", "--is-inside-work-tree"]).output();
    if !is_tree.is_ok_and(|output| output.status.success()) {
        return Ok(Vec::new());
    }
    // A list that was taken away altogether has to be found, too.
    let log = ["log", "--reverse", "--format=%H", "--diff-filter=AM", "--", LIST];
    let commits = process::output(&mut git(&log))?;
    let mut found = Vec::new();
    for commit in commits.lines() {
        let text = process::output(&mut git(&["show", &format!("{commit}:{LIST}")]))?;
        found.push((commit.chars().take(12).collect(), read(&text)?));
    }
    Ok(found)
}

fn digest(file: &Path) -> Result<String> {
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    Ok(hex::encode(Sha256::digest(bytes)))
}

fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let is_number =
        |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(is_number)
}

/// The release that a path belongs to.
fn version_of(path: &str) -> Option<&str> {
    let inside = FOLDERS.iter().find_map(|folder| path.strip_prefix(folder)?.strip_prefix('/'))?;
    inside.split('/').next().filter(|version| is_version(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_file_of_the_contract_never_changes() {
        let root = root();
        let listed = list(&root).unwrap();
        assert!(
            listed.contains_key("wit/1.0.0/plugin.wit"),
            "version 1.0.0 of the contract is not released: `cargo xtask release-contract 1.0.0`"
        );
        let problems = problems(&root, &history(&root).unwrap()).unwrap();
        assert!(
            problems.is_empty(),
            "{problems:#?}\na change is a new version: see host/decisions/0012-releases-of-the-contract.md"
        );
    }

    #[test]
    fn every_file_of_a_release_is_of_a_version_and_the_list_reads() {
        for (path, version) in [
            ("wit/1.0.0/plugin.wit", Some("1.0.0")),
            ("tests/golden/1.10.0/custom/plugin.wasm", Some("1.10.0")),
            ("wit/README.md", None),
            ("wit/1.0/plugin.wit", None),
            ("sdk/wit/1.0.0/x", None),
        ] {
            assert_eq!(version_of(path), version, "{path}");
        }
        assert_eq!(read("ab  wit/1.0.0/a b\n").unwrap()["wit/1.0.0/a b"], "ab");
        assert!(read("ab wit/1.0.0/a\n").is_err());
    }

    /// A repository with one release, committed.
    struct Released(PathBuf);

    impl Released {
        fn new(name: &str) -> Self {
            let at =
                target_dir().join("tmp").join(format!("released-{name}-{}", std::process::id()));
            let released = Self(at);
            released.write("wit/1.0.0/plugin.wit", "package a;");
            released.write("tests/golden/1.0.0/custom/plugin.wasm", "wasm");
            let mut listed = Listed::new();
            for path in files_of(&released.0, "1.0.0").unwrap() {
                let digest = digest(&released.0.join(&path)).unwrap();
                listed.insert(path, digest);
            }
            released.list(&listed);
            released.git(&["init", "--quiet"]);
            released.commit();
            released
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn list(&self, listed: &Listed) {
            let lines = listed.iter().map(|(path, digest)| format!("{digest}  {path}\n"));
            self.write(LIST, &lines.collect::<String>());
        }

        fn git(&self, args: &[&str]) {
            let mut command = Command::new("git");
            command.arg("-C").arg(&self.0).args(["-c", "user.name=t", "-c", "user.email=t@t"]);
            process::output(command.args(args)).unwrap();
        }

        fn commit(&self) {
            self.git(&["add", "-A"]);
            self.git(&["commit", "--quiet", "-m", "x"]);
        }

        fn problems(&self) -> String {
            let history = history(&self.0).unwrap();
            problems(&self.0, &history).unwrap().join("\n")
        }
    }

    impl Drop for Released {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_changed_gone_or_added_is_named() {
        let released = Released::new("changed");
        assert_eq!(released.problems(), "");
        released.write("wit/1.1.0/plugin.wit", "a draft of the next one");
        assert_eq!(released.problems(), "", "it is not released yet");
        released.write("wit/1.0.0/plugin.wit", "package b;");
        assert_eq!(released.problems(), "wit/1.0.0/plugin.wit was released and was changed");
        released.write("wit/1.0.0/plugin.wit", "package a;");
        released.write("wit/1.0.0/deps/b.wit", "package b;");
        assert_eq!(released.problems(), "wit/1.0.0/deps/b.wit was added to the release 1.0.0");
        fs::remove_file(released.0.join("wit/1.0.0/deps/b.wit")).unwrap();
        fs::remove_file(released.0.join("tests/golden/1.0.0/custom/plugin.wasm")).unwrap();
        assert_eq!(
            released.problems(),
            "tests/golden/1.0.0/custom/plugin.wasm was released and is gone"
        );
    }

    #[test]
    fn a_list_that_was_changed_with_its_files_is_caught_by_the_history() {
        let released = Released::new("history");
        released.write("wit/1.0.0/plugin.wit", "package b;");
        let mut listed = list(&released.0).unwrap();
        let new = digest(&released.0.join("wit/1.0.0/plugin.wit")).unwrap();
        let old = listed.insert("wit/1.0.0/plugin.wit".to_owned(), new).unwrap();
        released.list(&listed);
        released.commit();
        let said = released.problems();
        assert!(
            said.starts_with(&format!("{LIST} had wit/1.0.0/plugin.wit with {old} in ")),
            "{said}"
        );
        fs::remove_file(released.0.join(LIST)).unwrap();
        released.commit();
        assert_eq!(released.problems().lines().count(), 4, "two lists, two files in each");
    }
}
