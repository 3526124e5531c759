//! Monorepos: npm, yarn, pnpm and bun workspaces, Lerna, and Nx with its `project.json` files.
//!
//! Dependencies are installed at the root, where the lock file is; the application is one of the members.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use windlass_sdk::{PluginError, Source};

use crate::package_json::{self, PackageJson};
use crate::paths::{join, normal};

const MEMBERS_MAX: u32 = 1_000;
/// Where Nx keeps what describes a project.
const NX_PROJECTS: [&str; 3] = ["*/project.json", "*/*/project.json", "*/*/*/project.json"];

/// A workspace.
#[derive(Debug)]
pub struct Workspace {
    /// Its root, from the root of the source.
    pub folder: String,
    /// The files of its root.
    pub source: Source,
    /// The package.json of its root; an empty one without.
    pub package: PackageJson,
    /// By folder, relative to its root.
    pub members: BTreeMap<String, Member>,
    names: BTreeSet<String>,
}

/// A package or a project of a workspace.
#[derive(Debug, Default)]
pub struct Member {
    /// Its package.json, if it has one that reads.
    pub package: Option<PackageJson>,
    /// Its project.json of Nx.
    pub project: Option<Value>,
}

impl Workspace {
    /// Whether a file or folder lies in its root.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The member that a name or a folder means.
    pub fn find(&self, name: &str) -> Option<&str> {
        let name = name.trim_start_matches("./").trim_end_matches("...").trim_matches('/');
        let called = |(dir, member): &(&String, &Member)| {
            let package = member.package.as_ref().and_then(PackageJson::name);
            let project = member.project.as_ref().and_then(|json| json.get("name")?.as_str());
            let last = dir.rsplit('/').next();
            dir.as_str() == name
                || package == Some(name)
                || project == Some(name)
                || (member.project.is_some() || package.is_none()) && last == Some(name)
        };
        self.members.iter().find(called).map(|(dir, _)| dir.as_str())
    }

    /// Folders of the members that a member needs, those that others need first; it comes last itself.
    pub fn needed_by(&self, dir: &str) -> Vec<&str> {
        let mut found = Vec::new();
        self.visit(dir, &mut Vec::new(), &mut found);
        found
    }

    fn visit<'a>(&'a self, dir: &str, on_the_way: &mut Vec<String>, found: &mut Vec<&'a str>) {
        let Some((dir, member)) = self.members.get_key_value(dir) else {
            return;
        };
        if found.contains(&dir.as_str()) || on_the_way.contains(dir) {
            return;
        }
        on_the_way.push(dir.clone());
        let names = member.package.iter().flat_map(PackageJson::all_dependencies);
        for name in names.collect::<Vec<_>>() {
            let own = |(_, other): &(&String, &Member)| {
                other.package.as_ref().and_then(PackageJson::name) == Some(name)
            };
            if let Some((other, _)) = self.members.iter().find(own) {
                self.visit(other, on_the_way, found);
            }
        }
        on_the_way.pop();
        found.push(dir);
    }
}

/// The workspace whose root this is, with its package.json and the names of its files and folders.
///
/// # Errors
/// Code `source.unreadable`.
pub fn own(
    source: &Source,
    package: Option<&PackageJson>,
    names: BTreeSet<String>,
) -> Result<Option<Workspace>, PluginError> {
    let globs = globs(source, package);
    let nx = source.is_file("nx.json");
    if globs.is_empty() && !nx {
        return Ok(None);
    }
    let members = members(source, &globs, nx)?;
    let (source, package) = (source.clone(), package.cloned().unwrap_or_default());
    Ok(Some(Workspace { folder: String::new(), source, package, members, names }))
}

/// The nearest workspace above a folder that has it for a member.
///
/// # Errors
/// Code `source.unreadable`.
pub fn above(app_dir: &str) -> Result<Option<Workspace>, PluginError> {
    let app_dir = normal(app_dir);
    let mut folder = app_dir.as_str();
    while !folder.is_empty() {
        folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
        let source = Source::below(folder);
        source.prefetch(&[package_json::FILE, "pnpm-workspace.yaml", "lerna.json", "nx.json"]);
        let package = PackageJson::read(&source).ok().flatten();
        let globs = globs(&source, package.as_ref());
        let nx = source.is_file("nx.json");
        if globs.is_empty() && !nx {
            continue;
        }
        let members = members(&source, &globs, nx)?;
        let inner = app_dir.strip_prefix(folder).unwrap_or(&app_dir).trim_start_matches('/');
        if members.contains_key(inner) {
            let entries = source.list(&[], 1, MEMBERS_MAX)?.entries;
            let names = entries.into_iter().map(|entry| entry.path).collect();
            let (folder, package) = (folder.to_owned(), package.unwrap_or_default());
            return Ok(Some(Workspace { folder, source, package, members, names }));
        }
    }
    Ok(None)
}

/// The globs that name the members.
fn globs(source: &Source, package: Option<&PackageJson>) -> Vec<String> {
    let text = |file: &str| source.text(file).ok().flatten();
    let pnpm = text("pnpm-workspace.yaml").map(|text| pnpm_packages(&text)).unwrap_or_default();
    if !pnpm.is_empty() {
        return pnpm;
    }
    let own = package.map(PackageJson::workspace_globs).unwrap_or_default();
    if !own.is_empty() {
        return own.into_iter().map(str::to_owned).collect();
    }
    let lerna = text("lerna.json").and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let listed = |lerna: Value| match lerna.get("packages").and_then(Value::as_array) {
        Some(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        None => vec!["packages/*".to_owned()],
    };
    lerna.map(listed).unwrap_or_default()
}

/// The list `packages` of pnpm-workspace.yaml, in either of its forms.
fn pnpm_packages(text: &str) -> Vec<String> {
    let clean = |item: &str| item.trim().trim_matches(['"', '\'']).to_owned();
    let mut found = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let line = line.split(" #").next().unwrap_or(line).trim_end();
        if let Some(rest) = line.strip_prefix("packages:") {
            let inline = rest.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            found.extend(inline.into_iter().flat_map(|list| list.split(',')).map(clean));
            inside = true;
        } else if let Some(item) = line.trim().strip_prefix("- ").filter(|_| inside) {
            found.push(clean(item));
        } else if !line.starts_with([' ', '#']) && !line.is_empty() {
            inside = false;
        }
    }
    found.retain(|glob| !glob.is_empty() && glob != ".");
    found
}

fn members(
    source: &Source,
    globs: &[String],
    nx: bool,
) -> Result<BTreeMap<String, Member>, PluginError> {
    let (out, within): (Vec<_>, Vec<_>) = globs.iter().partition(|glob| glob.starts_with('!'));
    let manifest = |glob: &&String| {
        join(glob.trim_start_matches("./").trim_end_matches('/'), package_json::FILE)
    };
    let mut wanted: Vec<String> = within.iter().map(manifest).collect();
    wanted.extend(NX_PROJECTS.iter().filter(|_| nx).map(|glob| (*glob).to_owned()));
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let entries = source.list(&wanted, 6, MEMBERS_MAX)?.entries;
    let left_out = |path: &str| {
        let excluded = |glob: &&&String| {
            let part = glob.trim_start_matches('!').trim_matches(['*', '/']);
            !part.is_empty() && path.contains(part)
        };
        path.contains("node_modules/") || out.iter().any(|glob| excluded(&glob))
    };
    let files: Vec<String> = entries.into_iter().map(|entry| entry.path).collect();
    let files: Vec<&str> =
        files.iter().map(String::as_str).filter(|path| !left_out(path)).collect();
    source.prefetch(&files);
    let mut members: BTreeMap<String, Member> = BTreeMap::new();
    for file in files {
        let Some((dir, name)) = file.rsplit_once('/') else { continue };
        let text = source.text(file).ok().flatten().unwrap_or_default();
        let member = members.entry(dir.to_owned()).or_default();
        match name {
            "project.json" => member.project = serde_json::from_str(&text).ok(),
            _ => member.package = PackageJson::parse(&text).ok(),
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::pnpm_packages;

    #[test]
    fn the_packages_of_pnpm_are_read_and_its_other_settings_are_not() {
        let text = "# a\npackages:\n  - 'apps/*' # all\n  - \"!**/test/**\"\ncatalog:\n  - no\n";
        assert_eq!(pnpm_packages(text), ["apps/*", "!**/test/**"]);
        assert_eq!(pnpm_packages("packages: ['a/*', b]"), ["a/*", "b"]);
        assert!(pnpm_packages("onlyBuiltDependencies:\n  - better-sqlite3\n").is_empty());
    }
}
