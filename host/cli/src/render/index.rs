//! Indexes of plugins, and what was found in them.

use std::fmt::Write as _;

use windlass_model::plugin::discover::{Found, IndexView, IndexesView, SearchView};
use windlass_model::plugin::lock::Policy;

use super::plugin::{signature, stages};
use super::{count, cut, failure, harmless, table};

/// Characters of a summary in a list.
const SUMMARY_CHARS: usize = 60;

/// What was found, best first.
pub fn search(view: &SearchView, color: bool) -> String {
    let mut text = match view.found.is_empty() {
        true => {
            "nothing was found; `windlass plugin index list` shows where was looked\n".to_owned()
        }
        false => {
            let rows: Vec<Vec<String>> = view.found.iter().map(found).collect();
            table(&["plugin", "version", "stages", "index", "here", "summary"], &rows)
        }
    };
    let shown = view.found.len() as u64;
    if view.total > shown {
        let _ = writeln!(text, "and {} more: add words", view.total - shown);
    }
    for (_, problem) in &view.problems {
        let _ = write!(text, "\n{}", failure::block(problem, color));
    }
    text
}

fn found(found: &Found) -> Vec<String> {
    let entry = &found.entry;
    let newest = entry.versions.first().map(|release| release.version.as_str());
    let version = found.fits.as_deref().or(newest).unwrap_or_default();
    vec![
        entry.name.clone(),
        harmless(version),
        stages(&entry.stages),
        found.index.clone(),
        here(found),
        cut(&harmless(&entry.summary), SUMMARY_CHARS),
    ]
}

/// How it stands on this host.
fn here(found: &Found) -> String {
    let unknown = found.unknown_interfaces.first().map(|interface| harmless(interface));
    match (&found.installed, &found.fits, unknown) {
        (Some(installed), Some(_), _) if found.newer => {
            format!("{} installed, this is newer", harmless(installed))
        }
        (Some(installed), ..) => format!("{} installed", harmless(installed)),
        (None, None, Some(interface)) => format!("does not fit: {interface}"),
        (None, None, None) => "does not fit".to_owned(),
        (None, Some(_), Some(_)) => "newer ones do not fit".to_owned(),
        (None, Some(_), None) => "-".to_owned(),
    }
}

/// The indexes, and what is wrong with them.
pub fn list(view: &IndexesView, color: bool) -> String {
    if view.indexes.is_empty() {
        return "there is no index; add one with `windlass plugin index add NAME URL`\n".to_owned();
    }
    let row = |index: &IndexView| {
        vec![
            index.name.clone(),
            index.plugins.to_string(),
            policy(index.policy).to_owned(),
            signature(&index.signature),
            harmless(&index.url),
        ]
    };
    let rows: Vec<Vec<String>> = view.indexes.iter().map(row).collect();
    let mut text = table(&["index", "plugins", "policy", "signature", "url"], &rows);
    for index in &view.indexes {
        text += &left_out(index);
        if let Some(problem) = &index.problem {
            let _ = write!(text, "\n{}", failure::block(problem, color));
        }
    }
    text
}

/// An index that was added.
pub fn added(index: &IndexView) -> String {
    let plugins = count(index.plugins, "plugin");
    let signature = signature(&index.signature);
    format!("the index {} has {plugins}; {signature}\n{}", index.name, left_out(index))
}

fn left_out(index: &IndexView) -> String {
    let lines = index.skipped.iter().map(|skipped| {
        let (at, why) = (harmless(&skipped.at), harmless(&skipped.why));
        format!("left out of {}: {at}: {why}\n", index.name)
    });
    lines.collect()
}

fn policy(policy: Policy) -> &'static str {
    match policy {
        Policy::Require => "require",
        Policy::Warn => "warn",
        Policy::Off => "off",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(name: &str, mut change: serde_json::Value) -> serde_json::Value {
        let mut found = json!({
            "index": "acme", "name": name, "summary": "Looks\u{9b} things up", "licence": "MIT",
            "stages": ["custom"], "versions": [{
                "version": "1.2.0", "url": "https://example.com/a.wasm",
                "digest": format!("sha256:{}", "ab".repeat(32)),
            }],
            "fits": "1.2.0",
        });
        found.as_object_mut().unwrap().append(change.as_object_mut().unwrap());
        found
    }

    #[test]
    fn what_was_found_says_how_it_stands_here() {
        let problem = windlass_model::Failure::app("plugin.index-unreadable", "a", "b", "c");
        let view = json!({
            "found": [
                one("audit", json!({})),
                one("scan", json!({ "installed": "1.0.0", "newer": true })),
                one("old", json!({ "installed": "1.2.0" })),
                one("far", json!({ "fits": null, "unknown_interfaces": ["windlass:x/x@9.0.0"] })),
            ],
            "total": 7, "problems": [["other", problem]],
        });
        insta::assert_snapshot!(search(&serde_json::from_value(view).unwrap(), false));
        let nothing = SearchView { found: Vec::new(), total: 0, problems: Vec::new() };
        assert!(search(&nothing, false).contains("nothing was found"));
    }

    #[test]
    fn an_index_says_what_was_left_out_of_it() {
        let index = json!({
            "name": "acme", "url": "https://acme.example/plugins.json", "policy": "require",
            "plugins": 3, "signature": { "is": "verified", "key": "acme" },
            "skipped": [{ "at": "/plugins/1/versions/0/digest", "why": "it is missing" }],
        });
        let index: IndexView = serde_json::from_value(index).unwrap();
        let shown = [added(&index), list(&IndexesView { indexes: vec![index] }, false)].join("\n");
        insta::assert_snapshot!(shown);
    }
}
