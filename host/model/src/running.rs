//! What runs in an environment after its deployment went live: the actual instances, how many are
//! wanted, and whether visitors are let in.
//!
//! **Invariant: a deployment's record ends with its going live; everything after that is here.** Scaling,
//! stopping, restarts and exits change this record and leave an [`EnvironmentEvent`] behind; the
//! deployment is never touched by them, except that it is `stopped` or `live` again.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::deployment::{Deployment, Instance};
use crate::failure::Failure;
use crate::id::{DeploymentId, EnvironmentName, ProcessName, ProjectName, VolumeName};
use crate::plan::ProcessKind;

/// What an environment shows to visitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Its deployment answers.
    Serving,
    /// A person stopped it; no instance is left.
    Stopped,
    /// Its instances run, and visitors are held and then refused.
    Maintenance,
}

impl RunState {
    /// Name as it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Stopped => "stopped",
            Self::Maintenance => "maintenance",
        }
    }
}

/// How an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// It is being started, and is checked before anybody is led to it.
    Starting,
    /// It runs; a web instance is in the route.
    Running,
    /// It ended, and is started again at `retry_at`.
    BackingOff,
    /// It ended again and again, and is still started again, at the longest pause.
    CrashLooping,
    /// Nobody is led to it any more; it is drained, stopped and deleted.
    Leaving,
}

impl InstanceState {
    /// Name as it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::BackingOff => "backing-off",
            Self::CrashLooping => "crash-looping",
            Self::Leaving => "leaving",
        }
    }
}

/// How an instance ended last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LastExit {
    /// Exit status; 128 + signal when a signal ended it.
    pub code: u32,
    /// Whether it was killed for its memory.
    pub oom: bool,
    /// When.
    pub at: Timestamp,
}

/// An instance after going live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LiveInstance {
    /// The container. Before its first start the address is `0.0.0.0` and the process id 0.
    #[serde(flatten)]
    pub instance: Instance,
    /// How it stands.
    pub state: InstanceState,
    /// Since when.
    pub since: Timestamp,
    /// How often it was started again.
    #[serde(default)]
    pub restarts: u32,
    /// How it ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<LastExit>,
    /// How often it was killed for its memory.
    #[serde(default)]
    pub oom_kills: u32,
    /// Since when it is healthy; absent while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_since: Option<Timestamp>,
    /// When it is started again, while it backs off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// Exits since it was last healthy for long: what the pause grows by.
    #[serde(default)]
    pub failures_in_a_row: u32,
    /// When it ended recently, oldest first: what a crash loop is seen by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exits: Vec<Timestamp>,
    /// The first generation of the route that led here since it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routed_from: Option<u64>,
    /// The last generation that led here, once none does any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routed_until: Option<u64>,
    /// It is to be replaced by a fresh one: a restart was asked for.
    #[serde(default)]
    pub outdated: bool,
    /// Why it does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl LiveInstance {
    /// One that a deployment has started and found healthy.
    pub fn healthy(instance: Instance, generation: Option<u64>) -> Self {
        let now = Timestamp::now();
        Self {
            instance,
            state: InstanceState::Running,
            since: now,
            restarts: 0,
            last_exit: None,
            oom_kills: 0,
            healthy_since: Some(now),
            retry_at: None,
            failures_in_a_row: 0,
            exits: Vec::new(),
            routed_from: generation,
            routed_until: None,
            outdated: false,
            failure: None,
        }
    }

    /// One that is to be started for the first time, under this name.
    pub fn planned(id: String, process: ProcessName, ordinal: u32) -> Self {
        let instance = Instance {
            id,
            process,
            ordinal,
            address: std::net::Ipv4Addr::UNSPECIFIED,
            port: None,
            pid: 0,
            started_at: Timestamp::now(),
        };
        Self {
            state: InstanceState::Starting,
            healthy_since: None,
            ..Self::healthy(instance, None)
        }
    }

    /// Moves to another state.
    pub fn enter(&mut self, state: InstanceState) {
        self.state = state;
        self.since = Timestamp::now();
    }

    /// What people see of it: `web.0`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.instance.process, self.instance.ordinal)
    }

    /// Whether visitors are led to it.
    pub fn answers(&self) -> bool {
        self.state == InstanceState::Running && self.instance.port.is_some()
    }
}

/// How many instances a person wants of a process, whatever the settings say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Scale {
    /// So many.
    pub replicas: u32,
    /// Who asked.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}

/// Who did something, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct By {
    /// Who.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}

impl By {
    /// This actor, now.
    pub fn now(actor: impl Into<String>) -> Self {
        Self { actor: actor.into(), at: Timestamp::now() }
    }
}

/// Visitors are held, then refused, while the instances go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Maintenance {
    /// What visitors read, in a few words.
    pub message: String,
    /// How long a request is held before it is refused, in milliseconds; the proxy's own limit when
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ms: Option<u64>,
    /// Who asked, and when.
    #[serde(flatten)]
    pub by: By,
}

/// What can be asked of a running environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// End its instances and keep its deployment.
    Stop,
    /// Bring the stopped deployment back.
    Start,
    /// Replace each instance by a fresh one.
    Restart,
}

impl Action {
    /// Name as it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Restart => "restart",
        }
    }
}

/// Something that was asked for and is not done yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Asked {
    /// What.
    pub action: Action,
    /// Who asked, and when.
    #[serde(flatten)]
    pub by: By,
}

/// What runs in an environment. There is one from its first live deployment on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Running {
    /// Project.
    pub project: ProjectName,
    /// Environment.
    pub environment: EnvironmentName,
    /// The deployment whose instances these are: the environment's live one.
    pub deployment: DeploymentId,
    /// The published generation of the route.
    #[serde(default)]
    pub generation: u64,
    /// The actual instances.
    #[serde(default)]
    pub instances: Vec<LiveInstance>,
    /// What people said about the number of instances; it goes before the settings and stays over
    /// deployments.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scales: BTreeMap<ProcessName, Scale>,
    /// Who stopped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<By>,
    /// Whether visitors are kept away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// What is being done because a person asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// Why what was asked last was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The deployment that has stopped the instances to start its own (`strategy = "recreate"`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recreating: Option<DeploymentId>,
}

impl Running {
    /// Of a deployment that has just gone live.
    pub fn of(deployment: &Deployment) -> Self {
        let generation = deployment.outputs.generation;
        let instances = deployment.outputs.instances.iter().cloned();
        Self {
            project: deployment.project.clone(),
            environment: deployment.environment.clone(),
            deployment: deployment.id.clone(),
            generation: generation.unwrap_or_default(),
            instances: instances.map(|one| LiveInstance::healthy(one, generation)).collect(),
            scales: BTreeMap::new(),
            stopped: None,
            maintenance: None,
            asked: None,
            failure: None,
            recreating: None,
        }
    }

    /// What visitors meet.
    pub fn state(&self) -> RunState {
        match (&self.stopped, &self.maintenance) {
            (Some(_), _) => RunState::Stopped,
            (None, Some(_)) => RunState::Maintenance,
            (None, None) => RunState::Serving,
        }
    }

    /// The instance of this container.
    pub fn instance_mut(&mut self, id: &str) -> Option<&mut LiveInstance> {
        self.instances.iter_mut().find(|one| one.instance.id == id)
    }

    /// How many instances of a process of this deployment are wanted: what a person said, else its
    /// settings, else one.
    pub fn wanted(&self, deployment: &Deployment, process: &ProcessName) -> u32 {
        match self.scales.get(process) {
            Some(scale) => scale.replicas,
            None => by_settings(deployment, process),
        }
    }
}

/// How many instances the settings of a deployment ask for.
pub fn by_settings(deployment: &Deployment, process: &ProcessName) -> u32 {
    let Some(settings) = &deployment.outputs.settings else {
        return 1;
    };
    let is_web = deployment.outputs.artifact.as_ref().is_some_and(|artifact| {
        artifact.processes.iter().any(|p| p.name == *process && p.kind == ProcessKind::Web)
    });
    let own = settings.run.processes.get(process).and_then(|process| process.replicas);
    own.or(settings.run.replicas.filter(|_| is_web)).unwrap_or(1)
}

/// What happened to an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A person changed a number of instances.
    Scale,
    /// A person asked for the stop.
    Stop,
    /// No instance is left.
    Stopped,
    /// A person asked for the start.
    Start,
    /// It answers again.
    Started,
    /// The start was given up.
    StartFailed,
    /// A person asked for a restart.
    Restart,
    /// Every instance was replaced.
    Restarted,
    /// The restart was given up; the instances of before go on.
    RestartFailed,
    /// Visitors are kept away.
    MaintenanceOn,
    /// Visitors are let in again.
    MaintenanceOff,
    /// An instance ended.
    Exited,
    /// An instance was killed for its memory.
    OutOfMemory,
    /// An instance ends again and again.
    CrashLoop,
    /// An instance does not answer any more.
    Unhealthy,
    /// An instance answers again.
    Recovered,
    /// A deployment with `strategy = "recreate"` stopped the instances.
    Recreate,
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scale => "scale",
            Self::Stop => "stop",
            Self::Stopped => "stopped",
            Self::Start => "start",
            Self::Started => "started",
            Self::StartFailed => "start-failed",
            Self::Restart => "restart",
            Self::Restarted => "restarted",
            Self::RestartFailed => "restart-failed",
            Self::MaintenanceOn => "maintenance-on",
            Self::MaintenanceOff => "maintenance-off",
            Self::Exited => "exited",
            Self::OutOfMemory => "out-of-memory",
            Self::CrashLoop => "crash-loop",
            Self::Unhealthy => "unhealthy",
            Self::Recovered => "recovered",
            Self::Recreate => "recreate",
        })
    }
}

/// One event of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct EnvironmentEvent {
    /// Grows from one event to the next.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// Who, if it was a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The instance, as `web.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The deployment that was live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentId>,
    /// One line for people.
    pub message: String,
    /// The typed failure, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl EnvironmentEvent {
    /// An event of now; the store gives it its id.
    pub fn now(kind: EventKind, message: impl Into<String>) -> Self {
        Self {
            id: 0,
            at: Timestamp::now(),
            kind,
            actor: None,
            instance: None,
            deployment: None,
            message: message.into(),
            failure: None,
        }
    }

    /// The same, by a person.
    #[must_use]
    pub fn by(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// The same, of an instance.
    #[must_use]
    pub fn of(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// The same, with the failure.
    #[must_use]
    pub fn because(mut self, failure: Failure) -> Self {
        self.failure = Some(failure);
        self
    }
}

/// `PUT …/scale`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetScale {
    /// Instances by process; `null` goes back to the settings.
    pub replicas: BTreeMap<ProcessName, Option<u32>>,
}

/// `PUT …/maintenance`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetMaintenance {
    /// What visitors read; a general sentence when absent.
    #[serde(default)]
    pub message: Option<String>,
    /// How long a request is held before it is refused, in milliseconds; the proxy's own limit when
    /// absent, 0 refuses at once.
    #[serde(default)]
    pub hold_ms: Option<u64>,
}

/// A process of the live deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ProcessView {
    /// Its name.
    pub name: ProcessName,
    /// Whether it answers visitors.
    pub is_web: bool,
    /// Instances that are wanted.
    pub replicas: u32,
    /// Instances that run.
    pub running: u32,
    /// Who set the number, if a person did; else it is from the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaled: Option<Scale>,
}

/// What runs in an environment, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunningView {
    /// What visitors meet.
    pub state: RunState,
    /// The live (or stopped) deployment.
    pub deployment: DeploymentId,
    /// Its number.
    pub number: u64,
    /// What is being done because a person asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// Why what was asked last was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Who stopped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<By>,
    /// Why visitors are kept away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// The processes; none for a static site.
    pub processes: Vec<ProcessView>,
    /// The instances.
    pub instances: Vec<LiveInstance>,
}

impl RunningView {
    /// Of a record and its deployment.
    pub fn new(running: Running, deployment: &Deployment) -> Self {
        let artifact = deployment.outputs.artifact.as_ref();
        let processes = artifact.map(|artifact| artifact.processes.as_slice()).unwrap_or_default();
        let processes = processes.iter().map(|process| {
            let runs = |one: &&LiveInstance| {
                one.instance.process == process.name && one.state == InstanceState::Running
            };
            ProcessView {
                name: process.name.clone(),
                is_web: process.kind == ProcessKind::Web,
                replicas: running.wanted(deployment, &process.name),
                running: u32::try_from(running.instances.iter().filter(runs).count()).unwrap_or(0),
                scaled: running.scales.get(&process.name).cloned(),
            }
        });
        Self {
            state: running.state(),
            deployment: deployment.id.clone(),
            number: deployment.number,
            processes: processes.collect(),
            asked: running.asked,
            failure: running.failure,
            stopped: running.stopped,
            maintenance: running.maintenance,
            instances: running.instances,
        }
    }
}

/// A volume of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct VolumeView {
    /// Its name.
    pub name: VolumeName,
    /// Where the live deployment mounts it; absent when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether two versions may have it mounted at once.
    #[serde(default)]
    pub shared: bool,
    /// Bytes in it.
    pub bytes: u64,
    /// Where its data lies on the host.
    pub folder: String,
}
