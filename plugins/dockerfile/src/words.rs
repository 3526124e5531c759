//! Words: quotes, escapes and the expansion of variables, in the manner of a shell.

/// Looks a variable up.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads words of one file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lexer {
    escape: char,
    keeps_quotes: bool,
    keeps_escapes: bool,
    knows_quotes: bool,
}

impl Lexer {
    /// With the file's escape character.
    pub(crate) fn new(escape: char) -> Self {
        Self { escape, keeps_quotes: false, keeps_escapes: false, knows_quotes: true }
    }

    /// The same, with quotes and escapes left in the words.
    pub(crate) fn raw(self) -> Self {
        Self { keeps_quotes: true, keeps_escapes: true, ..self }
    }

    /// For the text of a here-document, in which quotes are plain characters.
    pub(crate) fn of_text() -> Self {
        Self { knows_quotes: false, ..Self::new('\\') }
    }

    /// The text, expanded, without its quotes.
    pub(crate) fn word(&self, text: &str, env: Lookup<'_>) -> Result<String, String> {
        Ok(self.scan(text, env)?.0)
    }

    /// Its words: a space ends one unless it is quoted or escaped.
    pub(crate) fn words(&self, text: &str, env: Lookup<'_>) -> Result<Vec<String>, String> {
        Ok(self.scan(text, env)?.1)
    }

    fn scan(&self, text: &str, env: Lookup<'_>) -> Result<(String, Vec<String>), String> {
        let chars: Vec<char> = text.chars().collect();
        let mut scan = Scan { lexer: self, chars, at: 0, env };
        let (word, words) = scan.until(None, self.keeps_escapes)?;
        Ok((word, words.done()))
    }
}

#[derive(Default)]
struct Words {
    word: Option<String>,
    words: Vec<String>,
}

impl Words {
    /// A character outside of quotes.
    fn plain(&mut self, c: char) {
        if c.is_whitespace() {
            self.words.extend(self.word.take().filter(|word| !word.is_empty()));
        } else {
            self.word.get_or_insert_default().push(c);
        }
    }

    fn quoted(&mut self, text: &str) {
        self.word.get_or_insert_default().push_str(text);
    }

    fn done(mut self) -> Vec<String> {
        self.words.extend(self.word.filter(|word| !word.is_empty()));
        self.words
    }
}

struct Scan<'a> {
    lexer: &'a Lexer,
    chars: Vec<char>,
    at: usize,
    env: Lookup<'a>,
}

impl Scan<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += usize::from(c.is_some());
        c
    }

    /// Up to a character, which is taken too, or to the end.
    fn until(&mut self, stop: Option<char>, keep: bool) -> Result<(String, Words), String> {
        let (mut result, mut words) = (String::new(), Words::default());
        while let Some(c) = self.peek() {
            if stop == Some(c) {
                self.at += 1;
                return Ok((result, words));
            }
            match c {
                '$' => {
                    let value = self.dollar(keep)?;
                    value.chars().for_each(|c| words.plain(c));
                    result.push_str(&value);
                }
                '\'' | '"' if self.lexer.knows_quotes => {
                    let text = if c == '"' { self.double(keep)? } else { self.single()? };
                    words.quoted(&text);
                    result.push_str(&text);
                }
                c if c == self.lexer.escape => {
                    self.at += 1;
                    if keep {
                        words.quoted(&c.to_string());
                        result.push(c);
                    }
                    if let Some(c) = self.next() {
                        words.quoted(&c.to_string());
                        result.push(c);
                    }
                }
                c => {
                    self.at += 1;
                    words.plain(c);
                    result.push(c);
                }
            }
        }
        match stop {
            None => Ok((result, words)),
            Some('}') => Err("a `}` is missing".to_owned()),
            Some(stop) => Err(format!("a `{stop}` is missing")),
        }
    }

    fn single(&mut self) -> Result<String, String> {
        let mut text = String::new();
        self.at += 1;
        loop {
            match self.next() {
                None => return Err("a single quote is not closed".to_owned()),
                Some('\'') => break,
                Some(c) => text.push(c),
            }
        }
        Ok(if self.lexer.keeps_quotes { format!("'{text}'") } else { text })
    }

    fn double(&mut self, keep: bool) -> Result<String, String> {
        let mut text = String::new();
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err("a double quote is not closed".to_owned()),
                Some('"') => break self.at += 1,
                Some('$') => text.push_str(&self.dollar(keep)?),
                Some(c) => {
                    self.at += 1;
                    if c != self.lexer.escape {
                        text.push(c);
                        continue;
                    }
                    match self.peek() {
                        None => {}
                        // Only these can be escaped here; before others the escape stays.
                        Some(next) if matches!(next, '"' | '$') || next == self.lexer.escape => {
                            if keep {
                                text.push(c);
                            }
                            text.push(next);
                            self.at += 1;
                        }
                        Some(_) => text.push(c),
                    }
                }
            }
        }
        Ok(if self.lexer.keeps_quotes { format!("\"{text}\"") } else { text })
    }

    fn dollar(&mut self, _keep: bool) -> Result<String, String> {
        let began = self.at;
        self.at += 1;
        let value = if self.peek() == Some('{') {
            self.at += 1;
            self.braces()?
        } else {
            let name = self.name();
            if name.is_empty() { "$".to_owned() } else { (self.env)(&name).unwrap_or_default() }
        };
        // A raw word is looked at, not expanded.
        if self.lexer.keeps_quotes {
            return Ok(self.chars[began..self.at].iter().collect());
        }
        Ok(value)
    }

    fn braces(&mut self) -> Result<String, String> {
        match self.peek() {
            None => return Err("a `}` is missing".to_owned()),
            Some('{' | '}' | ':') => return Err("the substitution has no name".to_owned()),
            Some(_) => {}
        }
        let name = self.name();
        let mut operator = self.next().ok_or("a `}` is missing")?;
        if operator == '}' {
            return Ok((self.env)(&name).unwrap_or_default());
        }
        let colon = operator == ':';
        if colon {
            operator = self.next().ok_or("a `}` is missing")?;
        }
        if operator == '/' && !colon {
            return self.replaced(&name);
        }
        if !matches!(operator, '+' | '-' | '?' | '#' | '%') {
            let colon = if colon { ":" } else { "" };
            return Err(format!("the modifier `{colon}{operator}` is not known in a substitution"));
        }
        let (word, _) = self.until(Some('}'), matches!(operator, '#' | '%'))?;
        let value = (self.env)(&name);
        let set = value.clone().filter(|value| !colon || !value.is_empty());
        match operator {
            '-' => Ok(set.unwrap_or(word)),
            '+' => Ok(set.map(|_| word).unwrap_or_default()),
            '?' => set.ok_or_else(|| {
                let empty = if value.is_some() { "empty" } else { "unset" };
                match word.is_empty() {
                    true => format!("{name}: it must not be {empty}"),
                    false => format!("{name}: {word}"),
                }
            }),
            operator => trimmed(&value.unwrap_or_default(), operator, &word),
        }
    }

    /// `${name/pattern/text}`, `${name//pattern/text}`
    fn replaced(&mut self, name: &str) -> Result<String, String> {
        let all = self.peek() == Some('/');
        self.at += usize::from(all);
        let (pattern, _) = self.until(Some('/'), true)?;
        let (text, _) = self.until(Some('}'), true)?;
        let pattern = pattern_of(&pattern)?;
        let value: Vec<char> = (self.env)(name).unwrap_or_default().chars().collect();
        let (mut result, mut at, mut done) = (String::new(), 0, false);
        while at < value.len() {
            let longest = (at..=value.len()).rev().find(|end| fits(&pattern, &value[at..*end]));
            match longest.filter(|end| (all || !done) && *end > at) {
                Some(end) => {
                    result.push_str(&text);
                    (at, done) = (end, true);
                }
                None => {
                    result.push(value[at]);
                    at += 1;
                }
            }
        }
        Ok(result)
    }

    /// Letters, digits and `_`; digits alone, or one of the shell's special names.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.peek() {
            Some(c) if c.is_numeric() => {
                while let Some(c) = self.peek().filter(|c| c.is_numeric()) {
                    name.push(c);
                    self.at += 1;
                }
            }
            Some(c) if "@*#?-$!".contains(c) => {
                name.push(c);
                self.at += 1;
            }
            _ => {
                while let Some(c) = self.peek().filter(|c| c.is_alphanumeric() || *c == '_') {
                    name.push(c);
                    self.at += 1;
                }
            }
        }
        name
    }
}

/// A part of a pattern of `${x#p}` and its like.
enum Piece {
    Char(char),
    Any,
    Star,
}

fn pattern_of(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        pieces.push(match c {
            '*' => Piece::Star,
            '?' => Piece::Any,
            '\\' => match chars.next() {
                Some(c @ ('*' | '?' | '\\' | '}' | '/')) => Piece::Char(c),
                other => {
                    let other = other.map(String::from).unwrap_or_default();
                    return Err(format!("`\\{other}` is no escape in a pattern"));
                }
            },
            c => Piece::Char(c),
        });
    }
    Ok(pieces)
}

fn fits(pattern: &[Piece], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((Piece::Char(c), rest)) => text.first() == Some(c) && fits(rest, &text[1..]),
        Some((Piece::Any, rest)) => !text.is_empty() && fits(rest, &text[1..]),
        Some((Piece::Star, rest)) => (0..=text.len()).any(|n| fits(rest, &text[n..])),
    }
}

/// `#` and `%` take the shortest match away, `##` and `%%` the longest.
fn trimmed(value: &str, operator: char, word: &str) -> Result<String, String> {
    let (pattern, longest) = match word.strip_prefix(operator) {
        Some(rest) => (rest, true),
        None => (word, false),
    };
    let pattern = pattern_of(pattern)?;
    let value: Vec<char> = value.chars().collect();
    let mut cuts: Vec<usize> = (0..=value.len()).collect();
    // The shortest prefix is the first cut, the shortest suffix the last one.
    if longest != (operator == '%') {
        cuts.reverse();
    }
    let taken = |cut: &usize| match operator {
        '#' => fits(&pattern, &value[..*cut]),
        _ => fits(&pattern, &value[*cut..]),
    };
    let rest = match (cuts.into_iter().find(taken), operator) {
        (None, _) => &value[..],
        (Some(cut), '#') => &value[cut..],
        (Some(cut), _) => &value[..cut],
    };
    Ok(rest.iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        let known = [
            ("x", "value"),
            ("empty", ""),
            ("path", "/usr/local/bin/app.tar.gz"),
            ("spaces", "a  b"),
            ("v", "1.2.3"),
            ("star", "a*b"),
        ];
        known.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn every_form_of_a_substitution() {
        for (text, expected) in [
            ("plain", "plain"),
            ("$x", "value"),
            ("${x}", "value"),
            ("a${x}b", "avalueb"),
            ("$xb", ""),
            ("$x.b", "value.b"),
            ("$unset", ""),
            ("$", "$"),
            ("a$ b", "a$ b"),
            ("${x:-w}", "value"),
            ("${unset:-w}", "w"),
            ("${empty:-w}", "w"),
            ("${empty-w}", ""),
            ("${unset-w}", "w"),
            ("${unset:-$x}", "value"),
            ("${unset:-${x}y}", "valuey"),
            ("${unset:-}", ""),
            ("${x:+w}", "w"),
            ("${empty:+w}", ""),
            ("${empty+w}", "w"),
            ("${unset+w}", ""),
            ("${x:?no}", "value"),
            ("${x?no}", "value"),
            ("${empty?no}", ""),
            ("${path#/}", "usr/local/bin/app.tar.gz"),
            ("${path#*/}", "usr/local/bin/app.tar.gz"),
            ("${path##*/}", "app.tar.gz"),
            ("${path%.*}", "/usr/local/bin/app.tar"),
            ("${path%%.*}", "/usr/local/bin/app"),
            ("${path%/*}", "/usr/local/bin"),
            ("${path#none}", "/usr/local/bin/app.tar.gz"),
            ("${v%.?}", "1.2"),
            ("${v/./-}", "1-2.3"),
            ("${v//./-}", "1-2-3"),
            ("${path/local*bin/x}", "/usr/x/app.tar.gz"),
            ("${path//\\//-}", "-usr-local-bin-app.tar.gz"),
            ("${star/\\*/x}", "axb"),
            ("${unset/a/b}", ""),
            ("${v/./}", "12.3"),
            ("\\$x", "$x"),
            ("\\a", "a"),
            ("'$x'", "$x"),
            ("\"$x\"", "value"),
            ("\"\\$x\"", "$x"),
            ("\"\\a\"", "\\a"),
            ("\"\\\"\"", "\""),
            ("\"it's\"", "it's"),
            ("'a\\'", "a\\"),
            ("a'b'\"c\"", "abc"),
            ("$spaces", "a  b"),
            ("$1", ""),
            ("$12a", "a"),
            ("trailing\\", "trailing"),
        ] {
            assert_eq!(Lexer::new('\\').word(text, &env), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (text, says) in [
            ("${x", "`}`"),
            ("${", "`}`"),
            ("${}", "no name"),
            ("${:x}", "no name"),
            ("${x:=w}", "modifier"),
            ("${x!y}", "modifier"),
            ("${unset:?is needed}", "unset: is needed"),
            ("${empty:?}", "must not be empty"),
            ("${unset?}", "must not be unset"),
            ("'open", "single quote"),
            ("\"open", "double quote"),
            ("${x/a}", "`/`"),
            ("${x#\\a}", "no escape"),
        ] {
            let error = Lexer::new('\\').word(text, &env).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn words_end_at_spaces_that_are_not_quoted() {
        let words = |text: &str| Lexer::new('\\').words(text, &env).unwrap();
        assert_eq!(words(" a  b\t c "), ["a", "b", "c"]);
        assert_eq!(words("'a b' c\\ d"), ["a b", "c d"]);
        assert_eq!(words("$spaces \"$spaces\""), ["a", "b", "a  b"]);
        assert_eq!(
            Lexer::new('\\').raw().words("'a b' \"$x\" c\\ d $x", &env).unwrap(),
            ["'a b'", "\"$x\"", "c\\ d", "$x"]
        );
    }

    #[test]
    fn another_escape_and_texts_without_quotes() {
        assert_eq!(Lexer::new('`').word("C:\\x`$x $x", &env).unwrap(), "C:\\x$x value");
        assert_eq!(
            Lexer::of_text().word("it's \"$x\" \\$x\n", &env).unwrap(),
            "it's \"value\" $x\n"
        );
    }
}
