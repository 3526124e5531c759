//! The package manager: which one, in which version, and its commands.

use windlass_sdk::plan::Run;

use crate::facts::Facts;

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Npm,
    Pnpm,
    /// Yarn 1.
    Yarn,
    /// Yarn 2 and later.
    Berry,
}

/// A package manager with what was found of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manager {
    pub(crate) kind: Kind,
    /// Version that has to be fetched; npm comes with Node.js.
    pub(crate) version: String,
    /// Its lock file, if there is one.
    pub(crate) lock: Option<&'static str>,
    /// Something to look at.
    pub(crate) warnings: Vec<String>,
}

const LOCKS: [(&str, &str); 4] = [
    ("pnpm-lock.yaml", "pnpm"),
    ("yarn.lock", "yarn"),
    ("package-lock.json", "npm"),
    ("npm-shrinkwrap.json", "npm"),
];
const BUN_LOCKS: [&str; 2] = ["bun.lock", "bun.lockb"];

impl Manager {
    /// The field `packageManager` decides, else the lock file.
    pub(crate) fn of(facts: &Facts) -> Self {
        let named = facts.package.as_ref().and_then(|package| package.package_manager());
        let known = |name: &str| matches!(name, "npm" | "pnpm" | "yarn");
        let locks: Vec<_> = LOCKS.into_iter().filter(|(file, _)| facts.has(file)).collect();
        let name = named.map(|(name, _)| name).filter(|name| known(name));
        let name = name.or(locks.first().map(|(_, name)| *name)).unwrap_or("npm");
        let lock = locks.iter().find(|(_, manager)| *manager == name).map(|(file, _)| *file);
        let version = named.filter(|(named, _)| *named == name).map(|(_, version)| version);
        let text =
            lock.filter(|_| name != "npm").and_then(|lock| facts.text(lock)).unwrap_or_default();
        let (kind, version) = match name {
            "pnpm" => (Kind::Pnpm, version.map_or_else(|| pnpm_version(&text), str::to_owned)),
            "yarn" => yarn(facts, version, &text),
            _ => (Kind::Npm, String::new()),
        };
        let warnings = warnings(facts, name, lock, &locks);
        Self { kind, version, lock, warnings }
    }

    /// The command that fetches it.
    pub(crate) fn fetch(&self) -> Option<Run> {
        let package = match self.kind {
            Kind::Npm => return None,
            Kind::Pnpm => "pnpm",
            Kind::Yarn => "yarn",
            Kind::Berry => "@yarnpkg/cli-dist",
        };
        let package = format!("{package}@{}", self.version);
        // Bases may bring one already: the wanted version takes its place.
        Some(npm_cache(Run::new(["npm", "install", "--global", "--force", &package])).network())
    }

    /// Files that an installation needs, as far as they exist.
    pub(crate) fn manifests(&self, facts: &Facts) -> Vec<String> {
        let mut files: Vec<String> = vec!["package.json".into()];
        files.extend(self.lock.map(str::to_owned));
        for file in [".npmrc", ".pnpmfile.cjs", "pnpm-workspace.yaml", ".yarnrc", ".yarnrc.yml"] {
            files.extend(facts.has(file).then(|| file.to_owned()));
        }
        for (folder, globs) in [
            (".yarn", &[".yarn/releases/**", ".yarn/plugins/**", ".yarn/patches/**"][..]),
            ("patches", &["patches/**"]),
            ("prisma", &["prisma/**"]),
        ] {
            let globs = globs.iter().filter(|_| facts.has(folder));
            files.extend(globs.map(|glob| (*glob).to_owned()));
        }
        if is_workspace(facts) {
            files.push("**/package.json".into());
        }
        files
    }

    /// The installation: exactly what the lock file says, if there is one.
    pub(crate) fn install(&self, omit_dev: bool) -> Run {
        let locked = self.lock.is_some();
        let words: &[&str] = match (self.kind, locked) {
            (Kind::Npm, true) => &["npm", "ci"],
            (Kind::Npm, false) => &["npm", "install"],
            (Kind::Pnpm, true) => &["pnpm", "install", "--frozen-lockfile"],
            (Kind::Pnpm, false) => &["pnpm", "install", "--no-frozen-lockfile"],
            (Kind::Yarn, true) => &["yarn", "install", "--frozen-lockfile", "--non-interactive"],
            (Kind::Yarn, false) => &["yarn", "install", "--non-interactive"],
            (Kind::Berry, true) => &["yarn", "install", "--immutable"],
            (Kind::Berry, false) => &["yarn", "install", "--no-immutable"],
        };
        let omit = match self.kind {
            _ if !omit_dev => None,
            Kind::Npm => Some("--omit=dev"),
            Kind::Pnpm => Some("--prod"),
            Kind::Yarn => Some("--production"),
            Kind::Berry => None,
        };
        self.cached(Run::new(words.iter().copied().chain(omit))).network()
    }

    /// Removes what only the build needed.
    pub(crate) fn prune(&self) -> Option<Run> {
        let words: &[&str] = match self.kind {
            Kind::Npm => &["npm", "prune", "--omit=dev", "--ignore-scripts"],
            Kind::Pnpm => &["pnpm", "prune", "--prod", "--ignore-scripts"],
            Kind::Yarn => &[
                "yarn",
                "install",
                "--production",
                "--ignore-scripts",
                "--prefer-offline",
                "--non-interactive",
            ],
            Kind::Berry if self.version.starts_with(['2', '3']) => return None,
            Kind::Berry => &["yarn", "workspaces", "focus", "--all", "--production"],
        };
        Some(self.cached(Run::new(words.iter().copied())).network())
    }

    /// Runs a script of package.json.
    pub(crate) fn script(&self, name: &str) -> Run {
        let program = match self.kind {
            Kind::Npm => "npm",
            Kind::Pnpm => "pnpm",
            Kind::Yarn | Kind::Berry => "yarn",
        };
        Run::new([program, "run", name])
    }

    /// A command with the manager's cache.
    pub(crate) fn cached(&self, run: Run) -> Run {
        match self.kind {
            Kind::Npm => npm_cache(run),
            Kind::Pnpm => run.cache("pnpm", "/root/.pnpm-store"),
            Kind::Yarn => run.cache("yarn", "/root/.yarn-cache"),
            Kind::Berry => run.cache("yarn-berry", "/root/.yarn-berry"),
        }
    }

    /// Environment of its commands.
    pub(crate) fn env(&self) -> &'static [(&'static str, &'static str)] {
        match self.kind {
            Kind::Npm => &[],
            Kind::Pnpm => &[
                ("CI", "true"),
                ("npm_config_store_dir", "/root/.pnpm-store"),
                ("pnpm_config_store_dir", "/root/.pnpm-store"),
            ],
            Kind::Yarn => &[("YARN_CACHE_FOLDER", "/root/.yarn-cache")],
            Kind::Berry => &[
                ("YARN_GLOBAL_FOLDER", "/root/.yarn-berry"),
                ("YARN_ENABLE_GLOBAL_CACHE", "true"),
                ("YARN_ENABLE_TELEMETRY", "0"),
                ("YARN_NODE_LINKER", "node-modules"),
            ],
        }
    }
}

/// Whether several packages are installed at once.
pub(crate) fn is_workspace(facts: &Facts) -> bool {
    let declared = facts.package.as_ref().is_some_and(|package| package.workspaces.is_some());
    declared || facts.has("pnpm-workspace.yaml")
}

fn npm_cache(run: Run) -> Run {
    run.cache("npm", "/root/.npm")
}

/// The oldest pnpm that reads the lock file as it was written.
fn pnpm_version(lock: &str) -> String {
    let line = lock.lines().find_map(|line| line.trim().strip_prefix("lockfileVersion:"));
    let version = line.unwrap_or_default().trim().trim_matches(['\'', '"']);
    match version.split('.').next() {
        Some("5") => "7",
        Some("6") => "8",
        _ => "9",
    }
    .to_owned()
}

fn yarn(facts: &Facts, version: Option<&str>, lock: &str) -> (Kind, String) {
    let classic = match version {
        Some(version) => version.starts_with("1."),
        None => !lock.contains("__metadata:") && !facts.has(".yarnrc.yml"),
    };
    if classic {
        return (Kind::Yarn, version.unwrap_or("1.22.22").to_owned());
    }
    let settings = facts.text(".yarnrc.yml").unwrap_or_default();
    let release = settings.lines().find_map(|line| {
        let file = line.trim().strip_prefix("yarnPath:")?.trim().rsplit('/').next()?;
        file.strip_prefix("yarn-")?.strip_suffix(".cjs")
    });
    let metadata = lock.split("__metadata:").nth(1).unwrap_or_default();
    let format = metadata.lines().find_map(|line| line.trim().strip_prefix("version:"));
    let by_lock = match format.and_then(|format| format.trim().parse::<u32>().ok()) {
        Some(..=7) => "3",
        _ => "4",
    };
    (Kind::Berry, version.or(release).unwrap_or(by_lock).to_owned())
}

fn warnings(facts: &Facts, name: &str, lock: Option<&str>, locks: &[(&str, &str)]) -> Vec<String> {
    let mut warnings = Vec::new();
    let bun = BUN_LOCKS.into_iter().find(|file| facts.has(file));
    let installs = facts.package.as_ref().is_some_and(|package| package.installs_anything());
    match (lock, bun) {
        (None, Some(bun)) if installs => warnings.push(format!(
            "{bun} is not read by this version: dependencies are installed with npm, in the newest \
             versions that package.json allows"
        )),
        (None, None) if installs => warnings.push(format!(
            "there is no lock file, so every build installs the newest versions that package.json \
             allows: run `{name} install` and commit its lock file"
        )),
        _ => {}
    }
    if locks.len() > 1 {
        let files: Vec<_> = locks.iter().map(|(file, _)| *file).collect();
        warnings.push(format!(
            "there are several lock files ({}); {name} is used: remove the others, or set \
             \"packageManager\" in package.json",
            files.join(", ")
        ));
    }
    warnings
}
