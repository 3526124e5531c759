//! From the file's text to its instructions' lines: directives, comments, continuations, here-documents.

use crate::problem::{Found, Problem};
use crate::words::Lexer;

/// A here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heredoc {
    /// Its name, without quotes.
    pub(crate) name: String,
    /// Whether its text is expanded: its name is not quoted.
    pub(crate) expand: bool,
    /// Whether leading tabs go: `<<-`.
    pub(crate) chomp: bool,
    /// Its text as it stands.
    pub(crate) text: String,
}

impl Heredoc {
    /// The text, without the tabs that `<<-` takes away.
    pub(crate) fn content(&self) -> String {
        if !self.chomp {
            return self.text.clone();
        }
        self.text.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// One instruction as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Where it begins, from 1.
    pub(crate) number: usize,
    /// Continuations joined, comments gone.
    pub(crate) text: String,
    /// The here-documents that it names, in order.
    pub(crate) heredocs: Vec<Heredoc>,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// `\` or a backquote.
    pub(crate) escape: char,
    /// Its instructions.
    pub(crate) lines: Vec<Line>,
}

/// Instructions whose line may name here-documents.
const WITH_HEREDOCS: [&str; 3] = ["run", "copy", "add"];

/// Reads the text.
pub(crate) fn read(text: &str) -> Found<File> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let raw: Vec<&str> =
        text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    let escape = directives(&raw)?;
    let mut reader = Reader { raw, next: 0, escape };
    let mut lines = Vec::new();
    while let Some(line) = reader.instruction()? {
        lines.push(line);
    }
    if lines.is_empty() {
        return Err(Problem::syntax("it has no instructions", "begin it with FROM"));
    }
    Ok(File { escape, lines })
}

/// One instruction without a file around it, as ONBUILD keeps it.
pub(crate) fn read_one(text: &str, escape: char) -> Found<Line> {
    let mut reader = Reader { raw: text.split('\n').collect(), next: 0, escape };
    let line = reader.instruction()?;
    line.ok_or_else(|| Problem::syntax("the trigger is empty", "give an instruction"))
}

/// The escape character that the directives at the top say.
fn directives(raw: &[&str]) -> Found<char> {
    let mut escape = '\\';
    let mut seen: Vec<String> = Vec::new();
    for (n, line) in raw.iter().enumerate() {
        let Some((name, value)) = directive(line) else { break };
        let problem = match name.as_str() {
            _ if seen.contains(&name) => Some(Problem::syntax(
                format!("the directive {name:?} is there twice"),
                "remove one of them",
            )),
            "escape" if value == "\\" || value == "`" => {
                escape = value.chars().next().unwrap_or('\\');
                None
            }
            "escape" => Some(Problem::syntax(
                format!("{value:?} is no escape character"),
                "use \\ or ` after `# escape=`",
            )),
            "syntax" => other_language(&value),
            "check" => None,
            _ => break,
        };
        if let Some(problem) = problem {
            return Err(problem.at(n + 1, &format!("# {name}")));
        }
        seen.push(name);
    }
    Ok(escape)
}

fn directive(line: &str) -> Option<(String, String)> {
    let (name, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric());
    (plain && !value.is_empty()).then_some((name, value))
}

/// `# syntax=` names who reads the file; this one reads what Docker's own readers do.
fn other_language(value: &str) -> Option<Problem> {
    let name = value.split(['@', ' ']).next().unwrap_or_default();
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.split(':').next().unwrap_or_default();
    if matches!(name, "docker/dockerfile" | "docker/dockerfile-upstream") {
        return None;
    }
    Some(Problem::unsupported(
        format!("the file is written for another reader, {value}"),
        "use what docker/dockerfile understands and remove the directive",
    ))
}

struct Reader<'a> {
    raw: Vec<&'a str>,
    next: usize,
    escape: char,
}

impl Reader<'_> {
    fn instruction(&mut self) -> Found<Option<Line>> {
        loop {
            let Some(first) = self.raw.get(self.next) else { return Ok(None) };
            let number = self.next + 1;
            self.next += 1;
            let trimmed = first.trim_start();
            if trimmed.starts_with('#') {
                continue;
            }
            let (mut text, mut ended) = self.without_continuation(trimmed);
            if ended && text.trim().is_empty() {
                continue;
            }
            while !ended && let Some(raw) = self.raw.get(self.next) {
                self.next += 1;
                if raw.trim_start().starts_with('#') || raw.trim().is_empty() {
                    continue;
                }
                let (more, end) = self.without_continuation(raw);
                text.push_str(&more);
                ended = end;
            }
            let heredocs = self.heredocs(&text).map_err(|p| p.at(number, &first_word(&text)))?;
            return Ok(Some(Line { number, text, heredocs }));
        }
    }

    /// The line without the escape at its end, and whether it ends there. Two escapes are none.
    fn without_continuation(&self, line: &str) -> (String, bool) {
        let bare = line.trim_end_matches([' ', '\t']);
        let Some(body) = bare.strip_suffix(self.escape) else { return (line.to_owned(), true) };
        if body.ends_with(self.escape) {
            return (line.to_owned(), true);
        }
        (body.to_owned(), false)
    }

    fn heredocs(&mut self, text: &str) -> Found<Vec<Heredoc>> {
        let mut command = text.trim();
        if first_word(command) == "ONBUILD" {
            command = command[7..].trim_start();
        }
        let word = first_word(command).to_ascii_lowercase();
        if !WITH_HEREDOCS.contains(&word.as_str()) {
            return Ok(Vec::new());
        }
        let mut found = named(command, self.escape);
        for heredoc in &mut found {
            self.fill(heredoc)?;
        }
        Ok(found)
    }

    fn fill(&mut self, heredoc: &mut Heredoc) -> Found<()> {
        while let Some(raw) = self.raw.get(self.next) {
            self.next += 1;
            let end = if heredoc.chomp { raw.trim_start_matches('\t') } else { raw };
            if end == heredoc.name {
                return Ok(());
            }
            heredoc.text.push_str(raw);
            heredoc.text.push('\n');
        }
        Err(Problem::syntax(
            format!("the here-document {} does not end", heredoc.name),
            format!("write {} alone in a line behind it", heredoc.name),
        ))
    }
}

/// The first word, in capitals.
pub(crate) fn first_word(text: &str) -> String {
    text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase()
}

/// The here-documents that a line names, without their text.
fn named(text: &str, escape: char) -> Vec<Heredoc> {
    let words = Lexer::new(escape).raw().words(text, &|_| None).unwrap_or_default();
    words.iter().filter_map(|word| of_word(word)).collect()
}

/// `<<EOF`, `<<-"EOF"`, `0<<EOF`
pub(crate) fn of_word(word: &str) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let (rest, chomp) = match rest.strip_prefix("<<")? {
        rest if rest.starts_with('-') => (&rest[1..], true),
        rest => (rest, false),
    };
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let words = Lexer::new('\\').words(rest, &|_| None).ok()?;
    let [name] = words.as_slice() else { return None };
    let expand = name == rest;
    Some(Heredoc { name: name.clone(), expand, chomp, text: String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        read(text).unwrap().lines.into_iter().map(|line| line.text).collect()
    }

    #[track_caller]
    fn refused(text: &str, line: usize, says: &str) {
        let problem = read(text).unwrap_err();
        assert_eq!(problem.line, line, "{problem:?}");
        assert!(problem.what.contains(says), "{problem:?}");
    }

    #[test]
    fn continuations_are_joined_over_comments_and_empty_lines() {
        assert_eq!(texts("FROM a\nRUN x \\\n  y\n"), ["FROM a", "RUN x   y"]);
        assert_eq!(texts("RUN x \\\n# no\n\n   # no\n  y"), ["RUN x   y"]);
        assert_eq!(texts("RUN x \\  \n y"), ["RUN x  y"]);
        assert_eq!(texts("RUN echo \\\\\nRUN b"), ["RUN echo \\\\", "RUN b"]);
        assert_eq!(texts("\u{feff}# a comment\r\n\r\n  FROM a\r\n"), ["FROM a"]);
        assert_eq!(texts("RUN a # not a comment"), ["RUN a # not a comment"]);
        assert_eq!(texts("RUN a \\"), ["RUN a "]);
    }

    #[test]
    fn line_numbers_are_those_of_the_first_line() {
        let file = read("# c\n\nFROM a\nRUN b \\\n c\n\nCMD d").unwrap();
        let numbers: Vec<usize> = file.lines.iter().map(|line| line.number).collect();
        assert_eq!(numbers, [3, 4, 7]);
    }

    #[test]
    fn directives_are_read_at_the_top_only() {
        assert_eq!(read("# escape=`\nFROM a\nRUN b `\n c").unwrap().lines.len(), 2);
        assert_eq!(read("#escape = `\nFROM a").unwrap().escape, '`');
        assert_eq!(read("# a comment\n# escape=`\nFROM a").unwrap().escape, '\\');
        assert_eq!(
            read("# syntax=docker/dockerfile:1.7-labs\n# escape=`\nFROM a").unwrap().escape,
            '`'
        );
        assert!(read("# syntax=docker.io/docker/dockerfile:1@sha256:abc\nFROM a").is_ok());
        assert!(read("# check=skip=all\nFROM a").is_ok());
        refused("# escape=x\nFROM a", 1, "no escape character");
        refused("# escape=`\n# escape=`\nFROM a", 2, "twice");
        refused("# syntax=r2d4/mockerfile\nFROM a", 1, "another reader");
        refused("# nothing\n", 0, "no instructions");
    }

    #[test]
    fn here_documents_are_taken_out_of_the_lines() {
        let file = read("FROM a\nRUN <<EOF\na\n# b\n\n c \\\nEOF\nCMD x").unwrap();
        assert_eq!(file.lines[1].heredocs[0].text, "a\n# b\n\n c \\\n");
        assert_eq!(file.lines[2].text, "CMD x");
        let file = read("COPY <<-\"one\" <<two /x/\n\ta\n\tone\nb\ntwo\n").unwrap();
        let [one, two] = file.lines[0].heredocs.as_slice() else { panic!("{file:?}") };
        assert_eq!((one.content().as_str(), one.expand), ("a\n", false));
        assert_eq!((two.content().as_str(), two.expand), ("b\n", true));
        let file = read("RUN python3 <<'E' && echo <<F\n1\nE\n2\nF\n").unwrap();
        assert_eq!(file.lines[0].heredocs.len(), 2);
        assert!(read("RUN cat <<< word\nRUN b").unwrap().lines[0].heredocs.is_empty());
        assert!(read("CMD cat <<EOF\nRUN b").unwrap().lines[0].heredocs.is_empty());
        assert_eq!(read("ONBUILD COPY <<E /x\n1\nE").unwrap().lines[0].heredocs[0].text, "1\n");
        refused("FROM a\nRUN <<EOF\nno end", 2, "does not end");
    }
}
