//! The build plan.
//!
//! Dependencies are installed from the manifests alone, so that a changed source keeps their step.
//! Without a build script that step is the application's floor; with one, the application is built
//! beside it, freed of what only the build needed, and copied onto a bare runtime.

use windlass_plugin_common::layout::{
    self, Declared, OUTPUT_APP, OUTPUT_MIGRATE, PATH, USER, on, pairs,
};
use windlass_plugin_common::package_json::PackageJson;
use windlass_plugin_common::{command, migrations, ports, procfile, scripts};
use windlass_sdk::config::Migrate;
use windlass_sdk::plan::{Base, BuildPlan, Copy, Output, Run, Step};
use windlass_sdk::{PluginError, Toolchain, log};

use crate::facts::{Facts, join};
use crate::framework::{Decision, Shape, Tree};
use crate::listening;
use crate::manager::{self, Kind, Manager};
use crate::native::{self, Native};
use crate::start::{self, Start};
use crate::{answers, config};
use crate::{steps, version};

/// Nobody's telemetry, no questions, no advertisements in the log, and no compiled code of the package manager
/// left in `/tmp`.
const QUIET: [(&str, &str); 13] = [
    ("NODE_DISABLE_COMPILE_CACHE", "1"),
    ("npm_config_update_notifier", "false"),
    ("npm_config_audit", "false"),
    ("npm_config_fund", "false"),
    ("NEXT_TELEMETRY_DISABLED", "1"),
    ("ASTRO_TELEMETRY_DISABLED", "1"),
    ("GATSBY_TELEMETRY_DISABLED", "1"),
    ("NUXT_TELEMETRY_DISABLED", "1"),
    ("STORYBOOK_DISABLE_TELEMETRY", "1"),
    ("TURBO_TELEMETRY_DISABLED", "1"),
    ("NG_CLI_ANALYTICS", "false"),
    ("CHECKPOINT_DISABLE", "1"),
    ("DO_NOT_TRACK", "1"),
];
/// Left behind by builds, of no use to the running application.
const BUILD_CACHES: [&str; 4] = [
    "app/**/.next/cache/**",
    "app/**/node_modules/.cache/**",
    "app/**/.turbo/**",
    "app/**/.angular/cache/**",
];
/// A server that its build makes a folder of its own for, with all that it needs.
const SELF_CONTAINED: &str = "node .output/server/index.mjs";

/// Writes the plan of what was decided.
pub(crate) struct Planner<'a> {
    facts: &'a Facts,
    decision: &'a Decision,
    manager: Manager,
    native: Native,
    /// Installs and builds.
    node: Toolchain,
    /// Runs.
    run: Toolchain,
}

impl<'a> Planner<'a> {
    /// For this decision, with this Node.js.
    pub(crate) fn new(facts: &'a Facts, decision: &'a Decision, node: Toolchain) -> Self {
        let (manager, native) = (Manager::of(facts), native::needs(facts));
        let on_bun = version::runs_on_bun(facts, &decision.shape);
        let run = if on_bun { version::bun(facts).toolchain } else { node.clone() };
        let builds = steps::builds(facts, decision, &manager) || !native.build.is_empty();
        let installs = facts.package.as_ref().is_some_and(PackageJson::installs_anything);
        // Where Bun does all of it, Node.js is not needed at all.
        let alone = on_bun && !builds && (manager.kind == Kind::Bun || !installs);
        let node = if alone { run.clone() } else { node };
        Self { facts, decision, manager, native, node, run }
    }

    /// The plan.
    ///
    /// # Errors
    /// Code `source.unreadable`.
    pub(crate) fn plan(&self) -> Result<BuildPlan, PluginError> {
        for warning in &self.manager.warnings {
            log::warn(warning);
        }
        if !self.native.why.is_empty() {
            log::info(format!("system packages are added for {}", self.native.why.join(", ")));
        }
        for warning in steps::warnings(self.facts, self.decision, &self.manager) {
            log::warn(warning);
        }
        for warning in self.missing_scripts()? {
            log::warn(warning);
        }
        if answers::adapts_itself(self.facts) {
            log::warn(
                "@sveltejs/adapter-auto fetches the adapter for Node.js in every build: install @sveltejs/adapter-node",
            );
        }
        let mut plan = BuildPlan::new();
        plan.toolchains.push(self.node.clone());
        if self.run != self.node && !matches!(self.decision.shape, Shape::Tree(_)) {
            plan.toolchains.push(self.run.clone());
        }
        match &self.decision.shape {
            Shape::Tree(tree) => self.tree(&mut plan, tree),
            Shape::Server(start) => self.server(&mut plan, start.as_ref())?,
            Shape::Standalone => self.standalone(&mut plan)?,
        }
        Ok(plan)
    }

    fn tree(&self, plan: &mut BuildPlan, tree: &Tree) {
        let deps = self.dependencies(plan, false, &self.native.build);
        let build = self.build(plan, &deps);
        let base = match self.decision.project {
            Some(_) => self.facts.place.root(),
            None => self.facts.place.app(),
        };
        let page = tree.page.as_deref();
        let not_found = if page.is_some() { None } else { Some("404.html") };
        plan.outputs.push(layout::site(&build, join(&base, &tree.output), page, not_found));
    }

    fn server(&self, plan: &mut BuildPlan, start: Option<&Start>) -> Result<(), PluginError> {
        let line = self.line(start);
        let builds = steps::builds(self.facts, self.decision, &self.manager);
        let migrates = self.migrates_with_development()?;
        let app = if builds {
            let deps = self.dependencies(plan, false, &self.native.build);
            let build = self.build(plan, &deps);
            let contained = start::without_variables(&line) == SELF_CONTAINED
                && self.declared().workers.is_empty();
            let needs_tools = migrates || self.migrates();
            if contained {
                if needs_tools {
                    plan.outputs.push(self.image(OUTPUT_MIGRATE, &build, &self.facts.place.app()));
                }
                let output = join(&join("app", &self.facts.place.dir), ".output/**");
                self.slim(plan, &build, &output)
            } else {
                let pruned = self.prune(plan, &build, &line);
                if migrates && pruned.id != build.id {
                    plan.outputs.push(self.image(OUTPUT_MIGRATE, &build, &self.facts.place.app()));
                }
                self.slim(plan, &pruned, "app/**")
            }
        } else {
            let keep = self.keeps_development(&line) || migrates;
            let apart = self.run != self.node || !self.native.build.is_empty();
            if apart {
                let deps = self.dependencies(plan, !keep, &self.native.build);
                let build = self.build(plan, &deps);
                self.slim(plan, &build, "app/**")
            } else {
                let deps = self.dependencies(plan, !keep, &self.native.run).op(layout::user());
                plan.steps.pop();
                let app = on(&deps, "app", "copy the source").op(self.source(true));
                plan.steps.extend([deps, app.clone()]);
                app
            }
        };
        plan.outputs.insert(0, self.image(OUTPUT_APP, &app, &self.facts.place.app()));
        let port = listening::fixed_port(self.facts, &line);
        if let Some(file) = listening::on_loopback(self.facts, &line) {
            log::warn(format!(
                "{file} seems to listen on 127.0.0.1 only, where nothing can reach it: listen on 0.0.0.0"
            ));
        }
        if port.is_none() {
            listening::quiet_web(self.facts).iter().for_each(log::warn);
        }
        if let Some((port, sign)) = port.as_ref().filter(|_| self.declared().port.is_none()) {
            log::info(format!("the port is {port}: {} {}", sign.path, sign.detail));
        }
        let argv = start.map(|start| start.argv.clone());
        plan.processes = match start.filter(|_| self.decision.worker) {
            Some(start) => {
                self.declared().clone().with_worker(Some(&start.line)).processes(None, None)
            }
            None => self.declared().processes(argv, port.map(|(port, _)| port)),
        };
        let serves = !self.decision.worker && !self.declared().only_workers;
        let other = listening::port_variable(self.facts, &line).filter(|_| serves);
        if let Some((name, file)) = other {
            log::info(ports::said(&name, &file));
            ports::tell(&mut plan.processes, &name);
        }
        Ok(())
    }

    /// The server that Next.js itself cut down to what it needs. It keeps the application's path from where
    /// the lock file is.
    fn standalone(&self, plan: &mut BuildPlan) -> Result<(), PluginError> {
        let deps = self.dependencies(plan, false, &self.native.build);
        let build = self.build(plan, &deps);
        let folder = join(&self.facts.place.app(), start::CUT_DOWN);
        let server = join(start::CUT_DOWN, self.facts.place.inner());
        let collect = Run::shell(format!(
            "mkdir -p {server}/.next && cp -r .next/static {server}/.next/ && \
             {{ test ! -d public || cp -r public {server}/; }}"
        ));
        let collect = steps::at(collect, &self.facts.place.app());
        let collected = on(&build, "collect", "collect the static files").op(collect);
        plan.steps.push(collected.clone());
        let app = self.slim(plan, &collected, &format!("{}/**", folder.trim_start_matches('/')));
        plan.outputs.push(self.image(OUTPUT_APP, &app, &join(&folder, self.facts.place.inner())));
        // The cut-down server has no tools at all, of either kind of dependency.
        if self.migrates() || self.migrates_with_development()? {
            plan.outputs.push(self.image(OUTPUT_MIGRATE, &build, &self.facts.place.app()));
        }
        // With the variables that the line sets that is declared, or the start script.
        let mut declared = self.declared().clone();
        let own = declared.web.take();
        let frame = own.and_then(|(line, ..)| start::around_cut_down(self.facts, &line));
        let frame = frame.or_else(|| start::frame(self.facts)).unwrap_or_default();
        let server = frame.around("node server.js");
        plan.processes = declared.processes(Some(command::argv(&server)), None);
        Ok(())
    }

    /// Manifests, then the installation, on a base with these system packages.
    fn dependencies(&self, plan: &mut BuildPlan, omit_dev: bool, system: &[&str]) -> Step {
        let mut base = Base::Toolchains(vec![self.node.clone()]);
        if !system.is_empty() {
            let mut step = Step::new("system", "install system packages", base).op(apt(system));
            "/".clone_into(&mut step.cwd);
            base = Base::Step(step.id.clone());
            plan.steps.push(step);
        }
        let fetch = self.manager.fetch().filter(|_| self.node.name == "node");
        if let Some(fetch) = fetch {
            let tool = self.quiet(Step::new("manager", "fetch the package manager", base));
            let tool = tool.op(fetch.env("HOME", "/root"));
            base = Base::Step(tool.id.clone());
            plan.steps.push(tool);
        }
        let mut deps = self.quiet(Step::new("dependencies", "install the dependencies", base));
        deps.cwd = self.facts.place.root();
        let setting = self.facts.settings.build.install.as_deref();
        let installs = self.package().is_some_and(PackageJson::installs_anything)
            || manager::is_workspace(self.facts);
        if installs || setting.is_some() {
            let copy = match self.install_needs_the_source() {
                true => layout::files([self.everything()]),
                false => layout::files(self.manager.manifests(self.facts)),
            };
            let install = match setting {
                Some(line) => {
                    let run = steps::at(Run::shell(line), &self.facts.place.app());
                    self.manager.installing(run)
                }
                None => {
                    let omit = omit_dev && !self.has_install_scripts();
                    self.manager.install(self.facts, omit).env("HOME", "/root")
                }
            };
            deps = deps.op(copy).op(install);
            if let Some((fetch, dir)) = &self.native.fetch {
                deps = deps.op(self.within(dir, Run::new(fetch.split_whitespace())));
            }
        } else {
            "prepare the runtime".clone_into(&mut deps.name);
        }
        plan.steps.push(deps.clone());
        deps
    }

    /// The source, then what builds it.
    fn build(&self, plan: &mut BuildPlan, deps: &Step) -> Step {
        let mut build = self.quiet(on(deps, "build", "build")).op(self.source(false));
        build.cwd = self.facts.place.app();
        for dir in self.prisma_clients() {
            build = build.op(self.within(dir, Run::new(["prisma", "generate"])));
        }
        for run in steps::commands(self.facts, self.decision, &self.manager) {
            build = build.op(run);
        }
        plan.steps.push(build.clone());
        build
    }

    fn prune(&self, plan: &mut BuildPlan, build: &Step, line: &str) -> Step {
        let packages = self.facts.root_package().into_iter().chain(self.package());
        let nothing =
            packages.into_iter().all(|package| package.dev_dependencies().next().is_none());
        let own = self.facts.settings.build.install.is_some();
        if nothing && !manager::is_workspace(self.facts) || own || self.keeps_development(line) {
            return build.clone();
        }
        let Some(prune) = self.manager.prune(self.facts) else {
            return build.clone();
        };
        let mut step = self.quiet(on(build, "prune", "remove development dependencies"));
        step.cwd = self.facts.place.root();
        let step = step.op(prune.env("HOME", "/root"));
        plan.steps.push(step.clone());
        step
    }

    /// Onto a bare runtime, without what the build left behind.
    fn slim(&self, plan: &mut BuildPlan, from: &Step, glob: &str) -> Step {
        let mut runtime = layout::runtime(std::slice::from_ref(&self.run));
        if !self.native.run.is_empty() {
            runtime.ops.insert(0, apt(&self.native.run).into());
        }
        // A part of the application leaves behind the browser that was fetched with its dependencies.
        let browser = self.native.fetch.as_ref().filter(|_| glob != "app/**");
        let globs = [glob].into_iter().chain(browser.map(|_| "app/.browsers/**"));
        let mut copy = Copy::step(&from.id, globs, "/").parents().exclude(BUILD_CACHES);
        copy.chown = Some(USER.to_owned());
        let app = on(&runtime, "app", "collect the application").op(copy);
        plan.steps.extend([runtime, app.clone()]);
        app
    }

    /// All of the source that the application may need: of a workspace, not the members that it does not.
    fn source(&self, owned: bool) -> Copy {
        let mut copy = layout::source();
        copy.sources = vec![self.everything()];
        if !owned {
            copy.chown = None;
        }
        let inner = self.facts.place.inner();
        if let Some(workspace) = self.facts.workspace.as_ref().filter(|_| !inner.is_empty()) {
            let needed = workspace.needed_by(inner);
            let others = workspace.members.keys().filter(|dir| !needed.contains(&dir.as_str()));
            let others = others.filter(|dir| !inner.starts_with(&format!("{dir}/")));
            let globs = others.map(|dir| join(&self.facts.place.root, &format!("{dir}/**")));
            copy = copy.exclude(globs);
        }
        copy
    }

    fn everything(&self) -> String {
        self.facts.place.glob("**")
    }

    fn package(&self) -> Option<&PackageJson> {
        self.facts.package.as_ref()
    }

    fn declared(&self) -> &Declared {
        &self.facts.declared
    }

    /// The command line of the web process.
    fn line(&self, start: Option<&Start>) -> String {
        let declared = self.declared().web.as_ref().map(|(line, ..)| line.as_str());
        declared.or(start.map(|start| start.line.as_str())).unwrap_or_default().to_owned()
    }

    /// The scripts that the settings, a Procfile or another platform's file call, and package.json does not have.
    fn missing_scripts(&self) -> Result<Vec<String>, PluginError> {
        let Some(package) = self.package() else {
            return Ok(Vec::new());
        };
        let build = &self.facts.settings.build;
        let entries = procfile::read(&self.facts.source)?;
        let release = entries.iter().find(|entry| entry.name == "release");
        let migrate = match &self.facts.settings.migrate {
            Migrate::Command(line) => Some(line),
            _ => release.map(|entry| &entry.command),
        };
        let web = self.declared().web.as_ref().map(|(line, ..)| line);
        let workers = self.declared().workers.iter().map(|(_, line)| line);
        let lines = build.install.iter().chain(&build.command).chain(migrate).chain(web);
        let mut missing: Vec<&str> = lines
            .chain(workers)
            .filter_map(|line| scripts::missing(package, line))
            .filter(|name| *name != "start" || !self.facts.has("server.js"))
            .collect();
        missing.sort_unstable();
        missing.dedup();
        let warning = |name: &&str| {
            format!(
                "package.json has no script {name:?}, which is to be run: add it, or correct the command that calls it"
            )
        };
        Ok(missing.iter().map(warning).collect())
    }

    /// Whether a process that is run needs a development dependency.
    fn keeps_development(&self, line: &str) -> bool {
        let Some(package) = self.package() else {
            return false;
        };
        let workers = self.declared().workers.iter().map(|(_, line)| line.as_str());
        // Commands of the workspace's root are found, too.
        let root = self.facts.root_package().filter(|_| !self.facts.place.inner().is_empty());
        let packages = || [package].into_iter().chain(root);
        let needs = |line: &str| {
            let all = packages().filter_map(|one| start::needs_development(one, line));
            all.map(str::to_owned).find(|name| !packages().any(|one| one.depends_on(name)))
        };
        let needed = workers.chain([line]).find_map(needs);
        if needed.is_none() && self.configured_in_typescript() {
            log::warn(
                "Next.js reads its TypeScript configuration when it starts, and typescript is a \
                 development dependency, so all of them are kept: move typescript to \"dependencies\", or \
                 set output: \"standalone\", for a smaller image",
            );
            return true;
        }
        if let Some(needed) = &needed {
            log::warn(format!(
                "the start command needs {needed}, which is a development dependency, so all of \
                 them are kept: move {needed} to \"dependencies\" for a smaller image"
            ));
        }
        needed.is_some()
    }

    /// Whether a Next.js server reads a configuration in TypeScript with a compiler that is a development
    /// dependency.
    fn configured_in_typescript(&self) -> bool {
        let next = self.decision.framework.is_some_and(|row| row.id == "nextjs");
        let served = matches!(self.decision.shape, Shape::Server(_));
        let typed = config::next_file(self.facts).is_some_and(|file| file.ends_with("ts"));
        let packages = || self.package().into_iter().chain(self.facts.root_package());
        let compiler = "typescript";
        next && served
            && typed
            && packages().any(|package| package.develops_with(compiler))
            && !packages().any(|package| package.depends_on(compiler))
    }

    /// Whether any tool for migrations is in use.
    fn migrates(&self) -> bool {
        let packages = self.facts.packages();
        packages.iter().any(|(dir, package)| {
            migrations::any(package, |path| self.facts.package_has(dir, path))
        })
    }

    /// Whether the migration's tool is among the development dependencies.
    fn migrates_with_development(&self) -> Result<bool, PluginError> {
        let packages = self.facts.packages();
        let develops =
            || packages.iter().any(|(_, package)| package.dev_dependencies().next().is_some());
        let needs = |(dir, package): &(&str, &PackageJson)| {
            migrations::needs_development(package, |path| self.facts.package_has(dir, path))
        };
        let entries = procfile::read(&self.facts.source)?;
        let release = entries.iter().any(|entry| entry.name == "release");
        Ok(match &self.facts.settings.migrate {
            Migrate::Off => false,
            Migrate::Command(_) => develops(),
            Migrate::Unset if release => develops(),
            Migrate::Unset => packages.iter().any(needs),
        })
    }

    /// Whether a script of the installation may need a development dependency.
    fn has_install_scripts(&self) -> bool {
        let hooked = |(_, package): &(&str, &PackageJson)| {
            steps::hooks(package).any(|(_, line)| !asks_for_manager(line))
        };
        self.facts.packages().iter().any(hooked)
    }

    /// Whether a script of the installation may read anything of the source.
    fn install_needs_the_source(&self) -> bool {
        let install = self.facts.settings.build.install.as_deref();
        let own = || self.package().is_some_and(|package| steps::hooks(package).next().is_some());
        install.is_some_and(|line| !self.manager.is_plain_install(line))
            || self.facts.has("binding.gyp")
            || manager::is_workspace(self.facts) && own()
            || self.facts.packages().iter().any(|(dir, package)| self.reads(dir, package))
    }

    /// Whether a package's script of the installation may read more than the manifests.
    fn reads(&self, dir: &str, package: &PackageJson) -> bool {
        let alone = self.facts.place.inner().is_empty();
        let schema = || alone || self.facts.package_has(dir, "prisma");
        let harmless = |line: &str| {
            asks_for_manager(line)
                || ["husky", "is-ci", "true"].iter().any(|sign| line.contains(sign))
                || dir.is_empty() && line.contains("patch-package")
                || line.contains("prisma generate") && schema()
        };
        steps::hooks(package).any(|(_, line)| !harmless(line))
    }

    /// Folders of the packages whose database client has to be generated.
    fn prisma_clients(&self) -> Vec<&str> {
        let packages = self.facts.packages().into_iter();
        let needs = packages.filter(|(dir, package)| {
            let scripts = ["build", "prebuild", "postinstall"].map(|name| package.script(name));
            let already = scripts.iter().flatten().any(|line| line.contains("prisma generate"));
            let both = package.uses("prisma") && package.uses("@prisma/client");
            both && !already && self.facts.package_has(dir, "prisma/schema.prisma")
        });
        needs.map(|(dir, _)| dir).collect()
    }

    /// A command in a package's folder, where it finds the package's own commands.
    fn within(&self, dir: &str, run: Run) -> Run {
        let folder = join(&self.facts.place.root(), dir);
        let path = format!("{folder}/node_modules/.bin:{}", self.search_path());
        let run = steps::at(run, &folder);
        if dir == self.facts.place.inner() { run } else { run.env("PATH", path) }
    }

    fn quiet(&self, mut step: Step) -> Step {
        step.env.extend(pairs(&QUIET));
        step.env.extend(pairs(self.manager.env()));
        step.env.extend(pairs(&self.native.env));
        step.env("PATH", self.search_path())
    }

    /// An output with the environment of Node.js applications.
    fn image(&self, name: &str, step: &Step, cwd: &str) -> Output {
        let path = self.search_path();
        let mut env = vec![
            ("PATH", path.as_str()),
            ("NODE_ENV", "production"),
            ("HOME", layout::APP),
            ("NEXT_TELEMETRY_DISABLED", "1"),
            ("CHECKPOINT_DISABLE", "1"),
        ];
        env.extend(self.native.env.iter().copied());
        if !matches!(self.decision.shape, Shape::Tree(_)) {
            env.extend(self.decision.framework.iter().flat_map(|row| row.env.iter().copied()));
        }
        layout::image(name, step, &env, cwd)
    }

    /// Commands of the application's dependencies, then those of the workspace.
    fn search_path(&self) -> String {
        let place = &self.facts.place;
        let (app, root) = (place.app(), place.root());
        let own = if app == root { String::new() } else { format!("{app}/node_modules/.bin:") };
        // A start command that changes into a folder finds the commands of that.
        let moves = self.line(match &self.decision.shape {
            Shape::Server(start) => start.as_ref(),
            _ => None,
        });
        let moves = moves.split("&&").any(|command| command.trim_start().starts_with("cd "));
        let there = if moves { "node_modules/.bin:" } else { "" };
        // Commands of packages ask for `node`; Bun's images have itself under that name here.
        let as_node = if self.run.name == "bun" { ":/usr/local/bun-node-fallback-bin" } else { "" };
        format!("{there}{own}{root}/node_modules/.bin:{PATH}{as_node}")
    }
}

/// Whether a script only insists on a package manager.
fn asks_for_manager(line: &str) -> bool {
    line.contains("only-allow")
}

/// Debian packages, without what installing them leaves behind.
fn apt(packages: &[&str]) -> Run {
    Run::shell(format!(
        "apt-get update && apt-get install -y --no-install-recommends {} && \
         rm -rf /var/lib/apt/lists/*",
        packages.join(" ")
    ))
    .network()
    .env("DEBIAN_FRONTEND", "noninteractive")
}
