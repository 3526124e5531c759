//! Reading `.env` files: `windlass env import`.
//!
//! **Invariant: a line is read as the common tools read it, or refused with its number.** No value is
//! ever guessed, and nothing is substituted: `$NAME` stays as it is.

/// Why a file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct DotenvError {
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// The pairs of a file, in order. A later pair of the same name wins, as in a shell.
///
/// Understood: blank lines and `#` comments; `export NAME=VALUE`; values bare (up to ` #`), in single
/// quotes (literal), in double quotes (`\n`, `\t`, `\r`, `\"`, `\\`, `\$` and a line's end escaped),
/// quoted values over several lines.
///
/// # Errors
/// The first line that is none of these.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, DotenvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { rest: text, line: 1 };
    let mut pairs: Vec<(String, String)> = Vec::new();
    while let Some((name, value)) = reader.pair()? {
        pairs.retain(|(other, _)| *other != name);
        pairs.push((name, value));
    }
    Ok(pairs)
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    fn pair(&mut self) -> Result<Option<(String, String)>, DotenvError> {
        loop {
            let line = self.rest.lines().next().unwrap_or_default().trim_start();
            if self.rest.is_empty() {
                return Ok(None);
            }
            if !line.is_empty() && !line.starts_with('#') {
                break;
            }
            self.skip_line();
        }
        let name = self.name()?;
        let value = match self.rest.chars().next() {
            Some('\'') => self.single_quoted()?,
            Some('"') => self.double_quoted()?,
            _ => self.bare(),
        };
        Ok(Some((name, value)))
    }

    fn name(&mut self) -> Result<String, DotenvError> {
        let line = self.rest.lines().next().unwrap_or_default();
        let Some((left, _)) = line.split_once('=') else {
            return Err(self.problem("a NAME=VALUE is expected"));
        };
        let trimmed = left.trim();
        let name = trimmed.strip_prefix("export ").map_or(trimmed, str::trim_start);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty()
            || !name.chars().all(plain)
            || name.starts_with(|c: char| c.is_ascii_digit())
        {
            return Err(self.problem(&format!("{name:?} is not a variable's name")));
        }
        let after = &self.rest[left.len() + 1..];
        self.rest = after.trim_start_matches([' ', '\t']);
        Ok(name.to_owned())
    }

    fn bare(&mut self) -> String {
        let line = self.rest.lines().next().unwrap_or_default();
        let end = line
            .char_indices()
            .find(|(at, c)| *c == '#' && (*at == 0 || line[..*at].ends_with([' ', '\t'])))
            .map_or(line.len(), |(at, _)| at);
        let value = line[..end].trim().to_owned();
        self.skip_line();
        value
    }

    fn single_quoted(&mut self) -> Result<String, DotenvError> {
        let body = &self.rest[1..];
        let end = body.find('\'').ok_or_else(|| self.problem("the closing ' is missing"))?;
        let value = body[..end].to_owned();
        self.after_quote(&body[end + 1..], &value)?;
        Ok(value.replace("\r\n", "\n"))
    }

    fn double_quoted(&mut self) -> Result<String, DotenvError> {
        let body = &self.rest[1..];
        let mut value = String::new();
        let mut chars = body.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.after_quote(&body[at + 1..], &body[..at])?;
                    return Ok(value.replace("\r\n", "\n"));
                }
                '\\' => match chars.next().map(|(_, next)| next) {
                    Some('n') => value.push('\n'),
                    Some('t') => value.push('\t'),
                    Some('r') => value.push('\r'),
                    Some('\n') => {}
                    Some(same @ ('"' | '\\' | '$' | '`')) => value.push(same),
                    Some(other) => value.extend(['\\', other]),
                    None => value.push('\\'),
                },
                other => value.push(other),
            }
        }
        Err(self.problem("the closing \" is missing"))
    }

    /// Goes on behind a quoted value; only a comment may follow it on its line.
    fn after_quote(&mut self, rest: &'a str, raw: &str) -> Result<(), DotenvError> {
        let tail = rest.lines().next().unwrap_or_default().trim();
        if !tail.is_empty() && !tail.starts_with('#') {
            return Err(self.problem("there is something behind the closing quote"));
        }
        self.line += raw.matches('\n').count();
        self.rest = rest;
        self.skip_line();
        Ok(())
    }

    fn skip_line(&mut self) {
        self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        self.line += 1;
    }

    fn problem(&self, problem: &str) -> DotenvError {
        DotenvError { line: self.line, problem: problem.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(text: &str, expected: &[(&str, &str)]) {
        let pairs = parse(text).unwrap();
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(pairs, expected, "{text}");
    }

    #[test]
    fn plain_pairs_comments_and_export_are_read() {
        reads(
            "A=1\n\n# note\n  B = two words \nexport C=3\n",
            &[("A", "1"), ("B", "two words"), ("C", "3")],
        );
        reads("\u{feff}A=1\r\nB=2\r\n", &[("A", "1"), ("B", "2")]);
        reads("", &[]);
        reads("A=", &[("A", "")]);
    }

    #[test]
    fn a_hash_begins_a_comment_only_after_a_space() {
        reads("URL=http://x/#frag # note\nE=# nothing", &[("URL", "http://x/#frag"), ("E", "")]);
    }

    #[test]
    fn quotes_keep_what_is_inside() {
        reads(
            "A=' x # y '\nB=\"a \\\"b\\\" $HOME\" # note",
            &[("A", " x # y "), ("B", "a \"b\" $HOME")],
        );
        reads(r#"A='no \n escape'"#, &[("A", "no \\n escape")]);
        reads(r#"A="one\ntwo\\n\d""#, &[("A", "one\ntwo\\n\\d")]);
        reads("A=say \"hi\"", &[("A", "say \"hi\"")]);
        reads("A=a=b==", &[("A", "a=b==")]);
    }

    #[test]
    fn quoted_values_go_over_lines() {
        let key = "-----BEGIN-----\nabc\n-----END-----";
        reads(
            &format!("A=1\nKEY=\"{key}\"\nB='x\ny'\nC=2"),
            &[("A", "1"), ("KEY", key), ("B", "x\ny"), ("C", "2")],
        );
    }

    #[test]
    fn a_later_pair_wins() {
        reads("A=1\nB=2\nA=3", &[("B", "2"), ("A", "3")]);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        let rows = [
            ("A=1\nnonsense", 2, "NAME=VALUE"),
            ("A=1\n\n2B=x", 3, "name"),
            ("A=\"x\ny\"\nB='x", 3, "closing '"),
            ("A=\"x", 1, "closing \""),
            ("A='x' y", 1, "behind"),
            ("my-var=1", 1, "name"),
        ];
        for (text, line, says) in rows {
            let error = parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(error.problem.contains(says), "{error}");
        }
    }
}
