//! Trees that are no application: they match nothing, or only what they are said to match.

use anyhow::Result;

use crate::corpus::Tree;
use crate::plugins::Answer;

/// Checks every tree, prints those that match otherwise, and says whether there were none.
pub(crate) fn check(trees: &[Tree], json: bool) -> Result<bool> {
    let mut wrong = Vec::new();
    for tree in trees {
        wrong.extend(complaint(tree, &crate::ask(tree)?));
    }
    if json {
        println!("{}", serde_json::json!({ "trees": trees.len(), "wrong": wrong }));
    } else {
        for line in &wrong {
            println!("{line}");
        }
        println!("{} of {} trees match as expected", trees.len() - wrong.len(), trees.len());
    }
    Ok(wrong.is_empty())
}

/// What is wrong with the answer.
fn complaint(tree: &Tree, answer: &Answer) -> Option<String> {
    let nothing = "nothing";
    let expected = tree.expected.as_deref().unwrap_or(nothing);
    let problem = answer.problem.as_deref().unwrap_or_default();
    let (said, confidence) = match &answer.chosen {
        Some((id, _, confidence)) => (id.as_str(), *confidence),
        None if problem.starts_with("detect.no-match") => (nothing, 0),
        None => (problem, 0),
    };
    let others = answer.others.join(", ");
    (said != expected).then(|| {
        format!("{}: expected {expected}, matches {said} ({confidence}); others: {others}", tree.id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Libraries, documents, notebooks, dotfiles, examples within packages.
    #[test]
    fn trees_that_are_no_application_match_nothing_or_what_is_named() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/no-match.jsonl");
        let trees = crate::corpus::read(file.as_ref()).unwrap();
        assert!(trees.len() >= 60, "{}", trees.len());
        let answers = trees.iter().map(|tree| (tree, crate::ask(tree).unwrap()));
        let wrong: Vec<String> =
            answers.filter_map(|(tree, answer)| complaint(tree, &answer)).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn only_what_is_expected_may_match() {
        let tree = |expected: Option<&str>| Tree {
            id: "a library".to_owned(),
            expected: expected.map(str::to_owned),
            ..Tree::default()
        };
        let none = Answer { problem: Some("detect.no-match: x".into()), ..Answer::default() };
        let tie = Answer { problem: Some("detect.tie: x".into()), ..Answer::default() };
        let hugo =
            Answer { chosen: Some(("hugo".into(), "static".into(), 90)), ..Answer::default() };
        assert_eq!(complaint(&tree(None), &none), None);
        assert_eq!(complaint(&tree(Some("hugo")), &hugo), None);
        assert!(complaint(&tree(None), &hugo).unwrap().contains("matches hugo (90)"));
        assert!(complaint(&tree(None), &tie).unwrap().contains("detect.tie"));
        assert!(complaint(&tree(Some("hugo")), &none).is_some());
    }
}
