//! The package manager: which one, in which version, and its commands.

use windlass_sdk::plan::Run;

use windlass_plugin_common::package_json::{self, PackageJson};
use windlass_plugin_common::package_manager::PackageManager;
use windlass_plugin_common::pnpm;

use crate::facts::{Facts, join};
use crate::version;

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Npm,
    Pnpm,
    /// Yarn 1.
    Yarn,
    /// Yarn 2 and later.
    Berry,
    Bun,
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

impl Manager {
    /// What [`PackageManager`] says of the workspace's root and the application, and the version.
    pub(crate) fn of(facts: &Facts) -> Self {
        let packages = facts.root_package().into_iter().chain(facts.package.as_ref());
        let PackageManager { name, version, lock, locks } =
            PackageManager::of(packages.clone(), |file| facts.root_has(file));
        let binary = lock == Some("bun.lockb");
        let text = lock.filter(|_| name != "npm" && !binary).and_then(|lock| facts.root_text(lock));
        let text = text.unwrap_or_default();
        let (kind, version) = match name {
            "bun" => (Kind::Bun, bun_version(facts)),
            "pnpm" => {
                let settings = || facts.root_text(pnpm::WORKSPACE).unwrap_or_default();
                let oldest = || pnpm::version(&text, &settings(), packages.clone());
                (Kind::Pnpm, version.unwrap_or_else(oldest).to_owned())
            }
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
            Kind::Bun => "bun",
        };
        let package = format!("{package}@{}", self.version);
        // Bases may bring one already: the wanted version takes its place.
        Some(npm_cache(Run::new(["npm", "install", "--global", "--force", &package])).network())
    }

    /// Files that an installation needs, as far as they exist.
    pub(crate) fn manifests(&self, facts: &Facts) -> Vec<String> {
        let mut files: Vec<String> = vec!["package.json".into()];
        files.extend(self.lock.map(str::to_owned));
        for file in [
            ".npmrc",
            ".pnpmfile.cjs",
            "pnpm-workspace.yaml",
            ".yarnrc",
            ".yarnrc.yml",
            "bunfig.toml",
            "lerna.json",
        ] {
            files.extend(facts.root_has(file).then(|| file.to_owned()));
        }
        for (folder, globs) in [
            (".yarn", &[".yarn/releases/**", ".yarn/plugins/**", ".yarn/patches/**"][..]),
            ("patches", &["patches/**"]),
        ] {
            let globs = globs.iter().filter(|_| facts.root_has(folder));
            files.extend(globs.map(|glob| (*glob).to_owned()));
        }
        for (dir, _) in facts.packages() {
            let schema = facts.package_has(dir, "prisma");
            files.extend(schema.then(|| join(dir, "prisma/**")));
        }
        if is_workspace(facts) {
            files.push("**/package.json".into());
        }
        files.into_iter().map(|file| facts.place.glob(&file)).collect()
    }

    /// The installation: exactly what the lock file says, if there is one.
    pub(crate) fn install(&self, facts: &Facts, omit_dev: bool) -> Run {
        if let Some(only) = self.install_only(facts, omit_dev) {
            return self.installing(Run::new(only)).network();
        }
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
            (Kind::Bun, true) => &["bun", "install", "--frozen-lockfile"],
            (Kind::Bun, false) => &["bun", "install", "--no-save"],
        };
        let omit = match self.kind {
            _ if !omit_dev => None,
            Kind::Npm => Some("--omit=dev"),
            Kind::Pnpm => Some("--prod"),
            Kind::Yarn | Kind::Bun => Some("--production"),
            Kind::Berry => None,
        };
        self.installing(Run::new(words.iter().copied().chain(omit))).network()
    }

    /// The installation of what one member of the workspace needs, where the manager can do that.
    fn install_only(&self, facts: &Facts, omit_dev: bool) -> Option<Vec<String>> {
        let (workspace, inner) = (facts.workspace.as_ref()?, facts.place.inner());
        self.lock?;
        if inner.is_empty() {
            return None;
        }
        let name = facts.package.as_ref()?.name();
        let root = workspace.package.name();
        let mut words: Vec<String> = Vec::new();
        let mut add = |more: &[&str]| words.extend(more.iter().map(|word| (*word).to_owned()));
        match self.kind {
            Kind::Npm => {
                add(&["npm", "ci", "--include-workspace-root"]);
                for member in workspace.needed_by(inner) {
                    add(&["--workspace", member]);
                }
                add(if omit_dev { &["--omit=dev"] } else { &[] });
            }
            Kind::Pnpm => {
                add(&[
                    "pnpm",
                    "install",
                    "--frozen-lockfile",
                    "--filter",
                    &format!("{}...", name?),
                ]);
                add(&["--filter", root?]);
                add(if omit_dev { &["--prod"] } else { &[] });
            }
            Kind::Berry if !self.is_early_berry() => {
                add(&["yarn", "workspaces", "focus", root?, name?]);
                add(if omit_dev { &["--production"] } else { &[] });
            }
            Kind::Berry | Kind::Yarn | Kind::Bun => return None,
        }
        Some(words)
    }

    /// Removes what only the build needed.
    pub(crate) fn prune(&self, facts: &Facts) -> Option<Run> {
        let member = !facts.place.inner().is_empty();
        let words: &[&str] = match self.kind {
            Kind::Npm => &["npm", "prune", "--omit=dev", "--ignore-scripts"],
            // Its own command for it knows no members.
            Kind::Pnpm if member || is_workspace(facts) => return self.prune_members(facts),
            // It removes nothing that is there.
            Kind::Bun => return None,
            Kind::Pnpm => &["pnpm", "prune", "--prod", "--ignore-scripts"],
            Kind::Yarn => &[
                "yarn",
                "install",
                "--production",
                "--ignore-scripts",
                "--prefer-offline",
                "--non-interactive",
            ],
            Kind::Berry if self.is_early_berry() => return None,
            // All of them would install what the other members need.
            Kind::Berry => {
                let run = Run::new(focus(facts).into_iter().chain(["--production"]));
                return Some(self.installing(run).network());
            }
        };
        Some(self.installing(Run::new(words.iter().copied())).network())
    }

    /// Removes from a workspace of pnpm the development dependencies that nothing at run time needs, and what only
    /// other members need: an installation without them, over the one that is there. What packages compiled or
    /// generated in their folders stays.
    fn prune_members(&self, facts: &Facts) -> Option<Run> {
        self.lock?;
        let all = || ["pnpm", "install", "--frozen-lockfile", "--prod"].map(str::to_owned).to_vec();
        let mut words = self.install_only(facts, true).unwrap_or_else(all);
        // Else it keeps what nothing refers to any more for a week.
        let more = ["--prefer-offline", "--ignore-scripts", "--config.modules-cache-max-age=0"];
        words.extend(more.map(str::to_owned));
        Some(self.installing(Run::new(words)).network())
    }

    /// Whether it is a Yarn that cannot install for some members alone.
    fn is_early_berry(&self) -> bool {
        let digits = self.version.trim_start_matches(|c: char| !c.is_ascii_digit());
        digits.starts_with(['2', '3'])
    }

    /// Whether it runs `prebuild` and `postbuild` with `build`.
    pub(crate) fn runs_hooks(&self) -> bool {
        match self.kind {
            Kind::Npm | Kind::Yarn | Kind::Bun => true,
            Kind::Pnpm => !self.version.starts_with(['6', '7', '8']),
            Kind::Berry => false,
        }
    }

    /// Whether a line is its installation with flags alone, which needs the manifests and nothing else.
    pub(crate) fn is_plain_install(&self, line: &str) -> bool {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (program, flags) = match words.as_slice() {
            [program, "install" | "i" | "ci", flags @ ..] | [program @ "yarn", flags @ ..] => {
                (*program, flags)
            }
            _ => return false,
        };
        let moves = ["--prefix", "--dir", "--cwd", "--modules-folder", "--userconfig", "-C"];
        let harmless = |word: &&str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:@/".contains(c);
            word.starts_with('-') && word.chars().all(plain)
        };
        let moves = |word: &&str| moves.iter().any(|flag| word.starts_with(flag));
        program == self.program() && flags.iter().all(|word| harmless(word) && !moves(word))
    }

    /// Runs a script of package.json.
    pub(crate) fn script(&self, name: &str) -> Run {
        Run::new([self.program(), "run", name])
    }

    fn program(&self) -> &'static str {
        match self.kind {
            Kind::Npm => "npm",
            Kind::Pnpm => "pnpm",
            Kind::Yarn | Kind::Berry => "yarn",
            Kind::Bun => "bun",
        }
    }

    /// A command that installs, with the manager's cache. pnpm would ask before it replaces what is there.
    /// A build is not told that nobody answers: some tools make errors of their warnings then.
    pub(crate) fn installing(&self, run: Run) -> Run {
        let run = self.cached(run);
        if self.kind == Kind::Pnpm { run.env("CI", "true") } else { run }
    }

    /// A command with the manager's cache.
    fn cached(&self, run: Run) -> Run {
        match self.kind {
            Kind::Npm => npm_cache(run),
            Kind::Pnpm => run.cache("pnpm", "/root/.pnpm-store"),
            Kind::Yarn => run.cache("yarn", "/root/.yarn-cache"),
            Kind::Berry => run.cache("yarn-berry", "/root/.yarn-berry"),
            Kind::Bun => run.cache("bun", "/root/.bun-cache"),
        }
    }

    /// Environment of its commands.
    pub(crate) fn env(&self) -> &'static [(&'static str, &'static str)] {
        match self.kind {
            Kind::Npm => &[],
            Kind::Pnpm => &[
                ("npm_config_store_dir", "/root/.pnpm-store"),
                ("pnpm_config_store_dir", "/root/.pnpm-store"),
            ],
            Kind::Yarn => &[("YARN_CACHE_FOLDER", "/root/.yarn-cache")],
            Kind::Bun => &[("BUN_INSTALL_CACHE_DIR", "/root/.bun-cache")],
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
    facts.workspace.as_ref().is_some_and(|workspace| !workspace.members.is_empty())
}

/// The command for what the application alone needs, with the workspace's root.
fn focus(facts: &Facts) -> Vec<&str> {
    let mut words = vec!["yarn", "workspaces", "focus"];
    let member = facts.package.as_ref().filter(|_| !facts.place.inner().is_empty());
    match member.and_then(PackageJson::name) {
        Some(name) => {
            words.extend(facts.root_package().and_then(PackageJson::name));
            words.push(name);
        }
        None => words.push("--all"),
    }
    words
}

fn npm_cache(run: Run) -> Run {
    run.cache("npm", "/root/.npm")
}

fn bun_version(facts: &Facts) -> String {
    let wanted = version::bun(facts).toolchain.requirement;
    if wanted.is_empty() { "1".to_owned() } else { wanted }
}

fn yarn(facts: &Facts, version: Option<&str>, lock: &str) -> (Kind, String) {
    let classic = match version {
        Some(version) => package_json::is_yarn_classic(version),
        None => !lock.contains("__metadata:") && !facts.root_has(".yarnrc.yml"),
    };
    if classic {
        return (Kind::Yarn, version.unwrap_or("1.22.22").to_owned());
    }
    let settings = facts.root_text(".yarnrc.yml").unwrap_or_default();
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

fn warnings(facts: &Facts, name: &str, lock: Option<&str>, locks: &[&str]) -> Vec<String> {
    let mut warnings = Vec::new();
    let installs = facts.package.as_ref().is_some_and(|package| package.installs_anything());
    if lock.is_none() && installs {
        warnings.push(format!(
            "there is no lock file, so every build installs the newest versions that package.json \
             allows: run `{name} install` and commit its lock file"
        ));
    }
    if locks.len() > 1 {
        warnings.push(format!(
            "there are several lock files ({}); {name} is used: remove the others, or set \
             \"packageManager\" in package.json",
            locks.join(", ")
        ));
    }
    warnings
}
