//! Which application of a monorepo is meant.
//!
//! **Invariant: never a guess among several.** The member is the application that the declared web process or the
//! root's start script hands over to; else the root where it can be started; else the only member that can be run;
//! else nobody.

use serde::{Deserialize, Serialize};
use windlass_sdk::{Context, NearMiss, PluginError};

use crate::facts::Facts;
use crate::framework::{self, Decision, Shape};
use crate::{nx, start};

/// How many members are looked at.
const MEMBERS_MAX: usize = 40;
/// Programs that run scripts of members.
const ORCHESTRATORS: [&str; 6] = ["turbo", "nx", "lerna", "concurrently", "npm-run-all", "wsrun"];
/// Folders of members that accompany the application.
const ASIDE: [&str; 9] = [
    "docs",
    "doc",
    "documentation",
    "storybook",
    "e2e",
    "playground",
    "example",
    "examples",
    "demo",
];

/// What the builder has to know again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Notes {
    /// The application's folder in the image, where migrations are run too.
    pub(crate) cwd: String,
    /// The member of the workspace, from the application's folder.
    pub(crate) member: String,
    /// The member is a project of Nx.
    pub(crate) nx: bool,
}

/// What was found.
pub(crate) enum Found {
    /// The application, with what leads the builder to it, and the applications that only accompany it: their folders.
    One(Box<(Facts, Decision, Notes)>, Vec<String>),
    /// Folders of applications.
    Several(Vec<String>),
    /// None, and why not.
    Nothing(Box<Facts>, NearMiss),
}

/// Chooses; `asked` is the setting `build.framework`.
///
/// # Errors
/// Code `source.unreadable`.
pub(crate) fn application(
    ctx: &Context,
    facts: Facts,
    asked: Option<&str>,
) -> Result<Found, PluginError> {
    if let Some(project) = chosen_project(ctx, &facts)? {
        return Ok(Found::One(Box::new(project), Vec::new()));
    }
    let own = framework::decide(&facts, asked);
    let is_root = facts.workspace.is_some() && !facts.place.whole;
    let led = start::declared_member(&facts).filter(|_| is_root);
    if let Some(one) = led.and_then(|(dir, _)| member(ctx, &facts, &dir, asked)) {
        return Ok(Found::One(Box::new(one), Vec::new()));
    }
    if is_root && !stands_alone(&facts, own.as_ref().ok()) {
        let named = start::delegate(&facts).or_else(|| nx::default_project(&facts));
        if let Some(one) = named.and_then(|dir| member(ctx, &facts, &dir, asked)) {
            return Ok(Found::One(Box::new(one), Vec::new()));
        }
        let mut members = members(ctx, &facts, asked);
        let mut aside = Vec::new();
        if members.len() > 1 {
            let dirs: Vec<String> =
                members.iter().map(|(_, _, notes)| notes.member.clone()).collect();
            let main: Vec<usize> = (0..dirs.len()).filter(|n| !is_aside(&dirs[*n])).collect();
            match main.as_slice() {
                [only] => {
                    members = vec![members.swap_remove(*only)];
                    aside = dirs.into_iter().filter(|dir| is_aside(dir)).collect();
                }
                _ => return Ok(Found::Several(dirs)),
            }
        }
        if let Some(only) = members.pop() {
            return Ok(Found::One(Box::new(only), aside));
        }
    }
    Ok(match own {
        Ok(decision) => {
            let notes = Notes { cwd: facts.place.app(), ..Notes::default() };
            Found::One(Box::new((facts, decision, notes)), Vec::new())
        }
        Err(miss) => Found::Nothing(Box::new(facts), miss),
    })
}

/// Finds again what was chosen.
///
/// # Errors
/// Codes `source.unreadable`, `node.no-start`.
pub(crate) fn again(
    ctx: &Context,
    facts: Facts,
    notes: &Notes,
    id: &str,
) -> Result<(Facts, Decision), PluginError> {
    if notes.nx {
        let facts = if facts.place.whole { facts.above(ctx)? } else { facts };
        let decision = nx::decide(&facts, &notes.member);
        let decision = decision.ok_or_else(|| gone(&notes.member))?;
        return Ok((facts, decision));
    }
    let facts = match notes.member.as_str() {
        "" => facts,
        dir => facts.member(ctx, dir)?,
    };
    let decision = framework::decide(&facts, Some(id)).map_err(crate::no_start)?;
    Ok((facts, decision))
}

/// The project of Nx that was chosen by its folder: it has no package.json, and is built at the root.
fn chosen_project(
    ctx: &Context,
    facts: &Facts,
) -> Result<Option<(Facts, Decision, Notes)>, PluginError> {
    let dir = facts.place.inner().to_owned();
    let decision = match facts.package {
        None if facts.place.whole => nx::decide(facts, &dir),
        _ => None,
    };
    let Some(decision) = decision else {
        return Ok(None);
    };
    let root = facts.above(ctx)?;
    let notes = Notes { cwd: root.place.app(), member: dir, nx: true };
    Ok(Some((root, decision, notes)))
}

fn gone(member: &str) -> PluginError {
    PluginError::new("node.no-start", format!("{member} is no application of this workspace"))
        .hint("set build.app_dir in windlass.toml to the application's folder")
}

/// Whether the root of a workspace is an application itself, and not only keeps its members together.
fn stands_alone(facts: &Facts, decision: Option<&Decision>) -> bool {
    let Some(decision) = decision else {
        return false;
    };
    let settings = &facts.settings;
    let declared = &facts.declared;
    if declared.web.is_some() || !declared.workers.is_empty() || settings.build.output.is_some() {
        return true;
    }
    let script = start::script(facts).filter(|start| !start::is_for_development(&start.line));
    if let Some(start) = script {
        let program = start::last_program(&start.line).unwrap_or_default();
        let hands_over = ORCHESTRATORS.contains(&program) || start::delegate(facts).is_some();
        let recursive = matches!(program, "npm" | "pnpm" | "yarn" | "bun");
        return !hands_over && !recursive;
    }
    let configured = decision.framework.is_some_and(|row| facts.first(row.files).is_some());
    let pages =
        ["pages", "app", "src/pages", "src/app", "src/routes", "src/index.js", "index.html"];
    match &decision.shape {
        Shape::Server(Some(start)) if start.confidence < 80 => true,
        _ => configured || facts.first(&pages).is_some(),
    }
}

fn is_aside(dir: &str) -> bool {
    dir.split('/').any(|part| ASIDE.contains(&part) || part.ends_with("-e2e"))
}

fn members(ctx: &Context, facts: &Facts, asked: Option<&str>) -> Vec<(Facts, Decision, Notes)> {
    let Some(workspace) = &facts.workspace else {
        return Vec::new();
    };
    let dirs: Vec<String> = workspace.members.keys().take(MEMBERS_MAX).cloned().collect();
    let needed = |dir: &str| {
        let others = dirs.iter().filter(|other| other.as_str() != dir);
        others.into_iter().any(|other| workspace.needed_by(other).contains(&dir))
    };
    let runnable = dirs.iter().filter(|dir| !needed(dir));
    let mut found: Vec<_> = runnable.filter_map(|dir| member(ctx, facts, dir, asked)).collect();
    let sure = |one: &(Facts, Decision, Notes)| one.1.detection.confidence >= 60;
    if found.iter().any(sure) {
        found.retain(sure);
    }
    found
}

/// A member, if it can be run.
fn member(
    ctx: &Context,
    root: &Facts,
    dir: &str,
    asked: Option<&str>,
) -> Option<(Facts, Decision, Notes)> {
    let known = root.workspace.as_ref()?.members.get(dir)?;
    if known.package.is_none() {
        let decision = nx::decide(root, dir)?;
        let facts = root.member(ctx, "").ok()?;
        let notes = Notes { cwd: root.place.app(), member: dir.to_owned(), nx: true };
        return Some((facts, decision, notes));
    }
    let facts = root.member(ctx, dir).ok()?;
    let decision = framework::decide(&facts, asked).ok()?;
    let notes = Notes { cwd: facts.place.app(), member: dir.to_owned(), nx: false };
    Some((facts, decision, notes))
}
