//! What a deployment would be, told before there is one: of a repository and of an archive over the API, of a
//! folder on the command line, with the real plugins.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use windlass_test_support::{GitRepo, TestHost, binary, fixture, scratch, target_dir};

const PLAN: &str = "/v1/projects/shop/environments/production/plan";

/// Nothing of a look is kept, and no deployment was made.
fn assert_nothing_kept(host: &TestHost) {
    for folder in ["work", "uploads", "logs"] {
        let left = std::fs::read_dir(host.data_dir().join(folder)).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{folder}");
    }
    let listed: Value = host.api("GET", "/v1/deployments", None).json();
    assert_eq!(listed["items"], json!([]));
}

/// The sample application is planned, with its migration and its health check.
fn assert_planned(view: &Value) {
    assert_eq!(view["failure"], Value::Null, "{view}");
    assert_eq!(view["detected"]["plugin"], "node");
    assert!(view["detected"]["answers"].as_array().unwrap().len() > 5, "every detector answers");
    let plan = &view["plan"];
    assert!(!plan["stored"]["plan"]["steps"].as_array().unwrap().is_empty());
    assert_eq!(plan["migrations"][0]["tool"], "Procfile", "{plan}");
    assert_eq!(plan["health"]["policy"]["probes"][0]["process"], "web", "{plan}");
}

#[test]
fn a_first_deployment_is_planned_and_nothing_of_it_is_kept() {
    let host = TestHost::start();
    host.cli(&["project", "create", "shop"]).ok();
    let repo = GitRepo::of_fixture("plain-node");
    let answer = host.api("POST", PLAN, Some(&json!({"git_url": repo.url()})));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let view: Value = answer.json();
    assert_planned(&view);
    assert_eq!(view["fetched"]["subject"], "The sample application");
    assert_nothing_kept(&host);

    let dir = scratch("plan");
    let archive = dir.path().join("shop.tar.gz");
    let mut tar = Command::new("tar");
    tar.arg("-czf").arg(&archive).arg("-C").arg(fixture("plain-node")).arg(".");
    assert!(tar.status().unwrap().success());
    let bytes = std::fs::read(&archive).unwrap();
    let path = format!("{PLAN}/archive?name=shop");
    let answer = host.api_raw("POST", &path, "application/octet-stream", Some(&bytes));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_planned(&answer.json());
    assert_nothing_kept(&host);

    let nothing = GitRepo::of_files(&[("notes.txt", "nothing to build")]);
    let answer = host.api("POST", PLAN, Some(&json!({"git_url": nothing.url()})));
    let view: Value = answer.json();
    assert_eq!((answer.status, &view["failure"]["code"]), (200, &json!("detect.no-match")));
    assert_eq!(view["plan"], Value::Null);
    let nowhere = json!({"git_url": repo.url(), "reference": "nowhere"});
    let failure = host.api_failure("POST", PLAN, Some(&nowhere), 400);
    assert_eq!(failure.code, "source.reference-not-found");
    assert_nothing_kept(&host);
    host.finish();
}

/// What the command line says of a folder; no host is there.
fn said(verb: &[&str], folder: &Path) -> String {
    let mut command = Command::new(binary());
    command.args(verb).arg(folder);
    command.env("XDG_CACHE_HOME", target_dir().join("tmp/samples-cache"));
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{verb:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_dockerfile_is_planned_without_its_registry_and_that_is_said() {
    let files = "FROM node:22-slim AS build\nWORKDIR /app\nCOPY . .\nRUN npm ci\n\
                 FROM node:22-slim\nCOPY --from=build /app /app\nHEALTHCHECK CMD node check.js\n\
                 CMD [\"node\", \"/app/server.js\"]\n";
    let folder = scratch("plan-dockerfile");
    std::fs::write(folder.path().join("Dockerfile"), files).unwrap();
    std::fs::write(folder.path().join("server.js"), "").unwrap();
    let text = said(&["plan"], folder.path());
    assert!(text.contains("what the image node:22-slim brings"), "{text}");
    assert!(text.contains("npm ci"), "{text}");
    assert!(text.contains("health: `"), "{text}");
}

#[test]
fn a_plan_names_the_migration_and_init_the_member_of_a_workspace() {
    let text = said(&["plan"], &fixture("plain-node"));
    assert!(text.contains("migration Procfile: node migrate.js"), "{text}");
    assert!(text.contains("health: GET "), "{text}");

    let folder = scratch("init-workspace");
    let copied = Command::new("cp")
        .arg("-rT")
        .arg(fixture("samples/npm-workspace"))
        .arg(folder.path())
        .status();
    assert!(copied.unwrap().success());
    let text = said(&["plan"], folder.path());
    assert!(text.contains("(cache npm at "), "{text}");
    assert!(text.contains("NODE_ENV=production"), "{text}");
    said(&["init", "--project", "shop"], folder.path());
    let written = std::fs::read_to_string(folder.path().join("windlass.toml")).unwrap();
    assert!(written.contains("app_dir = \"apps/api\""), "{written}");
    assert!(written.contains("# [health]"), "{written}");
}
