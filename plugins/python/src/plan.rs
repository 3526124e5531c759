//! The build plan: dependencies into a virtual environment from the manifests alone, then the source.

use windlass_plugin_common::layout::{self, APP, OUTPUT_APP, on};
use windlass_plugin_common::{command, python::Pyproject};
use windlass_sdk::plan::{BuildPlan, Run, Step, WriteFile};
use windlass_sdk::{PluginError, Toolchain, log};

use crate::facts::Facts;
use crate::framework::Decision;

const VENV: &str = "/opt/venv";
const LISTED: &str = "/opt/requirements.txt";
const SEARCH_PATH: &str =
    "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const RUN_ENV: [(&str, &str); 5] = [
    ("PATH", SEARCH_PATH),
    ("VIRTUAL_ENV", VENV),
    ("PYTHONUNBUFFERED", "1"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("HOME", APP),
];

/// Writes the plan of what was decided.
///
/// # Errors
/// Codes `python.poetry-unsupported` and `python.pipenv-unsupported`.
pub(crate) fn plan(
    facts: &Facts,
    toolchain: Toolchain,
    decision: Decision,
) -> Result<BuildPlan, PluginError> {
    for warning in &decision.warnings {
        log::warn(warning);
    }
    if let Some(error) = unsupported_manager(facts) {
        return Err(error);
    }
    let mut plan = BuildPlan::new();
    let runtime = layout::runtime(std::slice::from_ref(&toolchain));
    let dependencies = dependencies(facts, &runtime);
    let app = app(facts, &dependencies, &decision);
    plan.outputs.push(layout::image(OUTPUT_APP, &app, &RUN_ENV, APP));
    plan.steps.extend([runtime, dependencies, app]);
    plan.toolchains.push(toolchain);
    let mut declared = facts.declared.clone();
    if declared.web.is_none() && declared.workers.is_empty() && !decision.web {
        declared.workers.extend(decision.line.clone().map(|line| ("worker".to_owned(), line)));
        declared.only_workers = true;
    }
    let argv = decision.line.as_deref().map(command::argv);
    plan.processes = declared.processes(argv, None);
    Ok(plan)
}

/// Why the dependencies cannot be installed, if they are declared in a form that is not read.
pub(crate) fn unsupported_manager(facts: &Facts) -> Option<PluginError> {
    let pyproject = facts.manifests.pyproject.as_ref();
    let installable = facts.manifests.requirements.is_some()
        || facts.settings.build.install.is_some()
        || pyproject.is_some_and(|project| project.project && project.poetry.is_none())
        || pyproject.is_some_and(|project| !project.dependencies.is_empty());
    if installable {
        return None;
    }
    let export = |tool: &str, code: &str, file: &str, command: &str| {
        let message =
            format!("the dependencies are declared for {tool} in {file}, which is not read yet");
        PluginError::new(code, message).hint(format!(
            "export them, commit the file, and deploy again: {command}; or set build.install in \
             windlass.toml"
        ))
    };
    if pyproject.is_some_and(|project| project.poetry.is_some()) {
        let command = "poetry export --without-hashes -o requirements.txt";
        return Some(export("Poetry", "python.poetry-unsupported", "pyproject.toml", command));
    }
    let command = "pipenv requirements > requirements.txt";
    let pipenv = facts.has("Pipfile");
    pipenv.then(|| export("Pipenv", "python.pipenv-unsupported", "Pipfile", command))
}

fn dependencies(facts: &Facts, runtime: &Step) -> Step {
    let mut step = on(runtime, "dependencies", "install the dependencies")
        .env("PATH", SEARCH_PATH)
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .env("PIP_ROOT_USER_ACTION", "ignore");
    step = step.op(Run::new(["python3", "-m", "venv", VENV]));
    let pyproject = facts.manifests.pyproject.as_ref();
    if let Some(line) = &facts.settings.build.install {
        return step.op(layout::files(["**"])).op(pip(Run::shell(line)));
    }
    if let Some(text) = &facts.manifests.requirements {
        let copy = match included(text) {
            Some(files) => layout::files(files),
            None => layout::files(["**"]),
        };
        return step.op(copy).op(pip(Run::new(["pip", "install", "-r", "requirements.txt"])));
    }
    let listed = pyproject.filter(|project| !project.dynamic && !project.dependencies.is_empty());
    if let Some(project) = listed {
        warn_of_locks(facts);
        let content = format!("{}\n", project.dependencies.join("\n")).into_bytes();
        let path = LISTED.to_owned();
        let file = WriteFile { path, content, mode: 0o644, chown: None };
        step.ops.push(windlass_sdk::plan::Op::WriteFile(file));
        step = step.op(pip(Run::new(["pip", "install", "-r", LISTED])));
    }
    step
}

fn app(facts: &Facts, dependencies: &Step, decision: &Decision) -> Step {
    let mut step = on(dependencies, "app", "copy the source")
        .env("PATH", SEARCH_PATH)
        .env("VIRTUAL_ENV", VENV)
        .op(layout::source());
    if facts.settings.build.install.is_none()
        && let Some(argv) = facts.manifests.pyproject.as_ref().and_then(|p| own_package(facts, p))
    {
        step = step.op(pip(Run::new(argv)));
    }
    if let Some(line) = &facts.settings.build.command {
        step = step.op(Run::shell(line).network());
    } else if decision.collect_static {
        step = step.op(Run::new(["python", "manage.py", "collectstatic", "--noinput"]));
    }
    step
}

/// How the application itself is installed, if it is a package.
fn own_package(facts: &Facts, project: &Pyproject) -> Option<Vec<&'static str>> {
    let name = project.name.as_deref().unwrap_or_default().replace('-', "_");
    let package = |folder: &str| facts.has(&format!("{folder}{name}/__init__.py"));
    let is_package = project.build_system && project.project && (package("") || package("src/"));
    match (is_package, project.dynamic && facts.manifests.requirements.is_none()) {
        (_, true) => Some(vec!["pip", "install", "."]),
        (true, false) => Some(vec!["pip", "install", "--no-deps", "."]),
        (false, false) => None,
    }
}

fn pip(run: Run) -> Run {
    run.network().cache("pip", "/root/.cache/pip").env("HOME", "/root")
}

/// The files that requirements.txt names, itself first; `None` if it names a folder of the source.
fn included(text: &str) -> Option<Vec<String>> {
    let mut files = vec!["requirements.txt".to_owned()];
    for line in text.lines().map(str::trim) {
        let option = |names: [&str; 2]| {
            let rest = names.into_iter().find_map(|name| line.strip_prefix(name))?;
            Some(rest.trim_start_matches('=').trim().trim_start_matches("./").to_owned())
        };
        let nested = option(["--requirement", "-r"]).or_else(|| option(["--constraint", "-c"]));
        match nested {
            // What that file includes in turn is not followed: then all of the source is copied.
            Some(file) if file.contains('/') || file.contains("..") => return None,
            Some(file) => files.push(file),
            None if line.starts_with(['.', '/']) || line.contains("file:") => return None,
            None if line.starts_with("-e") || line.starts_with("--editable") => return None,
            None => {}
        }
    }
    Some(files)
}

fn warn_of_locks(facts: &Facts) {
    if let Some(lock) =
        ["uv.lock", "pdm.lock", "poetry.lock"].into_iter().find(|file| facts.has(file))
    {
        log::warn(format!(
            "{lock} is not read by this version: the newest versions that pyproject.toml allows are \
             installed; for exact ones, export a requirements.txt and commit it"
        ));
    }
}
