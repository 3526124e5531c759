//! Runs shell scripts and Scheme programs.
//!
//! `shell` and `scheme` say what is here, `plan` writes the plan of it.

mod facts;
mod plan;
mod program;
mod scheme;
mod shell;

use windlass_plugin_common::{forced, settings, spelling};
use windlass_sdk::plan::BuildPlan;
use windlass_sdk::{
    Builder, Context, DetectReport, Detection, Detector, NearMiss, PluginError, Source,
};

use facts::Facts;
use program::{Finding, Program};

/// The plugin.
#[derive(Debug)]
pub struct Scripts;

impl Detector for Scripts {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        let (found, mut near_misses) = findings(&facts);
        let detection = |program: Program| {
            let toolchain = plan::toolchain(&facts, &program);
            let detection = match &facts.declared.web {
                Some((_, file, sign)) => program.detection.evidence(*file, sign.clone()),
                None => program.detection,
            };
            detection.toolchain(toolchain.name, toolchain.requirement)
        };
        let detections: Vec<Detection> = found.into_iter().map(detection).collect();
        if detections.is_empty() && near_misses.is_empty() {
            near_misses.extend(spelling::near_misses(source, "shell", &[shell::FILE]));
        }
        let report = DetectReport { detections, near_misses };
        Ok(forced::apply(report, facts.settings.build.framework.as_deref()))
    }
}

impl Builder for Scripts {
    fn plan(ctx: &Context, source: &Source, chosen: &Detection) -> Result<BuildPlan, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        match chosen.id.as_str() {
            "haunt" => settings::say(ctx, source),
            _ => settings::say_for_server(ctx, source),
        }
        let (found, near_misses) = findings(&facts);
        let Some(program) = found.into_iter().find(|one| one.detection.id == chosen.id) else {
            let reasons: Vec<String> = near_misses.into_iter().map(|miss| miss.reason).collect();
            return Err(PluginError::new("scripts.no-script", reasons.join("; "))
                .hint("add a start.sh, or set run.command in windlass.toml"));
        };
        match program.detection.refusal {
            Some(refusal) => Err(refusal),
            None => Ok(plan::plan(&facts, &program)),
        }
    }
}

fn findings(facts: &Facts) -> (Vec<Program>, Vec<NearMiss>) {
    let (mut found, mut near_misses) = (Vec::new(), Vec::new());
    for finding in [scheme::find(facts), shell::find(facts)] {
        match finding {
            Finding::Nothing => {}
            Finding::Near(id, reason) => near_misses.push(NearMiss { id: id.to_owned(), reason }),
            Finding::Found(program) => found.push(*program),
        }
    }
    (found, near_misses)
}

windlass_sdk::export! {
    Scripts: [detector, builder],
    name: "scripts",
    failures: "failures.toml",
}
