//! Labels against answers.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::corpus::Tree;
use crate::labels;
use crate::plugins::Answer;
use crate::start::{self, Start};

/// What a label is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Field {
    Language,
    Framework,
    Start,
}

impl Field {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Language, Self::Framework, Self::Start];

    /// Its name, as in the table of labels that are held wrong.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Language => "language",
            Self::Framework => "framework",
            Self::Start => "start",
        }
    }
}

/// How an answer compares with a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Agrees,
    Differs,
    /// The tree does not hold what would decide it.
    Undecidable,
}

/// One label of one tree, judged.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Judged {
    pub(crate) id: String,
    pub(crate) source: String,
    pub(crate) field: Field,
    pub(crate) verdict: Verdict,
    pub(crate) wanted: String,
    pub(crate) said: String,
    pub(crate) others: Vec<String>,
    /// Why there is no answer, or why none can be expected.
    pub(crate) note: Option<String>,
    /// Whether the label is held wrong.
    pub(crate) held_wrong: bool,
}

/// Judges every label of a tree.
pub(crate) fn judge(
    tree: &Tree,
    answer: &Answer,
    held: &BTreeSet<(String, String)>,
) -> Vec<Judged> {
    let mut all = Vec::new();
    let (id, ecosystem) = answer.chosen.as_ref().map_or(("", ""), |(id, eco, _)| (id, eco));
    let shown = answer.chosen.as_ref().map_or_else(
        || "nothing".to_owned(),
        |(id, ecosystem, confidence)| format!("{ecosystem} ({id}, {confidence})"),
    );
    let judged =
        |field: Field, verdict, wanted: String, said: String, note: Option<String>| Judged {
            id: tree.id.clone(),
            source: tree.source().to_owned(),
            field,
            verdict,
            wanted,
            said,
            others: answer.others.clone(),
            note,
            held_wrong: held.contains(&(tree.id.clone(), field.name().to_owned())),
        };
    let agrees = |agrees| if agrees { Verdict::Agrees } else { Verdict::Differs };
    if let Some(label) = &tree.language {
        let verdict = agrees(labels::language_is(label, ecosystem));
        let problem = answer.problem.clone();
        all.push(judged(Field::Language, verdict, label.clone(), shown.clone(), problem));
    }
    if let Some(label) = &tree.framework {
        let verdict = agrees(labels::framework_is(label, id));
        all.push(judged(Field::Framework, verdict, label.clone(), shown, None));
    }
    if let Some(label) = &tree.start {
        let wanted = start::of_line(label, tree);
        let said = answer.start.as_ref().map(|planned| start::of_plan(planned, tree));
        let (verdict, note) = start_verdict(tree, &wanted, said.as_ref(), ecosystem, answer);
        let said = said.map_or_else(|| "nothing".to_owned(), |said| said.to_string());
        all.push(judged(Field::Start, verdict, format!("{wanted} [{label}]"), said, note));
    }
    all
}

fn start_verdict(
    tree: &Tree,
    wanted: &Start,
    said: Option<&Start>,
    ecosystem: &str,
    answer: &Answer,
) -> (Verdict, Option<String>) {
    if let Some(why) = start::undecidable(wanted, tree) {
        return (Verdict::Undecidable, Some(why));
    }
    if said.is_some_and(|said| start::same(wanted, said, ecosystem)) {
        return (Verdict::Agrees, None);
    }
    (Verdict::Differs, answer.problem.clone())
}

/// Agreements of decidable labels, and all decidable labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Count {
    pub(crate) agreed: usize,
    pub(crate) all: usize,
}

impl Count {
    /// Whether at least this many of a hundred agree; no labels, no complaint.
    pub(crate) fn reaches(self, percent: usize) -> bool {
        self.agreed * 100 >= self.all * percent
    }
}

/// Counts per source, and in all under `all`.
pub(crate) fn counts(judged: &[Judged], with_held_wrong: bool) -> BTreeMap<(String, Field), Count> {
    let mut counts: BTreeMap<(String, Field), Count> = BTreeMap::new();
    let decided = judged.iter().filter(|one| one.verdict != Verdict::Undecidable);
    for one in decided.filter(|one| with_held_wrong || !one.held_wrong) {
        for source in [one.source.as_str(), ALL_SOURCES] {
            let count = counts.entry((source.to_owned(), one.field)).or_default();
            count.all += 1;
            count.agreed += usize::from(one.verdict == Verdict::Agrees);
        }
    }
    counts
}

/// The sum over all sources.
pub(crate) const ALL_SOURCES: &str = "all";

/// The labels that are held wrong: id and field of each row of the table's text.
pub(crate) fn held_wrong(text: &str) -> BTreeSet<(String, String)> {
    let rows = text.lines().filter_map(|line| line.trim().strip_prefix('|'));
    let cells = |row: &str| {
        let mut cells = row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned());
        Some((cells.next()?, cells.next()?))
    };
    rows.filter_map(cells).filter(|(id, _)| id.contains(':') && !id.starts_with(':')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::Planned;

    fn answer(id: &str, ecosystem: &str, argv: &[&str]) -> Answer {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        let start = Some(Planned::Command { argv, folder: String::new() });
        let chosen = Some((id.to_owned(), ecosystem.to_owned(), 90));
        Answer { chosen, start, ..Answer::default() }
    }

    fn tree(language: &str, start: &str) -> Tree {
        Tree {
            id: "x:y".to_owned(),
            language: Some(language.to_owned()),
            start: Some(start.to_owned()),
            files: vec!["app.py".to_owned()],
            ..Tree::default()
        }
    }

    #[test]
    fn labels_are_judged_and_counted() {
        let said = answer("flask", "python", &["python", "app.py"]);
        let mut judged = judge(&tree("python", "python3 ./app.py"), &said, &BTreeSet::new());
        judged.extend(judge(&tree("node", "npm run strange"), &said, &BTreeSet::new()));
        let counts = counts(&judged, true);
        let count = |field| counts[&(ALL_SOURCES.to_owned(), field)];
        assert_eq!(count(Field::Language), Count { agreed: 1, all: 2 });
        assert_eq!(count(Field::Start), Count { agreed: 1, all: 1 }, "{judged:?}");
        assert!(!count(Field::Language).reaches(97) && count(Field::Start).reaches(80));
    }

    #[test]
    fn labels_that_are_held_wrong_are_left_out_on_demand() {
        let table = "# x\n\n| id | label | why |\n|---|---|---|\n| `x:y` | language | no |\n";
        let held = held_wrong(table);
        assert_eq!(held.len(), 1);
        let said = answer("node", "node", &["node", "x.js"]);
        let judged = judge(&tree("python", "python app.py"), &said, &held);
        let field = (ALL_SOURCES.to_owned(), Field::Language);
        assert_eq!(counts(&judged, true)[&field].all, 1);
        assert_eq!(counts(&judged, false).get(&field), None);
    }

    #[test]
    fn what_the_tree_does_not_hold_is_not_counted() {
        let said = answer("flask", "python", &["python", "app.py"]);
        let judged = judge(&tree("python", "python elsewhere.py"), &said, &BTreeSet::new());
        assert_eq!(judged[1].verdict, Verdict::Undecidable);
    }
}
