//! Supervision: what runs is kept as it should be, and what people asked of it is done.
//!
//! One keeper for each environment compares its record ([`Running`]) with what is wanted, and mends the
//! difference: an instance that ended is started again, ever later; one that does not answer any more is
//! taken out of the route and started again; instances are added and removed by the number that is
//! wanted; `stop`, `start` and `restart` are carried out. What instances may reach by name is looked up again
//! at intervals.
//!
//! **Invariants**
//! - Everything is decided from the record, and the record is stored before the world is changed: a
//!   keeper that begins anew, after a crash or at a start, goes on where it was.
//! - Only a live deployment's instances are touched, and never those of one that drains: containers are
//!   made under the environment's lock `instances`, after a look whether the record still names this
//!   deployment.
//! - The route changes under its lock, and not while a deployment takes it over.
//! - No instance gets SIGTERM before no request can reach it.
//!
//! Reading order: [`plan`] and [`exits`] (what is decided), [`keeper`], [`jobs`], [`liveness`], [`life`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use windlass_model::{EnvironmentName, ProjectName};

use crate::host::Host;
use crate::pipeline::egress;

pub(crate) use jobs::run_of;

pub(crate) mod exits;
mod jobs;
mod keeper;
mod life;
mod liveness;
pub(crate) mod plan;
#[cfg(test)]
mod tests;

/// Every environment is looked at least this often, should a change ever be missed.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// An environment.
type Place = (ProjectName, EnvironmentName);

/// Runs until the host stops.
pub(crate) async fn work(host: Arc<Host>) {
    let mut changes = host.store.watch_running();
    let mut keepers = Keepers { host, known: HashMap::new(), tasks: JoinSet::new() };
    keepers.wake_all();
    keepers.tasks.spawn(egress::keep(keepers.host.clone()));
    loop {
        tokio::select! {
            change = changes.next() => match change {
                Some(Some(place)) => keepers.wake(place),
                Some(None) => keepers.wake_all(),
                None => return,
            },
            () = tokio::time::sleep(LOOK_EVERY) => keepers.wake_all(),
            Some(_) = keepers.tasks.join_next(), if !keepers.tasks.is_empty() => {}
        }
    }
}

struct Keepers {
    host: Arc<Host>,
    known: HashMap<Place, (Arc<Notify>, tokio::task::AbortHandle)>,
    /// Ends the keepers, and who looks names up again, with this value.
    tasks: JoinSet<()>,
}

impl Keepers {
    fn wake_all(&mut self) {
        match self.host.store.all_running() {
            Ok(all) => {
                for running in all {
                    self.wake((running.value.project, running.value.environment));
                }
            }
            Err(error) => tracing::error!(%error, "what runs could not be read"),
        }
        self.known.retain(|_, (_, task)| !task.is_finished());
    }

    fn wake(&mut self, place: Place) {
        if let Some((notify, task)) = self.known.get(&place)
            && !task.is_finished()
        {
            notify.notify_one();
            return;
        }
        let notify = Arc::new(Notify::new());
        let keeper = keeper::keep(self.host.clone(), place.clone(), notify.clone());
        let task = self.tasks.spawn(keeper);
        self.known.insert(place, (notify, task));
    }
}
