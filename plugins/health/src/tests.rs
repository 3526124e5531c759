use windlass_sdk::health::{Observation, Outcome, Probe, Process, Verdict};
use windlass_sdk::testing::Harness;
use windlass_sdk::{Detection, Health, HealthCheck, health};

use super::Default;

/// A folder with nothing in it.
fn harness(settings: &str) -> Harness {
    Harness::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).settings(settings)
}

/// The paths that are tried in an application with these files.
fn tried(ecosystem: &str, files: &[(&str, &str)], settings: &str) -> Vec<String> {
    let chosen = Detection::new("x", "x", ecosystem);
    let harness = Harness::with_files(files).settings(settings);
    let policy = harness.policy::<Default>(&chosen, &[web()]).unwrap();
    let path = |probe: &Probe| match probe {
        Probe::Http(http) => http.path.clone(),
        other => format!("{other:?}"),
    };
    policy.probes.iter().map(path).collect()
}

#[track_caller]
fn first(ecosystem: &str, files: &[(&str, &str)], path: &str) {
    let all = tried(ecosystem, files, "{}");
    assert_eq!(all[0], path, "{files:?}");
    assert_eq!(all.last().unwrap(), "/", "a wrong guess must not be the only one");
    let mut unique = all.clone();
    unique.dedup();
    assert_eq!(unique, all);
}

#[test]
fn frameworks_say_where_they_are_asked() {
    let routes = |line: &'static str| [("config/routes.rb", line)];
    first(
        "ruby",
        &routes("  get \"up\" => \"rails/health#show\", as: :rails_health_check\n"),
        "/up",
    );
    first("ruby", &routes("  # get \"up\" => \"rails/health#show\"\n"), "/health");
    let laravel = [("bootstrap/app.php", "->withRouting(\n        health: '/up',\n    )")];
    first("php", &laravel, "/up");
    let app = |arguments: &str| {
        let text = format!("<?php\n->withRouting({arguments})\n");
        tried("php", &[("bootstrap/app.php", &text)], "{}").remove(0)
    };
    assert_eq!(app("web: __DIR__.'/../routes/web.php', health: '/well'"), "/well");
    assert_eq!(app("\n  commands: 'x', health: \"well\",\n"), "/well");
    assert_eq!(app("\n  // health: '/well',\n"), "/health");
    assert_eq!(app("health: env('HEALTH', '/well')"), "/health");
    assert_eq!(app("app_health: '/well'"), "/health");
    let actuator = ("pom.xml", "<artifactId>spring-boot-starter-actuator</artifactId>");
    first("java", &[actuator], "/actuator/health");
    let settings = "src/main/resources/application.yml";
    let moved = "server:\n  servlet:\n    context-path: /shop\nmanagement:\n  endpoints:\n    web:\n      base-path: \"/manage\"\n";
    first("java", &[actuator, (settings, moved)], "/shop/manage/health");
    let other_port = "management:\n  server:\n    port: 9000\n";
    first("java", &[actuator, (settings, other_port)], "/health");
    let quarkus = ("build.gradle.kts", "implementation(\"io.quarkus:quarkus-smallrye-health\")");
    first("kotlin", &[quarkus], "/q/health");
    first(
        "java",
        &[("build.gradle", "implementation 'io.micronaut:micronaut-management'")],
        "/health",
    );
    first(
        "node",
        &[("package.json", "{\n\"dependencies\":{\"@strapi/strapi\":\"5\"}}")],
        "/_health",
    );
}

#[test]
fn routes_of_the_application_are_found() {
    first("dotnet", &[("Shop/Program.cs", "app.MapHealthChecks(\"/healthz\");")], "/healthz");
    first("go", &[("main.go", "\tmux.HandleFunc(\"GET /ready\", ready)")], "/ready");
    first("go", &[("cmd/api/main.go", "r.GET(\"/ping\", pong)")], "/ping");
    first(
        "node",
        &[("src/index.ts", "app.get('/api/health', (c) => c.text('ok'))")],
        "/api/health",
    );
    first("python", &[("app/main.py", "@app.get(\"/healthcheck\")")], "/healthcheck");
    first("python", &[("shop/urls.py", "    path('ready/', views.ready),")], "/ready");
    first("rust", &[("src/main.rs", "    .route(\"/livez\", get(|| async {}))")], "/livez");
    first("elixir", &[("lib/shop_web/router.ex", "  get \"/up\", UpController, :index")], "/up");
    first("node", &[("app/api/health/route.ts", "export function GET() {}")], "/api/health");
    first("node", &[("server/routes/healthz.get.ts", "")], "/healthz");
    first("node", &[("src/routes/ping/+server.ts", "")], "/ping");
    // The likelier one of two, wherever it stands.
    let two = [("a.js", ""), ("server.js", "app.get('/ping', p)\napp.get('/healthz', h)")];
    first("node", &two, "/healthz");
}

#[test]
fn routes_of_the_member_that_was_chosen_are_found() {
    let route = ("apps/web/app/api/health/route.ts", "export function GET() {}");
    let harness = Harness::with_files(&[route]).settings("{}");
    let paths = |chosen: &Detection| {
        let policy = harness.policy::<Default>(chosen, &[web()]).unwrap();
        format!("{:?}", policy.probes)
    };
    let chosen = Detection::new("nextjs", "Next.js", "node");
    assert!(!paths(&chosen).contains("/api/health"));
    assert!(paths(&chosen.app_dir("apps/web")).contains("/api/health"));
}

#[test]
fn routes_of_a_program_that_is_not_run_do_not_count() {
    let files = [
        ("api/main.go", "\tr.GET(\"/ping\", pong)"),
        ("worker/main.go", ""),
        ("internal/web/routes.go", "\tr.GET(\"/ready\", ready)"),
    ];
    let first = |program: &str| {
        let chosen = Detection::new("go", "Go", "go").evidence(program, "package main");
        let harness = Harness::with_files(&files).settings("{}");
        let policy = harness.policy::<Default>(&chosen, &[web()]).unwrap();
        let Probe::Http(first) = &policy.probes[0] else { panic!("{policy:?}") };
        first.path.clone()
    };
    assert_eq!(first("worker/main.go"), "/ready");
    let both = [files[0], files[1]];
    assert_eq!(tried("go", &both, "{}")[0], "/ping", "nothing says which is run");
    let api = Harness::with_files(&both).settings("{}");
    let chosen = Detection::new("go", "Go", "go").evidence("api/main.go", "package main");
    let policy = api.policy::<Default>(&chosen, &[web()]).unwrap();
    assert!(matches!(&policy.probes[0], Probe::Http(http) if http.path == "/ping"));
}

#[test]
fn the_sign_is_named_from_the_root_of_the_source() {
    let route = ("apps/api/src/index.ts", "app.get('/ready', ready)\n");
    let harness = Harness::with_files(&[route]).settings("{}");
    let chosen = Detection::new("express", "Express", "node").app_dir("apps/api");
    let (_, log) = harness.run(|source| {
        <Default as Health>::policy_for(&harness.context, source, &chosen, &[web()]).unwrap()
    });
    let said = "asked first at /ready: apps/api/src/index.ts line 1: app.get('/ready', ready)";
    assert_eq!(log.into_iter().map(|(_, line)| line).collect::<Vec<_>>(), [said]);
}

#[test]
fn what_only_looks_like_a_route_is_none() {
    for line in [
        "const answer = await fetch('/ready');",
        "await axios.get('/ping');",
        "// app.get('/ready', x)",
        "const path = '/ready';",
        "app.post('/ready', x)",
    ] {
        first("node", &[("server.js", line)], "/health");
    }
    first("node", &[("node_modules/x/server.js", "app.get('/ready')")], "/health");
}

#[test]
fn a_path_that_was_set_is_the_only_one() {
    let files = [("server.js", "app.get('/ready', x)")];
    assert_eq!(tried("node", &files, r#"{"health":{"path":"/set"}}"#), ["/set"]);
    let others = [files[0], ("railway.json", r#"{"deploy":{"healthcheckPath":"/theirs"}}"#)];
    assert_eq!(tried("node", &others, "{}"), ["/theirs"]);
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
    assert!(matches!(&policy.probes[..], [Probe::Command(asked)] if asked.argv[0] == "/bin/sh"));
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
    // Django refuses the host name `localhost`: it answers, and nobody named a path.
    assert_eq!(verdict(Outcome::Status(400)), Verdict::Pass);
    assert_eq!(verdict(Outcome::Status(500)), Verdict::Wait);
    assert!(matches!(verdict(Outcome::Exited(1)), Verdict::Fail(_)));
}
