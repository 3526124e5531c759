//! The Ruby plugin: what kind of Ruby application it is, and how it is built.
//!
//! Reading order: `gemfile` (what the manifests say), `facts` (what is known), `framework` (what it is),
//! `manifest` (gems that no file names), `start` (how it starts), `queues` (who carries out its jobs), `version`,
//! `native` (Debian packages of gems), `plan`.

mod facts;
mod framework;
mod gemfile;
mod manifest;
mod native;
mod plan;
mod queues;
mod start;
mod version;

use windlass_plugin_common::assets::Files;
use windlass_plugin_common::{forced, settings, spelling};
use windlass_sdk::plan::BuildPlan;
use windlass_sdk::{
    Builder, Context, DetectReport, Detection, Detector, NearMiss, PluginError, Source, log,
};

use facts::Facts;

const FILES: [&str; 4] = ["Gemfile", "Gemfile.lock", "config.ru", "Rakefile"];

/// The plugin.
#[derive(Debug)]
pub struct Ruby;

impl Detector for Ruby {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        let asked = facts.settings.build.framework.as_deref();
        let (decision, mut near_misses) = framework::decide(&facts, asked);
        let Some(decision) = decision else {
            if asked == Some("ruby") {
                let found = Detection::new("ruby", "Ruby", "ruby").refuse(no_start(&near_misses));
                return Ok(forced::certain(found, "ruby").into());
            }
            if !facts.has("Gemfile") {
                near_misses.extend(spelling::near_misses(source, "ruby", &FILES));
                near_misses.extend(spelling::below(source, "ruby", &["Gemfile"]));
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
        let report = DetectReport { detections: vec![found], near_misses };
        let report = forced::apply(report, asked);
        Ok(spelling::beside(report, source, "ruby", &["Gemfile", "config.ru", "Procfile"]))
    }
}

impl Builder for Ruby {
    fn plan(ctx: &Context, source: &Source, chosen: &Detection) -> Result<BuildPlan, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        let (decision, near_misses) = framework::decide(&facts, Some(chosen.id.as_str()));
        let decision = decision.ok_or_else(|| no_start(&near_misses))?;
        match decision.kind {
            framework::Kind::Site(..) => settings::say(ctx, source),
            _ => settings::say_for_server(ctx, source),
        }
        let version = version::choose(&facts)?;
        if let Some(warning) = version.warning {
            log::warn(warning);
        }
        Ok(plan::Planner { facts: &facts, toolchain: version.toolchain, decision }.plan())
    }
}

fn no_start(near_misses: &[NearMiss]) -> PluginError {
    forced::no_start("ruby.no-start", near_misses, "nothing here says what to run")
        .hint("set run.command in windlass.toml")
}

windlass_sdk::export! {
    Ruby: [detector, builder],
    name: "ruby",
    failures: "failures.toml",
}
