//! Which Node.js: the first of these that says anything, in this order. `windlass.toml`, `.nvmrc`,
//! `.node-version`, `.tool-versions`, `volta.node`, `engines.node`, the version that the application
//! ran with before, the default.

use windlass_plugin_common::version::{Interval, npm};
use windlass_sdk::{Evidence, PluginError, Toolchain};

use crate::facts::Facts;

/// Release lines that can be had.
pub(crate) const MAJORS: [u64; 4] = [20, 22, 24, 26];
/// The line that is taken where nothing asks for another.
pub(crate) const DEFAULT: u64 = 22;
const CODENAMES: [(&str, u64); 5] =
    [("gallium", 16), ("hydrogen", 18), ("iron", 20), ("jod", 22), ("krypton", 24)];

/// The version that was settled on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// For the resolver: `22`, `22.11.0`, `>=20.9.0 <20.10.0`.
    pub(crate) toolchain: Toolchain,
    /// Where it was asked for.
    pub(crate) evidence: Option<Evidence>,
    /// Something to look at.
    pub(crate) warning: Option<String>,
}

/// Settles on a version.
///
/// # Errors
/// Code `node.version-unsupported`: what was asked for, where, and what there is.
pub(crate) fn choose(facts: &Facts) -> Result<Chosen, PluginError> {
    let mut warning = None;
    for (file, key, range) in asked(facts) {
        let evidence = Evidence::new(&file, format!("{key}{range}"));
        let range = alias(&range);
        match npm(&range) {
            Some(sets) => {
                let requirement = settle(&sets, facts.previous("node"))
                    .ok_or_else(|| unsupported(&file, &range))?;
                let toolchain = Toolchain::new("node", requirement);
                return Ok(Chosen { toolchain, evidence: Some(evidence), warning });
            }
            None => {
                warning =
                    Some(format!("{file} asks for Node.js {range:?}, which is not a version"));
            }
        }
    }
    let sticky = facts.previous("node").filter(|version| supported(version));
    let requirement = sticky.map_or_else(|| DEFAULT.to_string(), str::to_owned);
    Ok(Chosen { toolchain: Toolchain::new("node", requirement), evidence: None, warning })
}

/// File, key and range of every place that asks for a version.
fn asked(facts: &Facts) -> Vec<(String, &'static str, String)> {
    let mut asked = Vec::new();
    let mut add = |file: &str, key, range: Option<&str>| {
        let range = range.map(str::trim).filter(|range| !range.is_empty());
        asked.extend(range.map(|range| (file.to_owned(), key, range.to_owned())));
    };
    let setting = facts.settings.build.toolchain.get("node").map(String::as_str);
    add("windlass.toml", "build.toolchain.node = ", setting);
    for file in [".nvmrc", ".node-version"] {
        let text = facts.text(file).unwrap_or_default();
        let line =
            text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        add(file, "", line);
    }
    let tools = facts.text(".tool-versions").unwrap_or_default();
    let tool = tools.lines().find_map(|line| line.trim().strip_prefix("nodejs "));
    add(".tool-versions", "nodejs ", tool);
    if let Some(package) = &facts.package {
        add("package.json", "volta.node: ", package.volta_node());
        add("package.json", "engines.node: ", package.engine("node"));
    }
    asked
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

fn supported(version: &str) -> bool {
    let line = |major: &u64| Interval::line(&major.to_string());
    npm(version).is_some_and(|sets| {
        MAJORS.iter().filter_map(line).any(|line| sets.iter().any(|set| set.meets(line)))
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
