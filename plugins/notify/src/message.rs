//! What is said of a deployment: the same for every target, as lines without any format.

use std::fmt;

use windlass_sdk::custom::{Facts, State};

/// How a deployment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Live,
    /// Live, and the one before it in this environment had failed.
    Recovered,
    Failed,
    Cancelled,
}

impl Ending {
    /// `None` for one that goes on.
    pub(crate) fn of(state: State, recovered: bool) -> Option<Self> {
        match state {
            State::Running => None,
            State::Live if recovered => Some(Self::Recovered),
            State::Live => Some(Self::Live),
            State::Failed => Some(Self::Failed),
            State::Cancelled => Some(Self::Cancelled),
        }
    }

    /// The picture before the first line.
    fn sign(self) -> char {
        match self {
            Self::Live | Self::Recovered => '\u{2705}',
            Self::Failed => '\u{274c}',
            Self::Cancelled => '\u{26d4}',
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "is live",
            Self::Recovered => "is live again",
            Self::Failed => "failed",
            Self::Cancelled => "was cancelled",
        })
    }
}

/// What is said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) ending: Ending,
    /// From when the deployment was asked for to the first try of telling, in milliseconds.
    pub(crate) took_ms: Option<u64>,
}

/// One line: what of it stands out, and the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) strong: String,
    pub(crate) text: String,
}

impl Message<'_> {
    /// The lines, each text cut to a number of characters.
    pub(crate) fn lines(&self, chars_max: usize) -> Vec<Line> {
        let Facts { project, environment, number, .. } = self.facts;
        let mut lines = Vec::new();
        let mut say = |strong: String, text: String| lines.push(Line { strong, text });
        let headline =
            format!("{} {project} {environment} #{number} {}", self.ending.sign(), self.ending);
        say(headline, self.took_ms.map(|ms| format!("after {}", duration(ms))).unwrap_or_default());
        if let Some(commit) = self.commit(chars_max) {
            say(String::new(), commit);
        }
        if let Some(failure) = &self.facts.failure {
            let step = failure.step.as_ref().map(|step| format!("{step}: ")).unwrap_or_default();
            let what = one_line(&failure.what, chars_max);
            say("What failed:".to_owned(), format!("{step}{what} ({})", failure.code));
            say("Why:".to_owned(), one_line(&failure.why, chars_max));
            say("How to fix it:".to_owned(), one_line(&failure.fix, chars_max));
        }
        lines
    }

    /// Where visitors reach the environment, if that is an address which can stand in any text.
    pub(crate) fn url(&self) -> Option<&str> {
        let is_plain = |url: &&String| {
            let known = url.starts_with("https://") || url.starts_with("http://");
            known && url.chars().all(|c| c.is_ascii_graphic() && !"<>\"'|`\\".contains(c))
        };
        self.facts.urls.iter().find(is_plain).map(String::as_str)
    }

    fn commit(&self, chars_max: usize) -> Option<String> {
        let Facts { commit, commit_subject, commit_author, .. } = self.facts;
        let id = commit.as_ref().map(|id| id.chars().take(7).collect::<String>());
        let subject = commit_subject.as_ref().map(|subject| one_line(subject, chars_max.min(200)));
        let said: Vec<String> =
            [id, subject].into_iter().flatten().filter(|it| !it.is_empty()).collect();
        let author = commit_author.as_ref().map(|author| one_line(author, 100));
        let author = author.filter(|author| !author.is_empty());
        match (said.is_empty(), author) {
            (true, author) => author.map(|author| format!("by {author}")),
            (false, None) => Some(said.join(" ")),
            (false, Some(author)) => Some(format!("{}, by {author}", said.join(" "))),
        }
    }
}

/// One line of visible characters, cut to a length. What turns the direction of a text around goes, too.
pub(crate) fn one_line(text: &str, chars_max: usize) -> String {
    let hidden = |c: &char| {
        c.is_control()
            || matches!(*c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let words: Vec<String> = text
        .split_whitespace()
        .map(|word| word.chars().filter(|c| !hidden(c)).collect::<String>())
        .filter(|word| !word.is_empty())
        .collect();
    let line = words.join(" ");
    if line.chars().count() <= chars_max {
        return line;
    }
    let cut: String = line.chars().take(chars_max.saturating_sub(1)).collect();
    format!("{}\u{2026}", cut.trim_end())
}

/// A time for people: `12 s`, `3 min 5 s`, `1 h 4 min`.
pub(crate) fn duration(ms: u64) -> String {
    let s = ms.div_ceil(1_000);
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
    }
}
