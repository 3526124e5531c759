//! The boot command: `validate.command` of the settings, in a container of its own that has the new
//! artifact, the environment's variables and its network. Nothing is kept of what it writes.

use std::time::Duration;

use windlass_model::deployment::{ArtifactKind, ArtifactOutput};
use windlass_model::{Failure, StepName};

use super::super::runtime_env::{self, Command};
use super::super::{Run, names};
use crate::failpoint;

/// Its time, when the settings say nothing.
const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) async fn run(run: &mut Run, command: &str) -> Result<(), Failure> {
    delete(run).await?;
    let output = output(run)?;
    let argv = ["/bin/sh".to_owned(), "-c".to_owned(), command.to_owned()];
    let id = names::validation(&run.deployment.id);
    let spec = runtime_env::container(
        run,
        Command {
            id: id.clone(),
            log: names::VALIDATION_LOG,
            step: StepName::Validate,
            output: &output,
            argv: &argv,
            cwd: None,
            port: None,
            aliases: Vec::new(),
        },
    )?;
    run.log.say(format!("running {command}"));
    let runtime = run.host.runtime.clone();
    let started = runtime.create_and_start(&spec).await;
    started.map_err(|e| e.failure("the boot command could not be started"))?;
    failpoint::reached("during:validate-command");
    let timeout = run.settings()?.validate.timeout_ms.map_or(TIMEOUT, Duration::from_millis);
    let ended = tokio::time::timeout(timeout, runtime.wait(&id)).await;
    delete(run).await?;
    let lines = run.host.instance_lines(&run.deployment.id, names::VALIDATION_LOG);
    lines.iter().for_each(|line| run.log.write(line.clone()));
    let failure = match ended {
        Ok(Ok(exit)) if exit.code == 0 => return Ok(()),
        Ok(Ok(exit)) => Failure::app(
            "validate.boot-failed",
            format!("the boot command `{command}` failed"),
            format!("it ended with status {}; nothing was migrated or started", exit.code),
            "correct what its last lines show, or `validate.command` in windlass.toml, and deploy again",
        ),
        Ok(Err(error)) => return Err(error.failure("the boot command could not be waited for")),
        Err(_) => Failure::app(
            "validate.boot-timeout",
            format!("the boot command `{command}` took too long"),
            format!("it did not end within {} s", timeout.as_secs()),
            "find out what it waits for, or raise `validate.timeout` in windlass.toml; a server is no \
             boot command, because it does not end",
        ),
    };
    let keep = lines.len().saturating_sub(run.host.config.limits.failure_log_lines_max);
    Err(failure.with_log(lines[keep..].to_vec()))
}

/// What the web process runs from, else the first image.
fn output(run: &Run) -> Result<ArtifactOutput, Failure> {
    let artifact = run.artifact()?;
    let web = artifact.web().and_then(|web| artifact.output(&web.output));
    let is_image = |output: &&ArtifactOutput| matches!(output.kind, ArtifactKind::Image { .. });
    web.or_else(|| artifact.outputs.iter().find(is_image)).cloned().ok_or_else(|| {
        Failure::app(
            "validate.boot-failed",
            "there is nothing to run the boot command in",
            "the application is a static site",
            "remove `validate.command` from windlass.toml",
        )
    })
}

pub(super) async fn delete(run: &Run) -> Result<(), Failure> {
    let id = names::validation(&run.deployment.id);
    run.host.runtime.delete(&id).await.map_err(|e| e.failure("a container could not be deleted"))
}
