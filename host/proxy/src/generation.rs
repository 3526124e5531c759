//! Generations and their leases: what makes a drain exact.
//!
//! **Invariant: a lease is only ever taken on an open generation, and a closed one never opens
//! again.** So once the leases of a closed generation have gone, nothing reaches its targets any
//! more.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::control::protocol::GenerationStats;
use crate::pool::Upstream;
use crate::route::{DrainDeadlines, Route};
use crate::statics::Tree;

/// Who answers, opened and ready.
#[derive(Debug)]
pub(crate) enum Backend {
    Upstream(Upstream),
    Static(Arc<Tree>),
    /// Nobody, on purpose; the route says why.
    Nobody,
    /// The static tree was there when it was published, and is not now.
    Lost(String),
}

/// A set of targets with everything that uses them. Publications that keep the targets share it.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) route: String,
    /// The first publication with these targets, and the newest.
    first: u64,
    newest: AtomicU64,
    pub(crate) backend: Backend,
    /// Leases held, and [`CLOSED`].
    leases: AtomicUsize,
    ended: Notify,
    /// The phases whose deadline has passed, as bits of [`Phase`].
    cut: watch::Sender<u8>,
    requests: AtomicU64,
    errors: AtomicU64,
}

const CLOSED: usize = 1 << (usize::BITS - 1);

/// What a lease is held for: each has its own deadline in a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The request has been read, its answer has not begun.
    Plain = 1,
    /// A body flows, in either direction.
    Streaming = 2,
    /// The connection belongs to another protocol.
    Upgraded = 4,
}

impl Generation {
    pub(crate) fn new(route: &Route, backend: Backend) -> Arc<Self> {
        Arc::new(Self {
            route: route.name.clone(),
            first: route.generation,
            newest: AtomicU64::new(route.generation),
            backend,
            leases: AtomicUsize::new(0),
            ended: Notify::new(),
            cut: watch::Sender::new(0),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        })
    }

    /// A lease, unless the generation is closed: then load the table again.
    pub(crate) fn lease(self: &Arc<Self>, phase: Phase) -> Option<Lease> {
        let open = |leases: usize| (leases & CLOSED == 0).then_some(leases + 1);
        self.leases.fetch_update(Ordering::AcqRel, Ordering::Acquire, open).ok()?;
        self.requests.fetch_add(1, Ordering::Relaxed);
        Some(Lease(Arc::new(Held {
            generation: Arc::clone(self),
            phase: AtomicU8::new(phase as u8),
        })))
    }

    pub(crate) fn count_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn in_flight(&self) -> u64 {
        (self.leases.load(Ordering::Acquire) & !CLOSED) as u64
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.leases.load(Ordering::Acquire) & CLOSED != 0
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.leases.load(Ordering::Acquire) == CLOSED
    }

    pub(crate) fn covers(&self, generation: u64) -> bool {
        (self.first..=self.newest.load(Ordering::Acquire)).contains(&generation)
    }

    pub(crate) fn close(&self) {
        self.leases.fetch_or(CLOSED, Ordering::AcqRel);
        if let Backend::Upstream(upstream) = &self.backend {
            upstream.close();
        }
        if self.is_drained() {
            self.ended.notify_waiters();
        }
    }

    /// Waits until the generation is closed and nobody holds a lease.
    pub(crate) async fn drained(&self) {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            if self.is_drained() {
                return;
            }
            ended.await;
        }
    }

    /// Waits for the drain's end, and cuts at the deadlines what is left.
    pub(crate) async fn drain(&self, deadlines: DrainDeadlines) {
        let closed = Instant::now();
        let mut steps = [
            (deadlines.plain_ms, Phase::Plain),
            (deadlines.streaming_ms, Phase::Streaming),
            (deadlines.upgraded_ms, Phase::Upgraded),
        ];
        steps.sort_by_key(|(ms, _)| *ms);
        for (ms, phase) in steps {
            tokio::select! {
                () = self.drained() => return,
                () = sleep_until(closed + Duration::from_millis(ms)) => {}
            }
            tracing::warn!(
                route = self.route,
                ?phase,
                in_flight = self.in_flight(),
                "drain deadline passed, cutting what is left"
            );
            self.cut.send_modify(|phases| *phases |= phase as u8);
        }
        self.drained().await;
    }

    /// A newer publication has the same targets.
    pub(crate) fn carry_on_as(&self, generation: u64) {
        self.newest.store(generation, Ordering::Release);
    }

    pub(crate) fn stats(&self) -> GenerationStats {
        GenerationStats {
            route: self.route.clone(),
            generation: self.newest.load(Ordering::Acquire),
            draining: self.is_closed(),
            requests: self.requests.load(Ordering::Relaxed),
            in_flight: self.in_flight(),
            errors: self.errors.load(Ordering::Relaxed),
        }
    }
}

#[derive(Debug)]
struct Held {
    generation: Arc<Generation>,
    phase: AtomicU8,
}

impl Drop for Held {
    fn drop(&mut self) {
        let before = self.generation.leases.fetch_sub(1, Ordering::AcqRel);
        if before == CLOSED | 1 {
            self.generation.ended.notify_waiters();
        }
    }
}

/// One request's hold on a generation. Clones are the same lease; it ends with the last.
#[derive(Debug, Clone)]
pub(crate) struct Lease(Arc<Held>);

impl Lease {
    pub(crate) fn generation(&self) -> &Arc<Generation> {
        &self.0.generation
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::Release);
    }

    pub(crate) fn is_streaming(&self) -> bool {
        self.0.phase.load(Ordering::Acquire) == Phase::Streaming as u8
    }

    /// The request's body has been read; unless its answer began meanwhile, it now just waits.
    pub(crate) fn upload_ended(&self, answered: bool) {
        if !answered {
            self.enter(Phase::Plain);
        }
    }

    /// Ends when the drain deadline of what the lease is held for has passed. Does not itself hold
    /// the lease; never ends once the lease is gone.
    pub(crate) fn cut_off(&self) -> impl Future<Output = ()> + Send + 'static {
        let held: Weak<Held> = Arc::downgrade(&self.0);
        let mut cut = self.0.generation.cut.subscribe();
        async move {
            loop {
                let phases = *cut.borrow_and_update();
                let Some(held) = held.upgrade() else { break };
                if held.phase.load(Ordering::Acquire) & phases != 0 {
                    return;
                }
                drop(held);
                if cut.changed().await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        }
    }
}
