//! Versions as Maven compares them: <https://maven.apache.org/pom.html#version-order-specification>.

use std::cmp::Ordering;

/// Tokens with what is before each; those that say nothing are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    /// After a hyphen, or where digits and letters meet; else after a dot.
    hyphen: bool,
    value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Number(u128),
    Word(String),
}

impl Value {
    /// `0`, or a word that means the release itself.
    fn is_null(&self) -> bool {
        match self {
            Self::Number(number) => *number == 0,
            Self::Word(word) => matches!(word.as_str(), "" | "final" | "ga" | "release"),
        }
    }
}

/// Known words, oldest first; the release itself is the empty one.
const WORDS: [&str; 7] = ["alpha", "beta", "milestone", "rc", "snapshot", "", "sp"];

impl Version {
    /// Every text is a version.
    pub(super) fn parse(text: &str) -> Self {
        let text = text.to_lowercase();
        let mut tokens: Vec<Token> = Vec::new();
        for (group, part) in text.split('-').enumerate() {
            for (at, piece) in part.split('.').enumerate() {
                push(piece, group > 0 && at == 0, &mut tokens);
            }
        }
        trim(&mut tokens);
        Self(tokens)
    }

    pub(super) fn order(&self, other: &Self) -> Ordering {
        for at in 0..self.0.len().max(other.0.len()) {
            let (a, b) = (self.0.get(at), other.0.get(at));
            let padded = |other: Option<&Token>| {
                let hyphen = other.is_some_and(|token| token.hyphen);
                let value = match other.map(|token| &token.value) {
                    Some(Value::Word(_)) => Value::Word(String::new()),
                    _ => Value::Number(0),
                };
                Token { hyphen, value }
            };
            let a = a.cloned().unwrap_or_else(|| padded(b));
            let b = b.cloned().unwrap_or_else(|| padded(Some(&a)));
            let order = tokens(&a, &b);
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }
}

/// Takes a piece without separators apart where digits and letters meet.
fn push(piece: &str, hyphen: bool, tokens: &mut Vec<Token>) {
    let mut rest = piece;
    let mut hyphen = hyphen;
    loop {
        let digit = rest.starts_with(|c: char| c.is_ascii_digit());
        let end = rest.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        let value = match part.parse() {
            Ok(number) => Value::Number(number),
            // Digits beyond all numbers are newer than any of them.
            Err(_) if digit => Value::Number(u128::MAX),
            Err(_) if part.is_empty() => Value::Number(0),
            Err(_) => Value::Word(word(part, after.starts_with(|c: char| c.is_ascii_digit()))),
        };
        tokens.push(Token { hyphen, value });
        if after.is_empty() {
            return;
        }
        rest = after;
        hyphen = true;
    }
}

fn word(part: &str, number_follows: bool) -> String {
    match part {
        "a" if number_follows => "alpha",
        "b" if number_follows => "beta",
        "m" if number_follows => "milestone",
        "cr" => "rc",
        "final" | "ga" | "release" => "",
        other => other,
    }
    .to_owned()
}

/// Leaves out what says nothing, at the end and before each hyphen.
fn trim(tokens: &mut Vec<Token>) {
    let mut end = tokens.len();
    while end > 0 {
        let at = end - 1;
        let before_hyphen = tokens.get(end).is_none_or(|next| next.hyphen);
        if before_hyphen && tokens[at].value.is_null() && at > 0 {
            tokens.remove(at);
        }
        end -= 1;
    }
}

fn tokens(a: &Token, b: &Token) -> Ordering {
    match (&a.value, &b.value) {
        (Value::Number(x), Value::Number(y)) if a.hyphen == b.hyphen => x.cmp(y),
        // `-1` is older than `.1`.
        (Value::Number(_), Value::Number(_)) => b.hyphen.cmp(&a.hyphen),
        (Value::Word(_), Value::Number(_)) => Ordering::Less,
        (Value::Number(_), Value::Word(_)) => Ordering::Greater,
        (Value::Word(x), Value::Word(y)) => rank(x).cmp(&rank(y)),
    }
}

/// Unknown words come after the known ones, by the alphabet.
fn rank(word: &str) -> (usize, &str) {
    match WORDS.iter().position(|known| *known == word) {
        Some(rank) => (rank, ""),
        None => (WORDS.len(), word),
    }
}
