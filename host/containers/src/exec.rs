//! Commands in running containers, for health probes.
//!
//! **Invariant: output is read while the command runs**, so a full pipe never blocks it, and only its
//! end is kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use containerd_client::services::v1::{
    DeleteProcessRequest, ExecProcessRequest, KillRequest, StartRequest, WaitRequest,
};
use prost_types::Any;
use rustix::fs::{CWD, FileType, Mode};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::client::Idempotent;
use crate::engine::Engine;
use crate::error::{Result, RuntimeError};
use crate::runtime::{ExecResult, ExecSpec};
use crate::tasks::client;

pub(crate) const PROCESS_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";
/// How long containerd may take to hand over what a killed command has written.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

impl Engine {
    pub(crate) async fn task_exec(&self, id: &str, command: &ExecSpec) -> Result<ExecResult> {
        let process = self.exec_process(id, command).await?;
        let exec_id = format!("exec-{}", ulid::Ulid::new()).to_ascii_lowercase();
        let dir = self.paths().containers().join(id);
        let out = Tail::open(dir.join(format!("{exec_id}.out")), command.tail_bytes_max)?;
        let err = Tail::open(dir.join(format!("{exec_id}.err")), command.tail_bytes_max)?;
        let request = ExecProcessRequest {
            container_id: id.to_owned(),
            stdin: String::new(),
            stdout: out.path(),
            stderr: err.path(),
            terminal: false,
            spec: Some(Any {
                type_url: PROCESS_TYPE.to_owned(),
                value: process.to_string().into_bytes(),
            }),
            exec_id: exec_id.clone(),
        };
        client(self)
            .exec(self.request(request))
            .await
            .map_err(self.client().refused("run a command in", id))?;
        let ended = self.exec_run(id, &exec_id, command.timeout).await;
        let request =
            DeleteProcessRequest { container_id: id.to_owned(), exec_id: exec_id.clone() };
        let deletion = client(self).delete_process(self.request(request)).await.unless_gone();
        let (code, timed_out) = ended?;
        deletion.map_err(self.client().refused("end a command in", id))?;
        Ok(ExecResult {
            code,
            timed_out,
            stdout_tail: out.finish().await,
            stderr_tail: err.finish().await,
        })
    }

    /// The container's own process with the command in its place.
    pub(crate) async fn exec_process(&self, id: &str, command: &ExecSpec) -> Result<Value> {
        let not_found = || RuntimeError::NotFound { what: "container", name: id.to_owned() };
        let record = self.container_record(id).await?.ok_or_else(not_found)?;
        let spec = record.spec.ok_or_else(not_found)?;
        let spec: Value = serde_json::from_slice(&spec.value).map_err(|_| not_found())?;
        let mut process = spec["process"].clone();
        process["args"] = json!(command.argv);
        if let Some(cwd) = &command.cwd {
            process["cwd"] = json!(cwd);
        }
        let mut env: Vec<Value> = process["env"].as_array().cloned().unwrap_or_default();
        env.extend(command.env.iter().map(|(name, value)| json!(format!("{name}={value}"))));
        process["env"] = Value::Array(env);
        Ok(process)
    }

    /// Starts the command and waits for its end; kills it when the time is up.
    async fn exec_run(&self, id: &str, exec_id: &str, limit: Duration) -> Result<(u32, bool)> {
        let request = StartRequest { container_id: id.to_owned(), exec_id: exec_id.to_owned() };
        client(self).start(self.request(request)).await.map_err(|status| {
            RuntimeError::StartFailed { id: id.to_owned(), why: status.message().to_owned() }
        })?;
        let wait = async {
            let request = WaitRequest { container_id: id.to_owned(), exec_id: exec_id.to_owned() };
            client(self)
                .wait(self.request(request))
                .await
                .map(|answer| answer.into_inner().exit_status)
                .map_err(self.client().refused("wait for a command in", id))
        };
        tokio::pin!(wait);
        match tokio::time::timeout(limit, &mut wait).await {
            Ok(code) => Ok((code?, false)),
            Err(_) => {
                let request = KillRequest {
                    container_id: id.to_owned(),
                    exec_id: exec_id.to_owned(),
                    signal: 9,
                    all: false,
                };
                let _ = client(self).kill(self.request(request)).await;
                let code = tokio::time::timeout(FLUSH_LIMIT, wait).await;
                Ok((code.unwrap_or(Ok(137))?, true))
            }
        }
    }
}

/// A named pipe that is read to keep the end of what passes.
struct Tail {
    path: PathBuf,
    stop: tokio::sync::oneshot::Sender<()>,
    reader: tokio::task::JoinHandle<Vec<u8>>,
}

impl Tail {
    fn open(path: PathBuf, bytes_max: usize) -> Result<Self> {
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .map_err(RuntimeError::os("make pipe", &path))?;
        // Open for both, so that there is no end of file before the shim opens its side.
        let pipe = pipe::OpenOptions::new()
            .read_write(true)
            .open_receiver(&path)
            .map_err(RuntimeError::io("open pipe", &path))?;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let reader = tokio::spawn(read_tail(pipe, bytes_max, stopped));
        Ok(Self { path, stop, reader })
    }

    fn path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// After the shim has closed its side: what is left in the pipe, then the tail as text.
    async fn finish(self) -> String {
        let _ = self.stop.send(());
        let tail = self.reader.await.unwrap_or_default();
        remove(&self.path);
        String::from_utf8_lossy(&tail).into_owned()
    }
}

fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}

async fn read_tail(
    mut pipe: pipe::Receiver,
    bytes_max: usize,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) -> Vec<u8> {
    let mut tail = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            biased;
            read = pipe.read(&mut buffer) => match read {
                Ok(count) => keep(&mut tail, &buffer[..count], bytes_max),
                Err(_) => return tail,
            },
            _ = &mut stopped => break,
        }
    }
    while let Ok(count) = pipe.try_read(&mut buffer) {
        keep(&mut tail, &buffer[..count], bytes_max);
    }
    tail
}

fn keep(tail: &mut Vec<u8>, bytes: &[u8], bytes_max: usize) {
    tail.extend_from_slice(bytes);
    let over = tail.len().saturating_sub(bytes_max);
    tail.drain(..over);
}
