//! What a build runs, in order: the packages of the workspace that the application needs, then the
//! application itself.

use windlass_plugin_common::package_json::PackageJson;
use windlass_plugin_common::scripts;
use windlass_sdk::plan::Run;

use crate::answers;
use crate::facts::{Facts, join};
use crate::framework::{self, Decision, Shape};
use crate::manager::Manager;
use crate::migrating::{self, Script};

/// Caches of tools that can be told where to keep them.
const TURBO: (&str, &str, &str) = ("TURBO_CACHE_DIR", "turbo", "/root/.turbo-cache");
const NX: (&str, &str, &str) = ("NX_CACHE_DIRECTORY", "nx", "/root/.nx-cache");

/// Scripts of an installation.
const HOOKS: [&str; 4] = ["preinstall", "install", "postinstall", "prepare"];

/// The scripts that an installation of the package runs, with their names.
pub(crate) fn hooks(package: &PackageJson) -> impl Iterator<Item = (&'static str, &str)> {
    HOOKS.into_iter().filter_map(|name| Some((name, package.script(name)?)))
}

/// A script that the build runs.
struct Part<'f> {
    /// The folder of its package, from where dependencies are installed.
    dir: &'f str,
    name: String,
    /// What it is without its migrations.
    script: Script,
}

/// The commands of a build, each with the folder that it is run in.
pub(crate) fn commands(facts: &Facts, decision: &Decision, manager: &Manager) -> Vec<Run> {
    let root = facts.place.root();
    if let Some(line) = &facts.settings.build.command {
        return vec![own(facts, decision, Run::shell(line))];
    }
    if let Some(project) = &decision.project {
        return vec![at(with_cache(Run::new(["nx", "build", project.as_str()]), NX), &root)];
    }
    if let Some(name) = by_nx(facts) {
        return vec![at(with_cache(Run::new(["nx", "build", name]), NX), &root)];
    }
    let parts = parts(facts, decision, manager);
    // Turborepo would run the scripts whole.
    let whole = !parts.iter().any(|part| matches!(part.script, Script::Cut(..)));
    if let Some(name) = by_turbo(facts).filter(|_| whole) {
        let filter = format!("--filter={name}");
        let run = Run::new(["turbo", "run", "build", filter.as_str()]);
        return vec![at(cached(facts, decision, with_cache(run, TURBO)), &root)];
    }
    let inner = facts.place.inner();
    let needed = parts.iter().filter(|part| part.dir != inner);
    let mut runs: Vec<Run> = needed
        .filter_map(|part| Some(at(part.run(manager, false)?, &join(&root, part.dir))))
        .collect();
    let run = match parts.iter().find(|part| part.dir == inner) {
        Some(part) => part.run(manager, true),
        None => fallback(decision),
    };
    runs.extend(run.map(|run| own(facts, decision, run)));
    runs
}

/// The name of the member that Turborepo builds, with what it needs.
fn by_turbo(facts: &Facts) -> Option<&str> {
    let workspace = facts.workspace.as_ref().filter(|_| !facts.place.inner().is_empty())?;
    let can = facts.root_has("turbo.json") && workspace.package.uses("turbo");
    let named = workspace.package.package_manager().is_some();
    facts.script("build").filter(|_| can && named)?;
    facts.package.as_ref()?.name()
}

/// The name of the member that Nx builds, where package.json does not say how.
fn by_nx(facts: &Facts) -> Option<&str> {
    let workspace = facts.workspace.as_ref().filter(|_| !facts.place.inner().is_empty())?;
    let can = facts.root_has("nx.json") && workspace.package.uses("nx");
    let package = facts.package.as_ref().filter(|package| package.script("build").is_none())?;
    package.name().filter(|_| can)
}

impl Part<'_> {
    /// Its command; none where nothing is left of it. `own`: the search path is that of its package.
    fn run(&self, manager: &Manager, own: bool) -> Option<Run> {
        match &self.script {
            Script::Whole | Script::Stuck => Some(manager.script(&self.name)),
            Script::Cut(left, _) if left.is_empty() => None,
            Script::Cut(left, _) if own => Some(Run::shell(left)),
            Script::Cut(left, _) => {
                Some(Run::shell(format!("PATH=\"$PWD/node_modules/.bin:$PATH\"; {left}")))
            }
        }
    }
}

/// The scripts of a build: those of the packages that the application needs, then its own.
fn parts<'f>(facts: &'f Facts, decision: &Decision, manager: &Manager) -> Vec<Part<'f>> {
    let inner = facts.place.inner();
    let own = match decision.framework {
        Some(row) => framework::build_script(facts, row).map(|(name, _)| name),
        None => facts.package.as_ref().and_then(scripts::building).map(str::to_owned),
    };
    let needed = facts.packages().into_iter().filter(|(dir, _)| !dir.is_empty() && *dir != inner);
    let needed = needed.filter(|(_, package)| package.script("build").is_some());
    let needed = needed.map(|(dir, package)| (dir, package, "build".to_owned()));
    let own = facts.package.as_ref().zip(own).map(|(package, name)| (inner, package, name));
    let looks = !migrating::may_be_a_file(facts);
    let part = |(dir, package, name): (&'f str, &'f PackageJson, String)| {
        let hooks = manager.runs_hooks();
        let script = if looks { migrating::script(package, &name, hooks) } else { Script::Whole };
        Part { dir, name, script }
    };
    needed.chain(own).map(part).collect()
}

/// What to say of migrations in what the installation and the build run.
pub(crate) fn warnings(facts: &Facts, decision: &Decision, manager: &Manager) -> Vec<String> {
    if migrating::may_be_a_file(facts) {
        return Vec::new();
    }
    let file = |dir: &str| join(dir, "package.json");
    let mut said = Vec::new();
    for (dir, package) in facts.packages() {
        let places = hooks(package).filter(|(_, line)| migrating::in_line(line));
        said.extend(places.map(|(name, _)| stuck(&format!("scripts.{name} of {}", file(dir)))));
    }
    if let Some(line) = &facts.settings.build.command {
        said.extend(migrating::in_line(line).then(|| stuck("the build command of the settings")));
        return said;
    }
    if decision.project.is_some() || by_nx(facts).is_some() {
        return said;
    }
    for part in parts(facts, decision, manager) {
        let place = format!("scripts.{} of {}", part.name, file(part.dir));
        match &part.script {
            Script::Whole => {}
            Script::Stuck => said.push(stuck(&place)),
            Script::Cut(_, dropped) => said.push(format!(
                "{place} is run without `{}`: a build has no database; migrations are run before \
                 the new version gets traffic",
                dropped.join("`, `")
            )),
        }
    }
    said
}

/// What to say of a line that is run as it is.
fn stuck(place: &str) -> String {
    format!(
        "{place} changes a database, and while the application is built there is none: take that out of \
         it; migrations are run before the new version gets traffic"
    )
}

/// The framework's own command, where package.json has no script for it.
fn fallback(decision: &Decision) -> Option<Run> {
    let line = decision.framework.map(|row| row.build).filter(|line| !line.is_empty())?;
    let leaves = matches!(decision.shape, Shape::Tree(_) | Shape::Standalone);
    // A server may come with what it runs: only what cannot run without is built unasked.
    (leaves || is_usual(decision)).then(|| Run::new(line.split_whitespace()))
}

/// Whether the start command is the framework's usual one, which needs the build.
fn is_usual(decision: &Decision) -> bool {
    match &decision.shape {
        Shape::Server(Some(start)) => !start.scripted,
        _ => true,
    }
}

/// Whether anything is to be built.
pub(crate) fn builds(facts: &Facts, decision: &Decision, manager: &Manager) -> bool {
    !commands(facts, decision, manager).is_empty()
}

/// A command in the application's folder, with the caches of its framework.
fn own(facts: &Facts, decision: &Decision, run: Run) -> Run {
    let mut run = at(cached(facts, decision, run), &facts.place.app());
    if decision.framework.is_some_and(|row| row.id == "sveltekit") && answers::adapts_itself(facts)
    {
        // The sign by which its automatic adapter takes the one for Node.js.
        run = run.env("GCP_BUILDPACKS", "1");
    }
    run
}

fn cached(facts: &Facts, decision: &Decision, run: Run) -> Run {
    let caches = decision.framework.map_or(&[][..], |row| row.caches);
    caches.iter().fold(run, |run, folder| {
        let id = folder.trim_start_matches('.').replace('/', "-");
        run.cache(id, join(&facts.place.app(), folder))
    })
}

fn with_cache(run: Run, (variable, id, folder): (&str, &str, &str)) -> Run {
    run.env(variable, folder).cache(id, folder)
}

/// A command of the build: with the network, because builds fetch fonts, content and engines.
pub(crate) fn at(run: Run, folder: &str) -> Run {
    let mut run = run.network().env("HOME", "/root");
    run.cwd = Some(folder.to_owned());
    run
}
