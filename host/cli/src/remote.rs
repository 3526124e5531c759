//! Working with a command on the host: this terminal, or these pipes, are its own.
//!
//! **Invariant: however it ends, the terminal is as it was before.**

use std::io::Read as _;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use windlass_model::api::ErrorBody;
use windlass_model::session::{
    ClientMessage, HostMessage, STDERR, SessionSignal, SessionStart, TerminalSize,
};

use crate::client::Client;
use crate::console::Console;
use crate::exit::{CliError, CliResult, Exit};
use crate::session::Session;

/// Bytes read at once of standard input.
const READ_BYTES: usize = 16 * 1024;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Runs a command at this path of the host and returns its exit code as ours.
///
/// # Errors
/// The host's failure, or why it could not be reached.
pub(crate) fn run(
    session: &mut Session<'_, '_>,
    client: &Client,
    path: &str,
    mut start: SessionStart,
    may_use_terminal: bool,
) -> CliResult<Exit> {
    let has_terminal = may_use_terminal
        && session.console.stdin_is_terminal()
        && session.console.terminal().is_some();
    if has_terminal {
        start.terminal = Some(terminal_size());
        start.term = std::env::var("TERM").ok();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| lost(&e.to_string()))?;
    let outcome = runtime.block_on(async {
        let socket = connect(client, path).await?;
        talk(session.console, socket, start, has_terminal).await
    });
    // A read of standard input may never return; it holds nothing.
    runtime.shutdown_background();
    outcome
}

async fn connect(client: &Client, path: &str) -> CliResult<Socket> {
    let request = client.websocket(path)?;
    let connecting = tokio_tungstenite::connect_async(request);
    match tokio::time::timeout(CONNECT, connecting).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(tungstenite::Error::Http(answer))) => {
            let exit = Exit::of_status(answer.status().as_u16());
            let body = answer.body().as_deref().unwrap_or_default();
            match serde_json::from_slice::<ErrorBody>(body) {
                Ok(body) => Err(Box::new(CliError { failure: body.error, exit })),
                // The body did not come with the head: the host says it again to a plain request.
                Err(_) => Err(client
                    .get::<serde_json::Value>(path)
                    .err()
                    .unwrap_or_else(|| lost(&format!("the host answered {}", answer.status())))),
            }
        }
        Ok(Err(error)) => Err(client.away(&error.to_string())),
        Err(_) => Err(client.away("it did not answer in time")),
    }
}

fn lost(why: &str) -> Box<CliError> {
    CliError::new(
        Exit::Unreachable,
        "cli.session-lost",
        "the connection to the command broke off",
        why,
        "start it again; what it had started was ended with it",
    )
}

/// What can be told to this process while it works with a command.
struct Signals {
    size: Signal,
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            size: signal(SignalKind::window_change())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }
}

async fn talk(
    console: &mut Console<'_>,
    mut socket: Socket,
    start: SessionStart,
    has_terminal: bool,
) -> CliResult<Exit> {
    say(&mut socket, &ClientMessage::Start(start)).await?;
    let mut signals = Signals::new().map_err(|e| lost(&e.to_string()))?;
    let _raw = has_terminal.then(RawMode::enter).flatten();
    let mut input = None;
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(frame))) => {
                    show(console, &frame);
                    if console.closed() {
                        return Ok(Exit::Ok);
                    }
                }
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    // Read only now: what is typed at a prompt behind a refused command is not ours.
                    Ok(HostMessage::Started { .. }) => input = Some(standard_input()),
                    Ok(HostMessage::Exited { code }) => return Ok(Exit::of_command(code)),
                    Ok(HostMessage::Failed { failure }) => {
                        return Err(Box::new(CliError { failure, exit: Exit::Failed }));
                    }
                    Err(error) => return Err(lost(&error.to_string())),
                },
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(lost(&error.to_string())),
                None => return Err(lost("the host closed it")),
            },
            piece = next(&mut input) => match piece {
                Some(piece) => send(&mut socket, Message::Binary(piece)).await?,
                None => {
                    input = None;
                    say(&mut socket, &ClientMessage::StdinEnd).await?;
                }
            },
            _ = signals.size.recv(), if has_terminal => {
                say(&mut socket, &ClientMessage::Resize(terminal_size())).await?;
            }
            _ = signals.interrupt.recv() => {
                say(&mut socket, &ClientMessage::Signal { signal: SessionSignal::Int }).await?;
            }
            _ = signals.terminate.recv() => return hang_up(socket, 143).await,
            _ = signals.hang_up.recv() => return hang_up(socket, 129).await,
        }
    }
}

/// The host ends the command when this end is gone.
async fn hang_up(mut socket: Socket, code: u32) -> CliResult<Exit> {
    let _ = tokio::time::timeout(Duration::from_secs(1), socket.close(None)).await;
    Ok(Exit::of_command(code))
}

/// The next piece of input; never, while there is no input to read.
async fn next(input: &mut Option<mpsc::Receiver<Bytes>>) -> Option<Bytes> {
    match input {
        Some(input) => input.recv().await,
        None => std::future::pending().await,
    }
}

/// Standard input, read by a thread of its own: a read cannot be cancelled.
fn standard_input() -> mpsc::Receiver<Bytes> {
    let (to, from) = mpsc::channel(8);
    std::thread::spawn(move || {
        let (mut stdin, mut buffer) = (std::io::stdin().lock(), vec![0; READ_BYTES]);
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    if to.blocking_send(Bytes::copy_from_slice(&buffer[..count])).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    from
}

fn show(console: &mut Console<'_>, frame: &[u8]) {
    match frame.split_first() {
        Some((&STDERR, bytes)) => console.err_bytes(bytes),
        Some((_, bytes)) => console.out_bytes(bytes),
        None => {}
    }
}

async fn say(socket: &mut Socket, message: &ClientMessage) -> CliResult<()> {
    let text = serde_json::to_string(message).unwrap_or_default();
    send(socket, Message::Text(text.into())).await
}

async fn send(socket: &mut Socket, message: Message) -> CliResult<()> {
    match socket.send(message).await {
        // It ends while something was still being typed: its end is read next.
        Ok(()) | Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed) => {
            Ok(())
        }
        Err(tungstenite::Error::Protocol(tungstenite::error::ProtocolError::SendAfterClosing)) => {
            Ok(())
        }
        Err(error) => Err(lost(&error.to_string())),
    }
}

fn terminal_size() -> TerminalSize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let or = |value: u16, default: u16| if value == 0 { default } else { value };
    match size {
        Some(size) => TerminalSize { columns: or(size.ws_col, 80), rows: or(size.ws_row, 24) },
        None => TerminalSize { columns: 80, rows: 24 },
    }
}

/// The terminal passes every key on, while this lives.
struct RawMode {
    before: rustix::termios::Termios,
}

impl RawMode {
    fn enter() -> Option<Self> {
        use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let now = rustix::termios::OptionalActions::Now;
        let _ = rustix::termios::tcsetattr(std::io::stdin(), now, &self.before);
    }
}
