//! The default judge as a table: what was seen, and what is to be said.

use super::*;

fn web() -> Process {
    Process { name: "web".into(), web: true, port: Some(3000), check: None }
}

fn worker() -> Process {
    Process { name: "worker".into(), web: false, port: None, check: None }
}

fn policy(settings: &str, processes: &[Process]) -> Policy {
    let ctx = Context { config_json: settings.into(), ..Context::empty() };
    default_policy(&ctx, processes).unwrap()
}

/// Observations 100 ms apart.
fn seen(what: &[(u32, Outcome)]) -> Vec<Observation> {
    let observation =
        |(i, &(probe, outcome))| Observation { probe, at_ms: 100 * i, took_ms: 1, outcome };
    (1_u64..).zip(what).map(observation).collect()
}

fn fails_with(verdict: &Verdict, words: &str) {
    match verdict {
        Verdict::Fail(why) => assert!(why.contains(words), "{why:?} does not say {words:?}"),
        other => panic!("{other:?} instead of a failure that says {words:?}"),
    }
}

#[test]
fn the_guessed_paths_are_judged_by_the_table() {
    use Outcome::{Exited, Ok, OutOfMemory, Refused, Reset, Status, Timeout, WrongAddress};
    let policy = policy("{}", &[web()]);
    let table: &[(&[(u32, Outcome)], Verdict)] = &[
        (&[], Verdict::Wait),
        (&[(0, Status(200))], Verdict::Pass),
        (&[(0, Status(204))], Verdict::Pass),
        (&[(0, Ok)], Verdict::Pass),
        (&[(0, Refused)], Verdict::Wait),
        (&[(0, Reset)], Verdict::Wait),
        (&[(0, Timeout)], Verdict::Wait),
        (&[(0, WrongAddress)], Verdict::Wait),
        (&[(0, Status(500))], Verdict::Wait),
        (&[(0, Status(302))], Verdict::Pass),
        (&[(0, Status(310))], Verdict::Wait),
        (&[(0, Status(400))], Verdict::Pass),
        (&[(0, Status(401))], Verdict::Pass),
        (&[(0, Status(404)), (1, Status(404)), (2, Status(403))], Verdict::Pass),
        (&[(0, Status(405))], Verdict::Pass),
        (&[(0, Status(418))], Verdict::Wait),
        (&[(0, Status(404))], Verdict::Next),
        (&[(0, Status(404)), (1, Status(404))], Verdict::Next),
        (&[(0, Status(404)), (1, Status(503))], Verdict::Wait),
        (&[(0, Status(404)), (1, Status(404)), (2, Status(200))], Verdict::Pass),
        (&[(0, Status(404)), (1, Status(404)), (2, Status(500))], Verdict::Wait),
        (&[(0, Refused), (0, Refused), (0, Status(200))], Verdict::Pass),
    ];
    for (what, verdict) in table {
        assert_eq!(&default_judge(&policy, &seen(what)), verdict, "{what:?}");
    }
    let all = seen(&[(0, Status(404)), (1, Status(404)), (2, Status(404))]);
    fails_with(&default_judge(&policy, &all), "health.path");
    fails_with(&default_judge(&policy, &seen(&[(0, Refused), (0, Exited(1))])), "status 1");
    fails_with(&default_judge(&policy, &seen(&[(1, OutOfMemory)])), "out of memory");
}

#[test]
fn a_path_that_was_set_waits_on_a_404_until_the_budget_is_used_up() {
    let policy = policy(r#"{"health":{"path":"/up","timeout":"2s"}}"#, &[web()]);
    assert_eq!(policy.probes.len(), 1);
    let early = seen(&[(0, Outcome::Status(404))]);
    assert_eq!(default_judge(&policy, &early), Verdict::Wait);
    let late = [Observation { at_ms: 2_000, ..early[0] }];
    fails_with(&default_judge(&policy, &late), "GET /up was answered with status 404");
}

#[test]
fn a_path_that_was_set_has_to_answer_well() {
    let policy = policy(r#"{"health":{"path":"/up","timeout":"2s"}}"#, &[web()]);
    for status in [301, 302, 400, 401, 403, 405] {
        let early = seen(&[(0, Outcome::Status(status))]);
        assert_eq!(default_judge(&policy, &early), Verdict::Wait, "{status}");
    }
    let late = [Observation { at_ms: 2_000, ..seen(&[(0, Outcome::Status(301))])[0] }];
    fails_with(&default_judge(&policy, &late), "status 301, which leads to another host");
    let named = self::policy(r#"{"health":{"status":"200"}}"#, &[web()]);
    assert_eq!(default_judge(&named, &seen(&[(0, Outcome::Status(401))])), Verdict::Wait);
}

#[test]
fn requests_say_that_they_came_through_tls() {
    for settings in ["{}", r#"{"health":{"path":"/up"}}"#] {
        for probe in policy(settings, &[web()]).probes {
            let Probe::Http(http) = probe else { panic!("{probe:?}") };
            assert_eq!(http.headers, [("x-forwarded-proto".to_owned(), "https".to_owned())]);
        }
    }
}

#[test]
fn listening_elsewhere_for_ten_seconds_is_final_and_says_where_to_listen() {
    let policy = policy("{}", &[web()]);
    let at = |at_ms| Observation { probe: 0, at_ms, took_ms: 1, outcome: Outcome::WrongAddress };
    assert_eq!(default_judge(&policy, &[at(1_000), at(10_999)]), Verdict::Wait);
    fails_with(&default_judge(&policy, &[at(1_000), at(11_000)]), "0.0.0.0");
}

#[test]
fn workers_alone_must_stay_up() {
    let policy = policy("{}", &[worker()]);
    assert!(matches!(&policy.probes[..], [Probe::StaysUp(up)] if up.stays_up_ms == STAYS_UP_MS));
    assert_eq!(default_judge(&policy, &seen(&[(0, Outcome::Ok)])), Verdict::Pass);
    fails_with(&default_judge(&policy, &seen(&[(0, Outcome::Exited(0))])), "exited");
}

#[test]
fn with_a_web_process_workers_are_only_watched_for_exits() {
    let policy = policy("{}", &[worker(), web()]);
    assert!(policy.probes.iter().all(|probe| process_of(probe) == "web"));
}

#[test]
fn every_process_that_the_policy_names_must_pass() {
    let mut policy = policy("{}", &[web()]);
    policy.probes.push(stays_up(&worker()));
    let web_only = seen(&[(0, Outcome::Status(200))]);
    assert_eq!(default_judge(&policy, &web_only), Verdict::Next);
    let both = seen(&[(0, Outcome::Status(200)), (3, Outcome::Ok)]);
    assert_eq!(default_judge(&policy, &both), Verdict::Pass);
}

#[test]
fn a_failing_command_waits_and_a_passing_one_passes() {
    let mut policy = policy("{}", &[web()]);
    let argv = vec!["check".to_owned()];
    policy.probes = vec![Probe::Command(CommandProbe { process: "web".into(), argv })];
    let failed = seen(&[(0, Outcome::CommandFailed(1))]);
    assert_eq!(default_judge(&policy, &failed), Verdict::Wait);
    assert_eq!(default_judge(&policy, &seen(&[(0, Outcome::Ok)])), Verdict::Pass);
}

#[test]
fn settings_change_the_statuses_and_the_budget() {
    let policy = policy(r#"{"health":{"status":"200, 301-302","timeout":"5m"}}"#, &[web()]);
    assert_eq!(policy.budget_ms, 300_000);
    assert_eq!(default_judge(&policy, &seen(&[(0, Outcome::Status(302))])), Verdict::Pass);
    assert_eq!(default_judge(&policy, &seen(&[(0, Outcome::Status(204))])), Verdict::Wait);
}

#[test]
fn settings_that_do_not_read_are_named() {
    for (settings, code) in [
        (r#"{"health":{"path":"up"}}"#, "health.path-invalid"),
        (r#"{"health":{"path":"/a b"}}"#, "health.path-invalid"),
        (r#"{"health":{"status":"ok"}}"#, "health.status-invalid"),
        (r#"{"health":{"status":"299-200"}}"#, "health.status-invalid"),
        (r#"{"health":{"timeout":"soon"}}"#, "health.timeout-invalid"),
        (r#"{"health":{"timeout":"0s"}}"#, "health.timeout-invalid"),
        (r#"{"health":{"timeout":"99999999h"}}"#, "health.timeout-invalid"),
    ] {
        let ctx = Context { config_json: settings.into(), ..Context::empty() };
        assert_eq!(default_policy(&ctx, &[web()]).unwrap_err().code, code, "{settings}");
    }
}
