//! Tasks: the running side of a container.
//!
//! **Invariant: an exit is learnt by asking.** Waiting survives a restart of containerd, and asks for the
//! state at intervals besides, because events get lost.

use std::time::Duration;

use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::{
    CreateTaskRequest, DeleteTaskRequest, GetRequest, KillRequest, PauseTaskRequest,
    ResumeTaskRequest, StartRequest, WaitRequest,
};
use containerd_client::tonic::transport::Channel;
use containerd_client::tonic::{Code, Status};
use containerd_client::types::Mount;
use containerd_client::types::v1::{Process, Status as TaskState};

use crate::client::{Idempotent, MESSAGE_BYTES_MAX, is_transport, task_state, timestamp};
use crate::engine::Engine;
use crate::error::{Result, RuntimeError};
use crate::runtime::{Exit, TaskStatus};

/// How often the state is asked for while an exit is waited for.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// Between two attempts to reach a containerd that is being restarted.
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// How long a kill, and the deletion after it, may take.
const DELETE_LIMIT: Duration = Duration::from_secs(20);
/// SIGKILL.
const KILL: u32 = 9;

/// Where the streams of a task lead, as containerd wants it.
#[derive(Clone)]
pub(crate) struct TaskIo {
    pub(crate) stdin: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) terminal: bool,
}

impl TaskIo {
    /// Both outputs to the logger.
    pub(crate) fn logger(uri: &str) -> Self {
        let (stdout, stderr) = (uri.to_owned(), uri.to_owned());
        Self { stdin: String::new(), stdout, stderr, terminal: false }
    }
}

/// The service.
pub(crate) fn client(engine: &Engine) -> TasksClient<Channel> {
    TasksClient::new(engine.client().channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

impl Engine {
    /// Creates the task, with all of its mounts; its process id.
    pub(crate) async fn task_create(
        &self,
        id: &str,
        rootfs: Vec<Mount>,
        io: TaskIo,
    ) -> Result<u32> {
        let request = CreateTaskRequest {
            container_id: id.to_owned(),
            rootfs,
            stdin: io.stdin,
            stdout: io.stdout,
            stderr: io.stderr,
            terminal: io.terminal,
            ..Default::default()
        };
        let answer = client(self).create(self.request(request)).await;
        Ok(answer.map_err(|status| self.not_started(id, &status))?.into_inner().pid)
    }

    /// Starts the created task; its process id.
    pub(crate) async fn task_start(&self, id: &str) -> Result<u32> {
        let request = StartRequest { container_id: id.to_owned(), exec_id: String::new() };
        let answer = client(self).start(self.request(request)).await;
        Ok(answer.map_err(|status| self.not_started(id, &status))?.into_inner().pid)
    }

    fn not_started(&self, id: &str, status: &Status) -> RuntimeError {
        match is_transport(status) {
            true => self.client().refused("start container", id)(status.clone()),
            false => RuntimeError::StartFailed {
                id: id.to_owned(),
                why: runc_words(status.message()).to_owned(),
            },
        }
    }

    async fn task_get(&self, id: &str) -> Result<Option<Process>, Status> {
        let request = GetRequest { container_id: id.to_owned(), exec_id: String::new() };
        let answer = client(self).get(self.request(request)).await.unless_gone()?;
        Ok(answer.and_then(|answer| answer.into_inner().process))
    }

    pub(crate) async fn task_status(&self, id: &str) -> Result<TaskStatus> {
        let task = self.task_get(id).await.map_err(self.client().refused("look up task", id))?;
        Ok(task.map_or(TaskStatus::Missing, |task| self.status_of(id, &task)))
    }

    pub(crate) fn status_of(&self, id: &str, task: &Process) -> TaskStatus {
        match task_state(task.status) {
            TaskState::Created => TaskStatus::Created,
            TaskState::Stopped => TaskStatus::Exited(self.exit_of(id, task)),
            // A shim that answers with an unknown state has lost its container.
            TaskState::Unknown => TaskStatus::Missing,
            _ => TaskStatus::Running { pid: task.pid },
        }
    }

    fn exit_of(&self, id: &str, task: &Process) -> Exit {
        Exit {
            code: task.exit_status,
            oom: self.cgroup(id).oom_kills() > 0,
            at: timestamp(task.exited_at.as_ref()),
        }
    }

    pub(crate) async fn task_wait(&self, id: &str) -> Result<Exit> {
        loop {
            match self.task_get(id).await {
                Ok(Some(task)) if task_state(task.status) == TaskState::Stopped => {
                    return Ok(self.exit_of(id, &task));
                }
                Ok(Some(_)) => {}
                Ok(None) => {
                    return Err(RuntimeError::NotFound { what: "task", name: id.to_owned() });
                }
                Err(status) if is_transport(&status) => {
                    tokio::time::sleep(RETRY_AFTER).await;
                    continue;
                }
                Err(status) => return Err(self.client().refused("look up task", id)(status)),
            }
            self.task_wait_once(id).await?;
        }
    }

    /// Waits until the task has exited, or until it is time to ask for its state again.
    async fn task_wait_once(&self, id: &str) -> Result<()> {
        let request = WaitRequest { container_id: id.to_owned(), exec_id: String::new() };
        let mut tasks = client(self);
        let wait = tasks.wait(self.request(request));
        match tokio::time::timeout(ASK_EVERY, wait).await {
            Err(_) | Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) if status.code() == Code::NotFound || is_transport(&status) => {
                tokio::time::sleep(RETRY_AFTER).await;
                Ok(())
            }
            Ok(Err(status)) => Err(self.client().refused("wait for task", id)(status)),
        }
    }

    pub(crate) async fn task_kill(&self, id: &str, signal: i32, all: bool) -> Result<()> {
        let signal = u32::try_from(signal).map_err(|_| RuntimeError::Invalid {
            what: "signal",
            given: signal.to_string(),
            rule: "use a signal number of this system",
        })?;
        let request =
            KillRequest { container_id: id.to_owned(), exec_id: String::new(), signal, all };
        match client(self).kill(self.request(request)).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::NotFound => Ok(()),
            Err(status) if status.message().contains("process already finished") => Ok(()),
            Err(status) => Err(self.client().refused("signal task", id)(status)),
        }
    }

    /// Halts every process. containerd refuses for one that does not run, which is what is wanted.
    pub(crate) async fn task_freeze(&self, id: &str) -> Result<()> {
        let request = PauseTaskRequest { container_id: id.to_owned() };
        match client(self).pause(self.request(request)).await {
            Ok(_) => Ok(()),
            Err(status) if not_running(&status) => Ok(()),
            Err(status) => Err(self.client().refused("freeze task", id)(status)),
        }
    }

    /// Lets it go on.
    pub(crate) async fn task_thaw(&self, id: &str) -> Result<()> {
        let request = ResumeTaskRequest { container_id: id.to_owned() };
        match client(self).resume(self.request(request)).await {
            Ok(_) => Ok(()),
            Err(status) if not_running(&status) => Ok(()),
            Err(status) => Err(self.client().refused("thaw task", id)(status)),
        }
    }

    /// Kills and deletes the task; containerd answers when the logger has written the last line. False when
    /// containerd knows of none.
    pub(crate) async fn task_delete(&self, id: &str) -> Result<bool> {
        match tokio::time::timeout(DELETE_LIMIT, self.task_delete_unbounded(id)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(RuntimeError::Timeout {
                operation: "deletion",
                name: id.to_owned(),
                limit_ms: u64::try_from(DELETE_LIMIT.as_millis()).unwrap_or(u64::MAX),
            }),
        }
    }

    async fn task_delete_unbounded(&self, id: &str) -> Result<bool> {
        loop {
            match self.task_status(id).await? {
                TaskStatus::Running { .. } | TaskStatus::Created => {
                    self.task_kill(id, KILL.cast_signed(), true).await?;
                    let _ = self.task_wait(id).await;
                }
                TaskStatus::Exited(_) | TaskStatus::Missing => {}
            }
            let request = DeleteTaskRequest { container_id: id.to_owned() };
            match client(self).delete(self.request(request)).await.unless_gone() {
                Ok(deleted) => return Ok(deleted.is_some()),
                Err(status) if status.code() == Code::FailedPrecondition => {
                    tokio::time::sleep(RETRY_AFTER).await;
                }
                Err(status) => return Err(self.client().refused("delete task", id)(status)),
            }
        }
    }
}

/// Whether a task was not frozen or thawed because it has ended, or is that already.
fn not_running(status: &Status) -> bool {
    // As in "cannot pause a stopped container": the shim's words for what is so already, or over.
    let words = ["cannot pause a ", "cannot resume a ", "not running", "not paused"];
    status.code() == Code::NotFound || words.iter().any(|word| status.message().contains(word))
}

/// The telling part of an error that came through containerd, the shim and runc.
pub(crate) fn runc_words(message: &str) -> &str {
    let marks = ["exec: ", "error during container init: ", "runc create failed: "];
    let found = marks.iter().find_map(|mark| message.find(mark));
    message[found.unwrap_or_default()..].trim_end_matches(": unknown")
}
