//! One request's way: host → route → lease → instance or tree, held while there is nobody.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answer;
use crate::body::Body;
use crate::forward::{Forwarded, Outgoing, forward};
use crate::generation::{Backend, Lease};
use crate::headers;
use crate::hold::{Hold, Place};
use crate::limits::ProxyLimits;
use crate::listen::Connection;
use crate::route::{Targets, canonical_host};
use crate::statics;
use crate::table::{Entry, Routing};

/// How often an instance that refused is tried again while a request is held.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Everything that requests share.
pub(crate) struct Plane {
    pub(crate) routing: Arc<Routing>,
    pub(crate) limits: ProxyLimits,
    pub(crate) hold: Arc<Hold>,
    pub(crate) trusted: Vec<IpAddr>,
    pub(crate) unrouted: AtomicU64,
    pub(crate) connections: AtomicU64,
    /// Connections and tunnels.
    pub(crate) tasks: TaskTracker,
    /// No more time: everything ends now.
    pub(crate) stop_now: CancellationToken,
}

/// Answers one request.
pub(crate) async fn answer(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Response<Body> {
    let Ok(authority) = headers::authority(&request) else {
        return answer::bad_host();
    };
    if request.method() == Method::CONNECT {
        return answer::no_tunnel();
    }
    // A request of HTTP/1.0 without a host is for the default route.
    let host = match &authority {
        Some(authority) => match canonical_host(authority) {
            Some(host) => host,
            None => return answer::bad_host(),
        },
        None => String::new(),
    };
    let local = connection.visitor.local.to_string();
    let request = Outgoing::new(request, &connection, authority.as_deref().unwrap_or(&local));
    Box::pin(route(connection, host, request)).await
}

/// What to do after a look at the table.
enum Step {
    Answer(Response<Body>),
    /// The generation was closed since the table was loaded: a newer table is there already.
    LoadAgain,
    /// Nobody can answer now.
    Wait(Waiting),
}

struct Waiting {
    /// When nobody comes.
    refusal: Response<Body>,
    hold_max: Duration,
    /// Whether trying again may help without a new table.
    try_again: bool,
}

async fn route(connection: Arc<Connection>, host: String, mut request: Outgoing) -> Response<Body> {
    let plane = &connection.plane;
    let mut changes = plane.routing.changes();
    let mut held: Option<(Place, Instant)> = None;
    loop {
        changes.mark_unchanged();
        let entry = plane.routing.load().find(&host).map(Arc::clone);
        let Some(entry) = entry else {
            plane.unrouted.fetch_add(1, Ordering::Relaxed);
            return answer::unknown_host();
        };
        let waiting = match try_entry(&entry, &mut request, &connection).await {
            Step::Answer(response) => return response,
            Step::LoadAgain => continue,
            Step::Wait(waiting) => waiting,
        };
        let since = match &held {
            Some((_, since)) => *since,
            None => {
                let Some(place) = plane.hold.enter(&request.head) else {
                    entry.generation.count_error();
                    return answer::hold_full();
                };
                let now = Instant::now();
                held = Some((place, now));
                now
            }
        };
        let until = since + waiting.hold_max;
        if Instant::now() >= until {
            entry.generation.count_error();
            return waiting.refusal;
        }
        let next_try =
            if waiting.try_again { until.min(Instant::now() + TRY_AGAIN) } else { until };
        tokio::select! {
            _ = changes.changed() => {}
            () = sleep_until(next_try) => {}
        }
    }
}

async fn try_entry(entry: &Entry, request: &mut Outgoing, connection: &Arc<Connection>) -> Step {
    let limits = &connection.plane.limits;
    match &entry.generation.backend {
        Backend::Upstream(upstream) => {
            let Some(lease) = lease(entry, request, connection) else {
                return Step::LoadAgain;
            };
            let forwarded = tokio::select! {
                forwarded = forward(upstream, &lease, request, connection) => forwarded,
                () = lease.cut_off() => Forwarded::Answer(answer::drained()),
            };
            match forwarded {
                Forwarded::Answer(response) => Step::Answer(response),
                Forwarded::Unreachable => Step::Wait(Waiting {
                    refusal: answer::unreachable(),
                    hold_max: limits.hold(),
                    try_again: true,
                }),
            }
        }
        Backend::Static(tree) => {
            let Some(lease) = lease(entry, request, connection) else {
                return Step::LoadAgain;
            };
            Step::Answer(statics::answer(Arc::clone(tree), lease, &request.head).await)
        }
        Backend::Nobody => Step::Wait(nobody(entry, limits)),
        Backend::Lost(reason) => Step::Wait(Waiting {
            refusal: answer::unavailable(reason),
            hold_max: limits.hold(),
            try_again: false,
        }),
    }
}

fn lease(entry: &Entry, request: &Outgoing, connection: &Connection) -> Option<Lease> {
    let lease = entry.generation.lease(request.phase())?;
    connection.cut_with(&lease);
    Some(lease)
}

fn nobody(entry: &Entry, limits: &ProxyLimits) -> Waiting {
    let (reason, hold_ms) = match &entry.route.targets {
        Targets::None { reason, hold_ms } => (reason.as_str(), *hold_ms),
        _ => ("it is not running", None),
    };
    Waiting {
        refusal: answer::unavailable(reason),
        hold_max: hold_ms.map_or_else(|| limits.hold(), Duration::from_millis),
        try_again: false,
    }
}
