//! Names with wildcards, and the rules of ignore files, as container build files have them: plain
//! functions of names.

use std::path::Path;

/// A pattern cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern {0:?} cannot be read")]
pub(crate) struct BadPattern(pub(crate) String);

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// One character.
    Char(char),
    /// `?`
    Any,
    /// `*`
    Star,
    /// `**`, over folders, to the end.
    All,
    /// `**/`, any number of folders.
    Folders,
    /// `[a-z]`, `[^a-z]`
    Class(Vec<(char, char)>, bool),
}

/// A name with wildcards. `*` and `?` stay within a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Part>);

impl Pattern {
    /// A name to copy: `**` means no more than `*`.
    pub(crate) fn of_name(text: &str) -> Result<Self, BadPattern> {
        parse(text, false)
    }

    /// A line of an ignore file: `**` crosses folders.
    pub(crate) fn of_rule(text: &str) -> Result<Self, BadPattern> {
        parse(text, true)
    }

    /// Whether it is the whole path.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        let text: Vec<char> = path.to_string_lossy().chars().collect();
        matches(&self.0, &text)
    }
}

/// Whether a name has a wildcard that is not escaped.
pub(crate) fn has_wildcard(name: &str) -> bool {
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

/// The name without its escapes.
pub(crate) fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

fn parse(text: &str, folders: bool) -> Result<Pattern, BadPattern> {
    let bad = || BadPattern(text.to_owned());
    let mut parts = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '*' => {
                let mut double = false;
                while chars.next_if_eq(&'*').is_some() {
                    double = true;
                }
                if !double || !folders {
                    Part::Star
                } else {
                    let _folder = chars.next_if_eq(&'/');
                    if chars.peek().is_none() { Part::All } else { Part::Folders }
                }
            }
            '?' => Part::Any,
            '\\' => Part::Char(chars.next().ok_or_else(bad)?),
            '[' => class(&mut chars).ok_or_else(bad)?,
            c => Part::Char(c),
        });
    }
    Ok(Pattern(parts))
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Part> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    let one = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| match chars.next()? {
        '\\' => chars.next(),
        '-' => None,
        c => Some(c),
    };
    loop {
        if chars.peek() == Some(&']') && !ranges.is_empty() {
            chars.next();
            return Some(Part::Class(ranges, negated));
        }
        let low = one(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { one(chars)? } else { low };
        ranges.push((low, high));
    }
}

fn matches(parts: &[Part], text: &[char]) -> bool {
    let Some((part, rest)) = parts.split_first() else { return text.is_empty() };
    let within = |c: &char| *c != '/';
    match part {
        Part::Char(wanted) => text.first() == Some(wanted) && matches(rest, &text[1..]),
        Part::Any => text.first().is_some_and(within) && matches(rest, &text[1..]),
        Part::Class(ranges, negated) => {
            let inside = |c: &char| ranges.iter().any(|(low, high)| (low..=high).contains(&c));
            text.first().is_some_and(|c| inside(c) != *negated) && matches(rest, &text[1..])
        }
        Part::Star => {
            let longest = text.iter().take_while(|c| within(c)).count();
            (0..=longest).any(|n| matches(rest, &text[n..]))
        }
        Part::All => true,
        Part::Folders => {
            let starts = text.iter().enumerate().filter(|(_, c)| **c == '/').map(|(n, _)| n + 1);
            std::iter::once(0).chain(starts).any(|n| matches(rest, &text[n..]))
        }
    }
}

/// The lines of an ignore file: the last one that matches a path, or a folder above it, decides.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules(Vec<(Pattern, bool)>);

impl Rules {
    /// Reads lines; `!` takes back.
    pub(crate) fn new(lines: &[String]) -> Result<Self, BadPattern> {
        let mut rules = Vec::with_capacity(lines.len());
        for line in lines {
            let (body, excluded) =
                line.strip_prefix('!').map_or((line.as_str(), true), |rest| (rest, false));
            let body = body.trim_matches('/');
            if !body.is_empty() {
                rules.push((Pattern::of_rule(body)?, excluded));
            }
        }
        Ok(Self(rules))
    }

    /// Whether a path is left out.
    pub(crate) fn hit(&self, path: &Path) -> bool {
        let mut excluded = false;
        for (pattern, value) in &self.0 {
            let above = path.ancestors().filter(|p| !p.as_os_str().is_empty());
            if *value != excluded && above.into_iter().any(|p| pattern.matches(p)) {
                excluded = *value;
            }
        }
        excluded
    }

    /// Whether something below a path that is left out may be taken back.
    pub(crate) fn takes_back(&self) -> bool {
        self.0.iter().any(|(_, excluded)| !excluded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_within_one_folder() {
        for (pattern, path, expected) in [
            ("*.js", "a.js", true),
            ("*.js", "src/a.js", false),
            ("src/*", "src/a", true),
            ("**.js", "src/a.js", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("{a,b}", "a", false),
            ("{a,b}", "{a,b}", true),
            ("[!a]", "!", true),
            ("[]a]", "]", true),
        ] {
            let pattern = Pattern::of_name(pattern);
            let Ok(pattern) = pattern else {
                assert!(!expected || path == "]", "{path}");
                continue;
            };
            assert_eq!(pattern.matches(Path::new(path)), expected, "{pattern:?} {path}");
        }
        assert!(Pattern::of_name("[a").is_err());
        assert!(Pattern::of_name("a\\").is_err());
    }

    #[test]
    fn the_last_rule_that_matches_decides() {
        for (rules, path, expected) in [
            (&["*.md"][..], "a.md", true),
            (&["*.md"], "docs/a.md", false),
            (&["**/*.md"], "docs/a.md", true),
            (&["**/*.md"], "a.md", true),
            (&["docs"], "docs/deep/a", true),
            (&["docs/**"], "docs", false),
            (&["docs/**"], "docs/a/b", true),
            (&["**"], "anything/at/all", true),
            (&["*", "!src"], "src/a", false),
            (&["*", "!src"], "lib/a", true),
            (&["src", "!src/a"], "src/a", false),
            (&["!src/a", "src"], "src/a", true),
            (&["a/**/z"], "a/z", true),
            (&["a/**/z"], "a/b/c/z", true),
            (&["a/**/z"], "a/b/zz", false),
            (&["**foo"], "x/foo", true),
            (&["foo/"], "foo/x", true),
            (&["*/temp*"], "a/temporary/x", true),
            (&["temp?"], "tempa", true),
            (&["temp?"], "temp", false),
        ] {
            let lines: Vec<String> = rules.iter().map(|r| (*r).to_owned()).collect();
            assert_eq!(
                Rules::new(&lines).unwrap().hit(Path::new(path)),
                expected,
                "{rules:?} {path}"
            );
        }
    }
}
