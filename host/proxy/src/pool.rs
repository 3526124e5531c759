//! The instances of one generation, and the connections to them.
//!
//! **Invariant: a pool belongs to one generation and dies with it**; no connection to a retired
//! instance is ever found again by a request of a newer generation.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::body::Attempt;
use crate::limits::ProxyLimits;
use crate::route::Instance;

/// How long an instance that refused a connection is asked only when all others do too.
const AVOID: Duration = Duration::from_secs(1);

/// The read and write buffers of a connection grow to this, in bytes.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// The instances of a generation.
#[derive(Debug)]
pub(crate) struct Upstream {
    peers: Vec<Arc<Peer>>,
    next: AtomicUsize,
}

/// One instance.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: String,
    address: SocketAddr,
    in_flight: AtomicUsize,
    idle: Mutex<Vec<Idle>>,
    idle_max: usize,
    closed: AtomicBool,
    avoid_until: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

pub(crate) type Sender = SendRequest<Attempt>;

/// Counts as work of an instance until it is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Peer>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Upstream {
    pub(crate) fn new(instances: &[Instance], limits: &ProxyLimits) -> Self {
        let peer = |instance: &Instance| {
            Arc::new(Peer {
                id: instance.id.clone(),
                address: instance.address,
                in_flight: AtomicUsize::new(0),
                idle: Mutex::new(Vec::new()),
                idle_max: limits.upstream_idle_max,
                closed: AtomicBool::new(false),
                avoid_until: Mutex::new(None),
            })
        };
        Self { peers: instances.iter().map(peer).collect(), next: AtomicUsize::new(0) }
    }

    /// The instance with the least in flight among those not tried yet; equals take turns, and
    /// those that just refused come last.
    pub(crate) fn pick(&self, tried: &[Arc<Peer>]) -> Option<Arc<Peer>> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        (0..self.peers.len())
            .map(|i| &self.peers[turn.wrapping_add(i) % self.peers.len()])
            .filter(|peer| !tried.iter().any(|t| Arc::ptr_eq(t, peer)))
            .min_by_key(|peer| (peer.avoided(now), peer.in_flight.load(Ordering::Acquire)))
            .map(Arc::clone)
    }

    /// Ends all idle connections and keeps none from now on.
    pub(crate) fn close(&self) {
        for peer in &self.peers {
            peer.closed.store(true, Ordering::Release);
            lock(&peer.idle).clear();
        }
    }

    /// Ends connections that were idle for too long, or that the instance ended.
    pub(crate) fn reap(&self, idle_max: Duration) {
        for peer in &self.peers {
            lock(&peer.idle)
                .retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < idle_max);
        }
    }
}

impl Peer {
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        Busy(Arc::clone(self))
    }

    fn avoided(&self, now: Instant) -> bool {
        lock(&self.avoid_until).is_some_and(|until| now < until)
    }

    /// The connection that was used last, if it was used within `idle_max` and is still open.
    pub(crate) fn reuse(&self, idle_max: Duration) -> Option<Sender> {
        let mut idle = lock(&self.idle);
        while let Some(last) = idle.pop() {
            if last.since.elapsed() >= idle_max {
                idle.push(last);
                return None;
            }
            if last.sender.is_ready() {
                return Some(last.sender);
            }
        }
        None
    }

    /// A fresh connection.
    pub(crate) async fn connect(&self, within: Duration) -> io::Result<Sender> {
        match self.dial(within).await {
            Ok(sender) => {
                *lock(&self.avoid_until) = None;
                Ok(sender)
            }
            Err(error) => {
                *lock(&self.avoid_until) = Some(Instant::now() + AVOID);
                tracing::debug!(instance = self.id, address = %self.address, %error, "unreachable");
                Err(error)
            }
        }
    }

    async fn dial(&self, within: Duration) -> io::Result<Sender> {
        let stream = timeout(within, TcpStream::connect(self.address))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time"))??;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::trace!(%error, "upstream connection ended");
            }
        });
        Ok(sender)
    }

    /// Keeps a connection for the next request, once its answer has been read to the end.
    pub(crate) fn give_back(self: &Arc<Self>, mut sender: Sender) {
        let peer = Arc::clone(self);
        tokio::spawn(async move {
            if sender.ready().await.is_err() {
                return;
            }
            let mut idle = lock(&peer.idle);
            if !peer.closed.load(Ordering::Acquire) && idle.len() < peer.idle_max {
                idle.push(Idle { sender, since: Instant::now() });
            }
        });
    }
}
