//! Commands before the switch: `deploy.before_switch` of the settings, such as rebuilding caches.
//!
//! They run one after another in the new artifact, with the environment's variables and network, after
//! migrations and before the first instance starts. What they write is kept: the commands run on one
//! writable snapshot over the output of the web process, which is then committed, and the instances of
//! that output start from it.
//!
//! The snapshot belongs to this deployment and not to its artifact: caches hold values of variables, so a
//! rollback, which takes the present ones, runs the commands again. It is a part of the step `start`: it
//! is taken back with the instances, and goes when the deployment is retired.

use std::collections::BTreeSet;

use windlass_containers::Labels;
use windlass_containers::runtime::{LABEL_GC_ROOT, Rootfs};
use windlass_model::deployment::{Artifact, ArtifactOutput};
use windlass_model::{DeploymentId, Failure, StepName, Timestamp};

use super::runtime_env::{self, Command};
use super::{Run, names};
use crate::failpoint;
use crate::host::Host;

/// Label of the snapshots that are made here.
const LABEL_KIND: &str = "dev.windlass.kind";
const KIND: &str = "before-switch";

/// Runs the commands, unless that was done before. The answer is the output to start from, by name, with
/// the snapshot that the commands have written.
pub(super) async fn run(run: &Run, artifact: &Artifact) -> Result<Option<ArtifactOutput>, Failure> {
    let commands = run.settings()?.deploy.before_switch.clone();
    let web = artifact.web().or(artifact.processes.first());
    let output = web.and_then(|process| artifact.output(&process.output));
    let (false, Some(output)) = (commands.is_empty(), output) else {
        return Ok(None);
    };
    let id = &run.deployment.id;
    let mut prepared = output.clone();
    prepared.snapshot = names::prepared(id);
    let runtime = run.host.runtime.as_ref();
    let there = runtime.snapshot(&prepared.snapshot).await;
    if there.map_err(|e| failed(&e))?.is_some_and(|snapshot| snapshot.committed) {
        return Ok(Some(prepared));
    }
    let active = names::preparing(id);
    remove_snapshots(&run.host, std::slice::from_ref(&active)).await?;
    let labels = labels(run);
    runtime
        .prepare_snapshot(&active, Some(&output.snapshot), &labels)
        .await
        .map_err(|e| failed(&e))?;
    for (n, command) in commands.iter().enumerate() {
        one(run, output, &active, n, command).await?;
        failpoint::reached("during:before-switch");
    }
    runtime.commit_snapshot(&active, &prepared.snapshot, &labels).await.map_err(|e| failed(&e))?;
    Ok(Some(prepared))
}

async fn one(
    run: &Run,
    output: &ArtifactOutput,
    active: &str,
    n: usize,
    command: &str,
) -> Result<(), Failure> {
    let id = names::preparation(&run.deployment.id, n);
    let log = format!("{}.{n}", names::PREPARATION_LOG);
    let argv = ["/bin/sh".to_owned(), "-c".to_owned(), command.to_owned()];
    let mut spec = runtime_env::container(
        run,
        Command {
            id: id.clone(),
            log: &log,
            step: StepName::Start,
            output,
            argv: &argv,
            cwd: None,
            port: None,
            aliases: Vec::new(),
        },
    )?;
    spec.rootfs = Rootfs::Active(active.to_owned());
    run.log.say(format!("before the switch: {command}"));
    let runtime = run.host.runtime.as_ref();
    let delete_failed =
        |e: windlass_containers::RuntimeError| e.failure("a container could not be deleted");
    runtime.delete(&id).await.map_err(delete_failed)?;
    runtime
        .create_and_start(&spec)
        .await
        .map_err(|e| e.failure(format!("`{command}` could not be started")))?;
    let exit = runtime.wait(&id).await;
    runtime.delete(&id).await.map_err(delete_failed)?;
    let exit = exit.map_err(|e| e.failure("the end of a container could not be waited for"))?;
    let lines = run.host.instance_lines(&run.deployment.id, &log);
    lines.iter().for_each(|line| run.log.write(line.clone()));
    if exit.code == 0 {
        return Ok(());
    }
    let keep = lines.len().saturating_sub(run.host.config.limits.failure_log_lines_max);
    Err(Failure::app(
        "start.before-switch-failed",
        format!("the command `{command}` before the switch failed"),
        format!("it ended with status {}; the running version was not touched", exit.code),
        "correct what its last lines show, or `deploy.before_switch` in windlass.toml, and deploy again",
    )
    .with_log(lines[keep..].to_vec()))
}

fn labels(run: &Run) -> Labels {
    let mut labels = names::labels(&run.deployment, StepName::Start);
    labels.insert(LABEL_GC_ROOT.to_owned(), Timestamp::now().to_string());
    labels.insert(LABEL_KIND.to_owned(), KIND.to_owned());
    labels
}

/// Removes what was made for a deployment; its containers must be gone.
pub(crate) async fn remove(host: &Host, id: &DeploymentId) -> Result<(), Failure> {
    remove_snapshots(host, &[names::prepared(id), names::preparing(id)]).await
}

async fn remove_snapshots(host: &Host, keys: &[String]) -> Result<(), Failure> {
    for key in keys {
        if host.runtime.snapshot(key).await.map_err(|e| failed(&e))?.is_some() {
            host.runtime.remove_snapshot(key).await.map_err(|e| failed(&e))?;
        }
    }
    Ok(())
}

/// Removes what belongs to deployments that are not kept.
pub(crate) async fn sweep(
    host: &Host,
    keeps: impl Fn(&DeploymentId) -> bool,
) -> Result<(), Failure> {
    let labels = Labels::from([(LABEL_KIND.to_owned(), KIND.to_owned())]);
    let snapshots = host.runtime.list_snapshots(&labels).await.map_err(|e| failed(&e))?;
    let of = |snapshot: &windlass_containers::runtime::Snapshot| {
        names::labelled_deployment(&snapshot.labels)
    };
    let owners: BTreeSet<String> =
        snapshots.iter().filter_map(of).map(|id| id.to_string()).collect();
    for owner in owners {
        if let Ok(id) = owner.parse::<DeploymentId>()
            && !keeps(&id)
        {
            remove(host, &id).await?;
        }
    }
    Ok(())
}

fn failed(error: &windlass_containers::RuntimeError) -> Failure {
    error.failure("the snapshot of the commands before the switch could not be handled")
}
