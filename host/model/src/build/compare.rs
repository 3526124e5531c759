//! Two keys of one step, compared part by part.

use std::collections::BTreeMap;

use super::{Difference, InputPart, KeyParts, OpPart, Reason};

/// Reasons that are listed of one step; of more the number is said.
const REASONS_MAX: usize = 20;

/// What differs from the last time; never empty.
pub fn reasons(old: &KeyParts, new: &KeyParts) -> Vec<Reason> {
    let mut found = Vec::new();
    if old.executor != new.executor {
        found.push(Reason::Executor { from: old.executor, to: new.executor });
    }
    if old.platform != new.platform {
        let (from, to) = (old.platform.clone(), new.platform.clone());
        found.push(Reason::Platform { from, to });
    }
    base(old, new, &mut found);
    if old.cwd != new.cwd {
        found.push(Reason::Cwd);
    }
    if old.user != new.user {
        found.push(Reason::User);
    }
    let env = |(name, how)| Reason::Env { name, how };
    found.extend(differing(&old.env, &new.env).map(env));
    let variable = |(name, how)| Reason::Variable { name, how };
    found.extend(differing(&old.variables, &new.variables).map(variable));
    ops(&old.ops, &new.ops, &mut found);
    if found.is_empty() {
        found.push(Reason::Other);
    }
    // Two operations may read the same file.
    let mut unique: Vec<Reason> = Vec::new();
    for reason in found {
        if !unique.contains(&reason) {
            unique.push(reason);
        }
    }
    if unique.len() > REASONS_MAX {
        let count = unique.len() - REASONS_MAX;
        unique.truncate(REASONS_MAX);
        unique.push(Reason::More { count });
    }
    unique
}

fn base(old: &KeyParts, new: &KeyParts, found: &mut Vec<Reason>) {
    // Of a step only its result counts: what it is called may say where it stands.
    let of_steps = old.base.step.is_some() && new.base.step.is_some();
    if old.base == new.base || of_steps && old.base.snapshot == new.base.snapshot {
        return;
    }
    found.push(match &new.base.step {
        Some(step) => Reason::Step { step: step.clone() },
        None => Reason::Base { from: named(&old.base), to: named(&new.base) },
    });
}

fn named(base: &super::BasePart) -> String {
    match (&base.step, base.image.as_str(), base.snapshot.as_str()) {
        (Some(step), ..) => format!("the step {step:?}"),
        (None, "", "") => "nothing".to_owned(),
        (None, "", snapshot) => snapshot.to_owned(),
        (None, image, _) => image.to_owned(),
    }
}

/// Names whose digests differ, in order.
fn differing(
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) -> impl Iterator<Item = (String, Difference)> {
    let mut all: Vec<(String, Difference)> = Vec::new();
    for (name, value) in new {
        match old.get(name) {
            None => all.push((name.clone(), Difference::Added)),
            Some(before) if before != value => all.push((name.clone(), Difference::Changed)),
            Some(_) => {}
        }
    }
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    all.extend(gone.map(|name| (name.clone(), Difference::Removed)));
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.into_iter()
}

fn ops(old: &[OpPart], new: &[OpPart], found: &mut Vec<Reason>) {
    for (n, op) in new.iter().enumerate() {
        let before = old.get(n);
        match before {
            Some(before) if before.digest == op.digest => {
                for (m, input) in op.inputs.iter().enumerate() {
                    if let Some(before) = before.inputs.get(m) {
                        inputs(before, input, found);
                    }
                }
            }
            Some(_) => {
                found.push(Reason::Command { shown: op.shown.clone(), how: Difference::Changed });
            }
            None => {
                found.push(Reason::Command { shown: op.shown.clone(), how: Difference::Added });
            }
        }
    }
    let gone = old.iter().skip(new.len());
    let removed =
        |op: &OpPart| Reason::Command { shown: op.shown.clone(), how: Difference::Removed };
    found.extend(gone.map(removed));
}

fn inputs(old: &InputPart, new: &InputPart, found: &mut Vec<Reason>) {
    if old.digest == new.digest {
        return;
    }
    if let Some(step) = &new.step {
        found.push(Reason::Step { step: step.clone() });
        return;
    }
    if let Some(image) = &new.image {
        let from = old.image.clone().unwrap_or_else(|| "nothing".to_owned());
        found.push(Reason::Base { from, to: image.clone() });
        return;
    }
    let file = |(path, how)| Reason::File { path, how };
    found.extend(differing(&old.files, &new.files).map(file));
}

#[cfg(test)]
mod tests {
    use super::super::{BasePart, StepRecord, StepWhy};
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn parts() -> KeyParts {
        KeyParts {
            executor: 2,
            platform: "linux/amd64".into(),
            base: BasePart { step: None, image: "node:22@a".into(), snapshot: "base-a".into() },
            env: map(&[("NODE_ENV", "1")]),
            cwd: "/app".into(),
            user: String::new(),
            variables: map(&[("API_KEY", "1"), ("OLD", "1")]),
            ops: vec![
                OpPart {
                    shown: "copy .".into(),
                    digest: "c".into(),
                    inputs: vec![InputPart {
                        step: None,
                        image: None,
                        digest: "1".into(),
                        files: map(&[("a.js", "1"), ("b.js", "1"), ("old.js", "1")]),
                    }],
                },
                OpPart { shown: "npm ci".into(), digest: "r".into(), inputs: vec![] },
            ],
        }
    }

    #[track_caller]
    fn said(change: impl FnOnce(&mut KeyParts), expected: &[&str]) {
        let mut new = parts();
        change(&mut new);
        let said: Vec<String> = reasons(&parts(), &new).iter().map(Reason::to_string).collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn each_part_that_changed_is_named() {
        said(|p| p.executor = 3, &["Windlass carries steps out in another way (version 2, now 3)"]);
        said(
            |p| p.platform = "linux/arm64".into(),
            &["the platform was linux/amd64 and is linux/arm64"],
        );
        said(
            |p| p.base.image = "node:22@b".into(),
            &["the base changed from node:22@a to node:22@b"],
        );
        said(
            |p| p.base = BasePart { step: Some("deps".into()), ..BasePart::default() },
            &["the step \"deps\" has another result"],
        );
        said(|p| p.cwd = "/".into(), &["the working directory changed"]);
        said(|p| p.user = "app".into(), &["the user changed"]);
        said(|p| p.env.clear(), &["NODE_ENV of the step's environment is gone"]);
        said(
            |p| p.variables = map(&[("API_KEY", "2"), ("NEW", "1")]),
            &[
                "the variable API_KEY changed",
                "the variable NEW is new",
                "the variable OLD is gone",
            ],
        );
        said(|p| p.ops[1].digest = "x".into(), &["`npm ci` changed"]);
        said(|p| p.ops.truncate(1), &["`npm ci` is gone"]);
        let input = |p: &mut KeyParts, files: &[(&str, &str)]| {
            p.ops[0].inputs[0].digest = "2".into();
            p.ops[0].inputs[0].files = map(files);
        };
        said(
            |p| input(p, &[("a.js", "2"), ("b.js", "1"), ("new.js", "1")]),
            &["a.js changed", "new.js is new", "old.js is gone"],
        );
        said(|_| {}, &["something changed that the record does not name"]);
    }

    #[test]
    fn a_long_list_is_cut_and_counted() {
        let mut new = parts();
        let names: Vec<String> = (0..REASONS_MAX + 5).map(|n| format!("f{n:02}")).collect();
        new.ops[0].inputs[0].digest = "2".into();
        new.ops[0].inputs[0].files.extend(names.into_iter().map(|name| (name, "1".into())));
        let found = reasons(&parts(), &new);
        assert_eq!(found.len(), REASONS_MAX + 1);
        assert_eq!(found.last(), Some(&Reason::More { count: 5 }));
    }

    #[test]
    fn the_answer_holds_no_digest_of_a_value() {
        let step = StepRecord {
            place: 0,
            id: "a".into(),
            name: "a".into(),
            key: "step-1".into(),
            cached: false,
            succeeded: true,
            took_ms: 1,
            reasons: vec![Reason::NoCache],
            parts: KeyParts { variables: map(&[("KEY", "digest-of-it")]), ..parts() },
        };
        let text = serde_json::to_string(&StepWhy::from(step)).unwrap();
        assert!(text.contains("without the cache") && !text.contains("digest-of-it"), "{text}");
    }
}
