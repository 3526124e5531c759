//! The build plan: packages from the project files alone, then the source, then what is published onto
//! the runtime.

use std::collections::BTreeSet;

use windlass_plugin_common::layout::{self, APP, OUTPUT_APP, OUTPUT_MIGRATE, USER, on};
use windlass_plugin_common::{command, node_version};
use windlass_sdk::plan::{Base, BuildPlan, Copy, Op, Run, Step, WriteFile};
use windlass_sdk::{PluginError, log};

use crate::facts::Facts;
use crate::framework::{Decision, Prebuilt, Shape};
use crate::project::{Kind, Project};
use crate::start;
use crate::version::Chosen;

const OUT: &str = "/app/out";
const PUBLISH: &str = "/publish";
const BUILD_ENV: [(&str, &str); 5] = [
    ("HOME", "/root"),
    ("DOTNET_CLI_TELEMETRY_OPTOUT", "1"),
    ("DOTNET_NOLOGO", "1"),
    ("DOTNET_SKIP_FIRST_TIME_EXPERIENCE", "1"),
    ("NUGET_XMLDOC_MODE", "skip"),
];
/// Where the application finds its appsettings.json and wwwroot is said, because it starts in /app.
const RUN_ENV: [(&str, &str); 6] = [
    ("HOME", APP),
    ("DOTNET_RUNNING_IN_CONTAINER", "true"),
    ("DOTNET_CLI_TELEMETRY_OPTOUT", "1"),
    ("DOTNET_NOLOGO", "1"),
    ("ASPNETCORE_CONTENTROOT", OUT),
    ("DOTNET_CONTENTROOT", OUT),
];
/// Files that a restore reads.
const MANIFESTS: [&str; 11] = [
    "**/*.csproj",
    "**/*.fsproj",
    "**/*.vbproj",
    "*.sln",
    "*.slnx",
    "*.slnf",
    "**/*.props",
    "**/*.targets",
    "**/packages.lock.json",
    "**/[Nn]u[Gg]et.[Cc]onfig",
    "**/.config/dotnet-tools.json",
];
/// What a build on somebody's machine left; an upload may bring it.
const LEFTOVERS: [&str; 3] = ["**/obj/**", "**/bin/Debug/**", "**/bin/Release/**"];
/// Packages that bring native code, and what that needs.
const NATIVE: [(&str, &str); 4] = [
    ("SkiaSharp", "libfontconfig1"),
    ("QuestPDF", "libfontconfig1"),
    ("System.Drawing.Common", "libgdiplus"),
    ("Magick.NET-Q8-AnyCPU", "libfontconfig1"),
];

/// Writes the plan of what was decided.
///
/// # Errors
/// Code `source.unreadable`.
pub(crate) fn plan(
    facts: &Facts,
    decision: &Decision,
    chosen: &Chosen,
) -> Result<BuildPlan, PluginError> {
    for warning in &chosen.warnings {
        log::warn(warning);
    }
    let project = match &decision.shape {
        Shape::Prebuilt(prebuilt) => return Ok(published(facts, prebuilt, chosen)),
        Shape::Project(project) => project,
    };
    let mut plan = BuildPlan::new();
    let build = build(facts, project, chosen, &mut plan);
    if project.kind == Kind::Wasm {
        let root = match &facts.settings.build.output {
            Some(output) => format!("{APP}/{}", output.trim_matches('/')),
            None if facts.settings.build.command.is_some() => format!("{OUT}/wwwroot"),
            None => format!("{PUBLISH}/wwwroot"),
        };
        plan.outputs.push(layout::site(&build, root, Some("index.html"), None));
        plan.toolchains.insert(0, chosen.sdk.clone());
        return Ok(plan);
    }
    let app = runtime(facts, project, chosen, &build, &mut plan);
    plan.outputs.push(layout::image(OUTPUT_APP, &app, &run_env(chosen), APP));
    migration(facts, project, &build, &mut plan);
    plan.toolchains.splice(0..0, [chosen.runtime.clone(), chosen.sdk.clone()]);
    let web = decision.detection.id == "aspnet";
    plan.processes = processes(facts, project, web);
    Ok(plan)
}

/// The environment of what runs.
fn run_env(chosen: &Chosen) -> Vec<(&'static str, &'static str)> {
    let mut env = RUN_ENV.to_vec();
    if chosen.rolls {
        env.push(("DOTNET_ROLL_FORWARD", "Major"));
    }
    env
}

fn processes(facts: &Facts, project: &Project, web: bool) -> Vec<windlass_sdk::plan::Process> {
    let mut declared = facts.declared.clone();
    // An own command leaves the program where it likes.
    if facts.settings.build.command.is_none() {
        let first = declared.web.iter_mut().map(|(line, ..)| (line, web));
        let workers = declared.workers.iter_mut().map(|(_, line)| (line, false));
        for (line, web) in first.chain(workers) {
            start::warn(facts, project, line);
            *line = start::resolved(line, project, web);
        }
    }
    let line = start::line(project, web);
    if project.kind == Kind::Worker {
        declared = declared.with_worker(Some(&line));
    }
    declared.processes(Some(command::argv(&line)), None)
}

/// Whether the whole tree is kept, because somebody's own commands may point anywhere in it.
fn keeps_all(facts: &Facts) -> bool {
    facts.settings.build.command.is_some()
        || facts.declared.web.is_some()
        || !facts.declared.workers.is_empty()
}

/// Whether a declared command line needs the SDK.
fn calls_sdk(facts: &Facts) -> bool {
    let web = facts.declared.web.iter().map(|(line, ..)| line);
    let mut lines = web.chain(facts.declared.workers.iter().map(|(_, line)| line));
    lines.any(|line| line.contains("dotnet run") || line.contains("dotnet watch"))
}

fn build(facts: &Facts, project: &Project, chosen: &Chosen, plan: &mut BuildPlan) -> Step {
    let base = Base::Toolchains(vec![chosen.sdk.clone()]);
    let restore = quiet(Step::new("restore", "restore the packages", base));
    let restore = match &facts.settings.build.install {
        Some(line) => restore.op(layout::files(["**"])).op(nuget(Run::shell(line))),
        None => {
            let command = nuget(Run::new(["dotnet", "restore", project.path.as_str()]));
            with_global(facts, restore.op(layout::files(MANIFESTS))).op(command)
        }
    };
    let mut build = quiet(on(&restore, "build", "publish the application"))
        .op(layout::source().exclude(LEFTOVERS));
    build = with_global(facts, build);
    if let Some(place) = &project.node {
        let step = node(facts, project, place, plan);
        plan.steps.push(step);
        let files = ["usr/local/bin/*", "usr/local/lib/node_modules/**"];
        build = build.op(Copy::step("node", files, "/").parents());
    }
    let run = match &facts.settings.build.command {
        Some(line) => Run::shell(line),
        None => {
            let mut argv = vec!["dotnet", "publish", project.path.as_str(), "-c", "Release", "-o"];
            argv.push(PUBLISH);
            if let Some(framework) = &chosen.framework {
                argv.extend(["-f", framework.as_str()]);
            }
            Run::new(argv)
        }
    };
    // Not with --no-restore: the packages lie in a cache that may be gone when the restore's step is not.
    build = build.op(nuget(run));
    plan.steps.extend([restore, build.clone()]);
    build
}

/// Only npm and what it needs, for projects whose build calls it in a folder.
fn node(facts: &Facts, project: &Project, place: &str, plan: &mut BuildPlan) -> Step {
    let setting = facts.settings.build.toolchain.get("node").map(String::as_str);
    let folders = [place, project.folder()];
    let pins = node_version::pins_below(setting, facts.source, &folders);
    let node = node_version::for_builds(&pins, facts.previous("node"));
    for warning in &node.warnings {
        log::warn(warning);
    }
    plan.toolchains.push(node.toolchain.clone());
    Step::new("node", "prepare Node.js", Base::Toolchains(vec![node.toolchain]))
}

fn quiet(step: Step) -> Step {
    BUILD_ENV.iter().fold(step, |step, (name, value)| step.env(*name, *value))
}

fn nuget(run: Run) -> Run {
    run.network().cache("nuget", "/root/.nuget/packages")
}

/// A global.json that allows newer SDKs: the exact one that it names is in no image.
fn with_global(facts: &Facts, mut step: Step) -> Step {
    let text = facts.text("global.json");
    let parsed = serde_json::from_str(text.trim_start_matches('\u{feff}'));
    let Ok(mut global) = parsed.map(|global: serde_json::Value| global) else {
        return step;
    };
    if let Some(sdk) = global.get_mut("sdk").and_then(serde_json::Value::as_object_mut) {
        sdk.insert("rollForward".to_owned(), "latestMajor".into());
        sdk.insert("allowPrerelease".to_owned(), false.into());
    }
    let content = format!("{global}\n").into_bytes();
    let path = format!("{APP}/global.json");
    step.ops.push(Op::WriteFile(WriteFile { path, content, mode: 0o644, chown: None }));
    step
}

fn runtime(
    facts: &Facts,
    project: &Project,
    chosen: &Chosen,
    build: &Step,
    plan: &mut BuildPlan,
) -> Step {
    let toolchain = if calls_sdk(facts) { &chosen.sdk } else { &chosen.runtime };
    let mut runtime = layout::runtime(std::slice::from_ref(toolchain));
    let needs: BTreeSet<&str> = NATIVE
        .iter()
        .filter(|(package, _)| project.package(package).is_some())
        .map(|(_, needs)| *needs)
        .collect();
    if !needs.is_empty() {
        let names = needs.into_iter().collect::<Vec<_>>().join(" ");
        runtime = runtime.op(Run::shell(format!(
            "apt-get update && apt-get install -y --no-install-recommends {names} && \
             rm -rf /var/lib/apt/lists/*"
        ))
        .network());
    }
    let mut app = on(&runtime, "app", "collect the application");
    if keeps_all(facts) {
        app = app
            .op(owned(Copy::step(&build.id, ["app/**"], "/").parents().exclude(["app/**/obj/**"])));
    }
    if facts.settings.build.command.is_none() {
        app = app.op(owned(Copy::step(&build.id, ["publish/**"], "/app/out/")));
    }
    plan.steps.extend([runtime, app.clone()]);
    app
}

fn owned(mut copy: Copy) -> Copy {
    copy.chown = Some(USER.to_owned());
    copy
}

/// Entity Framework's tool with the source, where there are migrations.
fn migration(facts: &Facts, project: &Project, build: &Step, plan: &mut BuildPlan) {
    let framework = |one: &Project| one.package("Microsoft.EntityFrameworkCore.Design").is_some();
    let uses = framework(project) || facts.projects.iter().any(framework);
    if !uses || !facts.has_migrations() {
        return;
    }
    let version = facts.projects.iter().find_map(|one| {
        one.package("Microsoft.EntityFrameworkCore.Design").filter(|version| !version.is_empty())
    });
    // Where the version stands elsewhere (Directory.Packages.props): Entity Framework's is .NET's.
    let line = project.frameworks.iter().rev().find_map(|name| name.strip_prefix("net"));
    let is_number = |major: &&str| !major.is_empty() && major.chars().all(|c| c.is_ascii_digit());
    let mut majors = [version, line].into_iter().flatten().filter_map(|one| one.split('.').next());
    let major = majors.find(is_number);
    let mut argv =
        vec!["dotnet", "tool", "install", "--tool-path", "/opt/dotnet-tools", "dotnet-ef"];
    let wanted = major.map(|major| format!("{major}.*"));
    if let Some(wanted) = &wanted {
        argv.extend(["--version", wanted.as_str()]);
    }
    let install = nuget(Run::new(argv));
    let own = Run::shell(
        "cp -R /root/.nuget/packages /opt/nuget && chown -R 1000:1000 /app /opt/nuget /opt/dotnet-tools",
    )
    .cache("nuget", "/root/.nuget/packages");
    let step = quiet(on(build, "migrate", "prepare the migration")).op(install).op(own);
    let env = [
        ("HOME", APP),
        ("NUGET_PACKAGES", "/opt/nuget"),
        ("DOTNET_CLI_TELEMETRY_OPTOUT", "1"),
        // The tool would else take the settings of a developer's machine.
        ("ASPNETCORE_ENVIRONMENT", "Production"),
        ("DOTNET_ENVIRONMENT", "Production"),
        (
            "PATH",
            "/opt/dotnet-tools:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:\
             /usr/share/dotnet",
        ),
    ];
    let cwd = match project.folder() {
        "" => APP.to_owned(),
        folder => format!("{APP}/{folder}"),
    };
    plan.outputs.push(layout::image(OUTPUT_MIGRATE, &step, &env, &cwd));
    plan.steps.push(step);
}

/// What was published already.
fn published(facts: &Facts, prebuilt: &Prebuilt, chosen: &Chosen) -> BuildPlan {
    let mut plan = BuildPlan::new();
    let runtime = &chosen.runtime;
    let base = layout::runtime(std::slice::from_ref(runtime));
    let mut app = on(&base, "app", "copy the published application").op(layout::source());
    if let Some(line) = &facts.settings.build.command {
        app = app.op(Run::shell(line).network());
    }
    let mut env = run_env(chosen);
    env.retain(|(name, _)| !name.ends_with("_CONTENTROOT"));
    plan.outputs.push(layout::image(OUTPUT_APP, &app, &env, APP));
    plan.steps.extend([base, app]);
    plan.toolchains.push(runtime.clone());
    let program = format!("dotnet {}.dll", prebuilt.name);
    let line = if prebuilt.web {
        format!("ASPNETCORE_URLS=http://0.0.0.0:$PORT {program}")
    } else {
        program
    };
    plan.processes = facts.declared.processes(Some(command::argv(&line)), None);
    plan
}
