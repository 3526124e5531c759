//! Which Node.js: the first of these that says anything, in this order. `windlass.toml`, `.nvmrc`,
//! `.node-version`, `.tool-versions`, `mise.toml`, `volta.node`, `devEngines.runtime`, `engines.node`; first
//! of the application, then of the workspace's root; what another platform's file names; the version that the
//! application ran with before; the default. Bun likewise, from `.bun-version`, `packageManager`,
//! `devEngines.runtime` and `engines.bun`.

use windlass_plugin_common::package_json::PackageJson;
use windlass_plugin_common::version::{Interval, npm};
use windlass_plugin_common::wanted::{self, Pin};
use windlass_sdk::{Evidence, PluginError, Source, Toolchain};

use crate::facts::Facts;
use crate::framework::Shape;
use crate::start;

/// Release lines that can be had.
pub(crate) const MAJORS: [u64; 4] = [20, 22, 24, 26];
/// The line that is taken where nothing asks for another.
pub(crate) const DEFAULT: u64 = 22;
/// Lines that get no corrections any more, with their last version: given to those who ask for no other.
const ENDED: [(u64, &str); 3] = [(18, "18.20.8"), (16, "16.20.2"), (14, "14.21.3")];
/// The last line that is offered although its support has ended.
const ENDED_MAX: u64 = 20;
const CODENAMES: [(&str, u64); 7] = [
    ("fermium", 14),
    ("gallium", 16),
    ("hydrogen", 18),
    ("iron", 20),
    ("jod", 22),
    ("krypton", 24),
    ("lithium", 26),
];

/// The version that was settled on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// For the resolver: `22`, `22.11.0`, `>=20.9.0 <20.10.0`.
    pub(crate) toolchain: Toolchain,
    /// Where it was asked for.
    pub(crate) evidence: Option<Evidence>,
    /// Something to look at.
    pub(crate) warnings: Vec<String>,
}

/// The toolchain that the application runs on.
///
/// # Errors
/// Code `node.version-unsupported`.
pub(crate) fn toolchains(facts: &Facts, shape: &Shape) -> Result<Chosen, PluginError> {
    match runs_on_bun(facts, shape) {
        true => Ok(bun(facts)),
        false => choose(facts),
    }
}

/// Whether Bun runs the web process, or the workers where there is none.
pub(crate) fn runs_on_bun(facts: &Facts, shape: &Shape) -> bool {
    let declared = &facts.declared;
    let line = match (shape, &declared.web) {
        (Shape::Tree(_) | Shape::Standalone, _) => return false,
        (_, Some((line, ..))) => Some(line.as_str()),
        (Shape::Server(Some(start)), None) => Some(start.line.as_str()),
        (Shape::Server(None), None) => declared.workers.first().map(|(_, line)| line.as_str()),
    };
    line.is_some_and(start::is_buns)
}

/// The version of Bun.
pub(crate) fn bun(facts: &Facts) -> Chosen {
    let mut pins = Vec::new();
    let setting = facts.settings.build.toolchain.get("bun").map(String::as_str);
    pins.extend(Pin::new("windlass.toml", "build.toolchain.bun", setting.unwrap_or_default()));
    pins.extend(file_pin(&facts.source, ".bun-version"));
    pins.extend(wanted::shared(&facts.source, &["bun"]));
    for package in packages(facts) {
        let bun = |named: &(&str, &str)| named.0 == "bun" && !matches!(named.1, "" | "*");
        let named = package.package_manager().filter(bun);
        let developed = package.dev_manager().filter(bun);
        for (key, range) in [
            ("packageManager", named.map(|(_, version)| version)),
            ("devEngines.packageManager", developed.map(|(_, version)| version)),
            ("devEngines.runtime", package.dev_engine("bun")),
            ("engines.bun", package.engine("bun")),
        ] {
            pins.extend(Pin::new("package.json", key, range.unwrap_or_default()));
        }
    }
    pins.extend(wanted::elsewhere(&facts.source, &["bun"]));
    let previous: Vec<Toolchain> =
        facts.previous("bun").map(|version| Toolchain::new("bun", version)).into_iter().collect();
    let (toolchain, evidence) = wanted::choose("bun", &pins, &previous);
    Chosen { toolchain, evidence, warnings: Vec::new() }
}

/// Settles on a version of Node.js.
///
/// # Errors
/// Code `node.version-unsupported`: what was asked for, where, and what there is.
pub(crate) fn choose(facts: &Facts) -> Result<Chosen, PluginError> {
    let mut warnings = Vec::new();
    for Pin { file, key, requirement: asked } in asked(facts) {
        let sign = if key.is_empty() { asked.clone() } else { format!("{key}: {asked}") };
        let evidence = Some(Evidence::new(&file, sign));
        let range = alias(&asked);
        let Some(sets) = npm(&range) else {
            warnings.push(format!("{file} asks for Node.js {range:?}, which is not a version"));
            continue;
        };
        if let Some(requirement) = settle(&sets, facts.previous("node")) {
            warnings.extend(ended(&requirement, &file));
            return Ok(Chosen {
                toolchain: Toolchain::new("node", requirement),
                evidence,
                warnings,
            });
        }
        let requirement = old(&sets, &range).ok_or_else(|| unsupported(&file, &range))?;
        warnings.extend(ended(&requirement, &file));
        return Ok(Chosen { toolchain: Toolchain::new("node", requirement), evidence, warnings });
    }
    let sticky = facts.previous("node").filter(|version| supported(version));
    let requirement = sticky.map_or_else(|| DEFAULT.to_string(), str::to_owned);
    warnings.extend(ended(&requirement, "the last deployment"));
    Ok(Chosen { toolchain: Toolchain::new("node", requirement), evidence: None, warnings })
}

/// Every place that asks for a version, in order.
fn asked(facts: &Facts) -> Vec<Pin> {
    let setting = facts.settings.build.toolchain.get("node").map(String::as_str);
    let mut asked: Vec<Pin> = Vec::new();
    asked.extend(Pin::new("windlass.toml", "build.toolchain.node", setting.unwrap_or_default()));
    let root = facts.workspace.as_ref().filter(|_| !facts.place.inner().is_empty());
    let app = (&facts.source, facts.package.as_ref());
    let root = root.map(|workspace| (&workspace.source, Some(&workspace.package)));
    for (source, package) in [Some(app), root].into_iter().flatten() {
        asked.extend(file_pin(source, ".nvmrc"));
        asked.extend(file_pin(source, ".node-version"));
        asked.extend(wanted::shared(source, &["nodejs", "node"]));
        let Some(package) = package else { continue };
        for (key, range) in [
            ("volta.node", package.volta_node()),
            ("devEngines.runtime", package.dev_engine("node")),
            ("engines.node", package.engine("node")),
        ] {
            asked.extend(Pin::new("package.json", key, range.unwrap_or_default()));
        }
    }
    asked.extend(wanted::elsewhere(&facts.source, &["node", "nodejs"]));
    asked
}

/// The application's package.json, and that of its workspace.
fn packages(facts: &Facts) -> Vec<&PackageJson> {
    let root = facts.workspace.as_ref().map(|workspace| &workspace.package);
    facts.package.iter().chain(root.filter(|_| !facts.place.inner().is_empty())).collect()
}

/// The first line of a file that is no comment.
fn file_pin(source: &Source, file: &str) -> Option<Pin> {
    let text = source.text(file).ok().flatten()?;
    let line =
        text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    Pin::new(file, "", line.split_whitespace().next().unwrap_or(line))
}

/// `lts/*`, `lts/jod`, `node`: names that version managers know.
fn alias(range: &str) -> String {
    let lower = range.to_ascii_lowercase();
    let name = lower.strip_prefix("lts/").or_else(|| lower.strip_prefix("lts-")).unwrap_or(&lower);
    let named = CODENAMES.iter().find(|(codename, _)| *codename == name).map(|(_, major)| *major);
    match name {
        "*" | "lts" | "node" | "latest" | "stable" | "current" => "*".to_owned(),
        _ => named.map_or_else(|| range.to_owned(), |major| major.to_string()),
    }
}

/// The line that ran before, else the default, else the newest: the first that the range allows.
fn settle(sets: &[Interval], previous: Option<&str>) -> Option<String> {
    let previous = previous.and_then(|version| version.split('.').next()?.parse().ok());
    let newest_first = MAJORS.iter().rev().copied();
    let wanted = previous.filter(|major| MAJORS.contains(major)).into_iter();
    wanted.chain([DEFAULT]).chain(newest_first).find_map(|major| {
        let line = Interval::line(&major.to_string())?;
        let set = sets.iter().find(|set| set.meets(line))?;
        if set.holds(line) { Some(major.to_string()) } else { Some(set.requirement(line)) }
    })
}

/// The last version of a line that gets no corrections any more, or the very one that is asked for.
fn old(sets: &[Interval], range: &str) -> Option<String> {
    ENDED.iter().find_map(|(major, last)| {
        let line = Interval::line(&major.to_string())?;
        sets.iter().find(|set| set.meets(line))?;
        let exact = Interval::line(last)?;
        let allowed = sets.iter().any(|set| set.meets(exact));
        let asked = range.trim_start_matches(['v', '=']);
        Some(if allowed { (*last).to_owned() } else { asked.to_owned() })
    })
}

/// The warning about a line that gets no corrections any more.
fn ended(requirement: &str, file: &str) -> Option<String> {
    let digits = requirement.trim_start_matches(|c: char| !c.is_ascii_digit());
    let major: u64 = digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    (major <= ENDED_MAX).then(|| {
        format!(
            "Node.js {major} has reached its end of life and gets no security fixes any more: ask for \
             {DEFAULT} or later (now: {file})"
        )
    })
}

fn supported(version: &str) -> bool {
    let line = |major: u64| Interval::line(&major.to_string());
    let known = MAJORS.into_iter().chain(ENDED.map(|(major, _)| major));
    npm(version).is_some_and(|sets| {
        known.filter_map(line).any(|line| sets.iter().any(|set| set.meets(line)))
    })
}

fn unsupported(file: &str, range: &str) -> PluginError {
    let there_is = MAJORS.map(|major| major.to_string()).join(", ");
    PluginError::new(
        "node.version-unsupported",
        format!("{file} asks for Node.js {range}, and Windlass provides {there_is}"),
    )
    .hint(format!(
        "ask for a supported version in {file}, or set it in windlass.toml:\n\
         [build.toolchain]\n\
         node = \"{DEFAULT}\""
    ))
}
