//! The health plugin: the SDK's default policy, with the `[health]` settings applied, and its default
//! judge. It adds nothing to them, so that a plugin of your own that implements [`Health`] for an
//! empty type begins exactly here.

use windlass_sdk::Health;

/// The plugin.
#[derive(Debug)]
pub struct Default;

impl Health for Default {}

windlass_sdk::export! {
    Default: [health],
    name: "health",
}

#[cfg(test)]
mod tests {
    use windlass_sdk::health::{Observation, Outcome, Probe, Process, Verdict};
    use windlass_sdk::testing::Harness;
    use windlass_sdk::{Detection, HealthCheck, health};

    use super::Default;

    fn harness(settings: &str) -> Harness {
        Harness::new(std::env::temp_dir()).settings(settings)
    }

    fn web() -> Process {
        Process { name: "web".into(), web: true, port: Some(3000), check: None }
    }

    fn app() -> Detection {
        Detection::new("node", "Node.js", "node")
    }

    #[test]
    fn the_settings_win_over_the_guessed_paths() {
        let policy = harness("{}").policy::<Default>(&app(), &[web()]).unwrap();
        assert_eq!(policy.probes.len(), health::PATHS.len());
        let settings = r#"{"health":{"path":"/up","status":"204","timeout":"10s"}}"#;
        let policy = harness(settings).policy::<Default>(&app(), &[web()]).unwrap();
        assert!(matches!(&policy.probes[..], [Probe::Http(http)] if http.path == "/up"));
        assert_eq!(policy.budget_ms, 10_000);
        assert_eq!((policy.pass_status[0].first, policy.pass_status[0].last), (204, 204));
    }

    #[test]
    fn the_check_of_an_image_is_asked_where_no_path_is_set() {
        let check = HealthCheck {
            test: vec!["CMD-SHELL".into(), "wget -q localhost".into()],
            interval_ms: 0,
            timeout_ms: 3_000,
            start_period_ms: 60_000,
            start_interval_ms: 0,
            retries: 0,
        };
        let web = Process { check: Some(check.clone()), ..web() };
        let policy = harness("{}").policy::<Default>(&app(), std::slice::from_ref(&web)).unwrap();
        assert!(
            matches!(&policy.probes[..], [Probe::Command(asked)] if asked.argv[0] == "/bin/sh")
        );
        assert_eq!((policy.timeout_ms, policy.budget_ms), (3_000, health::BUDGET_MS + 60_000));
        let settings = r#"{"health":{"path":"/up"}}"#;
        let policy = harness(settings).policy::<Default>(&app(), &[web]).unwrap();
        assert!(matches!(&policy.probes[..], [Probe::Http(http)] if http.path == "/up"));
        let none = HealthCheck { test: vec!["NONE".into()], ..check };
        let web = Process { check: Some(none), ..self::web() };
        let policy = harness("{}").policy::<Default>(&app(), &[web]).unwrap();
        assert_eq!(policy.probes.len(), health::PATHS.len());
    }

    #[test]
    fn a_worker_has_to_stay_up() {
        let worker = Process { name: "worker".into(), web: false, port: None, check: None };
        let policy = harness("{}").policy::<Default>(&app(), &[worker]).unwrap();
        assert!(matches!(&policy.probes[..], [Probe::StaysUp(up)] if up.process == "worker"));
    }

    #[test]
    fn the_default_judge_judges() {
        let harness = harness("{}");
        let policy = harness.policy::<Default>(&app(), &[web()]).unwrap();
        let saw = |outcome| [Observation { probe: 0, at_ms: 50, took_ms: 1, outcome }];
        let verdict = |outcome| harness.judge::<Default>(&policy, &saw(outcome)).unwrap();
        assert_eq!(verdict(Outcome::Status(200)), Verdict::Pass);
        assert_eq!(verdict(Outcome::Refused), Verdict::Wait);
        assert!(matches!(verdict(Outcome::Exited(1)), Verdict::Fail(_)));
    }
}
