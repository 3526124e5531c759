//! Migrations, health policies, observations and verdicts.

use windlass_model::deployment::ArtifactProcess;
use windlass_model::plan::{
    HealthCheck, HealthPolicy, Migration, MigrationVerdict, Observation, Probe, ProbeOutcome,
    ProcessKind, StatusRange, Verdict,
};

use super::facts::evidence;
use crate::bindings::{health, migrator};
use crate::text::{plain, plain_line};

/// Probes in one policy.
const PROBES_MAX: usize = 32;
/// Longest budget of a health check, in milliseconds.
const BUDGET_MS_MAX: u32 = 60 * 60 * 1_000;
/// Shortest pause between two tries, in milliseconds.
const INTERVAL_MS_MIN: u32 = 10;

pub(crate) fn migration(from: migrator::Migration) -> Migration {
    Migration {
        tool: plain_line(&from.tool),
        output: from.output,
        argv: from.argv,
        cwd: from.cwd,
        evidence: evidence(from.evidence),
        verdict: match from.verdict {
            migrator::Verdict::Run => MigrationVerdict::Run,
            migrator::Verdict::Leave(reason) => MigrationVerdict::Leave(plain(&reason)),
        },
    }
}

/// Whether a migration that is to be run can be.
pub(crate) fn check_migration(migration: &Migration, outputs: &[String]) -> Result<(), String> {
    if migration.verdict != MigrationVerdict::Run {
        return Ok(());
    }
    let Migration { tool, output, argv, .. } = migration;
    if argv.first().is_none_or(String::is_empty) {
        return Err(format!("{tool}: a migration to be run has no command"));
    }
    if !outputs.contains(output) {
        let outputs = outputs.join(", ");
        return Err(format!("{tool}: there is no output {output:?}; there is: {outputs}"));
    }
    Ok(())
}

/// A process, and how its image says that it is asked.
pub(crate) fn process(process: &ArtifactProcess, check: Option<&HealthCheck>) -> health::Process {
    health::Process {
        name: process.name.as_str().to_owned(),
        web: process.kind == ProcessKind::Web,
        port: process.port,
        check: check.map(super::health_check_to_guest),
    }
}

pub(crate) fn policy(from: health::Policy) -> HealthPolicy {
    let range = |from: health::StatusRange| StatusRange { first: from.first, last: from.last };
    HealthPolicy {
        probes: from.probes.into_iter().map(probe).collect(),
        pass_status: from.pass_status.into_iter().map(range).collect(),
        first_after_ms: from.first_after_ms,
        interval_min_ms: from.interval_min_ms,
        interval_max_ms: from.interval_max_ms,
        timeout_ms: from.timeout_ms,
        budget_ms: from.budget_ms,
    }
}

fn probe(from: health::Probe) -> Probe {
    match from {
        health::Probe::Http(http) => Probe::Http {
            process: http.process,
            port: http.port,
            path: http.path,
            headers: http.headers,
            redirects_max: http.redirects_max,
        },
        health::Probe::Tcp(tcp) => Probe::Tcp { process: tcp.process, port: tcp.port },
        health::Probe::Command(command) => {
            Probe::Command { process: command.process, argv: command.argv }
        }
        health::Probe::StaysUp(up) => {
            Probe::StaysUp { process: up.process, stays_up_ms: up.stays_up_ms }
        }
    }
}

/// Whether a policy can be carried out.
pub(crate) fn check_policy(
    policy: &HealthPolicy,
    processes: &[ArtifactProcess],
) -> Result<(), String> {
    let count = policy.probes.len();
    if count > PROBES_MAX {
        return Err(format!("{count} probes are more than {PROBES_MAX}"));
    }
    for probe in &policy.probes {
        let name = probe.process();
        if !processes.iter().any(|process| process.name.as_str() == name) {
            return Err(format!("a probe asks the process {name:?}, which is not run"));
        }
        match probe {
            Probe::Http { path, headers, .. } => check_request(path, headers)?,
            Probe::Command { argv, .. } if argv.is_empty() => {
                return Err("a command probe has no command".to_owned());
            }
            _ => {}
        }
    }
    let HealthPolicy { interval_min_ms: min, interval_max_ms: max, budget_ms, .. } = *policy;
    if min < INTERVAL_MS_MIN || max < min {
        return Err(format!(
            "pauses from {min} to {max} ms: at least {INTERVAL_MS_MIN}, the longest not shorter"
        ));
    }
    if budget_ms == 0 || budget_ms > BUDGET_MS_MAX || policy.timeout_ms == 0 {
        return Err(format!(
            "a budget of {budget_ms} ms and {} ms a try: neither may be 0, the budget at most \
             {BUDGET_MS_MAX}",
            policy.timeout_ms
        ));
    }
    Ok(())
}

/// Whether a probe's request is one: neither its path nor its headers end it early.
fn check_request(path: &str, headers: &[(String, String)]) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(format!("the path {path:?} does not start with a slash"));
    }
    if path.contains(|c: char| c.is_control() || c == ' ') {
        return Err(format!("the path {path:?} holds spaces or control characters: encode them"));
    }
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    for (name, value) in headers {
        let is_value = !value.contains(|c: char| c.is_control() && c != '\t');
        if name.is_empty() || !name.chars().all(token) || !is_value {
            return Err(format!("{name:?} with {value:?} is no header"));
        }
    }
    Ok(())
}

pub(crate) fn policy_to_guest(policy: &HealthPolicy) -> health::Policy {
    let range = |from: &StatusRange| health::StatusRange { first: from.first, last: from.last };
    health::Policy {
        probes: policy.probes.iter().map(probe_to_guest).collect(),
        pass_status: policy.pass_status.iter().map(range).collect(),
        first_after_ms: policy.first_after_ms,
        interval_min_ms: policy.interval_min_ms,
        interval_max_ms: policy.interval_max_ms,
        timeout_ms: policy.timeout_ms,
        budget_ms: policy.budget_ms,
    }
}

fn probe_to_guest(probe: &Probe) -> health::Probe {
    match probe.clone() {
        Probe::Http { process, port, path, headers, redirects_max } => {
            health::Probe::Http(health::HttpProbe { process, port, path, headers, redirects_max })
        }
        Probe::Tcp { process, port } => health::Probe::Tcp(health::TcpProbe { process, port }),
        Probe::Command { process, argv } => {
            health::Probe::Command(health::CommandProbe { process, argv })
        }
        Probe::StaysUp { process, stays_up_ms } => {
            health::Probe::StaysUp(health::UpProbe { process, stays_up_ms })
        }
    }
}

pub(crate) fn observation(seen: &Observation) -> health::Observation {
    health::Observation {
        probe: seen.probe,
        at_ms: seen.at_ms,
        took_ms: seen.took_ms,
        outcome: match seen.outcome {
            ProbeOutcome::Status(status) => health::Outcome::Status(status),
            ProbeOutcome::Ok => health::Outcome::Ok,
            ProbeOutcome::Refused => health::Outcome::Refused,
            ProbeOutcome::Reset => health::Outcome::Reset,
            ProbeOutcome::Timeout => health::Outcome::Timeout,
            ProbeOutcome::Exited(code) => health::Outcome::Exited(code),
            ProbeOutcome::CommandFailed(code) => health::Outcome::CommandFailed(code),
            ProbeOutcome::OutOfMemory => health::Outcome::OutOfMemory,
            ProbeOutcome::WrongAddress => health::Outcome::WrongAddress,
        },
    }
}

pub(crate) fn verdict(from: health::Verdict) -> Verdict {
    match from {
        health::Verdict::Wait => Verdict::Wait,
        health::Verdict::Next => Verdict::Next,
        health::Verdict::Pass => Verdict::Pass,
        health::Verdict::Fail(why) => Verdict::Fail(plain(&why)),
    }
}
