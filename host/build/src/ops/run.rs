//! Running one command in a container on the step's writable snapshot.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::Notify;
use windlass_containers::runtime::{
    Attachment, ContainerSpec, Exit, LogSpec, ResourceLimits, Rootfs,
};
use windlass_containers::{RuntimeError, logs};
use windlass_model::Failure;
use windlass_model::plan::Run;

use super::OpContext;
use super::mounts::{self, Prepared};
use super::stubs::Stubs;
use super::watch::{Before, Over, Watch};
use crate::builder::{Session, build_labels, cancelled, given};
use crate::disk::free::Free;

/// The logger ends with its container; it is not waited for longer than this.
const LOG_END_WAIT: Duration = Duration::from_secs(10);
/// A build yields to what serves: a quarter of the share of an instance, when the CPU is short.
const CPU_SHARES: u32 = 256;
/// Commands are shown shortened.
const SHOWN_CHARS_MAX: usize = 200;

/// How a command ended.
enum End {
    Exited(Exit),
    /// It failed, and was refused further processes before.
    OutOfProcesses(Exit),
    TimedOut(Duration),
    Over(Over),
    Cancelled,
}

/// Runs a command to its end.
pub(crate) async fn run(
    session: &mut Session,
    context: &OpContext<'_>,
    command: &Run,
) -> Result<(), Failure> {
    let shown = shown(&command.argv);
    session.log.begin_command();
    session.log.host(format!("$ {shown}"));
    let prepared = mounts::prepare(session, context, &command.mounts).await?;
    let mut spec = spec(session, context, command, &prepared);
    // Waited for last: who holds it needs nothing more of others.
    let budget = session.budget.clone();
    let memory = budget.memory(spec.limits.memory_bytes, &session.wait()).await?;
    let place = async {
        match command.network {
            true => session.places.take().await.map(Some),
            false => Ok(None),
        }
    };
    let (stubs, before, place) = tokio::join!(
        Stubs::before(session, context, &prepared.targets, command.network),
        Before::of(session, prepared.written()),
        place
    );
    let place = place.map_err(|e| not_started(session, context, &shown, &e))?;
    let (stubs, before) = (stubs?, before?);
    spec.network = place.as_ref().map(|place| Attachment::build().at(place.name()));
    let watch = Watch::begin(session, context.active, &spec, before);
    let ended = in_container(session, &spec, time_limit(session, command), &watch).await;
    drop(memory);
    // Only then it is known that nothing of the command is in it any more.
    if let (Some(place), Ok(_)) = (place, &ended) {
        place.give_back();
    }
    let succeeded = matches!(&ended, Ok(End::Exited(exit)) if exit.code == 0);
    prepared.settle(session, succeeded).await?;
    stubs.remove(session, context).await?;
    let ended = ended.map_err(|e| not_started(session, context, &shown, &e))?;
    verdict(session, context, &shown, &ended)
}

fn time_limit(session: &Session, command: &Run) -> Duration {
    let most = session.config.limits.build.command_wall_ms;
    Duration::from_millis(command.timeout_ms.map_or(most, |ms| u64::from(ms).min(most)))
}

fn spec(
    session: &Session,
    context: &OpContext<'_>,
    command: &Run,
    prepared: &Prepared,
) -> ContainerSpec {
    let limits = &session.config.limits;
    let variables = &session.request.variables;
    let values = given(&session.request).map(|v| (v.name.clone(), v.value.expose().clone()));
    // Later ones win: certificates, variables, the step's own, the command's own, secrets that it asks for.
    let mut env = prepared.env.clone();
    let own = context.env.iter().chain(&command.env).chain(&prepared.secret_env);
    for (name, value) in values.chain(own.cloned()) {
        env.retain(|(known, _)| *known != name);
        env.push((name, value));
    }
    let log = LogSpec {
        dir: session.scratch().join(format!("{}-log", context.id)),
        file_bytes_max: limits.step_log_bytes_max,
        files_max: 1,
        lines_per_s_max: 0,
        line_bytes_max: limits.log_line_bytes_max,
        mask: variables.iter().filter(|v| v.secret).map(|v| v.value.expose().clone()).collect(),
    };
    let rootfs = Rootfs::Active(context.active.to_owned());
    let mut spec = ContainerSpec::new(context.id.clone(), rootfs, command.argv.clone(), log);
    spec.labels = build_labels(&session.request);
    spec.env = env;
    let cwd = command.cwd.as_ref().unwrap_or(&context.step.cwd);
    spec.cwd = if cwd.is_empty() { "/".to_owned() } else { cwd.clone() };
    let user = command.user.as_ref().unwrap_or(&context.step.user);
    spec.user = Some(user.clone()).filter(|user| !user.is_empty());
    spec.user_namespace = true;
    spec.of_builds = true;
    spec.mounts.clone_from(&prepared.mounts);
    spec.hostname = Some("build".to_owned());
    spec.limits = ResourceLimits {
        memory_bytes: limits.build.memory_bytes_max,
        cpu_millis: limits.build.command_cpu_millis(),
        cpu_shares: CPU_SHARES,
        pids: limits.build.pids_max,
    };
    spec
}

/// Starts the container, passes its output on, waits, and deletes it whatever happens.
async fn in_container(
    session: &Session,
    spec: &ContainerSpec,
    limit: Duration,
    watch: &Watch<'_>,
) -> Result<End, RuntimeError> {
    let runtime = &session.runtime;
    let log = session.log.clone();
    let deletion = Arc::new(Notify::new());
    let mut lines = Box::pin(logs::follow(&spec.log.dir, Arc::clone(&deletion)));
    let mut follower = tokio::spawn(async move {
        while let Some(line) = lines.next().await {
            log.pass(line);
        }
    });
    let outcome = async {
        runtime.create_and_start(spec).await?;
        tokio::select! {
            exit = runtime.wait(&spec.id) => {
                let exit = exit?;
                let failed = exit.code != 0 && !exit.oom;
                match failed && runtime.forks_refused(&spec.id).await? > 0 {
                    true => Ok(End::OutOfProcesses(exit)),
                    false => Ok(End::Exited(exit)),
                }
            }
            () = tokio::time::sleep(limit) => Ok(End::TimedOut(limit)),
            over = watch.over() => Ok(End::Over(over)),
            () = session.request.cancel.cancelled() => Ok(End::Cancelled),
        }
    }
    .await;
    let outcome = match watch.verdict() {
        Some(over) => Ok(End::Over(over)),
        None => outcome,
    };
    // All of its processes have ended, so that what it has written can be measured meanwhile.
    let succeeded = matches!(&outcome, Ok(End::Exited(exit)) if exit.code == 0);
    let measure = async {
        match succeeded {
            true => watch.at_end().await,
            false => None,
        }
    };
    let (deleted, over) = tokio::join!(runtime.delete(&spec.id), measure);
    deletion.notify_one();
    if outcome.is_err() || tokio::time::timeout(LOG_END_WAIT, &mut follower).await.is_err() {
        follower.abort();
    }
    let outcome = outcome?;
    deleted?;
    // Its log is complete only now.
    let over = over.or_else(|| watch.said_too_much().filter(|_| succeeded));
    Ok(over.map_or(outcome, End::Over))
}

fn verdict(
    session: &mut Session,
    context: &OpContext<'_>,
    shown: &str,
    ended: &End,
) -> Result<(), Failure> {
    let step = &context.step.name;
    let failure = match ended {
        End::Exited(exit) if exit.code == 0 => {
            if exit.oom {
                let message = format!("a process of {shown:?} was killed for want of memory");
                session.warn("build.out-of-memory", message);
            }
            return Ok(());
        }
        End::Cancelled => return Err(cancelled()),
        End::Over(over) => over.failure(shown, step),
        End::OutOfProcesses(exit) => {
            let pids = session.config.limits.build.pids_max;
            Failure::app(
                "build.process-limit",
                format!("{shown:?} in the step {step:?} ended with exit code {}", exit.code),
                format!("it wanted more processes and threads than the {pids} it may have"),
                "let it start fewer at once, or raise `build.pids_max` in the limits file",
            )
        }
        End::TimedOut(limit) => Failure::app(
            "build.timed-out",
            format!("{shown:?} in the step {step:?} was stopped"),
            format!("it ran longer than {} s", limit.as_secs()),
            "find out from its last lines what it waits for; a build must not ask questions",
        ),
        End::Exited(exit) if exit.oom => {
            let mib = session.config.limits.build.memory_bytes_max >> 20;
            Failure::app(
                "build.out-of-memory",
                format!("{shown:?} in the step {step:?} was killed for want of memory"),
                format!("a build command may use {mib} MiB"),
                "make the build need less, or raise the host's limit build.memory_bytes_max",
            )
        }
        End::Exited(_) if let Some(failure) = disk_full(session, shown, step) => failure,
        End::Exited(exit) => Failure::app(
            "build.command-failed",
            format!("{shown:?} in the step {step:?} ended with exit code {}", exit.code),
            "its last lines say why",
            "run the same command in a clean checkout, correct what it reports, and deploy again",
        ),
    };
    Err(failure.with_log(session.log.tail()))
}

/// The failure of a command that says that there is no space, or that ended when there was none.
fn disk_full(session: &Session, shown: &str, step: &str) -> Option<Failure> {
    const SAYS: [&str; 3] = ["No space left on device", "ENOSPC", "Disk quota exceeded"];
    let free = Free::least(&session.config.data_dir);
    let said = session.log.tail().iter().any(|l| SAYS.iter().any(|text| l.text.contains(text)));
    (said || free.is_exhausted()).then(|| {
        Failure::app(
            "build.disk-full",
            format!("{shown:?} in the step {step:?} found no space to write to"),
            format!("the host's disk has {free}; a tmpfs or /dev/shm of a command is small"),
            "free space on the host (`df -h`, `windlass cache clear`), or write less to memory",
        )
    })
}

fn not_started(
    session: &Session,
    context: &OpContext<'_>,
    shown: &str,
    error: &RuntimeError,
) -> Failure {
    let what = format!("{shown:?} in the step {:?} could not be run", context.step.name);
    let mut failure = error.failure(what);
    if matches!(error, RuntimeError::StartFailed { .. }) {
        failure.code = "build.command-failed".to_owned();
        failure.fix = "check that the command exists in the base or is installed by an earlier \
                       step, and that its file is executable"
            .to_owned();
    }
    failure.with_log(session.log.tail())
}

/// The command as a person would type it, shortened.
pub(super) fn shown(argv: &[String]) -> String {
    let text = match argv {
        [shell, flag, script] if shell.ends_with("sh") && flag.starts_with('-') => script.clone(),
        _ => argv.join(" "),
    };
    let line = text.replace('\n', "; ");
    if line.chars().count() <= SHOWN_CHARS_MAX {
        return line;
    }
    let start: String = line.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{start}...")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_typed() {
        let own = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(shown(&own(&["npm", "ci"])), "npm ci");
        assert_eq!(shown(&own(&["/bin/sh", "-c", "a && b"])), "a && b");
        assert_eq!(shown(&own(&[&"x".repeat(300)])).len(), SHOWN_CHARS_MAX + 3);
    }
}
