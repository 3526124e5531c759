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

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn words_are_found_outside_of_comments_and_longer_names() {
        let text = "# gem 'rails'\ngem 'rails-i18n'\n  gem 'rails', '~> 8.0'\n";
        assert_eq!(find(text, &["rails"]), Some((3, "gem 'rails', '~> 8.0'")));
        assert_eq!(find("#[derive(A)]\nuse a;", &["derive"]), Some((1, "#[derive(A)]")));
        assert_eq!(find(text, &["sinatra"]), None);
    }
}
