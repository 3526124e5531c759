//! What one stage of one deployment may do outside, and doing it.
//!
//! **Invariants.** Nothing is done that [`Effective`] does not allow, and what is denied says which capability it
//! would have needed. The time that the host spends is not the plugin's, so what it asks for is counted
//! ([`Counts`]).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use windlass_model::Deployment;
use windlass_model::limits::StageLimits;
use windlass_model::plugin::{Effective, Kind};
use windlass_model::variable::Variable;
use windlass_sandbox::contract::annotations::{self, Annotation, AnnotationError};
use windlass_sandbox::contract::artifacts::{self, Artifact, ArtifactError};
use windlass_sandbox::contract::cache::{self, CacheError};
use windlass_sandbox::contract::exec::{Command, ExecError, Exit};
use windlass_sandbox::contract::http::{self, HttpError, Request, Response};
use windlass_sandbox::{Effects, Process};

use super::attached::{Own, Sums};
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
    pub counts: Counts,
    /// Of the files that it adds to.
    pub sums: Arc<Sums>,
}

/// How long the last commands of a call may take to be removed, once it has ended.
const ENDING: Duration = Duration::from_secs(60);

/// What one call may still ask for.
pub(super) struct Counts {
    limits: StageLimits,
    /// A place for each command that may run beside others.
    at_once: Arc<Semaphore>,
    commands: Semaphore,
    requests: Semaphore,
    writes: Semaphore,
    written_bytes: Mutex<u64>,
}

impl Counts {
    pub(super) fn new(limits: &StageLimits) -> Self {
        Self {
            at_once: Arc::new(Semaphore::new(limits.exec_at_once_max as usize)),
            commands: Semaphore::new(limits.exec_commands_max as usize),
            requests: Semaphore::new(limits.http_requests_max as usize),
            writes: Semaphore::new(limits.writes_max as usize),
            written_bytes: Mutex::new(0),
            limits: limits.clone(),
        }
    }

    /// Counts a command; its place is to be held until its container is removed.
    ///
    /// # Errors
    /// The limit that it would go over; then it is not counted.
    pub(super) fn command(&self) -> Result<OwnedSemaphorePermit, String> {
        let place = Arc::clone(&self.at_once).try_acquire_owned();
        let place = place.map_err(|_| {
            let max = self.limits.exec_at_once_max;
            format!(
                "a call may have {max} commands at the same time, and has; wait for one of them, or have \
                 `stages.exec_at_once_max` raised in the limits file"
            )
        })?;
        let max = self.limits.exec_commands_max;
        take_one(&self.commands, max, "begin", "commands", "exec_commands_max")?;
        Ok(place)
    }

    /// Counts a request.
    ///
    /// # Errors
    /// The limit that it would go over.
    fn request(&self) -> Result<(), String> {
        let max = self.limits.http_requests_max;
        take_one(&self.requests, max, "send", "requests", "http_requests_max")
    }

    /// Counts a change to the call's files, notes or cache. Looking into the cache is not counted: it costs the call
    /// CPU time of its own for what it gets.
    ///
    /// # Errors
    /// The limit that it would go over.
    fn write(&self, bytes: usize) -> Result<(), String> {
        let (max, what) = (self.limits.writes_max, "changes to its files, notes and cache");
        take_one(&self.writes, max, "make", what, "writes_max")?;
        let max = self.limits.write_bytes_max;
        let mut written = self.written_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let all = written.saturating_add(bytes as u64);
        if all > max {
            return Err(format!(
                "a call may write {max} bytes to its files, notes and cache, and has written {written}; have \
                 `stages.write_bytes_max` raised in the limits file if it needs more"
            ));
        }
        *written = all;
        Ok(())
    }

    /// Waits until no container of the call's commands is left. Nothing may begin one any more.
    pub(super) async fn all_ended(&self) {
        let all = self.at_once.acquire_many(self.limits.exec_at_once_max);
        if tokio::time::timeout(ENDING, all).await.is_err() {
            tracing::error!("commands of a stage that was ended are not removed yet");
        }
    }
}

/// Takes one of those that are left.
fn take_one(
    left: &Semaphore,
    max: u32,
    verb: &str,
    what: &str,
    setting: &str,
) -> Result<(), String> {
    let taken = left.try_acquire().map_err(|_| {
        format!(
            "a call may {verb} {max} {what}, and has; have `stages.{setting}` raised in the limits file if it \
             needs more"
        )
    })?;
    taken.forget();
    Ok(())
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
        let failed = |reason, message: &str| HttpError { reason, message: message.to_owned() };
        self.counts.request().map_err(|why| failed(http::Reason::OverLimit, &why))?;
        let secrets = self.secrets_of(&request)?;
        let client = self.host.stages.client.clone();
        let limit = client.timeout(&request);
        let asked = requests::Asked { allowed: self.allowed.clone(), secrets, request };
        // Looking a name up has no limit of its own.
        let sent = tokio::time::timeout(limit * 2, blocking(move || client.fetch(&asked))).await;
        match sent {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(failed(http::Reason::HostFailed, LOST)),
            Err(_) => Err(failed(http::Reason::TimedOut, "the time was over")),
        }
    }

    async fn attach(&self, artifact: Artifact, content: Vec<u8>) -> Result<(), ArtifactError> {
        self.count_file(&content)?;
        self.keep_file(artifact, content).await
    }

    async fn append(&self, name: String, content: Vec<u8>) -> Result<(), ArtifactError> {
        self.count_file(&content)?;
        self.files(move |own| own.append(&name, &content)).await
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
        let over = |message| CacheError { reason: cache::Reason::OverLimit, message };
        self.counts.write(value.as_ref().map_or(0, Vec::len)).map_err(over)?;
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
        let over = |message| AnnotationError { reason: annotations::Reason::OverLimit, message };
        self.counts.write(annotation.value.len()).map_err(over)?;
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
    /// Attaches a file in the plugin's name, without counting it: what the host keeps for the plugin is not the call's.
    pub(super) async fn keep_file(
        &self,
        artifact: Artifact,
        content: Vec<u8>,
    ) -> Result<(), ArtifactError> {
        self.files(move |own| own.attach(&artifact, &content)).await
    }

    /// Counts what goes to a file. What is denied is not counted.
    fn count_file(&self, content: &[u8]) -> Result<(), ArtifactError> {
        if !self.allowed.has(Kind::Artifacts) {
            return Ok(());
        }
        let over = |message| ArtifactError { reason: artifacts::Reason::OverLimit, message };
        self.counts.write(content.len()).map_err(over)
    }

    async fn files(
        &self,
        work: impl FnOnce(Own<'_>) -> Result<(), ArtifactError> + Send + 'static,
    ) -> Result<(), ArtifactError> {
        if !self.allowed.has(Kind::Artifacts) {
            let message = self.not_granted(Kind::Artifacts);
            return Err(ArtifactError { reason: artifacts::Reason::Denied, message });
        }
        let bytes_max = self.allowed.artifact_bytes_max();
        let _one = self.writes().await;
        let (folder, plugin, sums) = (self.folder.clone(), self.plugin.clone(), self.sums.clone());
        let lost =
            || ArtifactError { reason: artifacts::Reason::HostFailed, message: LOST.to_owned() };
        let own = move || work(Own { folder: &folder, plugin: &plugin, sums: &sums, bytes_max });
        let done = blocking(own).await;
        done.unwrap_or_else(|| Err(lost()))
    }
}

#[cfg(test)]
mod tests {
    use windlass_model::deployment::{Kind as Of, Source};
    use windlass_model::plugin::{Capability, Grants, effective};
    use windlass_model::secret::Masker;
    use windlass_model::{Digest, EnvironmentName, Limits, StepName};
    use windlass_sandbox::contract::exec::{self, Place};

    use super::*;
    use crate::pipeline::TABLE;
    use crate::testing::TestHost;

    /// One that may ask `api.example`, run commands in the output `app`, and keep a hundred bytes.
    fn granted(host: &Arc<Host>) -> Granted {
        let asked: Vec<Capability> = serde_json::from_value(serde_json::json!([
            { "name": "http", "hosts": ["*"], "methods": ["GET"], "reason": "test" },
            { "name": "exec", "outputs": ["*"], "reason": "test" },
            { "name": "artifacts", "reason": "test" },
            { "name": "cache", "reason": "test" },
            { "name": "annotations", "reason": "test" },
        ]))
        .unwrap();
        let grants: Grants = serde_json::from_value(serde_json::json!([
            { "name": "http", "hosts": ["api.example"], "methods": ["GET"] },
            { "name": "exec", "outputs": ["app"] },
            { "name": "artifacts", "bytes_max": 100 },
            { "name": "cache", "bytes_max": 100 },
            { "name": "annotations" },
        ]))
        .unwrap();
        let source = Source::Git { url: "file:///x".into(), reference: None };
        let (project, environment) = ("shop".parse().unwrap(), EnvironmentName::production());
        let deployment =
            Deployment::queued(project, environment, 0, Of::Deploy, source, "test".into());
        let log = host.logs.open(&deployment.id, StepName::Check, Masker::default()).unwrap();
        Granted {
            host: Arc::clone(host),
            plugin: "p".to_owned(),
            allowed: effective(&asked, &grants),
            variables: Vec::new(),
            log,
            folder: Folder::of(&host.config.data_dir, &deployment.id),
            counts: Counts::new(&host.config.limits.stages),
            sums: Arc::default(),
            deployment,
        }
    }

    /// In an output that nobody granted.
    fn command() -> Command {
        Command {
            place: Place::Output("other".to_owned()),
            argv: vec!["true".to_owned()],
            cwd: None,
            env: Vec::new(),
            variable_names: Vec::new(),
            stdin: Vec::new(),
            timeout_ms: 0,
            tail_bytes_max: 0,
            quiet: true,
        }
    }

    /// To a host that nobody granted.
    fn request() -> Request {
        Request {
            method: "GET".to_owned(),
            url: "http://other.example/".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            secret_names: Vec::new(),
            response_bytes_max: 0,
            timeout_ms: 0,
            redirects_max: 0,
        }
    }

    #[tokio::test]
    async fn a_call_gets_no_more_commands_and_requests_than_the_limits_say() {
        let stages =
            StageLimits { exec_commands_max: 2, http_requests_max: 3, ..StageLimits::default() };
        let parts = TestHost::with(Limits { stages, ..Limits::default() }, &TABLE).await;
        let call = granted(&parts.host);
        for _ in 0..2 {
            assert_eq!(call.run(command()).await.unwrap_err().reason, exec::Reason::Denied);
        }
        let over = call.run(command()).await.unwrap_err();
        assert_eq!(over.reason, exec::Reason::OverLimit);
        assert!(over.message.contains("2 commands"), "{}", over.message);
        assert!(over.message.contains("stages.exec_commands_max"), "{}", over.message);
        let Err(over) = call.spawn(command()).await else { panic!("it was begun") };
        assert_eq!(over.reason, exec::Reason::OverLimit, "whichever way it is begun");

        for _ in 0..3 {
            assert_eq!(call.fetch(request()).await.unwrap_err().reason, http::Reason::Denied);
        }
        let over = call.fetch(request()).await.unwrap_err();
        assert_eq!(over.reason, http::Reason::OverLimit);
        assert!(over.message.contains("stages.http_requests_max"), "{}", over.message);

        let next = granted(&parts.host);
        assert_eq!(next.run(command()).await.unwrap_err().reason, exec::Reason::Denied);
        assert_eq!(next.fetch(request()).await.unwrap_err().reason, http::Reason::Denied);
    }

    fn file() -> Artifact {
        Artifact {
            name: "r.txt".to_owned(),
            kind: artifacts::Kind::Report,
            media_type: "text/plain".to_owned(),
            title: String::new(),
        }
    }

    fn note() -> Annotation {
        let (name, value) = ("note".to_owned(), "v".to_owned());
        Annotation { name, value, tone: annotations::Tone::Neutral, url: None }
    }

    #[tokio::test]
    async fn files_notes_and_cache_change_as_often_as_the_limits_say_and_denials_do_not_count() {
        let stages = StageLimits { writes_max: 5, ..StageLimits::default() };
        let parts = TestHost::with(Limits { stages, ..Limits::default() }, &TABLE).await;
        let mut denied = granted(&parts.host);
        denied.allowed = Effective::default();
        for _ in 0..6 {
            let refused = denied.attach(file(), vec![0]).await.unwrap_err();
            assert_eq!(refused.reason, artifacts::Reason::Denied);
        }

        let call = granted(&parts.host);
        call.attach(file(), b"1".to_vec()).await.unwrap();
        call.append("r.txt".to_owned(), b"2".to_vec()).await.unwrap();
        call.cache("k".to_owned(), Some(b"3".to_vec())).await.unwrap();
        call.cache("other".to_owned(), None).await.unwrap();
        call.annotate(note()).await.unwrap();
        let over = call.attach(file(), b"6".to_vec()).await.unwrap_err();
        assert_eq!(over.reason, artifacts::Reason::OverLimit);
        assert!(over.message.contains("stages.writes_max"), "{}", over.message);
        let over = call.append("r.txt".to_owned(), b"6".to_vec()).await.unwrap_err();
        assert_eq!(over.reason, artifacts::Reason::OverLimit);
        let over = call.cache("k".to_owned(), Some(b"6".to_vec())).await.unwrap_err();
        assert_eq!(over.reason, cache::Reason::OverLimit);
        assert_eq!(call.annotate(note()).await.unwrap_err().reason, annotations::Reason::OverLimit);
        assert_eq!(call.cached("k".to_owned()).await.unwrap(), b"3", "it can still look");
        let attached = call.folder.attached();
        assert_eq!((attached[0].bytes, &attached[0].digest), (2, &Digest::of(b"12")));
        // What the host keeps in the plugin's name is not the call's.
        call.keep_file(file(), b"kept".to_vec()).await.unwrap();

        granted(&parts.host).annotate(note()).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_written_is_bounded_however_few_writes_it_takes() {
        let stages = StageLimits { write_bytes_max: 10, ..StageLimits::default() };
        let parts = TestHost::with(Limits { stages, ..Limits::default() }, &TABLE).await;
        let call = granted(&parts.host);
        call.cache("k".to_owned(), Some(vec![0; 6])).await.unwrap();
        let over = call.cache("k".to_owned(), Some(vec![0; 6])).await.unwrap_err();
        assert_eq!(over.reason, cache::Reason::OverLimit);
        assert!(over.message.contains("stages.write_bytes_max"), "{}", over.message);
        call.attach(file(), vec![0; 4]).await.unwrap();
        let over = call.append("r.txt".to_owned(), vec![0]).await.unwrap_err();
        assert_eq!(over.reason, artifacts::Reason::OverLimit);
    }

    #[test]
    fn a_command_that_finds_no_place_is_not_counted() {
        let counts = Counts::new(&StageLimits {
            exec_at_once_max: 2,
            exec_commands_max: 3,
            ..StageLimits::default()
        });
        let (first, _second) = (counts.command().unwrap(), counts.command().unwrap());
        for _ in 0..5 {
            let over = counts.command().unwrap_err();
            assert!(over.contains("stages.exec_at_once_max"), "{over}");
        }
        drop(first);
        drop(counts.command().unwrap());
        let over = counts.command().unwrap_err();
        assert!(over.contains("stages.exec_commands_max"), "{over}");
    }
}
