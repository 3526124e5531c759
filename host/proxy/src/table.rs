//! The routing table, and the generations that still drain.
//!
//! **Invariant: a publication swaps the table first and closes the old generation after.** So whoever
//! loaded the old table and finds the generation closed loads again and finds the new one: no lock,
//! no 503.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::control::protocol::GenerationStats;
use crate::generation::{Backend, Generation};
use crate::route::Route;

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
        let mut table = Self { by_name, ..Self::default() };
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
        self.by_name.values().map(|entry| entry.route.clone()).collect()
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
        let entries = entries.into_iter().map(|e| (e.route.name.clone(), Arc::new(e)));
        self.table.store(Arc::new(Table::of(entries.collect())));
    }

    /// Puts a route in force. With `backend` its targets are new and the old ones drain; without,
    /// the targets are those of the entry in force.
    pub(crate) fn put(self: &Arc<Self>, route: Route, backend: Option<Backend>) {
        let mut entries = self.table.load().by_name.clone();
        let old = entries.get(&route.name).map(Arc::clone);
        let generation = match (&old, backend) {
            (Some(old), None) => {
                old.generation.carry_on_as(route.generation);
                Arc::clone(&old.generation)
            }
            (_, backend) => Generation::new(&route, backend.unwrap_or(Backend::Nobody)),
        };
        let entry = Entry { route, generation: Arc::clone(&generation) };
        entries.insert(entry.route.name.clone(), Arc::new(entry));
        let old = old.filter(|old| !Arc::ptr_eq(&old.generation, &generation));
        self.swap(entries, old.as_deref());
    }

    pub(crate) fn remove(self: &Arc<Self>, name: &str) {
        let mut entries = self.table.load().by_name.clone();
        if let Some(old) = entries.remove(name) {
            self.swap(entries, Some(&old));
        }
    }

    /// Puts these entries in force, then closes the generation that they do not lead to any more, and cuts at
    /// the deadlines what is left of it. It is known as draining before, so that who asks meanwhile does not
    /// take one for drained that is in neither list.
    fn swap(self: &Arc<Self>, entries: BTreeMap<String, Arc<Entry>>, old: Option<&Entry>) {
        self.draining().extend(old.map(|old| Arc::clone(&old.generation)));
        self.table.store(Arc::new(Table::of(entries)));
        self.version.send_modify(|version| *version += 1);
        let Some(old) = old else { return };
        let generation = Arc::clone(&old.generation);
        generation.close();
        let (routing, deadlines) = (Arc::clone(self), old.route.drain);
        tokio::spawn(async move {
            generation.drain(deadlines).await;
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
        if let Some(found) = draining
            .or_else(|| current.map(|entry| &entry.generation).filter(using).map(Arc::clone))
        {
            return if found.is_drained() {
                Drain::Done
            } else {
                Drain::Open { in_flight: found.in_flight() }
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
        let current = || table.by_name.values().map(|entry| &entry.generation);
        let draining = self.draining();
        // One that is about to be closed may be in both.
        let left = draining.iter().filter(|g| !current().any(|current| Arc::ptr_eq(current, g)));
        current().chain(left).map(|generation| generation.stats()).collect()
    }
}
