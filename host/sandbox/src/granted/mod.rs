//! What the host does for a custom stage: the interfaces that must be granted.
//!
//! **Invariant: this crate does none of it.** It has no network, no containers and no files of a deployment;
//! whoever makes the call brings an [`Effects`], which holds what was granted and checks each wish against it.
//! A pure call brings none: there every wish is denied. The time that the host takes is not the plugin's.

pub(crate) mod annotations;
pub(crate) mod artifacts;
pub(crate) mod cache;
pub(crate) mod exec;
pub(crate) mod http;

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;

use crate::state::CallState;

pub mod contract {
    //! The records of the interfaces that must be granted, as `wit/` has them.
    pub use crate::bindings::{annotations, artifacts, cache, exec, http};
}

use contract::annotations::{Annotation, AnnotationError};
use contract::artifacts::{Artifact, ArtifactError};
use contract::cache::CacheError;
use contract::exec::{Batch, Command, ExecError, Exit};
use contract::http::{HttpError, Request, Response};

/// Does for one call what was granted to its plugin, and denies everything else.
#[async_trait]
pub trait Effects: Send + Sync {
    /// Runs a command to its end.
    ///
    /// # Errors
    /// It is denied, or could not be started.
    async fn run(&self, command: Command) -> Result<Exit, ExecError>;

    /// Begins a command. It ends when the answer is dropped.
    ///
    /// # Errors
    /// As [`Effects::run`].
    async fn spawn(&self, command: Command) -> Result<Box<dyn Process>, ExecError>;

    /// Sends a request.
    ///
    /// # Errors
    /// It is denied, or there is no answer.
    async fn fetch(&self, request: Request) -> Result<Response, HttpError>;

    /// Attaches a file to the deployment.
    ///
    /// # Errors
    /// It is denied, malformed, or too much.
    async fn attach(&self, artifact: Artifact, content: Vec<u8>) -> Result<(), ArtifactError>;

    /// Adds to a file that was attached before.
    ///
    /// # Errors
    /// As [`Effects::attach`]; there is none of this name.
    async fn append(&self, name: String, content: Vec<u8>) -> Result<(), ArtifactError>;

    /// What the plugin's cache holds under a key.
    async fn cached(&self, key: String) -> Option<Vec<u8>>;

    /// Puts a value into the plugin's cache; `None` forgets the key.
    ///
    /// # Errors
    /// It is denied, or too much.
    async fn cache(&self, key: String, value: Option<Vec<u8>>) -> Result<(), CacheError>;

    /// Notes a fact on the deployment.
    ///
    /// # Errors
    /// It is denied, malformed, or too much.
    async fn annotate(&self, annotation: Annotation) -> Result<(), AnnotationError>;
}

/// A command that runs beside its call. Dropping it ends the command.
#[async_trait]
pub trait Process: Send {
    /// Waits until there is a line, the command has ended, or the time is over. 0 lines: as many as there are.
    async fn next_lines(&mut self, lines_max: u32, wait_ms: u32) -> Batch;

    /// Waits for the end of the command. What it writes meanwhile is kept up to a limit.
    async fn wait(&mut self) -> Exit;

    /// Ends it.
    async fn kill(&mut self);
}

/// Why a pure call gets nothing.
const PURE: &str = "a stage that only decides may do nothing outside";

impl CallState {
    /// Has the host do something, on the host's time; `None` in a pure call.
    async fn outside<T, F>(&mut self, work: impl FnOnce(Arc<dyn Effects>) -> F) -> Option<T>
    where
        F: Future<Output = T>,
    {
        let effects = self.effects.clone()?;
        let _outside = self.times.begin_outside();
        Some(work(effects).await)
    }

    /// Counts a wish that was denied.
    fn count_denied(&mut self, is_denied: bool) {
        self.asked.denied += u64::from(is_denied);
    }
}
