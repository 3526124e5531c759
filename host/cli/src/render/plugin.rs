//! Plugins: what they are, what they may do, and who uses them.

use std::fmt::Write as _;

use jiff::Timestamp;
use windlass_model::plugin::account::{PluginStats, PluginUse, SwitchedOff, Totals};
use windlass_model::plugin::lock::{Origin, Policy, Signature, Version};
use windlass_model::plugin::manage::{
    Asked, LiveUse, PluginSummary, PluginView, PluginsView, ProjectPlugin, Proposal,
    SignaturesView, Standing,
};
use windlass_model::plugin::{CallOutcome, Capability, PluginInfo, Stage};

use super::{ago, bytes, count, failure, harmless, table, took};

/// Characters of a summary in a list.
const SUMMARY_CHARS: usize = 60;

/// All plugins, and what could not be loaded.
pub fn list(view: &PluginsView, color: bool) -> String {
    let rows: Vec<Vec<String>> = view.plugins.iter().map(row).collect();
    let mut text =
        table(&["plugin", "version", "stages", "from", "granted", "size", "summary"], &rows);
    text += &off(view.plugins.iter().flat_map(|plugin| &plugin.switched_off));
    for (file, problem) in &view.problems {
        let _ = write!(text, "\n{}\n{}", harmless(file), failure::block(problem, color));
    }
    text
}

/// What is switched off, with what is to do about it.
pub fn off<'a>(off: impl IntoIterator<Item = &'a SwitchedOff>) -> String {
    let one = |off: &SwitchedOff| {
        format!("\nwarning: {}\n  fix: {}\n", harmless(&off.to_string()), harmless(&off.fix()))
    };
    off.into_iter().map(one).collect()
}

/// What calls amounted to.
pub fn stats(stats: &PluginStats, now: Timestamp) -> String {
    if stats.plugins.is_empty() && stats.switched_off.is_empty() {
        return "no plugin was called yet\n".to_owned();
    }
    let rows: Vec<Vec<String>> = stats.plugins.iter().map(|row| stats_row(row, now)).collect();
    let heading = [
        "plugin", "version", "stage", "calls", "cached", "faults", "refused", "denied", "mean",
        "longest", "cpu", "memory", "last",
    ];
    let mut text = table(&heading, &rows);
    for row in &stats.plugins {
        text += &in_detail(row);
    }
    text + &off(&stats.switched_off)
}

fn stats_row(row: &PluginUse, now: Timestamp) -> Vec<String> {
    let totals = &row.totals;
    let refused = totals.outcomes.get(&CallOutcome::Refused).copied().unwrap_or_default();
    vec![
        row.plugin.clone(),
        harmless(&row.version),
        row.stage.as_str().to_owned(),
        totals.calls.to_string(),
        totals.cached.to_string(),
        totals.faults().to_string(),
        refused.to_string(),
        totals.host_calls.denied.to_string(),
        took_us(totals.took_us.checked_div(totals.calls).unwrap_or_default()),
        took_us(totals.took_us_max),
        took(totals.cpu_ms),
        bytes(totals.memory_peak_bytes),
        totals.last_at.map_or_else(|| "-".to_owned(), |at| ago(at, now)),
    ]
}

/// What the table has no room for, where there is any of it.
fn in_detail(row: &PluginUse) -> String {
    let Totals { outcomes, host_calls, log_bytes_dropped, .. } = &row.totals;
    let faults = outcomes
        .iter()
        .filter(|(outcome, _)| !matches!(outcome, CallOutcome::Answered | CallOutcome::Refused));
    let mut said: Vec<String> =
        faults.map(|(outcome, count)| format!("{count} {}", outcome.as_str())).collect();
    for (asked, what) in [(host_calls.exec, "command"), (host_calls.http, "request")] {
        if asked > 0 {
            said.push(count(asked, what));
        }
    }
    if *log_bytes_dropped > 0 {
        said.push(format!("{} of log dropped", bytes(*log_bytes_dropped)));
    }
    if said.is_empty() {
        return String::new();
    }
    let (version, stage) = (harmless(&row.version), row.stage.as_str());
    format!("  {} {version} as a {stage}: {}\n", row.plugin, said.join(", "))
}

/// Calls are short: below a millisecond microseconds are said.
fn took_us(us: u64) -> String {
    if us < 1000 { format!("{us} µs") } else { took(us / 1000) }
}

fn row(plugin: &PluginSummary) -> Vec<String> {
    let manifest = &plugin.info.manifest;
    let mut kinds: Vec<&str> = plugin.grants.0.iter().map(|one| one.kind().as_str()).collect();
    kinds.dedup();
    let granted = match (kinds.is_empty(), manifest.capabilities.is_empty()) {
        (false, _) => kinds.join(","),
        (true, true) => "-".to_owned(),
        (true, false) => "nothing".to_owned(),
    };
    vec![
        manifest.name.clone(),
        harmless(&manifest.version),
        stages(&plugin.info.stages),
        standing(plugin.standing).to_owned(),
        granted,
        bytes(plugin.info.bytes),
        super::cut(&harmless(&manifest.summary), SUMMARY_CHARS),
    ]
}

/// What an installation does, or did.
pub fn proposal(proposal: &Proposal) -> String {
    let mut text = format!(
        "{} {}: {} ({})\n",
        proposal.name,
        harmless(&proposal.version),
        harmless(&proposal.summary),
        harmless(&proposal.licence)
    );
    let _ = writeln!(
        text,
        "  fills {}; {}; {}; {}",
        stages(&proposal.stages),
        bytes(proposal.bytes),
        proposal.digest.short(),
        signature(&proposal.signature)
    );
    text += &asks(&proposal.asks, &proposal.stages);
    if let Some(before) = proposal.replaces.as_ref().filter(|_| !proposal.more.is_empty()) {
        let _ = writeln!(text, "more than {} asks for:", harmless(before));
        for capability in &proposal.more {
            text += &asked(capability, None);
        }
    }
    text
}

fn asks(asks: &[Asked], stages: &[Stage]) -> String {
    if asks.is_empty() {
        return format!("it asks for nothing: {}, and answers\n", sees(stages));
    }
    let lines = asks.iter().map(|one| asked(&one.capability, Some(one)));
    lines.fold("it asks for:\n".to_owned(), |text, line| text + &line)
}

/// What who asks for nothing sees of the source. A rollout component is never shown it, a custom stage only with
/// the capability `source`.
fn sees(filled: &[Stage]) -> String {
    let (blind, seeing): (Vec<Stage>, Vec<Stage>) =
        filled.iter().copied().partition(|stage| matches!(stage, Stage::Rollout | Stage::Custom));
    match (seeing.is_empty(), blind.is_empty()) {
        (false, true) => "it sees the source".to_owned(),
        (true, _) => "it sees nothing of the source".to_owned(),
        (false, false) => format!(
            "it sees the source as {}, and nothing of it as {}",
            stages(&seeing),
            stages(&blind)
        ),
    }
}

fn asked(capability: &Capability, granted: Option<&Asked>) -> String {
    let optional = if capability.optional { " (optional)" } else { "" };
    let state = match granted {
        None => String::new(),
        Some(one) if one.granted.0.is_empty() => ": not granted".to_owned(),
        Some(one) if one.granted.0 == [capability.request.clone()] => ": granted".to_owned(),
        Some(one) => {
            let parts: Vec<String> =
                one.granted.0.iter().map(|grant| harmless(&grant.to_string())).collect();
            format!(": granted only {}", parts.join("; "))
        }
    };
    let request = harmless(&capability.request.to_string());
    format!("  {request}{optional}{state}\n    because: {}\n", harmless(&capability.reason))
}

/// A plugin with all that is known of it.
pub fn full(view: &PluginView, now: Timestamp) -> String {
    let PluginSummary { info, standing: from, .. } = &view.summary;
    let manifest = &info.manifest;
    let mut text = format!(
        "{} {}: {} ({})\n  {}; fills {}; {}; {}\n",
        manifest.name,
        harmless(&manifest.version),
        harmless(&manifest.summary),
        harmless(&manifest.licence),
        standing(*from),
        stages(&info.stages),
        bytes(info.bytes),
        info.digest.short()
    );
    text += &asks(&view.asks, &info.stages);
    text += &custom(info);
    if !view.versions.is_empty() {
        let previous = view.previous.as_ref();
        let rows: Vec<Vec<String>> = view
            .versions
            .iter()
            .map(|version| {
                let state = match () {
                    () if version.digest == info.digest => "active",
                    () if previous == Some(&version.digest) => "before",
                    () => "pinned",
                };
                version_row(version, state, now)
            })
            .collect();
        text += "\n";
        text += &table(&["version", "digest", "", "installed", "by", "from", "signature"], &rows);
    }
    if !view.projects.is_empty() {
        let rows: Vec<Vec<String>> = view.projects.iter().map(project_row).collect();
        text += "\n";
        text += &table(&["project", "uses", "version", "options"], &rows);
    }
    if !view.live.is_empty() {
        let rows: Vec<Vec<String>> = view.live.iter().map(live_row).collect();
        text += "\n";
        text += &table(&["live in", "environment", "deployment", "as", "version"], &rows);
    }
    text += &off(&view.summary.switched_off);
    if !view.summary.everywhere {
        text += "\nonly projects that enable it use it\n";
    }
    if !manifest.options_schema.trim().is_empty() {
        let _ = write!(text, "\noptions:\n{}\n", schema(&manifest.options_schema));
    }
    text
}

/// What the removal of a plugin means for those that use it, in warnings; empty where nobody does.
pub fn at_stake(view: &PluginView) -> String {
    let name = harmless(&view.summary.info.manifest.name);
    let mut text = String::new();
    if !view.live.is_empty() {
        let place = |one: &LiveUse| format!("{}/{}", one.project, one.environment);
        let places: Vec<String> = view.live.iter().map(place).collect();
        let _ = writeln!(
            text,
            "warning: {name} had a part in what is live in {}: that goes on running, and the next deployment there \
             will not find the plugin",
            places.join(", ")
        );
    }
    if !view.projects.is_empty() {
        let projects: Vec<&str> = view.projects.iter().map(|one| one.project.as_str()).collect();
        let _ = writeln!(
            text,
            "warning: what these projects chose of {name} goes with it (options, versions, enabled or not): {}",
            projects.join(", ")
        );
    }
    text
}

fn custom(info: &PluginInfo) -> String {
    let mut text = String::new();
    for stage in &info.manifest.custom {
        let hooks: Vec<&str> = stage.hooks.iter().map(|hook| hook.as_str()).collect();
        let (name, summary) = (harmless(&stage.name), harmless(&stage.summary));
        let _ = writeln!(text, "stage {name} at {}: {summary}", hooks.join(", "));
    }
    text
}

fn schema(text: &str) -> String {
    let value = serde_json::from_str::<serde_json::Value>(text);
    let pretty = value.ok().and_then(|value| serde_json::to_string_pretty(&value).ok());
    pretty.unwrap_or_else(|| text.to_owned()).lines().map(harmless).collect::<Vec<_>>().join("\n")
}

fn version_row(version: &Version, state: &str, now: Timestamp) -> Vec<String> {
    let from = match &version.source {
        Origin::File { name } => name,
        Origin::Url { url } => url,
        Origin::Oci { reference } => reference,
    };
    vec![
        harmless(&version.version),
        version.digest.short().to_owned(),
        state.to_owned(),
        ago(version.installed_at, now),
        harmless(&version.installed_by),
        harmless(from),
        signature(&version.signature),
    ]
}

fn project_row(chosen: &ProjectPlugin) -> Vec<String> {
    let options = match chosen.options.is_empty() {
        true => "-".to_owned(),
        false => harmless(&serde_json::to_string(&chosen.options).unwrap_or_default()),
    };
    vec![
        chosen.project.to_string(),
        match (chosen.enabled, chosen.switched_off.is_empty()) {
            (true, true) => "yes",
            (true, false) => "switched off",
            (false, _) => "no",
        }
        .to_owned(),
        harmless(&chosen.version) + if chosen.pinned { " (pinned)" } else { "" },
        options,
    ]
}

fn live_row(part: &LiveUse) -> Vec<String> {
    let LiveUse { project, environment, number, stages: asked_as, version } = part;
    let version = match version.as_str() {
        "" => "-".to_owned(),
        version => harmless(version),
    };
    vec![
        project.to_string(),
        environment.to_string(),
        format!("#{number}"),
        stages(asked_as),
        version,
    ]
}

/// What a project uses of one plugin, in a sentence.
pub fn chosen(chosen: &ProjectPlugin) -> String {
    let ProjectPlugin { project, plugin, version, .. } = chosen;
    let version = harmless(version);
    let mut text = match (chosen.enabled, chosen.pinned) {
        (false, _) => format!("{project} does not use {plugin}"),
        (true, true) => format!("{project} uses {plugin} {version} and stays with it"),
        (true, false) => format!("{project} uses {plugin} {version}"),
    };
    if !chosen.options.is_empty() {
        let options = serde_json::to_string(&chosen.options).unwrap_or_default();
        let _ = write!(text, ", with {}", harmless(&options));
    }
    text + &off(&chosen.switched_off)
}

/// Whose signatures count.
pub fn signatures(view: &SignaturesView) -> String {
    let mut text = match view.policy {
        Policy::Require => "only what a trusted key signed is installed\n",
        Policy::Warn => "what no trusted key signed is installed, and that is said\n",
        Policy::Off => "signatures are not looked at\n",
    }
    .to_owned();
    for (name, key) in &view.keys {
        let kind = if key.contains("-----BEGIN") { "ECDSA P-256" } else { "minisign" };
        let _ = writeln!(text, "  {} ({kind})", harmless(name));
    }
    if view.policy == Policy::Require && view.keys.is_empty() {
        text += "warning: no key is trusted, so nothing can be installed or upgraded\n  fix: `windlass plugin trust --add \
                 NAME=FILE`, or `windlass plugin trust --policy warn`\n";
    }
    text
}

pub(super) fn signature(signature: &Signature) -> String {
    match signature {
        Signature::NotChecked => "signature not looked at".to_owned(),
        Signature::Absent => "not signed".to_owned(),
        Signature::Untrusted => "signed by nobody who is trusted".to_owned(),
        Signature::Verified { key } => format!("signed by {}", harmless(key)),
    }
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Bundled => "bundled",
        Standing::Installed => "installed",
        Standing::Unmanaged => "unmanaged",
    }
}

pub(super) fn stages(stages: &[Stage]) -> String {
    stages.iter().map(|stage| stage.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use windlass_model::Failure;
    use windlass_model::plugin::lock::Policy;

    use super::*;

    fn summary() -> serde_json::Value {
        json!({
            "manifest": {
                "name": "scan", "version": "1.2.0", "licence": "Apache-2.0",
                "summary": "Looks\u{1b}[31m dependencies up",
                "capabilities": [], "options_schema": "{\"type\":\"object\"}",
                "custom": [{ "name": "scan", "summary": "Looks them up", "hooks": ["after-build"] }],
            },
            "digest": format!("sha256:{}", "ab".repeat(32)),
            "stages": ["custom"], "bundled": false, "bytes": 204_800,
            "standing": "installed", "everywhere": false,
            "grants": [{ "name": "http", "hosts": ["api.osv.dev"], "methods": ["POST"] }],
        })
    }

    fn switched_off() -> serde_json::Value {
        json!({
            "project": "shop", "plugin": "scan", "version": "1.2.0",
            "digest": format!("sha256:{}", "ab".repeat(32)), "stage": "custom",
            "function": "run scan", "faults": 5, "code": "plugin.trapped",
            "reason": "it trapped: un\u{1b}reachable", "at": "2026-01-02T03:04:05Z",
            "environment": "production", "deployment": "01hzy6qk5v8r0x3m2n4p7s9tab", "number": 7,
        })
    }

    #[test]
    fn totals_are_a_table_and_what_is_off_is_said_with_its_fix() {
        let row = |version: &str, totals: serde_json::Value| {
            let mut row = json!({
                "plugin": "scan", "version": version, "stage": "custom",
                "digest": format!("sha256:{}", "ab".repeat(32)),
            });
            row.as_object_mut().unwrap().extend(totals.as_object().unwrap().clone());
            row
        };
        let busy = json!({
            "calls": 12, "cached": 3, "took_us": 2_400_000, "took_us_max": 900_000, "cpu_ms": 640,
            "outcomes": { "answered": 6, "refused": 1, "trapped": 5 }, "log_bytes": 9,
            "log_bytes_dropped": 4096, "memory_peak_bytes": 8_388_608,
            "host_calls": { "exec": 2, "http": 7, "denied": 4 },
            "last_at": "2026-01-04T03:00:05Z",
        });
        let quiet = json!({ "calls": 1, "took_us": 80, "took_us_max": 80,
                            "outcomes": { "answered": 1 } });
        let view = json!({
            "plugins": [row("1.2.0", busy), row("1.1.0", quiet)], "switched_off": [switched_off()],
        });
        let now = "2026-01-04T03:04:05Z".parse().unwrap();
        insta::assert_snapshot!(stats(&serde_json::from_value(view).unwrap(), now));
        let none = PluginStats { project: None, plugins: Vec::new(), switched_off: Vec::new() };
        assert_eq!(stats(&none, now), "no plugin was called yet\n");
    }

    #[test]
    fn what_is_off_is_said_wherever_the_plugin_is_shown() {
        let mut summary = summary();
        summary["switched_off"] = json!([switched_off()]);
        let view = json!({ "plugins": [summary], "problems": [] });
        let listed = list(&serde_json::from_value(view).unwrap(), false);
        let one = json!({ "project": "shop", "plugin": "scan", "enabled": true, "version": "1.2.0",
                          "pinned": false, "options": {}, "switched_off": [switched_off()] });
        let one: ProjectPlugin = serde_json::from_value(one).unwrap();
        for text in [listed, chosen(&one)] {
            assert!(text.contains("scan 1.2.0 is switched off for shop as a custom"), "{text}");
            assert!(text.contains("windlass plugin enable scan --project shop"), "{text}");
            assert!(!text.contains('\u{1b}'), "{text}");
        }
        assert_eq!(project_row(&one)[1], "switched off");
    }

    fn asks() -> serde_json::Value {
        json!([
            { "capability": { "name": "http", "hosts": ["*"], "methods": ["POST"],
                              "reason": "asks for advisories\u{7}" },
              "granted": [{ "name": "http", "hosts": ["api.osv.dev"], "methods": ["POST"] }] },
            { "capability": { "name": "cache", "bytes_max": 1000, "reason": "keeps them",
                              "optional": true },
              "granted": [] },
            { "capability": { "name": "annotations", "reason": "says what it found" },
              "granted": [{ "name": "annotations" }] },
        ])
    }

    #[test]
    fn a_list_says_what_each_is_granted_and_what_could_not_be_loaded() {
        let view = json!({ "plugins": [summary()], "problems": [] });
        let mut view: PluginsView = serde_json::from_value(view).unwrap();
        let failure = Failure::host("plugin.file-gone", "it is gone", "somebody", "put it back");
        view.problems.push(("old.wasm".to_owned(), failure));
        insta::assert_snapshot!(list(&view, false));
    }

    #[test]
    fn what_it_asks_for_is_shown_with_its_reasons_and_what_became_of_it() {
        let shown = json!({
            "name": "scan", "version": "1.2.0", "digest": format!("sha256:{}", "ab".repeat(32)),
            "bytes": 204_800, "summary": "Looks dependencies up", "licence": "Apache-2.0",
            "stages": ["custom"], "asks": asks(), "installed": false, "replaces": "1.1.0",
            "more": [{ "name": "annotations", "reason": "says what it found" }],
            "signature": { "is": "verified", "key": "author" },
        });
        insta::assert_snapshot!(proposal(&serde_json::from_value(shown).unwrap()));
    }

    #[test]
    fn who_asks_for_nothing_sees_the_source_in_the_stages_that_are_shown_it() {
        use Stage::{Builder, Custom, Detector, Health, Migrator, Rollout};
        let nothing = |sees: &str| format!("it asks for nothing: {sees}, and answers\n");
        for all in [vec![Detector], vec![Builder, Migrator, Health]] {
            assert_eq!(super::asks(&[], &all), nothing("it sees the source"));
        }
        for none in [vec![Custom], vec![Rollout], vec![Rollout, Custom]] {
            assert_eq!(super::asks(&[], &none), nothing("it sees nothing of the source"));
        }
        let some = "it sees the source as detector, builder, and nothing of it as custom";
        assert_eq!(super::asks(&[], &[Detector, Builder, Custom]), nothing(some));
    }

    #[test]
    fn all_that_is_known_of_one_is_shown() {
        let version = |version: &str, digest: &str| {
            json!({
                "version": version, "digest": format!("sha256:{}", digest.repeat(32)), "bytes": 1,
                "source": { "from": "url", "url": "https://example.com/scan.wasm" },
                "installed_at": "2026-01-02T03:04:05Z", "installed_by": "admin", "grants": [],
                "signature": { "is": "absent" },
            })
        };
        let mut view = summary();
        view["asks"] = asks();
        view["versions"] =
            json!([version("1.2.0", "ab"), version("1.1.0", "cd"), version("1.0.0", "ef")]);
        view["previous"] = format!("sha256:{}", "cd".repeat(32)).into();
        view["projects"] = json!([
            { "project": "shop", "plugin": "scan", "enabled": true, "version": "1.0.0",
              "pinned": true, "options": { "level": "high" } },
            { "project": "blog", "plugin": "scan", "enabled": false, "version": "1.2.0",
              "pinned": false, "options": {} },
        ]);
        view["live"] = json!([
            { "project": "shop", "environment": "production", "number": 12,
              "stages": ["health", "custom"], "version": "1.0.0" },
            { "project": "wiki", "environment": "staging", "number": 3, "stages": ["custom"] },
        ]);
        let now = "2026-01-04T03:04:05Z".parse().unwrap();
        insta::assert_snapshot!(full(&serde_json::from_value(view).unwrap(), now));
    }

    #[test]
    fn trust_is_said_in_a_sentence() {
        let keys = [("author".to_owned(), "RWQ".to_owned())].into();
        let view = SignaturesView { policy: Policy::Require, keys };
        let said = signatures(&view);
        assert!(said.starts_with("only what a trusted key signed") && said.contains("minisign"));
        assert!(!said.contains("warning"), "{said}");
        let none = |policy| SignaturesView { policy, keys: std::collections::BTreeMap::new() };
        let said = signatures(&none(Policy::Require));
        assert!(
            said.contains("nothing can be installed") && said.contains("--add NAME=FILE"),
            "{said}"
        );
        assert!(!signatures(&none(Policy::Warn)).contains("warning: no key"));
    }
}
