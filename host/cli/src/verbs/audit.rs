//! `windlass audit`: who asked for which change.

use jiff::{SignedDuration, Timestamp};
use windlass_model::api::Page;
use windlass_model::audit::AuditEntry;

use super::token::seconds;
use crate::client;
use crate::exit::{CliError, CliResult, Exit};
use crate::render::{date, harmless, table};
use crate::session::Session;

/// Show who asked the host for which change, newest first; refused ones too.
///
/// It needs an admin token. With --project only what is about that project.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass audit --since 24h
  windlass audit --actor ci --project shop --json")]
pub struct Audit {
    /// Not older than this: a length of time (`24h`, `7d`), or a time (`2026-01-02T03:04:05Z`).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only of this token, by name.
    #[arg(long, value_name = "TOKEN")]
    actor: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

impl Audit {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let mut query = vec![("limit", self.limit.to_string())];
        if let Some(since) = &self.since {
            query.push(("since", time(since)?.to_string()));
        }
        query.extend(self.actor.map(|actor| ("actor", actor)));
        let project =
            session.common.project.as_ref().map(|project| ("project", project.to_string()));
        query.extend(project);
        let query: Vec<(&str, &str)> = query.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let path = client::with_query("/v1/audit", &query);
        let page: Page<AuditEntry> = session.client()?.get(&path)?;
        if session.json() {
            session.print_json(&page);
        } else if page.items.is_empty() {
            session.console.line("nothing was asked for");
        } else {
            let rows: Vec<Vec<String>> = page.items.iter().map(row).collect();
            let heading = ["time", "who", "from", "what", "answer"];
            session.console.out(&table(&heading, &rows));
        }
        Ok(Exit::Ok)
    }
}

fn row(entry: &AuditEntry) -> Vec<String> {
    let answer = match (entry.status, &entry.code) {
        (Some(status), Some(code)) => format!("{status} {code}"),
        (Some(status), None) => status.to_string(),
        (None, _) => "none: the host ended".to_owned(),
    };
    vec![
        date(entry.at),
        harmless(&entry.actor),
        entry.address.clone().unwrap_or_default(),
        harmless(&format!("{} {}", entry.method, entry.path)),
        harmless(&answer),
    ]
}

fn time(text: &str) -> CliResult<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let ago = i64::try_from(seconds(text)?).ok().map(SignedDuration::from_secs);
    ago.and_then(|ago| Timestamp::now().checked_sub(ago).ok()).ok_or_else(|| {
        CliError::bad_input(
            "cli.bad-time",
            format!("{text:?} is too long ago"),
            "it is before the beginning of time",
            "write for instance 24h, 7d or 2026-01-02T03:04:05Z",
        )
    })
}
