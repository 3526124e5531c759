//! Which Rust: the first of these that says anything. `windlass.toml`, `rust-toolchain.toml`,
//! `rust-toolchain`, `.tool-versions`, `mise.toml`, `rust-version`, the least version that the edition
//! needs, what another platform's file names, the version that the application ran with before, the default.
//! `stable`, `beta` and `nightly` are no versions: the official image's rustup fetches what the file names.

use windlass_plugin_common::wanted::{self, Pin};
use windlass_sdk::{Evidence, Toolchain, log};

use crate::facts::Facts;

/// The toolchain, and where it was asked for.
pub(crate) fn choose(facts: &Facts) -> (Toolchain, Option<Evidence>) {
    wanted::choose("rust", &asked(facts), facts.previous)
}

/// Says what does not keep.
pub(crate) fn warn(facts: &Facts) {
    if let Some((file, channel)) = channel(facts).filter(|(_, channel)| unstable(channel)) {
        log::warn(format!(
            "{file} asks for {channel} Rust, which may change with each build: name a date or a version"
        ));
    }
}

fn unstable(channel: &str) -> bool {
    matches!(channel, "nightly" | "beta")
}

fn asked(facts: &Facts) -> Vec<Pin> {
    let setting = facts.settings.build.toolchain.get("rust").map(String::as_str);
    let mut pins: Vec<Pin> =
        Pin::new("windlass.toml", "build.toolchain.rust", setting.unwrap_or_default())
            .into_iter()
            .collect();
    if let Some((file, channel)) = channel(facts) {
        pins.extend(Pin::new(file, "channel", &channel));
    }
    pins.extend(wanted::shared(facts.source, &["rust"]));
    let packages = facts.root.iter().chain(facts.packages.values());
    let least = packages.filter_map(crate::manifest::Manifest::least_rust);
    let least = least.max_by_key(|(_, version)| numbers(version));
    pins.extend(
        least.and_then(|(key, version)| Pin::new("Cargo.toml", key, &format!(">={version}"))),
    );
    pins.extend(wanted::elsewhere(facts.source, &["rust"]));
    pins
}

fn channel(facts: &Facts) -> Option<(&'static str, String)> {
    let text = facts.text("rust-toolchain.toml");
    if let Some(channel) = from_table(&text) {
        return Some(("rust-toolchain.toml", channel));
    }
    let text = facts.text("rust-toolchain");
    let plain =
        || text.lines().map(str::trim).find(|line| !line.is_empty() && !line.contains(['=', '[']));
    let channel = from_table(&text).or_else(|| plain().map(str::to_owned))?;
    Some(("rust-toolchain", channel))
}

fn from_table(text: &str) -> Option<String> {
    let table: toml::Table = toml::from_str(text).ok()?;
    Some(table.get("toolchain")?.get("channel")?.as_str()?.to_owned())
}

fn numbers(version: &str) -> Vec<u64> {
    version.split('.').filter_map(|part| part.parse().ok()).collect()
}
