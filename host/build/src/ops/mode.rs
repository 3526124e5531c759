//! Modes of copied files: octal, or symbolic as `chmod` has them.

use windlass_model::Failure;

/// A mode that files get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As it is.
    Octal(u32),
    /// Applied to what the file has.
    Symbolic(Vec<Clause>),
}

/// `go=rX`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clause {
    /// Bits of the classes it is for: 0o700, 0o070, 0o007.
    classes: u32,
    operator: char,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// Letters of `rwxXst`.
    Letters(String),
    /// What another class has.
    Of(u32),
}

const ALL: u32 = 0o777;

impl Mode {
    /// Reads a mode.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        if text.bytes().all(|b| b.is_ascii_digit()) {
            let octal = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            return octal.map(Self::Octal).ok_or_else(|| invalid(text));
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            clauses.extend(clause(part).ok_or_else(|| invalid(text))?);
        }
        Ok(Self::Symbolic(clauses))
    }

    /// The mode of a file that had `own`.
    pub(crate) fn of(&self, own: u32, is_dir: bool) -> u32 {
        match self {
            Self::Octal(mode) => *mode,
            Self::Symbolic(clauses) => {
                clauses.iter().fold(own, |mode, clause| clause.of(mode, is_dir))
            }
        }
    }
}

impl Clause {
    fn of(&self, mode: u32, is_dir: bool) -> u32 {
        let bits = match &self.what {
            What::Of(class) => {
                let of = (mode & class) / (class & 0o111);
                (of * 0o111) & self.classes
            }
            What::Letters(letters) => letters.chars().fold(0, |bits, letter| {
                bits | match letter {
                    'r' => 0o444 & self.classes,
                    'w' => 0o222 & self.classes,
                    'x' => 0o111 & self.classes,
                    'X' if is_dir || mode & 0o111 != 0 => 0o111 & self.classes,
                    's' => special(self.classes),
                    't' => 0o1000,
                    _ => 0,
                }
            }),
        };
        match self.operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => mode & !(self.classes | special(self.classes)) | bits,
        }
    }
}

fn special(classes: u32) -> u32 {
    let user = if classes & 0o700 == 0 { 0 } else { 0o4000 };
    let group = if classes & 0o070 == 0 { 0 } else { 0o2000 };
    user | group
}

fn class(letter: char) -> Option<u32> {
    match letter {
        'u' => Some(0o700),
        'g' => Some(0o070),
        'o' => Some(0o007),
        'a' => Some(ALL),
        _ => None,
    }
}

/// One part between commas: classes, then operators with what they apply.
fn clause(part: &str) -> Option<Vec<Clause>> {
    let split = part.find(['+', '-', '='])?;
    let mut classes = 0;
    for letter in part[..split].chars() {
        classes |= class(letter)?;
    }
    let classes = if split == 0 { ALL } else { classes };
    let mut clauses = Vec::new();
    let mut rest = &part[split..];
    while let Some(operator) = rest.chars().next() {
        let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |n| n + 1);
        let body = &rest[1..end];
        let copied = match body {
            "u" | "g" | "o" => body.chars().next().and_then(class),
            _ => None,
        };
        let what = match copied {
            Some(class) => What::Of(class),
            None if body.chars().all(|c| "rwxXst".contains(c)) => What::Letters(body.to_owned()),
            None => return None,
        };
        clauses.push(Clause { classes, operator, what });
        rest = &rest[end..];
    }
    Some(clauses)
}

fn invalid(text: &str) -> Failure {
    let why = format!("{text:?} is neither an octal nor a symbolic mode");
    let fix = "use up to four octal digits, for instance 755, or for instance u=rwX,go=rX";
    Failure::app("build.invalid-mode", "The mode of a copy is not valid", why, fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_and_symbolic_modes_are_those_of_chmod() {
        for (text, own, is_dir, expected) in [
            ("755", 0o600, false, 0o755),
            ("4755", 0o600, false, 0o4755),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("a+x", 0o644, false, 0o755),
            ("+x", 0o644, false, 0o755),
            ("go-rwx", 0o777, false, 0o700),
            ("g=u", 0o750, false, 0o770),
            ("u+s", 0o755, false, 0o4755),
            ("+t", 0o777, true, 0o1777),
            ("u=rw-w", 0o777, false, 0o477),
            ("o=", 0o777, false, 0o770),
        ] {
            assert_eq!(Mode::parse(text).unwrap().of(own, is_dir), expected, "{text}");
        }
        for text in ["", "999", "rwx", "u", "z+x", "77777", "u=q"] {
            assert_eq!(Mode::parse(text).unwrap_err().code, "build.invalid-mode", "{text}");
        }
    }

    #[test]
    fn what_is_a_mode_here_is_one_to_the_plugin_too() {
        let cases = include_str!("../../../../tests/fixtures/modes.txt").lines();
        for case in cases.filter(|line| !line.starts_with('#')) {
            let (expected, text) = case.split_once(' ').unwrap();
            let seen = if Mode::parse(text).is_ok() { "good" } else { "bad" };
            assert_eq!(seen, expected, "{text}");
        }
    }
}
