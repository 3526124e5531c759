//! Whatever a guest does, the fault is typed, it comes within the limit, and the next call works.

use windlass_model::failure::Fault;
use windlass_model::limits::PluginLimits;
use windlass_model::plugin::{CallOutcome, Stage};
use windlass_sandbox::{Limit, PluginFault};

use crate::support::{Bench, limits};
use crate::time::timed;

/// Runs a behaviour, checks outcome and code, and that the sandbox works afterwards.
async fn fault_of(bench: &Bench, behaviour: &str, outcome: CallOutcome, code: &str) -> PluginFault {
    bench.sandbox.prepare(&bench.guest).await.unwrap();
    let limits = &bench.config.limits;
    let (call, took) = timed(Box::pin(bench.detect(behaviour)), limits).await;
    let fault = call.result.unwrap_err();
    took.assert_within(behaviour, Some(&fault), limits);
    assert_eq!(call.report.outcome, outcome, "{behaviour}: {fault}");
    assert_eq!(fault.code(), code, "{behaviour}: {fault}");
    assert!(!call.report.cached);
    bench.assert_works().await;
    fault
}

#[tokio::test]
async fn a_guest_that_computes_forever_is_stopped_by_its_cpu_limit() {
    let bench = Bench::with(PluginLimits { wall_ms: 60_000, ..limits() });
    let fault = fault_of(&bench, "loop", CallOutcome::TimedOut, "plugin.timed-out").await;
    assert!(matches!(fault, PluginFault::CpuTimedOut { limit_ms: 1_000 }));
    let fix = fault.to_failure("test-guest", Stage::Detector).fix;
    assert!(fix.contains("raise `plugin.cpu_ms` in the limits file"), "{fix}");
    assert!(fix.contains("set what it should have decided in windlass.toml"), "{fix}");
}

#[tokio::test]
async fn a_guest_that_waits_forever_is_stopped_by_the_wall_clock() {
    let bench = Bench::new();
    let fault =
        fault_of(&bench, "sleep-in-hostcall", CallOutcome::TimedOut, "plugin.timed-out").await;
    assert!(matches!(fault, PluginFault::WallTimedOut { limit_ms: 4_000 }));
}

#[tokio::test]
async fn a_guest_that_eats_memory_is_stopped_at_its_limit() {
    let bench = Bench::new();
    let code = "plugin.out-of-memory";
    let fault = fault_of(&bench, "eat-memory", CallOutcome::OutOfMemory, code).await;
    assert!(matches!(fault, PluginFault::OutOfMemory { limit_bytes } if limit_bytes == 64 << 20));
    let fix = fault.to_failure("test-guest", Stage::Detector).fix;
    assert!(fix.contains("raise `plugin.memory_bytes_max` in the limits file"), "{fix}");
    let report = bench.detect("eat-memory").await.report;
    assert!(report.memory_peak_bytes > 32 << 20, "{report:?}");
    assert!(report.memory_peak_bytes <= 64 << 20, "{report:?}");
}

#[tokio::test]
async fn a_trap_is_the_plugins_fault_and_a_panic_says_what_happened() {
    let bench = Bench::new();
    let fault = fault_of(&bench, "trap", CallOutcome::Trapped, "plugin.trapped").await;
    let failure = fault.to_failure("test-guest", Stage::Detector);
    assert_eq!(failure.fault, Fault::Plugin("test-guest".to_owned()));
    assert!(failure.what.contains("test-guest"), "{failure:?}");
    assert!(!failure.why.is_empty() && !failure.fix.is_empty());
    let fault = fault_of(&bench, "panic", CallOutcome::Trapped, "plugin.trapped").await;
    let why = fault.to_failure("test-guest", Stage::Detector).why;
    assert!(why.contains("it ended with: thread") && why.contains("panicked at"), "{why}");
    let log = bench.detect("panic").await.log;
    assert!(log.iter().any(|(_, line)| line.contains("panicked")), "{log:?}");
}

#[tokio::test]
async fn an_answer_or_a_message_that_is_too_large_never_reaches_the_host() {
    let bench = Bench::with(PluginLimits {
        memory_bytes_max: 512 << 20,
        cpu_ms: 20_000,
        wall_ms: 60_000,
        ..limits()
    });
    for behaviour in ["huge-answer", "huge-log-line"] {
        let fault = fault_of(&bench, behaviour, CallOutcome::OverLimit, "plugin.over-limit").await;
        assert!(matches!(fault, PluginFault::OverLimit { which: Limit::HostCallBytes }));
    }
}

#[tokio::test]
async fn a_flood_of_lines_is_cut_and_counted_and_stops_nothing() {
    let bench = Bench::new();
    for behaviour in ["log-flood", "stdout-flood"] {
        let call = bench.detect(behaviour).await;
        call.result.unwrap();
        assert!(call.report.log_bytes <= 4_096, "{:?}", call.report);
        assert!(call.report.log_bytes_dropped > 1_000_000, "{:?}", call.report);
        assert!(call.log[0].1.contains("line 0"));
    }
}

#[tokio::test]
async fn a_refusal_keeps_the_plugins_code_and_is_about_the_application() {
    let bench = Bench::new();
    let fault = fault_of(&bench, "refuse", CallOutcome::Refused, "test.refused").await;
    let failure = fault.to_failure("test-guest", Stage::Detector);
    assert_eq!((failure.fault, failure.code.as_str()), (Fault::App, "test.refused"));
    assert_eq!(failure.why, "refused as asked");
    assert_eq!(failure.fix, "ask for something else");
}

#[tokio::test]
async fn answers_that_the_contract_does_not_allow_are_named() {
    let bench = Bench::new();
    let code = "plugin.invalid-answer";
    let fault = fault_of(&bench, "too-sure", CallOutcome::InvalidAnswer, code).await;
    assert!(fault.to_string().contains("200"), "{fault}");
    let fault = fault_of(&bench, "no-id", CallOutcome::InvalidAnswer, code).await;
    assert!(fault.to_string().contains("id"), "{fault}");
}

#[tokio::test]
async fn many_misbehaving_calls_at_once_hold_nothing_up() {
    let bench = Bench::new();
    bench.sandbox.prepare(&bench.guest).await.unwrap();
    let behaviours = ["loop", "eat-memory", "trap", "log-flood", "refuse"];
    let calls = (0..20).map(|i| bench.detect(behaviours[i % behaviours.len()]));
    let ended = futures_join(calls).await;
    assert_eq!(ended.iter().filter(|&&outcome| outcome == CallOutcome::Trapped).count(), 4);
    assert_eq!(ended.iter().filter(|&&outcome| outcome == CallOutcome::OutOfMemory).count(), 4);
    bench.assert_works().await;
}

async fn futures_join<T>(
    calls: impl Iterator<Item = impl Future<Output = windlass_sandbox::Call<T>>>,
) -> Vec<CallOutcome> {
    let mut calls: Vec<_> = calls.map(Box::pin).collect();
    let mut outcomes = Vec::new();
    std::future::poll_fn(|cx| {
        calls.retain_mut(|call| match call.as_mut().poll(cx) {
            std::task::Poll::Ready(call) => {
                outcomes.push(call.report.outcome);
                false
            }
            std::task::Poll::Pending => true,
        });
        if calls.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    outcomes
}
