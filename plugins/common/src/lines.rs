//! Lines of sources and manifests, for what is looked for without reading a language.

/// Whether a line is a comment in any of the usual languages.
pub fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    let starts = ["//", "# ", "##", "* ", "/*", "-- ", "<!--", ";"];
    line == "#" || starts.iter().any(|start| line.starts_with(start))
}

/// Whether a line holds this, and not as a part of a longer name.
pub fn has_word(line: &str, word: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_none_or(|c| !inside(c));
        before && line[at + word.len()..].chars().next().is_none_or(|c| !inside(c))
    })
}

/// The first line that holds one of these as a word and is no comment: its number, from 1, and itself.
pub fn find<'t>(text: &'t str, words: &[&str]) -> Option<(usize, &'t str)> {
    let found = text
        .lines()
        .enumerate()
        .find(|(_, line)| !is_comment(line) && words.iter().any(|word| has_word(line, word)))?;
    Some((found.0 + 1, found.1.trim()))
}

/// Longest line that is shown whole, in characters.
const SHOWN_CHARS_MAX: usize = 120;

/// A line as a sign for people: of a long one only what stands around the word, with `…` for the rest.
pub fn shown(line: &str, word: &str) -> String {
    let line = line.trim();
    let chars = line.chars().count();
    if chars <= SHOWN_CHARS_MAX {
        return line.to_owned();
    }
    let at = line.find(word).map_or(0, |at| line[..at].chars().count());
    let start = at.saturating_sub(SHOWN_CHARS_MAX / 4).min(chars - SHOWN_CHARS_MAX);
    let part: String = line.chars().skip(start).take(SHOWN_CHARS_MAX).collect();
    let before = if start > 0 { "…" } else { "" };
    let after = if start + SHOWN_CHARS_MAX < chars { "…" } else { "" };
    format!("{before}{part}{after}")
}

#[cfg(test)]
mod tests {
    use super::{SHOWN_CHARS_MAX, find, shown};

    #[test]
    fn of_a_long_line_the_part_with_the_word_is_shown() {
        assert_eq!(shown("  \"a\": \"1\", ", "a"), "\"a\": \"1\",");
        let line = format!("{}{}{}", "ä".repeat(200), "word", "b".repeat(200));
        let part = shown(&line, "word");
        assert!(part.contains("äword") && part.starts_with('…') && part.ends_with('…'), "{part}");
        assert_eq!(part.chars().count(), SHOWN_CHARS_MAX + 2);
        assert!(shown(&line, "ä").starts_with('ä') && shown(&line, "none").ends_with('…'));
        assert!(shown(&format!("{line}end"), "end").ends_with("bend"));
    }

    #[test]
    fn words_are_found_outside_of_comments_and_longer_names() {
        let text = "# gem 'rails'\ngem 'rails-i18n'\n  gem 'rails', '~> 8.0'\n";
        assert_eq!(find(text, &["rails"]), Some((3, "gem 'rails', '~> 8.0'")));
        assert_eq!(find("#[derive(A)]\nuse a;", &["derive"]), Some((1, "#[derive(A)]")));
        assert_eq!(find(text, &["sinatra"]), None);
    }
}
