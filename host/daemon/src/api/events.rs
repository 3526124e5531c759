//! Changes of a deployment as server-sent events.
//!
//! A stream is fed by a task of its own that ends when the client is gone.

use std::sync::Arc;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use windlass_model::{DeploymentId, ProjectName};
use windlass_store::DeploymentEvent;

use super::App;
use super::extract::{Args, Names};
use super::problem::Answer;
use crate::control::{deployments, find};
use crate::host::Host;

/// Events that wait for a slow client.
const BUFFERED: usize = 256;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WatchArgs {
    project: Option<ProjectName>,
}

pub(super) async fn watch(
    State(app): State<App>,
    Names(text): Names<String>,
    Args(args): Args<WatchArgs>,
) -> Answer<Response> {
    let id = find::deployment(&app.host, &text, args.project.as_ref())?.id;
    Ok(stream(|to| send_changes(app.host, id, to)))
}

/// Answers with the events that a task sends.
fn stream<F>(feed: impl FnOnce(mpsc::Sender<Event>) -> F) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let (to, from) = mpsc::channel(BUFFERED);
    tokio::spawn(feed(to));
    let events = ReceiverStream::new(from).map(Ok::<_, std::convert::Infallible>);
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

fn event<T: Serialize>(name: &str, data: &T) -> Event {
    let event = Event::default().event(name);
    event.json_data(data).unwrap_or_else(|_| Event::default().event("error").data("{}"))
}

fn end() -> Event {
    Event::default().event("end").data("{}")
}

/// Sends the deployment at once, at each change and when other steps of its build run, until it is settled or
/// nobody listens.
async fn send_changes(host: Arc<Host>, id: DeploymentId, to: mpsc::Sender<Event>) {
    // Subscribed first: a change between reading and subscribing is not missed.
    let mut changes = host.store.watch_deployments();
    let mut steps = host.building.changes();
    while let Ok(Some(found)) = host.store.find_deployment(&id) {
        let is_over = found.value.status.is_over();
        let Ok(view) = deployments::show(&host, found.value).await else { break };
        let shown = view.building.clone();
        if to.send(event("deployment", &view)).await.is_err() {
            return;
        }
        if is_over {
            break;
        }
        let changed = async {
            while let Some(event) = changes.next().await {
                if event == DeploymentEvent::Missed || event == DeploymentEvent::Changed(id.clone())
                {
                    return true;
                }
            }
            false
        };
        tokio::select! {
            more = changed => if !more { break },
            () = host.building.others_than(&shown, &id, &mut steps) => {},
            () = to.closed() => return,
        }
    }
    // The client may be gone by now.
    let _ = to.send(end()).await;
}
