//! The default health policy and the default judge.
//!
//! Where no path is set and an image says itself how its process is asked (a health check of the image),
//! that command is the probe. Else
//! a 2xx after at most three redirects on the same host passes. Where no path is set, `/health`,
//! `/healthz` and `/` are tried in this order: a 404 moves on to the next, and fails only when all
//! of them are 404. Nobody said that these paths answer with a 2xx, so there an application also passes
//! that sends elsewhere or refuses the request: it answers. An exit or an end for lack of memory fails
//! at once; everything else waits for the budget. Workers have nothing to answer: without a web process
//! they must stay up for a while.
//!
//! Requests say `x-forwarded-proto: https`, as they do behind the proxy: an application that wants TLS
//! would else answer each with a redirect to it.

use crate::config;
use crate::{Context, HealthCheck, PluginError};

pub use crate::bindings::health::exports::windlass::health::health::{
    CommandProbe, HttpProbe, Observation, Outcome, Policy, Probe, Process, StatusRange, TcpProbe,
    UpProbe, Verdict,
};

/// Statuses that pass where the settings name a path.
const PASSES: &str = "200-299";
/// Statuses that pass where none is named: besides a 2xx a redirect that leads elsewhere (to a login, to the
/// application's own domain), and a refusal of the request or of the host name `localhost`.
const ANSWERS: &str = "200-299, 301-303, 307-308, 400, 401, 403, 405";
/// Sent with each request.
const HEADERS: [(&str, &str); 1] = [("x-forwarded-proto", "https")];
/// Tried where the settings name no path.
pub const PATHS: [&str; 3] = ["/health", "/healthz", "/"];
/// Redirects followed on the same host.
pub const REDIRECTS_MAX: u8 = 3;
/// Before the first probe, in milliseconds.
pub const FIRST_AFTER_MS: u32 = 20;
/// First pause between tries, in milliseconds.
pub const INTERVAL_MIN_MS: u32 = 10;
/// Longest pause between tries, in milliseconds.
pub const INTERVAL_MAX_MS: u32 = 1_000;
/// One try, in milliseconds.
pub const TIMEOUT_MS: u32 = 5_000;
/// All tries together, in milliseconds, where the settings say nothing.
pub const BUDGET_MS: u32 = 300_000;
/// The longest budget, in milliseconds.
const BUDGET_MS_MAX: u32 = 3_600_000;
/// How long a worker must stay up where nothing answers requests, in milliseconds.
pub const STAYS_UP_MS: u32 = 5_000;
/// How long nothing but a wrong address may be seen before that is taken for final, in milliseconds.
pub const WRONG_ADDRESS_MS: u64 = 10_000;

/// The default policy, with the `[health]` settings of the context applied.
///
/// # Errors
/// Codes `health.path-invalid`, `health.status-invalid`, `health.timeout-invalid`, and
/// `settings.invalid`.
pub fn default_policy(ctx: &Context, processes: &[Process]) -> Result<Policy, PluginError> {
    policy_with_paths(ctx, processes, &PATHS)
}

/// The default policy, where other paths than [`PATHS`] are tried, in this order.
///
/// # Errors
/// As for [`default_policy`].
pub fn policy_with_paths(
    ctx: &Context,
    processes: &[Process],
    paths: &[&str],
) -> Result<Policy, PluginError> {
    let health = config::Settings::of(ctx)?.health;
    let web = processes.iter().find(|process| process.web);
    let checks = processes.iter().any(|process| asked(process).is_some());
    let probes = match (web, &health.path) {
        (Some(web), Some(path)) => vec![http(web, checked_path(path)?)],
        _ if checks => processes.iter().flat_map(own_or_usual(web, paths)).collect(),
        (Some(web), None) => paths.iter().map(|path| http(web, path)).collect(),
        (None, _) => processes.iter().map(stays_up).collect(),
    };
    let patience = processes.iter().filter_map(asked).map(|(check, _)| check.start_period_ms).max();
    let timeouts = processes.iter().filter_map(asked).map(|(check, _)| check.timeout_ms).max();
    let usual = if health.path.is_some() { PASSES } else { ANSWERS };
    let status = health.status.as_deref().unwrap_or(usual);
    Ok(Policy {
        probes,
        pass_status: statuses(status)?,
        first_after_ms: FIRST_AFTER_MS,
        interval_min_ms: INTERVAL_MIN_MS,
        interval_max_ms: INTERVAL_MAX_MS,
        timeout_ms: timeouts.filter(|ms| *ms > 0).unwrap_or(TIMEOUT_MS),
        budget_ms: match &health.timeout {
            Some(timeout) => duration_ms(timeout)?,
            None => patience.unwrap_or_default().saturating_add(BUDGET_MS).min(BUDGET_MS_MAX),
        },
    })
}

/// The check that a process's image brings, with its command; a check of `NONE` is none.
fn asked(process: &Process) -> Option<(&HealthCheck, Vec<String>)> {
    let check = process.check.as_ref()?;
    let argv = match check.test.split_first()? {
        (kind, argv) if kind == "CMD" && !argv.is_empty() => argv.to_vec(),
        (kind, [line]) if kind == "CMD-SHELL" => {
            vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()]
        }
        _ => return None,
    };
    Some((check, argv))
}

/// A process's own check, or what it would be asked without one.
fn own_or_usual(web: Option<&Process>, paths: &[&str]) -> impl Fn(&Process) -> Vec<Probe> {
    let without_web = web.is_none();
    move |process| match asked(process) {
        Some((_, argv)) => {
            vec![Probe::Command(CommandProbe { process: process.name.clone(), argv })]
        }
        None if process.web => paths.iter().map(|path| http(process, path)).collect(),
        None if without_web => vec![stays_up(process)],
        None => Vec::new(),
    }
}

fn http(web: &Process, path: &str) -> Probe {
    Probe::Http(HttpProbe {
        process: web.name.clone(),
        port: web.port,
        path: path.to_owned(),
        headers: HEADERS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        redirects_max: REDIRECTS_MAX,
    })
}

fn stays_up(worker: &Process) -> Probe {
    Probe::StaysUp(UpProbe { process: worker.name.clone(), stays_up_ms: STAYS_UP_MS })
}

fn checked_path(path: &str) -> Result<&str, PluginError> {
    if path.starts_with('/') && !path.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Ok(path);
    }
    Err(PluginError::new("health.path-invalid", format!("health.path {path:?} is not a path"))
        .hint("start it with a slash, for example path = \"/up\""))
}

fn statuses(text: &str) -> Result<Vec<StatusRange>, PluginError> {
    let one = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range =
            StatusRange { first: first.trim().parse().ok()?, last: last.trim().parse().ok()? };
        let fits = 100 <= range.first && range.first <= range.last && range.last <= 599;
        fits.then_some(range)
    };
    text.split(',').map(one).collect::<Option<Vec<_>>>().ok_or_else(|| {
        PluginError::new("health.status-invalid", format!("health.status {text:?} does not read"))
            .hint("write one or more statuses or ranges: status = \"200-299\" or \"200,204\"")
    })
}

fn duration_ms(text: &str) -> Result<u32, PluginError> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" | "min" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let ms = digits.trim().parse().ok().zip(factor).and_then(|(n, f): (u32, u32)| n.checked_mul(f));
    ms.filter(|&ms| ms > 0).ok_or_else(|| {
        PluginError::new("health.timeout-invalid", format!("health.timeout {text:?} does not read"))
            .hint("write a number and a unit: timeout = \"300s\" or \"5m\"")
    })
}

/// The default judge, over all that was seen so far, oldest first.
///
/// Every process that the policy names must have passed one of its probes. The HTTP probes of one
/// process are alternatives in the order of the policy.
pub fn default_judge(policy: &Policy, seen: &[Observation]) -> Verdict {
    let Some(last) = seen.last() else {
        return Verdict::Wait;
    };
    let Some(probe) = policy.probes.get(last.probe as usize) else {
        return Verdict::Fail(format!("probe {} is not in the policy", last.probe));
    };
    match last.outcome {
        Outcome::Exited(code) => {
            let process = process_of(probe);
            return Verdict::Fail(format!(
                "{process} exited with status {code} before it was healthy"
            ));
        }
        Outcome::OutOfMemory => {
            let process = process_of(probe);
            return Verdict::Fail(format!("{process} was killed because it ran out of memory"));
        }
        outcome if passes(policy, outcome) => return after_pass(policy, seen),
        Outcome::Status(404) => {
            if let Some(verdict) = after_not_found(policy, seen, last) {
                return verdict;
            }
        }
        Outcome::WrongAddress if only_wrong_address(seen) => {
            return Verdict::Fail(said(probe, last.outcome));
        }
        _ => {}
    }
    if last.at_ms + u64::from(last.took_ms) >= u64::from(policy.budget_ms) {
        let last = said(probe, last.outcome);
        return Verdict::Fail(format!("not healthy after {} s: {last}", policy.budget_ms / 1_000));
    }
    Verdict::Wait
}

fn passes(policy: &Policy, outcome: Outcome) -> bool {
    match outcome {
        Outcome::Ok => true,
        Outcome::Status(status) => {
            policy.pass_status.iter().any(|range| (range.first..=range.last).contains(&status))
        }
        _ => false,
    }
}

/// All processes passed, or on to the next one.
fn after_pass(policy: &Policy, seen: &[Observation]) -> Verdict {
    let passed = |process: &str| {
        seen.iter().any(|one| {
            let probe = policy.probes.get(one.probe as usize);
            passes(policy, one.outcome) && probe.is_some_and(|probe| process_of(probe) == process)
        })
    };
    if policy.probes.iter().all(|probe| passed(process_of(probe))) {
        Verdict::Pass
    } else {
        Verdict::Next
    }
}

/// A 404 moves on to the next alternative. With a single one there is no other place to look: the
/// application may still be starting, so only the budget ends it.
fn after_not_found(policy: &Policy, seen: &[Observation], last: &Observation) -> Option<Verdict> {
    let process = process_of(policy.probes.get(last.probe as usize)?);
    let mut paths = Vec::new();
    let mut all_not_found = true;
    let mut another_follows = false;
    for (index, probe) in (0_u32..).zip(&policy.probes) {
        let Probe::Http(http) = probe else { continue };
        if http.process != process {
            continue;
        }
        paths.push(http.path.as_str());
        another_follows |= index > last.probe;
        let newest = seen.iter().rev().find(|one| one.probe == index);
        all_not_found &= newest.is_some_and(|one| one.outcome == Outcome::Status(404));
    }
    if paths.len() < 2 {
        return None;
    }
    if all_not_found {
        let paths = paths.join(", ");
        let why = format!("{process} answers 404 on {paths}: set health.path to one that exists");
        return Some(Verdict::Fail(why));
    }
    another_follows.then_some(Verdict::Next)
}

fn only_wrong_address(seen: &[Observation]) -> bool {
    let wrong = seen.iter().rev().take_while(|one| one.outcome == Outcome::WrongAddress);
    let (mut newest, mut oldest) = (None, None);
    for one in wrong {
        newest = newest.or(Some(one.at_ms));
        oldest = Some(one.at_ms);
    }
    newest.zip(oldest).is_some_and(|(newest, oldest)| newest - oldest >= WRONG_ADDRESS_MS)
}

fn process_of(probe: &Probe) -> &str {
    match probe {
        Probe::Http(http) => &http.process,
        Probe::Tcp(tcp) => &tcp.process,
        Probe::Command(command) => &command.process,
        Probe::StaysUp(up) => &up.process,
    }
}

fn said(probe: &Probe, outcome: Outcome) -> String {
    let process = process_of(probe);
    let asked = match probe {
        Probe::Http(http) => format!("GET {}", http.path),
        Probe::Tcp(_) => "a connection".to_owned(),
        Probe::Command(command) => command.argv.join(" "),
        Probe::StaysUp(up) => format!("staying up for {} ms", up.stays_up_ms),
    };
    let saw = match outcome {
        Outcome::Status(status @ (301..=303 | 307 | 308)) => format!(
            "was answered with status {status}, which leads to another host, or to https although the \
             request says x-forwarded-proto: https"
        ),
        Outcome::Status(status) => format!("was answered with status {status}"),
        Outcome::Ok => "worked".to_owned(),
        Outcome::Refused => {
            "was refused: nothing listens on the port it is told in PORT".to_owned()
        }
        Outcome::Reset => "was cut off".to_owned(),
        Outcome::Timeout => "had no answer in time".to_owned(),
        Outcome::Exited(code) | Outcome::CommandFailed(code) => format!("ended with status {code}"),
        Outcome::OutOfMemory => "ran out of memory".to_owned(),
        Outcome::WrongAddress => "did not reach it: it listens only on the loopback address or on \
                                  another port; listen on 0.0.0.0 and the port given in PORT"
            .to_owned(),
    };
    format!("{process}: {asked} {saw}")
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
