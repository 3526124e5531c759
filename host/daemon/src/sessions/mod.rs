//! Working with what runs: a command in a live instance (`exec`), a one-off command in the live artifact
//! (`run`), with a person at the other end or in the background.
//!
//! **Invariants.** A session ends with its client: when the client hangs up, every process of the session
//! goes. Sessions are counted and limited in time. A one-off command's container carries a label of its own, by
//! which a restarted host finds it: one that a person worked with is removed, one in the background is waited
//! for again.
//!
//! Reading order: [`start`] (which command, where), [`pump`] (between client and process), [`background`].

pub(crate) mod background;
pub(crate) mod pump;
pub(crate) mod start;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use windlass_model::{EnvironmentName, Failure, Limits, ProjectName};

/// Prefix of the name of a one-off command, and of its log.
const RUN_PREFIX: &str = "run-";

/// Whether a log below a deployment's instances is that of a command which ends by itself: a one-off command, or a run
/// of a schedule (`cron.NAME.NUMBER`; instances have one dot).
pub(crate) fn is_log(name: &str) -> bool {
    let is_scheduled = name.strip_prefix("cron.").is_some_and(|rest| rest.contains('.'));
    is_scheduled || name.starts_with(RUN_PREFIX)
}

/// Where a session is asked for, by whom, and which kind.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) project: ProjectName,
    pub(crate) environment: EnvironmentName,
    pub(crate) actor: String,
    pub(crate) kind: Kind,
}

/// What a session works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A live instance.
    Exec,
    /// A container of its own.
    Run,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Run => "run",
        }
    }
}

/// Counts what is open.
#[derive(Debug)]
pub(crate) struct Sessions {
    places: Arc<Semaphore>,
    count_max: usize,
    /// One-off commands that were begun before it was looked for those of an earlier start; none is noted after that.
    begun: Mutex<Option<HashSet<String>>>,
}

impl Sessions {
    pub(crate) fn new(limits: &Limits) -> Self {
        let count_max = limits.sessions_max;
        let begun = Mutex::new(Some(HashSet::new()));
        Self { places: Arc::new(Semaphore::new(count_max)), count_max, begun }
    }

    /// Notes a one-off command before its container is made: it is none of an earlier start.
    fn note(&self, name: &str) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = begun.as_mut() {
            begun.insert(name.to_owned());
        }
    }

    /// The one-off commands that were noted. From now on none is.
    fn noted(&self) -> HashSet<String> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.take().unwrap_or_default()
    }

    /// A place for one more, held until it is dropped.
    pub(crate) fn enter(&self) -> Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Failure::app(
                "session.too-many",
                "no further command can be started",
                format!("{} sessions and one-off commands are open", self.count_max),
                "end one of them, or raise `sessions_max` in the limits of `windlass serve`",
            )
        })
    }
}
