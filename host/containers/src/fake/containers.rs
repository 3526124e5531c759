//! Containers of the fake: behaviours with a state.

use std::net::Ipv4Addr;

use tokio::sync::watch;
use windlass_model::secret::Masker;
use windlass_model::{LogLine, Timestamp};

use super::{Behaviour, FakeRuntime, FakeState, no_snapshot};
use crate::error::{Result, RuntimeError};
use crate::logs::{CLOSED, file_name, files};
use crate::runtime::{
    Container, ContainerSpec, ExecResult, ExecSpec, Exit, Rootfs, Runtime, Started, TaskStatus,
};
use crate::spec;

/// One container.
pub(super) struct FakeContainer {
    pub(super) spec: ContainerSpec,
    pub(super) status: TaskStatus,
    behaviour: Behaviour,
    exited: watch::Sender<Option<Exit>>,
}

impl FakeContainer {
    /// As the trait shows it.
    pub(super) fn public(&self) -> Container {
        Container {
            id: self.spec.id.clone(),
            labels: self.spec.labels.clone(),
            status: self.status,
            address: self.address(),
        }
    }

    fn address(&self) -> Option<Ipv4Addr> {
        self.spec.network.as_ref().map(|_| self.behaviour.address)
    }
}

/// A container or a place in the network, if there is one.
pub(super) fn member(state: &FakeState, network: &str) -> Option<String> {
    let mut all = state.containers.values();
    let found = all.find(|it| it.spec.network.as_ref().is_some_and(|it| it.network == network));
    let place = || state.places.iter().find(|(_, of)| *of == network).map(|(name, _)| name.clone());
    found.map(|it| it.spec.id.clone()).or_else(place)
}

/// Ends a running container.
pub(super) fn end(state: &mut FakeState, id: &str, exit: Exit) {
    if let Some(container) = state.containers.get_mut(id)
        && matches!(container.status, TaskStatus::Running { .. })
    {
        container.status = TaskStatus::Exited(exit);
        container.exited.send_replace(Some(exit));
    }
}

/// Delivers a signal.
pub(super) fn signal(state: &mut FakeState, id: &str, signal: i32) {
    const TERM: i32 = 15;
    let Some(container) = state.containers.get(id) else {
        return;
    };
    if signal == TERM && !container.behaviour.heeds_term {
        return;
    }
    let code = 128 + u32::try_from(signal).unwrap_or_default();
    end(state, id, Exit { code, oom: false, at: Timestamp::now() });
}

impl FakeRuntime {
    pub(super) async fn start_container(&self, spec: &ContainerSpec) -> Result<Started> {
        spec::check(spec)?;
        if let Some(found) = self.state().containers.get(&spec.id) {
            match found.status {
                TaskStatus::Running { pid } => {
                    return Ok(Started { pid, address: found.address(), existed: true });
                }
                TaskStatus::Exited(_) => {
                    return Ok(Started { pid: 0, address: found.address(), existed: true });
                }
                TaskStatus::Created | TaskStatus::Missing => {}
            }
        }
        let (Rootfs::Committed(root) | Rootfs::Active(root)) = &spec.rootfs;
        if self.snapshot(root).await?.is_none() {
            return Err(no_snapshot(root));
        }
        if let Some(attachment) = &spec.network {
            self.ensure_network(&attachment.network).await?;
            let place = attachment.place.as_ref();
            if let Some(gone) = place.filter(|name| !self.state().places.contains_key(*name)) {
                return Err(RuntimeError::NotFound { what: "network place", name: gone.clone() });
            }
        }
        let behaviour = (self.inner.script)(spec);
        if let Some(why) = behaviour.start_error {
            return Err(RuntimeError::StartFailed { id: spec.id.clone(), why });
        }
        write_log(spec, &behaviour)?;
        Ok(self.record_start(spec, behaviour))
    }

    fn record_start(&self, spec: &ContainerSpec, behaviour: Behaviour) -> Started {
        let mut state = self.state();
        state.next_pid += 1;
        let pid = 1_000_000 + state.next_pid;
        let exit = behaviour.exit.map(|(after, code)| (after, code, behaviour.oom));
        let container = FakeContainer {
            spec: spec.clone(),
            status: TaskStatus::Running { pid },
            behaviour,
            exited: watch::Sender::new(None),
        };
        let address = container.address();
        state.containers.insert(spec.id.clone(), container);
        state.started.push(spec.clone());
        drop(state);
        if let Some((after, code, oom)) = exit {
            let (fake, id) = (self.clone(), spec.id.clone());
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                end(&mut fake.state(), &id, Exit { code, oom, at: Timestamp::now() });
            });
        }
        Started { pid, address, existed: false }
    }

    pub(super) async fn wait_container(&self, id: &str) -> Result<Exit> {
        let missing = || RuntimeError::NotFound { what: "task", name: id.to_owned() };
        let mut exited = match self.state().containers.get(id) {
            Some(it) if it.status != TaskStatus::Missing => it.exited.subscribe(),
            _ => return Err(missing()),
        };
        let exit = exited.wait_for(Option::is_some).await.map_err(|_| missing())?;
        exit.ok_or_else(missing)
    }

    pub(super) async fn delete_container(&self, id: &str) -> Result<()> {
        spec::check_id(id)?;
        signal(&mut self.state(), id, 9);
        if let Some(gone) = self.state().containers.remove(id) {
            let path = gone.spec.log.dir.join(CLOSED);
            std::fs::write(&path, b"").map_err(RuntimeError::io("write", &path))?;
        }
        Ok(())
    }

    pub(super) fn exec_in_container(&self, id: &str, _: &ExecSpec) -> Result<ExecResult> {
        match self.state().containers.get(id) {
            Some(it) if matches!(it.status, TaskStatus::Running { .. }) => Ok(ExecResult {
                code: it.behaviour.exec_code,
                timed_out: false,
                stdout_tail: String::new(),
                stderr_tail: String::new(),
            }),
            _ => Err(RuntimeError::NotFound { what: "container", name: id.to_owned() }),
        }
    }
}

/// Writes the lines as the logger would.
fn write_log(spec: &ContainerSpec, behaviour: &Behaviour) -> Result<()> {
    let dir = &spec.log.dir;
    std::fs::create_dir_all(dir).map_err(RuntimeError::io("create directory", dir))?;
    let _ = std::fs::remove_file(dir.join(CLOSED));
    let masker = Masker::new(spec.log.mask.iter().map(String::as_str));
    let mut text = String::new();
    for (stream, line) in &behaviour.lines {
        let line = LogLine::now(*stream, masker.mask(line));
        text.push_str(&serde_json::to_string(&line).unwrap_or_default());
        text.push('\n');
    }
    let path = dir.join(file_name(files(dir).last().copied().unwrap_or_default() + 1));
    std::fs::write(&path, text).map_err(RuntimeError::io("write", &path))
}
