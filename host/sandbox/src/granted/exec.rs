//! `windlass:exec`: commands, and handles of those that run beside the call.

use wasmtime::component::Resource;

use super::{PURE, Process};
use crate::bindings::exec::{Batch, Command, ExecError, Exit, Host, HostProcess, Reason};
use crate::state::CallState;

/// A command that a guest holds a handle of.
pub struct Running(Box<dyn Process>);

fn denied() -> ExecError {
    ExecError { reason: Reason::Denied, message: PURE.to_owned() }
}

fn is_denied(error: &ExecError) -> bool {
    matches!(error.reason, Reason::Denied)
}

impl Host for CallState {
    async fn run(&mut self, command: Command) -> wasmtime::Result<Result<Exit, ExecError>> {
        self.asked.exec += 1;
        let ran = self.outside(|effects| async move { effects.run(command).await }).await;
        let ran = ran.unwrap_or_else(|| Err(denied()));
        self.count_denied(ran.as_ref().err().is_some_and(is_denied));
        Ok(ran)
    }

    async fn spawn(
        &mut self,
        command: Command,
    ) -> wasmtime::Result<Result<Resource<Running>, ExecError>> {
        self.asked.exec += 1;
        let spawned = self.outside(|effects| async move { effects.spawn(command).await }).await;
        match spawned.unwrap_or_else(|| Err(denied())) {
            Ok(process) => Ok(Ok(self.handles().push(Running(process))?)),
            Err(error) => {
                self.count_denied(is_denied(&error));
                Ok(Err(error))
            }
        }
    }
}

impl HostProcess for CallState {
    async fn next_lines(
        &mut self,
        process: Resource<Running>,
        lines_max: u32,
        wait_ms: u32,
    ) -> wasmtime::Result<Batch> {
        let _outside = self.times.begin_outside();
        let process = self.handles().get_mut(&process)?;
        Ok(process.0.next_lines(lines_max, wait_ms).await)
    }

    async fn wait(&mut self, process: Resource<Running>) -> wasmtime::Result<Exit> {
        let _outside = self.times.begin_outside();
        let process = self.handles().get_mut(&process)?;
        Ok(process.0.wait().await)
    }

    async fn kill(&mut self, process: Resource<Running>) -> wasmtime::Result<()> {
        let _outside = self.times.begin_outside();
        let process = self.handles().get_mut(&process)?;
        process.0.kill().await;
        Ok(())
    }

    async fn drop(&mut self, process: Resource<Running>) -> wasmtime::Result<()> {
        let mut process = self.handles().delete(process)?;
        let _outside = self.times.begin_outside();
        process.0.kill().await;
        Ok(())
    }
}
