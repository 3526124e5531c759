//! What one stage of one deployment may do outside, and doing it.
//!
//! **Invariant: nothing is done that [`Effective`] does not allow**, and what is denied says which capability it
//! would have needed.

use std::sync::Arc;

use async_trait::async_trait;
use windlass_model::Deployment;
use windlass_model::plugin::{Effective, Kind};
use windlass_model::variable::Variable;
use windlass_sandbox::contract::annotations::{self, Annotation, AnnotationError};
use windlass_sandbox::contract::artifacts::{self, Artifact, ArtifactError};
use windlass_sandbox::contract::cache::{self, CacheError};
use windlass_sandbox::contract::exec::{Command, ExecError, Exit};
use windlass_sandbox::contract::http::{self, HttpError, Request, Response};
use windlass_sandbox::{Effects, Process};

use super::cache::Cache;
use super::record::Folder;
use super::{attached, exec, http as requests};
use crate::host::Host;
use crate::steplog::StepLog;

/// What belongs to one stage that runs.
pub(super) struct Granted {
    pub host: Arc<Host>,
    pub deployment: Deployment,
    pub plugin: String,
    pub allowed: Effective,
    /// All of the environment's; who gets which is decided for each wish.
    pub variables: Vec<Variable>,
    pub log: StepLog,
    pub folder: Folder,
}

impl Granted {
    /// Files of the deployment's stages are changed by one at a time.
    async fn writes(&self) -> tokio::sync::OwnedMutexGuard<()> {
        self.host.named_lock(format!("stages:{}", self.deployment.id)).await
    }

    fn not_granted(&self, kind: Kind) -> String {
        format!("{kind} is not granted to the plugin {}", self.plugin)
    }

    fn store(&self) -> Cache {
        let (data_dir, project) = (&self.host.config.data_dir, &self.deployment.project);
        Cache::of(data_dir, project, &self.plugin, self.allowed.cache_bytes_max())
    }

    /// The secrets that a request names.
    fn secrets_of(&self, request: &Request) -> Result<Vec<(String, String)>, HttpError> {
        let named = |name: &String| {
            let found = self.variables.iter().find(|variable| variable.name.as_str() == name);
            let may = |variable: &&Variable| {
                self.allowed.allows_secret(name)
                    || (!variable.secret && self.allowed.allows_variable(name))
            };
            let value = found.filter(may).map(|variable| variable.value.expose().clone());
            value.map(|value| (name.clone(), value)).ok_or_else(|| HttpError {
                reason: http::Reason::Denied,
                message: format!("the secret {name} is not granted, or not set"),
            })
        };
        request.secret_names.iter().map(named).collect()
    }
}

/// Does something with files, off the threads that serve.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

const LOST: &str = "the host could not do it";

#[async_trait]
impl Effects for Granted {
    async fn run(&self, command: Command) -> Result<Exit, ExecError> {
        let mut running = exec::begin(self, command).await?;
        Ok(running.wait().await)
    }

    async fn spawn(&self, command: Command) -> Result<Box<dyn Process>, ExecError> {
        Ok(Box::new(exec::begin(self, command).await?))
    }

    async fn fetch(&self, request: Request) -> Result<Response, HttpError> {
        if !self.allowed.has(Kind::Http) {
            let message = self.not_granted(Kind::Http);
            return Err(HttpError { reason: http::Reason::Denied, message });
        }
        let secrets = self.secrets_of(&request)?;
        let client = self.host.stages.client.clone();
        let limit = client.timeout(&request);
        let asked = requests::Asked { allowed: self.allowed.clone(), secrets, request };
        // Looking a name up has no limit of its own.
        let sent = tokio::time::timeout(limit * 2, blocking(move || client.fetch(&asked))).await;
        let failed = |reason, message: &str| HttpError { reason, message: message.to_owned() };
        match sent {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(failed(http::Reason::Protocol, LOST)),
            Err(_) => Err(failed(http::Reason::TimedOut, "the time was over")),
        }
    }

    async fn attach(&self, artifact: Artifact, content: Vec<u8>) -> Result<(), ArtifactError> {
        self.files(move |folder, plugin, bytes_max| {
            attached::attach(folder, plugin, &artifact, &content, bytes_max)
        })
        .await
    }

    async fn append(&self, name: String, content: Vec<u8>) -> Result<(), ArtifactError> {
        self.files(move |folder, plugin, bytes_max| {
            attached::append(folder, plugin, &name, &content, bytes_max)
        })
        .await
    }

    async fn cached(&self, key: String) -> Option<Vec<u8>> {
        if !self.allowed.has(Kind::Cache) {
            return None;
        }
        let store = self.store();
        blocking(move || store.get(&key)).await.flatten()
    }

    async fn cache(&self, key: String, value: Option<Vec<u8>>) -> Result<(), CacheError> {
        if !self.allowed.has(Kind::Cache) {
            let message = self.not_granted(Kind::Cache);
            return Err(CacheError { reason: cache::Reason::Denied, message });
        }
        let store = self.store();
        let project = &self.deployment.project;
        let _one = self.host.named_lock(format!("stage-cache:{project}/{}", self.plugin)).await;
        let done = blocking(move || match value {
            Some(value) => store.put(&key, &value),
            None => store.delete(&key),
        });
        let lost = || CacheError { reason: cache::Reason::HostFailed, message: LOST.to_owned() };
        done.await.unwrap_or_else(|| Err(lost()))
    }

    async fn annotate(&self, annotation: Annotation) -> Result<(), AnnotationError> {
        if !self.allowed.has(Kind::Annotations) {
            let message = self.not_granted(Kind::Annotations);
            return Err(AnnotationError { reason: annotations::Reason::Denied, message });
        }
        let masked = Annotation { value: self.log.masker().mask(&annotation.value), ..annotation };
        let _one = self.writes().await;
        let (folder, plugin) = (self.folder.clone(), self.plugin.clone());
        let lost = || AnnotationError {
            reason: annotations::Reason::HostFailed,
            message: LOST.to_owned(),
        };
        let done = blocking(move || attached::annotate(&folder, &plugin, masked));
        done.await.unwrap_or_else(|| Err(lost()))
    }
}

impl Granted {
    async fn files(
        &self,
        work: impl FnOnce(&Folder, &str, u64) -> Result<(), ArtifactError> + Send + 'static,
    ) -> Result<(), ArtifactError> {
        if !self.allowed.has(Kind::Artifacts) {
            let message = self.not_granted(Kind::Artifacts);
            return Err(ArtifactError { reason: artifacts::Reason::Denied, message });
        }
        let bytes_max = self.allowed.artifact_bytes_max();
        let _one = self.writes().await;
        let (folder, plugin) = (self.folder.clone(), self.plugin.clone());
        let lost =
            || ArtifactError { reason: artifacts::Reason::HostFailed, message: LOST.to_owned() };
        let done = blocking(move || work(&folder, &plugin, bytes_max)).await;
        done.unwrap_or_else(|| Err(lost()))
    }
}
