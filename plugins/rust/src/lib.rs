//! Builds Rust applications: crates, workspaces, the choice of a binary.
//!
//! Reading order: `manifest` (`Cargo.toml`), `facts` (what is known), `program` (what is built),
//! `framework`, `version`, `packages`, `migration`, `plan`.

mod facts;
mod framework;
mod manifest;
mod migration;
mod packages;
mod plan;
mod program;
mod version;

use std::collections::BTreeSet;

use windlass_plugin_common::programs::Choice;
use windlass_plugin_common::{forced, settings, spelling};
use windlass_sdk::plan::BuildPlan;
use windlass_sdk::{Builder, Context, DetectReport, Detection, Detector, PluginError, Source};

use facts::Facts;
use program::Program;

const FILES: [&str; 3] = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml"];
/// Crates of programs with a window.
const DESKTOP: [&str; 7] = ["tauri", "eframe", "iced", "bevy", "slint", "gtk4", "druid"];

/// The plugin.
#[derive(Debug)]
pub struct Rust;

impl Detector for Rust {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        let forced = facts.settings.build.framework.clone();
        let asked = forced.as_deref().filter(|id| framework::IDS.contains(id));
        if let Some(broken) = facts.broken.clone() {
            let found = Detection::new(asked.unwrap_or("rust"), "Rust", "rust").confidence(80);
            let found = found.evidence("Cargo.toml", broken.message.clone()).refuse(broken);
            return Ok(forced::apply(found.into(), forced.as_deref()));
        }
        if facts.root.is_none() && asked.is_none() {
            let mut near_misses = spelling::near_misses(source, "rust", &FILES);
            near_misses.extend(spelling::below(source, "rust", &["Cargo.toml"]));
            return Ok(DetectReport { detections: Vec::new(), near_misses });
        }
        let Some(mut found) = found(&facts, asked) else {
            return Ok(DetectReport::near_miss("rust", library(&facts)));
        };
        let (toolchain, evidence) = version::choose(&facts);
        found.toolchains.push(toolchain);
        found.evidence.extend(evidence);
        let report = forced::apply(found.into(), forced.as_deref());
        Ok(spelling::beside(report, source, "rust", &["rust-toolchain.toml", "Procfile"]))
    }
}

/// The detection, if there is something to run.
fn found(facts: &Facts, asked: Option<&str>) -> Option<Detection> {
    let sign = plan::trunk(facts).filter(|_| asked.is_none_or(|id| id == "trunk"));
    if let Some((file, key)) = sign {
        let found = Detection::new("trunk", "Trunk", "rust").confidence(92).evidence(file, key);
        return Some(found.supersedes("rust").supersedes("static"));
    }
    let (programs, refusal) = match program::choose(facts) {
        Choice::Built(programs) => {
            let first = programs.first().and_then(|one| facts.packages.get(&one.folder));
            let window = DESKTOP.iter().any(|name| first.is_some_and(|package| package.uses(name)));
            if window && asked.is_none() && facts.declared.web.is_none() {
                return None;
            }
            (programs, plan::refusal(facts))
        }
        Choice::Several(programs) => {
            let refusal = several(&programs);
            (programs, Some(refusal))
        }
        Choice::None if asked.is_some() => (Vec::new(), Some(no_program(facts))),
        Choice::None => return None,
    };
    let mut found = framework::detection(facts, &programs, asked);
    found.refusal = refusal;
    Some(found)
}

impl Builder for Rust {
    fn plan(ctx: &Context, source: &Source, chosen: &Detection) -> Result<BuildPlan, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        match chosen.id.as_str() {
            "trunk" => settings::say(ctx, source),
            _ => settings::say_for_server(ctx, source),
        }
        if let Some(refusal) = facts.broken.clone().or_else(|| plan::refusal(&facts)) {
            return Err(refusal);
        }
        let (toolchain, _) = version::choose(&facts);
        if chosen.id == "trunk" {
            return Ok(plan::site(&facts, toolchain));
        }
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

fn several(programs: &[Program]) -> PluginError {
    let folders: BTreeSet<&str> = programs.iter().map(|program| program.folder.as_str()).collect();
    let mut folders = folders.into_iter();
    let choice = match (folders.next(), folders.next()) {
        (_, Some(_)) => {
            "set `workspace.default-members` in Cargo.toml to the member that is run".to_owned()
        }
        (None | Some(""), None) => "set `default-run` in Cargo.toml".to_owned(),
        (Some(folder), None) => format!("set `default-run` in {folder}/Cargo.toml"),
    };
    let names: Vec<&str> = programs.iter().map(|program| program.name.as_str()).collect();
    let first = names.first().copied().unwrap_or_default();
    PluginError::new(
        "rust.several-programs",
        format!("there are several programs, and nothing says which is run: {}", names.join(", ")),
    )
    .hint(format!(
        "{choice}, or name it in windlass.toml:\n[run]\ncommand = \"{first}\"\n\
         What is run beside it is named there as run.processes.NAME"
    ))
}

fn no_program(facts: &Facts) -> PluginError {
    PluginError::new("rust.no-program", library(facts))
        .hint("add a src/main.rs, or deploy another folder")
}

/// Why there is nothing to run.
fn library(facts: &Facts) -> String {
    if let Some(name) =
        DESKTOP.into_iter().find(|name| facts.packages.values().any(|p| p.uses(name)))
    {
        return format!("the package depends on {name}: a program with a window, and not a server");
    }
    match &facts.root {
        None => "there is no Cargo.toml".to_owned(),
        Some(root) if root.members.is_some() => {
            "no member of the workspace has a program (src/main.rs, src/bin/ or [[bin]]): libraries"
                .to_owned()
        }
        Some(_) => {
            "there is a Cargo.toml, but no src/main.rs, no src/bin/ and no [[bin]]: a library"
                .to_owned()
        }
    }
}

windlass_sdk::export! {
    Rust: [detector, builder],
    name: "rust",
    failures: "failures.toml",
}
