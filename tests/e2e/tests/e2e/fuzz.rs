//! The API, fuzzed from its own description by schemathesis: no answer is a server error, none is of a
//! status, a content type or a shape that the description does not name, and none is given without the
//! token.
//!
//! `WINDLASS_TEST_EXTENT=full` gives it ten minutes instead of some seconds.

use std::path::{Path, PathBuf};
use std::process::Command;

use windlass_test_support::{CliOutput, GitRepo, HostOptions, TestHost, target_dir};

/// The fuzzer, exactly: another release checks other things.
const FUZZER: &str = "schemathesis==4.32.5";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,ignored_auth";

/// What the tests of streams are for: it answers for as long as a deployment is at work. It is all that is left
/// out.
const WATCH: &str = "/v1/deployments/{deployment}/watch";
/// The host's events are read as a page: followed, they have no end.
const EVENTS: &str = "[[operations]]\ninclude-path = \"/v1/events\"\nparameters = { \"query.follow\" = \"false\" }\n";

/// The program, in an environment of its own below the target directory; made at the first use.
fn fuzzer() -> PathBuf {
    let dir = target_dir().join("fuzzer").join(FUZZER.replace("==", "-"));
    let program = dir.join("bin/schemathesis");
    if !program.is_file() {
        let _ = std::fs::remove_dir_all(&dir);
        CliOutput::of(Command::new("python3").args(["-m", "venv"]).arg(&dir)).ok();
        let mut install = Command::new(dir.join("bin/python"));
        CliOutput::of(install.args(["-m", "pip", "install", "--quiet", FUZZER])).ok();
    }
    program
}

fn is_full() -> bool {
    std::env::var("WINDLASS_TEST_EXTENT").is_ok_and(|extent| extent == "full")
}

fn run(host: &TestHost, dir: &Path, config: &str) -> CliOutput {
    let file = dir.join("schemathesis.toml");
    std::fs::write(&file, config).unwrap();
    let (seconds, examples) = if is_full() { ("300", "200") } else { ("12", "4") };
    let seed = std::env::var("WINDLASS_TEST_SEED").unwrap_or_else(|_| "20".to_owned());
    let mut command = Command::new(fuzzer());
    command.arg("--config-file").arg(file).current_dir(dir);
    command
        .arg("run")
        .arg(format!("http://{}/v1/openapi.json", host.api_address()))
        .args(["--header", &format!("Authorization: Bearer {}", host.token())])
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing"])
        .args(["--max-time", seconds, "--max-examples", examples, "--seed", &seed])
        .args(["--request-timeout", "20", "--no-shrink", "--continue-on-failure"])
        .args(["--exclude-path", WATCH])
        .args(["--warnings", "off", "--suppress-health-check", "all"]);
    CliOutput::of(&mut command)
}

/// How many operations the description has, and how many of them were asked for.
fn operations(output: &CliOutput) -> (usize, usize) {
    let numbers = output.stdout.lines().find_map(|line| {
        let (selected, all) = line.trim().strip_prefix("Selected: ")?.split_once('/')?;
        Some((all.parse().ok()?, selected.parse().ok()?))
    });
    numbers.unwrap_or_else(|| panic!("it does not say what it asked for: {}", output.stdout))
}

#[test]
fn no_request_that_the_description_allows_or_forbids_gets_an_answer_that_it_does_not_name() {
    // Most of the wrong tokens would be turned away unseen.
    let limits = HostOptions::default()
        .limit("deployments_running_max", 1)
        .limit("access.failures_per_minute_max", 1_000_000);
    let host = TestHost::start_with(limits);
    host.deploy_git("shop", &GitRepo::of_fixture("html"), &[]).live();
    let dir = windlass_test_support::scratch("fuzz");
    // With names of things that are there, then with any.
    let known = "[parameters]\n\"path.project\" = \"shop\"\n\"path.environment\" = \"production\"\n\
                 \"path.deployment\" = \"1\"\n\"query.project\" = \"shop\"\n";
    for config in [known, ""] {
        let output = run(&host, dir.path(), &format!("{config}{EVENTS}"));
        let log = host.serve_log();
        let panics: Vec<&str> = log.lines().filter(|line| line.contains("panicked")).collect();
        assert!(panics.is_empty(), "{panics:#?}");
        assert_eq!(output.code, 0, "{}\n{}", output.stdout, output.stderr);
        let (all, asked_for) = operations(&output);
        assert_eq!(asked_for + 1, all, "all but {WATCH} are asked for: {}", output.stdout);
        println!("{}", output.stdout.lines().last().unwrap_or_default());
    }
    // What there was may have been deleted by now; the host works as before.
    host.deploy_git("after", &GitRepo::of_fixture("html"), &[]).live();
    assert_eq!(host.get("after.localhost", "/").status, 200);
    host.finish();
}
