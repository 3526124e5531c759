//! The score as text.

use std::fmt::Write as _;

use crate::score::{ALL_SOURCES, Count, Field, Judged, Verdict, counts};

/// The table of agreement per source, with every label and without those that are held wrong.
pub(crate) fn table(judged: &[Judged]) -> String {
    let mut text = one_table(judged, true);
    let held = judged.iter().filter(|one| one.held_wrong).count();
    if held > 0 {
        let _ = write!(
            text,
            "\nwithout the labels held wrong ({held}, tests/score/held-wrong.md):\n\n"
        );
        text.push_str(&one_table(judged, false));
    }
    text
}

fn one_table(judged: &[Judged], with_held_wrong: bool) -> String {
    let counts = counts(judged, with_held_wrong);
    let mut sources: Vec<&str> = counts.keys().map(|(source, _)| source.as_str()).collect();
    sources.dedup();
    sources.retain(|source| *source != ALL_SOURCES);
    sources.push(ALL_SOURCES);
    let mut text = format!("{:<10}", "");
    for field in Field::ALL {
        let _ = write!(text, "{:>20}", field.name());
    }
    text.push('\n');
    for source in sources {
        let _ = write!(text, "{source:<10}");
        for field in Field::ALL {
            let count = counts.get(&(source.to_owned(), field)).copied().unwrap_or_default();
            let _ = write!(text, "{:>20}", shown(count));
        }
        text.push('\n');
    }
    text
}

fn shown(Count { agreed, all }: Count) -> String {
    if all == 0 {
        return "-".to_owned();
    }
    let tenths = agreed * 1000 / all;
    format!("{agreed}/{all} {:>3}.{} %", tenths / 10, tenths % 10)
}

/// Every disagreement and every label that is not decidable, a line each.
pub(crate) fn lines(judged: &[Judged]) -> String {
    let mut text = String::new();
    section(&mut text, "disagreements", judged, |one| one.verdict == Verdict::Differs);
    section(&mut text, "not decidable", judged, |one| one.verdict == Verdict::Undecidable);
    text
}

fn section(text: &mut String, title: &str, judged: &[Judged], wanted: impl Fn(&Judged) -> bool) {
    let found: Vec<&Judged> = judged.iter().filter(|one| wanted(one)).collect();
    if found.is_empty() {
        return;
    }
    let _ = writeln!(text, "{title}: {}", found.len());
    for one in found {
        let others = if one.others.is_empty() { "-".to_owned() } else { one.others.join(", ") };
        let held = if one.held_wrong { " (held wrong)" } else { "" };
        let _ = write!(
            text,
            "  {} {}{held}: wanted {}; said {}; others {others}",
            one.id,
            one.field.name(),
            one.wanted,
            one.said
        );
        if let Some(note) = &one.note {
            let _ = write!(text, "; {note}");
        }
        text.push('\n');
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disagreement_is_one_line_with_all_that_is_needed() {
        let one = Judged {
            id: "a:b".to_owned(),
            source: "a".to_owned(),
            field: Field::Language,
            verdict: Verdict::Differs,
            wanted: "node".to_owned(),
            said: "static (static, 30)".to_owned(),
            others: vec!["hugo".to_owned()],
            note: None,
            held_wrong: true,
        };
        let text = lines(std::slice::from_ref(&one));
        let line =
            "  a:b language (held wrong): wanted node; said static (static, 30); others hugo";
        assert!(text.lines().any(|text| text == line), "{text}");
        let text = table(&[one]);
        assert!(text.contains("0/1   0.0 %") && text.contains("without the labels held wrong (1"));
    }
}
