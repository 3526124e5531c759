//! Following logs as they are written, across restarts of instances and across deployments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use windlass_containers::logs::is_closed;
use windlass_model::{Deployment, DeploymentStatus};

use super::merge::{Batch, Item, Merge};
use super::place::{Origin, Places};
use super::query::Wanted;
use super::sources::{self, Known, Scope};
use crate::host::Host;
use crate::sessions;

/// How often logs that have nothing new are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// How long the last lines of ended instances may take: one that was killed may never say its end.
const LAST_LINES: Duration = Duration::from_secs(3);
/// Deployments of an environment that are followed at the same time.
const DEPLOYMENTS_MAX: usize = 5;

/// Follows for one reader.
pub(crate) struct Follow {
    host: Arc<Host>,
    scope: Scope,
    wanted: Wanted,
    /// Where the reader was, when it comes back.
    resume: Option<Places>,
    merge: Merge,
    known: BTreeMap<u64, Known>,
    origins: BTreeSet<Origin>,
    over_since: Option<Instant>,
    is_begun: bool,
}

impl Follow {
    pub(crate) fn new(
        host: Arc<Host>,
        scope: Scope,
        wanted: Wanted,
        resume: Option<Places>,
    ) -> Self {
        let merge = Merge::new(wanted.filter.clone(), true);
        let (known, origins) = (BTreeMap::new(), BTreeSet::new());
        let (over_since, is_begun) = (None, false);
        Self { host, scope, wanted, resume, merge, known, origins, over_since, is_begun }
    }

    /// Sends lines until nothing more can come (`true`) or nobody listens.
    pub(crate) async fn run(mut self, to: &mpsc::Sender<Item>) -> bool {
        let mut more = false;
        loop {
            let round = tokio::task::spawn_blocking(move || {
                let ends = !more && self.look();
                let batch = self.merge.batch();
                (self, batch, ends)
            });
            let (me, batch, ends): (Self, Batch, bool) = match round.await {
                Ok(round) => round,
                Err(_) => return false,
            };
            self = me;
            more = batch.more;
            for item in batch.items {
                if to.send(item).await.is_err() {
                    return false;
                }
            }
            if more {
                continue;
            }
            if ends {
                return true;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = to.closed() => return false,
            }
        }
    }

    /// Finds deployments and instances that are new. Whether nothing more can come after what is there
    /// now: asked before the logs are read, so that the last lines are read after the answer.
    fn look(&mut self) -> bool {
        let ends = match self.scope.clone() {
            Scope::Deployment(id) => match self.host.store.find_deployment(&id) {
                Ok(Some(found)) => {
                    let ends = self.ends(&found.value);
                    self.know(found.value);
                    ends
                }
                Ok(None) => true,
                Err(_) => false,
            },
            Scope::Environment(project, environment) => {
                match sources::history(&self.host, &project, &environment, DEPLOYMENTS_MAX) {
                    Ok(newest) => {
                        let live = self.host.live(&project, &environment).ok().flatten();
                        self.know_newest(newest, live.map(|(deployment, _)| deployment));
                        false
                    }
                    // The environment was deleted.
                    Err(_) => true,
                }
            }
        };
        self.add_sources();
        if !std::mem::replace(&mut self.is_begun, true) {
            self.begin();
        }
        ends
    }

    fn know(&mut self, deployment: Deployment) {
        self.known.entry(deployment.number).or_insert_with(|| deployment.into());
    }

    /// The environment's newest deployment and the live one, then each that comes after them.
    fn know_newest(&mut self, newest: Vec<Deployment>, live: Option<Deployment>) {
        let resumed = self.resume.as_ref().filter(|_| !self.is_begun).map(Places::numbers);
        if let Some(last) = resumed.as_ref().and_then(|numbers| numbers.last().copied()) {
            let numbers = resumed.unwrap_or_default();
            for deployment in newest {
                if numbers.contains(&deployment.number) || deployment.number > last {
                    self.know(deployment);
                }
            }
        } else {
            let last = self.known.last_key_value().map(|(number, _)| *number);
            for (n, deployment) in newest.into_iter().enumerate() {
                if last.map_or(n == 0, |last| deployment.number > last) {
                    self.know(deployment);
                }
            }
        }
        let live_number = live.as_ref().map(|live| live.number);
        if let Some(live) = live {
            self.know(live);
        }
        while self.known.len() > DEPLOYMENTS_MAX {
            let Some(oldest) = self.known.keys().copied().find(|n| Some(*n) != live_number) else {
                break;
            };
            self.known.remove(&oldest);
            self.merge.sources.retain(|source| source.origin.number != oldest);
        }
    }

    fn add_sources(&mut self) {
        for known in self.known.values() {
            for source in sources::of_deployment(&self.host, known, &self.wanted) {
                if self.origins.insert(source.origin.clone()) {
                    self.merge.sources.push(source);
                }
            }
        }
    }

    /// Goes to where the reader wants to begin.
    fn begin(&mut self) {
        match (&self.resume, self.wanted.tail) {
            (Some(places), _) => self.merge.resume(places),
            (None, Some(tail)) => self.merge.seek_tail(tail),
            (None, None) => self.merge.seek_since(),
        }
    }

    /// The log of a step ends with the deployment's work, that of an instance with its service.
    fn ends(&mut self, deployment: &Deployment) -> bool {
        use DeploymentStatus as S;
        if let Some(name) = self.wanted.instance.as_deref().filter(|name| sessions::is_log(name)) {
            return is_closed(&self.host.logs.instance_dir(&deployment.id, name));
        }
        let works = matches!(deployment.status, S::Queued | S::Running | S::Paused);
        let serves = matches!(deployment.status, S::Live | S::Draining);
        if works || (serves && self.wanted.step.is_none()) {
            self.over_since = None;
            return false;
        }
        let since = *self.over_since.get_or_insert_with(Instant::now);
        self.wanted.step.is_some()
            || since.elapsed() > LAST_LINES
            || sources::are_closed(&self.host, &deployment.id, &self.wanted)
    }
}
