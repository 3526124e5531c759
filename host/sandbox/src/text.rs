//! Texts of plugins that people read: nothing in them drives a terminal.

use windlass_model::ansi::{self, Colours};
use windlass_model::plugin::Manifest;

/// Characters of a version.
const VERSION_CHARS_MAX: usize = 64;
/// Characters of a summary, a licence, a reason.
const LINE_CHARS_MAX: usize = 1_000;
/// Characters of what is said of one failure.
const TEXT_CHARS_MAX: usize = 4_000;
/// Most that a failure carries of a plugin's words at once, in bytes.
const SAID_BYTES_MAX: usize = 8 * 1024;

/// The text without escapes and control characters; its lines stay lines.
pub(crate) fn plain(text: &str) -> String {
    if !text.contains(|c: char| c.is_control() && !matches!(c, '\t' | '\n')) {
        return text.to_owned();
    }
    let lines: Vec<String> = text.split('\n').map(plain_line).collect();
    lines.join("\n")
}

/// The same of a name, which is one line.
pub(crate) fn plain_line(text: &str) -> String {
    ansi::clean(text.trim_end_matches('\r'), Colours::Strip)
}

/// The beginning of what a failure carries of a plugin's words: it is kept with a deployment, and sent with each
/// mention of it.
pub(crate) fn cut(mut text: String) -> String {
    if text.len() > SAID_BYTES_MAX {
        text.truncate(text.floor_char_boundary(SAID_BYTES_MAX));
        text.push('…');
    }
    text
}

/// Refuses a manifest with texts that are no texts, and says which. It is read when a plugin is installed,
/// so its author can be told.
pub(crate) fn check_manifest(manifest: &Manifest) -> Result<(), String> {
    check("version", &manifest.version, VERSION_CHARS_MAX)?;
    check("summary", &manifest.summary, LINE_CHARS_MAX)?;
    check("licence", &manifest.licence, LINE_CHARS_MAX)?;
    for capability in &manifest.capabilities {
        check("reason of a capability", &capability.reason, LINE_CHARS_MAX)?;
    }
    for stage in &manifest.custom {
        check("summary of a stage", &stage.summary, LINE_CHARS_MAX)?;
    }
    for failure in &manifest.failures {
        for text in [&failure.title, &failure.cause, &failure.fix] {
            let one_line = text.replace('\n', " ");
            check("text of a failure", &one_line, TEXT_CHARS_MAX)?;
        }
    }
    Ok(())
}

fn check(what: &str, text: &str, chars_max: usize) -> Result<(), String> {
    if text.chars().count() > chars_max {
        return Err(format!("its {what} is longer than {chars_max} characters"));
    }
    if text.contains(char::is_control) {
        return Err(format!("its {what} {text:?} holds control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_taken_out_and_lines_stay() {
        assert_eq!(plain("a\tb\nc"), "a\tb\nc");
        assert_eq!(plain("\x1b[2Ja\r\n\x1b]0;t\x07b\u{9b}31m"), "a\nb31m");
        assert_eq!(plain_line("a\nb"), "a b");
    }

    #[test]
    fn what_is_long_is_cut_between_two_characters() {
        assert_eq!(cut("ä".repeat(SAID_BYTES_MAX / 2)), "ä".repeat(SAID_BYTES_MAX / 2));
        let odd = format!("x{}", "ä".repeat(SAID_BYTES_MAX));
        assert_eq!(cut(odd), format!("x{}…", "ä".repeat(SAID_BYTES_MAX / 2 - 1)));
    }
}
