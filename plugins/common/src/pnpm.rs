//! Which pnpm an application was made with, where nothing names its version.

use crate::package_json::PackageJson;

/// Where workspaces are listed and, since version 10, settings are kept.
pub const WORKSPACE: &str = "pnpm-workspace.yaml";
/// Keys of that file that pnpm 9 knows.
const OLD_KEYS: [&str; 3] = ["packages", "catalog", "catalogs"];

/// The oldest version that reads the lock file and the settings as they were written. Versions 9 and 10 write
/// the same lock file, but only the later one reads its settings from pnpm-workspace.yaml: the earlier stops
/// where that lists no packages, or where the lock file knows overrides that it does not.
pub fn version<'p>(
    lock: &str,
    workspace: &str,
    packages: impl IntoIterator<Item = &'p PackageJson>,
) -> &'static str {
    let line = lock.lines().find_map(|line| line.trim().strip_prefix("lockfileVersion:"));
    let format = line.unwrap_or_default().trim().trim_matches(['\'', '"']);
    let mut packages = packages.into_iter();
    match format.split('.').next() {
        Some("5") => "7",
        Some("6") => "8",
        _ if holds_settings(workspace) || packages.any(PackageJson::lists_builds) => "10",
        _ => "9",
    }
}

/// Whether pnpm-workspace.yaml is for more than naming the members of a workspace.
fn holds_settings(workspace: &str) -> bool {
    let outer = workspace.lines().filter(|line| !line.starts_with([' ', '\t', '#', '-']));
    let keys = outer.filter_map(|line| line.split_once(':'));
    let keys: Vec<&str> = keys.map(|(key, _)| key.trim().trim_matches(['"', '\''])).collect();
    let newer = keys.iter().any(|key| !OLD_KEYS.contains(key));
    newer || !keys.is_empty() && !keys.contains(&"packages")
}

#[cfg(test)]
mod tests {
    use super::version;
    use crate::package_json::PackageJson;

    #[test]
    fn settings_in_the_workspace_file_ask_for_version_10() {
        let of = |lock: &str, workspace: &str| version(lock, workspace, None);
        let lock = "lockfileVersion: '9.0'\n";
        assert_eq!(of(lock, ""), "9");
        assert_eq!(of(lock, "packages:\n  - apps/*\ncatalog:\n  react: 19\n"), "9");
        assert_eq!(of(lock, "onlyBuiltDependencies:\n  - esbuild\n"), "10");
        assert_eq!(of(lock, "packages:\n- apps/*\n\"overrides\":\n  a: 1\n"), "10");
        assert_eq!(of(lock, "# nothing\n"), "9");
        assert_eq!(of("lockfileVersion: '6.0'", "overrides:\n  a: 1\n"), "8");
        assert_eq!(of("lockfileVersion: 5.4", ""), "7");
    }

    #[test]
    fn a_list_of_packages_that_may_be_built_asks_for_version_10() {
        let text = r#"{"pnpm":{"onlyBuiltDependencies":["esbuild"]}}"#;
        let package = PackageJson::parse(text).unwrap();
        assert_eq!(version("lockfileVersion: '9.0'", "", [&package]), "10");
        let text = r#"{"pnpm":{"overrides":{"a":"1"}}}"#;
        let package = PackageJson::parse(text).unwrap();
        assert_eq!(version("lockfileVersion: '9.0'", "", [&package]), "9");
    }
}
