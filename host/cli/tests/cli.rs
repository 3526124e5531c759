//! The command line against a real local HTTP server that gives known answers.

#![expect(clippy::unwrap_used, reason = "in a test, what fails fails the test")]

mod builds;
mod common;
mod plugins;

use common::{NoRoles, Server, run, run_with};
use windlass_cli::exit::Exit;
use windlass_model::api::{DeploymentView, ErrorBody};
use windlass_model::deployment::{DeploymentStatus, Kind, Source, StepName, StepStatus};
use windlass_model::stage::{Annotation, Tone};
use windlass_model::{Deployment, Failure};

fn view(status: DeploymentStatus) -> DeploymentView {
    let source = Source::Git { url: "https://example.com/me/shop.git".into(), reference: None };
    let mut deployment = Deployment::queued(
        "shop".parse().unwrap(),
        "production".parse().unwrap(),
        7,
        Kind::Deploy,
        source,
        "cli".into(),
    );
    deployment.status = status;
    DeploymentView {
        deployment,
        urls: vec![],
        queue_position: None,
        waiting_for: None,
        pinned: false,
        replayed: false,
        stages: Vec::new(),
        annotations: Vec::new(),
        attached: Vec::new(),
        building: vec![],
        running: None,
    }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap()
}

/// A stream of changes that ends.
fn changes(views: &[&DeploymentView]) -> String {
    let one = |view: &&DeploymentView| format!("event: deployment\ndata: {}\n\n", json(*view));
    views.iter().map(one).collect::<String>() + "event: end\ndata: {}\n\n"
}

fn error(code: &str) -> String {
    json(&ErrorBody { error: Failure::app(code, "it was refused", "a reason", "a remedy") })
}

#[test]
fn each_kind_of_refusal_has_its_exit_code_and_says_what_why_and_fix() {
    let rows = [
        ("400 Bad Request", Exit::BadInput),
        ("401 Unauthorized", Exit::Unauthorized),
        ("403 Forbidden", Exit::Unauthorized),
        ("404 Not Found", Exit::NotFound),
        ("409 Conflict", Exit::Refused),
        ("413 Payload Too Large", Exit::BadInput),
        ("422 Unprocessable Entity", Exit::BadInput),
        ("429 Too Many Requests", Exit::Refused),
        ("503 Service Unavailable", Exit::Unreachable),
    ];
    for (status, exit) in rows {
        let server = Server::json(vec![(status, error("some.code"))]);
        let ran = run(&["--url", &server.url, "project", "list"], "");
        assert_eq!(ran.exit, exit, "{status}");
        assert_eq!(ran.out, "");
        assert_eq!(
            ran.err,
            "error: it was refused\n  why: a reason\n  fix: a remedy\n  code: some.code\n"
        );
        server.finish();
    }
}

#[test]
fn with_json_a_failure_is_the_api_s_error_body_on_standard_output() {
    let server = Server::json(vec![("404 Not Found", error("project.unknown"))]);
    let ran = run(&["--url", &server.url, "--json", "project", "show", "shop"], "");
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::NotFound, ""));
    let body: ErrorBody = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(body.error.code, "project.unknown");
    assert_eq!(server.finish()[0].line, "GET /v1/projects/shop HTTP/1.1");
}

#[test]
fn a_host_that_is_not_there_and_one_that_is_no_windlass_are_told_apart() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = run(&["--url", &format!("http://{free}"), "status"], "");
    assert_eq!(ran.exit, Exit::Unreachable);
    assert!(
        ran.err.contains("code: cli.host-unreachable") && ran.err.contains("windlass serve"),
        "{}",
        ran.err
    );
    for status in ["502 Bad Gateway", "404 Not Found", "401 Unauthorized", "200 OK"] {
        let server = Server::new(vec![(status, "text/html", "<html>".into())]);
        let ran = run(&["--url", &server.url, "status"], "");
        assert_eq!(ran.exit, Exit::Unreachable, "{status}: {}", ran.err);
        assert!(ran.err.contains("code: cli.unexpected-answer"), "{}", ran.err);
        server.finish();
    }
}

#[test]
fn without_a_token_it_says_where_one_was_looked_for_and_how_to_get_one() {
    let data = tempfile::tempdir().unwrap();
    let failure = Failure::app("auth.token-missing", "a token is needed", "none", "make one");
    let server = Server::json(vec![("401 Unauthorized", json(&ErrorBody { error: failure }))]);
    let dir = data.path().to_str().unwrap();
    let ran = run(&["--url", &server.url, "--data-dir", dir, "project", "list"], "");
    assert_eq!(ran.exit, Exit::Unauthorized);
    assert!(ran.err.contains(&format!("there is none in {dir}/token")), "{}", ran.err);
    assert!(ran.err.contains("fix: make one"), "{}", ran.err);
    server.finish();
}

#[test]
fn a_token_is_revoked_by_name_with_the_token_of_who_asks() {
    let answer = r#"{"id":"0123456789ab","name":"ci","scope":"deploy","projects":[],"state":"revoked",
        "created_at":"2026-01-02T03:04:05Z","created_by":"admin"}"#;
    let server = Server::json(vec![("200 OK", answer.to_owned())]);
    let ran = run(&["--url", &server.url, "--token", "mine", "token", "revoke", "ci"], "");
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Ok, "token ci is revoked\n"), "{}", ran.err);
    let sent = server.finish();
    assert_eq!(sent[0].line, "DELETE /v1/tokens/ci HTTP/1.1");
    assert_eq!(sent[0].authorization.as_deref(), Some("Bearer mine"));
}

#[test]
fn a_new_token_goes_to_standard_output_alone() {
    let answer = r#"{"text":"wl_0123_secret","token":{"id":"0123456789ab","name":"ci","scope":"deploy",
        "projects":["shop"],"state":"active","created_at":"2026-01-02T03:04:05Z","created_by":"admin",
        "expires_at":"2026-02-01T03:04:05Z"}}"#;
    let server = Server::json(vec![("201 Created", answer.to_owned())]);
    let args =
        ["token", "create", "ci", "--scope", "deploy", "--project", "shop", "--expires", "30d"];
    let ran = run(&[&["--url", &server.url][..], &args[..]].concat(), "");
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Ok, "wl_0123_secret\n"));
    let said = "ci may deploy in shop until 2026-02-01 03:04:05 UTC";
    assert!(ran.err.contains(said), "{}", ran.err);
    let sent = server.finish();
    let body = String::from_utf8(sent[0].body.clone()).unwrap();
    assert!(body.contains("\"projects\":[\"shop\"]"), "{body}");
    assert!(body.contains("\"expires_in_s\":2592000"), "{body}");
}

#[test]
fn the_token_is_sent_and_the_local_one_is_read_from_the_data_directory() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("token"), "local-token\n").unwrap();
    let dir = data.path().to_str().unwrap();
    let page = r#"{"items":[]}"#;
    let server = Server::json(vec![("200 OK", page.into()), ("200 OK", page.into())]);
    run(&["--url", &server.url, "--data-dir", dir, "project", "list"], "");
    run(&["--url", &server.url, "--data-dir", dir, "--token", "given", "project", "list"], "");
    let seen = server.finish();
    assert_eq!(seen[0].authorization.as_deref(), Some("Bearer local-token"));
    assert_eq!(seen[1].authorization.as_deref(), Some("Bearer given"));
}

#[test]
fn a_git_deployment_is_followed_until_it_is_live() {
    let mut running = view(DeploymentStatus::Running);
    let step = running.deployment.step_mut(StepName::Fetch).unwrap();
    step.status = StepStatus::Cached;
    step.summary = "main at 1a2b3c4".into();
    let mut live = running.clone();
    live.deployment.status = DeploymentStatus::Live;
    live.urls = vec!["http://shop.example.com".into()];
    let server = Server::new(vec![
        ("202 Accepted", "application/json", json(&view(DeploymentStatus::Queued))),
        ("200 OK", "text/event-stream", changes(&[&running, &live])),
    ]);
    let args = [
        "--url",
        &server.url,
        "deploy",
        "https://example.com/me/shop.git",
        "--ref",
        "v2",
        "--git-token-stdin",
    ];
    let ran = run(&args, "s3cret\n");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert!(ran.out.contains("fetch      cached"), "{}", ran.out);
    assert!(
        ran.out.ends_with("shop/production #7 is live\n  http://shop.example.com\n"),
        "{}",
        ran.out
    );
    let seen = server.finish();
    let expected =
        "POST /v1/projects/shop/environments/production/deployments?create=true HTTP/1.1";
    assert_eq!(seen[0].line, expected);
    let body: serde_json::Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(body["git_url"], "https://example.com/me/shop.git");
    assert_eq!((&body["reference"], &body["git_token"]), (&"v2".into(), &"s3cret".into()));
}

#[test]
fn a_failed_deployment_ends_with_its_failure_and_code_1() {
    let mut failed = view(DeploymentStatus::Failed);
    failed.deployment.failure =
        Some(Failure::app("build.command-failed", "it broke", "exit 1", "mend it"));
    let answers = || {
        Server::new(vec![
            ("202 Accepted", "application/json", json(&view(DeploymentStatus::Running))),
            ("200 OK", "text/event-stream", changes(&[&failed])),
        ])
    };
    let server = answers();
    let ran = run(&["--url", &server.url, "-p", "shop", "redeploy"], "");
    assert_eq!(ran.exit, Exit::Failed);
    assert!(
        ran.err.contains(
            "error: it broke\n  why: exit 1\n  fix: mend it\n  code: build.command-failed"
        ),
        "{}",
        ran.err
    );
    assert_eq!(
        server.finish()[0].line,
        "POST /v1/projects/shop/environments/production/redeploy HTTP/1.1"
    );
    let server = answers();
    let ran = run(&["--url", &server.url, "-p", "shop", "--json", "redeploy"], "");
    assert_eq!(ran.exit, Exit::Failed);
    let shown: DeploymentView = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(shown.deployment.failure.unwrap().code, "build.command-failed");
    server.finish();
}

#[test]
fn a_stream_that_breaks_is_taken_up_again() {
    let running = view(DeploymentStatus::Running);
    let live = view(DeploymentStatus::Live);
    let cut = format!("event: deployment\ndata: {}\n\nevent: depl", json(&running));
    let server = Server::new(vec![
        ("202 Accepted", "application/json", json(&running)),
        ("200 OK", "text/event-stream", cut),
        ("503 Service Unavailable", "application/json", error("host.starting")),
        ("200 OK", "text/event-stream", changes(&[&live])),
    ]);
    let ran = run(&["--url", &server.url, "-p", "shop", "redeploy"], "");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert!(ran.err.contains("the deployment goes on there"), "{}", ran.err);
    server.finish();
}

#[test]
fn a_folder_is_sent_as_an_archive() {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("shop");
    std::fs::create_dir(&app).unwrap();
    std::fs::write(app.join("index.html"), "hello").unwrap();
    let server = Server::json(vec![("202 Accepted", json(&view(DeploymentStatus::Queued)))]);
    let path = app.to_str().unwrap();
    let ran = run(&["--url", &server.url, "deploy", path, "--no-wait"], "");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert!(ran.err.starts_with("sending 1 file ("), "{}", ran.err);
    let seen = server.finish().remove(0);
    let expected = "POST /v1/projects/shop/environments/production/deployments/archive?create=true&name=shop HTTP/1.1";
    assert_eq!(seen.line, expected);
    assert_eq!(seen.content_type.as_deref(), Some("application/gzip"));
    assert_eq!(seen.body[..2], [0x1f, 0x8b]);
}

#[test]
fn variables_are_set_together_and_a_secret_can_come_from_standard_input() {
    let server = Server::json(vec![("200 OK", "[]".into())]);
    let args = [
        "--url",
        &server.url,
        "-p",
        "shop",
        "-e",
        "staging",
        "env",
        "set",
        "A=1=2",
        "KEY",
        "-",
        "--secret",
        "--scope",
        "run",
    ];
    let ran = run(&args, "line 1\nline 2\n");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert!(!ran.out.contains("line 1"));
    let seen = server.finish().remove(0);
    assert_eq!(seen.line, "PUT /v1/projects/shop/environments/staging/variables HTTP/1.1");
    let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
    let expected = serde_json::json!({"variables": [
        {"name": "A", "value": "1=2", "scope": "run", "secret": true},
        {"name": "KEY", "value": "line 1\nline 2", "scope": "run", "secret": true},
    ]});
    assert_eq!(body, expected);
}

#[test]
fn settings_are_changed_from_what_is_set_and_again_when_somebody_else_was_faster() {
    let path = "/v1/projects/shop/environments/production/settings HTTP/1.1";
    let answer = |memory: &str, revision: u64| {
        let set = serde_json::json!({"run": {"memory": memory}});
        serde_json::json!({"settings": set, "revision": revision, "values": []}).to_string()
    };
    let server = Server::json(vec![
        ("200 OK", answer("1GiB", 4)),
        ("409 Conflict", error("store.conflict")),
        ("200 OK", answer("2GiB", 5)),
        ("200 OK", answer("2GiB", 6)),
        ("200 OK", answer("2GiB", 6)),
    ]);
    let words = ["--url", &server.url, "-p", "shop", "settings"];
    let set = ["set", "run.replicas=2", "deploy.keep_deployments=long"];
    let ran = run(&[&words[..], &set[..]].concat(), "");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    let ran = run(&[&words[..], &["unset", "run.cpu"]].concat(), "");
    assert_eq!(ran.exit, Exit::NotFound);
    assert!(ran.err.contains("code: cli.setting-not-set"), "{}", ran.err);
    let seen = server.finish();
    let lines: Vec<&str> = seen.iter().map(|one| one.line.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["GET", "PUT", "GET", "PUT", "GET"]);
    assert!(seen.iter().all(|one| one.line.ends_with(path)), "{}", seen[0].line);
    let body: serde_json::Value = serde_json::from_slice(&seen[3].body).unwrap();
    let expected = serde_json::json!({
        "settings": {
            "run": {"memory": "2GiB", "replicas": 2}, "deploy": {"keep_deployments": "long"},
        },
        "revision": 5,
    });
    assert_eq!(body, expected);
}

#[test]
fn bad_variables_are_refused_before_anything_is_sent() {
    let rows: [(&[&str], &str, Exit); 5] = [
        (&["env", "set", "A", "-", "B", "-"], "x", Exit::Usage),
        (&["env", "set", "1A=x"], "", Exit::BadInput),
        (&["env", "set", "A"], "", Exit::Usage),
        (&["env", "import", "-"], "no pair", Exit::BadInput),
        (&["env", "import", "/nonexistent/.env"], "", Exit::BadInput),
    ];
    for (args, stdin, exit) in rows {
        let ran = run(&[&["--url", "http://127.0.0.1:9", "-p", "shop"], args].concat(), stdin);
        assert_eq!(ran.exit, exit, "{args:?}: {}", ran.err);
    }
}

#[test]
fn the_default_route_is_encoded_and_a_number_is_looked_up_in_the_project() {
    let shown = json(&view(DeploymentStatus::Live));
    let server = Server::json(vec![("204 No Content", String::new()), ("200 OK", shown)]);
    let ran = run(&["--url", &server.url, "-p", "shop", "domain", "remove", "*"], "");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    let ran = run(&["--url", &server.url, "-p", "shop", "show", "#7"], "");
    assert!(ran.out.starts_with("shop/production #7  live\n"), "{}", ran.out);
    let seen = server.finish();
    assert_eq!(
        seen[0].line,
        "DELETE /v1/projects/shop/environments/production/domains/%2A HTTP/1.1"
    );
    assert_eq!(seen[1].line, "GET /v1/deployments/7?project=shop HTTP/1.1");
}

#[test]
fn the_newest_deployment_is_shown_with_what_a_page_of_them_leaves_out() {
    let on_page = view(DeploymentStatus::Failed);
    let mut in_full = on_page.clone();
    in_full.annotations.push(Annotation {
        plugin: "gatekeeper".into(),
        name: "licences".into(),
        value: "2 are unknown".into(),
        tone: Tone::Warning,
        url: None,
    });
    let page = format!("{{\"items\":[{}]}}", json(&on_page));
    let server = Server::json(vec![("200 OK", page), ("200 OK", json(&in_full))]);
    let ran = run(&["--url", &server.url, "-p", "shop", "show"], "");
    assert!(ran.out.contains("notes\n") && ran.out.contains("2 are unknown"), "{}", ran.out);
    let expected = format!("GET /v1/deployments/{} HTTP/1.1", on_page.deployment.id);
    assert_eq!(server.finish()[1].line, expected);
}

#[test]
fn logs_are_followed_to_their_end() {
    let shown = view(DeploymentStatus::Live);
    let line =
        r#"{"instance":"web.0","at":"2026-01-02T03:04:05Z","stream":"stdout","text":"ready"}"#;
    let stream = format!("event: log\ndata: {line}\n\nevent: end\ndata: {{}}\n\n");
    let server = Server::new(vec![
        ("200 OK", "application/json", json(&shown)),
        ("200 OK", "text/event-stream", stream),
    ]);
    let id = shown.deployment.id.to_string();
    let ran =
        run(&["--url", &server.url, "logs", &id, "-f", "--instance", "web.0", "--tail", "5"], "");
    assert_eq!(ran.out, "03:04:05.000 web.0     | ready\n");
    let expected =
        format!("GET /v1/deployments/{id}/logs?instance=web.0&tail=5&follow=true HTTP/1.1");
    assert_eq!(server.finish()[1].line, expected);
}

#[test]
fn a_name_without_a_line_in_the_logs_is_said() {
    let shown = view(DeploymentStatus::Live);
    let server = Server::new(vec![
        ("200 OK", "application/json", json(&shown)),
        ("200 OK", "application/x-ndjson", String::new()),
    ]);
    let id = shown.deployment.id.to_string();
    let ran = run(&["--url", &server.url, "logs", &id, "--instance", "web.9"], "");
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Ok, ""));
    assert!(ran.err.contains("no such line of web.9"), "{}", ran.err);
    server.finish();
}

#[test]
fn nothing_is_deleted_unless_it_is_confirmed() {
    let there = r#"{"name":"shop","created_at":"2026-01-02T03:04:05Z","has_git_token":false,"environments":[]}"#;
    let server = Server::json(vec![("200 OK", there.to_owned())]);
    let ran = run(&["--url", &server.url, "project", "delete", "shop"], "");
    assert_eq!(ran.exit, Exit::Refused, "{}", ran.err);
    server.finish();
    let server =
        Server::json(vec![("200 OK", there.to_owned()), ("204 No Content", String::new())]);
    let ran = run(&["--url", &server.url, "--json", "project", "delete", "shop", "--yes"], "");
    assert_eq!(ran.out, "{\n  \"deleted\": \"shop\"\n}\n");
    server.finish();
}

#[test]
fn roles_get_their_options_and_their_failures_an_exit_code() {
    let roles = NoRoles::default();
    let args =
        ["serve", "--data-dir", "/d", "--proxy-listen", "127.0.0.1:1", "--proxy-listen", "[::1]:2"];
    assert_eq!(run_with(&roles, &args, "").exit, Exit::Ok);
    let served = roles.served.lock().unwrap().take().unwrap();
    assert_eq!((served.proxy_listen.len(), served.data_dir.to_str()), (2, Some("/d")));
    assert_eq!(served.api_listen.to_string(), "127.0.0.1:7070");
    assert_eq!(run(&["proxy"], "").exit, Exit::Failed);
    assert_eq!(run(&["detect"], "").exit, Exit::BadInput);
    assert_eq!(run(&["plan", "/nonexistent"], "").exit, Exit::BadInput);
    let ran = run(&["--json", "plan"], "");
    let body: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.exit, &body["failure"]["code"]), (Exit::BadInput, &"detect.no-match".into()));
    assert_eq!(run(&["teardown"], "").exit, Exit::Refused);
    assert_eq!(run(&["teardown", "--yes"], "").exit, Exit::Ok);
    let ran = run(&["doctor"], "");
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.out.contains("fix: apt-get install nftables"), "{}", ran.out);
}

#[test]
fn what_is_not_understood_is_a_usage_error_in_both_forms() {
    let ran = run(&["depoly"], "");
    assert_eq!(ran.exit, Exit::Usage);
    assert!(ran.err.contains("deploy"), "{}", ran.err);
    let ran = run(&["--json", "depoly"], "");
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Usage, ""));
    let body: ErrorBody = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(body.error.code, "cli.usage");
    assert_eq!(run(&["deploy", ".", "--ref", "x", "-p", "a"], "").exit, Exit::Usage);
    assert_eq!(run(&["--url", "nonsense", "status"], "").exit, Exit::Usage);
    assert_eq!(run(&["-p", "Not Valid", "status"], "").exit, Exit::Usage);
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&["completions", shell], "");
        assert!(ran.out.contains("rollback"), "{shell}");
    }
}

#[test]
fn the_help_of_every_verb_is_known() {
    let verbs = [
        "serve",
        "proxy",
        "teardown",
        "doctor",
        "init",
        "detect",
        "plan",
        "deploy",
        "redeploy",
        "rollback",
        "promote",
        "push",
        "save",
        "build",
        "disk",
        "prune",
        "deployments",
        "show",
        "status",
        "explain",
        "logs",
        "cron",
        "cancel",
        "pause",
        "resume",
        "pin",
        "unpin",
        "project",
        "environment",
        "env",
        "settings",
        "domain",
        "service",
        "webhook",
        "preview",
        "plugin",
        "completions",
    ];
    let all = run(&["--help"], "");
    assert_eq!(all.exit, Exit::Ok);
    insta::assert_snapshot!("help", all.out);
    for verb in verbs {
        assert!(all.out.contains(verb), "{verb}");
        let ran = run(&[verb, "--help"], "");
        assert_eq!(ran.exit, Exit::Ok, "{verb}");
        // The common options are the same everywhere; the help of the whole has them.
        let own = ran.out.split("Common options:").next().unwrap();
        let examples = ran.out.split_once("\nExamples:").map_or("", |(_, examples)| examples);
        insta::assert_snapshot!(format!("help_{verb}"), format!("{own}{examples}"));
    }
}

#[test]
fn settings_that_the_host_would_refuse_are_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("windlass.toml"), "name = \"shop\"\n[rum]\n").unwrap();
    std::fs::write(folder.path().join("index.html"), "hello").unwrap();
    // Nobody listens there: a request would end as unreachable.
    let path = folder.path().to_str().unwrap();
    let ran = run(&["--url", "http://127.0.0.1:9", "deploy", path], "");
    assert_eq!(ran.exit, Exit::BadInput, "{}", ran.err);
    assert!(ran.err.contains("settings.unknown-key"), "{}", ran.err);
}

#[test]
fn a_value_behind_its_name_is_not_taken_for_another_variable() {
    for arguments in [&["PORT", "3000"][..], &["NAME", "value"]] {
        let mut all = vec!["--url", "http://127.0.0.1:9", "env", "set", "--project", "shop"];
        all.extend(arguments);
        let ran = run(&all, "");
        assert_eq!(ran.exit, Exit::Usage, "{}", ran.err);
        assert!(ran.err.contains('='), "{}", ran.err);
    }
}

#[test]
fn a_failure_code_is_explained_without_a_host() {
    let nowhere = ["--url", "http://127.0.0.1:9"];
    let ran = run(&[&nowhere[..], &["explain", "check.loopback-only"]].concat(), "");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert!(ran.out.contains("127.0.0.1 only") && ran.out.contains("fix: "), "{}", ran.out);
    let ran = run(&["explain", "acme.no-rocket"], "");
    assert!(ran.out.contains("fix: order <part>"), "a plugin's own: {}", ran.out);

    let ran = run(&["explain", "check.lopback-only"], "");
    assert_eq!(ran.exit, Exit::NotFound);
    assert!(ran.err.contains("windlass explain check.loopback-only"), "{}", ran.err);
    let ran = run(&["--json", "explain"], "");
    let all: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
    assert!(all.len() > 150 && all.iter().any(|known| known["code"] == "acme.no-rocket"));
    let ran = run(&["explain"], "");
    assert!(ran.out.contains("undo.failed"), "{}", ran.out);
}
