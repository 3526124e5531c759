//! Every pure stage, through a real component.

use windlass_model::plan::{
    Base, Detection, Observation, Op, OutputKind, Probe, ProbeOutcome, Verdict,
};
use windlass_model::plugin::{CallOutcome, Stage};

use crate::support::{Bench, Folder, context, web};

async fn detected(bench: &Bench, folder: &Folder) -> Detection {
    let call = bench.sandbox.detect(&bench.guest, &folder.source(), &context()).await;
    call.result.unwrap().detections.remove(0)
}

#[tokio::test]
async fn a_detection_comes_with_its_signs_and_a_near_miss_with_its_reason() {
    let bench = Bench::new();
    let detection = detected(&bench, &Folder::new("ok")).await;
    assert_eq!((detection.id.as_str(), detection.confidence), ("test-guest", 95));
    assert_eq!(detection.evidence[0].path, "behave");
    let folder = Folder::new("");
    std::fs::remove_file(folder.path().join("behave")).unwrap();
    let call = bench.sandbox.detect(&bench.guest, &folder.source(), &context()).await;
    let report = call.result.unwrap();
    assert!(report.detections.is_empty());
    assert_eq!(report.near_misses[0].reason, "there is no file named behave");
    assert_eq!(call.report.outcome, CallOutcome::Answered);
}

#[tokio::test]
async fn a_detection_can_refuse_and_say_why() {
    let bench = Bench::new();
    let refusal = detected(&bench, &Folder::new("recognised-only")).await.refusal.unwrap();
    assert_eq!(refusal.code, "test.unsupported");
    assert_eq!(refusal.hint.unwrap(), "use something else");
}

#[tokio::test]
async fn a_plan_arrives_whole_and_one_that_makes_no_sense_is_refused() {
    let bench = Bench::new();
    let folder = Folder::new("ok");
    let chosen = detected(&bench, &folder).await;
    let call = bench.sandbox.plan(&bench.guest, &folder.source(), &context(), &chosen).await;
    let plan = call.result.unwrap();
    assert_eq!(plan.steps[0].base, Base::Scratch);
    assert!(
        matches!(&plan.steps[0].ops[0], Op::Copy(copy) if copy.parents && copy.dest == "/site/")
    );
    assert!(
        matches!(&plan.outputs[0].artifact, OutputKind::StaticTree { root, .. } if root == "/site")
    );
    let folder = Folder::new("ok\nplan=no-steps");
    let call = bench.sandbox.plan(&bench.guest, &folder.source(), &context(), &chosen).await;
    assert_eq!(call.result.unwrap_err().code(), "plugin.invalid-answer");
}

#[tokio::test]
async fn the_policy_and_the_judge_work_together() {
    let bench = Bench::new();
    let folder = Folder::new("ok");
    let source = folder.source();
    let chosen = detected(&bench, &folder).await;
    let call = bench
        .sandbox
        .health_policy(&bench.guest, &source, &context(), &chosen, &[web()], &[])
        .await;
    let policy = call.result.unwrap();
    assert!(matches!(&policy.probes[0], Probe::Http { path, .. } if path == "/health"));
    let mut seen = Vec::new();
    for (probe, outcome, verdict) in [
        (0, ProbeOutcome::Refused, Verdict::Wait),
        (0, ProbeOutcome::Status(404), Verdict::Next),
        (1, ProbeOutcome::Status(200), Verdict::Pass),
    ] {
        let at_ms = 100 * seen.len() as u64;
        seen.push(Observation { probe, at_ms, took_ms: 1, outcome });
        let call = bench.sandbox.judge(&bench.guest, &context(), &policy, &seen).await;
        assert_eq!(call.result.unwrap(), verdict);
        assert!(!call.report.cached);
    }
}

#[tokio::test]
async fn a_stage_that_is_not_filled_is_not_called() {
    let bench = Bench::new();
    let folder = Folder::new("ok");
    let chosen = detected(&bench, &folder).await;
    assert!(!bench.guest.fills(Stage::Migrator));
    let call =
        bench.sandbox.migrations(&bench.guest, &folder.source(), &context(), &chosen, &[]).await;
    assert_eq!(call.report.outcome, CallOutcome::HostFailed);
}

/// Whoever runs deployments spawns these calls: their futures must be `Send`.
#[test]
fn calls_can_be_spawned() {
    fn send<T: Send>(value: T) -> T {
        value
    }
    let bench = Bench::new();
    let folder = Folder::new("ok");
    let (source, context) = (folder.source(), context());
    drop(send(bench.sandbox.detect(&bench.guest, &source, &context)));
    drop(send(bench.sandbox.prepare(&bench.guest)));
}
