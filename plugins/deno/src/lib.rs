//! The Deno plugin: applications with a `deno.json`, Fresh, and single programs that only Deno understands.

mod facts;
mod plan;
mod start;

use windlass_plugin_common::wanted::{self, Pin};
use windlass_plugin_common::{forced, settings, spelling};
use windlass_sdk::plan::BuildPlan;
use windlass_sdk::{
    Builder, Context, DetectReport, Detection, Detector, Evidence, NearMiss, PluginError, Source,
    Toolchain,
};

use facts::Facts;
use start::Start;

const ID: &str = "deno";
/// Names under which Fresh is imported.
const FRESH: [&str; 4] = ["$fresh/", "fresh", "@fresh/core", "@fresh/plugin-vite"];

/// The plugin.
#[derive(Debug)]
pub struct Deno;

impl Detector for Deno {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        let framework = facts.settings.build.framework.clone();
        let asked = framework.as_deref().filter(|id| matches!(*id, "deno" | "fresh"));
        let report = match detection(&facts, asked.is_some()) {
            Ok(found) => {
                let (toolchain, evidence) = version(&facts);
                let mut found = found;
                found.toolchains.push(toolchain);
                found.evidence.extend(evidence);
                found.into()
            }
            Err(near_misses) => DetectReport { detections: Vec::new(), near_misses },
        };
        Ok(forced::apply(report, framework.as_deref()))
    }
}

/// The detection, or what is missing for one.
fn detection(facts: &Facts, asked: bool) -> Result<Detection, Vec<NearMiss>> {
    let fresh = facts.imports(&FRESH).map(|key| {
        Evidence::new(facts.config.unwrap_or("import_map.json"), format!("imports.{key}"))
    });
    let generated = facts.first(&["fresh.gen.ts", "fresh.config.ts"]);
    let fresh = fresh.or_else(|| generated.map(|file| Evidence::new(file, "")));
    let (id, name) = if fresh.is_some() { ("fresh", "Fresh") } else { (ID, "Deno") };
    let mut found = Detection::new(id, name, ID).supersedes("static");
    if let Some(evidence) = fresh.clone() {
        found = found.supersedes(ID);
        found.evidence.push(evidence);
    }
    if let Some(broken) = facts.broken.clone() {
        let sign = broken.message.clone();
        return Ok(found
            .confidence(85)
            .evidence(facts.config.unwrap_or_default(), sign)
            .refuse(broken));
    }
    if facts.declared.web.is_some() || !facts.declared.workers.is_empty() {
        return declared(facts, found, asked);
    }
    let start = start(facts, fresh.is_some());
    let start = match start {
        Some(start) => start,
        None if asked => return Ok(found.confidence(40).refuse(no_start())),
        None => return Err(misses(facts)),
    };
    let ours = start.line.starts_with("deno ") || start.line.contains(" deno ");
    let nodes = facts.package.as_ref().is_some_and(|package| package.script("start").is_some());
    if nodes && !asked && fresh.is_none() && start.confidence < 80 {
        let reason = "there is a deno.json, but package.json has a start script: Node.js runs it";
        return Err(vec![NearMiss { id: ID.to_owned(), reason: reason.to_owned() }]);
    }
    if facts.config.is_none() && facts.package.is_some() && !asked {
        return Err(Vec::new());
    }
    let confidence = match (fresh.is_some(), facts.has("deno.lock") && ours) {
        (true, _) => 95,
        (false, true) => (start.confidence + 5).min(89),
        (false, false) => start.confidence,
    };
    found.evidence.push(start.evidence);
    Ok(found.confidence(confidence))
}

/// A command that was declared: it has to be Deno that runs it.
fn declared(facts: &Facts, found: Detection, asked: bool) -> Result<Detection, Vec<NearMiss>> {
    let web = facts.declared.web.as_ref();
    let runs = web.is_some_and(|(line, ..)| line.contains("deno "));
    if !asked && !runs && (facts.config.is_none() || facts.package.is_some()) {
        return Err(misses(facts));
    }
    let found = found.confidence(if runs || facts.config.is_some() { 85 } else { 60 });
    Ok(match web {
        Some((_, file, sign)) => found.evidence(*file, sign.clone()),
        None => found.evidence("Procfile", "only workers"),
    })
}

/// How it is started. The task `start` of Fresh 1 is a development server.
fn start(facts: &Facts, fresh: bool) -> Option<Start> {
    let found = start::find(facts);
    let line = "deno run --allow-all main.ts";
    let evidence = || Evidence::new("main.ts", "the entry file of Fresh");
    match found {
        Some(start) => Some(start),
        None if fresh && facts.has("main.ts") => {
            Some(Start { line: line.to_owned(), evidence: evidence(), confidence: 82 })
        }
        None => None,
    }
}

fn misses(facts: &Facts) -> Vec<NearMiss> {
    let mut misses = Vec::new();
    if facts.config.is_none() {
        misses = spelling::near_misses(facts.source, ID, &["deno.json"]);
    }
    if let Some(file) = facts.config {
        let reason = if facts.json.get("workspace").is_some() {
            format!("{file} is that of a workspace: set build.app_dir to the member that is meant")
        } else {
            format!(
                "there is a {file}, but it has no task \"start\", and no entry file such as main.ts \
                 starts anything; add the task, or set run.command in windlass.toml"
            )
        };
        misses.push(NearMiss { id: ID.to_owned(), reason });
    }
    misses
}

fn no_start() -> PluginError {
    PluginError::new("deno.no-start", "there is no task \"start\" and no entry file")
        .hint("add a task \"start\" to deno.json, or set run.command in windlass.toml")
}

/// The version: `windlass.toml`, `.dvmrc`, `.tool-versions`, `mise.toml`, package.json, another platform's file, what ran
/// before.
fn version(facts: &Facts) -> (Toolchain, Option<Evidence>) {
    let setting = facts.settings.build.toolchain.get(ID).map(String::as_str);
    let mut pins: Vec<Pin> = Vec::new();
    pins.extend(Pin::new("windlass.toml", "build.toolchain.deno", setting.unwrap_or_default()));
    pins.extend(Pin::new(".dvmrc", "", facts.text(".dvmrc").lines().next().unwrap_or_default()));
    pins.extend(wanted::shared(facts.source, &[ID]));
    for range in facts.package.iter().flat_map(|json| [json.dev_engine(ID), json.engine(ID)]) {
        pins.extend(Pin::new("package.json", "engines.deno", range.unwrap_or_default()));
    }
    pins.extend(wanted::elsewhere(facts.source, &[ID]));
    wanted::choose(ID, &pins, facts.previous)
}

impl Builder for Deno {
    fn plan(ctx: &Context, source: &Source, chosen: &Detection) -> Result<BuildPlan, PluginError> {
        settings::say_for_server(ctx, source);
        let facts = Facts::gather(ctx, source)?;
        let start = start(&facts, chosen.id == "fresh");
        if start.is_none() && facts.declared.web.is_none() && facts.declared.workers.is_empty() {
            return Err(no_start());
        }
        if !facts.has("deno.lock") {
            windlass_sdk::log::warn(
                "there is no deno.lock, so every build fetches the newest modules that the imports \
                 allow: run `deno install` and commit deno.lock",
            );
        }
        let (toolchain, _) = version(&facts);
        Ok(plan::plan(&facts, &toolchain, start.as_ref()))
    }
}

windlass_sdk::export! {
    Deno: [detector, builder],
    name: "deno",
    failures: "failures.toml",
}
