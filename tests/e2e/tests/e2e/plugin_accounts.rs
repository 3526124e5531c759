//! What calls of plugins amount to is counted and kept; a plugin that keeps failing is switched off for the project
//! in which it does, and asked again when a person or another version says so.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use windlass_model::StepName;
use windlass_model::plugin::Stage;
use windlass_model::plugin::account::{PluginStats, PluginUse};
use windlass_model::stage::StageStatus;
use windlass_test_support::{GitRepo, HostOptions, TestHost, guest};

/// Faults in a row after which a plugin is switched off on these hosts.
const FAULTS: usize = 3;

fn host() -> TestHost {
    let faults = i64::try_from(FAULTS).unwrap();
    TestHost::start_with(HostOptions::default().limit("plugin.faults_in_a_row_max", faults))
}

/// The plugin that misbehaves, in two versions.
struct Versions(TempDir);

impl Versions {
    fn new() -> Self {
        let versions = Self(tempfile::tempdir().unwrap());
        let first = std::fs::read(guest::component()).unwrap();
        let (from, to) = (br#""version":"0.1.0""#, br#""version":"0.2.0""#);
        let mut second = first.clone();
        let places: Vec<usize> =
            (0..first.len() - from.len()).filter(|n| first[*n..].starts_with(from)).collect();
        assert!(!places.is_empty(), "it does not say its version");
        for place in places {
            second[place..place + to.len()].copy_from_slice(to);
        }
        std::fs::write(versions.file("1.wasm"), first).unwrap();
        std::fs::write(versions.file("2.wasm"), second).unwrap();
        versions
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn install(host: &TestHost, versions: &Versions) {
    let file = versions.file("1.wasm");
    host.cli(&["plugin", "install", file.to_str().unwrap()]).ok();
}

fn repo(behave: &str) -> GitRepo {
    GitRepo::of_files(&[("behave", behave), ("index.html", "<p>Served without it</p>\n")])
}

/// Deploys as often as it takes until the plugin is off.
fn fail(host: &TestHost, project: &str, repo: &GitRepo, times: usize) {
    for _ in 0..times {
        host.deploy_git(project, repo, &[]).failed("plugin.trapped");
    }
}

fn stats(host: &TestHost, args: &[&str]) -> PluginStats {
    let stats = host.cli_json(&[&["plugin", "stats"], args].concat()).ok();
    serde_json::from_value(stats.json()).unwrap()
}

fn row(stats: &PluginStats, stage: Stage) -> PluginUse {
    let mut rows = stats.plugins.iter().filter(|row| row.stage == stage);
    let row = rows.next().unwrap_or_else(|| panic!("{stats:#?}"));
    assert!(rows.next().is_none(), "one version, one row: {stats:#?}");
    row.clone()
}

fn is_off(host: &TestHost, project: &str) -> bool {
    let path = format!("/v1/projects/{project}/plugins/{}", guest::NAME);
    let shown: Value = serde_json::from_str(&host.api("GET", &path, None).text()).unwrap();
    shown.get("switched_off").is_some()
}

#[test]
fn a_detector_that_keeps_failing_is_passed_over_in_its_project_until_another_version_comes() {
    let versions = Versions::new();
    let mut host = host();
    install(&host, &versions);
    let faulty = repo("detect=trap");

    // A success in between begins the count anew: `two` never comes to the last fault.
    fail(&host, "two", &faulty, FAULTS - 1);
    let refuses = repo("detect=refuse");
    host.deploy_git("two", &refuses, &[]).failed("test.refused");
    fail(&host, "two", &faulty, FAULTS - 1);
    assert!(!is_off(&host, "two"));

    fail(&host, "one", &faulty, FAULTS);
    assert!(is_off(&host, "one") && !is_off(&host, "two"));
    let passed = host.deploy_git("one", &faulty, &[]).live();
    assert!(host.get("one.localhost", "/").text().contains("Served without it"));
    let warnings = &passed.view.deployment.warnings;
    let warning = warnings.iter().find(|it| it.code == "plugin.switched-off").unwrap();
    for said in [guest::NAME, "3 times in a row", "windlass plugin enable test-guest --project one"]
    {
        assert!(warning.message.contains(said), "{said}: {warning:#?}");
    }
    // Everybody who may ask is told.
    let doctor = host.cli_json(&["doctor"]).stdout;
    assert!(doctor.contains("plugins switched off") && doctor.contains(guest::NAME), "{doctor}");
    for args in
        [&["plugin", "list"][..], &["plugin", "show", guest::NAME], &["project", "show", "one"]]
    {
        let said = host.cli(args).ok().stdout;
        assert!(said.contains("is switched off for one as a detector"), "{args:?}: {said}");
    }
    let said = host.cli(&["project", "show", "two"]).ok().stdout;
    assert!(!said.contains("switched off"), "{said}");
    let events = host.cli(&["events", "--json"]).ok().stdout;
    assert_eq!(events.matches("\"plugin.switched-off\"").count(), 1, "{events}");

    // What was counted outlives a stop, that it is off outlives a kill.
    let before = stats(&host, &[guest::NAME, "--project", "one"]);
    let detector = row(&before, Stage::Detector);
    assert_eq!(detector.totals.faults(), u64::try_from(FAULTS).unwrap(), "{before:#?}");
    assert_eq!(before.switched_off.len(), 1);
    host.stop_serve();
    host.restart();
    let after = stats(&host, &[guest::NAME, "--project", "one"]);
    assert_eq!(after.plugins, before.plugins);
    host.kill9_serve();
    host.restart();
    assert!(is_off(&host, "one"));
    host.deploy_git("one", &faulty, &[]).live();

    // Another file is asked again, and what the one before did is not held against it.
    let second = versions.file("2.wasm");
    host.cli(&["plugin", "upgrade", guest::NAME, second.to_str().unwrap()]).ok();
    assert!(!is_off(&host, "one"));
    fail(&host, "one", &faulty, FAULTS);
    assert!(is_off(&host, "one"));
    host.cli(&["plugin", "rollback", guest::NAME]).ok();
    assert!(!is_off(&host, "one"), "the version before is asked again too");
    fail(&host, "one", &faulty, FAULTS);
    host.cli(&["plugin", "enable", guest::NAME, "--project", "one"]).ok();
    assert!(!is_off(&host, "one"));
    fail(&host, "one", &faulty, 1);
    let events = host.cli(&["events", "--json"]).ok().stdout;
    assert_eq!(events.matches("\"plugin.switched-on\"").count(), 3, "{events}");
    host.finish();
}

#[test]
fn a_builder_that_is_off_fails_the_deployment_and_says_how_to_go_on() {
    let versions = Versions::new();
    let host = host();
    install(&host, &versions);
    let faulty = repo("plan=panic");
    fail(&host, "built", &faulty, FAULTS);
    let failure = host.deploy_git("built", &faulty, &[]).failed("plugin.switched-off");
    assert_eq!(failure.step, Some(StepName::Plan), "{failure:#?}");
    assert!(failure.why.contains("3 times in a row in `plan`"), "{failure:#?}");
    assert!(failure.fix.contains("windlass plugin enable test-guest --project built"));
    assert!(failure.fix.contains("windlass plugin upgrade test-guest"), "{failure:#?}");

    // It was mended, and a person says so.
    host.cli(&["plugin", "enable", guest::NAME, "--project", "built"]).ok();
    let mended = repo("plan=");
    host.deploy_git("built", &mended, &[]).live();
    assert_eq!(host.get("built.localhost", "/").text(), "<p>Served without it</p>\n");

    // What decided the live version is not passed over: another detector would serve something else.
    let faulty = repo("detect=trap");
    fail(&host, "built", &faulty, FAULTS);
    let failure = host.deploy_git("built", &faulty, &[]).failed("plugin.switched-off");
    assert_eq!(failure.step, Some(StepName::Detect), "{failure:#?}");
    assert!(failure.why.contains("it decided what is live here"), "{failure:#?}");
    faulty.write("windlass.toml", "[build]\nframework = \"static\"\n");
    faulty.commit("Say what it is");
    host.deploy_git("built", &faulty, &[]).live();
    host.finish();
}

#[test]
fn a_health_component_that_is_off_makes_way_for_the_bundled_one() {
    let versions = Versions::new();
    let host = host();
    install(&host, &versions);
    let repo = GitRepo::of_fixture("plain-node");
    repo.write("behave", "policy=panic");
    repo.write("windlass.toml", "[build]\nframework = \"node\"\n");
    repo.commit("Judged by somebody who cannot");
    fail(&host, "judged", &repo, FAULTS);
    let live = host.deploy_git("judged", &repo, &[]).live();
    let warnings = &live.view.deployment.warnings;
    let warning = warnings.iter().find(|it| it.code == "plugin.switched-off").unwrap();
    assert!(warning.message.contains("as a health component"), "{warning:#?}");
    let health = live.view.deployment.outputs.health.as_ref().unwrap();
    assert_eq!(health.plugin, "health");
    host.finish();
}

#[test]
fn denials_are_counted_and_a_custom_stage_that_is_off_follows_its_setting() {
    let host = host();
    let file = guest::stages();
    host.cli(&["plugin", "install", file.to_str().unwrap(), "--grant", "source"]).ok();
    let repo = GitRepo::of_fixture("plain-node");
    let act = |options: &str, on_failure: &str| {
        repo.write(
            "windlass.toml",
            &format!(
                "[[stages]]\nplugin = 'test-stages'\nstage = 'act'\nat = 'after-fetch'\n\
                 on_failure = '{on_failure}'\noptions = {{ {options} }}\n"
            ),
        );
        repo.commit("Another stage");
        host.deploy_git("staged", &repo, &[])
    };
    act("url = 'https://api.example.com/'", "warn").live();
    let counted = row(&stats(&host, &[guest::STAGES]), Stage::Custom);
    let calls = counted.totals.host_calls;
    assert_eq!((calls.http, calls.exec, calls.denied), (1, 0, 1), "{counted:#?}");
    let metrics = host.api("GET", "/v1/metrics", None).text();
    let denied = metrics
        .lines()
        .find(|line| line.starts_with("windlass_plugin_denied_total{plugin=\"test-stages\""));
    assert!(denied.is_some_and(|line| line.ends_with(" 1")), "{metrics}");

    for _ in 0..FAULTS {
        act("misbehave = 'trap'", "warn").live();
    }
    let skipped = act("misbehave = 'trap'", "warn").live();
    let stage = &skipped.view.stages[0];
    assert_eq!(stage.status, StageStatus::Warned, "{stage:#?}");
    assert_eq!(stage.failure.as_ref().unwrap().code, "plugin.switched-off", "{stage:#?}");
    let calls = |stats: &PluginStats| row(stats, Stage::Custom).totals.calls;
    let made = calls(&stats(&host, &[guest::STAGES]));
    let failure = act("misbehave = 'trap'", "fail").failed("plugin.switched-off");
    assert!(failure.what.contains("test-stages.act at after-fetch"), "{failure:#?}");
    assert_eq!(calls(&stats(&host, &[guest::STAGES])), made, "it is not asked");
    host.finish();
}
