//! Crystal: the targets of `shard.yml`.

use windlass_plugin_common::compiled::built;
use windlass_plugin_common::wanted::{self, Pin};
use windlass_plugin_common::yaml;
use windlass_sdk::{Detection, PluginError};

use crate::facts::Facts;
use crate::found::{Finding, Found, choose};

/// Libraries that the standard library is linked to where it is asked for them.
const LIBRARIES: [&str; 6] =
    ["libssl-dev", "zlib1g-dev", "libyaml-dev", "libxml2-dev", "libgmp-dev", "libpcre2-dev"];

/// What the files say.
pub(crate) fn find(facts: &Facts) -> Finding {
    if !facts.has("shard.yml") {
        return Finding::Nothing;
    }
    let detection = Detection::new("crystal", "Crystal", "crystal").confidence(78);
    let shard = match yaml::parse(&facts.text("shard.yml")) {
        Ok(shard) => shard,
        Err(why) => {
            let error = PluginError::new(
                "native.manifest-invalid",
                format!("shard.yml cannot be read: {why}"),
            )
            .hint("repair shard.yml and deploy again");
            let detection = detection.evidence("shard.yml", "");
            return Found::new(detection, facts, "crystal", Vec::new()).refuse(error).finding();
        }
    };
    let text = |value: &_| yaml::text_of(value);
    let targets: Vec<(String, String)> = shard["targets"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, target)| (name.clone(), text(&target["main"])))
        .filter(|(_, main)| !main.is_empty())
        .collect();
    if targets.is_empty() {
        let reason = "there is a shard.yml, but it names no targets: a library".to_owned();
        return Finding::Near("crystal", reason);
    }
    let names: Vec<String> = targets.iter().map(|(name, _)| name.clone()).collect();
    let chosen = choose(facts, &names, &text(&shard["name"]));
    let detection = detection.evidence("shard.yml", format!("targets: {}", names.join(", ")));
    let mut pins: Vec<Pin> =
        Pin::new(".crystal-version", "", &facts.text(".crystal-version")).into_iter().collect();
    pins.extend(wanted::shared(facts.source, &["crystal"]));
    let crystal = text(&shard["crystal"]);
    let bare = crystal.starts_with(|c: char| c.is_ascii_digit());
    // A bare version is the one that it was written for: newer ones of the line will do.
    let crystal = if bare { format!("^{crystal}") } else { crystal.replace(',', " ") };
    pins.extend(Pin::new("shard.yml", "crystal", crystal.trim_start_matches("^ ")));
    let found = Found::new(detection, facts, "crystal", pins).packages(LIBRARIES).without(&[
        "**/*.cr",
        "shard.yml",
        "shard.lock",
        "lib/**",
        "spec/**",
        "Dockerfile",
    ]);
    let name = match chosen {
        Err(error) => return found.refuse(error).finding(),
        Ok(name) => name,
    };
    let main = targets.into_iter().find(|(target, _)| *target == name).map(|(_, main)| main);
    let depends = shard["dependencies"].as_object().is_some_and(|all| !all.is_empty());
    let mut found = found.cache("crystal", "/root/.cache").program(&name);
    if depends {
        let locked = if facts.has("shard.lock") { " --frozen" } else { "" };
        let line = format!("shards install --without-development{locked}");
        found = found.packages(["git", "ca-certificates"]).install(&["shard.*"], &line);
        if shard["dependencies"].get("sqlite3").is_some() {
            found = found.packages(["libsqlite3-dev"]);
        }
    }
    let line = format!(
        "crystal build --release --no-debug -o {} {}",
        built(&name),
        main.unwrap_or_default()
    );
    found.build(&line).finding()
}
