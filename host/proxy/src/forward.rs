//! Passing one request to an instance, and the answer back.
//!
//! **Invariant: a request is sent a second time only when the first cannot have been acted on** (it
//! never left), or when acting on it twice does no harm (its method is idempotent, and its body can
//! be sent from its first byte again).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::answer;
use crate::body::{Attempt, Body, Leased, Replay};
use crate::generation::{Lease, Phase};
use crate::headers;
use crate::limits::ProxyLimits;
use crate::listen::Connection;
use crate::pool::{Busy, Peer, Sender, Upstream};

/// A visitor's request, made fit for an instance.
pub(crate) struct Outgoing {
    pub(crate) head: Parts,
    body: Replay,
    upgrade: Option<OnUpgrade>,
}

/// What came of it.
pub(crate) enum Forwarded {
    Answer(Response<Body>),
    /// No instance takes connections, and none got the request.
    Unreachable,
}

/// Why one try brought no answer.
enum Lost {
    /// The request never left.
    Unsent,
    /// It left, and the connection ended before an answer.
    BrokeOff,
    TooSlow,
}

impl Outgoing {
    pub(crate) fn new(
        mut request: Request<Incoming>,
        connection: &Connection,
        authority: &str,
    ) -> Self {
        let upgrade = (request.version() >= Version::HTTP_11)
            .then(|| headers::upgrade_to(request.headers()))
            .flatten()
            .map(|_| hyper::upgrade::on(&mut request));
        if upgrade.is_none() {
            request.headers_mut().remove(header::UPGRADE);
        }
        let (mut head, body) = request.into_parts();
        let chunked = !body.is_end_stream() && body.size_hint().exact().is_none();
        headers::prepare_request(&mut head.headers, &connection.visitor, authority, chunked);
        head.uri = headers::origin_form(&head.uri);
        head.version = Version::HTTP_11;
        head.extensions.clear();
        let limits = &connection.plane.limits;
        Self { head, body: Replay::new(body, limits), upgrade }
    }

    /// What a lease for this request is first held for.
    pub(crate) fn phase(&self) -> Phase {
        if self.body.is_empty() { Phase::Plain } else { Phase::Streaming }
    }

    fn request(&self, lease: &Lease) -> Request<Attempt> {
        Request::from_parts(self.head.clone(), self.body.attempt(lease.clone()))
    }

    fn may_repeat(&self) -> bool {
        headers::is_idempotent(&self.head.method) && self.body.is_whole()
    }

    /// How long a connection may have been idle and still be good enough for this request.
    fn idle_max(&self, limits: &ProxyLimits) -> Duration {
        if self.may_repeat() {
            limits.upstream_idle()
        } else {
            Duration::from_millis(limits.upstream_unsafe_idle_ms.min(limits.upstream_idle_ms))
        }
    }
}

/// Tries instances until one answers.
pub(crate) async fn forward(
    upstream: &Upstream,
    lease: &Lease,
    request: &mut Outgoing,
    connection: &Arc<Connection>,
) -> Forwarded {
    let limits = &connection.plane.limits;
    let mut refused: Vec<Arc<Peer>> = Vec::new();
    let mut may_reuse = true;
    loop {
        let Some(peer) = upstream.pick(&refused) else {
            return Forwarded::Unreachable;
        };
        let reused = may_reuse.then(|| peer.reuse(request.idle_max(limits))).flatten();
        let was_reused = reused.is_some();
        let sender = match reused {
            Some(sender) => sender,
            None => match peer.connect(Duration::from_millis(limits.connect_ms)).await {
                Ok(sender) => sender,
                Err(_) => {
                    refused.push(peer);
                    continue;
                }
            },
        };
        let busy = peer.busy();
        match send(sender, request.request(lease), &peer, lease, limits).await {
            Ok(answer) => {
                request.body.answered();
                return Forwarded::Answer(pass_back(answer, lease, busy, request, connection));
            }
            Err(Lost::Unsent) if was_reused => may_reuse = false,
            Err(Lost::Unsent) => refused.push(peer),
            Err(Lost::BrokeOff) if request.body.is_stalled() => {
                return Forwarded::Answer(answer::stalled());
            }
            Err(Lost::BrokeOff) if was_reused && request.may_repeat() => may_reuse = false,
            Err(Lost::BrokeOff) => {
                lease.generation().count_error();
                return Forwarded::Answer(answer::broke_off());
            }
            Err(Lost::TooSlow) => {
                lease.generation().count_error();
                return Forwarded::Answer(answer::too_slow());
            }
        }
    }
}

async fn send(
    mut sender: Sender,
    request: Request<Attempt>,
    peer: &Arc<Peer>,
    lease: &Lease,
    limits: &ProxyLimits,
) -> Result<Response<Incoming>, Lost> {
    let mut answer = pin!(sender.try_send_request(request));
    let answered = loop {
        let waited = timeout(Duration::from_millis(limits.answer_ms), answer.as_mut()).await;
        // While the visitor still sends, the instance owes nothing.
        if waited.is_ok() || !lease.is_streaming() {
            break waited;
        }
    };
    match answered {
        Ok(Ok(answer)) => {
            if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                peer.give_back(sender);
            }
            Ok(answer)
        }
        Ok(Err(mut lost)) => {
            tracing::debug!(instance = peer.id, error = %lost.error(), "no answer");
            Err(if lost.take_message().is_some() { Lost::Unsent } else { Lost::BrokeOff })
        }
        Err(_) => Err(Lost::TooSlow),
    }
}

fn pass_back(
    mut answer: Response<Incoming>,
    lease: &Lease,
    busy: Busy,
    request: &mut Outgoing,
    connection: &Arc<Connection>,
) -> Response<Body> {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(visitor) = request.upgrade.take() else {
            lease.generation().count_error();
            return answer::broke_off();
        };
        return upgrade(answer, visitor, lease, busy, connection);
    }
    headers::strip_hop_by_hop(answer.headers_mut());
    // How the instance framed its answer, and in which version, is its connection's business.
    *answer.version_mut() = Version::HTTP_11;
    if !answer.body().is_end_stream() {
        lease.enter(Phase::Streaming);
        if answer.body().size_hint().exact().is_none() {
            answer.headers_mut().remove(header::CONTENT_LENGTH);
        }
    }
    answer.map(|body| Leased::new(body, lease.clone(), Some(busy)).boxed_unsync())
}

/// Joins the two connections once both have changed their protocol.
fn upgrade(
    mut answer: Response<Incoming>,
    visitor: OnUpgrade,
    lease: &Lease,
    busy: Busy,
    connection: &Arc<Connection>,
) -> Response<Body> {
    lease.enter(Phase::Upgraded);
    let protocol = answer.headers().get(header::UPGRADE).cloned();
    let instance = hyper::upgrade::on(&mut answer);
    let tunnel = tunnel(visitor, instance, lease.clone(), busy, Arc::clone(connection));
    connection.plane.tasks.spawn(tunnel);
    let headers = answer.headers_mut();
    headers::strip_hop_by_hop(headers);
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        headers.insert(header::UPGRADE, protocol);
    }
    answer.map(|_| crate::body::full(""))
}

/// Copies both ways until both sides have ended, the drain's deadline, or the proxy's end.
async fn tunnel(
    visitor: OnUpgrade,
    instance: OnUpgrade,
    lease: Lease,
    busy: Busy,
    connection: Arc<Connection>,
) {
    let copied = async {
        let (visitor, instance) = tokio::try_join!(visitor, instance)?;
        let (mut visitor, mut instance) = (TokioIo::new(visitor), TokioIo::new(instance));
        let bytes = tokio::io::copy_bidirectional(&mut visitor, &mut instance).await?;
        Ok::<_, crate::body::BoxError>(bytes)
    };
    let copied = Box::pin(copied);
    tokio::select! {
        ended = copied => tracing::trace!(?ended, "upgraded connection ended"),
        () = lease.cut_off() => {}
        () = connection.plane.stop_now.cancelled() => {}
    }
    drop((busy, lease));
}
