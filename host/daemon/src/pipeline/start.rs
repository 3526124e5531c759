//! start: the commands before the switch, then new instances beside the old; with `strategy = "recreate"` the
//! old ones end first.
//!
//! Undo: stop and delete them, and what the commands have written, and let the old ones be started again.
//! After a crash: ensure by name.

use async_trait::async_trait;
use windlass_model::deployment::{Artifact, ArtifactProcess, Instance};
use windlass_model::running::by_settings;
use windlass_model::variable::Variable;
use windlass_model::{Failure, StepName, Timestamp};

use super::runtime_env::{self, Command};
use super::{Done, Run, Work, before_switch, egress, names, recreate, retire};
use crate::failpoint;

pub(crate) struct Start;

#[async_trait]
impl Work for Start {
    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        let artifact = run.artifact()?.clone();
        if artifact.processes.is_empty() {
            return Ok(Done::skipped("a static site: the proxy serves it itself"));
        }
        run.deployment.outputs.prepared = before_switch::run(run, &artifact).await?;
        recreate::make_way(run).await?;
        let instances = all(run, &artifact).await?;
        let summary = instances
            .iter()
            .map(|i| names::instance_log(&i.process, i.ordinal))
            .collect::<Vec<_>>()
            .join(", ");
        run.deployment.outputs.instances = instances;
        Ok(Done::new(summary))
    }

    async fn undo(&self, run: &mut Run) -> Result<(), Failure> {
        let deleted = retire::delete_instances(&run.host, &run.deployment.id).await;
        if deleted.is_err() && recreate::is_exclusive(run) {
            // What is left may still write to the volume that the old instances need alone.
            return deleted;
        }
        recreate::give_back(run).await?;
        deleted?;
        run.deployment.outputs.instances.clear();
        before_switch::remove(&run.host, &run.deployment.id).await?;
        run.deployment.outputs.prepared = None;
        Ok(())
    }
}

/// Starts as many instances of each process as are wanted. What they may reach by name is looked up before.
pub(crate) async fn all(run: &Run, artifact: &Artifact) -> Result<Vec<Instance>, Failure> {
    egress::refresh(&run.host, &run.deployment.project, &run.deployment.environment).await;
    let mut instances = Vec::with_capacity(artifact.processes.len());
    for process in &artifact.processes {
        for ordinal in 0..replicas(run, process)? {
            instances.push(start(run, artifact, process, ordinal).await?);
            failpoint::reached("during:start");
        }
    }
    Ok(instances)
}

/// What a person said about the number of instances goes before the settings.
fn replicas(run: &Run, process: &ArtifactProcess) -> Result<u32, Failure> {
    let deployment = &run.deployment;
    let running = run.host.running(&deployment.project, &deployment.environment)?;
    Ok(match running {
        Some((running, _)) => running.wanted(deployment, &process.name),
        None => by_settings(deployment, &process.name),
    })
}

/// Starts one instance, or finds that it was started before.
pub(crate) async fn start(
    run: &Run,
    artifact: &Artifact,
    process: &ArtifactProcess,
    ordinal: u32,
) -> Result<Instance, Failure> {
    let output = artifact.output(&process.output).ok_or_else(|| {
        Failure::host(
            "start.no-such-output",
            format!("the process {} runs from the output {:?}", process.name, process.output),
            "the artifact has no output of this name",
            "deploy again; if it happens again, report it",
        )
    })?;
    let prepared = run.deployment.outputs.prepared.as_ref();
    let output = prepared.filter(|prepared| prepared.name == output.name).unwrap_or(output);
    let port = web_port(run, process);
    let id = names::instance(&run.deployment.id, &process.name, ordinal);
    let log = names::instance_log(&process.name, ordinal);
    let mut spec = runtime_env::container(
        run,
        Command {
            id: id.clone(),
            log: &log,
            step: StepName::Start,
            output,
            argv: &process.argv,
            cwd: None,
            port,
            aliases: vec![process.name.to_string()],
        },
    )?;
    spec.init = true;
    let started = run
        .host
        .runtime
        .create_and_start(&spec)
        .await
        .map_err(|e| e.failure("a container could not be started"))?;
    let address = started.address.ok_or_else(|| {
        Failure::host(
            "start.no-address",
            format!("the instance {log} got no address"),
            "its network could not be set up",
            "run `windlass doctor`, then deploy again",
        )
    })?;
    match port {
        Some(port) => run.log.say(format!("{log} started at {address}, PORT={port}")),
        None => run.log.say(format!("{log} started")),
    }
    Ok(Instance {
        id,
        process: process.name.clone(),
        ordinal,
        address,
        port,
        pid: started.pid,
        started_at: Timestamp::now(),
    })
}

/// The port that a process is told; none for a worker.
fn web_port(run: &Run, process: &ArtifactProcess) -> Option<u16> {
    let set = run.deployment.outputs.settings.as_ref().and_then(|settings| settings.run.port);
    windlass_devtools::web_port(process.kind, port_variable(&run.variables), set, process.port)
}

/// What the environment's variable `PORT` says.
pub(super) fn port_variable(variables: &[Variable]) -> Option<u16> {
    let variable = variables.iter().find(|v| v.scope.in_run() && v.name.as_str() == "PORT")?;
    variable.value.expose().trim().parse().ok()
}
