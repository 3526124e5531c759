//! The steps of the sequences: each goes on only when the sequence lets it. What visitors meet is real:
//! the switch publishes, and what it names exists in the fake container runtime.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use windlass_containers::{Labels, Runtime};
use windlass_model::deployment::{Artifact, ArtifactKind, ArtifactOutput, ArtifactProcess};
use windlass_model::plan::{ProcessKind, RunConfig};
use windlass_model::settings::{Settings, Supersede};
use windlass_model::{DeploymentId, Digest, Failure, StepName};

use crate::pipeline::switch::Switch;
use crate::pipeline::{Done, Run, Work};

/// The root file system of every artifact.
pub(super) const ROOTFS: &str = "app";

/// What the steps do, by deployment.
pub(super) struct Script {
    /// A step goes on with one of these.
    pub permits: Semaphore,
    pub fails_in: Mutex<BTreeMap<DeploymentId, StepName>>,
    /// The undo of these steps fails, until the sequence mends it.
    pub undo_fails_in: Mutex<BTreeMap<DeploymentId, StepName>>,
    /// These have a process; the others are of the kind that the proxy serves itself.
    pub with_process: Mutex<BTreeSet<DeploymentId>>,
    /// The settings of these let a newer deployment end them while they run.
    pub gives_way: Mutex<BTreeSet<DeploymentId>>,
}

pub(super) struct Gated {
    pub step: StepName,
    pub script: &'static Script,
}

#[async_trait]
impl Work for Gated {
    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        if let Ok(permit) = self.script.permits.acquire().await {
            permit.forget();
        }
        let id = run.deployment.id.clone();
        if self.script.fails_in.lock().unwrap().get(&id) == Some(&self.step) {
            return Err(Failure::app("test.failed", "it failed", "the sequence says so", "none"));
        }
        match self.step {
            StepName::Preflight => {
                let mut settings = Settings::default();
                if self.script.gives_way.lock().unwrap().contains(&id) {
                    settings.deploy.supersede = Supersede::Running;
                }
                run.deployment.outputs.settings = Some(settings);
            }
            StepName::Build if run.deployment.outputs.artifact.is_none() => {
                run.deployment.outputs.artifact =
                    Some(self.script.build(&*run.host.runtime, &id).await);
            }
            StepName::Switch => return Switch.run(run).await,
            _ => {}
        }
        Ok(Done::new("done"))
    }

    async fn undo(&self, run: &mut Run) -> Result<(), Failure> {
        let id = &run.deployment.id;
        if self.script.undo_fails_in.lock().unwrap().get(id) == Some(&self.step) {
            return Err(Failure::host("test.undo", "it stays", "the sequence says so", "mend it"));
        }
        match self.step {
            StepName::Build => run.deployment.outputs.artifact = None,
            StepName::Switch => return Switch.undo(run).await,
            _ => {}
        }
        Ok(())
    }
}

impl Script {
    /// An artifact with its record, as a build leaves them.
    async fn build(&self, runtime: &dyn Runtime, id: &DeploymentId) -> Artifact {
        let has_process = self.with_process.lock().unwrap().contains(id);
        let output = ArtifactOutput {
            name: "app".into(),
            snapshot: ROOTFS.into(),
            kind: ArtifactKind::Image { config: RunConfig::default() },
        };
        let process = ArtifactProcess {
            name: "web".parse().unwrap(),
            output: "app".into(),
            kind: ProcessKind::Web,
            argv: vec!["serve".into()],
            port: None,
        };
        let mut artifact = Artifact {
            digest: Digest::of(b""),
            outputs: vec![output],
            processes: has_process.then_some(process).into_iter().collect(),
            bases: Vec::new(),
            toolchains: Vec::new(),
            plan: Digest::of(id.as_str().as_bytes()),
        };
        let mut record = serde_json::to_value(&artifact).unwrap();
        record.as_object_mut().unwrap().remove("digest");
        record["format"] = 1.into();
        let bytes = std::io::Cursor::new(record.to_string().into_bytes());
        let blob = runtime.put_blob(Box::new(bytes), None, &Labels::new()).await.unwrap();
        artifact.digest = blob.digest;
        artifact
    }
}
