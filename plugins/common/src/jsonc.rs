//! JSON with comments and with commas behind the last member, as configuration files and lock files of several tools
//! are written.

use serde::de::DeserializeOwned;

/// Reads a text of this form; plain JSON is one, too.
///
/// # Errors
/// Where it does not read, with its line in the text.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(&plain(text))
}

/// The same as plain JSON. Every line stays where it was.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.trim_start_matches('\u{feff}');
    // The last comma, as long as nothing but blanks and comments follows it.
    let mut comma = None;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        if rest.starts_with("//") {
            length = rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            length = rest.find("*/").map_or(rest.len(), |end| end + 2);
            plain.extend(rest[..length].chars().filter(|c| *c == '\n'));
        } else {
            if c == '"' {
                length = string_length(rest);
            }
            match c {
                '}' | ']' => comma.take().into_iter().for_each(|at| {
                    plain.remove(at);
                }),
                ',' => comma = Some(plain.len()),
                c if c.is_whitespace() => {}
                _ => comma = None,
            }
            plain.push_str(&rest[..length]);
        }
        rest = &rest[length..];
    }
    plain
}

/// Bytes of the text literal at the beginning, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::parse;

    #[test]
    fn comments_and_last_commas_go_and_addresses_stay() {
        let text = "{ // a\n \"x\": \"https://y\", /* b, */ \"z\": [1, 2,],\n}";
        let json: Value = parse(text).unwrap();
        assert_eq!(json, json!({"x": "https://y", "z": [1, 2]}));
        let text = "\u{feff}{\"a\": \"\\\",}\", \"b\": {}, // the last,\n /* one, */ }";
        assert_eq!(parse::<Value>(text).unwrap(), json!({"a": "\",}", "b": {}}));
        assert_eq!(parse::<Value>("[1 /* open").map_err(|error| error.line()), Err(1));
    }

    #[test]
    fn what_does_not_read_is_said_with_its_line() {
        let line = |text| parse::<Value>(text).map_err(|error| error.line());
        assert_eq!(line("{ /* a\n b */\n \"x\": , }"), Err(3));
        assert_eq!(line("{\"a"), Err(1));
        assert!(line("[1,,]").is_err());
    }
}
