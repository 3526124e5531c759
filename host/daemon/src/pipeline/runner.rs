//! The runner takes one deployment through the table, from wherever its record says it is.
//!
//! **Invariant: nothing else writes a deployment's state while it runs.** The record is stored before
//! a step is begun, together with how the one before it ended, so a crash at any moment leaves a record
//! that says where to go on: a step that is `running` is run again, and a record with a `failure` or a
//! `cancelled` reason goes on with the undo.

use std::sync::Arc;
use std::time::Duration;

use windlass_model::deployment::CancelReason;
use windlass_model::queue::Pause;
use windlass_model::secret::Masker;
use windlass_model::{Deployment, DeploymentStatus, Failure, StepName, StepStatus, Timestamp};

use super::again::Again;
use super::ticket::Ticket;
use super::{Done, Row, Run, custom, inherit};
use crate::host::Host;
use crate::{diagnose, failpoint};

/// Code of a deployment whose clean-up failed.
pub(crate) const STUCK: &str = "undo.failed";

/// Runs a deployment to its end: live, failed, cancelled or stuck; or to where it is halted. Returns early
/// only when its state cannot be stored; then nothing more is done, and the queue calls it again.
pub(crate) async fn run(host: Arc<Host>, deployment: Deployment, revision: u64, ticket: Ticket) {
    let id = deployment.id.clone();
    let mut run = match prepare(host, deployment, revision, &ticket).await {
        Ok(run) => run,
        Err(failure) => {
            tracing::error!(deployment = %id, %failure, "the deployment could not be taken up");
            return;
        }
    };
    tracing::info!(deployment = %id, step = ?run.deployment.current_step(), "taken up");
    if let Err(failure) = drive(&mut run, &ticket).await {
        tracing::error!(deployment = %id, %failure, "the deployment's state could not be stored");
    }
}

async fn prepare(
    host: Arc<Host>,
    mut deployment: Deployment,
    revision: u64,
    ticket: &Ticket,
) -> Result<Run, Failure> {
    let variables = host.variables_of(&deployment)?;
    let begins = deployment.status == DeploymentStatus::Queued;
    deployment.status = DeploymentStatus::Running;
    deployment.paused = None;
    if begins {
        deployment.started_at = Some(Timestamp::now());
        if let Some(failure) = inherit::take_over(&host, &mut deployment)? {
            deployment.failure = Some(failure);
            cancel_rest(&mut deployment);
        }
    }
    let step = deployment.current_step().unwrap_or(StepName::Finish);
    let log = open_log(&host, &deployment, step, Run::masker(&variables))?;
    let cancel = ticket.cancel.clone();
    let mut run =
        Run { host, deployment, revision, unsaved: None, held: None, log, cancel, variables };
    if begins {
        let variables = run.variables.clone();
        run.revision = run.host.take_up(&run.deployment, run.revision, variables).await?;
    } else {
        run.save().await?;
    }
    Ok(run)
}

/// Goes on from the record: forward through the table, or back through the undo.
async fn drive(run: &mut Run, ticket: &Ticket) -> Result<(), Failure> {
    if run.deployment.failure.is_some() || run.deployment.cancelled.is_some() {
        return unwind(run).await;
    }
    while let Some(row) = next_row(run) {
        if run.deployment.kind.is_build() && row.step > StepName::Build {
            return built(run).await;
        }
        let not_begun =
            run.deployment.step(row.step).is_some_and(|step| step.status == StepStatus::Pending);
        let can_end = row.step.cancellable() || (row.step == StepName::Switch && not_begun);
        if let Some(reason) = ticket.reason().filter(|_| can_end) {
            return cancelled(run, row, reason).await;
        }
        if let Some(actor) = ticket.pause_wanted().filter(|_| can_end && not_begun) {
            return paused(run, row, actor).await;
        }
        match step(run, row, ticket).await? {
            Ended::Well => {}
            Ended::Failed(failure) => return failed(run, row, *failure).await,
            Ended::Cancelled => {
                let reason = ticket.reason();
                let reason = reason.unwrap_or(CancelReason::Person { actor: String::new() });
                return cancelled(run, row, reason).await;
            }
        }
    }
    live(run).await
}

fn next_row(run: &Run) -> Option<&'static Row> {
    let step = run.deployment.current_step()?;
    run.host.table.iter().find(|row| row.step == step)
}

enum Ended {
    Well,
    Failed(Box<Failure>),
    Cancelled,
}

/// One row: recorded as running, and done within its deadline. The next write records how it ended.
async fn step(run: &mut Run, row: &Row, ticket: &Ticket) -> Result<Ended, Failure> {
    let name = row.step;
    run.log = open_log(&run.host, &run.deployment, name, run.log.masker().clone())?;
    let skipped = row.work.skip(&run.deployment);
    if let Some(why) = skipped.filter(|_| !custom::follow(run, name)) {
        mark(&mut run.deployment, name, StepStatus::Skipped, why);
        return Ok(Ended::Well);
    }
    failpoint::reached(&format!("before:{name}"));
    begin(&mut run.deployment, name);
    run.save().await?;
    failpoint::reached(&format!("begun:{name}"));
    let deadline = Duration::from_secs((row.deadline_s)(&run.host.config.limits));
    let outcome = tokio::select! {
        biased;
        outcome = work(run, row, skipped, deadline) => outcome,
        () = ticket.cut(name) => return Ok(Ended::Cancelled),
    };
    failpoint::reached(&format!("done:{name}"));
    match outcome {
        Ok(Done { status, summary }) => {
            mark(&mut run.deployment, name, status, &summary);
            run.unsaved = Some(name);
            // The write that begins the next step stores it; what was built is held until it is stored, so at once.
            if name == StepName::Build {
                run.save().await?;
            }
            Ok(Ended::Well)
        }
        Err(_) if ticket.cuts(name) => Ok(Ended::Cancelled),
        Err(failure) => Ok(Ended::Failed(Box::new(failure))),
    }
}

/// What a row does within its deadline, unless it is skipped, and then the custom stages that follow it.
async fn work(
    run: &mut Run,
    row: &Row,
    skipped: Option<&'static str>,
    deadline: Duration,
) -> Result<Done, Failure> {
    let done = match skipped {
        Some(why) => Done::skipped(why),
        None => match tokio::time::timeout(deadline, row.work.run(run)).await {
            Ok(done) => done?,
            Err(_) => return Err(over_deadline(run, row.step, deadline)),
        },
    };
    custom::after(run, row.step).await?;
    Ok(done)
}

/// Halts between two steps. The environment's slot stays taken, the runner is free.
async fn paused(run: &mut Run, row: &Row, actor: String) -> Result<(), Failure> {
    run.deployment.status = DeploymentStatus::Paused;
    run.deployment.paused = Some(Pause { actor, at: Timestamp::now(), before: row.step });
    run.save().await?;
    failpoint::reached("after:pause");
    tracing::info!(deployment = %run.deployment.id, before = %row.step, "paused");
    Ok(())
}

async fn live(run: &mut Run) -> Result<(), Failure> {
    let now = Timestamp::now();
    run.deployment.status = DeploymentStatus::Live;
    run.deployment.live_at = Some(now);
    compare(run);
    failpoint::reached("after:finish");
    run.host.go_live(&run.deployment, run.revision).await?;
    failpoint::reached("after:live");
    custom::ended(&run.host, &run.deployment);
    crate::recover::record::write(&run.host, &run.deployment).await;
    tracing::info!(deployment = %run.deployment.id, project = %run.deployment.project, "live");
    Ok(())
}

/// The end of one that is only built: nothing of it runs, and it can never go live.
async fn built(run: &mut Run) -> Result<(), Failure> {
    for row in run.host.table.iter().filter(|row| row.step > StepName::Build) {
        mark(&mut run.deployment, row.step, StepStatus::Skipped, super::ONLY_BUILT);
    }
    // The workspace has served its purpose, as in `finish`, which it never comes to.
    if let Err(failure) = run.host.release_workspace(&run.deployment.id).await {
        run.log.say(failure.to_string());
    }
    run.deployment.status = DeploymentStatus::Built;
    run.deployment.ended_at = Some(Timestamp::now());
    run.save().await?;
    failpoint::reached("after:built");
    custom::ended(&run.host, &run.deployment);
    tracing::info!(deployment = %run.deployment.id, project = %run.deployment.project, "built");
    Ok(())
}

async fn failed(run: &mut Run, row: &Row, failure: Failure) -> Result<(), Failure> {
    let mut failure = failure.in_step(row.step);
    diagnose::explain(&run.host, &run.deployment, row.step, &mut failure);
    let masker = run.log.masker().clone();
    mask(&mut failure, &masker);
    if failure.log.is_empty() {
        let lines_max = run.host.config.limits.failure_log_lines_max;
        failure.log = run.host.logs.tail(&run.deployment.id, row.step, lines_max);
    }
    run.log.say(format!("failed: {}: {}", failure.what, failure.why));
    run.log.say(format!("fix: {} ({})", failure.fix, failure.code));
    mark(&mut run.deployment, row.step, StepStatus::Failed, &failure.what);
    run.deployment.failure = Some(failure);
    compare(run);
    cancel_rest(&mut run.deployment);
    run.save().await?;
    unwind(run).await
}

/// Notes what changed since the last good deployment. That it is not known stops nothing.
fn compare(run: &mut Run) {
    match diagnose::changes::since_last_good(&run.host, &run.deployment) {
        Ok(changes) => run.deployment.changes = changes,
        Err(failure) => tracing::warn!(%failure, "the last good deployment could not be read"),
    }
}

async fn cancelled(run: &mut Run, row: &Row, reason: CancelReason) -> Result<(), Failure> {
    run.log.say("cancelled");
    mark(&mut run.deployment, row.step, StepStatus::Cancelled, "");
    run.deployment.cancelled = Some(reason);
    cancel_rest(&mut run.deployment);
    run.save().await?;
    unwind(run).await
}

/// Undoes every step that was begun, last first, and stores the end. The failure or the reason was
/// stored before, so a crash in here is gone on with at the next start.
async fn unwind(run: &mut Run) -> Result<(), Failure> {
    failpoint::reached("before:undo");
    let begun =
        |row: &&Row| run.deployment.step(row.step).is_some_and(|step| step.started_at.is_some());
    let rows: Vec<&Row> = run.host.table.iter().filter(begun).collect();
    let mut left: Option<Failure> = None;
    for row in rows.into_iter().rev() {
        failpoint::reached(&format!("undoing:{}", row.step));
        if let Err(failure) = undo(run, row).await {
            tracing::error!(deployment = %run.deployment.id, step = %row.step, %failure, "undo failed");
            left.get_or_insert(failure.in_step(row.step));
            // Visitors may be on the new instances still: nothing of them is taken away.
            if row.step == StepName::Switch {
                break;
            }
        }
        failpoint::reached(&format!("undone:{}", row.step));
    }
    run.deployment.ended_at = Some(Timestamp::now());
    // What it was stuck with is cleaned up by now: why it failed, or was cancelled, is what stays.
    let told = run.deployment.failed_with.is_some() || run.deployment.cancelled.is_some();
    if left.is_none() && told && is_stuck(&run.deployment) {
        run.deployment.failure = run.deployment.failed_with.take();
    }
    run.deployment.status = match (&left, &run.deployment.failure) {
        (Some(_), _) => DeploymentStatus::Stuck,
        (None, Some(_)) => DeploymentStatus::Failed,
        (None, None) => DeploymentStatus::Cancelled,
    };
    if let Some(left) = left {
        let stuck = stuck(run, left);
        if !is_stuck(&run.deployment) {
            run.deployment.failed_with = run.deployment.failure.take();
        }
        run.deployment.failure = Some(stuck);
    }
    run.save().await?;
    custom::ended(&run.host, &run.deployment);
    Ok(())
}

fn is_stuck(deployment: &Deployment) -> bool {
    deployment.failure.as_ref().is_some_and(|failure| failure.code == STUCK)
}

/// Undoes a row. What fails is tried again before a person is called, and a containerd that is away is
/// waited for: what is left lies in it.
async fn undo(run: &mut Run, row: &Row) -> Result<(), Failure> {
    let mut again = Again::new();
    loop {
        match row.work.undo(run).await {
            Err(failure) if again.may(&failure) => {
                tracing::warn!(deployment = %run.deployment.id, step = %row.step, %failure, "undo again");
                again.wait().await;
            }
            outcome => return outcome,
        }
    }
}

fn stuck(run: &Run, left: Failure) -> Failure {
    let first = run.deployment.failed_with.as_ref().or(run.deployment.failure.as_ref());
    let before = match first {
        Some(first) if first.code != STUCK => {
            format!(". It had failed with {}: {}: {}", first.code, first.what, first.why)
        }
        _ => String::new(),
    };
    let mut stuck = Failure::host(
        STUCK,
        format!("cleaning up after #{} did not succeed", run.deployment.number),
        format!("{}: {}{before}", left.what, left.why),
        format!(
            "{}; it is tried again by itself, and at each start of `windlass serve`. What is left is \
             labelled with the deployment's id, {}",
            left.fix, run.deployment.id
        ),
    );
    stuck.step = left.step;
    mask(&mut stuck, run.log.masker());
    stuck
}

/// Notes that the deployment's job ended by a defect, so that its next run undoes what was begun.
pub(crate) fn panicked(deployment: &mut Deployment, why: &str) {
    if deployment.failure.is_some() || deployment.cancelled.is_some() {
        return;
    }
    let step = deployment.current_step().unwrap_or(StepName::Finish);
    let failure = Failure::host(
        "internal.panic",
        format!("the step {step} ended by a defect of Windlass"),
        why,
        "deploy again; if it happens again, report it with the host's log",
    );
    mark(deployment, step, StepStatus::Failed, &failure.what);
    deployment.failure = Some(failure.in_step(step));
    cancel_rest(deployment);
}

fn over_deadline(run: &Run, step: StepName, deadline: Duration) -> Failure {
    Failure::app(
        format!("{step}.deadline"),
        format!("the step {step} took longer than {} s", deadline.as_secs()),
        "it was ended, with everything that it had started",
        format!(
            "read `windlass logs --step {step} {}` for where it hangs, or raise `{step}_s` in the \
             limits file",
            run.deployment.id
        ),
    )
}

fn begin(deployment: &mut Deployment, name: StepName) {
    if let Some(step) = deployment.step_mut(name) {
        step.status = StepStatus::Running;
        step.started_at = step.started_at.or_else(|| Some(Timestamp::now()));
    }
}

fn mark(deployment: &mut Deployment, name: StepName, status: StepStatus, summary: &str) {
    if let Some(step) = deployment.step_mut(name) {
        step.status = status;
        step.ended_at = Some(Timestamp::now());
        summary.clone_into(&mut step.summary);
    }
}

fn cancel_rest(deployment: &mut Deployment) {
    for step in &mut deployment.steps {
        if matches!(step.status, StepStatus::Pending | StepStatus::Running) {
            step.status = StepStatus::Cancelled;
        }
    }
}

fn mask(failure: &mut Failure, masker: &Masker) {
    for text in [&mut failure.what, &mut failure.why, &mut failure.fix] {
        *text = masker.mask(text);
    }
    for line in failure.log.iter_mut().chain(&mut failure.evidence) {
        line.text = masker.mask(&line.text);
    }
}

fn open_log(
    host: &Host,
    deployment: &Deployment,
    step: StepName,
    masker: Masker,
) -> Result<crate::steplog::StepLog, Failure> {
    host.logs.open(&deployment.id, step, masker).map_err(|e| {
        Failure::host(
            "logs.not-writable",
            format!("the log of the step {step} could not be opened"),
            e.to_string(),
            "check the data directory's disk and permissions",
        )
        .in_step(step)
    })
}
