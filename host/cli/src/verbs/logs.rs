//! `windlass logs`: what was printed, and what is being printed.

use std::io::BufRead as _;

use windlass_model::StepName;
use windlass_model::ansi::{self, Colours};
use windlass_model::api::LogEntry;
use windlass_model::log::Stream;

use super::{environment_path, resolve};
use crate::client::{self, Client, with_query};
use crate::console::{Style, paint};
use crate::exit::{CliError, CliResult, Exit};
use crate::render::clock;
use crate::resume;
use crate::session::Session;

/// Show logs: of steps and of instances, past and live.
///
/// Without a deployment: the environment's newest one. With --since or --until: all of the environment's
/// deployments in that time, also those whose instances are gone. With --follow: the live one, and each that
/// comes after it. Colours are kept on a terminal; all other escapes are filtered.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass logs -f                                # the environment, live
  windlass logs 12 --step build
  windlass logs --instance web.0 --tail 50
  windlass logs --since 10m --grep 'status=5..' --regex
  windlass logs --since 1d --format otlp > logs.jsonl")]
pub struct Logs {
    /// Id, start of an id, or number [default: the environment's].
    deployment: Option<String>,
    /// Go on with what is printed from now on, until Ctrl-C or until nothing more can come.
    #[arg(long, short, conflicts_with_all = ["until", "format"])]
    follow: bool,
    /// Only of this step: fetch, detect, plan, build, migrate, ...
    #[arg(long, value_name = "STEP")]
    step: Option<StepName>,
    /// Only of this instance, as `web.0`.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["step", "process"])]
    instance: Option<String>,
    /// Only of the instances of this process, as `web`.
    #[arg(long, value_name = "NAME", conflicts_with = "step")]
    process: Option<String>,
    /// Only this stream.
    #[arg(long, value_name = "STREAM", value_parser = ["stdout", "stderr", "host", "plugin"])]
    stream: Option<String>,
    /// From then on: how long ago (10m, 1h30m, 2d) or a moment (2026-01-31T12:00:00Z).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Up to then.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only lines with this text.
    #[arg(long, short, value_name = "TEXT")]
    grep: Option<String>,
    /// The text of --grep is a regular expression.
    #[arg(long, requires = "grep")]
    regex: bool,
    /// --grep does not tell capitals from small letters.
    #[arg(long, short, requires = "grep")]
    ignore_case: bool,
    /// Only the last of the wanted lines.
    #[arg(long, short = 'n', value_name = "N")]
    tail: Option<u32>,
    /// Write them as `jsonl` (as --json does) or `otlp` (OpenTelemetry log records in JSON).
    #[arg(long, value_name = "FORMAT", value_parser = ["jsonl", "otlp"])]
    format: Option<String>,
}

impl Logs {
    /// Of one instance of a deployment, or of a command that has a log like one.
    pub(super) fn of_instance(
        deployment: String,
        instance: String,
        follow: bool,
        tail: Option<u32>,
    ) -> Self {
        Self {
            deployment: Some(deployment),
            instance: Some(instance),
            follow,
            tail,
            step: None,
            process: None,
            stream: None,
            since: None,
            until: None,
            grep: None,
            regex: false,
            ignore_case: false,
            format: None,
        }
    }

    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let path = self.path(session, &client)?;
        let query = self.query(session);
        let query: Vec<(&str, &str)> =
            query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let path = with_query(&path, &query);
        if self.follow {
            follow(session, client, &path)
        } else {
            self.past(session, &client, &path)
        }
    }

    /// The deployment's logs, or the environment's where time or waiting can lead to others.
    fn path(&self, session: &Session<'_, '_>, client: &Client) -> CliResult<String> {
        let over_several = self.follow || self.since.is_some() || self.until.is_some();
        if self.deployment.is_none() && over_several {
            return environment_path(session, &["logs"]);
        }
        let id = resolve(session, client, self.deployment.as_deref())?.deployment.id;
        Ok(client::path(&["v1", "deployments", id.as_str(), "logs"]))
    }

    fn query(&self, session: &Session<'_, '_>) -> Vec<(&'static str, String)> {
        let is_set = |set: bool| set.then(|| "true".to_owned());
        let format = if self.follow { None } else { self.format.clone().or(Some("jsonl".into())) };
        let colours = session.console.color() && !session.json() && self.format.is_none();
        let all = [
            ("step", self.step.map(|step| step.to_string())),
            ("instance", self.instance.clone()),
            ("process", self.process.clone()),
            ("stream", self.stream.clone()),
            ("since", self.since.clone()),
            ("until", self.until.clone()),
            ("grep", self.grep.clone()),
            ("regex", is_set(self.regex)),
            ("ignore_case", is_set(self.ignore_case)),
            ("tail", self.tail.map(|tail| tail.to_string())),
            ("ansi", is_set(colours)),
            ("format", format),
            ("follow", is_set(self.follow)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    fn past(&self, session: &mut Session<'_, '_>, client: &Client, path: &str) -> CliResult<Exit> {
        let raw = self.format.is_some();
        let mut is_silent = true;
        for text in client.lines(path)?.lines() {
            let text = text.map_err(|e| broken(&e.to_string()))?;
            is_silent = false;
            if raw {
                session.console.line(&text);
            } else {
                print(session, &text)?;
            }
            if session.console.closed() {
                break;
            }
        }
        if is_silent && let Some(name) = self.instance.as_ref().or(self.process.as_ref()) {
            session.console.note(&format!(
                "there is no such line of {name}; `windlass show` and `windlass stats` name what runs"
            ));
        }
        Ok(Exit::Ok)
    }
}

fn follow(session: &mut Session<'_, '_>, client: Client, path: &str) -> CliResult<Exit> {
    for event in resume::events(client, path) {
        match event? {
            resume::News::Lost => session
                .console
                .note("the connection to the host was lost; trying again, nothing is missed"),
            resume::News::Event(event) => match event.name.as_str() {
                "end" => return Ok(Exit::Ok),
                "log" => print(session, &event.data)?,
                _ => {}
            },
        }
        if session.console.closed() {
            return Ok(Exit::Ok);
        }
    }
    Ok(Exit::Ok)
}

fn broken(why: &str) -> Box<CliError> {
    CliError::new(
        Exit::Unreachable,
        "cli.stream-broken",
        "the log broke off",
        why,
        "ask again with `windlass logs`; nothing of the log is lost on the host",
    )
}

/// Prints a line as the host sent it.
fn print(session: &mut Session<'_, '_>, json: &str) -> CliResult<()> {
    let entry: LogEntry = serde_json::from_str(json).map_err(|e| broken(&e.to_string()))?;
    let text = if session.json() {
        // Read and written again: a host that does not filter must not reach the terminal.
        let text = ansi::clean(&entry.line.text, Colours::Strip);
        let line = windlass_model::LogLine { text, ..entry.line };
        serde_json::to_string(&LogEntry { line, ..entry }).unwrap_or_default()
    } else {
        line(&entry, session.console.color())
    };
    session.console.line(&text);
    Ok(())
}

fn line(entry: &LogEntry, color: bool) -> String {
    let place = match (&entry.step, &entry.instance) {
        (Some(step), _) => step.as_str(),
        (None, Some(instance)) => instance.as_str(),
        (None, None) => "",
    };
    let number = entry.number.map(|number| format!("#{number} ")).unwrap_or_default();
    let (mark, style) = match entry.line.stream {
        _ if entry.dropped.is_some() => ("#", Some(Style::Yellow)),
        Stream::Stdout => ("|", None),
        Stream::Stderr => ("!", Some(Style::Yellow)),
        Stream::Host => ("#", Some(Style::Dim)),
        Stream::Plugin => ("&", Some(Style::Cyan)),
    };
    let head = format!("{} {number}{place:<9}", clock(entry.line.at));
    let head = paint(color, Style::Dim, &head);
    let colours = if color { Colours::Keep } else { Colours::Strip };
    let text = ansi::clean(&entry.line.text, colours);
    let has_own = text.contains('\x1b');
    let text = style.filter(|_| !has_own).map_or_else(|| text.clone(), |s| paint(color, s, &text));
    format!("{head} {mark} {text}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use windlass_model::log::{Dropped, LogLine, StoredLine};

    use super::*;

    fn at(ms: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(ms).unwrap()
    }

    fn entry(stream: Stream, step: Option<StepName>, instance: Option<&str>) -> LogEntry {
        LogEntry {
            step,
            instance: instance.map(str::to_owned),
            number: None,
            line: LogLine { at: at(1500), stream, text: "hello".into() },
            dropped: None,
        }
    }

    #[test]
    fn each_line_shows_time_place_and_stream() {
        let gap = StoredLine::gap(at(1500), Dropped { lines: 9, bytes: 3_200_000 }, "too fast");
        let lost = LogEntry {
            line: gap.line,
            dropped: gap.dropped,
            ..entry(Stream::Host, None, Some("web.0"))
        };
        let lines = [
            line(&entry(Stream::Stdout, None, Some("web.0")), false),
            line(&entry(Stream::Stderr, Some(StepName::Build), None), false),
            line(&entry(Stream::Host, Some(StepName::Switch), None), false),
            line(
                &LogEntry { number: Some(12), ..entry(Stream::Stdout, None, Some("web.0")) },
                false,
            ),
            line(&lost, false),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        00:00:01.500 web.0     | hello
        00:00:01.500 build     ! hello
        00:00:01.500 switch    # hello
        00:00:01.500 #12 web.0     | hello
        00:00:01.500 web.0     # … 3.2 MB (9 lines) dropped here: too fast
        ");
    }

    #[test]
    fn colours_reach_a_terminal_and_nothing_else_does() {
        let mut coloured = entry(Stream::Stdout, None, Some("web.0"));
        coloured.line.text = "\x1b[31mred\x1b]52;c;aGk=\x07\x1b[2J".into();
        assert!(line(&coloured, true).ends_with("| \x1b[31mred\x1b[0m"));
        assert!(line(&coloured, false).ends_with("| red"));
    }
}
