//! Shell words, as far as start commands need them.

/// The words of a line; quotes are taken away.
pub(super) fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut started = false;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                started = true;
            }
            (None | Some('"'), '\\') => word.extend(chars.next()),
            (None, _) if c.is_whitespace() => {
                if started || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                started = false;
            }
            _ => word.push(c),
        }
    }
    if started || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Words as a line that [`split`] reads back.
pub(super) fn join<S: AsRef<str>>(words: &[S]) -> String {
    let quoted = |word: &str| {
        let plain = !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c == '"');
        if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', "\"")) }
    };
    words.iter().map(|word| quoted(word.as_ref())).collect::<Vec<_>>().join(" ")
}

/// The commands of a chain of `&&` and `;`, outside quotes and parentheses.
pub(super) fn chain(line: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_u32);
    let mut quote = None;
    let bytes = line.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let c = bytes[at];
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == b'"' || c == b'\'' => quote = Some(c),
            None if c == b'(' => depth += 1,
            None if c == b')' => depth = depth.saturating_sub(1),
            None if depth == 0 && (c == b';' || line[at..].starts_with("&&")) => {
                parts.push(line[start..at].trim());
                at += if c == b';' { 1 } else { 2 };
                start = at;
                continue;
            }
            None => {}
        }
        at += line[at..].chars().next().map_or(1, char::len_utf8);
    }
    parts.push(line[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// The last part of a path.
pub(super) fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_words() {
        assert_eq!(split(r#"a "b c" 'd'  e"#), ["a", "b c", "d", "e"]);
        assert_eq!(split(&join(&["sh", "-c", "a && b"])), ["sh", "-c", "a && b"]);
        assert_eq!(chain("a && b; c"), ["a", "b", "c"]);
        assert_eq!(chain("X=$(a && b) && c 'd && e'"), ["X=$(a && b)", "c 'd && e'"]);
    }
}
