//! What the instances of a live deployment use, from their control groups and network namespaces.

use std::time::{Duration, Instant};

use windlass_containers::runtime::Usage;
use windlass_model::deployment::Instance;
use windlass_model::running::LiveInstance;
use windlass_model::stats::{InstanceStats, Stats};
use windlass_model::{EnvironmentName, Failure, ProjectName, Timestamp};

use crate::host::Host;
use crate::pipeline::names;

/// Between the two looks that tell how much CPU is used now.
const LOOK: Duration = Duration::from_millis(250);

/// Looks at an environment's live instances; none when nothing is live.
///
/// # Errors
/// The store's and the container runtime's.
pub(crate) async fn of_environment(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Result<Stats, Failure> {
    let Some((deployment, _)) = host.live(project, environment)? else {
        return Ok(Stats { at: Timestamp::now(), instances: Vec::new() });
    };
    let instances = host.instances(&deployment)?;
    let lives = host.running(project, environment)?.map(|(running, _)| running.instances);
    let lives = lives.unwrap_or_default();
    let (before, begun) = (usages(host, &instances).await?, Instant::now());
    tokio::time::sleep(LOOK).await;
    let after = usages(host, &instances).await?;
    let passed_us = begun.elapsed().as_micros().max(1);
    let stats = instances.iter().zip(before).zip(after).map(|((instance, before), after)| {
        let cpu = match (&before, &after) {
            (Some(before), Some(after)) => after.cpu_us.saturating_sub(before.cpu_us),
            _ => 0,
        };
        let cpu_millis = u128::from(cpu) * 1000 / passed_us;
        let cpu_millis = u64::try_from(cpu_millis).unwrap_or(0);
        let life = lives.iter().find(|life| life.instance.id == instance.id);
        of_instance(instance, life, deployment.number, after, cpu_millis)
    });
    Ok(Stats { at: Timestamp::now(), instances: stats.collect() })
}

async fn usages(host: &Host, instances: &[Instance]) -> Result<Vec<Option<Usage>>, Failure> {
    let asked = instances.iter().map(|instance| host.runtime.usage(&instance.id));
    let usages: Result<Vec<_>, _> = futures::future::join_all(asked).await.into_iter().collect();
    usages.map_err(|e| e.failure("what an instance uses could not be read"))
}

fn of_instance(
    instance: &Instance,
    life: Option<&LiveInstance>,
    number: u64,
    usage: Option<Usage>,
    cpu_millis: u64,
) -> InstanceStats {
    let (received, sent) = if usage.is_some() { network(instance.pid) } else { (0, 0) };
    let running = usage.is_some();
    let usage = usage.unwrap_or(Usage {
        memory_bytes: 0,
        memory_limit_bytes: 0,
        cpu_us: 0,
        pids: 0,
        oom_kills: 0,
    });
    InstanceStats {
        instance: names::instance_log(&instance.process, instance.ordinal),
        number,
        running,
        started_at: instance.started_at,
        restarts: life.map_or(0, |life| u64::from(life.restarts)),
        cpu_millis,
        cpu_total_ms: usage.cpu_us / 1000,
        memory_bytes: usage.memory_bytes,
        memory_limit_bytes: usage.memory_limit_bytes,
        pids: usage.pids,
        // Those of the containers before this one are on the record.
        oom_kills: usage.oom_kills + life.map_or(0, |life| u64::from(life.oom_kills)),
        network_received_bytes: received,
        network_sent_bytes: sent,
    }
}

/// Bytes received and sent in the network namespace of a process, without its loopback.
fn network(pid: u32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    sum_of_interfaces(&text)
}

fn sum_of_interfaces(text: &str) -> (u64, u64) {
    let mut sum = (0, 0);
    for line in text.lines() {
        let Some((name, counts)) = line.split_once(':') else { continue };
        if name.trim() == "lo" {
            continue;
        }
        let counts: Vec<u64> = counts.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        sum.0 += counts.first().copied().unwrap_or_default();
        sum.1 += counts.get(8).copied().unwrap_or_default();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_summed_over_interfaces_but_the_loopback() {
        let text = "Inter-| Receive | Transmit\n face |bytes packets\n    lo: 900 9 0 0 0 0 0 0 900 9 0\n\
                    eth0: 100 2 0 0 0 0 0 0 50 1 0\n  eth1:7 1 0 0 0 0 0 0 3 1 0\n";
        assert_eq!(sum_of_interfaces(text), (107, 53));
    }
}
