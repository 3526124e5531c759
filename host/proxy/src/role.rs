//! The role itself: start, serve, drain, end.

use std::fs::{File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control::server::{self, Control};
use crate::file::suffixed;
use crate::hold::Hold;
use crate::limits::ProxyLimits;
use crate::listen;
use crate::serve::Plane;
use crate::state::State;
use crate::table::Routing;
use crate::{ProxyConfig, ProxyError};

/// How often idle upstream connections are looked at.
const REAP_EVERY: Duration = Duration::from_secs(1);

/// Descriptors that are not visitors' connections and their upstream halves.
const OTHER_FILES: u64 = 128;

pub(crate) async fn run(config: ProxyConfig) -> Result<(), ProxyError> {
    let ProxyConfig { listen, control_socket, table_file, limits, trusted_proxies } = config;
    let socket_failed = |source| ProxyError::ControlSocket { path: control_socket.clone(), source };
    let lock = lock(&control_socket)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(socket_failed)?;

    let routing = Arc::new(Routing::default());
    let state = State::restore(table_file, limits.clone(), Arc::clone(&routing))?;
    let listeners = listen::bind(&listen)?;
    let addresses: Vec<SocketAddr> =
        listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    let control_listener = server::bind(&control_socket).map_err(socket_failed)?;

    let stopping = CancellationToken::new();
    let plane = plane(routing, limits, trusted_proxies);
    let control = Arc::new(Control {
        state,
        plane: Arc::clone(&plane),
        listeners: addresses.clone(),
        stopping: stopping.clone(),
    });
    let control = tokio::spawn(server::serve(control_listener, control));
    let reaper = tokio::spawn(reap(Arc::clone(&plane)));
    let accepting = accept_all(listeners, &plane, &stopping);
    tracing::info!(?addresses, control = %control_socket.display(), "proxy is ready");

    tokio::select! {
        _ = terminate.recv() => stopping.cancel(),
        () = stopping.cancelled() => {}
    }
    tracing::info!("proxy stops: no more connections, open requests may end");
    accepting.wait().await;
    drain(&plane).await;
    control.abort();
    reaper.abort();
    drop(std::fs::remove_file(&control_socket));
    drop(lock);
    Ok(())
}

/// Holds the place of the one proxy on this control socket, as long as the file is open.
fn lock(control_socket: &Path) -> Result<File, ProxyError> {
    let failed = |source| ProxyError::ControlSocket { path: control_socket.to_owned(), source };
    let path = suffixed(control_socket, ".lock");
    let file =
        File::options().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(ProxyError::AlreadyRunning { path: control_socket.to_owned() })
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn plane(routing: Arc<Routing>, limits: ProxyLimits, trusted: Vec<std::net::IpAddr>) -> Arc<Plane> {
    Arc::new(Plane {
        routing,
        hold: Hold::new(&limits),
        limits,
        trusted,
        unrouted: AtomicU64::new(0),
        connections: AtomicU64::new(0),
        tasks: TaskTracker::new(),
        stop_now: CancellationToken::new(),
    })
}

fn accept_all(
    listeners: Vec<TcpListener>,
    plane: &Arc<Plane>,
    stopping: &CancellationToken,
) -> TaskTracker {
    let places = Arc::new(Semaphore::new(connections_max(&plane.limits)));
    let accepting = TaskTracker::new();
    for listener in listeners {
        let (plane, places) = (Arc::clone(plane), Arc::clone(&places));
        accepting.spawn(listen::accept(listener, plane, places, stopping.clone()));
    }
    accepting.close();
    accepting
}

/// Lets open requests end, and cuts what is left at the limit.
async fn drain(plane: &Plane) {
    plane.tasks.close();
    let limit = Duration::from_millis(plane.limits.shutdown_drain_ms);
    if timeout(limit, plane.tasks.wait()).await.is_err() {
        tracing::warn!(connections = plane.tasks.len(), "cutting what is still open");
        plane.stop_now.cancel();
        plane.tasks.wait().await;
    }
}

async fn reap(plane: Arc<Plane>) {
    let mut ticks = interval(REAP_EVERY);
    loop {
        ticks.tick().await;
        plane.routing.reap(plane.limits.upstream_idle());
    }
}

/// Raises this process's limit of open files as far as the machine allows.
///
/// # Errors
/// What the kernel says; the limit stays as it is then.
pub fn raise_open_files() -> io::Result<()> {
    let most = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?)
}

/// The limit, or what the open-file limit allows at two descriptors a connection, after that limit
/// was raised as far as it goes.
fn connections_max(limits: &ProxyLimits) -> usize {
    if let Err(error) = raise_open_files() {
        tracing::warn!(%error, "the open-file limit stays low");
    }
    let Some(files) = getrlimit(Resource::Nofile).current else {
        return limits.connections_max;
    };
    let allowed = usize::try_from(files.saturating_sub(OTHER_FILES) / 2).unwrap_or(usize::MAX);
    limits.connections_max.min(allowed.max(1))
}
