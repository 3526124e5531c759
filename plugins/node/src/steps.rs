//! What a build runs, in order: the packages of the workspace that the application needs, then the
//! application itself.

use windlass_sdk::plan::Run;

use crate::answers;
use crate::facts::{Facts, join};
use crate::framework::{self, Decision, Shape};
use crate::manager::Manager;

/// Caches of tools that can be told where to keep them.
const TURBO: (&str, &str, &str) = ("TURBO_CACHE_DIR", "turbo", "/root/.turbo-cache");
const NX: (&str, &str, &str) = ("NX_CACHE_DIRECTORY", "nx", "/root/.nx-cache");

/// The commands of a build, each with the folder that it is run in.
pub(crate) fn commands(facts: &Facts, decision: &Decision, manager: &Manager) -> Vec<Run> {
    let root = facts.place.root();
    if let Some(line) = &facts.settings.build.command {
        return vec![own(facts, decision, Run::shell(line))];
    }
    if let Some(project) = &decision.project {
        return vec![at(with_cache(Run::new(["nx", "build", project.as_str()]), NX), &root)];
    }
    let script = facts.package.as_ref().and_then(|package| package.script("build"));
    let name = facts.package.as_ref().and_then(|package| package.name());
    let inner = facts.place.inner();
    if let (Some(workspace), Some(name), false) = (&facts.workspace, name, inner.is_empty()) {
        let can = facts.root_has("turbo.json") && workspace.package.uses("turbo");
        if can && workspace.package.package_manager().is_some() && script.is_some() {
            let filter = format!("--filter={name}");
            let run = Run::new(["turbo", "run", "build", filter.as_str()]);
            return vec![at(cached(facts, decision, with_cache(run, TURBO)), &root)];
        }
        if script.is_none() && facts.root_has("nx.json") && workspace.package.uses("nx") {
            return vec![at(with_cache(Run::new(["nx", "build", name]), NX), &root)];
        }
    }
    let mut runs = Vec::new();
    if let Some(workspace) = &facts.workspace {
        for member in workspace.needed_by(inner) {
            let package = workspace.members.get(member).and_then(|one| one.package.as_ref());
            if member != inner && package.is_some_and(|package| package.script("build").is_some()) {
                let folder = join(&root, member);
                runs.push(at(manager.script("build"), &folder));
            }
        }
    }
    runs.extend(application(facts, decision, manager));
    runs
}

/// The command that builds the application itself.
fn application(facts: &Facts, decision: &Decision, manager: &Manager) -> Option<Run> {
    let row = decision.framework;
    let script = match row {
        Some(row) => framework::build_script(facts, row).map(|(name, _)| name),
        None => facts.script("build").map(|_| "build".to_owned()),
    };
    let fallback = row.map(|row| row.build).filter(|line| !line.is_empty());
    let leaves = matches!(decision.shape, Shape::Tree(_) | Shape::Standalone);
    let run = match (script, fallback) {
        (Some(name), _) => Some(manager.script(&name)),
        // A server may come with what it runs: only what cannot run without is built unasked.
        (None, Some(line)) if leaves || is_usual(decision) => {
            Some(Run::new(line.split_whitespace()))
        }
        _ => None,
    }?;
    Some(own(facts, decision, run))
}

/// Whether the start command is the framework's usual one, which needs the build.
fn is_usual(decision: &Decision) -> bool {
    match &decision.shape {
        Shape::Server(Some(start)) => !start.evidence.detail.starts_with("scripts."),
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
