//! The .NET plugin: applications in C#, F# and Visual Basic.
//!
//! Reading order: `project` (one project file), `facts` (what is known), `framework` (which project is
//! the application), `start` (how it starts), `version`, `plan`.

mod facts;
mod framework;
mod plan;
mod project;
mod start;
mod version;

use windlass_plugin_common::{forced, settings, spelling};
use windlass_sdk::plan::BuildPlan;
use windlass_sdk::{
    Builder, Context, DetectReport, Detection, Detector, NearMiss, PluginError, Source,
};

use facts::Facts;
use framework::Undecided;

const IDS: [&str; 3] = ["aspnet", "blazor-wasm", "dotnet"];
const FILES: [&str; 2] = ["global.json", "Directory.Build.props"];

/// The plugin.
#[derive(Debug)]
pub struct Dotnet;

impl Detector for Dotnet {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        let asked = facts.settings.build.framework.clone();
        let asked = asked.as_deref();
        let mine = asked.filter(|id| IDS.contains(id));
        if !facts.is_dotnet() {
            return Ok(match mine {
                Some(id) => forced::certain(refused(id, &[]), id).into(),
                None => nothing(source),
            });
        }
        let decision = match framework::decide(&facts, mine) {
            Ok(decision) => decision,
            Err(Undecided::Several(found, refusal)) => {
                return Ok(forced::apply(found.refuse(refusal).into(), asked));
            }
            Err(Undecided::Misses(misses)) => {
                return Ok(match mine {
                    Some(id) => forced::certain(refused(id, &misses), id).into(),
                    None => DetectReport { detections: Vec::new(), near_misses: misses },
                });
            }
        };
        let mut found = decision.detection;
        match version::choose(&facts, &decision.shape) {
            Ok(chosen) => {
                found.toolchains.push(chosen.runtime);
                found.evidence.extend(chosen.evidence);
            }
            Err(error) => found = found.refuse(error),
        }
        let report = forced::apply(found.into(), asked);
        Ok(spelling::beside(report, source, "dotnet", &["global.json", "Procfile"]))
    }
}

fn refused(id: &str, misses: &[NearMiss]) -> Detection {
    Detection::new(id, ".NET", "dotnet").refuse(no_start(misses))
}

fn no_start(misses: &[NearMiss]) -> PluginError {
    let otherwise = "there is no project file (*.csproj, *.fsproj, *.vbproj)";
    forced::no_start("dotnet.no-start", misses, otherwise)
        .hint("set build.target in windlass.toml to the project that is to run")
}

fn nothing(source: &Source) -> DetectReport {
    DetectReport {
        detections: Vec::new(),
        near_misses: spelling::near_misses(source, "dotnet", &FILES),
    }
}

impl Builder for Dotnet {
    fn plan(ctx: &Context, source: &Source, chosen: &Detection) -> Result<BuildPlan, PluginError> {
        match chosen.id.as_str() {
            "blazor-wasm" => settings::say_for_site_with_target(ctx, source),
            _ => settings::say_with_target(ctx, source),
        }
        let facts = Facts::gather(ctx, source)?;
        let asked = Some(chosen.id.as_str());
        let decision = framework::decide(&facts, asked).map_err(|why| match why {
            Undecided::Several(_, refusal) => refusal,
            Undecided::Misses(misses) => no_start(&misses),
        })?;
        let chosen = version::choose(&facts, &decision.shape)?;
        plan::plan(&facts, &decision, &chosen)
    }
}

windlass_sdk::export! {
    Dotnet: [detector, builder],
    name: "dotnet",
    failures: "failures.toml",
}
