//! The Node.js plugin: what kind of Node.js application it is, and how it is built.
//!
//! Reading order: `facts` (what is known), `framework` (what it is), `start` (how it starts),
//! `version`, `manager`, `plan`.

mod config;
mod facts;
mod framework;
mod manager;
mod plan;
mod start;
mod version;

use windlass_plugin_common::{forced, spelling};
use windlass_sdk::plan::BuildPlan;
use windlass_sdk::{
    Builder, Context, DetectReport, Detection, Detector, NearMiss, PluginError, Source,
};

use facts::Facts;

/// The plugin.
#[derive(Debug)]
pub struct Node;

impl Detector for Node {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        let forced = facts.settings.build.framework.clone();
        let asked = forced.as_deref();
        if let Some(broken) = facts.broken.clone() {
            let found = Detection::new(own_id(asked), "Node.js", "node").confidence(90);
            let found = found.evidence("package.json", broken.message.clone()).refuse(broken);
            return Ok(forced::apply(found.supersedes("static").into(), forced.as_deref()));
        }
        let decision = match framework::decide(&facts, asked) {
            Ok(decision) => decision,
            Err(miss) if asked == Some("node") && facts.package.is_some() => {
                let found = Detection::new("node", "Node.js", "node").refuse(no_start(miss));
                return Ok(forced::certain(found, "node").into());
            }
            Err(miss) => return Ok(nothing(&facts, miss)),
        };
        let mut found = decision.detection;
        match version::choose(&facts) {
            Ok(chosen) => {
                found.toolchains.push(chosen.toolchain);
                found.evidence.extend(chosen.evidence);
            }
            Err(error) => found = found.refuse(error),
        }
        Ok(forced::apply(found.into(), forced.as_deref()))
    }
}

/// The id under which a broken manifest is reported: what the settings ask for, if it is this plugin's.
fn own_id(asked: Option<&str>) -> &str {
    match asked {
        Some(
            id @ ("nextjs" | "vite" | "astro" | "gatsby" | "docusaurus" | "eleventy"
            | "create-react-app"),
        ) => id,
        _ => "node",
    }
}

impl Builder for Node {
    fn plan(ctx: &Context, source: &Source, chosen: &Detection) -> Result<BuildPlan, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        if let Some(broken) = facts.broken {
            return Err(broken);
        }
        let decision = framework::decide(&facts, Some(chosen.id.as_str())).map_err(no_start)?;
        let version = version::choose(&facts)?;
        if let Some(warning) = version.warning {
            windlass_sdk::log::warn(warning);
        }
        let planner =
            plan::Planner { facts: &facts, toolchain: version.toolchain, shape: decision.shape };
        planner.plan()
    }
}

fn no_start(miss: NearMiss) -> PluginError {
    PluginError::new("node.no-start", miss.reason)
        .hint("add a \"start\" script to package.json, or set run.command in windlass.toml")
}

fn nothing(facts: &Facts, miss: NearMiss) -> DetectReport {
    let mut near_misses =
        spelling::near_misses(facts.source, "node", &["package.json", "Procfile"]);
    if facts.package.is_some() {
        near_misses.push(miss);
    }
    DetectReport { detections: Vec::new(), near_misses }
}

windlass_sdk::export! {
    Node: [detector, builder],
    name: "node",
    failures: "failures.toml",
}
