//! The command line on a real host, as a person walks through it: every verb once, with what it prints.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use windlass_model::DeploymentStatus;
use windlass_test_support::{Deployed, TestHost, fixture, scratch, until};

/// A folder with the sample application, and files that must not be deployed.
fn folder(root: &Path) {
    for name in ["package.json", "package-lock.json", "server.js"] {
        std::fs::copy(fixture("plain-node").join(name), root.join(name)).unwrap();
    }
    std::fs::write(root.join(".gitignore"), "*.tmp\nprivate/\n").unwrap();
    std::fs::write(root.join("left.tmp"), "not to be sent").unwrap();
    std::fs::create_dir(root.join("private")).unwrap();
    std::fs::write(root.join("private/key"), "not to be sent").unwrap();
}

#[test]
fn a_person_walks_from_init_to_teardown_on_the_command_line_alone() {
    let host = TestHost::start();
    let scratch = scratch("command-line");
    let root = scratch.path().join("walk");
    std::fs::create_dir(&root).unwrap();
    folder(&root);
    let path = root.to_str().unwrap();

    looks_at_the_folder(&host, path);
    prepares(&host, scratch.path());
    deploys(&host, path);
    reads_what_runs(&host);
    changes_and_goes_back(&host, path);
    let gone = host.cli(&["project", "delete", "walk", "--yes"]);
    assert_eq!(gone.code, 6, "what is live is not deleted: {}", gone.stderr);
    host.finish();
}

/// `doctor`, `plugin list`, `detect`, `init`, `plan`: no project is needed.
fn looks_at_the_folder(host: &TestHost, path: &str) {
    let checks: Value = host.cli_json(&["doctor"]).ok().json();
    assert!(checks.to_string().contains("containerd"), "{checks}");
    let plugins = host.cli(&["plugin", "list"]).ok().stdout;
    assert!(plugins.contains("node") && plugins.contains("static"), "{plugins}");
    assert!(host.cli(&["detect", path]).ok().stdout.contains("package.json"));

    assert!(host.cli(&["init", path]).ok().stdout.contains("windlass.toml"));
    assert_eq!(host.cli(&["init", path]).code, 6, "what is there is not lost");
    let file = Path::new(path).join("windlass.toml");
    std::fs::write(&file, "[broken").unwrap();
    host.cli(&["init", path, "--force"]).ok();
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.contains("name = \"walk\""), "{written}");
    let plan = host.cli(&["plan", path]).ok().stdout;
    assert!(plan.contains("node"), "{plan}");
}

/// Projects, environments, variables, domains and services.
fn prepares(host: &TestHost, scratch: &Path) {
    host.cli(&["project", "create", "walk"]).ok();
    assert_eq!(host.cli(&["project", "create", "walk"]).code, 6);
    assert_eq!(host.cli(&["project", "delete", "nosuch"]).code, 5);
    host.cli(&["environment", "create", "staging", "--project", "walk"]).ok();
    let listed = host.cli(&["environment", "list", "--project", "walk"]).ok().stdout;
    assert!(listed.contains("production") && listed.contains("staging"), "{listed}");
    host.cli(&["environment", "delete", "staging", "--project", "walk", "--yes"]).ok();

    let project = ["--project", "walk"];
    let env = |args: &[&str]| host.cli(&[&["env"], args, &project].concat());
    env(&["set", "GREETING=hello", "EXTRA=1"]).ok();
    let file = scratch.join("variables");
    std::fs::write(&file, "# of the test\nTOKEN='secret value'\n").unwrap();
    env(&["import", file.to_str().unwrap(), "--secret"]).ok();
    env(&["unset", "EXTRA"]).ok();
    assert_eq!(env(&["unset", "EXTRA"]).code, 5);
    assert_eq!(env(&["set", "PORT=http"]).code, 7);
    let list = env(&["list"]).ok().stdout;
    assert!(list.contains("hello") && list.contains("[secret]"), "{list}");
    assert!(!list.contains("secret value") && !list.contains("EXTRA"), "{list}");
    let scope_of = |name: &str| {
        let rows: Value = host.cli_json(&["env", "list", "--project", "walk"]).ok().json();
        let rows = rows.as_array().unwrap().clone();
        rows.iter().find(|row| row["name"] == name).unwrap()["scope"].clone()
    };
    assert_eq!((scope_of("GREETING"), scope_of("TOKEN")), ("both".into(), "run".into()));

    host.cli(&["domain", "add", "walk.example.test", "--project", "walk"]).ok();
    let domains = host.cli(&["domain", "list", "--project", "walk"]).ok().stdout;
    assert!(domains.contains("walk.example.test"), "{domains}");
}

/// A folder goes live; what Git would ignore is not sent.
fn deploys(host: &TestHost, path: &str) {
    let deployed = Deployed::of(&host.cli_json(&["deploy", path])).live();
    let fetched = deployed.view.deployment.outputs.fetched.unwrap();
    assert_eq!(fetched.files, 5, "three files, the settings and .gitignore");
    assert_eq!(host.get("walk.example.test", "/").text(), "v1");
    assert_eq!(host.get("walk.localhost", "/").text(), "v1");
}

/// `status`, `deployments`, `show`, `logs` and `logs -f`.
fn reads_what_runs(host: &TestHost) {
    assert!(host.cli(&["status"]).ok().stdout.contains("ready"));
    let list = host.cli(&["deployments", "--project", "walk"]).ok().stdout;
    assert!(list.contains("#1") && list.contains("live"), "{list}");
    assert_eq!(host.cli(&["deployments", "--project", "walk", "-e", "nosuch"]).code, 5);
    let show = host.cli(&["show", "1", "--project", "walk"]).ok().stdout;
    assert!(show.contains("finish") && show.contains("walk.localhost"), "{show}");
    let logs = host.cli(&["logs", "1", "--project", "walk"]).ok().stdout;
    assert!(logs.contains("listening on"), "{logs}");
    let schedules = host.cli(&["cron", "list", "--project", "walk"]).ok().stdout;
    assert!(schedules.contains("no schedules"), "{schedules}");
    follows(host);
    for shell in ["bash", "zsh", "fish"] {
        assert!(host.cli(&["completions", shell]).ok().stdout.contains("windlass"));
    }
}

/// What the application says while somebody follows its log.
fn follows(host: &TestHost) {
    let mut follow = host
        .cli_command(&["logs", "-f", "1", "--project", "walk"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let listening = lines.any(|line| line.unwrap().contains("listening on"));
    follow.kill().unwrap();
    follow.wait().unwrap();
    assert!(listening, "the log ended before the application's line");
}

/// `redeploy`, a deployment that is not waited for, `cancel`, `rollback`.
fn changes_and_goes_back(host: &TestHost, path: &str) {
    let again = Deployed::of(&host.cli_json(&["redeploy", "--project", "walk"])).live();
    assert_eq!(again.number(), 2);
    let server = Path::new(path).join("server.js");
    let text = std::fs::read_to_string(&server).unwrap().replace("'v1'", "'v2'");
    std::fs::write(&server, text).unwrap();
    host.cli(&["deploy", path, "--no-wait"]).ok();
    until("#3 is live", Duration::from_secs(120), || {
        host.show("walk", 3).deployment.status == DeploymentStatus::Live
    });
    assert_eq!(host.get("walk.localhost", "/").text(), "v2");
    let over = host.cli(&["cancel", "3", "--project", "walk"]);
    assert_eq!(over.code, 6, "{}", over.stderr);
    let back = host.cli_json(&["rollback", "--project", "walk"]);
    Deployed::of(&back).live();
    assert_eq!(host.get("walk.localhost", "/").text(), "v1");
}
