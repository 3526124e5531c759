//! A proxy in front of containerd's socket that can do harm: it knows the gRPC method of each call and
//! answers one with an error, holds it, or carries it out and loses the answer with the connection.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2 as client;
use hyper::server::conn::http2 as server;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

/// How long a held call is held.
const HELD: Duration = Duration::from_secs(2);
/// gRPC's `INTERNAL`.
const INTERNAL: u32 = 13;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with an error and not carried out.
    Error,
    /// It is carried out two seconds later.
    Delay,
    /// It is carried out, and the connection ends instead of the answer.
    Lost,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Error, Self::Delay, Self::Lost];
}

#[derive(Default)]
struct State {
    seen: BTreeMap<String, usize>,
    armed: Option<(String, Fault)>,
    hit: bool,
    away: bool,
}

/// A proxy that ends with the test's process, or when it is dropped.
pub struct ContainerdProxy {
    socket: PathBuf,
    state: Arc<Mutex<State>>,
    stop: Arc<Notify>,
}

impl ContainerdProxy {
    /// Listens on `socket` and forwards to `upstream`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start(socket: &Path, upstream: &Path) -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let stop = Arc::new(Notify::new());
        let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let proxy = Self { socket: socket.to_owned(), state: state.clone(), stop: stop.clone() };
        let upstream = upstream.to_owned();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = UnixListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(listener, upstream, state) => {}
                    () = stop.notified() => {}
                }
            });
        });
        proxy
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The methods of all calls since the last look, and how often each was called.
    pub fn take_seen(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }

    /// Does this to the next call of a method.
    pub fn arm(&self, method: &str, fault: Fault) {
        let mut state = self.state.lock().unwrap();
        state.armed = Some((method.to_owned(), fault));
        state.hit = false;
    }

    /// Whether the armed fault has happened.
    pub fn was_hit(&self) -> bool {
        self.state.lock().unwrap().hit
    }

    /// Disarms what has not happened.
    pub fn disarm(&self) {
        self.state.lock().unwrap().armed = None;
    }

    /// Refuses every call, as if nobody listened, or no longer.
    pub fn set_away(&self, away: bool) {
        self.state.lock().unwrap().away = away;
    }
}

impl Drop for ContainerdProxy {
    fn drop(&mut self) {
        self.stop.notify_one();
        let _ = std::fs::remove_file(&self.socket);
    }
}

async fn accept(listener: UnixListener, upstream: PathBuf, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, upstream.clone(), state.clone()));
    }
}

/// One connection: it ends when an answer is to be lost.
async fn serve(stream: UnixStream, upstream: PathBuf, state: Arc<Mutex<State>>) {
    let cut = Arc::new(Notify::new());
    let Ok(sender) = connect(&upstream).await else { return };
    let service = {
        let cut = cut.clone();
        service_fn(move |request| handle(request, sender.clone(), state.clone(), cut.clone()))
    };
    let connection =
        server::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = connection => {}
        () = cut.notified() => {}
    }
}

type Body = BoxBody<Bytes, hyper::Error>;

async fn connect(upstream: &Path) -> Result<client::SendRequest<Body>, Box<dyn std::error::Error>> {
    let stream = UnixStream::connect(upstream).await?;
    let (sender, connection) =
        client::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn handle(
    request: Request<Incoming>,
    mut sender: client::SendRequest<Body>,
    state: Arc<Mutex<State>>,
    cut: Arc<Notify>,
) -> Result<Response<Body>, hyper::Error> {
    let method = request.uri().path().to_owned();
    let fault = {
        let mut state = state.lock().unwrap();
        *state.seen.entry(method.clone()).or_default() += 1;
        if state.away {
            cut.notify_one();
        }
        let armed = state.armed.take_if(|(armed, _)| *armed == method);
        state.hit |= armed.is_some();
        armed.map(|(_, fault)| fault)
    };
    match fault {
        Some(Fault::Error) => return Ok(refusal()),
        Some(Fault::Delay) => tokio::time::sleep(HELD).await,
        Some(Fault::Lost) | None => {}
    }
    let (parts, body) = request.into_parts();
    let answer = sender.send_request(Request::from_parts(parts, body.boxed())).await?;
    if fault == Some(Fault::Lost) {
        // All of it, so that the call is over at the other end.
        let _ = answer.into_body().collect().await;
        cut.notify_one();
        return std::future::pending().await;
    }
    Ok(answer.map(BodyExt::boxed))
}

/// An error of containerd, in headers alone.
fn refusal() -> Response<Body> {
    let body = Empty::new().map_err(|never: Infallible| match never {}).boxed();
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert("content-type", hyper::header::HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", INTERNAL.into());
    headers.insert("grpc-message", hyper::header::HeaderValue::from_static("injected by a test"));
    answer
}
