//! What a reader wants of the logs: from the query of a request to a filter.

use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use windlass_model::ansi::{self, Colours};
use windlass_model::{Failure, LogLine, ProjectName, StepName, Stream, Timestamp};

/// Longest search pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1024;
/// Memory that a compiled pattern may take, in bytes.
const PATTERN_MEMORY_BYTES_MAX: usize = 1 << 20;

/// In which form lines are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// One JSON document with `items`.
    #[default]
    Json,
    /// A JSON object a line.
    Jsonl,
    /// OTLP in JSON, a batch of log records a line.
    Otlp,
}

/// Query of every log route.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogArgs {
    pub(crate) project: Option<ProjectName>,
    pub(crate) step: Option<StepName>,
    pub(crate) instance: Option<String>,
    pub(crate) process: Option<String>,
    pub(crate) stream: Option<Stream>,
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
    pub(crate) grep: Option<String>,
    #[serde(default)]
    pub(crate) regex: bool,
    #[serde(default)]
    pub(crate) ignore_case: bool,
    pub(crate) tail: Option<usize>,
    #[serde(default)]
    pub(crate) ansi: bool,
    #[serde(default)]
    pub(crate) format: Format,
    #[serde(default)]
    pub(crate) follow: bool,
}

/// What is wanted, understood.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) step: Option<StepName>,
    pub(crate) instance: Option<String>,
    pub(crate) process: Option<String>,
    pub(crate) tail: Option<usize>,
    pub(crate) format: Format,
    pub(crate) filter: Filter,
}

/// Which lines, and what becomes of their colours.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) stream: Option<Stream>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) grep: Option<Regex>,
    pub(crate) colours: Colours,
}

impl LogArgs {
    /// Understands the query; relative times are before `now`.
    ///
    /// # Errors
    /// `request.invalid-query`, `logs.bad-time`, `logs.bad-pattern`.
    pub(crate) fn wanted(self, now: Timestamp) -> Result<Wanted, Failure> {
        check_name(self.instance.as_deref(), "an instance is named by its process and its number")?;
        check_name(self.process.as_deref(), "a process is named as in `windlass show`")?;
        let pattern = self.grep.as_deref();
        let filter = Filter {
            stream: self.stream,
            since: self.since.as_deref().map(|text| time("since", text, now)).transpose()?,
            until: self.until.as_deref().map(|text| time("until", text, now)).transpose()?,
            grep: pattern.map(|text| search(text, self.regex, self.ignore_case)).transpose()?,
            colours: if self.ansi { Colours::Keep } else { Colours::Strip },
        };
        Ok(Wanted {
            step: self.step,
            instance: self.instance,
            process: self.process,
            tail: self.tail,
            format: self.format,
            filter,
        })
    }
}

/// Such a name becomes a folder's name, and must be no path.
fn check_name(name: Option<&str>, why: &str) -> Result<(), Failure> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match name {
        Some(name) if name.is_empty() || name.starts_with('.') || !name.chars().all(fits) => {
            Err(Failure::app(
                "request.invalid-query",
                format!("{name:?} is not the name of an instance or a process"),
                why,
                "use the names that the logs show, for instance web.0",
            ))
        }
        _ => Ok(()),
    }
}

/// A moment: RFC 3339, a date, or how long before `now`, as `10m`, `1h30m` or `2d`.
pub(crate) fn time(name: &str, text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let bad = |why: String| {
        Failure::app(
            "logs.bad-time",
            format!("`{name}` is no time: {text:?}"),
            why,
            "write how long ago, as 10m, 1h30m or 2d, or a moment, as 2026-01-31T12:00:00Z",
        )
    };
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>() {
        let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|e| bad(e.to_string()))?;
        return Ok(midnight.timestamp());
    }
    let span: jiff::Span = text.parse().map_err(|_| {
        bad("it is neither a length of time nor a moment with a time zone".to_owned())
    })?;
    let ago = span
        .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
        .map_err(|e| bad(e.to_string()))?;
    now.checked_sub(ago.abs()).map_err(|e| bad(e.to_string()))
}

fn search(pattern: &str, is_regex: bool, ignore_case: bool) -> Result<Regex, Failure> {
    let bad = |why: String| {
        Failure::app(
            "logs.bad-pattern",
            "the search pattern cannot be used",
            why,
            "correct it, or leave out --regex to search for the text as it is",
        )
    };
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(bad(format!("it has more than {PATTERN_BYTES_MAX} bytes")));
    }
    let escaped = if is_regex { pattern.to_owned() } else { regex::escape(pattern) };
    RegexBuilder::new(&escaped)
        .case_insensitive(ignore_case)
        .size_limit(PATTERN_MEMORY_BYTES_MAX)
        .build()
        .map_err(|e| bad(e.to_string()))
}

impl Filter {
    /// Whether the line is wanted, by its text without escapes.
    pub(crate) fn takes(&self, line: &LogLine) -> bool {
        self.stream.is_none_or(|stream| stream == line.stream)
            && self.since.is_none_or(|since| line.at >= since)
            && self.until.is_none_or(|until| line.at <= until)
            && self
                .grep
                .as_ref()
                .is_none_or(|grep| grep.is_match(&ansi::clean(&line.text, Colours::Strip)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_moments_dates_or_lengths() {
        let now: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
        let rows = [
            ("10m", "2026-03-02T11:50:00Z"),
            ("1h30m", "2026-03-02T10:30:00Z"),
            ("2d", "2026-02-28T12:00:00Z"),
            ("90s", "2026-03-02T11:58:30Z"),
            ("2026-03-01", "2026-03-01T00:00:00Z"),
            ("2026-03-01T10:00:00+02:00", "2026-03-01T08:00:00Z"),
        ];
        for (text, expected) in rows {
            assert_eq!(time("since", text, now).unwrap().to_string(), expected, "{text}");
        }
        for bad in ["", "yesterday", "10", "2026-13-01", "1mo"] {
            assert_eq!(time("since", bad, now).unwrap_err().code, "logs.bad-time", "{bad}");
        }
    }

    #[test]
    fn a_search_is_for_text_or_a_pattern_and_sees_no_escapes() {
        let line = |text: &str| LogLine::now(Stream::Stdout, text);
        let filter = |pattern: &str, regex, ignore_case| Filter {
            grep: Some(search(pattern, regex, ignore_case).unwrap()),
            ..Filter::default()
        };
        assert!(filter("a.b", false, false).takes(&line("xa.bx")));
        assert!(!filter("a.b", false, false).takes(&line("xaxbx")));
        assert!(filter("a.b", true, false).takes(&line("xaxbx")));
        assert!(!filter("error", false, false).takes(&line("ERROR")));
        assert!(filter("error", false, true).takes(&line("\x1b[31mER\x1b[1mROR")));
        for bad in ["(", "(?:a{1000}){1000}"] {
            assert_eq!(search(bad, true, false).unwrap_err().code, "logs.bad-pattern");
        }
    }
}
