//! What is kept of a deployment's stages: files below `<data>/stages/<deployment>`.
//!
//! ```text
//! stages.json                    which stages, how they stand
//! outputs/<stage>@<hook>.json    what each passed on
//! annotations.json               what plugins noted
//! attached.json                  which files they attached
//! attached/<plugin>/<name>       those files, as far as attached.json says
//! ```
//!
//! **Invariants.** `stages.json` is durable before a stage is begun and after it ended: what a crash cut off is
//! run again. Nothing of a deployment's stages lies in its record, so a large report is no burden of the
//! store's; everything goes with the deployment.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use windlass_model::cron::Schedule;
use windlass_model::plugin::Hook;
use windlass_model::stage::{Annotation, Attached, StageRun, StageStatus, Withheld};
use windlass_model::{DeploymentId, Failure};

use super::graph::Node;
use crate::source::remove_tree;
use crate::steplog::ids_in;

/// A stage of a deployment: what is to run, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub node: Node,
    pub run: StageRun,
    /// Commands at their times that it registered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<Schedule>,
    /// Files that it withholds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
}

impl Kept {
    pub(crate) fn new(node: Node) -> Self {
        let run = StageRun {
            plugin: node.plugin.clone(),
            version: String::new(),
            stage: node.stage.clone(),
            hook: node.hook,
            status: StageStatus::Pending,
            attempt: 0,
            started_at: None,
            ended_at: None,
            again_at: None,
            summary: String::new(),
            failure: None,
        };
        Self { node, run, schedules: Vec::new(), withheld: Vec::new() }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    version: u32,
    stages: Vec<Kept>,
}

/// Version of `stages.json`.
const VERSION: u32 = 1;

/// The folder of a deployment's stages.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

/// Where the folders of all deployments lie.
fn root(data_dir: &Path) -> PathBuf {
    data_dir.join("stages")
}

/// The deployments that have a folder.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn deployments(data_dir: &Path) -> io::Result<Vec<DeploymentId>> {
    ids_in(&root(data_dir))
}

impl Folder {
    pub(crate) fn of(data_dir: &Path, deployment: &DeploymentId) -> Self {
        Self(root(data_dir).join(deployment.as_str()))
    }

    /// A path below it.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// The stages; none where nothing is kept.
    ///
    /// # Errors
    /// `stages.record-unreadable`.
    pub(crate) fn stages(&self) -> Result<Vec<Kept>, Failure> {
        let document: Option<Document> = self.read("stages.json").map_err(|e| unreadable(&e))?;
        Ok(document.map(|document| document.stages).unwrap_or_default())
    }

    /// Whether there is anything to be read.
    pub(crate) fn has_stages(&self) -> bool {
        self.at("stages.json").exists()
    }

    /// Whether it says of each of its stages how that ended.
    pub(crate) fn is_settled(&self) -> bool {
        let stages = self.has_stages().then(|| self.stages());
        stages.is_some_and(|stages| stages.is_ok_and(|stages| are_over(&stages)))
    }

    /// Keeps the stages, durably.
    ///
    /// # Errors
    /// `stages.record-not-written`.
    pub(crate) fn keep(&self, stages: &[Kept]) -> Result<(), Failure> {
        let document = Document { version: VERSION, stages: stages.to_vec() };
        self.write("stages.json", &document).map_err(|e| not_written(&e))
    }

    /// What a stage passed on.
    pub(crate) fn outputs(&self, stage: &str, hook: Hook) -> Option<Map<String, Value>> {
        self.read(&outputs_path(stage, hook)).ok().flatten()
    }

    /// Keeps what a stage passes on.
    ///
    /// # Errors
    /// `stages.record-not-written`.
    pub(crate) fn keep_outputs(
        &self,
        stage: &str,
        hook: Hook,
        outputs: &Map<String, Value>,
    ) -> Result<(), Failure> {
        self.write(&outputs_path(stage, hook), outputs).map_err(|e| not_written(&e))
    }

    pub(crate) fn annotations(&self) -> Vec<Annotation> {
        self.read("annotations.json").ok().flatten().unwrap_or_default()
    }

    pub(crate) fn keep_annotations(&self, all: &[Annotation]) -> io::Result<()> {
        self.write("annotations.json", &all)
    }

    pub(crate) fn attached(&self) -> Vec<Attached> {
        self.read("attached.json").ok().flatten().unwrap_or_default()
    }

    pub(crate) fn keep_attached(&self, all: &[Attached]) -> io::Result<()> {
        self.write("attached.json", &all)
    }

    /// Removes all of it; none is no error.
    ///
    /// # Errors
    /// When something of it cannot be removed.
    pub(crate) fn remove(&self) -> io::Result<()> {
        remove_tree(&self.0)
    }

    fn read<T: DeserializeOwned>(&self, path: &str) -> io::Result<Option<T>> {
        match fs::read(self.at(path)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a file that is whole or as before, and on the disk when this returns.
    fn write<T: Serialize + ?Sized>(&self, path: &str, value: &T) -> io::Result<()> {
        let path = self.at(path);
        let dir = path.parent().unwrap_or(&self.0);
        fs::create_dir_all(dir)?;
        let draft = path.with_extension("new");
        let mut file = fs::File::create(&draft)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        fs::File::open(dir)?.sync_all()
    }
}

/// Whether nothing is left to be done of any of these.
pub(crate) fn are_over(stages: &[Kept]) -> bool {
    stages.iter().all(|one| one.run.status.is_over())
}

fn outputs_path(stage: &str, hook: Hook) -> String {
    format!("outputs/{stage}@{}.json", hook.as_str())
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::host(
        "stages.record-unreadable",
        "what is known of the deployment's stages cannot be read",
        error.to_string(),
        "check the disk and the permissions of `stages` in the data directory",
    )
}

fn not_written(error: &io::Error) -> Failure {
    Failure::host(
        "stages.record-not-written",
        "what became of a stage cannot be written down",
        error.to_string(),
        "check the disk and the permissions of `stages` in the data directory",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_goes_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let id = DeploymentId::generate();
        let folder = Folder::of(dir.path(), &id);
        assert!(folder.stages().unwrap().is_empty() && !folder.has_stages());
        let node = Node {
            plugin: "p".to_owned(),
            stage: "scan".to_owned(),
            hook: Hook::AfterBuild,
            needs: Vec::new(),
            provides: vec!["x".to_owned()],
            on_failure: windlass_model::settings::OnFailure::Warn,
            when: windlass_model::settings::When::Success,
            options: Map::new(),
        };
        let stages = [Kept::new(node)];
        assert!(!folder.is_settled(), "there may be some to plan still");
        folder.keep(&stages).unwrap();
        assert_eq!(folder.stages().unwrap(), stages);
        assert!(!folder.is_settled());
        let mut over = stages;
        over[0].run.status = StageStatus::Succeeded;
        folder.keep(&over).unwrap();
        assert!(folder.is_settled());
        let outputs: Map<String, Value> = serde_json::from_str(r#"{"files":3}"#).unwrap();
        folder.keep_outputs("p.scan", Hook::AfterBuild, &outputs).unwrap();
        assert_eq!(folder.outputs("p.scan", Hook::AfterBuild), Some(outputs));
        assert_eq!(folder.outputs("p.scan", Hook::AfterFetch), None);
        assert_eq!(deployments(dir.path()).unwrap(), [id]);
        fs::write(folder.at("stages.json"), "{").unwrap();
        assert_eq!(folder.stages().unwrap_err().code, "stages.record-unreadable");
        assert!(!folder.is_settled(), "that it cannot be read is to be said");
        folder.remove().unwrap();
        folder.remove().unwrap();
        assert!(deployments(dir.path()).unwrap().is_empty());
    }
}
