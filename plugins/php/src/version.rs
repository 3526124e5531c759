//! Which PHP: the first of these that says anything, in this order. `windlass.toml`, `.php-version`,
//! `.tool-versions`, `mise.toml`, `config.platform.php`, `require.php`, what another platform's file names,
//! the version that the application ran with before, the host's default. Patch levels are the base's.
//!
//! A range of composer.json is narrowed to what the packages of composer.lock allow: a lock file that was
//! written for an older PHP must not meet a newer one.

use windlass_plugin_common::assets::Files;
use windlass_plugin_common::version::{Interval, npm};
use windlass_plugin_common::{pins, wanted};
use windlass_sdk::{Evidence, Toolchain};

use crate::facts::Facts;

/// The lines that are still maintained.
const MAINTAINED: Interval = Interval { low: (8, 2, 0), high: (99, 0, 0) };
const EVERY: Interval = Interval { low: (5, 0, 0), high: (99, 0, 0) };

/// The version that was settled on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) toolchain: Toolchain,
    /// Where it was asked for.
    pub(crate) evidence: Option<Evidence>,
    /// Something to look at.
    pub(crate) warning: Option<String>,
}

/// Settles on a version; `locked` is what the packages of the lock file ask for.
pub(crate) fn choose(facts: &Facts, locked: &[String]) -> Chosen {
    let mut warning = None;
    for (file, key, text) in asked(facts) {
        let Some(wanted) = intervals(&text) else {
            warning = Some(wanted::unreadable(&file, "PHP", &text, "8.4"));
            continue;
        };
        let wanted = if file == "composer.json" { narrowed(wanted, locked) } else { wanted };
        let old = format!(
            "{file} asks for PHP {text}, which is no longer maintained: nobody repairs its security \
             holes; move to a newer version"
        );
        let maintained = wanted.iter().any(|interval| interval.meets(MAINTAINED));
        let evidence = Some(Evidence::new(file, format!("{key}{text}")));
        let toolchain = Toolchain::new("php", requirement(&wanted));
        return Chosen { toolchain, evidence, warning: warning.or((!maintained).then_some(old)) };
    }
    let before = facts.previous.iter().find(|one| one.name == "php");
    let before = before.map(|one| line(&one.requirement)).unwrap_or_default();
    let before = match (before.is_empty(), locked.is_empty()) {
        (true, false) => requirement(&narrowed(vec![EVERY], locked)),
        _ => before,
    };
    Chosen { toolchain: Toolchain::new("php", before), evidence: None, warning }
}

fn asked(facts: &Facts) -> Vec<(String, String, String)> {
    let mut asked = Vec::new();
    let mut add = |file: &str, key: &str, text: Option<&str>| {
        let text = text.map(str::trim).filter(|text| !text.is_empty() && *text != "*");
        asked.extend(text.map(|text| (file.to_owned(), key.to_owned(), text.to_owned())));
    };
    let setting = facts.settings.build.toolchain.get("php").map(String::as_str);
    add("windlass.toml", "build.toolchain.php = ", setting);
    let file = facts.text(".php-version").unwrap_or_default();
    add(".php-version", "", pins::first_line(&file));
    let tools = facts.text(".tool-versions").unwrap_or_default();
    add(".tool-versions", "php ", pins::tool_versions(&tools, &["php"]));
    for file in pins::MISE {
        let text = facts.text(file).unwrap_or_default();
        add(file, "tools.php: ", pins::mise(&text, &["php"]).as_deref());
    }
    if let Some(composer) = &facts.composer {
        add("composer.json", "config.platform.php: ", composer.platform.as_deref());
        add("composer.json", "require.php: ", composer.requires("php"));
    }
    if let Some(pin) = wanted::elsewhere(facts.source, &["php"]) {
        add(&pin.file, &format!("{} = ", pin.key), Some(&pin.requirement));
    }
    asked
}

/// A version or a constraint of Composer: `8.2.12`, `^8.1 || ^8.2`, `>=8.1,<8.4`, `~8.2`, `8.*`.
fn intervals(text: &str) -> Option<Vec<Interval>> {
    if text == "latest" {
        return Some(vec![EVERY]);
    }
    let alternatives = text.split('|').map(str::trim).filter(|part| !part.is_empty());
    let found: Option<Vec<Interval>> = alternatives.map(alternative).collect();
    found.filter(|found| found.iter().any(|interval| !interval.is_empty()))
}

fn alternative(text: &str) -> Option<Interval> {
    let text = text.split('@').next().unwrap_or(text);
    let text = text.replace("!= ", "!=");
    // Composer's `~8.2` allows 8.3, npm's does not.
    let words: Vec<String> = text
        .split([' ', ','])
        .filter(|word| !word.is_empty())
        .map(|word| match word.strip_prefix('~') {
            Some(version) if version.matches('.').count() < 2 => format!("^{version}"),
            _ if word.starts_with("!=") || word.starts_with("<>") => ">=0".to_owned(),
            _ if word.starts_with(|c: char| c.is_ascii_digit())
                && word.matches('.').count() == 2 =>
            {
                line(word)
            }
            _ => word.trim_end_matches("-dev").trim_end_matches("-stable").to_owned(),
        })
        .collect();
    let range = words.join(" ");
    npm(&range)?.into_iter().next()
}

/// What all constraints allow; a constraint that leaves nothing is passed over.
fn narrowed(wanted: Vec<Interval>, locked: &[String]) -> Vec<Interval> {
    let common =
        |a: &Interval, b: &Interval| Interval { low: a.low.max(b.low), high: a.high.min(b.high) };
    locked.iter().filter_map(|text| intervals(text)).fold(wanted, |wanted, other| {
        let pairs = wanted.iter().flat_map(|a| other.iter().map(move |b| common(a, b)));
        let both: Vec<Interval> = pairs.filter(|both| !both.is_empty()).collect();
        if both.is_empty() { wanted } else { both }
    })
}

/// `>=8.1.0 <9.0.0 || >=9.0.0 <10.0.0`, or `8.2` for a line.
fn requirement(wanted: &[Interval]) -> String {
    let mut wanted = wanted.to_vec();
    wanted.sort_by_key(|interval| (interval.low, interval.high));
    let mut merged: Vec<Interval> = Vec::new();
    for next in wanted {
        match merged.last_mut() {
            Some(last) if next.low <= last.high => last.high = last.high.max(next.high),
            _ => merged.push(next),
        }
    }
    let text = |interval: &Interval| {
        let (low, high) = (interval.low, interval.high);
        if low.2 == 0 && high == (low.0, low.1 + 1, 0) {
            return format!("{}.{}", low.0, low.1);
        }
        let text = interval.requirement(EVERY);
        text.replace(" <99.0.0", "").replace(">=5.0.0 ", "").replace(">=5.0.0", "")
    };
    let texts: Vec<String> = merged.iter().map(text).collect();
    if texts.iter().any(String::is_empty) { String::new() } else { texts.join(" || ") }
}

/// `8.2.12` → `8.2`
fn line(version: &str) -> String {
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        intervals(text).map(|wanted| requirement(&wanted))
    }

    #[test]
    fn constraints_of_composer_become_requirements() {
        for (text, expected) in [
            ("8.2", Some("8.2")),
            ("8.2.12", Some("8.2")),
            ("^8.2", Some(">=8.2.0 <9.0.0")),
            ("~8.2", Some(">=8.2.0 <9.0.0")),
            ("~8.2.0", Some("8.2")),
            ("8.*", Some(">=8.0.0 <9.0.0")),
            (">=8.1", Some(">=8.1.0")),
            (">=8.1,<8.4", Some(">=8.1.0 <8.4.0")),
            (">= 7.0", Some(">=7.0.0")),
            ("^7.4|^8.0", Some(">=7.4.0 <9.0.0")),
            ("^7.4 || ~8.3.0", Some(">=7.4.0 <8.0.0 || 8.3")),
            ("~8.1.0 || ~8.2.0 || ~8.3.0", Some(">=8.1.0 <8.4.0")),
            ("^8.1 != 8.1.3", Some(">=8.1.0 <9.0.0")),
            ("latest", Some("")),
            ("dev-main", None),
        ] {
            assert_eq!(read(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_lock_file_narrows_what_composer_json_allows() {
        let narrow = |wanted: &str, locked: &[&str]| {
            let locked: Vec<String> = locked.iter().map(|text| (*text).to_owned()).collect();
            requirement(&narrowed(intervals(wanted).unwrap(), &locked))
        };
        assert_eq!(narrow("^8.1", &[">=7.2", "~8.1.0 || ~8.2.0"]), ">=8.1.0 <8.3.0");
        assert_eq!(narrow("^8.1", &["^7.4"]), ">=8.1.0 <9.0.0");
    }
}
