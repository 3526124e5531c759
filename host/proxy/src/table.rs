//! The routing table, generations and their leases.
//!
//! **Invariant: a lease is only ever taken on an open generation, and a closed one never opens
//! again.** So once the leases of a closed generation have gone, nothing reaches its targets any
//! more. A publication swaps the table first and closes the old generation after, so whoever loaded
//! the old table and finds the generation closed loads again and finds the new one: no lock, no 503.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
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
        self.leases
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, open)
            .ok()?;
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

    fn is_closed(&self) -> bool {
        self.leases.load(Ordering::Acquire) & CLOSED != 0
    }

    fn is_drained(&self) -> bool {
        self.leases.load(Ordering::Acquire) == CLOSED
    }

    fn covers(&self, generation: u64) -> bool {
        (self.first..=self.newest.load(Ordering::Acquire)).contains(&generation)
    }

    fn close(&self) {
        self.leases.fetch_or(CLOSED, Ordering::AcqRel);
        if let Backend::Upstream(upstream) = &self.backend {
            upstream.close();
        }
        if self.is_drained() {
            self.ended.notify_waiters();
        }
    }

    /// Waits until the generation is closed and nobody holds a lease.
    async fn drained(&self) {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            if self.is_drained() {
                return;
            }
            ended.await;
        }
    }

    fn stats(&self) -> GenerationStats {
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

/// A route in force.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) route: Route,
    pub(crate) generation: Arc<Generation>,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    by_name: BTreeMap<String, Arc<Entry>>,
    by_host: HashMap<String, Arc<Entry>>,
    default: Option<Arc<Entry>>,
}

impl Table {
    fn of(by_name: BTreeMap<String, Arc<Entry>>) -> Self {
        let mut table = Self {
            by_name,
            ..Self::default()
        };
        for entry in table.by_name.values() {
            for host in &entry.route.hosts {
                table.by_host.insert(host.clone(), Arc::clone(entry));
            }
            if entry.route.is_default {
                table.default = Some(Arc::clone(entry));
            }
        }
        table
    }

    /// The route of a canonical host name, else the default route.
    pub(crate) fn find(&self, host: &str) -> Option<&Arc<Entry>> {
        self.by_host.get(host).or(self.default.as_ref())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Entry>> {
        self.by_name.get(name)
    }

    pub(crate) fn routes(&self) -> Vec<Route> {
        self.by_name
            .values()
            .map(|entry| entry.route.clone())
            .collect()
    }
}

/// What is known about a generation's drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drain {
    Done,
    /// So many leases are left, or the generation is still the published one.
    Open {
        in_flight: u64,
    },
    /// It was never published here.
    Unknown,
}

/// The table in force, and the generations that still drain.
#[derive(Debug, Default)]
pub(crate) struct Routing {
    table: ArcSwap<Table>,
    draining: Mutex<Vec<Arc<Generation>>>,
    version: watch::Sender<u64>,
}

impl Routing {
    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    pub(crate) fn load_full(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Sees every later swap. Subscribe first, load the table after.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Puts all entries in force at once. The caller serialises publications.
    pub(crate) fn restore(&self, entries: impl IntoIterator<Item = Entry>) {
        let entries = entries
            .into_iter()
            .map(|e| (e.route.name.clone(), Arc::new(e)));
        self.table.store(Arc::new(Table::of(entries.collect())));
    }

    /// Puts a route in force. With `backend` its targets are new and the old ones drain; without,
    /// the targets are those of the entry in force.
    pub(crate) fn put(self: &Arc<Self>, route: Route, backend: Option<Backend>) {
        let mut entries = self.table.load().by_name.clone();
        let old = entries.get(&route.name).map(Arc::clone);
        let generation = match (&old, backend) {
            (Some(old), None) => {
                old.generation
                    .newest
                    .store(route.generation, Ordering::Release);
                Arc::clone(&old.generation)
            }
            (_, backend) => Generation::new(&route, backend.unwrap_or(Backend::Nobody)),
        };
        let entry = Entry {
            route,
            generation: Arc::clone(&generation),
        };
        entries.insert(entry.route.name.clone(), Arc::new(entry));
        self.swap(entries);
        if let Some(old) = old.filter(|old| !Arc::ptr_eq(&old.generation, &generation)) {
            self.retire(&old);
        }
    }

    pub(crate) fn remove(self: &Arc<Self>, name: &str) {
        let mut entries = self.table.load().by_name.clone();
        if let Some(old) = entries.remove(name) {
            self.swap(entries);
            self.retire(&old);
        }
    }

    fn swap(&self, entries: BTreeMap<String, Arc<Entry>>) {
        self.table.store(Arc::new(Table::of(entries)));
        self.version.send_modify(|version| *version += 1);
    }

    /// Closes a generation that no table leads to any more, and cuts at the deadlines what is left.
    fn retire(self: &Arc<Self>, old: &Entry) {
        let generation = Arc::clone(&old.generation);
        self.draining().push(Arc::clone(&generation));
        generation.close();
        let (routing, deadlines) = (Arc::clone(self), old.route.drain);
        tokio::spawn(async move {
            cut_at_deadlines(&generation, deadlines).await;
            generation.drained().await;
            routing.draining().retain(|g| !Arc::ptr_eq(g, &generation));
        });
    }

    fn draining(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Generation>>> {
        self.draining.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing uses a generation any more. One that is older than the published and not
    /// known here (the proxy restarted) is drained.
    pub(crate) fn drain(&self, route: &str, generation: u64) -> Drain {
        let table = self.table.load();
        let current = table.get(route);
        let using = |g: &&Arc<Generation>| g.route == route && g.covers(generation);
        let draining = self.draining().iter().find(using).map(Arc::clone);
        if let Some(found) = draining.or_else(|| {
            current
                .map(|entry| &entry.generation)
                .filter(using)
                .map(Arc::clone)
        }) {
            return if found.is_drained() {
                Drain::Done
            } else {
                Drain::Open {
                    in_flight: found.in_flight(),
                }
            };
        }
        match current {
            Some(entry) if generation > entry.route.generation => Drain::Unknown,
            _ => Drain::Done,
        }
    }

    /// As [`Routing::drain`], after waiting at most until `until` for the drain's end.
    pub(crate) async fn drain_by(&self, route: &str, generation: u64, until: Instant) -> Drain {
        let mut changes = self.changes();
        loop {
            let state = self.drain(route, generation);
            if !matches!(state, Drain::Open { .. }) || Instant::now() >= until {
                return state;
            }
            let covers = |g: &&Arc<Generation>| g.route == route && g.covers(generation);
            let found = self.draining().iter().find(covers).map(Arc::clone);
            let drained = async {
                match &found {
                    Some(generation) => generation.drained().await,
                    None => drop(changes.changed().await),
                }
            };
            tokio::select! {
                () = drained => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// Ends idle upstream connections that are too old.
    pub(crate) fn reap(&self, idle_max: Duration) {
        for entry in self.table.load().by_name.values() {
            if let Backend::Upstream(upstream) = &entry.generation.backend {
                upstream.reap(idle_max);
            }
        }
    }

    pub(crate) fn stats(&self) -> Vec<GenerationStats> {
        let table = self.table.load();
        let current = table.by_name.values().map(|entry| entry.generation.stats());
        let draining: Vec<_> = self.draining().iter().map(|g| g.stats()).collect();
        current.chain(draining).collect()
    }
}

async fn cut_at_deadlines(generation: &Generation, deadlines: DrainDeadlines) {
    let closed = Instant::now();
    let mut steps = [
        (deadlines.plain_ms, Phase::Plain),
        (deadlines.streaming_ms, Phase::Streaming),
        (deadlines.upgraded_ms, Phase::Upgraded),
    ];
    steps.sort_by_key(|(ms, _)| *ms);
    for (ms, phase) in steps {
        tokio::select! {
            () = generation.drained() => return,
            () = sleep_until(closed + Duration::from_millis(ms)) => {}
        }
        tracing::warn!(
            route = generation.route,
            ?phase,
            in_flight = generation.in_flight(),
            "drain deadline passed, cutting what is left"
        );
        generation.cut.send_modify(|phases| *phases |= phase as u8);
    }
}
