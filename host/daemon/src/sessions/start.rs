//! From what was asked to an open session: which instance or artifact, which command.

use std::sync::Arc;

use windlass_containers::ContainerSpec;
use windlass_containers::runtime::{Session, SessionSpec, TerminalSize};
use windlass_model::deployment::{ArtifactKind, ArtifactProcess, Instance};
use windlass_model::session::SessionStart;
use windlass_model::{Deployment, DeploymentStatus, Failure, StepName};

use super::{Asked, Kind, RUN_PREFIX};
use crate::host::Host;
use crate::pipeline::runtime_env::{self, Command};
use crate::pipeline::{Run, names};

/// A shell, the better one if there are two.
const SHELL: [&str; 3] =
    ["/bin/sh", "-c", "if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi"];

/// An open session, and what it is called: an instance, or the one-off command.
pub(crate) struct Opened {
    pub(crate) session: Session,
    pub(crate) name: String,
    pub(crate) deployment: Deployment,
}

/// Opens what was asked for.
///
/// # Errors
/// `session.nothing-live`, `session.no-instance`, `session.no-image`, `session.not-started`.
pub(crate) async fn open(
    host: &Arc<Host>,
    asked: &Asked,
    start: &SessionStart,
) -> Result<Opened, Failure> {
    let deployment = live(host, asked)?;
    let terminal = start.terminal.map(|it| TerminalSize { columns: it.columns, rows: it.rows });
    match asked.kind {
        Kind::Exec => {
            let instance = instance(host, &deployment, start).await?;
            let spec = SessionSpec {
                argv: argv(start),
                env: terminal.map(|_| term(start)).into_iter().collect(),
                terminal,
            };
            let session = host.runtime.open_session(&instance.id, &spec).await;
            let name = names::instance_log(&instance.process, instance.ordinal);
            let session = session.map_err(|e| not_started(&argv(start), &e.to_string()))?;
            Ok(Opened { session, name, deployment })
        }
        Kind::Run => {
            let name = fresh_name(host);
            let process = start.process.as_deref();
            let mut spec = container(host, &deployment, &name, &argv(start), process)?;
            spec.labels.insert(names::run_label(names::RUN_ATTACHED), "true".to_owned());
            spec.env.extend(terminal.map(|_| term(start)));
            let session = host.runtime.run_session(&spec, terminal).await;
            let session = session.map_err(|e| not_started(&spec.argv, &e.to_string()))?;
            Ok(Opened { session, name, deployment })
        }
    }
}

/// The deployment that is live where a session is asked for.
pub(crate) fn live(host: &Host, asked: &Asked) -> Result<Deployment, Failure> {
    let live = host.live(&asked.project, &asked.environment)?;
    live.map(|(deployment, _)| deployment).ok_or_else(|| {
        Failure::app(
            "session.nothing-live",
            format!("{}/{} has no live deployment", asked.project, asked.environment),
            "a command runs in what is live",
            format!(
                "deploy first: windlass deploy --project {} -e {}",
                asked.project, asked.environment
            ),
        )
    })
}

fn argv(start: &SessionStart) -> Vec<String> {
    if start.argv.is_empty() {
        return SHELL.iter().map(|word| (*word).to_owned()).collect();
    }
    start.argv.clone()
}

fn term(start: &SessionStart) -> (String, String) {
    let fits = |term: &&String| term.len() <= 64 && term.chars().all(|c| c.is_ascii_graphic());
    let term = start.term.as_ref().filter(fits).cloned();
    ("TERM".to_owned(), term.unwrap_or_else(|| "xterm-256color".to_owned()))
}

/// The instance that is meant: the named one, else the first that runs of the process, web first.
async fn instance(
    host: &Host,
    deployment: &Deployment,
    start: &SessionStart,
) -> Result<Instance, Failure> {
    let mut all = host.instances(deployment)?;
    all.sort_by_key(|it| (it.process.as_str() != "web", it.process.clone(), it.ordinal));
    let log = |it: &Instance| names::instance_log(&it.process, it.ordinal);
    let there: Vec<String> = all.iter().map(log).collect();
    for it in all {
        let is_meant = start.instance.as_ref().is_none_or(|name| *name == log(&it))
            && start.process.as_ref().is_none_or(|name| *name == it.process.as_str());
        if is_meant && host.still_runs(&it).await? {
            return Ok(it);
        }
    }
    let wanted = start.instance.as_ref().or(start.process.as_ref());
    let what = wanted.map_or("an instance".to_owned(), |name| format!("{name:?}"));
    let mut fix = "`windlass stats` shows what runs; `windlass run` needs no running instance";
    let why = if deployment.status == DeploymentStatus::Stopped {
        fix = "bring it back with `windlass start`; `windlass run` needs no running instance";
        "it was stopped".to_owned()
    } else if there.is_empty() {
        "it is a static site: no process of it runs".to_owned()
    } else {
        format!("its instances are {}", there.join(", "))
    };
    Err(Failure::app(
        "session.no-instance",
        format!("{what} of deployment #{} does not run", deployment.number),
        why,
        fix,
    ))
}

/// A name for a one-off command that no other has, noted as that of one which this start of the host begins.
pub(crate) fn fresh_name(host: &Host) -> String {
    // The random end of a new id, which is long enough within one deployment.
    let id = windlass_model::DeploymentId::generate().to_string();
    let name = format!("{RUN_PREFIX}{}", &id[id.len().saturating_sub(10)..]);
    host.observe.sessions.note(&name);
    name
}

/// A container beside the instances: same image, variables, network, user and limits.
pub(crate) fn container(
    host: &Arc<Host>,
    deployment: &Deployment,
    name: &str,
    argv: &[String],
    process: Option<&str>,
) -> Result<ContainerSpec, Failure> {
    let variables = host.variables(&deployment.project, &deployment.environment)?;
    let run = Run::beside(host, deployment.clone(), variables)?;
    let id = format!("{}.{name}", run.deployment.id);
    let mut spec = beside(&run, process, id, name, argv)?;
    spec.labels = names::run_labels(&run.deployment, name);
    Ok(spec)
}

/// A command in a container beside the instances of this process; of the web process, or the first one, if none is
/// named.
///
/// # Errors
/// `session.no-image` where there is no such process, or it has no image.
pub(crate) fn beside(
    run: &Run,
    process: Option<&str>,
    id: String,
    log: &str,
    argv: &[String],
) -> Result<ContainerSpec, Failure> {
    let artifact = run.artifact()?;
    let takes = |it: &&ArtifactProcess| process.is_none_or(|name| it.name.as_str() == name);
    let chosen = match process {
        None => artifact.web().or_else(|| artifact.processes.first()),
        Some(_) => artifact.processes.iter().find(takes),
    };
    let output = chosen
        .and_then(|it| artifact.output(&it.output))
        .filter(|output| matches!(output.kind, ArtifactKind::Image { .. }))
        .ok_or_else(|| no_image(&run.deployment, process))?;
    runtime_env::container(
        run,
        Command {
            id,
            log,
            step: StepName::Start,
            output,
            argv,
            cwd: None,
            port: None,
            aliases: Vec::new(),
        },
    )
}

fn no_image(deployment: &Deployment, process: Option<&str>) -> Failure {
    let why = match process {
        Some(name) => format!("it has no process {name:?} with an image"),
        None => "it is a static site: there is no image to run a command in".to_owned(),
    };
    Failure::app(
        "session.no-image",
        format!("deployment #{} cannot run a command", deployment.number),
        why,
        format!("`windlass show {}` lists its processes", deployment.number),
    )
}

pub(crate) fn not_started(argv: &[String], why: &str) -> Failure {
    let command = argv.first().map(String::as_str).unwrap_or_default();
    Failure::app(
        "session.not-started",
        format!("{command:?} could not be started"),
        why,
        "name a program that the image has; an image without a shell needs a command: \
         windlass exec -- PROGRAM",
    )
}
