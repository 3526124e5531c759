//! Which Ruby: the first of these that says anything, in this order. `windlass.toml`, the Gemfile,
//! `.ruby-version`, `.tool-versions`, `mise.toml`, `RUBY VERSION` of the lock file, another platform's file,
//! the version that the application ran with before, the host's default.
//!
//! Bundler insists on the very version that a Gemfile names, so that one is asked for to the patch level.
//! Of every other pin the line counts (`3.3`): patch levels are the base's.

use windlass_plugin_common::assets::Files;
use windlass_plugin_common::version::{Interval, pep440};
use windlass_plugin_common::{pins, wanted};
use windlass_sdk::{Evidence, PluginError, Toolchain};

use crate::facts::Facts;

/// Ends of life: the first line that is still maintained.
const MAINTAINED: Interval = Interval { low: (3, 3, 0), high: (99, 0, 0) };
/// Every version of Ruby.
const RUBIES: Interval = Interval { low: (1, 8, 0), high: (99, 0, 0) };
const ENGINES: [&str; 5] = ["jruby", "truffleruby", "rbx", "mruby", "picoruby"];

/// The version that was settled on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) toolchain: Toolchain,
    /// Where it was asked for.
    pub(crate) evidence: Option<Evidence>,
    /// Something to look at.
    pub(crate) warning: Option<String>,
}

/// A pin: file, key, text, and whether the patch level counts.
struct Pin(String, String, String, bool);

/// Settles on a version.
///
/// # Errors
/// Code `ruby.engine-unsupported`: it is written for another engine.
pub(crate) fn choose(facts: &Facts) -> Result<Chosen, PluginError> {
    let mut warning = None;
    for Pin(file, key, text, exact) in asked(facts) {
        if let Some(engine) = ENGINES.into_iter().find(|engine| text.starts_with(engine)) {
            return Err(unsupported(&file, engine));
        }
        if matches!(text.as_str(), "latest" | "*") {
            let evidence = Evidence::new(file, format!("{key}{text}"));
            let toolchain = Toolchain::new("ruby", "");
            return Ok(Chosen { toolchain, evidence: Some(evidence), warning });
        }
        let Some(requirement) = requirement(&text, exact) else {
            warning = Some(wanted::unreadable(&file, "Ruby", &text, "3.4"));
            continue;
        };
        let maintained = pep440(&requirement.replace(' ', ","))
            .is_none_or(|interval| interval.meets(MAINTAINED));
        let old = format!(
            "{file} asks for Ruby {text}, which is no longer maintained: nobody repairs its security \
             holes; move to a newer version"
        );
        let evidence = Some(Evidence::new(file, format!("{key}{text}")));
        let warning = warning.or((!maintained).then_some(old));
        return Ok(Chosen { toolchain: Toolchain::new("ruby", requirement), evidence, warning });
    }
    let before = facts.previous.iter().find(|one| one.name == "ruby");
    let before = before.and_then(|one| line(&one.requirement)).unwrap_or_default();
    Ok(Chosen { toolchain: Toolchain::new("ruby", before), evidence: None, warning })
}

fn asked(facts: &Facts) -> Vec<Pin> {
    let mut pins = Vec::new();
    let mut add = |file: &str, key: &str, text: Option<&str>, exact| {
        let text = text.map(|text| text.trim().trim_start_matches("ruby-").trim());
        let text = text.filter(|text| !text.is_empty());
        pins.extend(text.map(|text| Pin(file.to_owned(), key.to_owned(), text.to_owned(), exact)));
    };
    let setting = facts.settings.build.toolchain.get("ruby").map(String::as_str);
    add("windlass.toml", "build.toolchain.ruby = ", setting, true);
    if let Some((file, _, gemfile)) = &facts.gemfile
        && let Some(ruby) = &gemfile.ruby
    {
        let key = format!("line {}: ruby ", ruby.line);
        add(file, &key, ruby.engine.as_deref().filter(|engine| *engine != "ruby"), true);
        add(file, &key, Some(&ruby.requirement), true);
        if let Some(named) = &ruby.file {
            add(named, "", pinned(facts, named).as_deref(), true);
        }
    }
    add(".ruby-version", "", pinned(facts, ".ruby-version").as_deref(), false);
    add(".tool-versions", "ruby ", pinned(facts, ".tool-versions").as_deref(), false);
    for file in pins::MISE {
        let text = facts.text(file).unwrap_or_default();
        add(file, "tools.ruby: ", pins::mise(&text, &["ruby"]).as_deref(), false);
    }
    if let Some(ruby) = facts.lock.as_ref().and_then(|lock| lock.ruby.as_deref()) {
        // `3.1.4p0 (jruby 9.4.3.0)`
        let engine = ruby.split_once('(').map(|(_, engine)| engine);
        let version = ruby.split(['p', ' ']).next();
        add("Gemfile.lock", "RUBY VERSION ", engine.or(version), false);
    }
    if let Some(pin) = wanted::elsewhere(facts.source, &["ruby"]) {
        add(&pin.file, &format!("{} = ", pin.key), Some(&pin.requirement), false);
    }
    pins
}

/// The version in a file of one line, or in `.tool-versions`.
fn pinned(facts: &Facts, file: &str) -> Option<String> {
    let text = facts.text(file)?;
    if file == ".tool-versions" {
        return pins::tool_versions(&text, &["ruby"]).map(str::to_owned);
    }
    pins::first_line(&text).map(str::to_owned)
}

/// `~> 3.2` → `>=3.2.0 <4.0.0`; `3.2.1` → `3.2.1`, or `3.2` where the patch level does not count.
fn requirement(text: &str, exact: bool) -> Option<String> {
    let version = text.trim_start_matches(['=', ' ', 'v']);
    if version.starts_with(|c: char| c.is_ascii_digit()) && !version.contains([',', ' ']) {
        let line = line(version)?;
        return Some(if exact { plain(version)? } else { line });
    }
    let specifier = text.replace("~>", "~=");
    let parts = specifier.split(',').map(str::trim);
    let parts: Vec<&str> = parts.map(|part| part.strip_prefix("= ").unwrap_or(part)).collect();
    let interval = pep440(&parts.join(","))?;
    (!interval.is_empty()).then(|| {
        let both = interval.requirement(RUBIES);
        both.replace(" <99.0.0", "").replace(">=1.8.0 ", "")
    })
}

/// `3.2.1p31`, `3.4.0-preview1` → `3.2.1`, `3.4.0`
fn plain(version: &str) -> Option<String> {
    let end = version.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(version.len());
    Interval::line(&version[..end]).map(|_| version[..end].trim_end_matches('.').to_owned())
}

/// `3.2.1` → `3.2`
fn line(version: &str) -> Option<String> {
    let version = plain(version)?;
    Some(version.split('.').take(2).collect::<Vec<_>>().join("."))
}

fn unsupported(file: &str, engine: &str) -> PluginError {
    let message = format!("{file} asks for {engine}, and Windlass runs Ruby's own interpreter");
    PluginError::new("ruby.engine-unsupported", message).hint(format!(
        "name a version of Ruby in {file}, or deploy with a Dockerfile on an image of {engine}"
    ))
}

#[cfg(test)]
mod tests {
    use super::requirement;

    #[test]
    fn ranges_become_intervals() {
        for (text, exact, expected) in [
            ("3.2.1", true, Some("3.2.1")),
            ("3.2.1", false, Some("3.2")),
            ("3.2", true, Some("3.2")),
            ("3", false, Some("3")),
            ("= 3.2.1", true, Some("3.2.1")),
            ("3.4.0-preview1", true, Some("3.4.0")),
            ("~> 3.2", true, Some(">=3.2.0 <4.0.0")),
            ("~> 3.2.1", true, Some(">=3.2.1 <3.3.0")),
            (">= 3.1, < 3.4", true, Some(">=3.1.0 <3.4.0")),
            (">= 3.1", true, Some(">=3.1.0")),
            ("< 3.4", true, Some("<3.4.0")),
            ("> 3.4, < 3", true, None),
            ("head", true, None),
        ] {
            assert_eq!(requirement(text, exact).as_deref(), expected, "{text}");
        }
    }
}
