//! Text for people. Plain functions from data to text, so that tests can read them.

pub mod author;
pub mod changes;
pub mod deployment;
pub mod failure;
pub mod index;
pub mod local;
pub mod plan;
pub mod plugin;

use jiff::Timestamp;

/// A duration: `340 ms`, `3.1 s`, `2 min 5 s`, `3 h 20 min`, `4 d 2 h`.
pub fn took(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0 => format!("{ms} ms"),
        1..60 => format!("{}.{} s", s, ms % 1000 / 100),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

/// How long ago: `12 s ago`.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let s = between_ms(at, now) / 1000;
    match s {
        0..60 => format!("{s} s ago"),
        60..3600 => format!("{} min ago", s / 60),
        3600..86_400 => format!("{} h ago", s / 3600),
        _ => format!("{} d ago", s / 86_400),
    }
}

/// Milliseconds from one moment to a later one, 0 when it is not later.
pub fn between_ms(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_millisecond() - from.as_millisecond()).unwrap_or(0)
}

/// A size: `512 B`, `3.4 MiB`.
pub fn bytes(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes.saturating_mul(10) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < units.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, units[unit])
}

/// `1 file`, `2 files`.
pub fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// A time of day, UTC: `12:03:04.123`.
pub fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S.%3f").to_string()
}

/// A date and time, UTC: `2026-01-02 12:03:04 UTC`.
pub fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Rows under a heading, in columns as wide as needed.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|h| h.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String]| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            text += cell;
            text += &" ".repeat(width + 2 - cell.chars().count());
        }
        text.trim_end().to_owned() + "\n"
    };
    let heading: Vec<String> = heading.iter().map(|h| h.to_uppercase()).collect();
    rows.iter().fold(line(&heading), |text, row| text + &line(row))
}

/// The text cut to a number of characters, with `…` where something is missing.
pub fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    kept + "…"
}

/// Text from elsewhere as one line that cannot drive the terminal: the ends of lines become spaces, other control
/// characters but tabs are replaced.
pub fn harmless(text: &str) -> String {
    let replace = |c: char| match c {
        '\n' => ' ',
        c if c.is_control() && c != '\t' => '\u{fffd}',
        c => c,
    };
    text.replace("\r\n", "\n").chars().map(replace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_short() {
        let rows = [(0, "0 ms"), (999, "999 ms"), (3140, "3.1 s"), (125_000, "2 min 5 s")];
        for (ms, text) in rows {
            assert_eq!(took(ms), text);
        }
        assert_eq!(took(3_600_000 * 26), "1 d 2 h");
        let rows = [(5, "5 B"), (1024, "1.0 KiB"), (3_670_016, "3.5 MiB"), (1 << 30, "1.0 GiB")];
        for (n, text) in rows {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn columns_line_up() {
        let text =
            table(&["a", "long"], &[vec!["x".into(), "1".into()], vec!["wide".into(), "2".into()]]);
        assert_eq!(text, "A     LONG\nx     1\nwide  2\n");
    }

    #[test]
    fn escape_sequences_are_taken_out() {
        assert_eq!(harmless("a\x1b[2Jb\tc"), "a\u{fffd}[2Jb\tc");
        assert_eq!(harmless("one\ntwo\r\nthree\rfour"), "one two three\u{fffd}four");
    }
}
