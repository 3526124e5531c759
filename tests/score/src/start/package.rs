//! Scripts of `package.json` and of its like, and the packages of a workspace.

use serde_json::Value;

use crate::corpus::Tree;

/// The line of a script in a folder's `package.json`, or of a task in its `deno.json`.
pub(super) fn script(tree: &Tree, folder: &str, name: &str) -> Option<String> {
    line(tree, folder, "package.json", "scripts", name)
        .or_else(|| line(tree, folder, "composer.json", "scripts", name))
}

/// The line of a task in a folder's `deno.json`.
pub(super) fn task(tree: &Tree, folder: &str, name: &str) -> Option<String> {
    ["deno.json", "deno.jsonc"].iter().find_map(|file| line(tree, folder, file, "tasks", name))
}

/// The entry file that a folder's `package.json` names.
pub(super) fn main(tree: &Tree, folder: &str) -> Option<String> {
    let package = tree.json(&path(folder, "package.json"))?;
    Some(package.get("main")?.as_str()?.trim_start_matches("./").to_owned())
}

fn line(tree: &Tree, folder: &str, file: &str, table: &str, name: &str) -> Option<String> {
    let file = tree.json(&path(folder, file))?;
    let line = file.get(table)?.get(name)?;
    let line = line.as_str().or_else(|| line.get("command").and_then(Value::as_str))?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// The folder of the package with this name, or of the only one that has such a script.
pub(super) fn member(tree: &Tree, named: Option<&str>, script: &str) -> Option<String> {
    let packages = tree.manifests.keys().filter_map(|file| file.strip_suffix("/package.json"));
    let fits = |folder: &&str| {
        let Some(package) = tree.json(&path(folder, "package.json")) else {
            return false;
        };
        let own = package.get("name").and_then(Value::as_str).unwrap_or_default();
        let short = own.rsplit('/').next().unwrap_or(own);
        let called = |name: &str| {
            own == name
                || short == name
                || folder.trim_end_matches('/') == name.trim_matches(['.', '/'])
        };
        named.is_none_or(called) && package.pointer(&format!("/scripts/{script}")).is_some()
    };
    let mut fitting = packages.filter(fits);
    let only = fitting.next()?;
    fitting.next().is_none().then(|| only.to_owned())
}

/// A path below a folder.
pub(super) fn path(folder: &str, file: &str) -> String {
    if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }
}
