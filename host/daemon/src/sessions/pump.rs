//! Between a client's websocket and a process.
//!
//! **Invariant: neither side is ever waited for alone**: input that the process does not take stops neither its
//! output nor the notice that the client is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use windlass_containers::runtime::{Session, SessionControl, TerminalSize};
use windlass_model::session::{ClientMessage, HostMessage, STDERR, STDOUT, SessionStart};
use windlass_model::{Failure, Stream};

use super::{Asked, start};
use crate::host::Host;

/// How long a client may take to say what it wants.
const START_WITHIN: Duration = Duration::from_secs(10);
/// How often a client is asked whether it is there, and after how long a silence it counts as gone.
const ASK_EVERY: Duration = Duration::from_secs(10);
const SILENT_MAX: Duration = Duration::from_secs(45);
/// How long the last output may take once the process has ended.
const LAST_OUTPUT: Duration = Duration::from_secs(10);
/// Pieces of input that wait for the process.
const BUFFERED: usize = 8;

type To = SplitSink<WebSocket, Message>;
type From = SplitStream<WebSocket>;

/// Serves one client from its first message to the end of the session.
pub(crate) async fn serve(socket: WebSocket, host: Arc<Host>, asked: Asked) {
    let (mut to, mut from) = socket.split();
    let outcome = match begin(&mut from).await {
        Ok(start) => hold(&mut to, &mut from, &host, &asked, start).await,
        Err(failure) => Err(Some(failure)),
    };
    let last = match outcome {
        Ok(code) => HostMessage::Exited { code },
        Err(Some(failure)) => HostMessage::Failed { failure },
        // Nobody is there to be told.
        Err(None) => return,
    };
    let _ = say(&mut to, &last).await;
    let _ = to.send(Message::Close(None)).await;
}

/// What the client wants: its first message.
async fn begin(from: &mut From) -> Result<SessionStart, Failure> {
    let first = tokio::time::timeout(START_WITHIN, from.next()).await;
    let bad = |why: &str| {
        Failure::app(
            "session.bad-start",
            "the session was not begun",
            why,
            "the first frame is text: {\"type\":\"start\",\"argv\":[...]}",
        )
    };
    match first {
        Ok(Some(Ok(Message::Text(text)))) => match serde_json::from_str(&text) {
            Ok(ClientMessage::Start(start)) => Ok(start),
            Ok(_) => Err(bad("the first message is another one")),
            Err(error) => Err(bad(&error.to_string())),
        },
        Ok(_) => Err(bad("the first frame is no text")),
        Err(_) => Err(bad("nothing came")),
    }
}

/// Opens the session, serves it, and ends it. The failure is absent when the client has hung up.
async fn hold(
    to: &mut To,
    from: &mut From,
    host: &Arc<Host>,
    asked: &Asked,
    begin: SessionStart,
) -> Result<u32, Option<Failure>> {
    let _place = host.observe.sessions.enter().map_err(Some)?;
    let opened = start::open(host, asked, &begin).await.map_err(Some)?;
    let Session { stdin, output, control } = opened.session;
    let control: Arc<dyn SessionControl> = Arc::from(control);
    let about = host.observe.audit_session(asked, &opened.deployment, &opened.name, &begin.argv);
    tracing::info!(session = about, "a session begins");
    let started = say(to, &HostMessage::Started { instance: opened.name }).await;
    let limit = Duration::from_secs(host.config.limits.session_s);
    let outcome = match started {
        Err(Gone) => Err(None),
        Ok(()) => {
            Pump::new(stdin, output, Arc::clone(&control), begin.terminal.is_some())
                .run(to, from, limit)
                .await
        }
    };
    if let Err(error) = control.end().await {
        tracing::error!(%error, session = about, "a session could not be ended");
    }
    tracing::info!(session = about, ended = ?outcome.as_ref().ok(), "a session has ended");
    outcome
}

/// The client has hung up.
struct Gone;

async fn say(to: &mut To, message: &HostMessage) -> Result<(), Gone> {
    let text = serde_json::to_string(message).unwrap_or_default();
    to.send(Message::Text(text.into())).await.map_err(|_| Gone)
}

/// One session being served.
struct Pump {
    control: Arc<dyn SessionControl>,
    output: mpsc::Receiver<(Stream, Bytes)>,
    /// Absent once nothing more is to be written.
    stdin: Option<mpsc::Sender<Bytes>>,
    has_terminal: bool,
    heard_at: Instant,
}

impl Pump {
    fn new(
        mut pipe: Box<dyn AsyncWrite + Send + Unpin>,
        output: mpsc::Receiver<(Stream, Bytes)>,
        control: Arc<dyn SessionControl>,
        has_terminal: bool,
    ) -> Self {
        let (stdin, mut pieces) = mpsc::channel::<Bytes>(BUFFERED);
        let input = Arc::clone(&control);
        tokio::spawn(async move {
            while let Some(piece) = pieces.recv().await {
                if pipe.write_all(&piece).await.is_err() {
                    return;
                }
            }
            drop(pipe);
            // A process that has ended has no input to close.
            let _ = input.close_stdin().await;
        });
        let (stdin, heard_at) = (Some(stdin), Instant::now());
        Self { control, output, stdin, has_terminal, heard_at }
    }

    async fn run(
        mut self,
        to: &mut To,
        from: &mut From,
        limit: Duration,
    ) -> Result<u32, Option<Failure>> {
        let waiting = Arc::clone(&self.control);
        let mut wait = tokio::spawn(async move { wait(waiting.as_ref()).await });
        let mut ask = tokio::time::interval(ASK_EVERY);
        let until = tokio::time::Instant::now() + limit;
        let mut is_open = true;
        loop {
            let is_full = self.stdin.as_ref().is_some_and(|stdin| stdin.capacity() == 0);
            let room = self.stdin.clone();
            tokio::select! {
                code = &mut wait => {
                    let code = code.map_err(|e| e.to_string()).flatten();
                    return self.last_output(to, code.map_err(|why| Some(lost(&why)))?).await;
                }
                piece = self.output.recv(), if is_open => match piece {
                    Some(piece) => pass(to, piece).await.map_err(|Gone| None)?,
                    None => is_open = false,
                },
                message = from.next(), if !is_full => {
                    self.heard_at = Instant::now();
                    match message {
                        Some(Ok(message)) => self.take(message).await.map_err(|Gone| None)?,
                        _ => return Err(None),
                    }
                }
                // Wakes when the process has taken some input.
                () = async { if let Some(room) = room { drop(room.reserve().await) } },
                    if is_full => {}
                _ = ask.tick() => {
                    let silent = !is_full && self.heard_at.elapsed() > SILENT_MAX;
                    let asked = to.send(Message::Ping(Bytes::new())).await;
                    if silent || asked.is_err() {
                        return Err(None);
                    }
                }
                () = tokio::time::sleep_until(until) => return Err(Some(too_long(limit))),
            }
        }
    }

    /// What the client says.
    async fn take(&mut self, message: Message) -> Result<(), Gone> {
        match message {
            Message::Binary(bytes) => {
                if let Some(stdin) = &self.stdin {
                    // There is room: it was asked for.
                    let _ = stdin.send(bytes).await;
                }
            }
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(ClientMessage::StdinEnd) => self.stdin = None,
                Ok(ClientMessage::Resize(size)) if self.has_terminal => {
                    let size = TerminalSize { columns: size.columns, rows: size.rows };
                    let _ = self.control.resize(size).await;
                }
                Ok(ClientMessage::Signal { signal }) => {
                    let _ = self.control.signal(signal.number()).await;
                }
                Ok(ClientMessage::Start(_) | ClientMessage::Resize(_)) | Err(_) => {}
            },
            Message::Close(_) => return Err(Gone),
            Message::Ping(_) | Message::Pong(_) => {}
        }
        Ok(())
    }

    /// The process has ended: what it still had to say, then its status.
    async fn last_output(mut self, to: &mut To, code: u32) -> Result<u32, Option<Failure>> {
        let control = Arc::clone(&self.control);
        let mut end = std::pin::pin!(async move { control.end().await });
        let mut is_ended = false;
        let until = tokio::time::Instant::now() + LAST_OUTPUT;
        loop {
            tokio::select! {
                biased;
                piece = self.output.recv() => match piece {
                    Some(piece) => pass(to, piece).await.map_err(|Gone| None)?,
                    None => return Ok(code),
                },
                // Only once its streams are silent: the end cuts off what was not read.
                ended = async { tokio::time::sleep(SILENCE).await; end.as_mut().await }, if !is_ended => {
                    if let Err(error) = ended {
                        tracing::warn!(%error, "a session was not ended at once");
                    }
                    is_ended = true;
                }
                () = tokio::time::sleep_until(until), if is_ended => return Ok(code),
            }
        }
    }
}

/// How long an ended process' streams must be silent.
const SILENCE: Duration = Duration::from_millis(80);

/// Waits for the end of the process, through restarts of containerd.
async fn wait(control: &dyn SessionControl) -> Result<u32, String> {
    const TRIES_MAX: u32 = 60;
    let mut tries = 0;
    loop {
        match control.wait().await {
            Ok(code) => return Ok(code),
            Err(error) if tries >= TRIES_MAX => return Err(error.to_string()),
            Err(windlass_containers::RuntimeError::Unavailable { .. }) => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

async fn pass(to: &mut To, (stream, bytes): (Stream, Bytes)) -> Result<(), Gone> {
    let channel = if stream == Stream::Stderr { STDERR } else { STDOUT };
    let mut frame = Vec::with_capacity(bytes.len() + 1);
    frame.push(channel);
    frame.extend_from_slice(&bytes);
    to.send(Message::Binary(frame.into())).await.map_err(|_| Gone)
}

fn lost(why: &str) -> Failure {
    Failure::host(
        "session.lost",
        "it is not known how the command ended",
        why,
        "look at what it did; `windlass logs` shows whether the instance was restarted",
    )
}

fn too_long(limit: Duration) -> Failure {
    Failure::app(
        "session.too-long",
        "the session was ended",
        format!("it was open for {} s, the longest time", limit.as_secs()),
        "raise `session_s` in the limits of `windlass serve`, or use `windlass run --detach`",
    )
}
