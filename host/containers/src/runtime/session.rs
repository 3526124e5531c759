//! A process that a person works with: a command in a running container, or one in a container of its own.
//!
//! **Invariant: a session that ends leaves no process**: whatever it started goes with it.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use windlass_model::Stream;

use crate::error::Result;

/// Size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// A command to work with in a running container.
#[derive(Clone)]
pub struct SessionSpec {
    /// The command.
    pub argv: Vec<String>,
    /// Variables on top of the container's own.
    pub env: Vec<(String, String)>,
    /// The terminal that it gets; plain streams when absent.
    pub terminal: Option<TerminalSize>,
}

/// An open session.
pub struct Session {
    /// What the process reads; see [`SessionControl::close_stdin`].
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// What it writes, while it writes; a terminal writes to standard output alone. Ends some time after
    /// [`SessionControl::wait`] has answered, with the last byte.
    pub output: mpsc::Receiver<(Stream, Bytes)>,
    /// What can be done to it.
    pub control: Box<dyn SessionControl>,
}

/// What can be done to an open session.
#[async_trait]
pub trait SessionControl: Send + Sync {
    /// Says that nothing more will be written to it. Drop [`Session::stdin`] first.
    async fn close_stdin(&self) -> Result<()>;
    /// Tells the terminal's new size.
    async fn resize(&self, size: TerminalSize) -> Result<()>;
    /// Sends a signal to the first process.
    async fn signal(&self, signal: i32) -> Result<()>;
    /// Waits for the end of the first process: its exit status, 128 + signal when a signal ended it.
    async fn wait(&self) -> Result<u32>;
    /// Ends it with every process it started, and removes what belongs to it. Can be repeated.
    async fn end(&self) -> Result<()>;
}
