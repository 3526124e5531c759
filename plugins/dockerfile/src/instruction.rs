//! One instruction, read: its flags, its arguments in the form that it takes them.

use crate::lines::{Heredoc, Line, first_word, of_word};
use crate::problem::{Found, Problem, nearest};

/// Every instruction.
const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// A command: words, or a line for the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// `["a", "b"]`
    Exec(Vec<String>),
    /// `a b`
    Shell(String),
}

/// Sources and destination of COPY and ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Copy {
    /// Whether it is ADD.
    pub(crate) add: bool,
    /// What, in order; here-documents are in `heredocs`.
    pub(crate) sources: Vec<String>,
    /// Files whose text stands in the Dockerfile.
    pub(crate) heredocs: Vec<Heredoc>,
    /// Where to.
    pub(crate) dest: String,
    /// `--from`
    pub(crate) from: Option<String>,
    /// `--chown`
    pub(crate) chown: Option<String>,
    /// `--chmod`
    pub(crate) chmod: Option<String>,
    /// `--checksum`
    pub(crate) checksum: Option<String>,
    /// `--exclude`
    pub(crate) exclude: Vec<String>,
    /// `--link`
    pub(crate) link: bool,
    /// `--parents`
    pub(crate) parents: bool,
    /// `--unpack`
    pub(crate) unpack: Option<bool>,
}

/// A RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// What.
    pub(crate) command: Command,
    /// Its here-documents.
    pub(crate) heredocs: Vec<Heredoc>,
    /// `--mount`, each as it stands.
    pub(crate) mounts: Vec<String>,
    /// `--network`
    pub(crate) network: Option<String>,
    /// `--security`
    pub(crate) security: Option<String>,
}

/// A health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Health {
    /// `None` for NONE.
    pub(crate) command: Option<Command>,
    /// Times by flag, in milliseconds, and the retries.
    pub(crate) interval_ms: u32,
    pub(crate) timeout_ms: u32,
    pub(crate) start_period_ms: u32,
    pub(crate) start_interval_ms: u32,
    pub(crate) retries: u32,
}

/// What an instruction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    From { image: String, name: Option<String>, platform: Option<String> },
    Arg(Vec<(String, Option<String>)>),
    Env(Vec<(String, String)>),
    Label(Vec<(String, String)>),
    Run(Run),
    Copy(Copy),
    Workdir(String),
    User(String),
    Cmd(Command),
    Entrypoint(Command),
    Shell(Vec<String>),
    Expose(Vec<String>),
    Volume(Vec<String>),
    StopSignal(String),
    Maintainer(String),
    Health(Health),
    OnBuild(String),
}

/// One instruction and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// Line, from 1.
    pub(crate) line: usize,
    /// Its name, in capitals.
    pub(crate) name: String,
    /// As it stands, on one line.
    pub(crate) text: String,
    /// What it says.
    pub(crate) kind: Kind,
}

/// Reads a line.
pub(crate) fn parse(line: &Line, escape: char) -> Found<Instruction> {
    let text = line.text.trim();
    let name = first_word(text);
    let rest = text[text.split_whitespace().next().unwrap_or_default().len()..].trim();
    let kind = kind(&name, rest, &line.heredocs, escape).map_err(|p| p.at(line.number, &name))?;
    Ok(Instruction { line: line.number, name, text: text.to_owned(), kind })
}

fn kind(name: &str, rest: &str, heredocs: &[Heredoc], escape: char) -> Found<Kind> {
    if !NAMES.contains(&name) {
        return Err(unknown(name));
    }
    let (mut flags, rest) = Flags::take(rest, escape)?;
    let rest = rest.as_str();
    if rest.is_empty() {
        return Err(Problem::syntax("it has no arguments", format!("write what {name} is about")));
    }
    let kind = match name {
        "FROM" => from(rest, &mut flags)?,
        "ARG" => Kind::Arg(arguments(rest, escape)?),
        "ENV" => Kind::Env(pairs(rest, escape)?),
        "LABEL" => Kind::Label(pairs(rest, escape)?),
        "RUN" => Kind::Run(Run {
            command: command(rest)?,
            heredocs: heredocs.to_vec(),
            mounts: flags.all("mount"),
            network: flags.one("network"),
            security: flags.one("security"),
        }),
        "COPY" | "ADD" => Kind::Copy(copy(name == "ADD", rest, heredocs, &mut flags)?),
        "WORKDIR" => Kind::Workdir(rest.to_owned()),
        "USER" => Kind::User(rest.to_owned()),
        "CMD" => Kind::Cmd(command(rest)?),
        "ENTRYPOINT" => Kind::Entrypoint(command(rest)?),
        "SHELL" => match command(rest)? {
            Command::Exec(words) if !words.is_empty() => Kind::Shell(words),
            _ => {
                let fix = "write it as SHELL [\"/bin/bash\", \"-c\"]";
                return Err(Problem::syntax("it takes a list in JSON", fix));
            }
        },
        "EXPOSE" => Kind::Expose(rest.split_whitespace().map(str::to_owned).collect()),
        "VOLUME" => Kind::Volume(list(rest)?),
        "STOPSIGNAL" => Kind::StopSignal(rest.to_owned()),
        "MAINTAINER" => Kind::Maintainer(rest.to_owned()),
        "HEALTHCHECK" => Kind::Health(health(rest, &mut flags)?),
        _ => on_build(rest, heredocs)?,
    };
    flags.done(name)?;
    Ok(kind)
}

fn unknown(name: &str) -> Problem {
    let fix = match nearest(name, NAMES) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("there are {}", NAMES.join(", ")),
    };
    Problem::new("dockerfile.unknown-instruction", "there is no such instruction", fix)
}

/// `--name=value` before the arguments.
struct Flags(Vec<(String, Option<String>)>);

impl Flags {
    fn take(rest: &str, escape: char) -> Found<(Self, String)> {
        let mut flags = Vec::new();
        let mut rest = rest.trim_start();
        while rest.starts_with("--") {
            let end = flag_end(rest, escape);
            let flag = unquoted(&rest[..end], escape);
            rest = rest[end..].trim_start();
            if flag == "--" {
                break;
            }
            let body = &flag[2..];
            let (name, value) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (body, None),
            };
            flags.push((name.to_owned(), value));
        }
        Ok((Self(flags), rest.to_owned()))
    }

    fn all(&mut self, name: &str) -> Vec<String> {
        let (mine, others) = std::mem::take(&mut self.0).into_iter().partition(|(n, _)| n == name);
        self.0 = others;
        let mine: Vec<(String, Option<String>)> = mine;
        mine.into_iter().map(|(_, value)| value.unwrap_or_default()).collect()
    }

    fn one(&mut self, name: &str) -> Option<String> {
        self.all(name).pop()
    }

    fn switch(&mut self, name: &str) -> Found<Option<bool>> {
        let given = self.0.iter().any(|(n, _)| n == name);
        let value = self.one(name).unwrap_or_default().to_ascii_lowercase();
        match value.as_str() {
            _ if !given => Ok(None),
            "" | "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(Problem::syntax(
                format!("--{name} is true or false, and not {value:?}"),
                format!("write --{name}"),
            )),
        }
    }

    /// Whatever is left is not known.
    fn done(self, instruction: &str) -> Found<()> {
        const KNOWN: [&str; 18] = [
            "platform",
            "mount",
            "network",
            "security",
            "from",
            "chown",
            "chmod",
            "link",
            "parents",
            "exclude",
            "checksum",
            "unpack",
            "keep-git-dir",
            "interval",
            "timeout",
            "start-period",
            "start-interval",
            "retries",
        ];
        let Some((name, _)) = self.0.first() else { return Ok(()) };
        if name == "device" {
            return Err(Problem::unsupported(
                "a build gets no devices",
                "do without the device while building",
            ));
        }
        let fix = match nearest(name, KNOWN) {
            Some(meant) => format!("did you mean --{meant}?"),
            None => "remove it".to_owned(),
        };
        Err(Problem::syntax(format!("{instruction} has no flag --{name}"), fix))
    }
}

/// A flag ends at a space that is neither quoted nor escaped.
fn flag_end(text: &str, escape: char) -> usize {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (c, quote) {
            _ if escaped => escaped = false,
            (c, _) if c == escape => escaped = true,
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            (c, None) if c.is_whitespace() => return at,
            _ => {}
        }
    }
    text.len()
}

/// Without the quotes; an escape takes the next character as it is.
fn unquoted(text: &str, escape: char) -> String {
    let mut plain = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, _) if c == escape => plain.extend(chars.next()),
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            (c, _) => plain.push(c),
        }
    }
    plain
}

/// A list in JSON, `None` if it is something else.
fn json(text: &str) -> Found<Option<Vec<String>>> {
    if !text.starts_with('[') {
        return Ok(None);
    }
    match serde_json::from_str::<Vec<serde_json::Value>>(text) {
        Err(_) => Ok(None),
        Ok(values) => {
            let words: Option<Vec<String>> =
                values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
            let fix = "put each of them in double quotes";
            let words = words.ok_or_else(|| Problem::syntax("a list holds texts only", fix))?;
            Ok(Some(words))
        }
    }
}

fn command(rest: &str) -> Found<Command> {
    Ok(match json(rest)? {
        Some(words) => Command::Exec(words),
        None => Command::Shell(rest.to_owned()),
    })
}

fn list(rest: &str) -> Found<Vec<String>> {
    let words = json(rest)?;
    Ok(words.unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect()))
}

fn from(rest: &str, flags: &mut Flags) -> Found<Kind> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (image, name) = match words.as_slice() {
        [image] => (*image, None),
        [image, word, name] if word.eq_ignore_ascii_case("as") => (*image, Some(*name)),
        _ => {
            let fix = "write FROM image, or FROM image AS name";
            return Err(Problem::syntax("it takes an image, and a name behind AS", fix));
        }
    };
    let name = name.map(str::to_ascii_lowercase);
    let good = |name: &String| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c))
    };
    if let Some(name) = name.as_ref().filter(|name| !good(name)) {
        return Err(Problem::syntax(
            format!("{name:?} is no name for a stage"),
            "begin it with a letter, and use letters, digits, `-`, `_` and `.`",
        ));
    }
    Ok(Kind::From { image: image.to_owned(), name, platform: flags.one("platform") })
}

/// Words as they stand: quotes and escapes are left in them.
fn raw_words(rest: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = rest.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        if c == escape && quote != Some('\'') {
            // An escape at the end of the line escapes nothing.
            if let Some(next) = chars.next() {
                word.push(c);
                word.push(next);
            }
            continue;
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// `a=b c=d`, or the older `a b`.
fn pairs(rest: &str, escape: char) -> Found<Vec<(String, String)>> {
    let words = raw_words(rest, escape);
    let split = |word: &String| word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
    if words.first().is_some_and(|word| !word.contains('=')) {
        let Some((name, value)) = rest.split_once(char::is_whitespace) else {
            return Err(Problem::syntax("a name without a value", "write name=value"));
        };
        return Ok(vec![(name.to_owned(), value.trim_start().to_owned())]);
    }
    words
        .iter()
        .map(|word| match split(word) {
            Some((name, value)) if !name.is_empty() => Ok((name, value)),
            _ => Err(Problem::syntax(
                format!("{word:?} is not of the form name=value"),
                "put a value with spaces in quotes",
            )),
        })
        .collect()
}

fn arguments(rest: &str, escape: char) -> Found<Vec<(String, Option<String>)>> {
    raw_words(rest, escape)
        .iter()
        .map(|word| match word.split_once('=') {
            Some(("", _)) => {
                Err(Problem::syntax("an argument without a name", "write ARG NAME=value"))
            }
            Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
            None => Ok((word.clone(), None)),
        })
        .collect()
}

fn copy(add: bool, rest: &str, heredocs: &[Heredoc], flags: &mut Flags) -> Found<Copy> {
    let mut words = list(rest)?;
    let dest = words.pop().unwrap_or_default();
    if words.is_empty() || of_word(&dest).is_some() {
        return Err(Problem::syntax("it has no destination", "name the sources and then where to"));
    }
    let from = if add { None } else { flags.one("from") };
    let parents = flags.switch("parents")?.unwrap_or(false);
    let _kept = if add { flags.switch("keep-git-dir")? } else { None };
    Ok(Copy {
        add,
        sources: words.into_iter().filter(|word| of_word(word).is_none()).collect(),
        heredocs: heredocs.to_vec(),
        dest,
        from,
        chown: flags.one("chown"),
        chmod: flags.one("chmod"),
        checksum: if add { flags.one("checksum") } else { None },
        exclude: flags.all("exclude"),
        link: flags.switch("link")?.unwrap_or(false),
        parents,
        unpack: if add { flags.switch("unpack")? } else { None },
    })
}

fn health(rest: &str, flags: &mut Flags) -> Found<Health> {
    let (kind, command_text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command_text = command_text.trim();
    let command = match kind.to_ascii_uppercase().as_str() {
        "NONE" if command_text.is_empty() => None,
        "NONE" => {
            return Err(Problem::syntax("NONE takes no arguments", "write HEALTHCHECK NONE"));
        }
        "CMD" if command_text.is_empty() => {
            return Err(Problem::syntax("CMD has no command", "write the command behind CMD"));
        }
        "CMD" => Some(command(command_text)?),
        other => {
            let what = format!("{other:?} is neither CMD nor NONE");
            return Err(Problem::syntax(what, "write HEALTHCHECK CMD and the command"));
        }
    };
    let mut time = |name: &str| -> Found<u32> {
        flags
            .one(name)
            .map_or(Ok(0), |text| duration_ms(&text))
            .map_err(|p| Problem::syntax(format!("--{name}: {}", p.what), p.fix))
    };
    let (interval_ms, timeout_ms) = (time("interval")?, time("timeout")?);
    let (start_period_ms, start_interval_ms) = (time("start-period")?, time("start-interval")?);
    let retries = match flags.one("retries") {
        None => 0,
        Some(text) => text.parse().map_err(|_| {
            Problem::syntax(format!("--retries={text:?} is no number"), "write --retries=3")
        })?,
    };
    Ok(Health { command, interval_ms, timeout_ms, start_period_ms, start_interval_ms, retries })
}

/// `1m30s`, `500ms`, `0`
fn duration_ms(text: &str) -> Found<u32> {
    let bad =
        || Problem::syntax(format!("{text:?} is no duration"), "write it as 30s, 1m30s or 500ms");
    if text == "0" {
        return Ok(0);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        let unit_end = rest[digits..]
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .map_or(rest.len(), |n| n + digits);
        let factor = match &rest[digits..unit_end] {
            "ns" => 0.000_001,
            "us" | "µs" => 0.001,
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            _ => return Err(bad()),
        };
        total += number * factor;
        rest = &rest[unit_end..];
    }
    if total != 0.0 && !(1.0..=4_000_000_000.0).contains(&total) {
        return Err(bad());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be between 0 and 4,000,000,000"
    )]
    let ms = total.round() as u32;
    Ok(ms)
}

fn on_build(rest: &str, heredocs: &[Heredoc]) -> Found<Kind> {
    let trigger = first_word(rest);
    match trigger.as_str() {
        "ONBUILD" | "FROM" | "MAINTAINER" => {
            let what = format!("{trigger} cannot be a trigger");
            Err(Problem::syntax(what, "write another instruction behind ONBUILD"))
        }
        _ if !NAMES.contains(&trigger.as_str()) => Err(unknown(&trigger)),
        _ => {
            let mut text = rest.to_owned();
            for heredoc in heredocs {
                text.push_str(&format!("\n{}{}", heredoc.text, heredoc.name));
            }
            Ok(Kind::OnBuild(text))
        }
    }
}

#[cfg(test)]
mod tests;
