//! The control plane's side of the protocol.
//!
//! **Invariant: a client keeps no connection.** Each call opens one, says hello and asks, so a
//! restarted proxy is found again by itself, and a long wait for a drain holds up no other call.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use super::protocol::{
    Answer, ControlError, Envelope, ErrorCode, Hello, HelloReply, Outcome, PROTOCOL_MAX,
    PROTOCOL_MIN, Reply, Request, Stats, Welcome,
};
use crate::route::Route;

/// How long a call goes on trying to reach a proxy that does not answer, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest wait for the answer to a request that does not wait by itself: a slow disk's sync.
const ANSWER: Duration = Duration::from_secs(30);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers on the control socket.
    #[error(
        "the proxy does not answer on {}: {source}; start it with `windlass proxy`", path.display()
    )]
    Unreachable {
        /// The control socket.
        path: PathBuf,
        /// What the last try ended with.
        #[source]
        source: io::Error,
    },
    /// The proxy refused; nothing changed.
    #[error("the proxy refused: {0}")]
    Refused(ControlError),
    /// What came back is no message of this protocol.
    #[error("the proxy on {} answered something else than asked: {what}; are both of one release?", path.display())]
    Protocol {
        /// The control socket.
        path: PathBuf,
        /// What came back.
        what: String,
    },
}

impl ClientError {
    /// The proxy's reason, when it was the proxy that refused.
    pub fn refusal(&self) -> Option<&ControlError> {
        match self {
            Self::Refused(error) => Some(error),
            _ => None,
        }
    }
}

/// What the proxy said about a generation's drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainState {
    /// Whether nothing uses the generation any more.
    pub drained: bool,
    /// Requests and connections that still use it.
    pub in_flight: u64,
}

/// Talks to one proxy. Cheap to clone; calls may run at the same time.
#[derive(Debug, Clone)]
pub struct ProxyClient {
    socket: PathBuf,
    epoch: Option<u64>,
    patience: Duration,
}

impl ProxyClient {
    /// A client that may change routes, once the proxy has accepted its epoch: a number that grows
    /// with every start of the control plane.
    ///
    /// # Errors
    /// When no proxy answers within ten seconds, the versions do not match, or the epoch is lower
    /// than one that the proxy has seen.
    pub async fn connect(socket: impl Into<PathBuf>, epoch: u64) -> Result<Self, ClientError> {
        let client = Self { socket: socket.into(), epoch: Some(epoch), patience: PATIENCE };
        client.welcome().await?;
        Ok(client)
    }

    /// A client that may only look.
    ///
    /// # Errors
    /// As [`ProxyClient::connect`], the epoch aside.
    pub async fn observe(socket: impl Into<PathBuf>) -> Result<Self, ClientError> {
        Self { socket: socket.into(), epoch: None, patience: PATIENCE }.probed().await
    }

    /// Whether a proxy answers on this socket right now, without waiting for one.
    pub async fn answers(socket: &Path) -> bool {
        let client =
            Self { socket: socket.to_owned(), epoch: None, patience: Duration::from_millis(0) };
        client.welcome().await.is_ok()
    }

    /// The same client, trying so long to reach a proxy that does not answer.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What the proxy says about itself.
    ///
    /// # Errors
    /// As [`ProxyClient::connect`].
    pub async fn welcome(&self) -> Result<Welcome, ClientError> {
        self.reach(None, ANSWER).await.map(|(welcome, _)| welcome)
    }

    /// Publishes a route: `Ok` means that the proxy has synced it to its file and serves it.
    /// Publishing the same again is acknowledged again.
    ///
    /// # Errors
    /// Refused with [`StaleGeneration`](super::protocol::ErrorCode::StaleGeneration) when a
    /// newer or different route of that generation is in force; see the other codes there.
    pub async fn put_route(&self, route: &Route) -> Result<(), ClientError> {
        match self.ask(Request::PutRoute { route: route.clone() }, ANSWER).await? {
            Answer::Acknowledged => Ok(()),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Withdraws a route; no route of that name is no error.
    ///
    /// # Errors
    /// When the proxy cannot be reached or refuses.
    pub async fn remove_route(&self, name: &str) -> Result<(), ClientError> {
        match self.ask(Request::RemoveRoute { name: name.to_owned() }, ANSWER).await? {
            Answer::Acknowledged => Ok(()),
            other => Err(self.unexpected(&other)),
        }
    }

    /// All routes, by name.
    ///
    /// # Errors
    /// When the proxy cannot be reached.
    pub async fn routes(&self) -> Result<Vec<Route>, ClientError> {
        match self.ask(Request::Routes, ANSWER).await? {
            Answer::Routes { routes } => Ok(routes),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Waits, at most `wait`, until nothing uses a generation any more. A generation that is older
    /// than the published one and not known (the proxy restarted) is drained.
    ///
    /// # Errors
    /// When the proxy cannot be reached, or the generation was never published.
    pub async fn drained(
        &self,
        route: &str,
        generation: u64,
        wait: Duration,
    ) -> Result<DrainState, ClientError> {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let request = Request::Drained { route: route.to_owned(), generation, wait_ms };
        match self.ask(request, wait.saturating_add(ANSWER)).await? {
            Answer::Drained { drained, in_flight } => Ok(DrainState { drained, in_flight }),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Counts, per route and generation.
    ///
    /// # Errors
    /// When the proxy cannot be reached.
    pub async fn stats(&self) -> Result<Stats, ClientError> {
        match self.ask(Request::Stats, ANSWER).await? {
            Answer::Stats { stats } => Ok(stats),
            other => Err(self.unexpected(&other)),
        }
    }

    /// The addresses that the proxy has bound, with their real ports.
    ///
    /// # Errors
    /// When the proxy cannot be reached.
    pub async fn listeners(&self) -> Result<Vec<SocketAddr>, ClientError> {
        match self.ask(Request::Listeners, ANSWER).await? {
            Answer::Listeners { listeners } => Ok(listeners),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Stops the proxy: it accepts no more, lets its requests end, and exits.
    ///
    /// # Errors
    /// When the proxy cannot be reached or refuses.
    pub async fn shutdown(&self) -> Result<(), ClientError> {
        match self.ask(Request::Shutdown, ANSWER).await? {
            Answer::Stopping => Ok(()),
            other => Err(self.unexpected(&other)),
        }
    }

    async fn probed(self) -> Result<Self, ClientError> {
        self.welcome().await?;
        Ok(self)
    }

    async fn ask(&self, request: Request, answer_within: Duration) -> Result<Answer, ClientError> {
        let envelope = Envelope { id: 1, request };
        match self.reach(Some(&envelope), answer_within).await? {
            (_, Some(Reply { outcome: Outcome::Ok(answer), .. })) => Ok(answer),
            (_, Some(Reply { outcome: Outcome::Error(error), .. })) => {
                Err(ClientError::Refused(error))
            }
            (welcome, None) => Err(self.unexpected(&welcome)),
        }
    }

    /// Says hello and asks, again and again until the proxy answers: all requests can be repeated.
    async fn reach(
        &self,
        envelope: Option<&Envelope>,
        answer_within: Duration,
    ) -> Result<(Welcome, Option<Reply>), ClientError> {
        let give_up = Instant::now() + self.patience;
        loop {
            match self.try_once(envelope, answer_within).await {
                Err(ClientError::Unreachable { .. }) if Instant::now() < give_up => {
                    sleep(PAUSE).await;
                }
                done => return done,
            }
        }
    }

    async fn try_once(
        &self,
        envelope: Option<&Envelope>,
        answer_within: Duration,
    ) -> Result<(Welcome, Option<Reply>), ClientError> {
        let (mut stream, welcome) = self.open().await?;
        let Some(envelope) = envelope else {
            return Ok((welcome, None));
        };
        let since = envelope.request.since();
        if welcome.protocol < since {
            return Err(ClientError::Refused(ControlError {
                code: ErrorCode::UnsupportedProtocol,
                message: format!(
                    "the proxy that runs ({}) speaks the control protocol {}, and what it is asked needs \
                     {since}: it would serve files that are withheld; restart the proxy with this release",
                    welcome.version, welcome.protocol
                ),
            }));
        }
        let reply = exchange(&mut stream, envelope, answer_within).await;
        Ok((welcome, Some(reply.map_err(|e| self.lost(e))?)))
    }

    async fn open(&self) -> Result<(BufReader<UnixStream>, Welcome), ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|e| self.lost(e))?;
        let mut stream = BufReader::new(stream);
        let hello = Hello {
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL_MAX,
            epoch: self.epoch,
            client: concat!("windlass/", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        match exchange(&mut stream, &hello, ANSWER).await.map_err(|e| self.lost(e))? {
            HelloReply::Welcome(welcome) => Ok((stream, welcome)),
            HelloReply::Refused(error) => Err(ClientError::Refused(error)),
        }
    }

    fn lost(&self, source: io::Error) -> ClientError {
        if source.kind() == io::ErrorKind::InvalidData {
            return ClientError::Protocol { path: self.socket.clone(), what: source.to_string() };
        }
        ClientError::Unreachable { path: self.socket.clone(), source }
    }

    fn unexpected(&self, answer: &impl std::fmt::Debug) -> ClientError {
        ClientError::Protocol { path: self.socket.clone(), what: format!("{answer:?}") }
    }
}

/// Writes one line and reads one.
async fn exchange<T: DeserializeOwned>(
    stream: &mut BufReader<UnixStream>,
    message: &impl Serialize,
    within: Duration,
) -> io::Result<T> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let mut answer = Vec::new();
    timeout(within, async {
        stream.write_all(&line).await?;
        stream.read_until(b'\n', &mut answer).await
    })
    .await
    .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))??;
    if answer.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    serde_json::from_slice(&answer).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}
