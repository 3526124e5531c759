//! Which stages run at a hook, and in which order: by what they need and provide.
//!
//! **Invariant: what cannot be carried out is refused before anything is run.** A need that nobody provides, one
//! that is provided too late, and a circle are all found from the declarations alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use windlass_model::Failure;
use windlass_model::plugin::{CustomStage, Hook};
use windlass_model::settings::{OnFailure, StageSettings, When};

/// A stage that is to run, with how it was declared and set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    pub plugin: String,
    pub stage: String,
    pub hook: Hook,
    #[serde(default)]
    pub needs: Vec<String>,
    #[serde(default)]
    pub provides: Vec<String>,
    #[serde(default)]
    pub on_failure: OnFailure,
    #[serde(default)]
    pub when: When,
    #[serde(default)]
    pub options: serde_json::Map<String, serde_json::Value>,
}

impl Node {
    /// As people read it: `osv-scan.scan`.
    pub(crate) fn name(&self) -> String {
        format!("{}.{}", self.plugin, self.stage)
    }
}

/// The stages that an entry of the settings means.
///
/// # Errors
/// `stages.unknown-stage`, `stages.wrong-hook`, `stages.hook-missing`.
pub(crate) fn nodes(entry: &StageSettings, declared: &[CustomStage]) -> Result<Vec<Node>, Failure> {
    let plugin = &entry.plugin;
    let names = || {
        let all: Vec<&str> = declared.iter().map(|stage| stage.name.as_str()).collect();
        if all.is_empty() { "none".to_owned() } else { all.join(", ") }
    };
    let meant: Vec<&CustomStage> = match &entry.stage {
        Some(name) => declared.iter().filter(|stage| stage.name == *name).collect(),
        None => declared.iter().collect(),
    };
    if meant.is_empty() {
        let wanted = entry.stage.as_deref().unwrap_or("that could be run");
        return Err(Failure::app(
            "stages.unknown-stage",
            format!("the plugin {plugin} has no custom stage {wanted}"),
            format!("its custom stages are: {}", names()),
            "name one of them in `[[stages]]` of windlass.toml, or leave `stage` out",
        ));
    }
    let mut nodes = Vec::new();
    for stage in &meant {
        let hook = match (entry.at, stage.hooks.as_slice()) {
            (Some(at), hooks) if hooks.contains(&at) => at,
            (Some(_), _) => continue,
            (None, [only]) => *only,
            (None, hooks) => return Err(hook_missing(entry, stage, hooks)),
        };
        nodes.push(Node {
            plugin: plugin.clone(),
            stage: stage.name.clone(),
            hook,
            needs: stage.needs.clone(),
            provides: stage.provides.clone(),
            on_failure: entry.on_failure,
            when: entry.when,
            options: entry.options.clone(),
        });
    }
    if nodes.is_empty() {
        let at = entry.at.map_or("", Hook::as_str);
        let offered: Vec<String> = meant
            .iter()
            .map(|stage| format!("{} ({})", stage.name, hooks_of(&stage.hooks)))
            .collect();
        return Err(Failure::app(
            "stages.wrong-hook",
            format!("no stage of the plugin {plugin} that is meant runs at {at}"),
            format!("they run at: {}", offered.join("; ")),
            "set `at` in `[[stages]]` of windlass.toml to one of these, or leave it out",
        ));
    }
    Ok(nodes)
}

fn hooks_of(hooks: &[Hook]) -> String {
    hooks.iter().map(|hook| hook.as_str()).collect::<Vec<_>>().join(", ")
}

fn hook_missing(entry: &StageSettings, stage: &CustomStage, hooks: &[Hook]) -> Failure {
    Failure::app(
        "stages.hook-missing",
        format!("it is not said where the stage {} of {} runs", stage.name, entry.plugin),
        format!("it can run at {}", hooks_of(hooks)),
        "add `at` to it in `[[stages]]` of windlass.toml",
    )
}

/// Looks the whole of it over.
///
/// # Errors
/// `stages.twice`, `stages.need-unmet`, `stages.need-too-late`, `stages.circle`.
pub(crate) fn check(nodes: &[Node]) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    for node in nodes {
        if !seen.insert((&node.plugin, &node.stage, node.hook)) {
            return Err(Failure::app(
                "stages.twice",
                format!("the stage {} would run twice at {}", node.name(), node.hook.as_str()),
                "two entries of `[[stages]]` mean it",
                "name the stages one by one with `stage`, or remove one of the entries",
            ));
        }
        for need in &node.needs {
            provided(nodes, node, need)?;
        }
    }
    for hook in Hook::ALL {
        circle(nodes, hook)?;
    }
    Ok(())
}

fn provided(nodes: &[Node], node: &Node, need: &str) -> Result<(), Failure> {
    let providers: Vec<&Node> =
        nodes.iter().filter(|other| other.provides.iter().any(|it| it == need)).collect();
    if providers.iter().any(|other| other.hook <= node.hook) {
        return Ok(());
    }
    let (name, at) = (node.name(), node.hook.as_str());
    Err(match providers.first() {
        None => Failure::app(
            "stages.need-unmet",
            format!("the stage {name} needs {need:?}, which no stage provides"),
            "none of the stages that are switched on in `[[stages]]` says that it provides it",
            format!("switch a stage on that provides {need:?}, or remove {name}"),
        ),
        Some(late) => Failure::app(
            "stages.need-too-late",
            format!("the stage {name} at {at} needs {need:?} before it is there"),
            format!("{} provides it at {}", late.name(), late.hook.as_str()),
            format!("run {name} later, or {} earlier, with `at` in `[[stages]]`", late.name()),
        ),
    })
}

/// For each stage of a hook, by its place in the list, those that come before it.
pub(crate) fn before(nodes: &[Node], hook: Hook) -> BTreeMap<usize, BTreeSet<usize>> {
    let of_hook = || nodes.iter().enumerate().filter(|(_, node)| node.hook == hook);
    let mut before = BTreeMap::new();
    for (place, node) in of_hook() {
        let provides = |other: &Node| other.provides.iter().any(|it| node.needs.contains(it));
        let first = of_hook().filter(|(_, other)| provides(other)).map(|(place, _)| place);
        before.insert(place, first.collect());
    }
    before
}

fn circle(nodes: &[Node], hook: Hook) -> Result<(), Failure> {
    let mut left = before(nodes, hook);
    while let Some(free) = left.iter().find(|(_, first)| first.is_empty()).map(|(place, _)| *place)
    {
        left.remove(&free);
        for first in left.values_mut() {
            first.remove(&free);
        }
    }
    if left.is_empty() {
        return Ok(());
    }
    let names: Vec<String> =
        left.keys().filter_map(|place| nodes.get(*place)).map(Node::name).collect();
    Err(Failure::app(
        "stages.circle",
        format!("stages at {} wait for each other", hook.as_str()),
        format!("{} need what the others of them provide", names.join(", ")),
        "remove one of them from `[[stages]]`, or run it at another hook",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, hook: Hook, needs: &[&str], provides: &[&str]) -> Node {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Node {
            plugin: "p".to_owned(),
            stage: name.to_owned(),
            hook,
            needs: list(needs),
            provides: list(provides),
            on_failure: OnFailure::Fail,
            when: When::Success,
            options: serde_json::Map::new(),
        }
    }

    fn entry(stage: Option<&str>, at: Option<Hook>) -> StageSettings {
        StageSettings {
            plugin: "p".to_owned(),
            stage: stage.map(str::to_owned),
            at,
            on_failure: OnFailure::Warn,
            when: When::Success,
            options: serde_json::Map::new(),
        }
    }

    fn declared(name: &str, hooks: &[Hook]) -> CustomStage {
        CustomStage {
            name: name.to_owned(),
            summary: "s".to_owned(),
            hooks: hooks.to_vec(),
            needs: Vec::new(),
            provides: Vec::new(),
        }
    }

    #[test]
    fn an_entry_means_what_it_names_else_all_that_can_run_there() {
        let all = [
            declared("scan", &[Hook::AfterBuild]),
            declared("list", &[Hook::AfterFetch, Hook::AfterBuild]),
        ];
        let names = |entry: StageSettings| {
            nodes(&entry, &all).map(|nodes| nodes.iter().map(Node::name).collect::<Vec<_>>())
        };
        let at = |hook| entry(None, Some(hook));
        assert_eq!(names(at(Hook::AfterBuild)).unwrap(), ["p.scan", "p.list"]);
        assert_eq!(names(at(Hook::AfterFetch)).unwrap(), ["p.list"]);
        assert_eq!(names(entry(Some("scan"), None)).unwrap(), ["p.scan"]);
        let code = |entry| nodes(&entry, &all).unwrap_err().code;
        assert_eq!(code(entry(Some("list"), None)), "stages.hook-missing");
        assert_eq!(code(entry(Some("other"), None)), "stages.unknown-stage");
        assert_eq!(code(at(Hook::BeforeSwitch)), "stages.wrong-hook");
        assert_eq!(nodes(&entry(None, None), &[]).unwrap_err().code, "stages.unknown-stage");
    }

    #[test]
    fn branches_run_beside_each_other_and_join_again() {
        let hook = Hook::AfterBuild;
        let nodes = [
            node("join", hook, &["left", "right"], &[]),
            node("left", hook, &["root"], &["left"]),
            node("right", hook, &["root"], &["right"]),
            node("root", hook, &["early"], &["root"]),
            node("early", Hook::AfterFetch, &[], &["early"]),
        ];
        check(&nodes).unwrap();
        let before = before(&nodes, hook);
        assert_eq!(before[&0], BTreeSet::from([1, 2]));
        assert_eq!(before[&1], BTreeSet::from([3]));
        assert!(before[&3].is_empty() && !before.contains_key(&4));
    }

    #[test]
    fn what_cannot_be_carried_out_is_refused_and_names_the_stages() {
        let (early, late) = (Hook::AfterFetch, Hook::AfterBuild);
        let refused = |nodes: &[Node]| check(nodes).unwrap_err();
        let unmet = refused(&[node("a", early, &["x"], &[])]);
        assert_eq!(unmet.code, "stages.need-unmet");
        assert!(unmet.what.contains("p.a") && unmet.what.contains("\"x\""), "{unmet}");
        let too_late = refused(&[node("a", early, &["x"], &[]), node("b", late, &[], &["x"])]);
        assert_eq!(too_late.code, "stages.need-too-late");
        let circle = refused(&[
            node("a", early, &["y"], &["x"]),
            node("b", early, &["x"], &["y"]),
            node("c", early, &[], &[]),
        ]);
        assert_eq!(circle.code, "stages.circle");
        assert!(circle.why.contains("p.a, p.b") && !circle.why.contains("p.c"), "{circle}");
        assert_eq!(refused(&[node("a", early, &["x"], &["x"])]).code, "stages.circle");
        let twice = refused(&[node("a", early, &[], &[]), node("a", early, &[], &[])]);
        assert_eq!(twice.code, "stages.twice");
        check(&[node("a", early, &[], &[]), node("a", late, &[], &[])]).unwrap();
    }
}
