//! The stages natively, with a mock of what a host grants: what a plugin's own tests look like.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that is not as it should be"
)]

use windlass_sdk::custom::{Facts, Input, Output, OutputKind, State};
use windlass_sdk::testing::{Harness, answered, ended};
use windlass_test_stages::Stages;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "hello").unwrap();
    folder
}

fn built() -> Facts {
    let output = Output { name: "app".to_owned(), kind: OutputKind::Image };
    Facts { outputs: vec![output], ..Facts::empty() }
}

fn input(outputs_json: &str) -> Input {
    Input {
        name: "files".to_owned(),
        plugin: "test-stages".to_owned(),
        stage: "inspect".to_owned(),
        outputs_json: outputs_json.to_owned(),
    }
}

#[test]
fn what_one_stage_answers_is_what_the_next_one_gets() {
    let folder = folder();
    let harness = Harness::new(folder.path()).cached("files", "7");
    let counted = harness.custom::<Stages>("inspect", &Facts::empty(), &[]).result.unwrap();
    let ran = harness.custom::<Stages>("report", &built(), &[input(&counted.outputs_json)]);
    assert_eq!(ran.result.unwrap().summary, "#1 has 1 files, after 7");
    let (artifact, content) = &ran.artifacts[0];
    assert_eq!(artifact.name, "files.txt");
    assert_eq!(content, b"#1 has 1 files, after 7\n");
    assert_eq!(ran.annotations[0].value, "1");
    assert_eq!(ran.cache["files"], b"1");
}

#[test]
fn a_stage_without_its_input_is_skipped_and_one_that_does_not_read_is_named() {
    let folder = folder();
    let harness = Harness::new(folder.path());
    assert!(harness.custom::<Stages>("report", &built(), &[]).result.unwrap().skipped);
    let ran = harness.custom::<Stages>("report", &built(), &[input("[]")]);
    assert_eq!(ran.result.unwrap_err().code, "inputs.invalid");
}

#[test]
fn what_is_not_granted_is_denied_and_says_which_capability() {
    let folder = folder();
    let harness = Harness::new(folder.path()).deny("artifacts").deny("annotations");
    let ran = harness.custom::<Stages>("report", &built(), &[input(r#"{"files":1}"#)]);
    let error = ran.result.unwrap_err();
    assert_eq!((error.code.as_str(), error.retryable), ("artifacts.failed", false));
    assert!(error.message.contains("artifacts is not granted"), "{error:?}");
    let harness = harness.options(r#"{"url":"http://example.com"}"#).deny("http");
    let error = harness.custom::<Stages>("act", &built(), &[]).result.unwrap_err();
    assert!(error.message.contains("http is not granted"), "{error:?}");
}

#[test]
fn commands_and_requests_are_answered_as_the_test_says() {
    let folder = folder();
    let harness = Harness::new(folder.path())
        .command(["sh", "-c"], ended(3, "one\ntwo\n"))
        .request("GET", "https://api.example.com/", answered(200, "fine"));
    let act =
        |options: &str| harness.clone().options(options).custom::<Stages>("act", &built(), &[]);
    let ran = act(r#"{"command":["sh","-c","x"],"variables":["A"]}"#);
    assert_eq!(ran.result.unwrap().summary, "3: one\ntwo");
    assert_eq!(ran.commands[0].variable_names, ["A"]);
    let ran = act(r#"{"command":["sh","-c","x"],"lines":true,"stdin":"read this"}"#);
    assert_eq!(ran.result.unwrap().summary, "3: one|two");
    assert_eq!(ran.commands[0].stdin, b"read this");
    let ran = act(r#"{"url":"https://api.example.com/x","secret":"TOKEN"}"#);
    assert!(ran.result.unwrap().summary.ends_with("fine"));
    assert_eq!(ran.requests[0].headers[0].1, "Bearer {{TOKEN}}");
    assert_eq!(ran.requests[0].secret_names, ["TOKEN"]);
    let other = act(r#"{"url":"https://elsewhere.example"}"#).result.unwrap_err();
    assert!(other.message.contains("no answer was given"), "{other:?}");
}

#[test]
fn the_gate_and_the_background_stage_do_as_their_options_say() {
    let folder = folder();
    let harness = Harness::new(folder.path());
    let shut = harness.clone().options(r#"{"shut":true}"#);
    let error = shut.custom::<Stages>("gate", &built(), &[]).result.unwrap_err();
    assert_eq!(error.code, "test-stages.gate-shut");
    let twice = harness.clone().options(r#"{"failures":2}"#);
    let tried = |attempt| Facts { attempt, state: State::Live, ..built() };
    assert!(twice.custom::<Stages>("tell", &tried(1), &[]).result.unwrap_err().retryable);
    assert!(twice.custom::<Stages>("tell", &tried(3), &[]).result.is_ok());
    let unknown = harness.options(r#"{"nonsense":1}"#).custom::<Stages>("gate", &built(), &[]);
    assert_eq!(unknown.result.unwrap_err().code, "options.invalid");
}

#[test]
fn schedules_and_withheld_files_are_part_of_the_answer() {
    let folder = folder();
    let options = r#"{"cron":"@hourly","command":["bin/clean"],"withhold":["**/*.map"]}"#;
    let site = Output { name: "site".to_owned(), kind: OutputKind::StaticTree };
    let mut facts = built();
    facts.outputs.push(site);
    let ran = Harness::new(folder.path()).options(options).custom::<Stages>("act", &facts, &[]);
    let outcome = ran.result.unwrap();
    let [schedule] = &outcome.schedules[..] else { panic!("{outcome:?}") };
    assert_eq!((schedule.name.as_str(), schedule.cron.as_str()), ("tick", "@hourly"));
    assert_eq!(schedule.argv, ["bin/clean"]);
    let [withheld] = &outcome.withheld[..] else { panic!("{outcome:?}") };
    assert_eq!(
        (withheld.output.as_str(), &withheld.paths[..]),
        ("site", &["**/*.map".to_owned()][..])
    );
}
