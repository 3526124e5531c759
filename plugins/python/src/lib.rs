//! The Python plugin: what kind of Python application it is, and how it is built.
//!
//! Reading order: `facts` (what is known), `code` (what is read out of Python files), `framework` with
//! `django`, `serve` and `script` (what it is and how it starts), `imports` (what is missing), `listening` (on which
//! port and address), `queues` (who carries out its jobs), `version`, `manager` and `native` (what is installed),
//! `plan`.

mod code;
mod django;
mod facts;
mod framework;
mod imports;
mod listening;
mod manager;
mod native;
mod plan;
mod queues;
mod script;
mod serve;
mod version;

use windlass_plugin_common::{forced, settings, spelling};
use windlass_sdk::plan::BuildPlan;
use windlass_sdk::{
    Builder, Context, DetectReport, Detection, Detector, NearMiss, PluginError, Source, log,
};

use facts::Facts;

const FILES: [&str; 6] =
    ["requirements.txt", "pyproject.toml", "Pipfile", "Procfile", "manage.py", "environment.yml"];
/// Those of them whose absence makes another application of it.
const MANIFESTS: [&str; 4] = ["requirements.txt", "pyproject.toml", "Pipfile", "Procfile"];

/// The plugin.
#[derive(Debug)]
pub struct Python;

impl Detector for Python {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        let forced = facts.settings.build.framework.clone();
        let asked = forced.as_deref();
        if let Some(broken) = facts.broken.clone() {
            let id = asked.filter(|id| framework::is_own(id)).unwrap_or("python");
            let found = Detection::new(id, "Python", "python").confidence(90);
            let found = found.evidence("pyproject.toml", broken.message.clone()).refuse(broken);
            return Ok(forced::apply(found.supersedes("static").into(), asked));
        }
        let (decision, mut near_misses) = framework::decide(&facts, asked);
        let Some(decision) = decision else {
            if asked == Some("python") {
                let found =
                    Detection::new("python", "Python", "python").refuse(no_start(&near_misses));
                return Ok(forced::certain(found, "python").into());
            }
            near_misses.extend(spelling::near_misses(source, "python", &FILES));
            if facts.manifest().is_none() {
                near_misses.extend(spelling::below(source, "python", &MANIFESTS[..3]));
            }
            return Ok(DetectReport { detections: Vec::new(), near_misses });
        };
        let mut found = decision.detection;
        match version::choose(&facts) {
            Ok(chosen) => {
                found.toolchains.push(chosen.toolchain);
                found.evidence.extend(chosen.evidence);
            }
            Err(error) => found = found.refuse(error),
        }
        if found.refusal.is_none() {
            found.refusal = manager::unsupported(&facts);
        }
        let report = DetectReport { detections: vec![found], near_misses };
        let report = forced::apply(report, asked);
        Ok(spelling::beside(report, source, "python", &MANIFESTS))
    }
}

impl Builder for Python {
    fn plan(ctx: &Context, source: &Source, chosen: &Detection) -> Result<BuildPlan, PluginError> {
        settings::say_for_server(ctx, source);
        let facts = Facts::gather(ctx, source)?;
        if let Some(broken) = facts.broken {
            return Err(broken);
        }
        let (decision, near_misses) = framework::decide(&facts, Some(chosen.id.as_str()));
        let decision = decision.ok_or_else(|| no_start(&near_misses))?;
        let version = version::choose(&facts)?;
        for warning in &version.warnings {
            log::warn(warning);
        }
        plan::plan(&facts, version.toolchain, decision)
    }
}

fn no_start(near_misses: &[NearMiss]) -> PluginError {
    forced::no_start("python.no-start", near_misses, "nothing here says what to run")
        .hint("set run.command in windlass.toml")
}

windlass_sdk::export! {
    Python: [detector, builder],
    name: "python",
    failures: "failures.toml",
}
