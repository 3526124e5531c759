//! Fetching from real Git, and unpacking archives that were made byte by byte.

mod archives;
mod changes;
mod git;
mod http;
mod kept;
mod ssh;

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;
use windlass_model::secret::Masker;
use windlass_model::{DeploymentId, Failure, Limits, ProjectName, Secret, Source, StepName};

use super::{Before, Credentials, FetchRequest, FetchedWorkspace, fetch, work_dir};
use crate::steplog::StepLogs;

/// A data directory with what a fetch needs.
struct World {
    dir: tempfile::TempDir,
    limits: Limits,
    project: ProjectName,
    deployment: DeploymentId,
    cancel: CancellationToken,
    before: Before,
}

impl World {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            limits: Limits::default(),
            project: "shop".parse().unwrap(),
            deployment: DeploymentId::generate(),
            cancel: CancellationToken::new(),
            before: Before::default(),
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    async fn fetch(
        &self,
        source: &Source,
        token: Option<&str>,
    ) -> Result<FetchedWorkspace, Failure> {
        let git_token = token.map(|token| Secret::new(token.to_owned()));
        self.fetch_with(source, &Credentials { git_token, ..Credentials::default() }).await
    }

    async fn fetch_with(
        &self,
        source: &Source,
        credentials: &Credentials,
    ) -> Result<FetchedWorkspace, Failure> {
        let request = FetchRequest {
            source,
            credentials,
            before: self.before,
            data_dir: &self.data(),
            project: &self.project,
            environment: &windlass_model::EnvironmentName::production(),
            deployment: &self.deployment,
            limits: &self.limits,
            builder: None,
        };
        let logs = StepLogs::new(&self.data(), &self.limits);
        let log = logs.open(&self.deployment, StepName::Fetch, Masker::default()).unwrap();
        fetch(request, &log, &self.cancel).await
    }

    async fn fetch_git(
        &self,
        url: &str,
        reference: Option<&str>,
    ) -> Result<FetchedWorkspace, Failure> {
        let source = Source::Git { url: url.to_owned(), reference: reference.map(str::to_owned) };
        self.fetch(&source, None).await
    }

    /// Nothing of a failed fetch may be left.
    #[track_caller]
    fn assert_nothing_left(&self) {
        assert!(!work_dir(&self.data(), &self.deployment).exists());
    }

    fn step_log(&self) -> String {
        let logs = StepLogs::new(&self.data(), &self.limits);
        let lines = logs.tail(&self.deployment, StepName::Fetch, usize::MAX);
        lines.into_iter().map(|line| line.text + "\n").collect()
    }
}

/// Every file below a folder, as paths from it.
fn files_below(dir: &Path) -> Vec<String> {
    fn walk(root: &Path, dir: &Path, into: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                walk(root, &path, into);
            } else {
                into.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    walk(dir, dir, &mut found);
    found.sort();
    found
}
