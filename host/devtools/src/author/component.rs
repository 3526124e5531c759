//! Which component is meant, and loading it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use windlass_model::Failure;
use windlass_model::plugin::Grants;
use windlass_sandbox::{Inspected, LoadError, NotAsked, Plugin, Sandbox};

use crate::local::{self, Config};

/// Where components are put, in a plugin's folder.
pub(super) const DIST: &str = "dist";
/// Folders in which a plugin's sources are not.
const NO_SOURCES: [&str; 8] = [
    DIST,
    "target",
    "node_modules",
    "fixtures",
    ".git",
    ".venv",
    "__pycache__",
    super::sdk::FOLDER,
];

/// The component of a path: itself, or the one that was built in this folder.
///
/// # Errors
/// `plugin.not-built`, `plugin.several-components`.
pub fn find(path: &Path) -> Result<PathBuf, Failure> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let folder = path.join(DIST);
    let mut found: Vec<PathBuf> = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::app(
            "plugin.not-built",
            format!("there is no component of {}", path.display()),
            format!("no *.wasm file lies in {}", folder.display()),
            "build it with `windlass plugin build`, or name a .wasm file",
        )),
        several => Err(Failure::app(
            "plugin.several-components",
            format!("it is not clear which component of {} is meant", path.display()),
            format!("{} lie in {}", several.len(), folder.display()),
            "name one of the files, or remove the others",
        )),
    }
}

/// What to say when the sources of a component were changed after it was built.
pub(super) fn stale(component: &Path) -> Option<String> {
    let folder = component.parent().filter(|dist| dist.ends_with(DIST))?.parent()?;
    let built = component.metadata().ok()?.modified().ok()?;
    let changed = newer(folder, built)?;
    let changed = changed.strip_prefix(folder).unwrap_or(&changed).display();
    Some(format!("{changed} was changed after the component was built: `windlass plugin build`"))
}

/// A source below `folder` that was changed later.
fn newer(folder: &Path, than: SystemTime) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let name = entry.file_name();
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() && !NO_SOURCES.iter().any(|passed| name == *passed) {
            if let Some(found) = newer(&entry.path(), than) {
                return Some(found);
            }
        } else if meta.is_file()
            && is_source(&entry.path())
            && meta.modified().is_ok_and(|at| at > than)
        {
            return Some(entry.path());
        }
    }
    None
}

fn is_source(path: &Path) -> bool {
    const ENDINGS: [&str; 8] = ["rs", "toml", "js", "mjs", "ts", "json", "py", "wit"];
    path.extension().and_then(|extension| extension.to_str()).is_some_and(|extension| {
        // Package managers write their own lock files while building.
        ENDINGS.contains(&extension) && !path.ends_with("package-lock.json")
    })
}

/// A component in a sandbox.
pub(super) struct Loaded {
    /// What it says of itself.
    pub(super) inspected: Inspected,
    /// Calls it.
    pub(super) sandbox: Sandbox,
    /// The plugin.
    pub(super) plugin: Plugin,
}

impl Loaded {
    /// Loads a component; everything that it asks for is granted.
    ///
    /// # Errors
    /// `plugin.not-loadable`, `detect.sandbox`.
    pub(super) fn open(config: &Config, component: &Path) -> Result<Self, Failure> {
        // No registry is asked: what images bring is not known here.
        let sandbox = local::sandbox(config)?.with_images(Arc::new(NotAsked::default()));
        let bad = |e| not_loadable(component, &e);
        let limit_bytes = config.limits.plugin.component_bytes_max;
        let bytes = std::fs::metadata(component).map_or(0, |meta| meta.len());
        if bytes > limit_bytes {
            // Before it is read: what is wrong inside matters less.
            return Err(bad(LoadError::TooLarge { bytes, limit_bytes }));
        }
        let inspected = windlass_sandbox::inspect(component).map_err(bad)?;
        let grants = Grants::all_of(&inspected.info.manifest.capabilities);
        let plugin = sandbox.load_granted(component, false, &grants).map_err(bad)?;
        Ok(Self { inspected, sandbox, plugin })
    }

    /// Loads it once more, as a host does that has compiled it before.
    ///
    /// # Errors
    /// `plugin.not-loadable`.
    pub(super) fn again(&self, component: &Path) -> Result<Plugin, Failure> {
        let loaded = self.sandbox.load_granted(component, false, self.plugin.grants());
        loaded.map_err(|e| not_loadable(component, &e))
    }

    pub(super) fn name(&self) -> &str {
        self.plugin.name()
    }
}

/// Why a component is no plugin that this Windlass runs.
pub(super) fn not_loadable(component: &Path, error: &LoadError) -> Failure {
    Failure::plugin(
        local::file_stem(component),
        "plugin.not-loadable",
        format!("{} is no plugin that this Windlass runs", component.display()),
        error.to_string(),
        error.fix(),
    )
}

/// A file of a plugin that cannot be written.
pub(super) fn not_written(file: &Path, error: &io::Error) -> Failure {
    Failure::app(
        "plugin.not-written",
        format!("{} cannot be written", file.display()),
        error.to_string(),
        "check that the folder is yours and that the disk has room",
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_only_component_of_a_folder_is_meant_and_a_file_is_itself() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(find(root.path()).unwrap_err().code, "plugin.not-built");
        let dist = root.path().join(DIST);
        fs::create_dir(&dist).unwrap();
        fs::write(dist.join("a.wasm"), "").unwrap();
        fs::write(dist.join("a.txt"), "").unwrap();
        assert_eq!(find(root.path()).unwrap(), dist.join("a.wasm"));
        assert_eq!(find(&dist.join("a.wasm")).unwrap(), dist.join("a.wasm"));
        fs::write(dist.join("b.wasm"), "").unwrap();
        assert_eq!(find(root.path()).unwrap_err().code, "plugin.several-components");
    }

    #[tokio::test]
    async fn a_file_that_is_too_large_or_no_component_is_refused_in_words_for_people() {
        let root = tempfile::tempdir().unwrap();
        let config = Config {
            bundled_plugins: root.path().join("plugins"),
            installed_plugins: root.path().join("more"),
            cache_dir: root.path().join("cache"),
            compiler: "/bin/false".into(),
            compiler_args: vec![],
            limits: windlass_model::Limits::default(),
        };
        let file = root.path().join("a.wasm");
        let refused = || {
            let Err(failure) = Loaded::open(&config, &file) else { panic!("it was loaded") };
            assert_eq!(failure.code, "plugin.not-loadable");
            failure
        };
        fs::File::create(&file).unwrap().set_len(40 << 20).unwrap();
        let large = refused();
        assert!(large.why.contains("a plugin has at most 33554432 (32.0 MiB)"), "{large}");
        assert!(large.fix.contains("component_bytes_max"), "{large}");
        fs::write(&file, "hello").unwrap();
        let text = refused();
        let why =
            "it is not a WebAssembly component: it does not begin as every WebAssembly file does";
        assert_eq!(text.why, why);
        fs::write(&file, "").unwrap();
        assert!(refused().why.ends_with("the file is empty"));
    }

    #[test]
    fn a_source_that_was_changed_later_is_named_and_a_fixture_is_none() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["src", DIST, "fixtures"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let component = root.path().join(DIST).join("a.wasm");
        for file in ["src/lib.rs", "fixtures/a.json", "dist/a.wasm"] {
            fs::write(root.path().join(file), "").unwrap();
        }
        let at = |file: &str, seconds| {
            let file = fs::File::options().write(true).open(root.path().join(file)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        };
        at("src/lib.rs", 1000);
        at("dist/a.wasm", 2000);
        assert_eq!(stale(&component), None);
        at("src/lib.rs", 3000);
        let said = stale(&component).unwrap();
        assert!(said.starts_with("src/lib.rs was changed"), "{said}");
    }
}
