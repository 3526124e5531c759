//! Builds Go applications: modules, workspaces, vendored dependencies.
//!
//! Reading order: `module` (`go.mod`), `facts` (what is known), `above` (a workspace around it), `program` (what is
//! built), `framework`, `version`, `migration` (a tool beside the application), `plan`.

mod above;
mod facts;
mod framework;
mod migration;
mod module;
mod plan;
mod program;
mod version;

use windlass_plugin_common::programs::Choice;
use windlass_plugin_common::{forced, settings, spelling};
use windlass_sdk::plan::BuildPlan;
use windlass_sdk::{
    Builder, Context, DetectReport, Detection, Detector, NearMiss, PluginError, Source,
};

use facts::Facts;
use program::Program;

const FILES: [&str; 4] = ["go.mod", "go.work", "go.sum", "main.go"];

/// The plugin.
#[derive(Debug)]
pub struct Go;

impl Detector for Go {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        let forced = facts.settings.build.framework.clone();
        let asked = forced.as_deref().filter(|id| framework::IDS.contains(id));
        let (programs, refusal) = match program::choose(&facts) {
            Choice::Built(programs) => (programs, refusal(ctx, &facts)),
            Choice::Several(programs) => {
                let refusal = several(&programs);
                (programs, Some(refusal))
            }
            Choice::None if asked.is_some() => (Vec::new(), Some(no_program(&facts))),
            Choice::None => return Ok(nothing(&facts, source)),
        };
        let mut found = framework::detection(&facts, &programs, asked);
        let (toolchain, evidence) = version::choose(&facts);
        found.toolchains.push(toolchain);
        found.evidence.extend(evidence);
        found.refusal = refusal;
        let report = forced::apply(found.into(), forced.as_deref());
        Ok(spelling::beside(report, source, "go", &["go.mod", "Procfile"]))
    }
}

impl Builder for Go {
    fn plan(ctx: &Context, source: &Source, chosen: &Detection) -> Result<BuildPlan, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        settings::say_for_server(ctx, source);
        if let Some(refusal) = refusal(ctx, &facts) {
            return Err(refusal);
        }
        let (toolchain, _) = version::choose(&facts);
        match program::choose(&facts) {
            Choice::Built(programs) => {
                program::say_rest(&facts, &programs);
                Ok(plan::plan(&facts, toolchain, &chosen.id, &programs))
            }
            Choice::Several(programs) => Err(several(&programs)),
            Choice::None => Err(no_program(&facts)),
        }
    }
}

/// Why the modules cannot be built.
fn refusal(ctx: &Context, facts: &Facts) -> Option<PluginError> {
    plan::refusal(facts).or_else(|| above::refusal(ctx, facts))
}

fn no_program(facts: &Facts) -> PluginError {
    let reason = library(facts).unwrap_or_else(|| "there is no Go file with package main".into());
    PluginError::new("go.no-program", reason).hint("add a package main, or deploy another folder")
}

fn several(programs: &[Program]) -> PluginError {
    let names: Vec<&str> = programs.iter().map(|program| program.name.as_str()).collect();
    let first = names.first().copied().unwrap_or_default();
    PluginError::new(
        "go.several-programs",
        format!("there are several programs, and nothing says which is run: {}", names.join(", ")),
    )
    .hint(format!(
        "name it in windlass.toml:\n[run]\ncommand = \"{first}\"\nWhat is run beside it is named there as \
         run.processes.NAME"
    ))
}

fn nothing(facts: &Facts, source: &Source) -> DetectReport {
    let mut near_misses = spelling::near_misses(source, "go", &FILES);
    let library = library(facts).map(|reason| NearMiss { id: "go".to_owned(), reason });
    near_misses.extend(library.or_else(|| spelling::below(source, "go", &["go.mod"])));
    DetectReport { detections: Vec::new(), near_misses }
}

fn library(facts: &Facts) -> Option<String> {
    let module = facts.modules.values().next()?;
    Some(format!(
        "there is a go.mod ({}), but no package main in its root, in cmd/ or in a folder with a main.go: \
         a library",
        module.path
    ))
}

windlass_sdk::export! {
    Go: [detector, builder],
    name: "go",
    failures: "failures.toml",
}
