//! Which Go: the first of these that says anything. `windlass.toml`, `.go-version`, `.tool-versions`,
//! `mise.toml`, the directives `toolchain` and `go` of `go.mod`, what another platform's file names, the
//! version that the application ran with before, the default. The directives name the oldest version that
//! will do: Go builds what was written for an older one.

use windlass_plugin_common::wanted::{self, Pin};
use windlass_sdk::{Evidence, Toolchain, log};

use crate::facts::{Facts, join};

/// The oldest minor version of Go that still gets security fixes.
const SUPPORTED: (u64, u64) = (1, 26);

/// The toolchain, and where it was asked for.
pub(crate) fn choose(facts: &Facts) -> (Toolchain, Option<Evidence>) {
    wanted::choose("go", &asked(facts), facts.previous)
}

/// Says what is passed over, and what has reached its end of life.
pub(crate) fn warn(facts: &Facts) {
    let supported = format!("{}.{}", SUPPORTED.0, SUPPORTED.1);
    if let Some(pin) = wanted::unread(&asked(facts)) {
        log::warn(wanted::unreadable(&pin.file, "Go", &pin.requirement, &supported));
    }
    let (toolchain, evidence) = choose(facts);
    let version = &toolchain.requirement;
    if wanted::older(version, SUPPORTED.0, SUPPORTED.1) {
        let file = evidence.map_or_else(|| "the last deployment".to_owned(), |sign| sign.path);
        log::warn(format!(
            "Go {version} gets no security fixes any more: ask for {supported} or newer (now: {file})"
        ));
    }
}

fn asked(facts: &Facts) -> Vec<Pin> {
    let setting = facts.settings.build.toolchain.get("go").map(String::as_str);
    let mut pins: Vec<Pin> =
        Pin::new("windlass.toml", "build.toolchain.go", setting.unwrap_or_default())
            .into_iter()
            .collect();
    let plain = |text: &str| text.trim().trim_start_matches("go").to_owned();
    pins.extend(Pin::new(".go-version", "", &plain(&facts.text(".go-version"))));
    let shared = wanted::shared(facts.source, &["golang", "go"]);
    pins.extend(shared.into_iter().map(|pin| Pin { requirement: plain(&pin.requirement), ..pin }));
    pins.extend(directive(facts, "toolchain"));
    pins.extend(directive(facts, "go"));
    pins.extend(wanted::elsewhere(facts.source, &["go", "golang"]));
    pins
}

/// The newest version that a directive of any module names, as the least one that will do.
fn directive(facts: &Facts, key: &str) -> Option<Pin> {
    let named = facts.modules.iter().filter_map(|(folder, module)| {
        let text = if key == "go" { &module.go } else { &module.toolchain };
        let text = text.as_deref()?.trim_start_matches("go");
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let numbers: Vec<u64> = text[..end].split('.').filter_map(|n| n.parse().ok()).collect();
        (!numbers.is_empty()).then(|| (numbers, join(folder, "go.mod"), text[..end].to_owned()))
    });
    let (_, file, version) = named.max()?;
    Pin::new(&file, key, &format!(">={version} <2"))
}
