//! Working with what runs, and seeing what happens: sessions, one-off commands, stats, events.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use windlass_model::access::TokenScope;
use windlass_model::event::Event;
use windlass_model::session::{CreateRun, RunView};
use windlass_model::stats::Stats;
use windlass_model::{EnvironmentName, Failure, ProjectName, Timestamp};

use super::App;
use super::extract::{Actor, Args, Body, Names};
use super::guard::detached;
use super::problem::{Answer, Problem};
use super::route::{Row, Verb, row};
use crate::access::caller::{self, Caller};
use crate::control::stored;
use crate::host::Host;
use crate::logs::query;
use crate::observe::stats;
use crate::sessions::{Asked, Kind, background, pump, start};

/// Input in one frame, in bytes.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Events that wait for a slow client, and that one answer holds.
const BUFFERED: usize = 256;
const ANSWERED_MAX: usize = 1000;

type Place = Names<(ProjectName, EnvironmentName)>;

/// The routes of this module.
pub(super) fn about_observe() -> Vec<Row> {
    use Verb::{Delete, Get, Post};
    const EXEC: &str = "/v1/projects/{project}/environments/{environment}/exec";
    const RUN: &str = "/v1/projects/{project}/environments/{environment}/run";
    const RUNS: &str = "/v1/projects/{project}/environments/{environment}/runs";
    const ONE_RUN: &str = "/v1/projects/{project}/environments/{environment}/runs/{run}";
    const STATS: &str = "/v1/projects/{project}/environments/{environment}/stats";
    vec![
        row(Get, EXEC, "A command in a live instance, over a websocket", exec)
            .upgrades()
            .needs(TokenScope::Deploy)
            .errors(&[400, 404, 409]),
        row(Get, RUN, "A one-off command in the live artifact, over a websocket", run)
            .upgrades()
            .needs(TokenScope::Deploy)
            .errors(&[400, 404, 409]),
        row(Get, RUNS, "One-off commands in the background, newest first", list_runs)
            .answers::<Vec<RunView>>(200)
            .errors(&[400, 404]),
        row(Post, RUNS, "Run a one-off command in the background", create_run)
            .takes::<CreateRun>()
            .needs(TokenScope::Deploy)
            .answers::<RunView>(202)
            .errors(&[400, 404, 409, 429]),
        row(Get, ONE_RUN, "A one-off command", show_run)
            .answers::<RunView>(200)
            .errors(&[400, 404]),
        row(Delete, ONE_RUN, "End a one-off command", end_run)
            .needs(TokenScope::Deploy)
            .errors(&[400, 404]),
        row(Get, STATS, "CPU, memory and traffic of the live instances", show_stats)
            .answers::<Stats>(200)
            .errors(&[400, 404]),
        row(Get, "/v1/events", "What happened, past or as it comes", events)
            .filtered()
            .query(&[
                ("project", "only of this project"),
                ("environment", "only of environments of this name"),
                ("since", "from then on: how long ago (`10m`, `2d`) or a moment (RFC 3339)"),
                ("after", "only those after this id"),
                ("limit", "at most so many, the newest ones; 1000 when absent"),
                ("follow", "`true`: server-sent events, which `Last-Event-ID` takes up again"),
            ])
            .streams::<EventsView>("`event` with an Event for each")
            .errors(&[400]),
    ]
}

/// What is there, or a failure before anything is begun.
fn target(app: &App, place: Place, actor: Actor, kind: Kind) -> Answer<Asked> {
    let Names((project, environment)) = place;
    app.host.store.project(&project).map_err(stored)?;
    app.host.store.environment(&project, &environment).map_err(stored)?;
    let asked = Asked { project, environment, actor: actor.0, kind };
    start::live(&app.host, &asked)?;
    Ok(asked)
}

async fn exec(
    State(app): State<App>,
    place: Place,
    actor: Actor,
    upgrade: Upgrade,
) -> Answer<Response> {
    let asked = target(&app, place, actor, Kind::Exec)?;
    Ok(upgrade.serve(app.host, asked))
}

async fn run(
    State(app): State<App>,
    place: Place,
    actor: Actor,
    upgrade: Upgrade,
) -> Answer<Response> {
    let asked = target(&app, place, actor, Kind::Run)?;
    Ok(upgrade.serve(app.host, asked))
}

/// A request that becomes a websocket.
struct Upgrade(WebSocketUpgrade);

impl axum::extract::FromRequestParts<App> for Upgrade {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match WebSocketUpgrade::from_request_parts(parts, app).await {
            Ok(upgrade) => Ok(Self(upgrade)),
            Err(rejection) => Err(Problem(Failure::app(
                "request.no-websocket",
                "this path answers to websockets alone",
                rejection.body_text(),
                "use `windlass exec` or `windlass run`; POST to `runs` runs a command in the background",
            ))),
        }
    }
}

impl Upgrade {
    fn serve(self, host: Arc<Host>, asked: Asked) -> Response {
        self.0
            .max_message_size(FRAME_BYTES_MAX)
            .max_frame_size(FRAME_BYTES_MAX)
            .on_upgrade(move |socket| pump::serve(socket, host, asked))
    }
}

async fn create_run(
    State(app): State<App>,
    place: Place,
    actor: Actor,
    Body(body): Body<CreateRun>,
) -> Answer<(StatusCode, Json<RunView>)> {
    let asked = target(&app, place, actor, Kind::Run)?;
    let view = detached(async move { background::begin(&app.host, &asked, body).await }).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

async fn list_runs(
    State(app): State<App>,
    Names((project, environment)): Place,
) -> Answer<Json<Vec<RunView>>> {
    Ok(Json(background::list(&app.host, &project, &environment)?))
}

type RunPlace = Names<(ProjectName, EnvironmentName, String)>;

async fn show_run(
    State(app): State<App>,
    Names((project, environment, name)): RunPlace,
) -> Answer<Json<RunView>> {
    Ok(Json(background::find(&app.host, &project, &environment, &name)?.1))
}

async fn end_run(
    State(app): State<App>,
    Names((project, environment, name)): RunPlace,
) -> Answer<StatusCode> {
    let end = async move { background::end(&app.host, &project, &environment, &name).await };
    detached(end).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn show_stats(
    State(app): State<App>,
    Names((project, environment)): Place,
) -> Answer<Json<Stats>> {
    app.host.store.project(&project).map_err(stored)?;
    app.host.store.environment(&project, &environment).map_err(stored)?;
    Ok(Json(stats::of_environment(&app.host, &project, &environment).await?))
}

/// Events of one answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct EventsView {
    /// Oldest first.
    items: Vec<Event>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventArgs {
    project: Option<ProjectName>,
    environment: Option<EnvironmentName>,
    since: Option<String>,
    after: Option<u64>,
    limit: Option<usize>,
    #[serde(default)]
    follow: bool,
}

/// Which events are wanted.
#[derive(Debug, Clone)]
struct Which {
    project: Option<ProjectName>,
    environment: Option<EnvironmentName>,
    since: Option<Timestamp>,
    /// Who asks sees his projects' events alone.
    caller: Option<Caller>,
}

impl Which {
    fn takes(&self, event: &Event) -> bool {
        let may_see = self.caller.as_ref().is_none_or(|caller| match &event.project {
            Some(project) => caller.sees(project),
            None => !caller.is_limited(),
        });
        may_see && self.is_wanted(event)
    }

    fn is_wanted(&self, event: &Event) -> bool {
        (self.project.is_none() || self.project == event.project)
            && (self.environment.is_none() || self.environment == event.environment)
            && self.since.is_none_or(|since| event.at >= since)
    }
}

async fn events(
    State(app): State<App>,
    Args(args): Args<EventArgs>,
    headers: HeaderMap,
) -> Answer<Response> {
    let since = args.since.as_deref();
    let since = since.map(|text| query::time("since", text, Timestamp::now())).transpose()?;
    let (project, environment, caller) = (args.project, args.environment, caller::present());
    let which = Which { project, environment, since, caller };
    let last_id = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let after = last_id.or(args.after);
    let limit = args.limit.unwrap_or(ANSWERED_MAX).min(ANSWERED_MAX);
    if args.follow {
        // Who names no beginning wants what comes from now on, with the last few for a start.
        let tail =
            if after.is_some() || since.is_some() { usize::MAX } else { args.limit.unwrap_or(10) };
        return Ok(follow(app.host, which, after.unwrap_or_default(), tail));
    }
    let read = tokio::task::spawn_blocking(move || newest(&app.host, &which, after, limit)).await;
    let items = read.map_err(|e| {
        Failure::host(
            "events.unreadable",
            "the events could not be read",
            e.to_string(),
            "check the data directory's disk and permissions",
        )
    })?;
    Ok(Json(EventsView { items }).into_response())
}

fn newest(host: &Host, which: &Which, after: Option<u64>, limit: usize) -> Vec<Event> {
    let mut items = std::collections::VecDeque::new();
    let all = host.observe.events.after(after.unwrap_or_default());
    for event in all.filter(|event| which.takes(event)) {
        if items.len() >= limit {
            items.pop_front();
        }
        if limit > 0 {
            items.push_back(event);
        }
    }
    items.into()
}

fn follow(host: Arc<Host>, which: Which, mut after: u64, tail: usize) -> Response {
    let (to, from) = mpsc::channel(BUFFERED);
    tokio::spawn(async move {
        // Subscribed first: an event between reading and waiting is not missed.
        let mut last = host.observe.events.watch();
        let mut tail = Some(tail);
        loop {
            last.borrow_and_update();
            let (reading, wanted, begin) = (host.clone(), which.clone(), after);
            let count = tail.take().unwrap_or(usize::MAX);
            let read = tokio::task::spawn_blocking(move || {
                let upto = reading.observe.events.last();
                (newest(&reading, &wanted, Some(begin), count.min(ANSWERED_MAX * 100)), upto)
            });
            let Ok((events, upto)) = read.await else { return };
            after = after.max(upto);
            for event in events {
                after = after.max(event.id);
                let sent = Sent::default().event("event").id(event.id.to_string());
                let Ok(sent) = sent.json_data(&event) else { continue };
                if to.send(Ok::<_, std::convert::Infallible>(sent)).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                changed = last.changed() => if changed.is_err() { return },
                () = to.closed() => return,
            }
        }
    });
    Sse::new(ReceiverStream::new(from)).keep_alive(KeepAlive::default()).into_response()
}
