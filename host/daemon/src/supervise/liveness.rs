//! Whether an instance that is live still answers: the health policy's probe, at intervals.

use std::sync::Arc;
use std::time::{Duration, Instant};

use windlass_model::deployment::Instance;
use windlass_model::plan::{HealthPolicy, Observation, Probe, ProbeOutcome, Verdict};
use windlass_model::{Deployment, Failure};

use crate::host::Host;
use crate::pipeline::{self, names};
use crate::probe;

use super::jobs;

/// Probes until the instance does not answer any more, and says so. Never ends for an instance that
/// nothing probes.
pub(super) async fn lost(
    host: &Arc<Host>,
    deployment: &Deployment,
    instance: &Instance,
) -> Failure {
    let Some((policy, plugin, index)) = probe_of(deployment, instance) else {
        return std::future::pending().await;
    };
    let limits = host.config.limits.clone();
    let every = Duration::from_millis(limits.liveness_every_ms.max(1));
    let mut failed = 0;
    let mut accepted: Vec<(ProbeOutcome, bool)> = Vec::new();
    loop {
        tokio::time::sleep(every).await;
        let Some(wanted) = policy.probes.get(index) else { continue };
        let runtime = host.runtime.as_ref();
        let seen = probe::once(runtime, instance, wanted, &policy, Instant::now()).await;
        let known = accepted.iter().find(|(outcome, _)| *outcome == seen).map(|(_, well)| *well);
        let well = match known {
            Some(well) => well,
            None => {
                let well = judged(host, deployment, &plugin, &policy, index, seen).await;
                accepted.push((seen, well));
                well
            }
        };
        failed = if well { 0 } else { failed + 1 };
        if failed >= limits.liveness_failures {
            return unhealthy(instance, failed, &probe::describe(wanted, seen));
        }
    }
}

/// The probe that found the instance's process healthy before it went live.
fn probe_of(deployment: &Deployment, instance: &Instance) -> Option<(HealthPolicy, String, usize)> {
    let health = deployment.outputs.health.as_ref()?;
    let fits = |probe: &Probe| {
        probe.process() == instance.process.as_str() && !matches!(probe, Probe::StaysUp { .. })
    };
    let passed = health.seen.last().map(|seen| seen.probe as usize);
    let passed = passed.filter(|index| health.policy.probes.get(*index).is_some_and(fits));
    let index = passed.or_else(|| health.policy.probes.iter().position(fits))?;
    Some((health.policy.clone(), health.plugin.clone(), index))
}

/// What went well is well; a status is for the health component to judge.
async fn judged(
    host: &Arc<Host>,
    deployment: &Deployment,
    plugin: &str,
    policy: &HealthPolicy,
    index: usize,
    outcome: ProbeOutcome,
) -> bool {
    match outcome {
        ProbeOutcome::Ok => return true,
        ProbeOutcome::Status(_) => {}
        _ => return false,
    }
    let Ok(mut run) = jobs::run_of(host, deployment.clone()) else { return true };
    let probe = u32::try_from(index).unwrap_or(u32::MAX);
    let seen = [Observation { probe, at_ms: 0, took_ms: 0, outcome }];
    match pipeline::judge(&mut run, plugin, policy, &seen).await {
        Ok(verdict) => matches!(verdict, Verdict::Pass),
        Err(failure) => {
            tracing::warn!(%failure, "an instance could not be judged and counts as well");
            true
        }
    }
}

fn unhealthy(instance: &Instance, failed: u32, seen: &str) -> Failure {
    let name = names::instance_log(&instance.process, instance.ordinal);
    Failure::app(
        "run.unhealthy",
        format!("{name} does not answer any more"),
        format!("{failed} probes in a row failed; the last one: {seen}"),
        "it is started again by itself; `windlass logs` shows what it was doing",
    )
}
