//! Which Node.js, as [`node_version`] says, of the application and then of its workspace's root; and which Bun:
//! `windlass.toml`, `.bun-version`, `.tool-versions`, `mise.toml`, `packageManager`, `devEngines.packageManager`,
//! `devEngines.runtime`, `engines.bun`, what another platform's file names, the version that the application ran
//! with before, the default.

pub(crate) use windlass_plugin_common::node_version::Chosen;
use windlass_plugin_common::node_version::{self, Folder};
use windlass_plugin_common::package_json::{self, PackageJson};
use windlass_plugin_common::pins;
use windlass_plugin_common::wanted::{self, Pin};
use windlass_sdk::{PluginError, Toolchain};

use crate::facts::{Facts, join};
use crate::framework::Shape;
use crate::start;

/// The toolchain that the application runs on.
///
/// # Errors
/// Code `node.version-unsupported`.
pub(crate) fn toolchains(facts: &Facts, shape: &Shape) -> Result<Chosen, PluginError> {
    match runs_on_bun(facts, shape) {
        true => Ok(bun(facts)),
        false => choose(facts),
    }
}

/// Whether Bun runs the web process, or the workers where there is none.
pub(crate) fn runs_on_bun(facts: &Facts, shape: &Shape) -> bool {
    let declared = &facts.declared;
    let line = match (shape, &declared.web) {
        (Shape::Tree(_) | Shape::Standalone, _) => return false,
        (_, Some((line, ..))) => Some(line.as_str()),
        (Shape::Server(Some(start)), None) => Some(start.line.as_str()),
        (Shape::Server(None), None) => declared.workers.first().map(|(_, line)| line.as_str()),
    };
    line.is_some_and(start::is_buns)
}

/// The version of Bun.
pub(crate) fn bun(facts: &Facts) -> Chosen {
    let mut asked = Vec::new();
    let setting = facts.settings.build.toolchain.get("bun").map(String::as_str);
    asked.extend(Pin::new("windlass.toml", "build.toolchain.bun", setting.unwrap_or_default()));
    let own = facts.text(".bun-version").unwrap_or_default();
    let line = pins::first_line(&own).and_then(|line| line.split_whitespace().next());
    asked.extend(Pin::new(&facts.shown(".bun-version"), "", line.unwrap_or_default()));
    let shown = |pin: Pin| Pin { file: facts.shown(&pin.file), ..pin };
    asked.extend(wanted::shared(&facts.source, &["bun"]).into_iter().map(shown));
    for (file, package) in packages(facts) {
        let bun = |named: &(&str, &str)| named.0 == "bun" && !matches!(named.1, "" | "*");
        let named = package.package_manager().filter(bun);
        let developed = package.dev_manager().filter(bun);
        for (key, range) in [
            ("packageManager", named.map(|(_, version)| version)),
            ("devEngines.packageManager", developed.map(|(_, version)| version)),
            ("devEngines.runtime", package.dev_engine("bun")),
            ("engines.bun", package.engine("bun")),
        ] {
            asked.extend(Pin::new(&file, key, range.unwrap_or_default()));
        }
    }
    asked.extend(wanted::elsewhere(&facts.source, &["bun"]).map(shown));
    let previous: Vec<Toolchain> =
        facts.previous("bun").map(|version| Toolchain::new("bun", version)).into_iter().collect();
    let (toolchain, evidence) = wanted::choose("bun", &asked, &previous);
    Chosen { toolchain, evidence, warnings: Vec::new() }
}

/// Settles on a version of Node.js.
///
/// # Errors
/// Code `node.version-unsupported`: what was asked for, where, and what there is.
pub(crate) fn choose(facts: &Facts) -> Result<Chosen, PluginError> {
    let setting = facts.settings.build.toolchain.get("node").map(String::as_str);
    let folder = facts.shown("");
    let own = Folder { path: &folder, files: &facts.source, package: facts.package.as_ref() };
    let mut folders = vec![own];
    if let Some(root) = facts.workspace.as_ref().filter(|_| !facts.place.inner().is_empty()) {
        root.source.prefetch(&node_version::FILES);
        let (path, package) = (facts.root_folder(), Some(&root.package));
        folders.push(Folder { path, files: &root.source, package });
    }
    let pins = node_version::pins(setting, &folders, own);
    node_version::choose(&pins, facts.previous("node"))
}

/// The application's package.json, and that of its workspace, with their paths for people.
fn packages(facts: &Facts) -> Vec<(String, &PackageJson)> {
    let root = facts.workspace.as_ref().map(|workspace| &workspace.package);
    let root = root.filter(|_| !facts.place.inner().is_empty());
    let own = facts.package.iter().map(|package| (facts.shown(package_json::FILE), package));
    own.chain(root.map(|package| (join(facts.root_folder(), package_json::FILE), package)))
        .collect()
}
