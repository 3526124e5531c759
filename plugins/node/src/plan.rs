//! The build plan.
//!
//! Dependencies are installed from the manifests alone, so that a changed source keeps their step.
//! Without a build script that step is the application's floor; with one, the application is built
//! beside it, freed of what only the build needed, and copied onto a bare runtime.

use windlass_plugin_common::layout::{
    self, APP, Declared, OUTPUT_APP, OUTPUT_MIGRATE, PATH, USER, on,
};
use windlass_plugin_common::{package_json::PackageJson, procfile};
use windlass_sdk::config::Migrate;
use windlass_sdk::plan::{Base, BuildPlan, Copy, Run, Step};
use windlass_sdk::{PluginError, Toolchain, log};

use crate::facts::Facts;
use crate::framework::{Shape, Tree};
use crate::manager::{self, Manager};
use crate::start::{self, Start};

/// Nobody's telemetry, no questions, no advertisements in the log.
const QUIET: [(&str, &str); 9] = [
    ("npm_config_update_notifier", "false"),
    ("npm_config_audit", "false"),
    ("npm_config_fund", "false"),
    ("NEXT_TELEMETRY_DISABLED", "1"),
    ("ASTRO_TELEMETRY_DISABLED", "1"),
    ("GATSBY_TELEMETRY_DISABLED", "1"),
    ("NUXT_TELEMETRY_DISABLED", "1"),
    ("CHECKPOINT_DISABLE", "1"),
    ("DO_NOT_TRACK", "1"),
];
/// Left behind by builds, of no use to the running application.
const BUILD_CACHES: [&str; 3] =
    ["app/.next/cache/**", "app/node_modules/.cache/**", "app/.turbo/**"];
const STANDALONE: &str = "/app/.next/standalone";

/// Writes the plan of what was decided.
pub(crate) struct Planner<'a> {
    pub(crate) facts: &'a Facts<'a>,
    pub(crate) toolchain: Toolchain,
    pub(crate) shape: Shape,
}

impl Planner<'_> {
    /// The plan.
    ///
    /// # Errors
    /// Code `source.unreadable`.
    pub(crate) fn plan(&self) -> Result<BuildPlan, PluginError> {
        let manager = Manager::of(self.facts);
        for warning in &manager.warnings {
            log::warn(warning);
        }
        let mut plan = BuildPlan::new();
        plan.toolchains.push(self.toolchain.clone());
        match &self.shape {
            Shape::Tree(tree) => self.tree(&mut plan, &manager, tree),
            Shape::Server(start) => self.server(&mut plan, &manager, start.as_ref())?,
            Shape::Standalone => self.standalone(&mut plan, &manager)?,
        }
        Ok(plan)
    }

    fn tree(&self, plan: &mut BuildPlan, manager: &Manager, tree: &Tree) {
        let deps = self.dependencies(plan, manager, false, None);
        let build = self.build(plan, manager, &deps, Some(tree.build));
        let root = format!("{APP}/{}", tree.output);
        let (spa, not_found) =
            if tree.single_page { (Some("index.html"), None) } else { (None, Some("404.html")) };
        plan.outputs.push(layout::site(&build, root, spa, not_found));
    }

    fn server(
        &self,
        plan: &mut BuildPlan,
        manager: &Manager,
        start: Option<&Start>,
    ) -> Result<(), PluginError> {
        let line = self.line(start);
        let app = if self.builds() {
            let deps = self.dependencies(plan, manager, false, None);
            let build = self.build(plan, manager, &deps, None);
            let migrates = self.migrates_with_development()?;
            let pruned = self.prune(plan, manager, &build, &line);
            if migrates && pruned.id != build.id {
                plan.outputs.push(layout::image(OUTPUT_MIGRATE, &build, &self.run_env(), APP));
            }
            self.slim(plan, &pruned, "app/**")
        } else {
            let keep = self.keeps_development(&line) || self.migrates_with_development()?;
            let user = Some(layout::user());
            let deps = self.dependencies(plan, manager, !keep, user);
            let app = on(&deps, "app", "copy the source").op(layout::source());
            plan.steps.push(app.clone());
            app
        };
        plan.outputs.insert(0, layout::image(OUTPUT_APP, &app, &self.run_env(), APP));
        let port = start::fixed_port(self.facts, &line);
        if let Some((port, sign)) = port.as_ref().filter(|_| self.declared().port.is_none()) {
            log::info(format!("the port is {port}: {} {}", sign.path, sign.detail));
        }
        let argv = start.map(|start| start.argv.clone());
        plan.processes = self.declared().processes(argv, port.map(|(port, _)| port));
        Ok(())
    }

    /// The server that Next.js itself cut down to what it needs.
    fn standalone(&self, plan: &mut BuildPlan, manager: &Manager) -> Result<(), PluginError> {
        let deps = self.dependencies(plan, manager, false, None);
        let build = self.build(plan, manager, &deps, Some("next build"));
        let collect = Run::shell(
            "mkdir -p .next/standalone/.next && cp -r .next/static .next/standalone/.next/ && \
             { test ! -d public || cp -r public .next/standalone/; }",
        );
        let collected = on(&build, "collect", "collect the static files").op(collect);
        plan.steps.push(collected.clone());
        let app = self.slim(plan, &collected, "app/.next/standalone/**");
        let mut env = self.run_env();
        env.push(("HOSTNAME", "0.0.0.0"));
        plan.outputs.push(layout::image(OUTPUT_APP, &app, &env, STANDALONE));
        // The cut-down server has no tools at all, of either kind of dependency.
        let prisma = self.facts.uses("prisma") && self.facts.has("prisma");
        if prisma || self.migrates_with_development()? {
            plan.outputs.push(layout::image(OUTPUT_MIGRATE, &build, &self.run_env(), APP));
        }
        let argv = ["node", "server.js"].map(str::to_owned).to_vec();
        plan.processes = self.declared().processes(Some(argv), None);
        Ok(())
    }

    /// Manifests, then the installation; behind it `last`, if anything.
    fn dependencies(
        &self,
        plan: &mut BuildPlan,
        manager: &Manager,
        omit_dev: bool,
        last: Option<Run>,
    ) -> Step {
        let base = Base::Toolchains(vec![self.toolchain.clone()]);
        let mut deps = Step::new("dependencies", "install the dependencies", base);
        if let Some(fetch) = manager.fetch() {
            let base = Base::Toolchains(vec![self.toolchain.clone()]);
            let tool = self.quiet(Step::new("manager", "fetch the package manager", base), manager);
            let tool = tool.op(fetch.env("HOME", "/root"));
            deps.base = Base::Step(tool.id.clone());
            plan.steps.push(tool);
        }
        deps = self.quiet(deps, manager);
        let setting = self.facts.settings.build.install.as_deref();
        let installs = self.package().is_some_and(PackageJson::installs_anything);
        if installs || setting.is_some() {
            let copy = match self.install_needs_the_source() {
                true => layout::files(["**"]),
                false => layout::files(manager.manifests(self.facts)),
            };
            let install = match setting {
                Some(line) => manager.cached(Run::shell(line)).network(),
                None => manager.install(omit_dev && !self.has_install_scripts()),
            };
            deps = deps.op(copy).op(install.env("HOME", "/root"));
        } else {
            "prepare the runtime".clone_into(&mut deps.name);
        }
        if let Some(last) = last {
            deps = deps.op(last);
        }
        plan.steps.push(deps.clone());
        deps
    }

    /// The source, then the build script, or `fallback` where there is none.
    fn build(
        &self,
        plan: &mut BuildPlan,
        manager: &Manager,
        deps: &Step,
        fallback: Option<&str>,
    ) -> Step {
        let mut copy = layout::source();
        copy.chown = None;
        let mut build = self.quiet(on(deps, "build", "build"), manager).op(copy);
        if self.generates_prisma_client() {
            build = build.op(home(Run::new(["prisma", "generate"])));
        }
        let run = match (&self.facts.settings.build.command, self.facts.script("build"), fallback) {
            (Some(line), ..) => Some(Run::shell(line)),
            (None, Some(_), _) => Some(manager.script("build")),
            (None, None, Some(line)) if !line.is_empty() => Some(Run::new(line.split_whitespace())),
            _ => None,
        };
        if let Some(run) = run {
            build = build.op(home(run));
        }
        plan.steps.push(build.clone());
        build
    }

    fn prune(&self, plan: &mut BuildPlan, manager: &Manager, build: &Step, line: &str) -> Step {
        let nothing =
            self.package().is_none_or(|package| package.dev_dependencies().next().is_none());
        let own = self.facts.settings.build.install.is_some();
        if nothing || own || self.keeps_development(line) {
            return build.clone();
        }
        let Some(prune) = manager.prune() else {
            return build.clone();
        };
        let step = self.quiet(on(build, "prune", "remove development dependencies"), manager);
        let step = step.op(prune.env("HOME", "/root"));
        plan.steps.push(step.clone());
        step
    }

    /// Onto a bare runtime, without what the build left behind.
    fn slim(&self, plan: &mut BuildPlan, from: &Step, glob: &str) -> Step {
        let runtime = layout::runtime(std::slice::from_ref(&self.toolchain));
        let mut copy = Copy::step(&from.id, [glob], "/").parents().exclude(BUILD_CACHES);
        copy.chown = Some(USER.to_owned());
        let app = on(&runtime, "app", "collect the application").op(copy);
        plan.steps.extend([runtime, app.clone()]);
        app
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

    fn builds(&self) -> bool {
        let command = self.facts.settings.build.command.is_some();
        command || self.facts.script("build").is_some() || self.facts.uses("next")
    }

    /// Whether a process that is run needs a development dependency.
    fn keeps_development(&self, line: &str) -> bool {
        let Some(package) = self.package() else {
            return false;
        };
        let workers = self.declared().workers.iter().map(|(_, line)| line.as_str());
        let needed = workers.chain([line]).find_map(|line| start::needs_development(package, line));
        if let Some(needed) = needed {
            log::warn(format!(
                "the start command needs {needed}, which is a development dependency, so all of \
                 them are kept: move {needed} to \"dependencies\" for a smaller image"
            ));
        }
        needed.is_some()
    }

    /// Whether the migration's tool is among the development dependencies.
    fn migrates_with_development(&self) -> Result<bool, PluginError> {
        let Some(package) = self.package() else {
            return Ok(false);
        };
        let entries = procfile::read(self.facts.source)?;
        let release = entries.iter().any(|entry| entry.name == "release");
        Ok(match &self.facts.settings.migrate {
            Migrate::Off => false,
            Migrate::Command(_) => package.dev_dependencies().next().is_some(),
            Migrate::Unset if release => package.dev_dependencies().next().is_some(),
            Migrate::Unset => package.develops_with("prisma") && self.facts.has("prisma"),
        })
    }

    fn has_install_scripts(&self) -> bool {
        let hooks = ["preinstall", "install", "postinstall", "prepare"];
        hooks.into_iter().any(|hook| self.facts.script(hook).is_some())
    }

    /// Whether a script of the installation may read anything of the source.
    fn install_needs_the_source(&self) -> bool {
        let harmless = ["prisma generate", "husky", "patch-package", "is-ci", "true"];
        let hooks = ["preinstall", "install", "postinstall", "prepare"];
        let lines = hooks.into_iter().filter_map(|hook| self.facts.script(hook));
        let needs = |line: &str| !harmless.iter().any(|known| line.contains(known));
        self.facts.settings.build.install.is_some()
            || self.facts.has("binding.gyp")
            || manager::is_workspace(self.facts) && self.has_install_scripts()
            || lines.into_iter().any(needs)
    }

    fn generates_prisma_client(&self) -> bool {
        let scripts = ["build", "prebuild", "postinstall"].map(|name| self.facts.script(name));
        let already = scripts.iter().flatten().any(|line| line.contains("prisma generate"));
        let both = self.facts.uses("prisma") && self.facts.uses("@prisma/client");
        both && !already && self.facts.has("prisma/schema.prisma")
    }

    fn quiet(&self, mut step: Step, manager: &Manager) -> Step {
        step.env.extend(pairs(&QUIET));
        step.env.extend(pairs(manager.env()));
        step.env("PATH", search_path())
    }

    fn run_env(&self) -> Vec<(&'static str, &'static str)> {
        vec![
            ("PATH", search_path()),
            ("NODE_ENV", "production"),
            ("HOME", APP),
            ("NEXT_TELEMETRY_DISABLED", "1"),
            ("CHECKPOINT_DISABLE", "1"),
        ]
    }
}

/// A command of the build: with the network, because builds fetch fonts, content and engines.
fn home(run: Run) -> Run {
    run.network().env("HOME", "/root")
}

fn search_path() -> &'static str {
    const { assert!(PATH.len() == 60, "the path below ends with it") };
    "/app/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
