//! Versions as RubyGems compares them.

use std::cmp::Ordering;

/// Numbers and words; a word makes it a prerelease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Number(u64),
    Word(String),
}

impl Version {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.replace('-', ".pre.");
        let fits = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        if !fits || !text.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let mut segments = Vec::new();
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let same = |c: char| c.is_ascii_digit() == first.is_ascii_digit() && c != '.';
            let end = rest.find(|c| !same(c)).unwrap_or(rest.len());
            if first == '.' {
                rest = &rest[1..];
                continue;
            }
            let part = &rest[..end];
            segments.push(match first.is_ascii_digit() {
                true => Segment::Number(part.parse().ok()?),
                false => Segment::Word(part.to_owned()),
            });
            rest = &rest[end..];
        }
        // Zeros at the end of the numbers, and at the end of all, say nothing.
        let words = segments.iter().position(|it| matches!(it, Segment::Word(_)));
        let tail = segments.split_off(words.unwrap_or(segments.len()));
        let mut whole = trimmed(segments);
        whole.extend(trimmed(tail));
        Some(Self(whole))
    }

    pub(super) fn order(&self, other: &Self) -> Ordering {
        for at in 0..self.0.len().max(other.0.len()) {
            let zero = Segment::Number(0);
            let a = self.0.get(at).unwrap_or(&zero);
            let b = other.0.get(at).unwrap_or(&zero);
            let order = match (a, b) {
                (Segment::Number(a), Segment::Number(b)) => a.cmp(b),
                (Segment::Word(a), Segment::Word(b)) => a.cmp(b),
                (Segment::Word(_), Segment::Number(_)) => Ordering::Less,
                (Segment::Number(_), Segment::Word(_)) => Ordering::Greater,
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }
}

fn trimmed(mut segments: Vec<Segment>) -> Vec<Segment> {
    while segments.last() == Some(&Segment::Number(0)) {
        segments.pop();
    }
    segments
}
