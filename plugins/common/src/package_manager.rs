//! Which of JavaScript's package managers an application is installed with, and by which lock file.

use crate::package_json::PackageJson;

/// The lock files and who writes them. Of several the first decides.
const LOCKS: [(&str, &str); 6] = [
    ("pnpm-lock.yaml", "pnpm"),
    ("bun.lock", "bun"),
    ("bun.lockb", "bun"),
    ("yarn.lock", "yarn"),
    ("package-lock.json", NPM),
    ("npm-shrinkwrap.json", NPM),
];
const NPM: &str = "npm";
/// Those that are asked for by `engines`: npm is named there for its version.
const BY_ENGINE: [&str; 3] = ["pnpm", "yarn", "bun"];

/// A package manager with what names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageManager<'a> {
    /// `npm`, `pnpm`, `yarn` or `bun`.
    pub name: &'static str,
    /// The version or range that a package.json asks for.
    pub version: Option<&'a str>,
    /// Its own lock file.
    pub lock: Option<&'static str>,
    /// Every lock file that is there, also of others.
    pub locks: Vec<&'static str>,
}

impl<'a> PackageManager<'a> {
    /// The field `packageManager` decides, then `devEngines.packageManager`, then the lock file, then
    /// `engines`; npm where nothing says anything. Of several packages the first one that has a field is
    /// heard. `has` says whether a file lies where the packages are installed.
    pub fn of(
        packages: impl Iterator<Item = &'a PackageJson> + Clone,
        has: impl Fn(&str) -> bool,
    ) -> Self {
        let named = packages.clone().find_map(PackageJson::package_manager);
        let named = named.or_else(|| packages.clone().find_map(PackageJson::dev_manager));
        let found: Vec<_> = LOCKS.into_iter().filter(|(file, _)| has(file)).collect();
        let known = named
            .and_then(|(name, _)| BY_ENGINE.into_iter().chain([NPM]).find(|known| *known == name));
        let asks = |name: &str| packages.clone().any(|package| package.engine(name).is_some());
        let by_lock = found.first().map(|(_, name)| *name);
        let by_engine = || BY_ENGINE.into_iter().find(|name| asks(name) && !asks(NPM));
        let name = known.or(by_lock).or_else(by_engine).unwrap_or(NPM);
        let version = named.filter(|(named, _)| *named == name).map(|(_, version)| version);
        let version = version.filter(|version| !matches!(*version, "" | "*"));
        let engine = packages.clone().find_map(|package| package.engine(name));
        // Ranges of Yarn there are met by every Yarn 1.
        let engine = engine.filter(|range| *range != "*" && name != "yarn");
        Self {
            name,
            version: version.or(engine),
            lock: found.iter().find(|(_, of)| *of == name).map(|(file, _)| *file),
            locks: found.into_iter().map(|(file, _)| file).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PackageManager;
    use crate::package_json::PackageJson;

    #[track_caller]
    fn check(json: &str, files: &[&str], name: &str, version: Option<&str>, lock: Option<&str>) {
        let package = PackageJson::parse(json).unwrap();
        let manager =
            PackageManager::of([&package].into_iter(), |file: &str| files.contains(&file));
        assert_eq!((manager.name, manager.version, manager.lock), (name, version, lock), "{json}");
    }

    #[test]
    fn the_lock_file_says_which_manager() {
        for (lock, name) in super::LOCKS {
            check("{}", &[lock], name, None, Some(lock));
        }
        check("{}", &[], "npm", None, None);
        let every = super::LOCKS.map(|(lock, _)| lock);
        check("{}", &every, "pnpm", None, Some("pnpm-lock.yaml"));
        check("{}", &every[1..], "bun", None, Some("bun.lock"));
        check("{}", &every[3..], "yarn", None, Some("yarn.lock"));
    }

    #[test]
    fn a_manager_that_is_named_installs_by_its_own_lock_file() {
        let yarn = r#"{"packageManager":"yarn@4.1.0+sha512.a"}"#;
        check(yarn, &["pnpm-lock.yaml", "yarn.lock"], "yarn", Some("4.1.0"), Some("yarn.lock"));
        check(yarn, &["pnpm-lock.yaml"], "yarn", Some("4.1.0"), None);
        let pnpm = r#"{"devEngines":{"packageManager":{"name":"pnpm","version":"10"}}}"#;
        check(pnpm, &["yarn.lock"], "pnpm", Some("10"), None);
        let other = r#"{"packageManager":"vlt@1.0.0"}"#;
        check(other, &["yarn.lock"], "yarn", None, Some("yarn.lock"));
    }

    #[test]
    fn engines_name_a_manager_where_nothing_else_does() {
        let pnpm = r#"{"engines":{"pnpm":">=9"}}"#;
        check(pnpm, &[], "pnpm", Some(">=9"), None);
        check(pnpm, &["yarn.lock"], "yarn", None, Some("yarn.lock"));
        check(r#"{"engines":{"pnpm":">=9","npm":">=10"}}"#, &[], "npm", Some(">=10"), None);
        check(r#"{"engines":{"yarn":"1.x"}}"#, &[], "yarn", None, None);
    }
}
