//! Places in the network of builds, made before a command needs one.
//!
//! To connect a namespace to the network and to take it away again takes longer than many a command. So a place is made
//! as soon as it is known that a command with a network comes, serves one after the other, and is taken away beside the
//! rest of the build when no such command is left. One more is ready for the next build: it is made some time after a
//! build with such a command has ended, when nobody waits, for to make it takes the CPU of what runs meanwhile.
//!
//! **Invariant: a place is of one build alone, and in it is one command at a time.** One whose command may not be gone
//! serves no other. All are gone when the build has ended but the one that is of none yet; those of a build that nobody
//! waits for any more go by themselves, and those of a killed host at its next start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use windlass_containers::runtime::{Attachment, SPARE_PLACE};
use windlass_containers::{Runtime, RuntimeError};
use windlass_model::DeploymentId;
use windlass_model::plan::{BuildPlan, BuildStep, Op};

use super::needed::{needed, references};
use super::session::locked;

/// Number of the next place: what goes in the background is never one that was made since.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// After a build, before one is made for the next: what was built is started meanwhile, and somebody waits for that.
const SPARE_AFTER: Duration = Duration::from_secs(2);
/// How long the one that is ready is kept when no build takes it.
const SPARE_FOR: Duration = Duration::from_secs(600);

/// The place that is ready for the next build of a host.
#[derive(Clone)]
pub(super) struct Spare {
    runtime: Arc<dyn Runtime>,
    ready: Arc<Mutex<Ready>>,
    /// Those that builds have, with what the names of the build's own places begin with.
    taken: Arc<Mutex<BTreeMap<String, String>>>,
}

#[derive(Default)]
enum Ready {
    #[default]
    None,
    Making,
    Is(String),
}

/// The places of one build.
pub(crate) struct Places {
    runtime: Arc<dyn Runtime>,
    spare: Spare,
    prefix: String,
    /// Ids of the steps with commands that have a network, and of those that they need.
    towards: BTreeSet<String>,
    state: Mutex<State>,
}

struct State {
    /// In use by no command.
    idle: Vec<Made>,
    /// Whether any was ever made.
    has_begun: bool,
    /// Commands with a network that have not ended.
    to_come: usize,
    leaving: Vec<JoinHandle<Result<(), RuntimeError>>>,
}

/// A place, which may still be in the making.
struct Made {
    name: String,
    making: Option<JoinHandle<Result<(), RuntimeError>>>,
}

/// A place that a command is in.
pub(crate) struct Place {
    made: Option<Made>,
    of: Arc<Places>,
}

/// What the names of a build's places begin with.
pub(super) fn prefix(deployment: &DeploymentId) -> String {
    format!("build-{deployment}-net-")
}

/// Commands of a step that have a network.
fn with_network(step: &BuildStep) -> usize {
    step.ops.iter().filter(|op| matches!(op, Op::Run(run) if run.network)).count()
}

impl Places {
    /// None yet.
    pub(super) fn new(
        runtime: &Arc<dyn Runtime>,
        spare: &Spare,
        deployment: &DeploymentId,
        plan: &BuildPlan,
    ) -> Arc<Self> {
        let needed = needed(plan);
        let mut towards = BTreeSet::new();
        let mut to_come = 0;
        // Steps refer only to earlier ones.
        for step in plan.steps.iter().rev().filter(|step| needed.contains(step.id.as_str())) {
            let own = with_network(step);
            to_come += own;
            if own > 0 || towards.contains(&step.id) {
                towards.insert(step.id.clone());
                towards.extend(references(step).into_iter().map(str::to_owned));
            }
        }
        let state = State { idle: Vec::new(), has_begun: false, to_come, leaving: Vec::new() };
        let (runtime, prefix) = (Arc::clone(runtime), prefix(deployment));
        let spare = spare.clone();
        Arc::new(Self { runtime, spare, prefix, towards, state: Mutex::new(state) })
    }

    /// All steps are to be carried out, whatever is in the cache.
    pub(super) fn expect_any(&self) {
        let mut state = locked(&self.state);
        if state.to_come > 0 && !state.has_begun {
            let made = self.begin(&mut state);
            state.idle.push(made);
        }
    }

    /// A step is to be carried out, and so are those that need it: a place is made ready if one of their commands has
    /// a network.
    pub(super) fn expect(&self, step: &BuildStep) {
        let mut state = locked(&self.state);
        let is_missing = match with_network(step) {
            0 => self.towards.contains(&step.id) && !state.has_begun,
            _ => state.idle.is_empty(),
        };
        if is_missing {
            let made = self.begin(&mut state);
            state.idle.push(made);
        }
    }

    /// A step was found in the cache: its commands do not come.
    pub(super) fn skip(&self, step: &BuildStep) {
        self.ended(&mut locked(&self.state), with_network(step));
    }

    /// A place for a command, once it is made.
    pub(crate) async fn take(self: &Arc<Self>) -> Result<Place, RuntimeError> {
        let made = {
            let mut state = locked(&self.state);
            state.idle.pop().unwrap_or_else(|| self.begin(&mut state))
        };
        let mut place = Place { made: Some(made), of: Arc::clone(self) };
        if let Some(made) = &mut place.made
            && let Some(making) = &mut made.making
        {
            let outcome = making.await;
            made.making = None;
            outcome.map_err(|e| broken(&e))??;
        }
        Ok(place)
    }

    /// Takes all away that is not yet, and waits until nothing is left.
    pub(super) async fn end(&self) -> Result<(), RuntimeError> {
        let leaving = {
            let mut state = locked(&self.state);
            self.leave_idle(&mut state);
            std::mem::take(&mut state.leaving)
        };
        let mut ended = Ok(());
        for gone in leaving {
            let gone = gone.await.map_err(|e| broken(&e));
            ended = ended.and(gone.flatten());
        }
        ended
    }

    /// The build has ended: if it needed a place, the next one finds one ready.
    pub(super) fn prepare_spare(&self) {
        if locked(&self.state).has_begun {
            self.spare.prepare(SPARE_AFTER);
        }
    }

    fn begin(&self, state: &mut State) -> Made {
        state.has_begun = true;
        let spare = self.spare.take(&self.prefix);
        // One that is ready is there at once, unless something has taken it away since.
        let name = spare
            .unwrap_or_else(|| format!("{}{}", self.prefix, NEXT.fetch_add(1, Ordering::Relaxed)));
        let (runtime, of) = (Arc::clone(&self.runtime), name.clone());
        let making =
            tokio::spawn(async move { runtime.ensure_place(&of, &Attachment::build()).await });
        Made { name, making: Some(making) }
    }

    /// So many commands with a network have ended, or do not come. After the last no place is needed.
    fn ended(&self, state: &mut State, commands: usize) {
        state.to_come = state.to_come.saturating_sub(commands);
        if state.to_come == 0 {
            self.leave_idle(state);
        }
    }

    fn leave_idle(&self, state: &mut State) {
        for made in std::mem::take(&mut state.idle) {
            self.leave(state, made);
        }
    }

    /// Takes a place away, in the background.
    fn leave(&self, state: &mut State, made: Made) {
        // Without one the host has ended, and its next start takes away what is left.
        let Ok(background) = tokio::runtime::Handle::try_current() else { return };
        let (runtime, spare) = (Arc::clone(&self.runtime), self.spare.clone());
        state.leaving.push(background.spawn(async move {
            if let Some(making) = made.making {
                // Made or not: what there is of it goes.
                let _made = making.await;
            }
            runtime.remove_place(&made.name).await?;
            spare.is_gone(&made.name);
            Ok(())
        }));
    }
}

impl Spare {
    /// None yet.
    pub(super) fn new(runtime: &Arc<dyn Runtime>) -> Self {
        let (ready, taken) = (Arc::default(), Arc::default());
        Self { runtime: Arc::clone(runtime), ready, taken }
    }

    /// It is of the build with this prefix from here on.
    fn take(&self, prefix: &str) -> Option<String> {
        let mut ready = locked(&self.ready);
        match std::mem::take(&mut *ready) {
            Ready::Is(name) => {
                locked(&self.taken).insert(name.clone(), prefix.to_owned());
                Some(name)
            }
            other => {
                *ready = other;
                None
            }
        }
    }

    /// Those that the build with this prefix has taken and that are not gone.
    pub(super) fn taken_by(&self, prefix: &str) -> Vec<String> {
        let taken = locked(&self.taken);
        taken.iter().filter(|(_, by)| *by == prefix).map(|(name, _)| name.clone()).collect()
    }

    /// A place was removed.
    pub(super) fn is_gone(&self, name: &str) {
        locked(&self.taken).remove(name);
    }

    /// Makes one in the background, after so long, unless there is one. It goes when it was needed by nobody for long.
    fn prepare(&self, after: Duration) {
        let mut ready = locked(&self.ready);
        if !matches!(*ready, Ready::None) {
            return;
        }
        *ready = Ready::Making;
        let Self { runtime, ready, taken } = self.clone();
        // A host that ends meanwhile is not held up by it.
        let kept = Arc::downgrade(&runtime);
        drop(runtime);
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let Some(runtime) = kept.upgrade() else { return };
            let spare = Self { runtime, ready, taken };
            let Some(name) = spare.make().await else { return };
            let Self { runtime, ready, taken } = spare;
            drop(runtime);
            tokio::time::sleep(SPARE_FOR).await;
            if let Some(runtime) = kept.upgrade() {
                (Self { runtime, ready, taken }).let_go(&name).await;
            }
        });
    }

    /// Makes one; its name.
    async fn make(&self) -> Option<String> {
        let name = format!("{SPARE_PLACE}{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let made = async {
            // A killed host may have left one of this name.
            self.runtime.remove_place(&name).await?;
            self.runtime.ensure_place(&name, &Attachment::build()).await
        };
        let made = made.await;
        *locked(&self.ready) = match &made {
            Ok(()) => Ready::Is(name.clone()),
            Err(_) => Ready::None,
        };
        match made {
            Ok(()) => Some(name),
            Err(error) => {
                tracing::debug!(%error, "no place in the network is ready for the next build");
                None
            }
        }
    }

    async fn let_go(&self, name: &str) {
        {
            let mut ready = locked(&self.ready);
            if !matches!(&*ready, Ready::Is(is) if is == name) {
                return;
            }
            *ready = Ready::None;
        }
        if let Err(error) = self.runtime.remove_place(name).await {
            tracing::warn!(%error, "a place in the network of builds could not be removed");
        }
    }
}

fn broken(error: &JoinError) -> RuntimeError {
    RuntimeError::Refused {
        operation: "make or remove",
        name: "a place in the network of builds".to_owned(),
        why: error.to_string(),
    }
}

impl Drop for Places {
    /// Of a build that nobody waits for any more.
    fn drop(&mut self) {
        self.leave_idle(&mut locked(&self.state));
    }
}

impl Place {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.made.as_ref().map_or("", |made| &made.name)
    }

    /// The command is gone: the place may serve another one.
    pub(crate) fn give_back(mut self) {
        let made = self.made.take();
        locked(&self.of.state).idle.extend(made);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = locked(&self.of.state);
        if let Some(made) = self.made.take() {
            self.of.leave(&mut state, made);
        }
        self.of.ended(&mut state, 1);
    }
}

#[cfg(test)]
mod tests {
    use windlass_containers::fake::FakeRuntime;

    use super::*;

    async fn prepared(spare: &Spare) -> String {
        spare.prepare(Duration::ZERO);
        loop {
            if let Ready::Is(name) = &*locked(&spare.ready) {
                return name.clone();
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_place_that_no_build_takes_goes_and_one_that_is_taken_stays() {
        let runtime: Arc<dyn Runtime> = Arc::new(FakeRuntime::new().unwrap());
        let spare = Spare::new(&runtime);
        let name = prepared(&spare).await;
        assert_eq!(prepared(&spare).await, name, "there is one");
        assert_eq!(spare.take("build-1-"), Some(name.clone()));
        assert_eq!(spare.take("build-2-"), None);
        assert_eq!(spare.taken_by("build-1-"), std::slice::from_ref(&name));
        assert_eq!(spare.taken_by("build-2-"), Vec::<String>::new());
        spare.let_go(&name).await;
        let next = prepared(&spare).await;
        assert_eq!(runtime.list_places("").await.unwrap(), [name.clone(), next.clone()]);
        spare.let_go(&next).await;
        assert_eq!(runtime.list_places("").await.unwrap(), std::slice::from_ref(&name));
        spare.is_gone(&name);
        assert_eq!(spare.taken_by("build-1-"), Vec::<String>::new());
    }
}
