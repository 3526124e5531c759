//! What changed since the last good deployment.

use windlass_model::changes::{Change, Changes};

use super::harmless;

/// One line for each thing that differs; says so when nothing does.
pub fn block(changes: &Changes) -> String {
    let mut text = format!("changed since #{}, the last good one\n", changes.since_number);
    if changes.is_empty() {
        return text
            + "  nothing that is known: the same source, variables, settings, plugins and grants\n";
    }
    let mut add = |name: &str, value: String| {
        text += &format!("  {name:<10}  {}\n", harmless(&value));
    };
    if let Some(commit) = &changes.commit {
        add("commit", fromto(commit));
    }
    let variables = &changes.variables;
    for (how, names) in [
        ("added", &variables.added),
        ("changed", &variables.changed),
        ("removed", &variables.removed),
    ] {
        if !names.is_empty() {
            add("variables", format!("{how}: {}", names.join(", ")));
        }
    }
    for (name, list) in [
        ("setting", &changes.settings),
        ("plugin", &changes.plugins),
        ("granted", &changes.grants),
        ("base", &changes.bases),
        ("toolchain", &changes.toolchains),
    ] {
        for change in list {
            add(name, format!("{}: {}", change.name, fromto(change)));
        }
    }
    text
}

fn fromto(change: &Change) -> String {
    let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "none".to_owned());
    format!("{} -> {}", side(&change.from), side(&change.to))
}

#[cfg(test)]
mod tests {
    use windlass_model::changes::VariableChanges;

    use super::*;

    #[test]
    fn each_thing_that_differs_has_a_line() {
        let change = |name: &str, from: Option<&str>, to: &str| Change {
            name: name.into(),
            from: from.map(Into::into),
            to: Some(to.into()),
        };
        let mut changes = Changes {
            since: windlass_model::DeploymentId::generate(),
            since_number: 4,
            commit: Some(change("commit", Some("aaaa One"), "bbbb Two")),
            variables: VariableChanges { added: vec!["NEW".into()], ..VariableChanges::default() },
            plugins: vec![],
            grants: vec![change("scan", Some("source: **/*.pem"), "source: **")],
            bases: vec![],
            toolchains: vec![],
            settings: vec![change("run.port", None, "4000")],
        };
        insta::assert_snapshot!(block(&changes), @r"
        changed since #4, the last good one
          commit      aaaa One -> bbbb Two
          variables   added: NEW
          setting     run.port: none -> 4000
          granted     scan: source: **/*.pem -> source: **
        ");
        changes.commit = None;
        changes.variables.added.clear();
        changes.settings.clear();
        changes.grants.clear();
        assert!(block(&changes).contains("nothing that is known"));
    }
}
