//! The build plan: dependencies from the manifests alone, then the source, then the release onto a system
//! without build tools. A release brings its own Erlang; a shipment of Gleam runs on Erlang's image.

use windlass_plugin_common::layout::{self, APP, Declared, OUTPUT_APP, OUTPUT_MIGRATE, USER, on};
use windlass_plugin_common::{command, node_version};
use windlass_sdk::plan::{Base, BuildPlan, Copy, Run, Step};
use windlass_sdk::{Toolchain, log};

use crate::App;
use crate::facts::Facts;
use crate::gleam::Gleam;
use crate::mix::Mix;
use crate::rebar::Rebar;
use crate::version::Chosen;

const LIBRARIES: &str = "apt-get update && apt-get install -y --no-install-recommends libncurses6 \
                         libssl3 libstdc++6 openssl && rm -rf /var/lib/apt/lists/*";
const BUILD_TOOLS: &str = "apt-get update && apt-get install -y --no-install-recommends \
                           build-essential git && rm -rf /var/lib/apt/lists/*";
/// Dependencies that compile C, or that come from Git.
const NATIVE: [&str; 7] = [
    ":bcrypt_elixir,",
    ":argon2_elixir,",
    ":pbkdf2_elixir,",
    ":elixir_make,",
    ":exqlite,",
    "git:",
    "github:",
];
const MIX_ENV: [(&str, &str); 6] = [
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
    ("MIX_ENV", "prod"),
    ("MIX_HOME", "/opt/mix"),
    ("HEX_HOME", "/root/.hex"),
    ("ELIXIR_ERL_OPTIONS", "+fnu"),
];

/// Writes the plan of what was decided.
pub(crate) fn plan(facts: &Facts, app: &App, chosen: &Chosen) -> BuildPlan {
    if let Some(warning) = &chosen.warning {
        log::warn(warning);
    }
    match app {
        App::Mix(mix) => Mixed { facts, mix, toolchain: &chosen.toolchain }.plan(),
        App::Gleam(gleam) => shipment(facts, gleam, &chosen.toolchain),
        App::Rebar(rebar) => rebar_release(facts, rebar, &chosen.toolchain),
    }
}

/// Whether a declared command line calls this program, which only the build's image has.
fn calls(declared: &Declared, program: &str) -> bool {
    let web = declared.web.iter().map(|(line, ..)| line);
    let mut lines = web.chain(declared.workers.iter().map(|(_, line)| line));
    lines
        .any(|line| line.split(|c: char| c.is_whitespace() || c == '/').any(|word| word == program))
}

fn with(step: Step, env: &[(&str, &str)]) -> Step {
    env.iter().fold(step, |step, (name, value)| step.env(*name, *value))
}

fn owned(mut copy: Copy) -> Copy {
    copy.chown = Some(USER.to_owned());
    copy
}

struct Mixed<'a> {
    facts: &'a Facts<'a>,
    mix: &'a Mix,
    toolchain: &'a Toolchain,
}

impl Mixed<'_> {
    fn plan(&self) -> BuildPlan {
        self.warn();
        let mut plan = BuildPlan::new();
        plan.toolchains.push(self.toolchain.clone());
        let dependencies = self.dependencies();
        plan.steps.push(dependencies.clone());
        let node = self.node(&dependencies, &mut plan);
        plan.steps.extend(node.clone());
        let build = self.build(&dependencies, node.as_ref());
        plan.steps.push(build.clone());
        let declared = &self.facts.declared;
        let name = &self.mix.release;
        let mut env = vec![("HOME", APP), ("LANG", "C.UTF-8"), ("MIX_ENV", "prod")];
        env.extend([("ELIXIR_ERL_OPTIONS", "+fnu"), ("RELEASE_DISTRIBUTION", "none")]);
        if self.mix.phoenix {
            env.push(("PHX_SERVER", "true"));
        }
        if calls(declared, "mix") || calls(declared, "elixir") || calls(declared, "iex") {
            log::warn(
                "a declared process calls mix, so the image keeps Elixir and the source: start \
                       the release instead to make it smaller",
            );
            let whole = self.whole(&build, "app", "give the application to its user");
            env.push(("MIX_HOME", "/opt/mix"));
            plan.outputs.push(layout::image(OUTPUT_APP, &whole, &env, APP));
            plan.steps.push(whole);
        } else {
            let debian = Toolchain::new("debian", "");
            let base = layout::runtime(std::slice::from_ref(&debian));
            let base = base.op(Run::shell(LIBRARIES).network());
            let release = format!("app/_build/prod/rel/{name}/**");
            let copy = owned(Copy::step(&build.id, [release], "/").parents());
            let app = on(&base, "app", "collect the release").op(copy);
            plan.outputs.push(layout::image(OUTPUT_APP, &app, &env, APP));
            plan.steps.extend([base, app]);
        }
        if self.mix.migrates_with_mix {
            let migrate = self.whole(&build, "migrate", "prepare the migration");
            let env =
                [("HOME", APP), ("LANG", "C.UTF-8"), ("MIX_ENV", "prod"), ("MIX_HOME", "/opt/mix")];
            plan.outputs.push(layout::image(OUTPUT_MIGRATE, &migrate, &env, APP));
            plan.steps.push(migrate);
        }
        let line = format!("/app/_build/prod/rel/{name}/bin/{name} start");
        plan.processes = declared.processes(Some(command::argv(&line)), None);
        plan
    }

    /// Says which variables the release will ask for.
    fn warn(&self) {
        let files = ["config/runtime.exs", "config/releases.exs", "config/prod.exs"];
        let text: String = files.iter().map(|file| self.facts.text(file)).collect();
        let asks = |name: &str| {
            text.contains(&format!("get_env(\"{name}\")"))
                || text.contains(&format!("fetch_env!(\"{name}\")"))
        };
        if asks("SECRET_KEY_BASE") && !self.facts.has_variable("SECRET_KEY_BASE") {
            log::warn(
                "the application ends at its start without the variable SECRET_KEY_BASE: set it \
                       to the output of `mix phx.gen.secret`",
            );
        }
        if asks("DATABASE_URL") && !self.facts.has_variable("DATABASE_URL") {
            log::warn("the application asks for the variable DATABASE_URL, and it is not set");
        }
    }

    fn manifests(&self) -> String {
        let paths = self.facts.listed(|path| path.ends_with("mix.exs"));
        paths.map(|path| self.facts.text(path)).collect()
    }

    fn dependencies(&self) -> Step {
        let base = Base::Toolchains(vec![self.toolchain.clone()]);
        let mut step = with(Step::new("dependencies", "fetch the dependencies", base), &MIX_ENV);
        let text = self.manifests();
        if NATIVE.iter().any(|word| text.contains(word)) {
            step = step.op(Run::shell(BUILD_TOOLS).network());
        }
        if let Some(line) = &self.facts.settings.build.install {
            return step.op(layout::files(["**"])).op(hex(Run::shell(line)));
        }
        let names = ["mix.exs", "mix.lock", "config/config.exs", "config/prod.exs"];
        let mut files: Vec<&str> = names.into_iter().filter(|name| self.facts.has(name)).collect();
        if self.mix.umbrella {
            files.push("apps/*/mix.exs");
        }
        step = step.op(layout::files(files));
        if !self.mix.dependencies {
            return step;
        }
        step.op(Run::shell("mix local.hex --force && mix local.rebar --force").network())
            .op(hex(Run::shell("mix deps.get --only prod && mix deps.compile")))
    }

    /// The packages of the assets, where they have a package.json of their own.
    fn node(&self, dependencies: &Step, plan: &mut BuildPlan) -> Option<Step> {
        let manifest = "assets/package.json";
        if !self.facts.has(manifest) || self.mix.assets.is_none() {
            return None;
        }
        let setting = self.facts.settings.build.toolchain.get("node").map(String::as_str);
        let pins = node_version::pins_below(setting, self.facts.source, &["assets"]);
        let node = node_version::for_builds(&pins, self.facts.previous("node"));
        for warning in &node.warnings {
            log::warn(warning);
        }
        plan.toolchains.push(node.toolchain.clone());
        let base = Base::Toolchains(vec![node.toolchain]);
        let mut step = Step::new("node", "install the packages for the assets", base);
        let names = [manifest, "assets/package-lock.json", "assets/.npmrc"];
        let files: Vec<&str> = names.into_iter().filter(|name| self.facts.has(name)).collect();
        step = step.op(layout::files(files));
        if self.mix.dependencies {
            // Phoenix' own scripts lie among the dependencies: "phoenix": "file:../deps/phoenix".
            step = step.op(Copy::step(&dependencies.id, ["app/deps/**"], "/").parents());
        }
        let command = if self.facts.has("assets/package-lock.json") { "ci" } else { "install" };
        let run = Run::new(["npm", command, "--prefix", "assets", "--no-audit", "--no-fund"]);
        Some(step.op(run.network().cache("npm", "/root/.npm").env("HOME", "/root")))
    }

    fn build(&self, dependencies: &Step, node: Option<&Step>) -> Step {
        let mut step = with(on(dependencies, "build", "build the release"), &MIX_ENV);
        step = step.op(layout::source().exclude(["_build", "_build/**", "deps", "deps/**"]));
        if let Some(node) = node {
            // The brackets make it a pattern: without packages there is no such folder.
            let files =
                ["usr/local/bin/*", "usr/local/lib/node_modules/**", "app/assets/[n]ode_modules"];
            step = step.op(Copy::step(&node.id, files, "/").parents());
        }
        let line = match &self.facts.settings.build.command {
            Some(line) => line.clone(),
            None => self.line(),
        };
        step.op(hex(Run::shell(line)))
    }

    fn line(&self) -> String {
        let assets = match self.mix.assets.as_deref() {
            Some("") => " && mix assets.deploy".to_owned(),
            Some(folder) => format!(" && (cd {folder} && mix assets.deploy)"),
            None => String::new(),
        };
        let name = if self.mix.listed { format!(" {}", self.mix.release) } else { String::new() };
        format!("mix compile{assets} && mix release{name} --overwrite")
    }

    /// The built tree with everything in it.
    fn whole(&self, build: &Step, id: &str, name: &str) -> Step {
        let names = layout::user();
        on(build, id, name).op(names).op(Run::shell("chown -R 1000:1000 /app"))
    }
}

fn hex(run: Run) -> Run {
    run.network().cache("hex", "/root/.hex")
}

fn shipment(facts: &Facts, _: &Gleam, toolchain: &Toolchain) -> BuildPlan {
    let mut plan = BuildPlan::new();
    let env = [("HOME", "/root"), ("LANG", "C.UTF-8")];
    let base = Base::Toolchains(vec![toolchain.clone()]);
    let mut dependencies = with(Step::new("dependencies", "fetch the dependencies", base), &env);
    let cached = |run: Run| run.network().cache("gleam", "/root/.cache/gleam");
    let local = facts.text("gleam.toml").contains("path =");
    let install = facts.settings.build.install.as_deref().unwrap_or("gleam deps download");
    let manifests = ["gleam.toml", "manifest.toml"].into_iter().filter(|name| facts.has(name));
    let copy = if local || facts.settings.build.install.is_some() {
        layout::files(["**"])
    } else {
        layout::files(manifests)
    };
    dependencies = dependencies.op(copy).op(cached(Run::shell(install)));
    let line = facts.settings.build.command.as_deref().unwrap_or("gleam export erlang-shipment");
    let build = with(on(&dependencies, "build", "export the shipment"), &env)
        .op(layout::source().exclude(["build", "build/**"]))
        .op(cached(Run::shell(line)));
    let whole = calls(&facts.declared, "gleam");
    let erlang = if whole { toolchain.clone() } else { Toolchain::new("erlang", "") };
    let runtime = layout::runtime(std::slice::from_ref(&erlang));
    let glob = if whole { "app/**" } else { "app/build/erlang-shipment/**" };
    let app = on(&runtime, "app", "collect the shipment")
        .op(owned(Copy::step(&build.id, [glob], "/").parents()));
    plan.toolchains.extend([toolchain.clone(), erlang]);
    plan.toolchains.dedup();
    plan.outputs.push(layout::image(OUTPUT_APP, &app, &[("HOME", APP), ("LANG", "C.UTF-8")], APP));
    plan.steps.extend([dependencies, build, runtime, app]);
    let line = "./build/erlang-shipment/entrypoint.sh run";
    plan.processes = facts.declared.processes(Some(command::argv(line)), None);
    plan
}

fn rebar_release(facts: &Facts, rebar: &Rebar, toolchain: &Toolchain) -> BuildPlan {
    let mut plan = BuildPlan::new();
    let env = [("HOME", "/root"), ("LANG", "C.UTF-8")];
    let base = Base::Toolchains(vec![toolchain.clone()]);
    let cached = |run: Run| run.network().cache("rebar3", "/root/.cache/rebar3");
    let manifests = ["rebar.config", "rebar.lock"].into_iter().filter(|name| facts.has(name));
    let install = facts.settings.build.install.as_deref();
    let copy = if install.is_some() { layout::files(["**"]) } else { layout::files(manifests) };
    let install = install.unwrap_or("rebar3 as prod get-deps");
    let dependencies = with(Step::new("dependencies", "fetch the dependencies", base), &env)
        .op(copy)
        .op(cached(Run::shell(install)));
    let line = facts.settings.build.command.as_deref().unwrap_or("rebar3 as prod release");
    let build = with(on(&dependencies, "build", "build the release"), &env)
        .op(layout::source().exclude(["_build", "_build/**"]))
        .op(cached(Run::shell(line)));
    let runtime = layout::runtime(std::slice::from_ref(toolchain));
    let name = &rebar.release;
    // The links of a release in development mode point into _build.
    let app = on(&runtime, "app", "collect the release")
        .op(owned(Copy::step(&build.id, ["app/**"], "/").parents()));
    plan.toolchains.push(toolchain.clone());
    plan.outputs.push(layout::image(OUTPUT_APP, &app, &[("HOME", APP), ("LANG", "C.UTF-8")], APP));
    plan.steps.extend([dependencies, build, runtime, app]);
    let line = format!("/app/_build/prod/rel/{name}/bin/{name} foreground");
    plan.processes = facts.declared.processes(Some(command::argv(&line)), None);
    plan
}
