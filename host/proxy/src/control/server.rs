//! The proxy's side of the protocol.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::protocol::{
    Answer, ControlError, ErrorCode, Hello, HelloReply, Outcome, PROTOCOL_MAX, PROTOCOL_MIN, Reply,
    Request, Stats, Welcome,
};
use crate::file::suffixed;
use crate::serve::Plane;
use crate::state::State;
use crate::table::Drain;

/// Longest wait for a client's hello.
const HELLO: Duration = Duration::from_secs(10);
/// Clients that may wait to be accepted.
const BACKLOG: u32 = 64;

/// Everything that control connections share.
pub(crate) struct Control {
    pub(crate) state: State,
    pub(crate) plane: Arc<Plane>,
    pub(crate) listeners: Vec<SocketAddr>,
    pub(crate) stopping: CancellationToken,
}

/// Makes the control socket, in place of one that a dead proxy left. Nobody but its owner can
/// connect at any moment: it listens only once its mode is set.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    let beside = suffixed(path, ".new");
    match std::fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let socket = UnixSocket::new_stream()?;
    socket.bind(&beside)?;
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600))?;
    let listener = socket.listen(BACKLOG)?;
    std::fs::rename(&beside, path)?;
    Ok(listener)
}

/// Accepts control connections for ever.
pub(crate) async fn serve(listener: UnixListener, control: Arc<Control>) {
    let places = Arc::new(Semaphore::new(control.plane.limits.control_connections_max));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let control = Arc::clone(&control);
                tokio::spawn(async move {
                    if let Err(error) = Box::pin(converse(stream, &control)).await {
                        tracing::debug!(%error, "control connection ended");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a control connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, control: &Control) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let line_bytes_max = control.plane.limits.control_line_bytes_max;
    let hello = timeout(HELLO, read_line(&mut stream, line_bytes_max)).await??;
    let Some(hello) = hello else { return Ok(()) };
    let epoch = match welcome(&hello, control).await {
        Ok((welcome, epoch)) => {
            write_line(&mut stream, &HelloReply::Welcome(welcome)).await?;
            epoch
        }
        Err(error) => {
            tracing::info!(%error, "control connection refused");
            return write_line(&mut stream, &HelloReply::Refused(error)).await;
        }
    };
    while let Some(line) = read_line(&mut stream, line_bytes_max).await? {
        let reply = reply(&line, epoch, control).await;
        let stops = matches!(reply.outcome, Outcome::Ok(Answer::Stopping));
        write_line(&mut stream, &reply).await?;
        if stops {
            control.stopping.cancel();
        }
    }
    Ok(())
}

async fn welcome(line: &[u8], control: &Control) -> Result<(Welcome, Option<u64>), ControlError> {
    let hello: Hello = serde_json::from_slice(line).map_err(|e| malformed(&e))?;
    if hello.protocol_max < PROTOCOL_MIN || hello.protocol_min > PROTOCOL_MAX {
        return Err(ControlError {
            code: ErrorCode::UnsupportedProtocol,
            message: format!(
                "this proxy speaks the control protocol {PROTOCOL_MIN} to {PROTOCOL_MAX}, and {} \
                 speaks {} to {}; restart the proxy with the newer release",
                hello.client, hello.protocol_min, hello.protocol_max
            ),
        });
    }
    let epoch = control.state.meet(hello.epoch).await?;
    let welcome = Welcome {
        protocol: hello.protocol_max.min(PROTOCOL_MAX),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        epoch,
    };
    Ok((welcome, hello.epoch))
}

async fn reply(line: &[u8], epoch: Option<u64>, control: &Control) -> Reply {
    let envelope: Value = match serde_json::from_slice(line) {
        Ok(envelope) => envelope,
        Err(error) => {
            return Reply { id: 0, outcome: Outcome::Error(malformed(&error)) };
        }
    };
    let id = envelope.get("id").and_then(Value::as_u64).unwrap_or(0);
    let outcome = match answer(&envelope, epoch, control).await {
        Ok(answer) => Outcome::Ok(answer),
        Err(error) => Outcome::Error(error),
    };
    Reply { id, outcome }
}

async fn answer(
    envelope: &Value,
    epoch: Option<u64>,
    control: &Control,
) -> Result<Answer, ControlError> {
    let request = parse(envelope)?;
    let epoch = match epoch {
        Some(epoch) => epoch,
        None if request.changes() => {
            let message = "this connection said no epoch, so it may only look".to_owned();
            return Err(ControlError { code: ErrorCode::ReadOnly, message });
        }
        None => 0,
    };
    Ok(match request {
        Request::PutRoute { route } => {
            control.state.put(epoch, route).await?;
            Answer::Acknowledged
        }
        Request::RemoveRoute { name } => {
            control.state.remove(epoch, &name).await?;
            Answer::Acknowledged
        }
        Request::Routes => Answer::Routes { routes: control.plane.routing.load().routes() },
        Request::Drained { route, generation, wait_ms } => {
            drained(&route, generation, wait_ms, control).await?
        }
        Request::Stats => Answer::Stats { stats: stats(control) },
        Request::Listeners => Answer::Listeners { listeners: control.listeners.clone() },
        Request::Shutdown => {
            control.state.still_valid(epoch).await?;
            Answer::Stopping
        }
    })
}

/// Reads a request, and tells a type that this build does not know from one that is malformed.
fn parse(envelope: &Value) -> Result<Request, ControlError> {
    const KNOWN: [&str; 7] =
        ["put-route", "remove-route", "routes", "drained", "stats", "listeners", "shutdown"];
    let request = envelope.get("request").cloned().unwrap_or_default();
    match request.get("type").and_then(Value::as_str) {
        Some(kind) if !KNOWN.contains(&kind) => Err(ControlError {
            code: ErrorCode::UnknownRequest,
            message: format!("this proxy does not know the request {kind:?}; is it older?"),
        }),
        _ => serde_json::from_value(request).map_err(|e| malformed(&e)),
    }
}

async fn drained(
    route: &str,
    generation: u64,
    wait_ms: u64,
    control: &Control,
) -> Result<Answer, ControlError> {
    let wait_ms = wait_ms.min(control.plane.limits.drained_wait_ms_max);
    let until = Instant::now() + Duration::from_millis(wait_ms);
    match control.plane.routing.drain_by(route, generation, until).await {
        Drain::Done => Ok(Answer::Drained { drained: true, in_flight: 0 }),
        Drain::Open { in_flight } => Ok(Answer::Drained { drained: false, in_flight }),
        Drain::Unknown => Err(ControlError {
            code: ErrorCode::UnknownGeneration,
            message: format!("generation {generation} of {route:?} was never published here"),
        }),
    }
}

fn stats(control: &Control) -> Stats {
    let plane = &control.plane;
    Stats {
        connections: plane.connections.load(Ordering::Relaxed),
        held: plane.hold.requests() as u64,
        unrouted: plane.unrouted.load(Ordering::Relaxed),
        generations: plane.routing.stats(),
    }
}

fn malformed(error: &serde_json::Error) -> ControlError {
    ControlError {
        code: ErrorCode::Malformed,
        message: format!("the line is no message of the control protocol: {error}"),
    }
}

/// One line without its end; `None` at the connection's end.
async fn read_line(
    stream: &mut BufReader<UnixStream>,
    bytes_max: usize,
) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    stream.take(bytes_max as u64 + 1).read_until(b'\n', &mut line).await?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) if line.len() >= bytes_max => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the line is too long"))
        }
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

async fn write_line(
    stream: &mut BufReader<UnixStream>,
    message: &impl Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.flush().await
}
