//! check: probe the new instances; the health component judges what was seen: wait, pass, fail.
//!
//! Undo: nothing; `start` removes the instances. After a crash: again, with a fresh budget.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use windlass_containers::runtime::TaskStatus;
use windlass_model::deployment::{HealthRecord, Instance};
use windlass_model::plan::{HealthPolicy, Observation, Probe, ProbeOutcome, Verdict};
use windlass_model::{Failure, LogLine};

use super::listening::{self, Listening};
use super::{Done, Run, Work, names};
use crate::{failpoint, probe};

/// Observations that are kept with the deployment, and shown to the judge.
const OBSERVATIONS_MAX: usize = 512;
/// Before this nothing is said of where else an application listens, unless it fails: to find out, the kernel walks
/// every connection of the machine, for milliseconds, and at first nearly all listen nowhere yet.
const LISTENS_AFTER: Duration = Duration::from_secs(1);

pub(crate) struct Check;

#[async_trait]
impl Work for Check {
    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        let instances = run.deployment.outputs.instances.clone();
        if instances.is_empty() {
            return Ok(Done::skipped("a static site has nothing to probe"));
        }
        let (plugin, policy) = super::plan::health_policy(run).await?;
        let mut seen = Vec::new();
        let checked = all(run, &plugin, &policy, &instances, &mut seen).await;
        let took = seen.last().map_or(0, |last: &Observation| last.at_ms);
        let tries = seen.len();
        seen.drain(..seen.len().saturating_sub(20));
        run.deployment.outputs.health = Some(HealthRecord { plugin, policy, seen });
        checked.map(|()| Done::new(format!("healthy after {took} ms, {tries} tries")))
    }
}

/// Checks each of these instances: the first of every process together, then the second, and so on.
/// Leaves what was seen last, or of those that took longest, in `seen`.
pub(crate) async fn all(
    run: &mut Run,
    plugin: &str,
    policy: &HealthPolicy,
    instances: &[Instance],
    seen: &mut Vec<Observation>,
) -> Result<(), Failure> {
    for round in 0..rounds(policy, instances) {
        let subjects = subjects(instances, round);
        let mut these = Vec::new();
        let verdict = observe(run, plugin, policy, &subjects, &mut these).await;
        let failed = !matches!(verdict, Ok(None));
        let took = |seen: &[Observation]| seen.last().map(|last| last.at_ms);
        if failed || took(&these) >= took(seen) {
            *seen = these;
        }
        if let Some(reason) = verdict? {
            settle(policy, &subjects, seen);
            return Err(explain(run, policy, &subjects, seen, &reason));
        }
    }
    all_run(run, instances).await
}

/// As many as the probed process with the most instances has.
fn rounds(policy: &HealthPolicy, instances: &[Instance]) -> usize {
    let of = |process: &str| instances.iter().filter(|i| i.process.as_str() == process).count();
    policy.probes.iter().map(|probe| of(probe.process())).max().unwrap_or_default().max(1)
}

/// One instance of each process: its nth, or its first when it has fewer.
fn subjects(instances: &[Instance], nth: usize) -> Vec<Instance> {
    let mut subjects: Vec<Instance> = Vec::new();
    for instance in instances {
        if subjects.iter().any(|known| known.process == instance.process) {
            continue;
        }
        let own: Vec<&Instance> =
            instances.iter().filter(|other| other.process == instance.process).collect();
        subjects.extend(own.get(nth).or(own.first()).map(|chosen| (*chosen).clone()));
    }
    subjects
}

/// Probes until the judge has decided. `Some(reason)` is a failure of the application.
async fn observe(
    run: &mut Run,
    plugin: &str,
    policy: &HealthPolicy,
    subjects: &[Instance],
    seen: &mut Vec<Observation>,
) -> Result<Option<String>, Failure> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(u64::from(policy.interval_min_ms.max(10)));
    let longest = Duration::from_millis(u64::from(policy.interval_max_ms.max(10)));
    let budget = Duration::from_millis(u64::from(policy.budget_ms));
    let mut index = 0;
    tokio::time::sleep(Duration::from_millis(u64::from(policy.first_after_ms))).await;
    loop {
        try_probe(run, policy, subjects, index, began, seen).await;
        failpoint::reached("during:check");
        let over = began.elapsed() >= budget;
        match super::plan::judge(run, plugin, policy, seen).await? {
            Verdict::Pass => return Ok(None),
            Verdict::Fail(reason) => return Ok(Some(reason)),
            Verdict::Next | Verdict::Wait if over => {
                return Ok(Some(format!("it was not healthy within {} s", budget.as_secs())));
            }
            Verdict::Next if index + 1 < policy.probes.len() => index += 1,
            Verdict::Next | Verdict::Wait => {
                index = 0;
                tokio::time::sleep(pause.min(budget.saturating_sub(began.elapsed()))).await;
                pause = (pause + pause / 4).min(longest);
            }
        }
    }
}

/// A healthy web process does not speak for the others: every instance must run.
async fn all_run(run: &Run, instances: &[Instance]) -> Result<(), Failure> {
    for instance in instances {
        if let Some(outcome) = ended(run, instance).await {
            let name = names::instance_log(&instance.process, instance.ordinal);
            let reason = "it ended while the deployment was checked";
            let failure = typed(Some(outcome), &name, Some(instance), reason);
            return Err(failure.with_log(last_lines(run, instance)));
        }
    }
    Ok(())
}

/// One try of one probe.
async fn try_probe(
    run: &mut Run,
    policy: &HealthPolicy,
    subjects: &[Instance],
    index: usize,
    began: Instant,
    seen: &mut Vec<Observation>,
) {
    let Some(wanted) = policy.probes.get(index) else {
        return;
    };
    let probed = |i: &&Instance| i.process.as_str() == wanted.process();
    let Some(instance) = subjects.iter().find(probed).cloned() else {
        return;
    };
    let at_ms = millis(began.elapsed());
    let tried = Instant::now();
    let outcome = match ended(run, &instance).await {
        Some(outcome) => outcome,
        None => {
            let runtime = run.host.runtime.as_ref();
            let outcome = probe::once(runtime, &instance, wanted, policy, began).await;
            let early = began.elapsed() < LISTENS_AFTER;
            if early { outcome } else { refine(&instance, wanted, outcome) }
        }
    };
    let took_ms = u32::try_from(tried.elapsed().as_millis()).unwrap_or(u32::MAX);
    let probe = u32::try_from(index).unwrap_or(u32::MAX);
    if seen.last().is_none_or(|last| last.outcome != outcome || last.probe != probe) {
        let log = names::instance_log(&instance.process, instance.ordinal);
        run.log.say(format!("{log}: {} after {at_ms} ms", probe::describe(wanted, outcome)));
    }
    seen.push(Observation { probe, at_ms, took_ms, outcome });
    seen.drain(..seen.len().saturating_sub(OBSERVATIONS_MAX));
}

fn wanted_port(probe: &Probe, instance: &Instance) -> Option<u16> {
    match probe {
        Probe::Http { port, .. } | Probe::Tcp { port, .. } => port.or(instance.port),
        Probe::Command { .. } | Probe::StaysUp { .. } => None,
    }
}

/// What a dead instance is observed as.
async fn ended(run: &Run, instance: &Instance) -> Option<ProbeOutcome> {
    match run.host.runtime.status(&instance.id).await {
        Ok(Some(TaskStatus::Exited(exit))) if exit.oom => Some(ProbeOutcome::OutOfMemory),
        Ok(Some(TaskStatus::Exited(exit))) => {
            Some(ProbeOutcome::Exited(i32::try_from(exit.code).unwrap_or(i32::MAX)))
        }
        _ => None,
    }
}

/// "Refused" by an application that listens elsewhere is a wrong address.
fn refine(instance: &Instance, probe: &Probe, outcome: ProbeOutcome) -> ProbeOutcome {
    let (ProbeOutcome::Refused, Some(port)) = (outcome, wanted_port(probe, instance)) else {
        return outcome;
    };
    match listening::judge(&listening::sockets(instance.pid), port) {
        Listening::LoopbackOnly | Listening::OtherPorts(_) => ProbeOutcome::WrongAddress,
        Listening::Reachable | Listening::Nowhere => outcome,
    }
}

/// The probe that was tried last, and the instance that it asked.
fn asked_last<'a>(
    policy: &'a HealthPolicy,
    instances: &'a [Instance],
    seen: &[Observation],
) -> (Option<&'a Probe>, Option<&'a Instance>) {
    let probe = seen.last().and_then(|o| policy.probes.get(o.probe as usize));
    let instance = instances
        .iter()
        .find(|i| probe.is_none_or(|probe| probe.process() == i.process.as_str()))
        .or(instances.first());
    (probe, instance)
}

/// Finds out of the last outcome what nobody looked for so early.
fn settle(policy: &HealthPolicy, instances: &[Instance], seen: &mut [Observation]) {
    let (probe, instance) = asked_last(policy, instances, seen);
    if let (Some(probe), Some(instance), Some(last)) = (probe, instance, seen.last_mut()) {
        last.outcome = refine(instance, probe, last.outcome);
    }
}

/// The typed failure behind a judge's reason, by what was seen last.
fn explain(
    run: &Run,
    policy: &HealthPolicy,
    instances: &[Instance],
    seen: &[Observation],
    reason: &str,
) -> Failure {
    let last = seen.last().map(|observation| observation.outcome);
    let (_, instance) = asked_last(policy, instances, seen);
    let log = instance.map_or_else(Vec::new, |i| last_lines(run, i));
    let name = instance
        .map_or_else(|| "the instance".to_owned(), |i| names::instance_log(&i.process, i.ordinal));
    typed(last, &name, instance, reason).with_log(log)
}

fn typed(
    last: Option<ProbeOutcome>,
    name: &str,
    instance: Option<&Instance>,
    reason: &str,
) -> Failure {
    let port = instance.and_then(|i| i.port).unwrap_or_default();
    match last {
        Some(ProbeOutcome::Exited(0)) => Failure::app(
            "check.finished",
            format!("{name} ended with status 0 instead of serving"),
            "its command did its work and ended; a process that serves keeps running",
            "let `run.command` (or the start script) be the server itself, in the foreground: no build, \
             no `&`, no daemon",
        ),
        Some(ProbeOutcome::Exited(code)) => Failure::app(
            "check.exited",
            format!("{name} ended with status {code} instead of serving"),
            reason,
            "read its last lines; `windlass logs` shows all of them. Correct the cause and deploy \
             again",
        ),
        Some(ProbeOutcome::OutOfMemory) => Failure::app(
            "check.out-of-memory",
            format!("{name} was killed for its memory"),
            "it used more than its limit while starting",
            "raise `run.memory` in windlass.toml, or make the application use less",
        ),
        Some(ProbeOutcome::WrongAddress) => wrong_address(name, instance, port),
        Some(ProbeOutcome::Timeout) => Failure::app(
            "check.too-slow",
            format!("{name} accepted connections on port {port} and gave no answer in time"),
            reason,
            "find out what its first answer waits for (a database, another service); raise \
             `health.timeout` in windlass.toml if it only starts slowly",
        ),
        Some(ProbeOutcome::Refused | ProbeOutcome::Reset) => Failure::app(
            "check.never-listened",
            format!("{name} never answered on port {port}"),
            reason,
            format!(
                "let the application listen on 0.0.0.0 and the port in the variable PORT ({port}), or \
                 set `run.port` in windlass.toml; raise `health.timeout` if it starts slowly"
            ),
        ),
        Some(ProbeOutcome::Status(404)) => Failure::app(
            "check.not-found",
            format!("{name} answered the health check with status 404"),
            reason,
            "set `health.path` in windlass.toml to a path that the application answers with 200",
        ),
        Some(ProbeOutcome::Status(status)) => Failure::app(
            "check.unhealthy",
            format!("{name} answered the health check with status {status}"),
            reason,
            "set `health.path` in windlass.toml to a path that answers 200 when the application is \
             well, or `health.status` to the statuses that mean so",
        ),
        _ => Failure::app(
            "check.failed",
            format!("{name} is not healthy"),
            reason,
            "read its last lines and `windlass logs --step check`",
        ),
    }
}

fn wrong_address(name: &str, instance: Option<&Instance>, port: u16) -> Failure {
    let sockets = instance.map(|i| listening::sockets(i.pid)).unwrap_or_default();
    match listening::judge(&sockets, port) {
        Listening::OtherPorts(ports) => {
            let listed = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
            Failure::app(
                "check.wrong-port",
                format!("{name} listens on port {listed}, not on {port}"),
                format!("the variable PORT tells it to listen on {port}"),
                format!(
                    "let the application read PORT, or set `run.port = {}` in windlass.toml",
                    ports.first().copied().unwrap_or(port)
                ),
            )
        }
        _ => Failure::app(
            "check.loopback-only",
            format!("{name} listens on 127.0.0.1 only"),
            format!("port {port} cannot be reached from outside its container"),
            "let the application listen on 0.0.0.0 (often a setting called host or bind)",
        ),
    }
}

fn last_lines(run: &Run, instance: &Instance) -> Vec<LogLine> {
    let log = names::instance_log(&instance.process, instance.ordinal);
    run.host.instance_tail(&run.deployment.id, &log)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
