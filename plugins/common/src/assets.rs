//! Node.js for the assets of an application in another language: installed in a step of its own, from the
//! manifests alone, and copied into the step that builds. Nothing of it reaches the run image.

use windlass_sdk::config::Settings;
use windlass_sdk::plan::{Base, BuildPlan, Copy, Op, Run, Step};
use windlass_sdk::{KeyValues, Source, Toolchain, log};

use crate::package_json::{self, PackageJson};
use crate::package_manager::PackageManager;
use crate::{layout, node_version, pnpm, wanted};

/// Id of the step.
const STEP: &str = "node";

/// Node.js with the packages of a package.json.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assets {
    /// Which Node.js.
    pub toolchain: Toolchain,
    manager: Manager,
    /// Manifests that the installation reads; none without packages.
    files: Vec<String>,
    locked: bool,
    script: Option<&'static str>,
    /// What is to be said of the version.
    warnings: Vec<String>,
}

/// A package manager and the package that brings it, with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Manager {
    program: &'static str,
    package: Option<String>,
    berry: bool,
}

/// What is asked of the application: whether a file exists, and its text.
pub trait Files {
    /// Whether the file or folder exists.
    fn has(&self, path: &str) -> bool;
    /// The text of a file.
    fn text(&self, path: &str) -> Option<String>;
}

impl Files for Source {
    fn has(&self, path: &str) -> bool {
        self.is_file(path)
    }

    fn text(&self, path: &str) -> Option<String> {
        Self::text(self, path).ok().flatten()
    }
}

impl Assets {
    /// What the application's package.json asks for; without one, Node.js alone.
    pub fn of(settings: &Settings, previous: &[Toolchain], files: &impl Files) -> Self {
        let package = files.text("package.json").and_then(|text| PackageJson::parse(&text).ok());
        let chosen = PackageManager::of(package.iter(), |file| files.has(file));
        let lock = chosen.lock;
        let manager = manager(package.as_ref(), &chosen, files);
        let installs = package.as_ref().is_some_and(PackageJson::installs_anything);
        let names = ["build", "production", "prod"];
        let script = names
            .into_iter()
            .find(|name| package.as_ref().is_some_and(|p| p.script(name).is_some()));
        let more = [".npmrc", "pnpm-workspace.yaml", ".yarnrc", ".yarnrc.yml"];
        let manifests = ["package.json"].into_iter().chain(lock).chain(more);
        let manifests = manifests.filter(|file| files.has(file)).map(str::to_owned);
        let folders = [".yarn/releases/**", ".yarn/plugins/**", ".yarn/patches/**"];
        let folders = folders.iter().filter(|_| files.has(".yarn")).map(|glob| (*glob).to_owned());
        let setting = settings.build.toolchain.get("node").map(String::as_str);
        let own = node_version::Folder { path: "", files, package: package.as_ref() };
        let pins = node_version::pins(setting, &[own], own);
        let node = node_version::for_builds(&pins, wanted::before("node", previous));
        Self {
            toolchain: node.toolchain,
            warnings: node.warnings,
            manager,
            files: if installs { manifests.chain(folders).collect() } else { Vec::new() },
            locked: lock.is_some(),
            script,
        }
    }

    /// Whether package.json has a build script.
    pub fn builds(&self) -> bool {
        self.script.is_some()
    }

    /// Adds the step that installs to a plan, and to a step what it brings: programs, packages, variables.
    pub fn bring(&self, plan: &mut BuildPlan, mut step: Step) -> Step {
        for warning in &self.warnings {
            log::warn(warning);
        }
        plan.toolchains.push(self.toolchain.clone());
        plan.steps.push(self.step());
        step.env.extend(self.env());
        step = step.op(Self::programs());
        step.ops.extend(self.packages().map(Op::Copy));
        step
    }

    /// The step that installs.
    pub fn step(&self) -> Step {
        let base = Base::Toolchains(vec![self.toolchain.clone()]);
        let mut step = Step::new(STEP, "install the packages for the assets", base);
        step.env = self.env();
        if let Some(package) = &self.manager.package {
            let run = Run::new(["npm", "install", "--global", "--force", package.as_str()]);
            step = step.op(run.network().cache("npm", "/root/.npm").env("HOME", "/root"));
        }
        if self.files.is_empty() {
            return step;
        }
        step = step.op(layout::files(self.files.iter().cloned()));
        let install = self.cached(Run::new(self.install())).network();
        // It would ask before it replaces what is there; a build must not see this variable, which makes
        // errors of some tools' warnings.
        let asks = self.manager.program == "pnpm";
        step.op(if asks { install.env("CI", "true") } else { install })
    }

    /// Node.js and the package managers, out of the step.
    fn programs() -> Copy {
        let sources = ["usr/local/bin/*", "usr/local/lib/node_modules/**", "opt/yarn-*"];
        Copy::step(STEP, sources, "/").parents()
    }

    /// The installed packages, out of the step.
    fn packages(&self) -> Option<Copy> {
        let copy = || Copy::step(STEP, ["app/node_modules/**"], "/").parents();
        (!self.files.is_empty()).then(copy)
    }

    /// Runs the build script; it has the network, as builds fetch fonts and the like.
    pub fn build(&self) -> Run {
        self.cached(Run::new([self.manager.program, "run", self.script.unwrap_or("build")]))
            .network()
    }

    /// Environment of the commands.
    pub fn env(&self) -> KeyValues {
        let own: &[(&str, &str)] = match self.manager.program {
            "pnpm" => &[
                ("npm_config_store_dir", "/root/.pnpm-store"),
                ("pnpm_config_store_dir", "/root/.pnpm-store"),
            ],
            "yarn" if self.manager.berry => &[
                ("YARN_GLOBAL_FOLDER", "/root/.yarn-berry"),
                ("YARN_ENABLE_GLOBAL_CACHE", "true"),
                ("YARN_ENABLE_TELEMETRY", "0"),
                ("YARN_NODE_LINKER", "node-modules"),
            ],
            "yarn" => &[("YARN_CACHE_FOLDER", "/root/.yarn-cache")],
            "bun" => &[("BUN_INSTALL_CACHE_DIR", "/root/.bun-cache")],
            _ => &[
                ("npm_config_update_notifier", "false"),
                ("npm_config_audit", "false"),
                ("npm_config_fund", "false"),
            ],
        };
        let every = [("DO_NOT_TRACK", "1")];
        [layout::pairs(&every), layout::pairs(own)].concat()
    }

    fn install(&self) -> Vec<&'static str> {
        match (self.manager.program, self.locked) {
            ("pnpm", true) => vec!["pnpm", "install", "--frozen-lockfile"],
            ("pnpm", false) => vec!["pnpm", "install", "--no-frozen-lockfile"],
            ("yarn", true) if self.manager.berry => vec!["yarn", "install", "--immutable"],
            ("yarn", true) => vec!["yarn", "install", "--frozen-lockfile", "--non-interactive"],
            ("yarn", false) => vec!["yarn", "install"],
            ("bun", true) => vec!["bun", "install", "--frozen-lockfile"],
            ("bun", false) => vec!["bun", "install"],
            (_, true) => vec!["npm", "ci"],
            (_, false) => vec!["npm", "install"],
        }
    }

    fn cached(&self, run: Run) -> Run {
        let run = run.env("HOME", "/root");
        match self.manager.program {
            "pnpm" => run.cache("pnpm", "/root/.pnpm-store"),
            "yarn" if self.manager.berry => run.cache("yarn-berry", "/root/.yarn-berry"),
            "yarn" => run.cache("yarn", "/root/.yarn-cache"),
            "bun" => run.cache("bun", "/root/.bun-cache"),
            _ => run.cache("npm", "/root/.npm"),
        }
    }
}

fn manager(package: Option<&PackageJson>, chosen: &PackageManager, files: &impl Files) -> Manager {
    let PackageManager { name: program, version, lock, .. } = *chosen;
    let text = || lock.and_then(|lock| files.text(lock)).unwrap_or_default();
    let berry = program == "yarn"
        && match version {
            Some(version) => !package_json::is_yarn_classic(version),
            None => files.has(".yarnrc.yml") || text().contains("__metadata:"),
        };
    let settings = || files.text(pnpm::WORKSPACE).unwrap_or_default();
    let package = match program {
        "pnpm" => {
            let oldest = || pnpm::version(&text(), &settings(), package);
            Some(format!("pnpm@{}", version.unwrap_or_else(oldest)))
        }
        "yarn" if berry => Some(format!("@yarnpkg/cli-dist@{}", version.unwrap_or("4"))),
        "yarn" => Some(format!("yarn@{}", version.unwrap_or("1.22.22"))),
        "bun" => Some(format!("bun@{}", version.unwrap_or("1"))),
        _ => None,
    };
    Manager { program, package, berry }
}

/// Files in memory, with their texts.
#[cfg(test)]
pub(crate) struct Tree(pub(crate) std::collections::BTreeMap<&'static str, &'static str>);

#[cfg(test)]
impl Files for Tree {
    fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    fn text(&self, path: &str) -> Option<String> {
        self.0.get(path).map(|text| (*text).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_sdk::plan::Op;

    fn assets(files: &[(&'static str, &'static str)]) -> Assets {
        Assets::of(&Settings::default(), &[], &Tree(files.iter().copied().collect()))
    }

    const PACKAGE: &str = r#"{"scripts":{"build":"vite build"},"devDependencies":{"vite":"6"}}"#;

    #[test]
    fn the_lock_file_says_which_manager() {
        let install = |lock: &'static str, text: &'static str| {
            assets(&[("package.json", PACKAGE), (lock, text)]).install().join(" ")
        };
        assert_eq!(install("package-lock.json", ""), "npm ci");
        assert_eq!(install("pnpm-lock.yaml", ""), "pnpm install --frozen-lockfile");
        assert_eq!(install("yarn.lock", ""), "yarn install --frozen-lockfile --non-interactive");
        assert_eq!(install("yarn.lock", "__metadata:\n"), "yarn install --immutable");
        assert_eq!(install("bun.lock", ""), "bun install --frozen-lockfile");
        assert_eq!(install("npm-shrinkwrap.json", ""), "npm ci");
        assert_eq!(install("README", ""), "npm install");
    }

    #[test]
    fn only_the_lock_file_of_the_manager_that_installs_is_copied() {
        let yarn = r#"{"packageManager":"yarn@1.22.22","dependencies":{"vite":"6"}}"#;
        let locks = [("pnpm-lock.yaml", ""), ("yarn.lock", "")];
        let both = assets(&[&[("package.json", yarn)][..], &locks].concat());
        assert_eq!(both.files, ["package.json", "yarn.lock"]);
        let bun = assets(&[("package.json", PACKAGE), ("yarn.lock", ""), ("bun.lock", "")]);
        assert_eq!(bun.files, ["package.json", "bun.lock"]);
        let other = assets(&[("package.json", yarn), ("pnpm-lock.yaml", "")]);
        assert_eq!(other.install(), ["yarn", "install"]);
    }

    #[test]
    fn pnpm_is_the_one_that_the_files_were_written_by() {
        let package = |text: &'static str| {
            let files = [("package.json", PACKAGE), ("pnpm-lock.yaml", "lockfileVersion: '9.0'")];
            assets(&[&files[..], &[("pnpm-workspace.yaml", text)]].concat()).manager.package
        };
        assert_eq!(package("packages:\n  - a\n").as_deref(), Some("pnpm@9"));
        assert_eq!(package("onlyBuiltDependencies:\n  - esbuild\n").as_deref(), Some("pnpm@10"));
        let named = r#"{"devEngines":{"packageManager":{"name":"pnpm","version":"10.4.1"}}}"#;
        let named = assets(&[("package.json", named)]).manager.package;
        assert_eq!(named.as_deref(), Some("pnpm@10.4.1"));
    }

    #[test]
    fn only_the_installation_is_told_that_nobody_answers() {
        let assets = assets(&[("package.json", PACKAGE), ("pnpm-lock.yaml", "")]);
        let tells = |env: &KeyValues| env.iter().any(|(name, _)| name == "CI");
        let step = assets.step();
        let told = |op: &Op| matches!(op, Op::Run(run) if tells(&run.env));
        assert!(step.ops.last().is_some_and(told));
        assert!(!tells(&step.env) && !tells(&assets.build().env) && !tells(&assets.env()));
    }

    #[test]
    fn node_alone_installs_nothing() {
        let alone = assets(&[]);
        assert!(alone.step().ops.is_empty() && alone.packages().is_none() && !alone.builds());
        assert_eq!(alone.toolchain.requirement, "22");
        let pinned = assets(&[("package.json", PACKAGE), (".nvmrc", "20\n")]);
        assert!(pinned.builds() && pinned.packages().is_some());
        assert_eq!(pinned.toolchain.requirement, "20");
        let netlify = ("netlify.toml", "[build.environment]\nNODE_VERSION = '18'\n");
        let version = |files: &[(&'static str, &'static str)]| assets(files).toolchain.requirement;
        assert_eq!(version(&[netlify]), "18.20.8");
        assert_eq!(version(&[netlify, (".nvmrc", "22")]), "22");
    }
}
