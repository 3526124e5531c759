//! The choice among all that asks for a version of a toolchain, and what is kept of the version that an
//! application ran with before.

use windlass_sdk::{Evidence, Source, Toolchain};

use crate::version::{Interval, npm};
use crate::{others, pins};

/// A version that something asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Where.
    pub file: String,
    /// The key in it; may be empty.
    pub key: String,
    /// The version or range.
    pub requirement: String,
}

impl Pin {
    /// A pin; what is empty asks for nothing.
    pub fn new(file: &str, key: &str, requirement: &str) -> Option<Self> {
        let requirement = requirement.trim();
        let new = |text: &str| text.to_owned();
        (!requirement.is_empty()).then(|| Self {
            file: new(file),
            key: new(key),
            requirement: new(requirement),
        })
    }
}

/// What `.tool-versions` and `mise.toml` ask for, under any of these names of the toolchain.
pub fn shared(source: &Source, names: &[&str]) -> Vec<Pin> {
    source.prefetch(&pins::FILES);
    let text = |file: &str| source.text(file).ok().flatten().unwrap_or_default();
    let name = names.first().copied().unwrap_or_default();
    let version = text(pins::TOOL_VERSIONS);
    let first = pins::tool_versions(&version, names)
        .and_then(|version| Pin::new(pins::TOOL_VERSIONS, name, version));
    let read = |file: &str| {
        let version = pins::mise(&text(file), names)?;
        Pin::new(file, &format!("tools.{name}"), &version)
    };
    first.into_iter().chain(pins::MISE.into_iter().filter_map(read)).collect()
}

/// What another platform's file asks for, under any of these names of the toolchain, if it can be had. It goes
/// behind all other pins: only what ran before, and the default, are weaker.
pub fn elsewhere(source: &Source, names: &[&str]) -> Option<Pin> {
    source.prefetch(&others::FILES);
    let (taken, file) = others::version(names, |file| source.text(file).ok().flatten())?;
    Pin::new(file, &taken.key, &taken.value)
}

/// The version of a toolchain that an application ran with before.
pub fn before<'a>(name: &str, previous: &'a [Toolchain]) -> Option<&'a str> {
    let ran = previous.iter().find(|one| one.name == name && !one.requirement.is_empty());
    ran.map(|one| one.requirement.as_str())
}

/// The toolchain that the first readable pin asks for, and the sign. An application that ran before
/// keeps its version as long as the pin allows it.
pub fn choose(name: &str, pins: &[Pin], previous: &[Toolchain]) -> (Toolchain, Option<Evidence>) {
    let before = before(name, previous);
    let readable = |pin: &&Pin| npm(&pin.requirement).is_some();
    let Some(pin) = pins.iter().find(readable) else {
        return (Toolchain::new(name, before.unwrap_or_default()), None);
    };
    let allowed = |version: &&str| {
        let line = Interval::line(version);
        let ranges = npm(&pin.requirement).unwrap_or_default();
        line.is_some_and(|line| ranges.iter().any(|range| range.meets(line)))
    };
    let kept = before.filter(allowed);
    let sign = if pin.key.is_empty() {
        pin.requirement.clone()
    } else {
        format!("{}: {}", pin.key, pin.requirement)
    };
    let evidence = Evidence::new(pin.file.clone(), sign);
    (Toolchain::new(name, kept.unwrap_or(&pin.requirement)), Some(evidence))
}

/// The first pin in front of the one that counts that does not read; words such as `latest` name no version, but are
/// no mistake.
pub fn unread(pins: &[Pin]) -> Option<&Pin> {
    let readable = |pin: &&Pin| npm(&pin.requirement).is_some();
    let word = |pin: &&Pin| {
        let words = ["latest", "stable", "system", "lts", "ref:", "path:", "prefix:"];
        words.iter().any(|word| pin.requirement.starts_with(word))
    };
    pins.iter().take_while(|pin| !readable(pin)).find(|pin| !word(pin))
}

/// What to say of a pin that does not read and is passed over; `such_as` is a version that can be had.
pub fn unreadable(file: &str, name: &str, asked: &str, such_as: &str) -> String {
    format!(
        "{file} asks for {name} {asked:?}, which is not a version, and is passed over: write one there, such as {such_as}"
    )
}

/// Whether the whole line of a pin is older than this version: `1.19.3` is older than (1, 21).
pub fn older(requirement: &str, major: u64, minor: u64) -> bool {
    let exact = requirement.starts_with(|c: char| c.is_ascii_digit() || c == 'v');
    let line = Interval::line(requirement).filter(|_| exact && !requirement.contains(' '));
    line.is_some_and(|line| line.high <= (major, minor, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(requirement: &str) -> Vec<Pin> {
        Pin::new("f", "k", requirement).into_iter().collect()
    }

    #[test]
    fn an_application_keeps_its_version_while_the_pin_allows_it() {
        let before = [Toolchain::new("go", "1.22.3")];
        let chosen = |pins: &[Pin]| choose("go", pins, &before).0.requirement;
        assert_eq!(chosen(&pin(">=1.20")), "1.22.3");
        assert_eq!(chosen(&pin("1.22")), "1.22.3");
        assert_eq!(chosen(&pin(">=1.23")), ">=1.23");
        assert_eq!(chosen(&[]), "1.22.3");
        assert_eq!(choose("go", &[], &[]).0.requirement, "");
        assert_eq!(choose("rust", &pin("nightly"), &[]), (Toolchain::new("rust", ""), None));
    }

    #[test]
    fn pins_that_do_not_read_are_named_and_words_are_left() {
        let first = |requirements: &[&str]| {
            let pins: Vec<Pin> = requirements.iter().flat_map(|text| pin(text)).collect();
            unread(&pins).map(|pin| pin.requirement.clone())
        };
        assert_eq!(first(&["latest", "one", "1.22"]), Some("one".to_owned()));
        assert_eq!(first(&["1.22", "one"]), None);
        assert_eq!(first(&["latest", "system"]), None);
        let said = unreadable(".go-version", "Go", "one", "1.26");
        assert!(
            said.starts_with(".go-version asks for Go \"one\"") && said.ends_with("1.26"),
            "{said}"
        );
    }

    #[test]
    fn only_an_exact_pin_is_old() {
        assert!(older("1.19.3", 1, 21) && older("1.20", 1, 21));
        assert!(!older("1.21", 1, 21) && !older(">=1.19", 1, 21) && !older("", 1, 21));
    }
}
