//! Sessions on the engine: named pipes between a process and whoever works with it.
//!
//! **Invariants.** Output is read while the process runs, and as fast as it is taken: a slow reader slows the
//! process and loses nothing. Everything that a command in a container starts is held together in a control
//! group of its own below the container's, so that its end takes all of it, however it was detached. What a
//! killed host left is found by its pipes and ended at the next start.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use containerd_client::services::v1::{
    CloseIoRequest, DeleteProcessRequest, ExecProcessRequest, KillRequest, ResizePtyRequest,
    StartRequest, WaitRequest,
};
use prost_types::Any;
use rustix::fs::{CWD, FileType, Mode};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};
use windlass_model::Stream;

use crate::cgroup::Cgroup;
use crate::client::Idempotent as _;
use crate::engine::Engine;
use crate::engine::again::again;
use crate::error::{Result, RuntimeError};
use crate::exec::PROCESS_TYPE;
use crate::runtime::{ContainerSpec, ExecSpec, Session, SessionControl, SessionSpec, TerminalSize};
use crate::tasks::client;

/// Pieces of output that wait to be taken.
const BUFFERED: usize = 16;
/// Bytes read at once.
const READ_BYTES: usize = 32 * 1024;
/// When the process has ended: how long its streams must be silent before they are taken as finished.
const SILENCE: Duration = Duration::from_millis(60);
/// Prefix of a session's id, and of its pipes and its control group.
const PREFIX: &str = "session-";

/// The pipes of a session, in the container's directory.
#[derive(Debug, Clone)]
pub(crate) struct Pipes {
    pub(crate) stdin: PathBuf,
    pub(crate) stdout: PathBuf,
    /// None with a terminal, which has one stream.
    pub(crate) stderr: Option<PathBuf>,
}

impl Pipes {
    fn make(dir: &Path, name: &str, terminal: bool) -> Result<Self> {
        let make = |end: &str| {
            let path = dir.join(format!("{name}.{end}"));
            rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
                .map_err(RuntimeError::os("make pipe", &path))?;
            Ok::<_, RuntimeError>(path)
        };
        let stderr = if terminal { None } else { Some(make("err")?) };
        Ok(Self { stdin: make("in")?, stdout: make("out")?, stderr })
    }

    fn remove(&self) {
        for path in [Some(&self.stdin), Some(&self.stdout), self.stderr.as_ref()] {
            let _ = path.map(std::fs::remove_file);
        }
    }
}

/// Gives a process a terminal of this size from its first moment on, or none.
pub(crate) fn set_terminal(process: &mut serde_json::Value, terminal: Option<TerminalSize>) {
    process["terminal"] = json!(terminal.is_some());
    if let Some(size) = terminal {
        process["consoleSize"] = json!({ "width": size.columns, "height": size.rows });
    }
}

/// Where a pipe is, as containerd wants it.
pub(crate) fn wire(path: Option<&PathBuf>) -> String {
    path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Our ends of the pipes.
struct Ends {
    stdin: pipe::Sender,
    output: mpsc::Receiver<(Stream, Bytes)>,
    /// How far the process is; readers end some time after it has.
    stage: watch::Sender<Stage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Stage {
    Runs,
    Ended,
    Removed,
}

impl Ends {
    fn open(pipes: &Pipes) -> Result<Self> {
        // Open for both, so that nothing waits or ends before the shim has opened its side.
        let options = || {
            let mut options = pipe::OpenOptions::new();
            options.read_write(true);
            options
        };
        let stdin = options()
            .open_sender(&pipes.stdin)
            .map_err(RuntimeError::io("open pipe", &pipes.stdin))?;
        let (to, output) = mpsc::channel(BUFFERED);
        let (stage, _) = watch::channel(Stage::Runs);
        let outputs =
            [(Stream::Stdout, Some(&pipes.stdout)), (Stream::Stderr, pipes.stderr.as_ref())];
        for (stream, path) in outputs {
            let Some(path) = path else { continue };
            let pipe =
                options().open_receiver(path).map_err(RuntimeError::io("open pipe", path))?;
            tokio::spawn(pump(pipe, stream, to.clone(), stage.subscribe()));
        }
        Ok(Self { stdin, output, stage })
    }
}

/// Passes a stream on until the process has ended and the stream is silent, then what is left once the
/// process is removed.
async fn pump(
    mut pipe: pipe::Receiver,
    stream: Stream,
    to: mpsc::Sender<(Stream, Bytes)>,
    mut stage: watch::Receiver<Stage>,
) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let is_ended = *stage.borrow() != Stage::Runs;
        let read = tokio::select! {
            biased;
            read = pipe.read(&mut buffer) => read,
            () = tokio::time::sleep(SILENCE), if is_ended => break,
            changed = stage.changed(), if !is_ended => match changed {
                Ok(()) => continue,
                Err(_) => break,
            },
        };
        match read {
            Ok(count) if count > 0 => {
                if to.send((stream, Bytes::copy_from_slice(&buffer[..count]))).await.is_err() {
                    return;
                }
            }
            _ => break,
        }
    }
    let _ = stage.wait_for(|stage| *stage == Stage::Removed).await;
    while let Ok(count) = pipe.try_read(&mut buffer) {
        let piece = Bytes::copy_from_slice(&buffer[..count]);
        if count == 0 || to.send((stream, piece)).await.is_err() {
            return;
        }
    }
}

/// A session of the engine: a command in a container, or (with an empty `exec_id`) a container's own first
/// process.
struct EngineSession {
    engine: Engine,
    container: String,
    exec_id: String,
    pipes: Pipes,
    group: Option<Cgroup>,
    stage: watch::Sender<Stage>,
}

impl Engine {
    pub(crate) async fn session_open(&self, id: &str, spec: &SessionSpec) -> Result<Session> {
        let command = ExecSpec {
            argv: spec.argv.clone(),
            env: spec.env.clone(),
            cwd: None,
            timeout: Duration::MAX,
            tail_bytes_max: 0,
        };
        let mut process = self.exec_process(id, &command).await?;
        set_terminal(&mut process, spec.terminal);
        let exec_id = format!("{PREFIX}{}", ulid::Ulid::new()).to_ascii_lowercase();
        let dir = self.paths().containers().join(id);
        let pipes = Pipes::make(&dir, &exec_id, spec.terminal.is_some())?;
        let ends = Ends::open(&pipes)?;
        let request = ExecProcessRequest {
            container_id: id.to_owned(),
            stdin: wire(Some(&pipes.stdin)),
            stdout: wire(Some(&pipes.stdout)),
            stderr: wire(pipes.stderr.as_ref()),
            terminal: spec.terminal.is_some(),
            spec: Some(Any {
                type_url: PROCESS_TYPE.to_owned(),
                value: process.to_string().into_bytes(),
            }),
            exec_id: exec_id.clone(),
        };
        let session = EngineSession {
            engine: self.clone(),
            container: id.to_owned(),
            group: Some(self.cgroup(id).child(&exec_id)),
            exec_id,
            pipes,
            stage: ends.stage,
        };
        if let Err(error) = session.begin(request).await {
            let _ = session.end().await;
            return Err(error);
        }
        let (stdin, output) = (Box::new(ends.stdin), ends.output);
        Ok(Session { stdin, output, control: Box::new(session) })
    }

    /// A container whose first process is the session.
    pub(crate) async fn session_run(
        &self,
        spec: &ContainerSpec,
        terminal: Option<TerminalSize>,
    ) -> Result<Session> {
        let (id, is_terminal) = (spec.id.clone(), terminal.is_some());
        let made = std::sync::Mutex::new(None);
        let open = |dir: &Path| {
            let pipes = Pipes::make(dir, PREFIX, is_terminal)?;
            let ends = Ends::open(&pipes)?;
            *made.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                Some((pipes.clone(), ends));
            Ok(pipes)
        };
        if let Err(error) = self.container_create_attached(spec, terminal, &open).await {
            if let Err(left) = again(|| self.container_delete(&id)).await {
                tracing::warn!(id, error = %left, "a session that did not begin left something");
            }
            return Err(error);
        }
        let made = made.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some((pipes, ends)) = made else {
            return Err(RuntimeError::NotFound { what: "pipes of container", name: id });
        };
        let session = EngineSession {
            engine: self.clone(),
            container: id,
            exec_id: String::new(),
            pipes,
            group: None,
            stage: ends.stage,
        };
        let (stdin, output) = (Box::new(ends.stdin), ends.output);
        Ok(Session { stdin, output, control: Box::new(session) })
    }

    /// Ends the sessions of a host that was killed. Only at start, when no session can be open.
    pub(crate) async fn sweep_sessions(&self) {
        let containers = std::fs::read_dir(self.paths().containers()).into_iter().flatten();
        for container in containers.flatten() {
            let Ok(id) = container.file_name().into_string() else { continue };
            for exec_id in sessions_of(&container.path()) {
                tracing::info!(container = id, session = exec_id, "ending a forgotten session");
                let dir = container.path();
                let file = |end: &str| dir.join(format!("{exec_id}.{end}"));
                let pipes =
                    Pipes { stdin: file("in"), stdout: file("out"), stderr: Some(file("err")) };
                let session = EngineSession {
                    engine: self.clone(),
                    group: Some(self.cgroup(&id).child(&exec_id)),
                    container: id.clone(),
                    exec_id,
                    pipes,
                    stage: watch::Sender::new(Stage::Runs),
                };
                if let Err(error) = session.end().await {
                    tracing::warn!(%error, "a forgotten session could not be ended");
                }
            }
        }
    }
}

fn sessions_of(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let name = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let id = name.strip_suffix(".in")?;
        (id.starts_with(PREFIX) && id != PREFIX).then(|| id.to_owned())
    };
    entries.filter_map(name).collect()
}

impl EngineSession {
    async fn begin(&self, request: ExecProcessRequest) -> Result<()> {
        client(&self.engine)
            .exec(self.engine.request(request))
            .await
            .map_err(self.engine.client().refused("run a command in", &self.container))?;
        let request =
            StartRequest { container_id: self.container.clone(), exec_id: self.exec_id.clone() };
        let started = client(&self.engine).start(self.engine.request(request)).await;
        let pid = started
            .map_err(|status| RuntimeError::StartFailed {
                id: self.container.clone(),
                why: crate::tasks::runc_words(status.message()).to_owned(),
            })?
            .into_inner()
            .pid;
        if let Some(group) = self.group.clone() {
            let adopt = move || {
                group.adopt(pid);
                Ok(())
            };
            crate::snapshots::blocking(adopt).await?;
        }
        Ok(())
    }

    async fn remove(&self) -> Result<()> {
        if self.exec_id.is_empty() {
            return self.engine.container_delete(&self.container).await;
        }
        let kill = KillRequest {
            container_id: self.container.clone(),
            exec_id: self.exec_id.clone(),
            signal: 9,
            all: false,
        };
        // It has mostly ended by itself.
        let _ = client(&self.engine).kill(self.engine.request(kill)).await;
        if let Some(group) = self.group.clone() {
            crate::snapshots::blocking(move || {
                group.destroy();
                Ok(())
            })
            .await?;
        }
        // A killed process is deleted only once its end was noticed.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.wait()).await;
        let request = DeleteProcessRequest {
            container_id: self.container.clone(),
            exec_id: self.exec_id.clone(),
        };
        let deleted = client(&self.engine).delete_process(self.engine.request(request)).await;
        deleted
            .unless_gone()
            .map(drop)
            .map_err(self.engine.client().refused("end a command in", &self.container))
    }
}

#[async_trait]
impl SessionControl for EngineSession {
    async fn close_stdin(&self) -> Result<()> {
        let request = CloseIoRequest {
            container_id: self.container.clone(),
            exec_id: self.exec_id.clone(),
            stdin: true,
        };
        let closed = client(&self.engine).close_io(self.engine.request(request)).await;
        closed
            .unless_gone()
            .map(drop)
            .map_err(self.engine.client().refused("close the input of", &self.container))
    }

    async fn resize(&self, size: TerminalSize) -> Result<()> {
        let request = ResizePtyRequest {
            container_id: self.container.clone(),
            exec_id: self.exec_id.clone(),
            width: size.columns.into(),
            height: size.rows.into(),
        };
        let resized = client(&self.engine).resize_pty(self.engine.request(request)).await;
        resized
            .unless_gone()
            .map(drop)
            .map_err(self.engine.client().refused("resize the terminal of", &self.container))
    }

    async fn signal(&self, signal: i32) -> Result<()> {
        let request = KillRequest {
            container_id: self.container.clone(),
            exec_id: self.exec_id.clone(),
            signal: signal.cast_unsigned(),
            all: false,
        };
        let signalled = client(&self.engine).kill(self.engine.request(request)).await;
        signalled
            .unless_gone()
            .map(drop)
            .map_err(self.engine.client().refused("signal a command in", &self.container))
    }

    async fn wait(&self) -> Result<u32> {
        let request =
            WaitRequest { container_id: self.container.clone(), exec_id: self.exec_id.clone() };
        let ended = client(&self.engine).wait(self.engine.request(request)).await;
        let code = ended
            .map(|answer| answer.into_inner().exit_status)
            .map_err(self.engine.client().refused("wait for a command in", &self.container))?;
        self.stage.send_if_modified(|stage| {
            let changes = *stage == Stage::Runs;
            *stage = if changes { Stage::Ended } else { *stage };
            changes
        });
        Ok(code)
    }

    async fn end(&self) -> Result<()> {
        let removed = self.remove().await;
        self.stage.send_replace(Stage::Removed);
        self.pipes.remove();
        removed
    }
}

/// Makes the pipes of a container that is about to be started.
pub(crate) type OpenPipes<'a> = &'a (dyn Fn(&Path) -> Result<Pipes> + Send + Sync);
