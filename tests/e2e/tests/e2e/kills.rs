//! More ways to die: again and again while it recovers, at a random moment, and containerd instead of
//! the control plane. Visitors notice none of it, and nothing is left behind.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use windlass_model::{Deployment, DeploymentStatus, StepName, Timestamp};
use windlass_test_support::host::kill;
use windlass_test_support::load::Running;
use windlass_test_support::sample;

use crate::crash::{ENDS_WITHIN, open};
use crate::shop::{App, PROJECT, Shop, assert_unharmed};

/// Deployments of the random kills, all of them and in the sample.
const RANDOM: u64 = 200;
const RANDOM_SAMPLE: usize = 5;
/// A step that takes this part of a deployment is hit by some of all random kills. A shorter one may be over
/// before the test has seen that it began: the crash matrix kills there.
const HIT_PART: u64 = 10;

/// How long a good deployment lasts on this machine, and each of its steps, in milliseconds.
struct Course {
    whole: u64,
    steps: Vec<(StepName, u64)>,
}

impl Course {
    fn of(deployment: &Deployment) -> Self {
        let between = |from: Option<Timestamp>, to: Option<Timestamp>| {
            let lasted = from.zip(to).map(|(from, to)| to.duration_since(from).as_millis());
            lasted.and_then(|ms| u64::try_from(ms).ok()).unwrap_or_default()
        };
        let steps = deployment.steps.iter();
        Self {
            whole: between(deployment.started_at, deployment.live_at).max(1),
            steps: steps.map(|step| (step.name, between(step.started_at, step.ended_at))).collect(),
        }
    }

    /// When the kill of a case comes: each case has its own part of a deployment, with the retirement behind
    /// it, and in that a random moment.
    fn wait_ms(&self, seed: u64, case: u64) -> u64 {
        let span = self.whole + self.whole / 4;
        (case * span + sample::number(seed, 2 * case + 1, span)) / RANDOM
    }

    /// Those among the steps that take a good part of the deployment and were not hit.
    fn missed(&self, hit: &BTreeSet<StepName>) -> Vec<StepName> {
        let missed = self
            .steps
            .iter()
            .filter(|(step, ms)| ms * HIT_PART >= self.whole && !hit.contains(step));
        missed.map(|(step, _)| *step).collect()
    }
}

impl Shop {
    fn deployment_body(&self) -> serde_json::Value {
        serde_json::json!({ "git_url": self.repo.url() })
    }

    /// Dies within a step, and then five times more while it recovers.
    #[expect(clippy::print_stderr, reason = "the case that fails must be known")]
    fn play_again_and_again(&mut self, step: StepName) {
        eprintln!("killed within {step}, and five times in its recovery");
        let load = self.load();
        let first = format!("during:{step}");
        self.arm(&first);
        let text = self.commit(App::Good { migrates_ms: 0 });
        self.ask_what_dies("deployments", &self.deployment_body());
        self.dies_at(&first);
        let on_the_way = ["before:reconcile", "during:reconcile", "after:reconcile"];
        let in_the_step = [format!("before:{step}"), format!("begun:{step}")];
        for place in on_the_way.map(str::to_owned).into_iter().chain(in_the_step) {
            self.host.set_env(&[("WINDLASS_FAILPOINT", &place)]);
            self.host.spawn_serve();
            self.dies_at(&place);
        }
        self.restart_and_go_on();
        let deployment = self.ended();
        assert_eq!(deployment.status, DeploymentStatus::Live, "{deployment:#?}");
        let old = self.text.clone();
        self.went_live(&load, &text);
        assert_unharmed(&load.stop(), &[&old, &text]);
        assert_eq!(self.migrations_of(&deployment), 1, "runs of the migration");
        self.assert_settled();
    }

    /// Dies while it cleans up after a failure, and then five times more while it recovers.
    #[expect(clippy::print_stderr, reason = "the case that fails must be known")]
    fn play_again_and_again_in_undo(&mut self, first: &str) {
        eprintln!("killed at {first}, and five times in its recovery");
        let load = self.load();
        self.arm(first);
        let text = self.commit(App::CrashesAtStart);
        self.ask_what_dies("deployments", &self.deployment_body());
        self.dies_at(first);
        let on_the_way = ["before:reconcile", "during:reconcile", "after:reconcile"];
        // What was removed before it died within an undo is not removed again: its end is reached.
        let again = first.replace("within-undo:", "undone:");
        for place in on_the_way.into_iter().chain(["before:undo", &again]) {
            self.host.set_env(&[("WINDLASS_FAILPOINT", place)]);
            self.host.spawn_serve();
            self.dies_at(place);
        }
        self.restart_and_go_on();
        self.either_end(load, &text, |failed| code(failed) == "check.exited");
        assert_ne!(self.live, self.last, "it has failed");
    }

    /// The end of a deployment that may have gone either way: live, or failed with a reason.
    fn either_end(&mut self, load: Running, text: &str, may_fail: impl Fn(&Deployment) -> bool) {
        let deployment = self.ended();
        let old = self.text.clone();
        match deployment.status {
            DeploymentStatus::Live => {
                self.went_live(&load, text);
                assert_unharmed(&load.stop(), &[&old, text]);
            }
            DeploymentStatus::Failed => {
                assert!(may_fail(&deployment), "{deployment:#?}");
                load.wait_more(300);
                assert_unharmed(&load.stop(), &[&old]);
            }
            _ => panic!("{deployment:#?}"),
        }
        assert!(self.migrations_of(&deployment) <= 1, "a migration ran twice");
        self.assert_settled();
    }

    /// The step at which the last deployment was taken up again, by what was logged from there on.
    fn taken_up_at(&self, logged: usize) -> Option<StepName> {
        let log = self.host.serve_log();
        let id = self.host.show(PROJECT, self.last).deployment.id;
        let mut lines = log.get(logged..).unwrap_or_default().lines();
        let line = lines.find(|line| line.contains("taken up") && line.contains(id.as_str()))?;
        StepName::ALL.into_iter().find(|step| line.contains(&format!("Some({step:?})")))
    }

    /// Waits until a runner has begun with the last deployment.
    fn taken_up(&self) {
        let what = "the deployment is taken up";
        self.host.wait_deployment(PROJECT, self.last, what, ENDS_WITHIN, |view| {
            view.deployment.started_at.is_some()
        });
    }
}

fn code(deployment: &Deployment) -> &str {
    deployment.failure.as_ref().map_or("", |failure| failure.code.as_str())
}

#[test]
fn a_host_that_dies_again_and_again_while_it_recovers_still_ends_what_it_began() {
    let mut shop = open();
    for step in sample::of(StepName::ALL.to_vec(), 2) {
        shop.play_again_and_again(step);
    }
    let begun = StepName::ALL.into_iter().take_while(|step| *step != StepName::Switch);
    let undone = begun.map(|step| format!("undoing:{step}"));
    let within = ["within-undo:build", "within-undo:start"].map(str::to_owned);
    for place in sample::of(undone.chain(within).collect(), 1) {
        shop.play_again_and_again_in_undo(&place);
    }
    shop.host.finish();
}

#[test]
fn random_kills_of_the_control_plane_lose_no_request_and_no_deployment() {
    let seed = sample::seed();
    eprintln!("WINDLASS_TEST_SEED={seed}");
    let mut shop = open();
    let course = Course::of(&shop.deploy_next().view.deployment);
    let mut hit = BTreeSet::new();
    let cases = sample::of((0..RANDOM).collect(), RANDOM_SAMPLE);
    for case in &cases {
        let crashes = sample::number(seed, 2 * case, 5) == 0;
        let wait_ms = course.wait_ms(seed, *case);
        eprintln!("case {case}: killed after {wait_ms} ms, crashes: {crashes}");
        let load = shop.load();
        let app = if crashes { App::CrashesAtStart } else { App::Good { migrates_ms: 0 } };
        let text = shop.commit(app);
        shop.ask();
        shop.taken_up();
        // The random moment is what is tested; nothing is waited for.
        std::thread::park_timeout(Duration::from_millis(wait_ms));
        shop.host.kill9_serve();
        let logged = shop.host.serve_log().len();
        shop.restart_and_go_on();
        let at = shop.taken_up_at(logged);
        eprintln!("case {case}: hit {at:?}");
        hit.extend(at);
        shop.either_end(load, &text, |failed| match code(failed) {
            // Nobody can know whether a migration that was recorded and not seen has run.
            "migrate.outcome-unknown" => true,
            code => crashes && code == "check.exited",
        });
    }
    assert!(!hit.is_empty(), "none of {} kills fell into a deployment", cases.len());
    if sample::is_full() {
        eprintln!("hit: {hit:?}; the steps' milliseconds: {:?}", course.steps);
        let missed = course.missed(&hit);
        assert!(missed.is_empty(), "no kill fell into {missed:?}");
    }
    shop.deploy_next();
    shop.host.finish();
}

#[test]
fn a_containerd_that_is_killed_within_any_step_harms_no_visitor() {
    let mut shop = open();
    for step in sample::of(StepName::ALL.to_vec(), 3) {
        eprintln!("containerd is killed within {step}");
        let load = shop.load();
        let place = format!("during:{step}");
        shop.arm(&format!("pause@{place}"));
        let text = shop.commit(App::Good { migrates_ms: 0 });
        shop.ask();
        shop.host.wait_held_at(&place, ENDS_WITHIN);
        shop.host.kill9_containerd();
        assert_eq!(shop.host.take_failpoint_hit().as_deref(), Some(place.as_str()));
        shop.host.set_env(&[]);
        shop.wait_ready();
        shop.either_end(load, &text, |failed| failed.failure.is_some());
    }
    shop.deploy_next();
    shop.host.finish();
}

#[test]
fn a_containerd_that_does_not_answer_for_a_while_stops_no_visitor_and_no_later_deployment() {
    // A minute in the soak.
    let away = Duration::from_secs(if sample::is_full() { 60 } else { 8 });
    let mut shop = open();
    let load = shop.load();
    load.wait_more(100);
    let containerd = shop.host.containerd_pid();
    kill(containerd, rustix::process::Signal::STOP);
    let text = shop.commit(App::Good { migrates_ms: 0 });
    shop.ask();
    shop.taken_up();
    let back = Instant::now() + away;
    while Instant::now() < back {
        load.wait_more(20);
    }
    kill(containerd, rustix::process::Signal::CONT);
    shop.wait_ready();
    shop.either_end(load, &text, |failed| failed.failure.is_some());
    shop.deploy_next();
    shop.host.finish();
}
