//! `windlass logs`: what was printed, and what is being printed.

use serde::Deserialize;
use windlass_model::StepName;
use windlass_model::api::LogEntry;
use windlass_model::log::Stream;

use super::resolve;
use crate::client::{self, with_query};
use crate::console::{Style, paint};
use crate::exit::{CliError, CliResult, Exit};
use crate::render::{clock, harmless};
use crate::session::Session;

/// Show the log of a deployment: its steps and its instances.
///
/// With --json, one JSON object a line.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass logs -f                 # the newest deployment of production, live
  windlass logs 12 --step build
  windlass logs --instance web.0 --tail 50")]
pub struct Logs {
    /// Id, start of an id, or number [default: the environment's newest].
    deployment: Option<String>,
    /// Go on with what is printed from now on, until Ctrl-C or until nothing more can come.
    #[arg(long, short)]
    follow: bool,
    /// Only of this step: fetch, detect, plan, build, migrate, ...
    #[arg(long, value_name = "STEP")]
    step: Option<StepName>,
    /// Only of this instance, as `web.0`.
    #[arg(long, value_name = "NAME", conflicts_with = "step")]
    instance: Option<String>,
    /// Only the last lines.
    #[arg(long, value_name = "N")]
    tail: Option<u32>,
}

#[derive(Deserialize)]
struct Entries {
    items: Vec<LogEntry>,
}

impl Logs {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let id = resolve(session, &client, self.deployment.as_deref())?.deployment.id;
        let step = self.step.map(|step| step.to_string());
        let tail = self.tail.map(|tail| tail.to_string());
        let mut query = Vec::new();
        query.extend(step.as_deref().map(|step| ("step", step)));
        query.extend(self.instance.as_deref().map(|instance| ("instance", instance)));
        query.extend(tail.as_deref().map(|tail| ("tail", tail)));
        let path = client::path(&["v1", "deployments", id.as_str(), "logs"]);
        if !self.follow {
            let entries: Entries = client.get(&with_query(&path, &query))?;
            for entry in &entries.items {
                print(session, entry);
            }
            return Ok(Exit::Ok);
        }
        query.push(("follow", "true"));
        for event in client.events(&with_query(&path, &query))? {
            let event = event.map_err(|e| broken(&e.to_string()))?;
            match event.name.as_str() {
                "end" => return Ok(Exit::Ok),
                "log" => {
                    let entry =
                        serde_json::from_str(&event.data).map_err(|e| broken(&e.to_string()))?;
                    print(session, &entry);
                    if session.console.closed() {
                        return Ok(Exit::Ok);
                    }
                }
                _ => {}
            }
        }
        Err(broken("the host closed the connection"))
    }
}

fn broken(why: &str) -> Box<CliError> {
    CliError::new(
        Exit::Unreachable,
        "cli.stream-broken",
        "the log broke off",
        why,
        "ask again with `windlass logs -f`; nothing of the log is lost on the host",
    )
}

fn print(session: &mut Session<'_, '_>, entry: &LogEntry) {
    let text = if session.json() {
        serde_json::to_string(entry).unwrap_or_default()
    } else {
        line(entry, session.console.color())
    };
    session.console.line(&text);
}

fn line(entry: &LogEntry, color: bool) -> String {
    let place = match (&entry.step, &entry.instance) {
        (Some(step), _) => step.as_str(),
        (None, Some(instance)) => instance.as_str(),
        (None, None) => "",
    };
    let (mark, style) = match entry.line.stream {
        Stream::Stdout => ("|", None),
        Stream::Stderr => ("!", Some(Style::Yellow)),
        Stream::Host => ("#", Some(Style::Dim)),
        Stream::Plugin => ("&", Some(Style::Cyan)),
    };
    let head = paint(color, Style::Dim, &format!("{} {place:<9}", clock(entry.line.at)));
    let text = harmless(&entry.line.text);
    let text = style.map_or_else(|| text.clone(), |style| paint(color, style, &text));
    format!("{head} {mark} {text}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use windlass_model::log::LogLine;

    use super::*;

    #[test]
    fn each_line_shows_time_place_and_stream() {
        let entry = |stream, step, instance: Option<&str>| LogEntry {
            step,
            instance: instance.map(str::to_owned),
            line: LogLine {
                at: jiff::Timestamp::from_millisecond(1500).unwrap(),
                stream,
                text: "hello".into(),
            },
        };
        let lines = [
            line(&entry(Stream::Stdout, None, Some("web.0")), false),
            line(&entry(Stream::Stderr, Some(StepName::Build), None), false),
            line(&entry(Stream::Host, Some(StepName::Switch), None), false),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        00:00:01.500 web.0     | hello
        00:00:01.500 build     ! hello
        00:00:01.500 switch    # hello
        ");
    }
}
