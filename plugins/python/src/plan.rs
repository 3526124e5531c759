//! The build plan: dependencies into a virtual environment from the manifests alone, then the source.
//!
//! Where something is compiled, that happens beside the image: only the finished environment is copied to
//! a base without compilers.

use windlass_plugin_common::assets::Assets;
use windlass_plugin_common::layout::{self, APP, OUTPUT_APP, USER, on};
use windlass_plugin_common::{command, ports};
use windlass_sdk::plan::{Base, BuildPlan, Copy, Run, Step};
use windlass_sdk::{PluginError, Toolchain, log};

use crate::django;
use crate::facts::Facts;
use crate::framework::Decision;
use crate::listening;
use crate::manager::{self, Manager, VENV, pip};
use crate::native::{self, System};
use crate::queues;

const SEARCH_PATH: &str =
    "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const RUN_ENV: [(&str, &str); 5] = [
    ("PATH", SEARCH_PATH),
    ("VIRTUAL_ENV", VENV),
    ("PYTHONUNBUFFERED", "1"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("HOME", APP),
];
const SETTINGS: &str = "DJANGO_SETTINGS_MODULE";
/// Frameworks whose pages have scripts and styles.
const PAGES: [&str; 8] =
    ["django", "flask", "fastapi", "starlette", "quart", "litestar", "sanic", "bottle"];
/// Where Playwright's browser is.
const BROWSERS: (&str, &str) = ("PLAYWRIGHT_BROWSERS_PATH", "/opt/browsers");

/// Writes the plan of what was decided.
///
/// # Errors
/// Codes `python.conda-unsupported` and `python.workspace-member`, and a refusal of the decision.
pub(crate) fn plan(
    facts: &Facts,
    toolchain: Toolchain,
    decision: Decision,
) -> Result<BuildPlan, PluginError> {
    for warning in &decision.warnings {
        log::warn(warning);
    }
    let refusal = decision.detection.refusal.clone();
    if let Some(error) = refusal.or_else(|| manager::unsupported(facts)) {
        return Err(error);
    }
    let mut plan = BuildPlan::new();
    let mut env = RUN_ENV.to_vec();
    env.extend(decision.env);
    env.extend(decision.settings.as_deref().map(|settings| (SETTINGS, settings)));
    let installed = install(facts, &toolchain, &decision, &mut plan);
    let mut last = installed;
    if facts.manifests.names().contains("playwright") {
        last = browsers(&last);
        plan.steps.push(last.clone());
        env.push(BROWSERS);
    }
    let assets = assets(facts, &decision, &mut plan);
    let app = app(facts, &last, &decision, assets.as_ref());
    plan.outputs.push(layout::image(OUTPUT_APP, &app, &env, APP));
    plan.steps.push(app);
    plan.toolchains.push(toolchain);
    processes(facts, &decision, &mut plan);
    Ok(plan)
}

fn processes(facts: &Facts, decision: &Decision, plan: &mut BuildPlan) {
    let mut declared = facts.declared.clone();
    if !decision.web {
        declared = declared.with_worker(decision.line.as_deref());
    }
    let line = declared.web.as_ref().map(|(line, ..)| line.as_str()).or(decision.line.as_deref());
    let line = line.filter(|_| !declared.only_workers);
    let port = line.and_then(|line| listening::port(facts, line));
    if let Some(port) = port.filter(|_| declared.port.is_none()) {
        let sign = port_sign(port, line.unwrap_or_default(), |file| facts.text(file));
        log::info(format!("the port is {port}: {sign}"));
    }
    if let Some(warning) = line.and_then(|line| listening::on_loopback(facts, line)) {
        log::warn(warning);
    }
    if let Some(hint) = queues::hint(facts) {
        log::warn(hint);
    }
    let argv = decision.line.as_deref().map(command::argv);
    plan.processes = declared.processes(argv, port);
    if let Some((name, file)) = line.and_then(|line| listening::port_variable(facts, line)) {
        log::info(ports::said(&name, &file));
        ports::tell(&mut plan.processes, &name);
    }
}

/// Where the port of a start command comes from.
fn port_sign(port: u16, line: &str, text: impl Fn(&str) -> String) -> String {
    let port = port.to_string();
    let written = |text: &str| text.split(|c: char| !c.is_ascii_digit()).any(|part| part == port);
    if written(line) {
        return "it is written into the start command".to_owned();
    }
    match line.split_whitespace().find(|word| word.ends_with(".py")) {
        Some(file) if written(&text(file)) => format!("it is written into {file}"),
        Some(file) => format!("it is the default of the server that {file} starts"),
        None => "it is that of the server which is started".to_owned(),
    }
}

/// The steps up to the environment with everything in it; the last of them.
fn install(
    facts: &Facts,
    toolchain: &Toolchain,
    decision: &Decision,
    plan: &mut BuildPlan,
) -> Step {
    let manager = Manager::of(facts);
    let system = native::system(facts);
    let mut runtime = layout::runtime(std::slice::from_ref(toolchain));
    if let Some(line) = system.run_line() {
        runtime = runtime.op(apt(line));
    }
    plan.steps.push(runtime.clone());
    let own = facts.settings.build.install.is_some();
    if let Some(fetch) = manager.fetch(facts).filter(|_| !own) {
        let base = Base::Toolchains(vec![toolchain.clone()]);
        let step = Step::new("manager", "fetch the package manager", base);
        plan.steps.push(quiet(step).op(fetch));
    }
    let dependencies = dependencies(facts, &runtime, manager, &system, decision.adds);
    plan.steps.push(dependencies.clone());
    // What an own install command left outside of the environment is not known, so all of it is kept.
    let clean = system.build.is_empty() && manager != Manager::Project;
    if own || clean {
        return dependencies;
    }
    let copy = Copy::step(&dependencies.id, ["opt/venv/**"], "/").parents();
    let packages = on(&runtime, "packages", "collect the dependencies").op(copy);
    plan.steps.push(packages.clone());
    packages
}

fn dependencies(
    facts: &Facts,
    runtime: &Step,
    manager: Manager,
    system: &System,
    adds: Option<&str>,
) -> Step {
    let mut step = quiet(on(runtime, "dependencies", "install the dependencies"));
    if let Some(line) = system.build_line() {
        step = step.op(apt(line));
    }
    if let Some(line) = &facts.settings.build.install {
        step = step.op(Run::new(["python3", "-m", "venv", VENV]));
        step = step.op(layout::files(["**"])).op(pip(Run::shell(line)));
    } else {
        manager::report(facts, manager);
        step = step.op(manager.environment(adds.is_some()));
        step.ops.extend(manager.install(facts));
    }
    if let Some(package) = adds {
        step = step.op(pip(Run::new(["pip", "install", package])));
    }
    step
}

/// The browser that Playwright drives, with the libraries that it needs.
fn browsers(base: &Step) -> Step {
    let line = "playwright install --with-deps chromium && rm -rf /var/lib/apt/lists/*";
    let step = quiet(on(base, "browsers", "fetch the browser")).env(BROWSERS.0, BROWSERS.1);
    step.op(apt(line.to_owned()))
}

/// The source with its assets built, beside the image, where a package.json has a build script for them.
fn assets(facts: &Facts, decision: &Decision, plan: &mut BuildPlan) -> Option<Step> {
    let pages = PAGES.contains(&decision.detection.id.as_str());
    if !pages || facts.settings.build.command.is_some() || !facts.has("package.json") {
        return None;
    }
    let assets = Assets::of(&facts.settings, facts.previous, facts);
    if !assets.builds() {
        return None;
    }
    let node = assets.step();
    let mut copy = layout::source();
    copy.chown = None;
    let mut step = on(&node, "assets", "build the assets").op(copy);
    step.env = assets.env();
    step = step.op(assets.build());
    plan.toolchains.push(assets.toolchain);
    plan.steps.extend([node, step.clone()]);
    Some(step)
}

fn app(facts: &Facts, base: &Step, decision: &Decision, assets: Option<&Step>) -> Step {
    let copy = match assets {
        None => layout::source(),
        Some(assets) => {
            let mut copy = Copy::step(&assets.id, ["app/**"], "/").parents();
            copy = copy.exclude(["app/node_modules", "app/node_modules/**"]);
            copy.chown = Some(USER.to_owned());
            copy
        }
    };
    let mut step = quiet(on(base, "app", "copy the source")).op(copy);
    if facts.settings.build.install.is_none()
        && let Some(own) = Manager::of(facts).own(facts)
    {
        step = step.op(own);
    }
    if let Some(line) = &facts.settings.build.command {
        step = step.op(Run::shell(line).network());
    } else if let Some(line) = &decision.collect_static {
        let mut collect = Run::new(command::argv(line));
        for name in django::secret_keys(facts) {
            collect = collect.env(name, "only-to-collect-static-files");
        }
        if let Some(settings) = &decision.settings {
            collect = collect.env(SETTINGS, settings);
        }
        step = step.op(collect);
    }
    step
}

fn quiet(step: Step) -> Step {
    step.env("PATH", SEARCH_PATH)
        .env("VIRTUAL_ENV", VENV)
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .env("DO_NOT_TRACK", "1")
}

/// A command that installs system packages.
fn apt(line: String) -> Run {
    Run::shell(line).network().env("DEBIAN_FRONTEND", "noninteractive")
}

#[cfg(test)]
mod tests {
    use super::port_sign;

    #[test]
    fn the_place_of_a_port_is_named() {
        let sign = |line: &str, text: &str| port_sign(8000, line, |_| text.to_owned());
        assert_eq!(sign("gunicorn -b :8000 a:b", ""), "it is written into the start command");
        assert_eq!(sign("python ./a.py", "PORT = 8000"), "it is written into ./a.py");
        let default = "it is the default of the server that a.py starts";
        assert_eq!(sign("python a.py", "uvicorn.run(app)  # not 80001"), default);
        assert_eq!(sign("python -m a", ""), "it is that of the server which is started");
    }
}
