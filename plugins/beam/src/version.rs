//! Which Elixir, Gleam or Erlang: the first of these that says anything, in this order. `windlass.toml`,
//! `.tool-versions`, `mise.toml`, the buildpack's or the version manager's file, the manifest, another
//! platform's file, what the application ran with before, the default.

use windlass_plugin_common::pins;
use windlass_plugin_common::version::npm;
use windlass_plugin_common::wanted::{self, Pin};
use windlass_sdk::{Evidence, Toolchain};

use crate::App;
use crate::facts::Facts;

/// The toolchain that was settled on.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub(crate) toolchain: Toolchain,
    pub(crate) evidence: Option<Evidence>,
    pub(crate) warning: Option<String>,
}

/// Settles on a version.
pub(crate) fn choose(facts: &Facts, app: &App) -> Chosen {
    let (name, manifest, required) = match app {
        App::Mix(mix) => ("elixir", "mix.exs", mix.requirement.as_deref()),
        App::Gleam(gleam) => ("gleam", "gleam.toml", gleam.requirement.as_deref()),
        App::Rebar(_) => ("erlang", "rebar.config", None),
    };
    let mut all = Vec::new();
    let setting = facts.settings.build.toolchain.get(name).map(String::as_str);
    all.extend(Pin::new(
        "windlass.toml",
        &format!("build.toolchain.{name}"),
        setting.unwrap_or(""),
    ));
    all.extend(wanted::shared(facts.source, &[name]));
    for (file, key) in own_files(name) {
        let text = facts.text(file);
        let value =
            if key.is_empty() { pins::first_line(&text) } else { pins::property(&text, key) };
        all.extend(Pin::new(file, key, value.unwrap_or_default()));
    }
    for pin in &mut all {
        // `1.17.3-otp-27`: the rest names the Erlang that comes with it.
        let version = pin.requirement.trim_start_matches('v');
        pin.requirement = version.split("-otp").next().unwrap_or(version).to_owned();
    }
    let required = required.map(range);
    all.extend(Pin::new(manifest, name, &required.unwrap_or_default()));
    all.extend(wanted::elsewhere(facts.source, &[name]));
    let before: Vec<Toolchain> =
        facts.previous(name).map(|version| Toolchain::new(name, version)).into_iter().collect();
    let unreadable = all.iter().find(|pin| npm(&pin.requirement).is_none());
    let warning = unreadable.map(|pin| {
        let such_as = match name {
            "elixir" => "1.18",
            "gleam" => "1.18.1",
            _ => "28",
        };
        wanted::unreadable(&pin.file, name, &pin.requirement, such_as)
    });
    let (toolchain, evidence) = wanted::choose(name, &all, &before);
    let old = name == "elixir" && wanted::older(&toolchain.requirement, 1, 15);
    let warning = warning.or_else(|| {
        let file = evidence.as_ref().map_or("the last deployment", |sign| sign.path.as_str());
        old.then(|| {
            let version = &toolchain.requirement;
            format!(
                "Elixir {version} gets no more security fixes: ask for 1.18 or newer (now: {file})"
            )
        })
    });
    Chosen { toolchain, evidence, warning }
}

fn own_files(name: &str) -> &'static [(&'static str, &'static str)] {
    match name {
        "elixir" => &[
            ("elixir_buildpack.config", "elixir_version"),
            (".elixir-version", ""),
            (".exenv-version", ""),
        ],
        "erlang" => &[(".erlang-version", "")],
        _ => &[],
    }
}

/// Elixir's and Gleam's ranges as npm's: `~> 1.14` → `>=1.14 <2`, `and` → a space, `or` → `||`.
pub(crate) fn range(text: &str) -> String {
    let one = |part: &str| {
        let part = part.trim();
        let Some(version) = part.strip_prefix("~>").map(str::trim) else {
            return part.trim_start_matches("==").trim().to_owned();
        };
        let numbers: Vec<u64> =
            version.split(['.', '-']).map_while(|number| number.parse().ok()).collect();
        match numbers.as_slice() {
            [major] | [major, _] => format!(">={version} <{}.0.0", major + 1),
            [major, minor, ..] => format!(">={version} <{major}.{}.0", minor + 1),
            [] => part.to_owned(),
        }
    };
    let all = |set: &str| set.split(" and ").map(one).collect::<Vec<_>>().join(" ");
    text.split(" or ").map(all).collect::<Vec<_>>().join(" || ")
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_are_turned_into_those_of_the_contract() {
        assert_eq!(range("~> 1.14"), ">=1.14 <2.0.0");
        assert_eq!(range("~> 1.14.2"), ">=1.14.2 <1.15.0");
        assert_eq!(range(">= 1.13.0 and < 2.0.0"), ">= 1.13.0 < 2.0.0");
        assert_eq!(range("~> 1.0 or == 2.1.0"), ">=1.0 <2.0.0 || 2.1.0");
    }
}
