//! The messages of the control protocol. These types are promises: a field more or another meaning
//! is a new protocol version, which old proxies refuse in the handshake instead of misreading it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::route::Route;

/// The oldest protocol version that this build speaks.
pub const PROTOCOL_MIN: u32 = 1;
/// The newest protocol version that this build speaks: 2 has routes with withheld files.
pub const PROTOCOL_MAX: u32 = 2;

/// The first line of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Oldest protocol version that the client speaks.
    pub protocol_min: u32,
    /// Newest protocol version that the client speaks.
    pub protocol_max: u32,
    /// The client's fencing epoch: a number that grows with every start of the control plane.
    /// A lower one than the proxy has seen is refused. Without it the client may only look.
    pub epoch: Option<u64>,
    /// Who asks, for logs: `windlass/0.1.0`.
    pub client: String,
}

/// The proxy's answer to a [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HelloReply {
    /// The connection is open.
    Welcome(Welcome),
    /// The connection is refused and closed.
    Refused(ControlError),
}

/// What the proxy says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol version that both speak from here on.
    pub protocol: u32,
    /// The proxy's own version.
    pub version: String,
    /// The proxy's process.
    pub pid: u32,
    /// The highest epoch that the proxy has seen.
    pub epoch: u64,
}

/// One request, with a number that its reply repeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Chosen by the client.
    pub id: u64,
    /// What is asked.
    pub request: Request,
}

/// What a client can ask. A type that the proxy does not know gets
/// [`ErrorCode::UnknownRequest`], and the connection goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Request {
    /// Publishes a route. Acknowledged when the file is synced and the table swapped.
    PutRoute {
        /// The route, whole.
        route: Route,
    },
    /// Withdraws a route. Succeeds when there is none.
    RemoveRoute {
        /// Its name.
        name: String,
    },
    /// Lists all routes.
    Routes,
    /// Asks whether nothing uses a generation any more, and waits for it.
    Drained {
        /// The route's name.
        route: String,
        /// The generation asked about.
        generation: u64,
        /// Longest wait, in milliseconds.
        wait_ms: u64,
    },
    /// Counts, per route and generation.
    Stats,
    /// The addresses that visitors reach.
    Listeners,
    /// Stops the proxy gracefully.
    Shutdown,
}

impl Request {
    /// Whether the request changes something, and so needs an epoch.
    pub fn changes(&self) -> bool {
        matches!(self, Self::PutRoute { .. } | Self::RemoveRoute { .. } | Self::Shutdown)
    }

    /// The oldest protocol version that has it: an older proxy would leave out what it does not know.
    pub(super) fn since(&self) -> u32 {
        match self {
            Self::PutRoute { route } if route.withholds() => 2,
            _ => PROTOCOL_MIN,
        }
    }
}

/// The reply to one [`Envelope`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The envelope's number; 0 when it could not be read.
    pub id: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done.
    Ok(Answer),
    /// It was refused; nothing changed.
    Error(ControlError),
}

/// What a successful request is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Answer {
    /// The change is synced to the file and in force.
    Acknowledged,
    /// All routes, by name.
    Routes {
        /// The routes.
        routes: Vec<Route>,
    },
    /// The state of a generation's drain.
    Drained {
        /// Whether nothing uses it any more.
        drained: bool,
        /// Requests and connections that still use it.
        in_flight: u64,
    },
    /// Counts.
    Stats {
        /// The counts.
        stats: Stats,
    },
    /// The addresses bound.
    Listeners {
        /// The addresses, with real ports.
        listeners: Vec<SocketAddr>,
    },
    /// The proxy stops accepting, and ends when its requests have.
    Stopping,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ControlError {
    /// What kind of refusal it is.
    pub code: ErrorCode,
    /// What happened, why and how to fix it, for a person.
    pub message: String,
}

/// Kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// Client and proxy share no protocol version.
    UnsupportedProtocol,
    /// A newer control plane has spoken to this proxy.
    Fenced,
    /// The client said no epoch, and asked for a change.
    ReadOnly,
    /// The line is not a message of this protocol.
    Malformed,
    /// The message is of a type that this proxy does not know.
    UnknownRequest,
    /// The route cannot be served as it is.
    InvalidRoute,
    /// The generation is not newer than the published one, and the content differs.
    StaleGeneration,
    /// Another route answers this host, or is the default.
    HostTaken,
    /// The route's static tree cannot be opened.
    StaticRoot,
    /// The generation asked about was never published here.
    UnknownGeneration,
    /// The table file could not be written. The old table stays in force.
    TableFile,
    /// A code of a newer proxy.
    #[serde(other)]
    Unknown,
}

/// Counts since the proxy's start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Visitors' connections open now.
    pub connections: u64,
    /// Requests held now because nobody can answer them.
    pub held: u64,
    /// Requests for hosts that no route answers.
    pub unrouted: u64,
    /// Each generation that is served or still drains.
    pub generations: Vec<GenerationStats>,
}

/// Counts of one generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationStats {
    /// The route's name.
    pub route: String,
    /// The newest generation with these targets.
    pub generation: u64,
    /// Whether it is closed and drains.
    pub draining: bool,
    /// Requests taken.
    pub requests: u64,
    /// Requests, streams and upgraded connections open now.
    pub in_flight: u64,
    /// Requests that the proxy itself had to answer with 502, 503 or 504, and answers that broke
    /// off.
    pub errors: u64,
}
