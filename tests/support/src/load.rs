//! Continuous load on a route: kept connections, new connections, and slow requests in flight.
//!
//! **Invariant: every request that was sent is counted**, as an expected answer or as a failure; none
//! is retried or forgiven.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::http::{Connection, Request};
use crate::wait::wait_for;

/// Between two quick requests of one visitor: load, but not all of two cores.
const PACE: Duration = Duration::from_millis(4);

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Load {
    /// The proxy.
    pub address: SocketAddr,
    /// Host header.
    pub host: String,
    /// Target of quick requests.
    pub quick: String,
    /// Target of slow requests.
    pub slow: String,
}

/// A running load.
#[derive(Debug)]
pub struct Running {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Seen>>>,
    visitors: Vec<JoinHandle<()>>,
}

/// One request.
#[derive(Debug, Clone)]
struct Seen {
    began: Instant,
    ended: Instant,
    slow: bool,
    outcome: Result<String, String>,
}

/// What the visitors saw.
#[derive(Debug, Clone)]
pub struct LoadReport {
    seen: Vec<Seen>,
}

impl Load {
    /// Load on a project's route: `/`, and `/slow`, which answers after 700 ms.
    pub fn on(address: SocketAddr, host: &str) -> Self {
        Self {
            address,
            host: host.to_owned(),
            quick: "/".to_owned(),
            slow: "/slow?ms=700".to_owned(),
        }
    }

    /// Starts two visitors who keep their connection, one who does not, and two who are slow.
    pub fn start(self) -> Running {
        let running = Running { stop: Arc::default(), seen: Arc::default(), visitors: Vec::new() };
        let kinds = [(true, false), (true, false), (false, false), (true, true), (false, true)];
        let visitors = kinds.into_iter().map(|(keep, slow)| {
            let (load, stop, seen) = (self.clone(), running.stop.clone(), running.seen.clone());
            std::thread::spawn(move || visit(&load, keep, slow, &stop, &seen))
        });
        let visitors = visitors.collect();
        Running { visitors, ..running }
    }
}

impl Running {
    /// Waits until so many more requests have been answered.
    ///
    /// # Panics
    /// When that takes longer than a minute.
    pub fn wait_more(&self, requests: usize) {
        let wanted = self.seen.lock().unwrap().len() + requests;
        wait_for("the load goes on", Duration::from_secs(60), || {
            let now = self.seen.lock().unwrap().len();
            if now >= wanted { Ok(()) } else { Err(format!("{now} of {wanted} requests")) }
        });
    }

    /// Waits until a visitor has seen this body.
    ///
    /// # Panics
    /// When none has within a minute.
    pub fn wait_body(&self, body: &str) {
        wait_for("a body is seen", Duration::from_secs(60), || {
            let seen = self.seen.lock().unwrap();
            let last = seen.iter().rev().take(200);
            let mut bodies = last.filter_map(|one| one.outcome.as_deref().ok());
            if bodies.any(|one| one == body) { Ok(()) } else { Err(format!("not {body:?}")) }
        });
    }

    /// Ends the load after the requests that are in flight.
    ///
    /// # Panics
    /// When a visitor panicked.
    pub fn stop(self) -> LoadReport {
        self.stop.store(true, Ordering::Relaxed);
        for visitor in self.visitors {
            visitor.join().unwrap();
        }
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.sort_by_key(|one| one.ended);
        LoadReport { seen }
    }
}

impl LoadReport {
    /// How many requests were sent.
    pub fn requests(&self) -> usize {
        self.seen.len()
    }

    /// Requests that were not answered with 200: what happened instead, and when, from the first request on.
    pub fn failures(&self) -> Vec<String> {
        let Some(start) = self.seen.iter().map(|one| one.began).min() else { return Vec::new() };
        let failure = |one: &Seen| {
            let why = one.outcome.as_ref().err()?;
            let (began, took) = (one.began - start, one.ended - one.began);
            Some(format!("at {began:?}, after {took:?}: {why}"))
        };
        self.seen.iter().filter_map(failure).collect()
    }

    /// Bodies, and how often each was seen.
    pub fn bodies(&self) -> BTreeMap<String, usize> {
        let mut bodies = BTreeMap::new();
        for body in self.seen.iter().filter_map(|one| one.outcome.as_ref().ok()) {
            *bodies.entry(body.clone()).or_default() += 1;
        }
        bodies
    }

    /// Slow requests that were in flight at the moment when a body was seen for the first time.
    pub fn in_flight_at_first(&self, body: &str) -> usize {
        let first = self.seen.iter().find(|one| one.outcome.as_deref() == Ok(body));
        let Some(switched) = first.map(|one| one.ended) else { return 0 };
        let in_flight = |one: &&Seen| one.slow && one.began < switched && one.ended > switched;
        self.seen.iter().filter(in_flight).count()
    }

    /// Asserts that no request failed, that there were enough, and that only these bodies were seen,
    /// each of them at least once.
    ///
    /// # Panics
    /// When one of it does not hold.
    pub fn assert_unharmed(&self, requests_min: usize, bodies: &[&str]) {
        let failures = self.failures();
        let shown: Vec<&String> = failures.iter().take(10).collect();
        assert!(
            failures.is_empty(),
            "{} of {} requests failed: {shown:#?}",
            failures.len(),
            self.requests()
        );
        assert!(self.requests() >= requests_min, "only {} requests", self.requests());
        let seen = self.bodies();
        let seen: Vec<&str> = seen.keys().map(String::as_str).collect();
        let mut expected = bodies.to_vec();
        expected.sort_unstable();
        assert_eq!(seen, expected, "the bodies that visitors saw");
    }
}

fn visit(load: &Load, keep: bool, slow: bool, stop: &AtomicBool, seen: &Mutex<Vec<Seen>>) {
    let mut connection = None;
    while !stop.load(Ordering::Relaxed) {
        let target = if slow { &load.slow } else { &load.quick };
        let mut request = Request::get(&load.host, target);
        if !keep {
            request.headers.push(("connection", "close".to_owned()));
        }
        let began = Instant::now();
        let outcome = ask(load, &mut connection, &request);
        if !keep || outcome.is_err() {
            connection = None;
        }
        let one = Seen { began, ended: Instant::now(), slow, outcome };
        seen.lock().unwrap().push(one);
        if !slow {
            std::thread::park_timeout(PACE);
        }
    }
}

fn ask(
    load: &Load,
    connection: &mut Option<Connection>,
    request: &Request<'_>,
) -> Result<String, String> {
    let opened = match connection.take().filter(Connection::is_open) {
        Some(kept) => Ok(kept),
        None => Connection::open(load.address),
    };
    let used = connection.insert(opened.map_err(|e| format!("connecting: {e}"))?);
    let answer = used.send(request).map_err(|e| format!("{}: {e}", request.target))?;
    match answer.status {
        200 => Ok(answer.text()),
        status => Err(format!("{}: status {status}: {}", request.target, answer.text())),
    }
}
