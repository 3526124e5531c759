//! The build plan. Everything is done by user 1000, who runs the application, so that the modules need no
//! second copy with another owner.

use windlass_plugin_common::layout::{self, APP, OUTPUT_APP, PATH, USER, on};
use windlass_plugin_common::{command, version::Interval};
use windlass_sdk::Toolchain;
use windlass_sdk::plan::{Base, BuildPlan, Run, Step};

use crate::facts::Facts;
use crate::start::Start;

/// The modules: part of the image, so that nothing is fetched when the application starts.
const MODULES: &str = "/app/.deno";
const MANIFESTS: [&str; 8] = [
    "deno.json",
    "deno.jsonc",
    "deno.lock",
    "import_map.json",
    "package.json",
    "package-lock.json",
    ".npmrc",
    "vendor",
];

/// The plan of an application.
pub(crate) fn plan(facts: &Facts, toolchain: &Toolchain, start: Option<&Start>) -> BuildPlan {
    let mut plan = BuildPlan::new();
    plan.toolchains.push(toolchain.clone());
    let mut runtime =
        Step::new("runtime", "prepare the runtime", Base::Toolchains(vec![toolchain.clone()]));
    runtime = runtime.op(layout::user());
    "/".clone_into(&mut runtime.cwd);
    let manifests: Vec<&str> = MANIFESTS.into_iter().filter(|file| facts.has(file)).collect();
    let frozen = facts.has("deno.lock");
    let mut deps = quiet(on(&runtime, "dependencies", "install the dependencies"));
    let line = facts.settings.build.install.clone();
    let declares = facts.json.get("imports").is_some() || facts.package.is_some();
    let installs = line.or_else(|| (declares && !is_first(toolchain)).then(|| install(frozen)));
    // Without a manifest a line of the settings may read anything.
    let own = facts.settings.build.install.is_some();
    let manifests = if own && manifests.is_empty() { vec!["**"] } else { manifests };
    if let Some(line) = installs.filter(|_| !manifests.is_empty()) {
        let mut copy = layout::files(manifests);
        copy.chown = Some(USER.to_owned());
        deps = deps.op(copy).op(network(Run::shell(line)));
    }
    let mut build = quiet(on(&deps, "app", "copy the source, fetch the modules and build"));
    build = build.op(layout::source());
    let entry = start.and_then(|start| entry(&start.line)).filter(|file| facts.has(file));
    if let Some(file) = entry {
        let words = ["deno", "cache"].into_iter().chain(frozen.then_some("--frozen"));
        build = build.op(network(Run::new(words.chain([file]))));
    }
    if let Some(run) = build_command(facts) {
        build = build.op(network(run));
    }
    let path = format!("/app/node_modules/.bin:{PATH}");
    let env = [
        ("PATH", path.as_str()),
        ("DENO_DIR", MODULES),
        ("DENO_NO_UPDATE_CHECK", "1"),
        ("DENO_NO_PROMPT", "1"),
        ("NODE_ENV", "production"),
        ("HOME", APP),
    ];
    plan.outputs.push(layout::image(OUTPUT_APP, &build, &env, APP));
    plan.processes = facts.declared.processes(start.map(|start| command::argv(&start.line)), None);
    plan.steps.extend([runtime, deps, build]);
    plan
}

/// Whether it is Deno 1, whose `install` installs programs.
fn is_first(toolchain: &Toolchain) -> bool {
    Interval::line(&toolchain.requirement).is_some_and(|line| line.high <= (2, 0, 0))
}

fn install(frozen: bool) -> String {
    if frozen { "deno install --frozen".to_owned() } else { "deno install".to_owned() }
}

fn build_command(facts: &Facts) -> Option<Run> {
    if let Some(line) = &facts.settings.build.command {
        return Some(Run::shell(line));
    }
    facts.task("build").map(|_| Run::new(["deno", "task", "build"]))
}

/// The file that a command line runs.
fn entry(line: &str) -> Option<&str> {
    let script = |word: &&str| {
        [".ts", ".tsx", ".js", ".mjs", ".jsx"].iter().any(|ending| word.ends_with(ending))
    };
    line.split_whitespace().find(script).map(|word| word.trim_start_matches("./"))
}

fn network(run: Run) -> Run {
    run.network().env("HOME", APP)
}

fn quiet(mut step: Step) -> Step {
    USER.clone_into(&mut step.user);
    step.env("DENO_DIR", MODULES)
        .env("DENO_NO_UPDATE_CHECK", "1")
        .env("DENO_NO_PROMPT", "1")
        .env("PATH", format!("/app/node_modules/.bin:{PATH}"))
}
