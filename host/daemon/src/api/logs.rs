//! Logs: past ones as a body that is made while it is read, coming ones as server-sent events.
//!
//! Every event carries an id; who comes back with it as `Last-Event-ID` goes on exactly there.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use windlass_model::api::LogEntry;
use windlass_model::{EnvironmentName, Failure, ProjectName, Timestamp};

use super::App;
use super::extract::{Args, Names};
use super::problem::{Answer, Problem};
use super::route::{Row, Verb, row};
use super::table::LogEntries;
use crate::control::{find, stored};
use crate::host::Host;
use crate::logs::export::Export;
use crate::logs::follow::Follow;
use crate::logs::sources::{self, Scope};
use crate::logs::{LogArgs, Merge, Places, Wanted};

/// Events that wait for a slow client.
const BUFFERED: usize = 256;

/// The query of both routes.
pub(super) const QUERY: &[(&str, &str)] = &[
    ("project", "the project, where the deployment is given by its number"),
    ("step", "only of this step"),
    ("instance", "only of this instance, as `web.0`"),
    ("process", "only of the instances of this process"),
    ("stream", "only `stdout`, `stderr`, `host` or `plugin`"),
    ("since", "from then on: how long ago (`10m`, `1h30m`, `2d`) or a moment (RFC 3339)"),
    ("until", "up to then, as `since`"),
    ("grep", "only lines with this text"),
    ("regex", "`true`: `grep` is a regular expression"),
    ("ignore_case", "`true`: `grep` does not tell capitals from small letters"),
    ("tail", "only the last so many of the wanted lines"),
    ("ansi", "`true`: colours are kept; other escapes never are"),
    ("format", "`json` (default), `jsonl` (a LogEntry a line) or `otlp` (OTLP in JSON lines)"),
    ("follow", "`true`: server-sent events, which `Last-Event-ID` takes up again"),
];

/// The routes of this module.
pub(super) fn about_logs() -> Vec<Row> {
    const OF_DEPLOYMENT: &str = "/v1/deployments/{deployment}/logs";
    const OF_ENVIRONMENT: &str = "/v1/projects/{project}/environments/{environment}/logs";
    const EVENTS: &str = "`log` with a LogEntry for each line, then `end`";
    vec![
        row(Verb::Get, OF_DEPLOYMENT, "Logs, past or as they come", of_deployment)
            .query(QUERY)
            .streams::<LogEntries>(EVENTS)
            .errors(&[400, 404, 409]),
        row(
            Verb::Get,
            OF_ENVIRONMENT,
            "Logs of an environment: of its newest deployment, or of all in a range of time; \
             followed from one deployment to the next",
            of_environment,
        )
        .query(QUERY)
        .streams::<LogEntries>(EVENTS)
        .errors(&[400, 404]),
    ]
}

async fn of_deployment(
    State(app): State<App>,
    Names(text): Names<String>,
    Args(args): Args<LogArgs>,
    headers: HeaderMap,
) -> Answer<Response> {
    let id = find::deployment(&app.host, &text, args.project.as_ref())?.id;
    answer(app.host, Scope::Deployment(id), args, &headers).await
}

async fn of_environment(
    State(app): State<App>,
    Names((project, environment)): Names<(ProjectName, EnvironmentName)>,
    Args(args): Args<LogArgs>,
    headers: HeaderMap,
) -> Answer<Response> {
    app.host.store.project(&project).map_err(stored)?;
    app.host.store.environment(&project, &environment).map_err(stored)?;
    answer(app.host, Scope::Environment(project, environment), args, &headers).await
}

async fn answer(
    host: Arc<Host>,
    scope: Scope,
    args: LogArgs,
    headers: &HeaderMap,
) -> Answer<Response> {
    let follows = args.follow;
    let wanted = args.wanted(Timestamp::now())?;
    if follows {
        return Ok(follow(host, scope, wanted, last_place(headers)?));
    }
    let prepared = tokio::task::spawn_blocking(move || export(&host, &scope, &wanted)).await;
    let export = prepared.map_err(|e| Problem(broken(&e.to_string())))??;
    let kind = export.content_type();
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(export.pieces())).into_response())
}

fn broken(why: &str) -> Failure {
    Failure::host(
        "logs.unreadable",
        "the logs could not be read",
        why,
        "ask again; if it stays so, check the disk of the data directory",
    )
}

/// Opens all that is wanted and goes to its beginning.
fn export(host: &Host, scope: &Scope, wanted: &Wanted) -> Result<Export, Failure> {
    let known = sources::past(host, scope, &wanted.filter)?;
    let mut merge = Merge::new(wanted.filter.clone(), false);
    for deployment in known.values() {
        merge.sources.extend(sources::of_deployment(host, deployment, wanted));
    }
    merge.stop_at_present_end();
    match wanted.tail {
        Some(tail) => merge.seek_tail(tail),
        None => merge.seek_since(),
    }
    let with_number = matches!(scope, Scope::Environment(..));
    Ok(Export::new(merge, known, wanted.format, with_number))
}

/// Where a client was that comes back.
fn last_place(headers: &HeaderMap) -> Answer<Option<Places>> {
    let Some(id) = headers.get("last-event-id").and_then(|id| id.to_str().ok()) else {
        return Ok(None);
    };
    let bad = || {
        Problem(Failure::app(
            "logs.bad-place",
            "the header Last-Event-ID is no place in these logs",
            format!("it is {id:?}"),
            "send back the `id` of the last event as it came, or leave the header out",
        ))
    };
    Places::parse(id).map(Some).ok_or_else(bad)
}

fn follow(host: Arc<Host>, scope: Scope, wanted: Wanted, place: Option<Places>) -> Response {
    let with_number = matches!(scope, Scope::Environment(..));
    let (lines, mut from) = mpsc::channel(BUFFERED);
    let (to, events) = mpsc::channel(BUFFERED);
    let follow = Follow::new(host, scope, wanted, place);
    tokio::spawn(async move {
        let end = tokio::spawn(async move { follow.run(&lines).await });
        while let Some(item) = from.recv().await {
            let number = with_number.then_some(item.number);
            let entry = LogEntry { number, ..item.entry };
            let event = Event::default().event("log").id(item.place).json_data(&entry);
            let Ok(event) = event else { continue };
            if to.send(event).await.is_err() {
                return;
            }
        }
        if end.await.unwrap_or(false) {
            // The client may be gone by now.
            let _ = to.send(Event::default().event("end").data("{}")).await;
        }
    });
    let events = tokio_stream::StreamExt::map(
        ReceiverStream::new(events),
        Ok::<_, std::convert::Infallible>,
    );
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}
