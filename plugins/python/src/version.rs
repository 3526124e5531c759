//! Which Python: the first of these that says anything, in this order. `windlass.toml`,
//! `.python-version`, `runtime.txt`, `.tool-versions`, `mise.toml`, `Pipfile`, `requires-python` (or
//! Poetry's `python`), Conda's `environment.yml`, what another platform's file names, the version that the application ran with before,
//! the default. Only the line counts (`3.11`): patch levels are the base's. Of a range the line nearest to the
//! default is taken.

use windlass_plugin_common::version::{Interval, pep440};
use windlass_plugin_common::{pins, wanted};
use windlass_sdk::{Evidence, PluginError, Toolchain};

use crate::facts::Facts;

/// Lines that can be had, oldest first.
const LINES: [&str; 8] = ["3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"];
/// The line that is taken where nothing asks for another.
const DEFAULT: &str = "3.11";
/// Lines that get no security fixes any more.
const ENDED: [&str; 4] = ["3.7", "3.8", "3.9", "3.10"];

/// The version that was settled on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Its line.
    pub(crate) toolchain: Toolchain,
    /// Where it was asked for.
    pub(crate) evidence: Option<Evidence>,
    /// Things to look at.
    pub(crate) warnings: Vec<String>,
}

/// Settles on a version.
///
/// # Errors
/// Codes `python.version-unsupported` and `python.python-2`: what was asked for, where, and what there is.
pub(crate) fn choose(facts: &Facts) -> Result<Chosen, PluginError> {
    let mut warnings = Vec::new();
    for (file, key, specifier) in asked(facts) {
        let Some(interval) = pep440(&specifier) else {
            warnings.push(wanted::unreadable(&file, "Python", &specifier, DEFAULT));
            continue;
        };
        let line = settle(interval, facts.previous_python())
            .ok_or_else(|| unsupported(&file, &specifier))?;
        let evidence = Some(Evidence::new(file, format!("{key}{specifier}")));
        return Ok(chosen(line, evidence, warnings));
    }
    let line = previous(facts.previous_python()).unwrap_or(DEFAULT);
    Ok(chosen(line, None, warnings))
}

fn chosen(line: &str, evidence: Option<Evidence>, mut warnings: Vec<String>) -> Chosen {
    if ENDED.contains(&line) {
        let file = evidence.as_ref().map_or("the last deployment", |sign| sign.path.as_str());
        warnings.push(format!(
            "Python {line} has reached its end of life and gets no security fixes: move to {DEFAULT} \
             or newer (now: {file})"
        ));
    }
    Chosen { toolchain: Toolchain::new("python", line), evidence, warnings }
}

/// The line that ran before, else the one nearest to the default, the newer first.
fn settle(interval: Interval, ran: Option<&str>) -> Option<&'static str> {
    let at = LINES.iter().position(|line| *line == DEFAULT).unwrap_or_default();
    let newer = LINES[at..].iter().copied();
    let older = LINES[..at].iter().rev().copied();
    let fits = |line: &&str| Interval::line(line).is_some_and(|line| interval.meets(line));
    previous(ran).into_iter().chain(newer).chain(older).find(fits)
}

fn previous(ran: Option<&str>) -> Option<&'static str> {
    let ran = ran?;
    LINES.into_iter().find(|line| ran == *line || ran.starts_with(&format!("{line}.")))
}

/// File, key and specifier of every place that asks for a version.
fn asked(facts: &Facts) -> Vec<(String, String, String)> {
    let mut asked = Vec::new();
    let mut add = |file: &str, key: &str, version: Option<&str>| {
        let version = version.map(str::trim).filter(|version| !version.is_empty());
        asked.extend(version.map(|version| (file.to_owned(), key.to_owned(), version.to_owned())));
    };
    let setting = facts.settings.build.toolchain.get("python").map(String::as_str);
    add("windlass.toml", "build.toolchain.python = ", setting);
    let pinned = facts.text(".python-version");
    let pinned = pins::first_line(&pinned).map(|line| line.trim_start_matches("cpython-"));
    add(".python-version", "", pinned);
    let runtime = facts.text("runtime.txt");
    add("runtime.txt", "python-", runtime.trim().strip_prefix("python-"));
    let tools = facts.text(".tool-versions");
    add(".tool-versions", "python ", pins::tool_versions(&tools, &["python"]));
    for file in ["mise.toml", ".mise.toml"] {
        let version = pins::mise(&facts.text(file), &["python"]);
        add(file, "tools.python = ", version.as_deref().filter(|version| *version != "latest"));
    }
    if let Some((key, version)) = facts.manifests.pipfile.as_ref().and_then(|p| p.python.as_ref()) {
        let key =
            if *key == "python_version" { "python_version = " } else { "python_full_version = " };
        add("Pipfile", key, Some(version.as_str()).filter(|version| *version != "*"));
    }
    let project = facts.manifests.pyproject.as_ref();
    let requires = project.and_then(|project| project.requires_python.as_deref());
    add("pyproject.toml", "requires-python: ", requires.filter(|requires| *requires != "*"));
    if let Some(conda) = &facts.manifests.conda {
        add(conda.file, "python ", conda.python.as_deref());
    }
    if let Some(pin) = wanted::elsewhere(facts.source, &["python"]) {
        add(&pin.file, &format!("{} = ", pin.key), Some(&pin.requirement));
    }
    asked
}

fn unsupported(file: &str, specifier: &str) -> PluginError {
    let there_is = LINES.join(", ");
    let hint = format!(
        "ask for a supported version in {file}, or set it in windlass.toml:\n\
         [build.toolchain]\n\
         python = \"{DEFAULT}\""
    );
    let second =
        Interval::line("2").zip(pep440(specifier)).is_some_and(|(two, asked)| two.holds(asked));
    if second {
        let message = format!(
            "{file} asks for Python {specifier}: Python 2 has been without fixes since 2020, and Windlass \
             provides {there_is}"
        );
        let hint = format!("port the application to Python 3 (2to3 does most of it), then {hint}");
        return PluginError::new("python.python-2", message).hint(hint);
    }
    let message = format!("{file} asks for Python {specifier}, and Windlass provides {there_is}");
    PluginError::new("python.version-unsupported", message).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_nearest_to_the_default_is_taken() {
        let line = |specifier: &str, ran| settle(pep440(specifier).unwrap(), ran);
        assert_eq!(line(">=3.9", None), Some("3.11"));
        assert_eq!(line(">=3.9", Some("3.13.2")), Some("3.13"));
        assert_eq!(line("^3.12", None), Some("3.12"));
        assert_eq!(line("<3.11", Some("3.13")), Some("3.10"));
        assert_eq!(line("3.6", None), None);
    }
}
