//! The Python plugin: what kind of Python application it is, and how it is built.
//!
//! Reading order: `facts` (what is known), `framework` (what it is and how it starts), `version`,
//! `plan`.

mod facts;
mod framework;
mod plan;
mod version;

use windlass_plugin_common::{forced, spelling};
use windlass_sdk::plan::BuildPlan;
use windlass_sdk::{
    Builder, Context, DetectReport, Detection, Detector, NearMiss, PluginError, Source,
};

use facts::Facts;

const FILES: [&str; 4] = ["requirements.txt", "pyproject.toml", "manage.py", "Procfile"];

/// The plugin.
#[derive(Debug)]
pub struct Python;

impl Detector for Python {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        let forced = facts.settings.build.framework.clone();
        let asked = forced.as_deref();
        if let Some(broken) = facts.broken.clone() {
            let found = Detection::new(own_id(asked), "Python", "python").confidence(90);
            let found = found.evidence("pyproject.toml", broken.message.clone()).refuse(broken);
            return Ok(forced::apply(found.supersedes("static").into(), forced.as_deref()));
        }
        let (decision, mut near_misses) = framework::decide(&facts, asked);
        let Some(decision) = decision else {
            if asked == Some("python") {
                let found =
                    Detection::new("python", "Python", "python").refuse(no_start(near_misses));
                return Ok(forced::certain(found, "python").into());
            }
            near_misses.extend(spelling::near_misses(source, "python", &FILES));
            return Ok(DetectReport { detections: Vec::new(), near_misses });
        };
        let mut found = decision.detection;
        match version::choose(&facts) {
            Ok((toolchain, evidence)) => {
                found.toolchains.push(toolchain);
                found.evidence.extend(evidence);
            }
            Err(error) => found = found.refuse(error),
        }
        if let Some(error) = facts.broken.clone().or_else(|| plan::unsupported_manager(&facts)) {
            found = found.refuse(error);
        }
        let report = DetectReport { detections: vec![found], near_misses };
        Ok(forced::apply(report, forced.as_deref()))
    }
}

/// The id under which a broken manifest is reported: what the settings ask for, if it is this plugin's.
fn own_id(asked: Option<&str>) -> &str {
    match asked {
        Some(id @ ("django" | "flask" | "fastapi" | "starlette")) => id,
        _ => "python",
    }
}

impl Builder for Python {
    fn plan(ctx: &Context, source: &Source, chosen: &Detection) -> Result<BuildPlan, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        if let Some(broken) = facts.broken {
            return Err(broken);
        }
        let (decision, near_misses) = framework::decide(&facts, Some(chosen.id.as_str()));
        let decision = decision.ok_or_else(|| no_start(near_misses))?;
        let (toolchain, _) = version::choose(&facts)?;
        plan::plan(&facts, toolchain, decision)
    }
}

fn no_start(near_misses: Vec<NearMiss>) -> PluginError {
    let reasons: Vec<_> = near_misses.into_iter().map(|miss| miss.reason).collect();
    let reason = if reasons.is_empty() {
        "nothing here says what to run".into()
    } else {
        reasons.join("; ")
    };
    PluginError::new("python.no-start", reason).hint("set run.command in windlass.toml")
}

windlass_sdk::export! {
    Python: [detector, builder],
    name: "python",
    failures: "failures.toml",
}
