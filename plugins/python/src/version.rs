//! Which Python: the first of these that says anything, in this order. `windlass.toml`,
//! `.python-version`, `runtime.txt`, `requires-python`, the version that the application ran with
//! before, the default. Only the line counts (`3.11`): patch levels are the base's.

use windlass_plugin_common::version::{Interval, pep440};
use windlass_sdk::{Evidence, PluginError, Toolchain};

use crate::facts::Facts;

/// Lines that can be had, the default first, then the newest first.
const LINES: [&str; 5] = ["3.11", "3.14", "3.13", "3.12", "3.10"];

/// The toolchain, and where it was asked for.
///
/// # Errors
/// Code `python.version-unsupported`: what was asked for, where, and what there is.
pub(crate) fn choose(facts: &Facts) -> Result<(Toolchain, Option<Evidence>), PluginError> {
    let previous = facts.previous().and_then(|version| {
        LINES.into_iter().find(|line| version == *line || version.starts_with(&format!("{line}.")))
    });
    let lines = || previous.into_iter().chain(LINES);
    for (file, key, specifier) in asked(facts) {
        let Some(interval) = pep440(&specifier) else {
            continue;
        };
        let fits = |line: &&str| Interval::line(line).is_some_and(|line| interval.meets(line));
        let line = lines().find(fits).ok_or_else(|| unsupported(&file, &specifier))?;
        let evidence = Evidence::new(file, format!("{key}{specifier}"));
        return Ok((Toolchain::new("python", line), Some(evidence)));
    }
    let line = lines().next().unwrap_or_default();
    Ok((Toolchain::new("python", line), None))
}

fn asked(facts: &Facts) -> Vec<(String, &'static str, String)> {
    let mut asked = Vec::new();
    let mut add = |file: &str, key, version: Option<&str>| {
        let version = version.map(str::trim).filter(|version| !version.is_empty());
        asked.extend(version.map(|version| (file.to_owned(), key, version.to_owned())));
    };
    let setting = facts.settings.build.toolchain.get("python").map(String::as_str);
    add("windlass.toml", "build.toolchain.python = ", setting);
    let pinned = facts.text(".python-version");
    let pinned = pinned.lines().map(str::trim).find(|line| !line.starts_with('#'));
    add(".python-version", "", pinned.map(|line| line.trim_start_matches("cpython-")));
    let runtime = facts.text("runtime.txt");
    add("runtime.txt", "python-", runtime.trim().strip_prefix("python-"));
    let project = facts.manifests.pyproject.as_ref();
    let requires = project.and_then(|project| project.requires_python.as_deref());
    add("pyproject.toml", "requires-python: ", requires);
    asked
}

fn unsupported(file: &str, specifier: &str) -> PluginError {
    let mut lines = LINES;
    lines.sort_by_key(|line| line.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok()));
    PluginError::new(
        "python.version-unsupported",
        format!("{file} asks for Python {specifier}, and Windlass provides {}", lines.join(", ")),
    )
    .hint(format!(
        "ask for a supported version in {file}, or set it in windlass.toml:\n\
         [build.toolchain]\n\
         python = \"{}\"",
        LINES[0]
    ))
}
