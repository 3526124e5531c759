//! What a client and the host say to each other over the websocket of a session (`exec`, `run`).
//!
//! Text frames hold these messages as JSON; binary frames are bytes: from the client all of them are input,
//! from the host the first byte says which output follows ([`STDOUT`], [`STDERR`]). The client's first
//! message is [`ClientMessage::Start`].

use serde::{Deserialize, Serialize};

use crate::{Failure, Timestamp};

/// First byte of a frame with standard output, or what a terminal shows.
pub const STDOUT: u8 = 1;
/// First byte of a frame with standard error.
pub const STDERR: u8 = 2;

/// Size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TerminalSize {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// Which command, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionStart {
    /// The command; empty is a shell: bash if there is one, else sh.
    #[serde(default)]
    pub argv: Vec<String>,
    /// In an instance of this process, or (for `run`) from this process's image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// In this instance, as `web.0`; not for `run`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The terminal that it gets; plain streams when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<TerminalSize>,
    /// Kind of the terminal, as `xterm-256color`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<String>,
}

/// A signal that a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum SessionSignal {
    /// SIGHUP.
    Hup,
    /// SIGINT.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGTERM.
    Term,
    /// SIGKILL.
    Kill,
}

impl SessionSignal {
    /// Its number.
    pub const fn number(self) -> i32 {
        match self {
            Self::Hup => 1,
            Self::Int => 2,
            Self::Quit => 3,
            Self::Kill => 9,
            Self::Term => 15,
        }
    }
}

/// From the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum ClientMessage {
    /// Begins the session.
    Start(SessionStart),
    /// The terminal has another size.
    Resize(TerminalSize),
    /// Sends a signal to the command.
    Signal {
        /// Which.
        signal: SessionSignal,
    },
    /// Nothing more will be written to its input.
    StdinEnd,
}

/// From the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum HostMessage {
    /// The command runs.
    Started {
        /// Where: an instance, or the name of the one-off command.
        instance: String,
    },
    /// It has ended, and all its output was sent.
    Exited {
        /// Exit status; 128 + signal when a signal ended it.
        code: u32,
    },
    /// It could not be begun, or was ended.
    Failed {
        /// Why.
        failure: Failure,
    },
}

/// `POST …/runs`: a one-off command that nobody waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRun {
    /// The command.
    pub argv: Vec<String>,
    /// From this process's image; the web process's, or the first one's, when absent.
    #[serde(default)]
    pub process: Option<String>,
}

/// A one-off command that runs, or ran, in the background.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunView {
    /// Its name, which is also that of its log.
    pub name: String,
    /// Number of the deployment whose artifact it runs.
    pub number: u64,
    /// The command.
    pub argv: Vec<String>,
    /// Who asked for it.
    pub actor: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Its exit status, once it has ended; absent when it was removed without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u32>,
}
