//! Containers as a whole: record, snapshot, network, files and task, made and deleted together.
//!
//! **Invariant: everything of a container is named from its id**, so deleting needs no memory of how
//! far creating came.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use containerd_client::services::v1::container::Runtime as RuntimeRecord;
use containerd_client::services::v1::containers_client::ContainersClient;
use containerd_client::services::v1::{
    Container as Record, CreateContainerRequest, DeleteContainerRequest, GetContainerRequest,
    ListContainersRequest, ListTasksRequest,
};
use containerd_client::tonic::transport::Channel;
use containerd_client::types::Mount;
use containerd_client::types::v1::Process;
use prost_types::Any;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use windlass_model::Secret;

use crate::cgroup::Cgroup;
use crate::client::{Idempotent, MESSAGE_BYTES_MAX, SNAPSHOTTER, from_wire, label_filter, to_wire};
use crate::engine::Engine;
use crate::engine::again::again;
use crate::error::{Result, RuntimeError};
use crate::files::{self, Files};
use crate::init;
use crate::logger;
use crate::network::Attached;
use crate::runtime::{
    Access, Container, ContainerSpec, LABEL_GC_ROOT, Labels, Rootfs, Started, TaskStatus,
    TerminalSize,
};
use crate::shims::{self, Shim};
use crate::snapshots::{blocking, joined};
use crate::spec::{self, Surroundings};
use crate::tasks::TaskIo;
use crate::userdb::{self, User};
use crate::userns::{self, Staged};
use crate::{mount, session, tasks};

/// Name of the shim that runs runc.
const RUNTIME: &str = "io.containerd.runc.v2";
/// Type of the runtime specification in a container's record.
const SPEC_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
/// A container's address, as a label of its record.
const LABEL_ADDRESS: &str = "windlass/address";

/// What was made for a container before its record.
struct Made<'a> {
    user: &'a User,
    attached: Option<&'a Attached>,
    files: &'a Files,
    /// Its mounts, in a user namespace of its own.
    staged: Option<&'a Staged>,
}

/// A container that has its record, and no task yet.
struct Recorded {
    rootfs: Vec<Mount>,
    staged: Option<Staged>,
    user: User,
    network: Option<Attaching>,
}

/// A container's place in the network, whose way out is being made: nothing may run there before it is.
struct Attaching {
    reserved: Attached,
    whole: Option<JoinHandle<Result<Attached>>>,
}

impl Attaching {
    /// Waits until it is whole.
    async fn end(self) -> Result<()> {
        match self.whole {
            Some(whole) => joined(whole).await.map(drop),
            None => Ok(()),
        }
    }
}

/// A container without a record yet. When nobody waits for it any more, as after a cancel, what was made of it is
/// taken away, for nobody would find it; nothing has run in it.
struct Unfinished {
    engine: Option<Engine>,
    id: String,
    /// Closed when the network's part has ended, which nothing can cut off.
    attaching: Option<oneshot::Receiver<()>>,
}

impl Unfinished {
    fn new(engine: &Engine, id: &str) -> Self {
        Self { engine: Some(engine.clone()), id: id.to_owned(), attaching: None }
    }

    /// Who waits knows what became of it.
    fn end(&mut self) {
        self.engine = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let (Some(engine), Ok(runtime)) =
            (self.engine.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (id, attaching) = (std::mem::take(&mut self.id), self.attaching.take());
        runtime.spawn(async move {
            if let Some(attaching) = attaching {
                let _ended = attaching.await;
            }
            if let Err(error) = engine.container_delete(&id).await {
                tracing::warn!(id, %error, "a start that was given up left something");
            }
        });
    }
}

impl Engine {
    pub(crate) fn containers(&self) -> ContainersClient<Channel> {
        ContainersClient::new(self.client().channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn cgroup(&self, id: &str) -> Cgroup {
        let [of_builds, own] = self.cgroups_of(id);
        if of_builds.exists() { of_builds } else { own }
    }

    /// The two places where a container's group may be: among those of builds, or beside them.
    fn cgroups_of(&self, id: &str) -> [Cgroup; 2] {
        let all = Cgroup::new(self.paths().cgroup());
        [all.builds().child(id), all.child(id)]
    }

    /// The group that a container is to be put into. That of all builds is made here, with its limit.
    async fn cgroup_for(&self, spec: &ContainerSpec) -> Result<Cgroup> {
        let [of_builds, own] = self.cgroups_of(&spec.id);
        if !spec.of_builds {
            return Ok(own);
        }
        let builds = Cgroup::new(self.paths().cgroup()).builds();
        let (millis, shares) =
            (self.config().limits.build.cpu_millis_all_max, spec.limits.cpu_shares);
        blocking(move || builds.limit_cpu(millis, shares)).await?;
        Ok(of_builds)
    }

    /// A container that runs or has run; one that is half made is taken away.
    async fn container_started(&self, id: &str) -> Result<Option<Started>> {
        let Some(record) = self.container_record(id).await? else { return Ok(None) };
        let pid = match self.task_status(id).await? {
            TaskStatus::Running { pid } => pid,
            TaskStatus::Exited(_) => 0,
            TaskStatus::Created | TaskStatus::Missing => {
                self.container_delete(id).await?;
                return Ok(None);
            }
        };
        Ok(Some(Started { pid, address: address_of(&record.labels), existed: true }))
    }

    pub(crate) async fn container_ensure(&self, spec: &ContainerSpec) -> Result<Started> {
        spec::check(spec)?;
        if let Some(started) = self.container_started(&spec.id).await? {
            return Ok(started);
        }
        match self.container_create(spec).await {
            Ok(started) => Ok(started),
            // It may have been started for all that is known: the next try finds out by its name.
            Err(error @ RuntimeError::Unavailable { .. }) => Err(error),
            Err(error) => {
                if let Err(left) = again(|| self.container_delete(&spec.id)).await {
                    tracing::warn!(id = spec.id, error = %left, "a failed start left something");
                }
                Err(error)
            }
        }
    }

    /// Creates the container, which nobody else does, and starts it. Not to be called again once `may_run` is true:
    /// its command may have been started then, whatever is answered.
    pub(crate) async fn container_start_once(
        &self,
        spec: &ContainerSpec,
        may_run: &AtomicBool,
    ) -> Result<Started> {
        spec::check(spec)?;
        if let Some(started) = self.container_started(&spec.id).await? {
            return Ok(started);
        }
        let io = self.log_of(spec).await?;
        let io = |dir: &Path| -> Result<TaskIo> {
            logger::hand_over(&spec.log, dir)?;
            // The task is created next, and started as soon as its network is whole.
            may_run.store(true, Ordering::SeqCst);
            Ok(io.clone())
        };
        match self.container_create_with(spec, None, &io).await {
            Err(error) if !matches!(error, RuntimeError::Unavailable { .. }) => {
                if let Err(left) = again(|| self.container_delete(&spec.id)).await {
                    tracing::warn!(id = spec.id, error = %left, "a failed start left something");
                }
                Err(error)
            }
            outcome => outcome,
        }
    }

    async fn container_create(&self, spec: &ContainerSpec) -> Result<Started> {
        let io = self.log_of(spec).await?;
        let io = |dir: &Path| logger::hand_over(&spec.log, dir).map(|()| io.clone());
        self.container_create_with(spec, None, &io).await
    }

    /// The streams of a container that go to its log, which is prepared.
    async fn log_of(&self, spec: &ContainerSpec) -> Result<TaskIo> {
        let (log, run) = (spec.log.clone(), self.paths().containers().join(&spec.id));
        let dir = blocking(move || logger::prepare(&log, &run)).await?;
        Ok(TaskIo::logger(&logger::uri(&self.config().logger_exe, &dir)))
    }

    /// Creates a container whose streams are pipes instead of a log.
    pub(crate) async fn container_create_attached(
        &self,
        spec: &ContainerSpec,
        terminal: Option<TerminalSize>,
        open: session::OpenPipes<'_>,
    ) -> Result<Started> {
        spec::check(spec)?;
        let io = |dir: &Path| {
            let pipes = open(dir)?;
            Ok(TaskIo {
                stdin: session::wire(Some(&pipes.stdin)),
                stdout: session::wire(Some(&pipes.stdout)),
                stderr: session::wire(pipes.stderr.as_ref()),
                terminal: terminal.is_some(),
            })
        };
        self.container_create_with(spec, terminal, &io).await
    }

    async fn container_create_with(
        &self,
        spec: &ContainerSpec,
        terminal: Option<TerminalSize>,
        io: &(dyn Fn(&Path) -> Result<TaskIo> + Send + Sync),
    ) -> Result<Started> {
        let mut unfinished = Unfinished::new(self, &spec.id);
        let recorded = self.container_record_with(spec, terminal, &mut unfinished).await;
        unfinished.end();
        let Recorded { rootfs, staged, user, network } = recorded?;
        let io = io(&self.paths().containers().join(&spec.id))?;
        let address = network.as_ref().map(|network| network.reserved.address);
        // A task that is created runs nothing yet, and takes about as long as the way out of its namespace.
        let attached = async {
            match network {
                Some(network) => network.end().await,
                None => Ok(()),
            }
        };
        let (pid, attached) = tokio::join!(self.task_create(&spec.id, rootfs, io), attached);
        attached?;
        let pid = pid?;
        if staged.is_some() {
            blocking(move || {
                drop(staged);
                userns::give_pipes(pid, &user)
                    .map_err(RuntimeError::io("hand over the pipes of", "task"))
            })
            .await?;
        }
        let pid = self.task_start(&spec.id).await?;
        Ok(Started { pid, address, existed: false })
    }

    /// All of a container up to its record: whatever is made after it is found by the record.
    async fn container_record_with(
        &self,
        spec: &ContainerSpec,
        terminal: Option<TerminalSize>,
        unfinished: &mut Unfinished,
    ) -> Result<Recorded> {
        let attaching = self.attach(spec, unfinished);
        let (root, network) = tokio::join!(self.prepare_root(spec), attaching);
        let ((rootfs, user), network) = (root?, network?);
        let attached = network.as_ref().map(|network| network.reserved.clone());
        let dir = self.paths().containers().join(&spec.id);
        let files = {
            let (spec, attached) = (spec.clone(), attached.clone());
            blocking(move || files::write(&dir, &spec, attached.as_ref())).await?
        };
        let staged = self.stage(spec, &rootfs, attached.as_ref(), &files).await?;
        let Some(staged) = staged else {
            let made =
                Made { user: &user, attached: attached.as_ref(), files: &files, staged: None };
            self.create_record(spec, &made, terminal).await?;
            return Ok(Recorded { rootfs, staged: None, user, network });
        };
        let spec = ContainerSpec { mounts: staged.mounts.clone(), ..spec.clone() };
        let files = Files { mounts: staged.files.clone(), ..files };
        let made =
            Made { user: &user, attached: attached.as_ref(), files: &files, staged: Some(&staged) };
        self.create_record(&spec, &made, terminal).await?;
        Ok(Recorded { rootfs: staged.rootfs.clone(), staged: Some(staged), user, network })
    }

    /// The root file system's mounts, and the user as it says.
    async fn prepare_root(&self, spec: &ContainerSpec) -> Result<(Vec<Mount>, User)> {
        let mounts = match &spec.rootfs {
            Rootfs::Active(key) => self.snapshot_mounts(key).await?,
            Rootfs::Committed(parent) => {
                let key = ephemeral_key(&spec.id);
                self.snapshot_remove(&key).await?;
                let mut labels = spec.labels.clone();
                labels.insert(LABEL_GC_ROOT.to_owned(), "container".to_owned());
                self.snapshot_prepare(&key, Some(parent), &labels).await?
            }
        };
        let (of, parent, user) = (mounts.clone(), self.paths().mounts(), spec.user.clone());
        let user = blocking(move || {
            let mounted = mount::mount_snapshot(&of, &parent, Access::ReadOnly)?;
            userdb::resolve(mounted.path(), user.as_deref())
        })
        .await?;
        Ok((mounts, user))
    }

    /// The mounts of a container with a user namespace of its own; `None` without one.
    async fn stage(
        &self,
        spec: &ContainerSpec,
        rootfs: &[Mount],
        attached: Option<&Attached>,
        files: &Files,
    ) -> Result<Option<Staged>> {
        let Some(map) = self.id_map().filter(|_| spec.user_namespace) else {
            return Ok(None);
        };
        let (parent, mut rootfs) = (self.paths().mounts(), rootfs.to_vec());
        if spec.of_builds && matches!(spec.rootfs, Rootfs::Active(_)) {
            // Whoever builds syncs what it commits. What can stage can do this: it was tried at the start.
            let overlays = rootfs.iter_mut().filter(|one| one.r#type == "overlay");
            overlays.for_each(|one| one.options.push(mount::UNSYNCED.to_owned()));
        }
        let (mounts, files) = (spec.mounts.clone(), files.mounts.clone());
        let netns = attached.map(|attached| attached.netns.clone());
        blocking(move || map.stage(&parent, &rootfs, netns.as_deref(), &mounts, &files))
            .await
            .map(Some)
    }

    /// Begins to attach it, and returns when its namespace and its address are known.
    async fn attach(
        &self,
        spec: &ContainerSpec,
        unfinished: &mut Unfinished,
    ) -> Result<Option<Attaching>> {
        let Some(attachment) = spec.network.clone() else {
            return Ok(None);
        };
        let (network, id) = (self.network(), spec.id.clone());
        // It goes on when nobody waits for it any more.
        let (done, ended) = oneshot::channel::<()>();
        unfinished.attaching = Some(ended);
        let (tell, reserved) = oneshot::channel();
        let mut tell = Some(tell);
        let whole = tokio::task::spawn_blocking(move || {
            let attached = network.attach(&id, &attachment, &mut |reserved| {
                if let Some(tell) = tell.take() {
                    // Who has given up is told by nothing.
                    let _given_up = tell.send(reserved.clone());
                }
            });
            drop(done);
            attached
        });
        let attaching = match reserved.await {
            Ok(reserved) => Attaching { reserved, whole: Some(whole) },
            // Nothing was reserved: it failed.
            Err(_) => Attaching { reserved: joined(whole).await?, whole: None },
        };
        Ok(Some(attaching))
    }

    async fn create_record(
        &self,
        spec: &ContainerSpec,
        made: &Made<'_>,
        terminal: Option<TerminalSize>,
    ) -> Result<()> {
        let init = init::path(self.paths().data());
        let surroundings = Surroundings {
            init: &init,
            user: made.user,
            netns: made.attached.map(|attached| attached.netns.as_path()),
            files: made.files,
            cgroup: self.cgroup_for(spec).await?.path(),
            limits_swap: crate::cgroup::limits_swap(),
            open_files_max: spec::open_files_max(),
            staged: made.staged,
        };
        let mut labels = to_wire(&spec.labels);
        if let Some(attached) = made.attached {
            labels.insert(LABEL_ADDRESS.to_owned(), attached.address.to_string());
        }
        let mut oci = spec::oci(spec, &surroundings);
        session::set_terminal(&mut oci["process"], terminal);
        let record = Record {
            id: spec.id.clone(),
            labels,
            runtime: Some(RuntimeRecord {
                name: RUNTIME.to_owned(),
                options: Some(self.runtime_options()),
            }),
            spec: Some(Any { type_url: SPEC_TYPE.to_owned(), value: oci.to_string().into_bytes() }),
            snapshotter: SNAPSHOTTER.to_owned(),
            snapshot_key: match &spec.rootfs {
                Rootfs::Active(key) => key.clone(),
                Rootfs::Committed(_) => ephemeral_key(&spec.id),
            },
            ..Default::default()
        };
        self.containers()
            .create(self.request(CreateContainerRequest { container: Some(record) }))
            .await
            .map_err(self.client().refused("create container", &spec.id))?;
        Ok(())
    }

    pub(crate) async fn container_record(&self, id: &str) -> Result<Option<Record>> {
        let answer = self
            .containers()
            .get(self.request(GetContainerRequest { id: id.to_owned() }))
            .await
            .unless_gone()
            .map_err(self.client().refused("look up container", id))?;
        Ok(answer.and_then(|answer| answer.into_inner().container))
    }

    /// The variables that a container was made with; `None` when there is none of this id. Values are
    /// secrets.
    ///
    /// # Errors
    /// When containerd cannot be asked, or the record makes no sense.
    pub async fn variables_of(&self, id: &str) -> Result<Option<Vec<(String, Secret<String>)>>> {
        let Some(record) = self.container_record(id).await? else { return Ok(None) };
        let bytes = record.spec.map(|spec| spec.value).unwrap_or_default();
        let spec: serde_json::Value = serde_json::from_slice(&bytes)
            .map_err(|error| RuntimeError::io("understand the record of", id)(error.into()))?;
        let words = spec["process"]["env"].as_array().into_iter().flatten();
        let pair = |word: &serde_json::Value| {
            let (name, value) = word.as_str()?.split_once('=')?;
            Some((name.to_owned(), Secret::new(value.to_owned())))
        };
        Ok(Some(words.filter_map(pair).collect()))
    }

    pub(crate) async fn container_status(&self, id: &str) -> Result<Option<TaskStatus>> {
        match self.container_record(id).await? {
            None => Ok(None),
            Some(_) => self.task_status(id).await.map(Some),
        }
    }

    pub(crate) async fn container_list(&self, labels: &Labels) -> Result<Vec<Container>> {
        let request = ListContainersRequest { filters: label_filter(labels) };
        let records = self
            .containers()
            .list(self.request(request))
            .await
            .map_err(self.client().refused("list", "containers"))?;
        let tasks = tasks::client(self)
            .list(self.request(ListTasksRequest::default()))
            .await
            .map_err(self.client().refused("list", "tasks"))?;
        let tasks: HashMap<String, Process> =
            tasks.into_inner().tasks.into_iter().map(|task| (task.id.clone(), task)).collect();
        let container = |record: Record| Container {
            status: match tasks.get(&record.id) {
                Some(task) => self.status_of(&record.id, task),
                None => TaskStatus::Missing,
            },
            address: address_of(&record.labels),
            labels: from_wire(record.labels),
            id: record.id,
        };
        Ok(records.into_inner().containers.into_iter().map(container).collect())
    }

    /// Takes away what a start that was cut off left behind before there was a record of the container, and
    /// places that were made for builds to come.
    /// Only at start, when no other call can run.
    pub(crate) async fn sweep_orphans(&self) -> Result<()> {
        let none = Labels::new();
        let known: Vec<String> =
            self.container_list(&none).await?.into_iter().map(|it| it.id).collect();
        let network = self.network();
        let mut found = blocking(move || network.attached()).await?;
        let snapshots = self.snapshot_list(&none).await?;
        found.extend(
            snapshots.iter().filter_map(|it| it.key.strip_prefix(EPHEMERAL)).map(str::to_owned),
        );
        found.extend(self.shims().await?.into_iter().map(|shim| shim.container));
        let dirs = std::fs::read_dir(self.paths().containers()).into_iter().flatten().flatten();
        found.extend(dirs.filter_map(|entry| entry.file_name().into_string().ok()));
        found.sort();
        found.dedup();
        let orphan = |id: &String| !known.contains(id) && spec::check_id(id).is_ok();
        for id in found.into_iter().filter(orphan) {
            tracing::info!(id, "taking away what belongs to no container");
            if let Err(error) = self.container_delete(&id).await {
                tracing::warn!(id, %error, "what belongs to no container could not be taken away");
            }
        }
        Ok(())
    }

    /// Ends the shims of containers without a record, and what runs in these.
    pub(crate) async fn sweep_shims(&self) -> Result<()> {
        let mut lost = Vec::new();
        for shim in self.shims().await? {
            match self.container_record(&shim.container).await {
                Ok(None) => lost.push(shim),
                Ok(Some(_)) => {}
                Err(error) => tracing::warn!(container = shim.container, %error, "it may be lost"),
            }
        }
        let groups: Vec<Cgroup> =
            lost.iter().flat_map(|shim| self.cgroups_of(&shim.container)).collect();
        self.end_shims(lost).await?;
        blocking(move || {
            groups.iter().for_each(Cgroup::destroy);
            Ok(())
        })
        .await
    }

    async fn shims(&self) -> Result<Vec<Shim>> {
        let namespace = self.paths().namespace().to_owned();
        blocking(move || Ok(shims::of(&namespace))).await
    }

    async fn end_shims(&self, lost: Vec<Shim>) -> Result<()> {
        let namespace = self.paths().namespace().to_owned();
        let end = move || {
            for shim in lost {
                tracing::info!(
                    container = shim.container,
                    "ending a shim that containerd has lost"
                );
                shim.end(&namespace);
            }
            Ok(())
        };
        blocking(end).await
    }

    pub(crate) async fn container_delete(&self, id: &str) -> Result<()> {
        spec::check_id(id)?;
        if !self.task_delete(id).await? {
            let mut lost = self.shims().await?;
            lost.retain(|shim| shim.container == id);
            self.end_shims(lost).await?;
        }
        let (network, name, groups) = (self.network(), id.to_owned(), self.cgroups_of(id));
        blocking(move || {
            groups.iter().for_each(Cgroup::destroy);
            network.detach(&name)
        })
        .await?;
        self.containers()
            .delete(self.request(DeleteContainerRequest { id: id.to_owned() }))
            .await
            .unless_gone()
            .map_err(self.client().refused("delete container", id))?;
        self.snapshot_remove(&ephemeral_key(id)).await?;
        match std::fs::remove_dir_all(self.paths().containers().join(id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(RuntimeError::io("remove", self.paths().containers().join(id))(error))
            }
            _ => Ok(()),
        }
    }
}

const EPHEMERAL: &str = "container-";

/// Key of the writable snapshot that lives and dies with a container.
fn ephemeral_key(id: &str) -> String {
    format!("{EPHEMERAL}{id}")
}

fn address_of(labels: &HashMap<String, String>) -> Option<Ipv4Addr> {
    labels.get(LABEL_ADDRESS)?.parse().ok()
}
