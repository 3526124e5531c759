//! `windlass events`: what happens on the host.

use serde::Deserialize;
use windlass_model::event::Event;

use crate::client::with_query;
use crate::console::{Style, paint};
use crate::exit::{CliResult, Exit};
use crate::render::{date, harmless};
use crate::resume::{self, News};
use crate::session::Session;

/// Show what happened, and with --follow what happens: deployments and their steps,
/// environments (scaled, stopped, restarted, an instance that ended), sessions, plugins.
///
/// Of all projects, unless --project names one: then of its environment, or all with --all-environments. With
/// --json, one JSON object a line.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass events -f
  windlass events --since 1h --project shop -e staging")]
pub struct Events {
    /// Go on with what happens from now on, until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
    /// From then on: how long ago (10m, 2d) or a moment (2026-01-31T12:00:00Z).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only the newest so many.
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<u32>,
    /// Every environment of the project.
    #[arg(long, requires = "project")]
    all_environments: bool,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Event>,
}

impl Events {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let project = session.common.project.as_ref().map(ToString::to_string);
        let environment = project.as_ref().filter(|_| !self.all_environments);
        let environment = environment.map(|_| session.environment().to_string());
        let all = [
            ("project", project),
            ("environment", environment),
            ("since", self.since),
            ("limit", self.limit.map(|limit| limit.to_string())),
            ("follow", self.follow.then(|| "true".to_owned())),
        ];
        let query: Vec<(&str, &str)> =
            all.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
        let path = with_query("/v1/events", &query);
        if !self.follow {
            let page: Page = client.get(&path)?;
            page.items.iter().for_each(|event| print(session, event));
            return Ok(Exit::Ok);
        }
        for news in resume::events(client, &path) {
            match news? {
                News::Lost => session
                    .console
                    .note("the connection to the host was lost; trying again, nothing is missed"),
                News::Event(event) => {
                    if let Ok(event) = serde_json::from_str(&event.data) {
                        print(session, &event);
                    }
                }
            }
            if session.console.closed() {
                break;
            }
        }
        Ok(Exit::Ok)
    }
}

fn print(session: &mut Session<'_, '_>, event: &Event) {
    let text = if session.json() {
        serde_json::to_string(event).unwrap_or_default()
    } else {
        line(event, session.console.color())
    };
    session.console.line(&text);
}

fn line(event: &Event, color: bool) -> String {
    let place = match (&event.project, &event.environment, event.number) {
        (Some(project), Some(environment), Some(n)) => format!("{project}/{environment} #{n} "),
        (Some(project), Some(environment), None) => format!("{project}/{environment} "),
        (Some(project), None, _) => format!("{project} "),
        (None, ..) => String::new(),
    };
    let step = event.step.map(|step| format!(" {step}")).unwrap_or_default();
    let style = match event.kind.rsplit('.').next().unwrap_or_default() {
        "live" | "succeeded" | "cached" => Style::Green,
        "failed" | "stuck" | "problem" | "oom" => Style::Red,
        _ => Style::Cyan,
    };
    let actor = event.actor.as_ref().filter(|_| event.step.is_none());
    let by = actor.map(|actor| format!(" (by {actor})")).unwrap_or_default();
    let head = paint(color, Style::Dim, &date(event.at));
    let kind = paint(color, style, &event.kind);
    let rest = harmless(&format!("{} {by}", event.message));
    format!("{head} {place}{kind}{step} {}", rest.trim()).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use windlass_model::StepName;

    use super::*;

    #[test]
    fn a_line_says_when_where_what_and_who() {
        let at = jiff::Timestamp::from_second(5).unwrap();
        let live = Event {
            at,
            project: Some("shop".parse().unwrap()),
            environment: Some("production".parse().unwrap()),
            number: Some(12),
            actor: Some("ann".into()),
            ..Event::now("deployment.live", "")
        };
        let step = Event {
            kind: "step.succeeded".into(),
            step: Some(StepName::Build),
            message: "3 steps".into(),
            ..live.clone()
        };
        let host = Event { at, ..Event::now("plugin.problem", "x.wasm: too large\x1b[2J") };
        let lines = [line(&live, false), line(&step, false), line(&host, false)].join("\n");
        insta::assert_snapshot!(lines, @r"
        1970-01-01 00:00:05 UTC shop/production #12 deployment.live (by ann)
        1970-01-01 00:00:05 UTC shop/production #12 step.succeeded build 3 steps
        1970-01-01 00:00:05 UTC plugin.problem x.wasm: too large�[2J
        ");
    }
}
