//! The Node.js plugin: what kind of Node.js application it is, and how it is built.
//!
//! Reading order: `facts` and `workspace` (what is known), `catalog` and `answers` (the frameworks),
//! `framework` (what it is), `choose` (which one of a monorepo), `start` (how it starts), `listening`, `version`,
//! `manager`, `native`, `migrating`, `plan`; `pm2` (what its configuration starts).

mod answers;
mod catalog;
mod choose;
mod config;
mod entry;
mod facts;
mod framework;
mod listening;
mod manager;
mod migrating;
mod native;
mod never;
mod nx;
mod plan;
mod pm2;
mod start;
mod steps;
mod version;

use windlass_plugin_common::{forced, settings, spelling};
use windlass_sdk::plan::BuildPlan;
use windlass_sdk::{
    Builder, Context, DetectReport, Detection, Detector, NearMiss, PluginError, Source,
};

use choose::{Found, Notes};
use facts::{Facts, join};
use framework::Shape;

const FILES: [&str; 2] = ["package.json", "Procfile"];

/// The plugin.
#[derive(Debug)]
pub struct Node;

impl Detector for Node {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let facts = Facts::gather(ctx)?;
        let forced = facts.settings.build.framework.clone();
        let asked = forced.as_deref();
        if let Some(broken) = facts.broken.clone() {
            let id = asked.filter(|id| catalog::is_own(id)).unwrap_or("node");
            let found = Detection::new(id, "Node.js", "node").confidence(90);
            let found = found.evidence("package.json", broken.message.clone()).refuse(broken);
            return Ok(forced::apply(found.supersedes("static").into(), asked));
        }
        let target = facts.settings.build.target.clone();
        let ((facts, decision, notes), aside) = match choose::application(ctx, facts, asked)? {
            Found::One(one, aside) => (*one, aside),
            Found::Several(dirs) => {
                let found = several(&dirs, target.as_deref());
                return Ok(forced::apply(found.into(), asked));
            }
            Found::Nothing(facts, miss) if asked == Some("node") && facts.package.is_some() => {
                let found = Detection::new("node", "Node.js", "node").refuse(no_start(miss));
                return Ok(forced::certain(found, "node").into());
            }
            Found::Nothing(facts, miss) => return Ok(nothing(&facts, miss)),
        };
        let unstarted = pm2::refusal(&facts, &decision);
        let mut found = decision.detection.with_notes(&notes);
        for sign in &mut found.evidence {
            sign.path = facts.shown(&sign.path);
        }
        if !notes.member.is_empty() {
            let folder = join(facts.root_folder(), &notes.member);
            found = found.evidence(&folder, "the application of this workspace").app_dir(folder);
        }
        if let Some(error) = unstarted.filter(|_| found.refusal.is_none()) {
            found = found.refuse(error);
        }
        match version::toolchains(&facts, &decision.shape) {
            Ok(chosen) => {
                found.toolchains.push(chosen.toolchain);
                found.evidence.extend(chosen.evidence);
            }
            Err(error) => found = found.refuse(error),
        }
        let mut report = forced::apply(found.into(), asked);
        report.near_misses.extend(aside.iter().map(|dir| left_aside(&facts, dir)));
        Ok(spelling::beside(report, source, "node", &FILES))
    }
}

impl Builder for Node {
    fn plan(ctx: &Context, source: &Source, chosen: &Detection) -> Result<BuildPlan, PluginError> {
        let facts = Facts::gather(ctx)?;
        if let Some(broken) = facts.broken {
            return Err(broken);
        }
        let notes: Notes = chosen.notes().unwrap_or_default();
        let (facts, decision) = choose::again(ctx, facts, &notes, &chosen.id)?;
        match decision.shape {
            Shape::Tree(_) => settings::say(ctx, source),
            Shape::Server(_) | Shape::Standalone => settings::say_for_server(ctx, source),
        }
        let refusal = decision.detection.refusal.clone();
        if let Some(refusal) = refusal.or_else(|| pm2::refusal(&facts, &decision)) {
            return Err(refusal);
        }
        let node = version::choose(&facts)?;
        for warning in &node.warnings {
            windlass_sdk::log::warn(warning);
        }
        plan::Planner::new(&facts, &decision, node.toolchain).plan()
    }
}

fn no_start(miss: NearMiss) -> PluginError {
    PluginError::new("node.no-start", miss.reason)
        .hint("add a \"start\" script to package.json, or set run.command in windlass.toml")
}

/// An application of the workspace that is not taken, because its name says that it accompanies another.
fn left_aside(facts: &Facts, dir: &str) -> NearMiss {
    let folder = join(facts.root_folder(), dir);
    let reason = format!(
        "{folder} is an application too, and by its name one that accompanies another: to deploy that, set \
         build.app_dir = {folder:?} in windlass.toml"
    );
    NearMiss { id: "node".to_owned(), reason }
}

/// A monorepo with several applications, of which none is named; `target` is `build.target`.
fn several(dirs: &[String], target: Option<&str>) -> Detection {
    let list = dirs.join(", ");
    let wanted = target.map(|target| target.trim_matches(['.', '/']));
    let named = dirs.iter().find(|dir| {
        wanted.is_some_and(|wanted| *dir == wanted || dir.rsplit('/').next() == Some(wanted))
    });
    let other = match target {
        Some(_) => ", and not with build.target",
        None => "",
    };
    let refusal = PluginError::new(
        "node.several-applications",
        format!("this workspace holds several applications: {list}"),
    )
    .hint(format!(
        "choose one in windlass.toml{other}: build.app_dir = {:?}",
        named.unwrap_or(&dirs[0])
    ));
    Detection::new("node", "Node.js workspace", "node")
        .confidence(60)
        .supersedes("static")
        .evidence("package.json", format!("applications in {list}"))
        .refuse(refusal)
}

fn nothing(facts: &Facts, miss: NearMiss) -> DetectReport {
    let mut near_misses = spelling::near_misses(&facts.source, "node", &FILES);
    if facts.package.is_some() || !facts.nested("package.json").is_empty() {
        near_misses.push(miss);
    }
    DetectReport { detections: Vec::new(), near_misses }
}

windlass_sdk::export! {
    Node: [detector, builder],
    name: "node",
    failures: "failures.toml",
}
