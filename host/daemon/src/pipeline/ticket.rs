//! What the queue can ask of a deployment while it is run: its end, or a halt.
//!
//! **Invariant: a newer deployment never cuts a migration off; a person may, and is told.**

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use windlass_model::deployment::CancelReason;
use windlass_model::{DeploymentId, StepName};

/// Held by the queue and by the runner.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ticket {
    /// Ends the present step: a person wants it. Passed on to what kills process trees.
    pub cancel: CancellationToken,
    /// Ends the present step unless it is the migration, which is awaited.
    superseded: CancellationToken,
    asked: Arc<Mutex<Asked>>,
}

#[derive(Debug, Default)]
struct Asked {
    end: Option<CancelReason>,
    pause: Option<String>,
}

impl Ticket {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it with this reason, unless another one was first.
    pub(crate) fn cancel(&self, reason: CancelReason) {
        self.asked().end.get_or_insert(reason);
        self.cancel.cancel();
    }

    /// Ends it for a newer one, after the migration if that is running.
    pub(crate) fn supersede(&self, by: DeploymentId) {
        self.asked().end.get_or_insert(CancelReason::Superseded { by });
        self.superseded.cancel();
    }

    /// Why it is to end, if it is.
    pub(crate) fn reason(&self) -> Option<CancelReason> {
        self.asked().end.clone()
    }

    /// Halts it before its next step.
    pub(crate) fn pause(&self, actor: String) {
        self.asked().pause = Some(actor);
    }

    /// Takes the wish to halt back.
    pub(crate) fn go_on(&self) {
        self.asked().pause = None;
    }

    /// Who wants it to halt, if anyone does.
    pub(crate) fn pause_wanted(&self) -> Option<String> {
        self.asked().pause.clone()
    }

    /// Whether a step is to be cut off now.
    pub(crate) fn cuts(&self, step: StepName) -> bool {
        let superseded = self.superseded.is_cancelled() && step != StepName::Migrate;
        step.cancellable() && (self.cancel.is_cancelled() || superseded)
    }

    /// Waits until a step is to be cut off; for ever when it cannot be.
    pub(crate) async fn cut(&self, step: StepName) {
        tokio::select! {
            () = self.cancel.cancelled(), if step.cancellable() => {}
            () = self.superseded.cancelled(), if step.cancellable() && step != StepName::Migrate => {}
            () = std::future::pending() => {}
        }
    }
}
