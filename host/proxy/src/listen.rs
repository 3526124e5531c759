//! Listeners and visitors' connections.
//!
//! **Invariant: whatever a connection is doing, its drain deadline and the proxy's end reach it**,
//! even when its visitor neither reads nor writes: both are polled beside it, not inside it.
//!
//! TLS belongs between [`accept`] and [`drive`]: whatever reads and writes bytes can be driven.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::generation::Lease;
use crate::headers::Visitor;
use crate::limits::ProxyLimits;
use crate::serve::{self, Plane};
use crate::stall::Patient;
use crate::{Listen, ProxyError};

/// Pause after the system had no descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the requests of one connection share.
pub(crate) struct Connection {
    pub(crate) plane: Arc<Plane>,
    pub(crate) visitor: Visitor,
    cut: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// From now on the connection ends with this lease's drain deadline. Called from within the
    /// connection's own task, which polls it next.
    pub(crate) fn cut_with(&self, lease: &Lease) {
        *self.cut() = Some(Box::pin(lease.cut_off()));
    }

    fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.cut().as_mut().map_or(Poll::Pending, |cut| cut.as_mut().poll(cx))
    }

    fn cut(&self) -> std::sync::MutexGuard<'_, Option<Pin<Box<dyn Future<Output = ()> + Send>>>> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.plane.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Connections that may wait to be accepted. The usual 1,024 lose some of a thousand visitors that come at
/// the same moment; the kernel takes no more than `net.core.somaxconn`.
const BACKLOG: u32 = 16_384;

/// Listens on an address, with room for a burst.
///
/// # Errors
/// The system's.
pub fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Binds all listeners.
pub(crate) fn bind(listen: &Listen) -> Result<Vec<TcpListener>, ProxyError> {
    match listen {
        Listen::Auto => Ok(vec![first_free(80, 8080)?]),
        Listen::Addresses(addresses) => {
            let mut listeners = Vec::new();
            for address in addresses {
                let failed = |source| ProxyError::Bind { addresses: address.to_string(), source };
                listeners.push(listen_on(*address).map_err(failed)?);
            }
            Ok(listeners)
        }
    }
}

fn first_free(port: u16, otherwise: u16) -> Result<TcpListener, ProxyError> {
    match any_address(port) {
        Ok(listener) => Ok(listener),
        Err(source) => {
            tracing::warn!(%source, "port {port} cannot be used, trying {otherwise}");
            let failed = |source| {
                let addresses = format!("port {port} and port {otherwise}");
                ProxyError::Bind { addresses, source }
            };
            any_address(otherwise).map_err(failed)
        }
    }
}

/// All addresses of both families, or of IPv4 where there is no IPv6.
fn any_address(port: u16) -> io::Result<TcpListener> {
    match listen_on((Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(e)
            if !matches!(e.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) =>
        {
            listen_on((Ipv4Addr::UNSPECIFIED, port).into())
        }
        bound => bound,
    }
}

/// Accepts visitors until told to stop. While too many are there, more wait in the kernel's queue.
pub(crate) async fn accept(
    listener: TcpListener,
    plane: Arc<Plane>,
    places: Arc<Semaphore>,
    stopping: CancellationToken,
) {
    let builder = builder(&plane.limits);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let next = tokio::select! {
            () = stopping.cancelled() => return,
            next = next => next,
        };
        let Some((place, accepted)) = next else {
            return;
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(connection) = connection(&plane, &stream, peer, place) else {
                    continue;
                };
                let stopping = stopping.clone();
                plane.tasks.spawn(drive(stream, connection, builder.clone(), stopping));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn connection(
    plane: &Arc<Plane>,
    stream: &TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
) -> Option<Arc<Connection>> {
    let local = stream.local_addr().ok()?;
    stream.set_nodelay(true).ok()?;
    let peer: IpAddr = peer.ip().to_canonical();
    let trusted = plane.trusted.contains(&peer);
    plane.connections.fetch_add(1, Ordering::Relaxed);
    Some(Arc::new(Connection {
        plane: Arc::clone(plane),
        visitor: Visitor { peer, local, trusted },
        cut: Mutex::new(None),
        _place: place,
    }))
}

fn builder(limits: &ProxyLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.head_read_ms))
        .max_headers(limits.head_fields_max)
        .max_header_size(limits.head_bytes_max)
        .max_buf_size(limits.head_bytes_max.max(8 * 1024));
    builder
}

/// Serves one connection until its end.
async fn drive<S>(
    stream: S,
    connection: Arc<Connection>,
    builder: http1::Builder,
    stopping: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let plane = Arc::clone(&connection.plane);
    let stream = Patient::new(stream, plane.limits.stall());
    let handler = Arc::clone(&connection);
    let service = service_fn(move |request| {
        let connection = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(serve::answer(connection, request).await) }
    });
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, peer = %connection.visitor.peer, "connection ended");
                }
                return;
            }
            () = poll_fn(|cx| connection.poll_cut(cx)) => return,
            () = plane.stop_now.cancelled() => return,
            () = stopping.cancelled(), if !told => {
                told = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_port_is_taken_when_the_first_is_in_use() {
        let taken = any_address(0).unwrap();
        let port = taken.local_addr().unwrap().port();
        let free = first_free(port, 0).unwrap();
        assert_ne!(free.local_addr().unwrap().port(), port);
        let refused = first_free(port, port).unwrap_err().to_string();
        assert!(refused.contains("--listen"), "{refused}");
    }
}
