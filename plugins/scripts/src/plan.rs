//! The build plan: the interpreter with the packages that the program needs, then the source.

use windlass_plugin_common::compiled::packages;
use windlass_plugin_common::layout::{self, APP, OUTPUT_APP, PATH, on};
use windlass_plugin_common::wanted::{self, Pin};
use windlass_sdk::Toolchain;
use windlass_sdk::plan::{BuildPlan, Run};

use crate::facts::Facts;
use crate::program::Program;

/// The version that the settings ask for, else the one that it ran with before.
pub(crate) fn toolchain(facts: &Facts, program: &Program) -> Toolchain {
    let name = program.toolchain;
    let setting = facts.settings.build.toolchain.get(name).map(String::as_str).unwrap_or_default();
    let key = format!("build.toolchain.{name}");
    let mut pins: Vec<Pin> = Pin::new("windlass.toml", &key, setting).into_iter().collect();
    pins.extend(wanted::elsewhere(facts.source, &[name]));
    wanted::choose(name, &pins, facts.previous).0
}

/// Writes the plan.
pub(crate) fn plan(facts: &Facts, program: &Program) -> BuildPlan {
    let toolchain = toolchain(facts, program);
    let mut runtime = layout::runtime(std::slice::from_ref(&toolchain));
    runtime.ops.extend(packages(&program.packages).map(Into::into));
    let mut plan = BuildPlan::new();
    plan.toolchains.push(toolchain);
    let mut base = runtime.clone();
    plan.steps.push(runtime);
    let build = &facts.settings.build;
    if let Some(line) = &build.install {
        let step = on(&base, "dependencies", "install the dependencies").op(layout::files(["**"]));
        base = step.op(Run::shell(line).network());
        plan.steps.push(base.clone());
    }
    let mut app = on(&base, "app", "copy the source").op(layout::source());
    let line = build.command.as_deref().or(program.site.then_some("haunt build"));
    if let Some(line) = line {
        app = app.env("HOME", "/root").op(Run::shell(line).network());
    }
    if program.site {
        let folder = build.output.as_deref().unwrap_or("site").trim_matches('/');
        plan.outputs.push(layout::site(&app, format!("/app/{folder}"), None, Some("404.html")));
        plan.steps.push(app);
        return plan;
    }
    let env = [("PATH", PATH), ("HOME", APP), ("GUILE_AUTO_COMPILE", "0")];
    let env = if program.toolchain == "scheme" { &env[..] } else { &env[..2] };
    plan.outputs.push(layout::image(OUTPUT_APP, &app, env, APP));
    plan.steps.push(app);
    let mut declared = facts.declared.clone();
    if program.worker {
        declared = declared.with_worker(Some(&program.argv.join(" ")));
    }
    plan.processes = declared.processes(Some(program.argv.clone()), None);
    plan
}
