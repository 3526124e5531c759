//! The bodies that pass through: answers that hold their lease, requests that can be sent again.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;

use crate::generation::Lease;
use crate::limits::ProxyLimits;
use crate::pool::Busy;
use crate::stall::StallClock;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is there as a whole.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that holds its lease (and counts as its instance's work) until it ends or is dropped.
pub(crate) struct Leased<B> {
    inner: B,
    lease: Lease,
    _busy: Option<Busy>,
}

impl<B> Leased<B> {
    pub(crate) fn new(inner: B, lease: Lease, busy: Option<Busy>) -> Self {
        Self { inner, lease, _busy: busy }
    }
}

impl<B> HttpBody for Leased<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map_err(|error| {
                self.lease.generation().count_error();
                error.into()
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A request's body, of which the first bytes are remembered so that it can be sent again.
pub(crate) struct Replay(Arc<Mutex<Source>>);

struct Source {
    incoming: Incoming,
    kept: VecDeque<Bytes>,
    kept_bytes_left: usize,
    /// Something went by that was not kept.
    lost: bool,
    /// The attempt that may read on; earlier ones are stale.
    attempt: u64,
    answered: bool,
    clock: StallClock,
    stalled: bool,
}

impl Replay {
    pub(crate) fn new(incoming: Incoming, limits: &ProxyLimits) -> Self {
        Self(Arc::new(Mutex::new(Source {
            incoming,
            kept: VecDeque::new(),
            kept_bytes_left: limits.replay_bytes_max,
            lost: false,
            attempt: 0,
            answered: false,
            clock: StallClock::new(limits.stall()),
            stalled: false,
        })))
    }

    pub(crate) fn is_empty(&self) -> bool {
        let source = lock(&self.0);
        source.kept.is_empty() && !source.lost && source.incoming.is_end_stream()
    }

    /// Whether an attempt started now would send the body from its first byte.
    pub(crate) fn is_whole(&self) -> bool {
        !lock(&self.0).lost
    }

    /// Whether the visitor sent nothing more for too long.
    pub(crate) fn is_stalled(&self) -> bool {
        lock(&self.0).stalled
    }

    /// The body for one more attempt; earlier attempts end.
    pub(crate) fn attempt(&self, lease: Lease) -> Attempt {
        let mut source = lock(&self.0);
        source.attempt += 1;
        Attempt { number: source.attempt, next: 0, source: Arc::clone(&self.0), lease: Some(lease) }
    }

    /// The answer has begun: the body is never sent again.
    pub(crate) fn answered(&self) {
        let mut source = lock(&self.0);
        source.answered = true;
        source.kept_bytes_left = 0;
    }
}

fn lock(source: &Mutex<Source>) -> MutexGuard<'_, Source> {
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Source {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        match frame.data_ref() {
            Some(data) if !self.lost && data.len() <= self.kept_bytes_left => {
                self.kept_bytes_left -= data.len();
                self.kept.push_back(data.clone());
            }
            _ => self.lost = true,
        }
    }
}

/// The body of one attempt to send a request.
pub(crate) struct Attempt {
    number: u64,
    next: usize,
    source: Arc<Mutex<Source>>,
    lease: Option<Lease>,
}

impl HttpBody for Attempt {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { number, next, source, lease } = self.get_mut();
        let mut source = lock(source);
        if source.attempt != *number {
            return Poll::Ready(Some(Err("the request is being sent again".into())));
        }
        if let Some(kept) = source.kept.get(*next) {
            *next += 1;
            return Poll::Ready(Some(Ok(Frame::data(kept.clone()))));
        }
        let Poll::Ready(frame) = Pin::new(&mut source.incoming).poll_frame(cx) else {
            ready!(source.clock.poll_stalled(cx));
            source.stalled = true;
            return Poll::Ready(Some(Err("the visitor sends nothing more".into())));
        };
        source.clock.moved();
        match frame {
            Some(Ok(frame)) => {
                source.keep(&frame);
                *next = source.kept.len();
                if source.incoming.is_end_stream() {
                    upload_ended(lease, source.answered);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            None => {
                upload_ended(lease, source.answered);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let source = lock(&self.source);
        self.next >= source.kept.len() && source.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let source = lock(&self.source);
        let ahead: usize = source.kept.iter().skip(self.next).map(Bytes::len).sum();
        let rest = source.incoming.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + ahead as u64);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + ahead as u64);
        }
        hint
    }
}

/// The upload is over: it holds the lease no longer.
fn upload_ended(lease: &mut Option<Lease>, answered: bool) {
    if let Some(lease) = lease.take() {
        lease.upload_ended(answered);
    }
}
