//! What an exit means: how long to wait before the next start, whether it is a crash loop, and how it is
//! told. Plain functions on data.

use std::time::Duration;

use windlass_model::running::{EnvironmentEvent, EventKind, InstanceState, LastExit, LiveInstance};
use windlass_model::{Failure, Limits, LogLine, Timestamp};

/// How an instance came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// Its first process ended.
    Exited(LastExit),
    /// It runs, and does not answer any more, or never did.
    Unwell(Failure),
}

/// Moves an instance that ended into its pause, by the limits.
pub(crate) fn ended(one: &mut LiveInstance, end: &End, at: Timestamp, limits: &Limits) {
    let healthy_s = one.healthy_since.map_or(0, |since| seconds(since, at));
    if healthy_s >= limits.restart_reset_s {
        one.failures_in_a_row = 0;
    }
    one.exits.retain(|exit| seconds(*exit, at) <= limits.crash_loop_s);
    one.exits.push(at);
    let surplus = one.exits.len().saturating_sub(limits.crash_loop_exits);
    one.exits.drain(..surplus);
    one.failures_in_a_row = one.failures_in_a_row.saturating_add(1);
    one.healthy_since = None;
    if let End::Exited(exit) = end {
        one.oom_kills += u32::from(exit.oom);
        one.last_exit = Some(exit.clone());
    }
    let looping = one.exits.len() >= limits.crash_loop_exits;
    one.enter(if looping { InstanceState::CrashLooping } else { InstanceState::BackingOff });
    let pause = if looping {
        Duration::from_millis(limits.restart_pause_ms_max)
    } else {
        pause(one.failures_in_a_row, limits)
    };
    one.retry_at = at.checked_add(pause).ok();
}

/// The pause before the start after so many exits in a row.
pub(crate) fn pause(failures_in_a_row: u32, limits: &Limits) -> Duration {
    let doubled = failures_in_a_row.saturating_sub(1).min(32);
    let ms = limits.restart_pause_ms.saturating_mul(1 << doubled);
    Duration::from_millis(ms.min(limits.restart_pause_ms_max))
}

/// The typed failure of an instance that has just ended.
pub(crate) fn failure(
    one: &LiveInstance,
    end: &End,
    memory_bytes: u64,
    lines: Vec<LogLine>,
) -> Failure {
    let name = one.name();
    let failure = match end {
        End::Unwell(failure) if one.state != InstanceState::CrashLooping => return failure.clone(),
        End::Exited(exit) if exit.oom => Failure::app(
            "run.oom",
            format!("{name} was killed for its memory"),
            format!(
                "it used more than its limit of {} MiB, {} times so far",
                memory_bytes >> 20,
                one.oom_kills
            ),
            "raise `run.memory` in windlass.toml and deploy again, or make the application use less",
        ),
        _ if one.state == InstanceState::CrashLooping => Failure::app(
            "run.crash-loop",
            format!("{name} ends again and again"),
            format!("it ended {} times within a short time; {}", one.exits.len(), said(end)),
            "read the lines below; correct the cause and deploy again, or go back with `windlass \
             rollback`. It is started again all the same, at the longest pause",
        ),
        _ => Failure::app(
            "run.exited",
            format!("{name} ended"),
            said(end),
            "it is started again by itself; `windlass logs` shows why it ended",
        ),
    };
    failure.with_log(lines)
}

fn said(end: &End) -> String {
    match end {
        End::Exited(exit) => format!("the last time with status {}", exit.code),
        End::Unwell(failure) => failure.what.clone(),
    }
}

/// The event of an instance that has just ended.
pub(crate) fn event(one: &LiveInstance, end: &End, failure: Failure) -> EnvironmentEvent {
    let name = one.name();
    let pause_ms = one.retry_at.map_or(0, |at| at.duration_since(one.since).as_millis());
    let kind = match (end, one.state) {
        (End::Exited(exit), _) if exit.oom => EventKind::OutOfMemory,
        (_, InstanceState::CrashLooping) => EventKind::CrashLoop,
        (End::Exited(_), _) => EventKind::Exited,
        (End::Unwell(_), _) => EventKind::Unhealthy,
    };
    let what = match end {
        End::Exited(exit) => format!("{name} ended with status {}", exit.code),
        End::Unwell(failure) => failure.what.clone(),
    };
    let again = format!("it is started again after {} ms", pause_ms.max(0));
    EnvironmentEvent::now(kind, format!("{what}; {again}")).of(name).because(failure)
}

fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> LiveInstance {
        let mut one = LiveInstance::planned("d.web.0".into(), "web".parse().unwrap(), 0);
        one.enter(InstanceState::Running);
        one
    }

    fn exit(at: Timestamp, oom: bool) -> End {
        End::Exited(LastExit { code: 1, oom, at })
    }

    fn after(at: Timestamp, s: u64) -> Timestamp {
        at.checked_add(Duration::from_secs(s)).unwrap()
    }

    #[test]
    fn the_pause_doubles_up_to_its_limit() {
        let limits = Limits::default();
        let pauses: Vec<u64> = (1..=8).map(|n| pause(n, &limits).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause(u32::MAX, &limits).as_secs(), 60);
    }

    #[test]
    fn five_exits_within_ten_minutes_are_a_crash_loop_at_the_longest_pause() {
        let (limits, start) = (Limits::default(), Timestamp::now());
        let mut one = instance();
        for n in 0..4 {
            let at = after(start, n * 100);
            ended(&mut one, &exit(at, false), at, &limits);
            assert_eq!(one.state, InstanceState::BackingOff, "exit {n}");
        }
        let at = after(start, 500);
        ended(&mut one, &exit(at, false), at, &limits);
        assert_eq!(one.state, InstanceState::CrashLooping);
        assert_eq!(one.retry_at, Some(after(at, 60)));
        let failure = failure(&one, &exit(at, false), 0, Vec::new());
        assert_eq!(failure.code, "run.crash-loop");
        // Long after that, it is an exit like any other.
        let later = after(at, 601);
        ended(&mut one, &exit(later, false), later, &limits);
        assert_eq!(one.state, InstanceState::BackingOff);
    }

    #[test]
    fn after_long_health_the_first_pause_is_taken_again() {
        let (limits, start) = (Limits::default(), Timestamp::now());
        let mut one = instance();
        one.failures_in_a_row = 6;
        one.healthy_since = Some(start);
        let at = after(start, 299);
        ended(&mut one.clone(), &exit(at, false), at, &limits);
        assert_eq!(one.failures_in_a_row, 6);
        let at = after(start, 300);
        ended(&mut one, &exit(at, false), at, &limits);
        assert_eq!((one.failures_in_a_row, one.retry_at), (1, Some(after(at, 1))));
    }

    #[test]
    fn a_kill_for_memory_is_counted_and_names_the_limit() {
        let (limits, at) = (Limits::default(), Timestamp::now());
        let mut one = instance();
        ended(&mut one, &exit(at, true), at, &limits);
        assert_eq!(one.oom_kills, 1);
        let failure = failure(&one, &exit(at, true), 256 << 20, Vec::new());
        assert_eq!(failure.code, "run.oom");
        assert!(failure.why.contains("256 MiB"), "{failure:?}");
        assert!(failure.fix.contains("run.memory"), "{failure:?}");
    }
}
