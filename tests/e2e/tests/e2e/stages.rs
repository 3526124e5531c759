//! Custom stages: a real component at every hook of the pipeline, and what the host does for it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use windlass_model::api::DeploymentView;
use windlass_model::plugin::Hook;
use windlass_model::stage::{StageRun, StageStatus};
use windlass_model::{DeploymentStatus, StepName};
use windlass_test_support::outside::{OutsideServer, Page};
use windlass_test_support::{GitRepo, HostOptions, NameServer, Server, TestHost, guest, wait_for};

use crate::observe::processes;

const PROJECT: &str = "staged";
const HOST: &str = "staged.localhost";
const SOON: Duration = Duration::from_secs(30);
/// Everything that the plugin asks for; what is on this machine only by the name `localhost`.
const GRANTS: &str = r#"[
    {"name": "source", "paths": ["**"]},
    {"name": "exec", "outputs": ["*"]},
    {"name": "http", "hosts": ["*"], "methods": ["GET"], "private": ["localhost"]},
    {"name": "variables", "names": ["*"]},
    {"name": "secrets", "names": ["*"]},
    {"name": "artifacts", "bytes_max": 1048576},
    {"name": "cache", "bytes_max": 65536},
    {"name": "annotations"}
]"#;

/// A host with the plugin, and a small application.
fn world(pause_ms: i64) -> (TestHost, GitRepo) {
    let options = HostOptions::default().limit("stages.exec_wall_ms", 20_000);
    world_with(options.limit("stages.pause_ms", pause_ms))
}

/// The same with these limits.
fn world_with(options: HostOptions) -> (TestHost, GitRepo) {
    let host = TestHost::start_with(options.limit("stop_grace_s", 3));
    let file = guest::stages();
    host.cli(&["plugin", "install", file.to_str().unwrap(), "--grant", GRANTS]).ok();
    (host, GitRepo::of_fixture("plain-node"))
}

/// Commits these settings.
fn set(repo: &GitRepo, settings: &str) {
    repo.write("windlass.toml", settings);
    repo.commit("Other stages");
}

fn stage<'a>(view: &'a DeploymentView, name: &str) -> &'a StageRun {
    let found = view.stages.iter().find(|stage| stage.stage == name);
    found.unwrap_or_else(|| panic!("no stage {name} in {:#?}", view.stages))
}

#[test]
fn stages_run_at_every_hook_pass_on_what_they_found_and_leave_an_artifact() {
    let (host, repo) = world(100);
    set(
        &repo,
        r#"
        [[stages]]
        plugin = "test-stages"
        stage = "report"
        [[stages]]
        plugin = "test-stages"
        stage = "inspect"
        [[stages]]
        plugin = "test-stages"
        stage = "gate"
        [[stages]]
        plugin = "test-stages"
        stage = "tell"
        options = { failures = 1 }
        "#,
    );
    host.deploy_git(PROJECT, &repo, &[]).live();
    let view = host.wait_stages(PROJECT, 1);
    let names: Vec<(&str, Hook, StageStatus)> =
        view.stages.iter().map(|it| (it.stage.as_str(), it.hook, it.status)).collect();
    let done = StageStatus::Succeeded;
    assert_eq!(
        names,
        [
            ("inspect", Hook::AfterFetch, done),
            ("report", Hook::AfterBuild, done),
            ("gate", Hook::BeforeSwitch, done),
            ("tell", Hook::AfterSwitch, done),
        ]
    );
    let counted = stage(&view, "inspect").summary.clone();
    assert_eq!(stage(&view, "report").summary, format!("#1 has {counted}, after none"));
    assert!(stage(&view, "gate").summary.contains(":3000"), "{:#?}", view.stages);
    assert_eq!(stage(&view, "tell").attempt, 2, "{:#?}", view.stages);
    assert_eq!(view.annotations[0].value, counted.split(' ').next().unwrap());

    let attached = &view.attached[0];
    assert_eq!((attached.name.as_str(), attached.plugin.as_str()), ("files.txt", guest::STAGES));
    let fetched = String::from_utf8(host.attached(PROJECT, 1, "files.txt")).unwrap();
    assert_eq!(fetched, format!("#1 has {counted}, after none\n"));
    // With a number and without: it is the newest.
    for which in [&["show", "1", "--project", PROJECT][..], &["show", "--project", PROJECT]] {
        let shown = host.cli(which).ok().stdout;
        for part in ["before-switch", "test-stages.gate", "files.txt", "Files of the source"] {
            assert!(shown.contains(part), "{which:?}: {shown}");
        }
    }
    let log = host.cli(&["logs", "--step", "finish", "1", "--project", PROJECT]).ok().stdout;
    assert!(log.contains("is tried again") && log.contains("succeeded"), "{log}");
    let events = host.cli(&["events", "--json"]).ok().stdout;
    assert_eq!(events.matches("stage.succeeded").count(), 4, "{events}");

    // The cache of the plugin outlives the deployment, and one that is pruned takes its files along.
    repo.write("another.txt", "");
    repo.commit("One file more");
    host.deploy_git(PROJECT, &repo, &[]).live();
    let second = host.wait_stages(PROJECT, 2);
    assert!(
        stage(&second, "report")
            .summary
            .ends_with(&format!("after {}", counted.split(' ').next().unwrap()))
    );
    host.finish();
}

#[test]
fn branches_run_at_the_same_time_and_what_joins_them_after_both() {
    // Long for a busy machine: only where one branch waits for the other's end it is ever reached.
    let (host, repo) = world_with(HostOptions::default().limit("stages.http_timeout_ms", 120_000));
    let port = meeting(&["/left", "/right"]);
    let entry = |stage: &str| format!("[[stages]]\nplugin = 'test-stages'\nstage = '{stage}'\n");
    let branch = |stage: &str| {
        let options = format!("options = {{ url = 'http://localhost:{port}/{stage}' }}\n");
        entry(stage) + &options
    };
    set(&repo, &[entry("join"), branch("left"), branch("right"), entry("inspect")].concat());
    host.deploy_git(PROJECT, &repo, &[]).live();
    let view = host.wait_stages(PROJECT, 1);
    for name in ["left", "right"] {
        let said = format!("200 from http://localhost:{port}/{name}: all are here");
        assert_eq!(stage(&view, name).summary, said);
    }
    let (root, join) = (stage(&view, "inspect"), stage(&view, "join"));
    assert_eq!(join.summary, "after left and right");
    for name in ["left", "right"] {
        let branch = stage(&view, name);
        assert!(root.ended_at <= branch.started_at && branch.ended_at <= join.started_at);
    }
    host.finish();
}

/// The port of a server that answers nobody before all of these paths were asked for.
fn meeting(paths: &'static [&'static str]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut waiting = BTreeMap::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let n = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..n]).into_owned();
            waiting.insert(head.split(' ').nth(1).unwrap_or_default().to_owned(), stream);
            if paths.iter().all(|path| waiting.contains_key(*path)) {
                for mut stream in std::mem::take(&mut waiting).into_values() {
                    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n\r\nall are here";
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            }
        }
    });
    port
}

#[test]
fn a_stage_that_fails_fails_its_deployment_or_warns_as_it_is_set() {
    let (host, repo) = world(100);
    let gate = |shut: bool, on_failure: &str| {
        format!(
            "[[stages]]\nplugin = 'test-stages'\nstage = 'gate'\non_failure = '{on_failure}'\n\
             options = {{ shut = {shut} }}\n\
             [[stages]]\nplugin = 'test-stages'\nstage = 'tell'\nwhen = 'always'\n"
        )
    };
    set(&repo, &gate(true, "warn"));
    let warned = host.deploy_git(PROJECT, &repo, &[]);
    warned.live();
    let view = host.wait_stages(PROJECT, 1);
    assert_eq!(stage(&view, "gate").status, StageStatus::Warned);
    let warnings = &view.deployment.warnings;
    assert!(warnings.iter().any(|it| it.code == "test-stages.gate-shut"), "{warnings:#?}");
    let text = host.get(HOST, "/").text();

    set(&repo, &gate(true, "fail"));
    let failure = host.deploy_git(PROJECT, &repo, &[]).failed("test-stages.gate-shut");
    assert_eq!(failure.step, Some(StepName::Check), "{failure:#?}");
    assert!(failure.what.contains("test-stages.gate at before-switch"), "{failure:#?}");
    assert!(failure.fix.contains("shut = false"), "{failure:#?}");
    assert_eq!(host.get(HOST, "/").text(), text, "the version before serves");
    let view = host.wait_stages(PROJECT, 2);
    assert_eq!(view.deployment.status, DeploymentStatus::Failed);
    assert_eq!(stage(&view, "tell").summary, "told of #2 as State::Failed");

    // What cannot be carried out is refused before anything is done.
    set(&repo, "[[stages]]\nplugin = 'test-stages'\nstage = 'report'\n");
    let failure = host.deploy_git(PROJECT, &repo, &[]).failed("stages.need-unmet");
    assert_eq!(failure.step, Some(StepName::Preflight), "{failure:#?}");
    set(&repo, "[[stages]]\nplugin = 'nobody'\n");
    host.deploy_git(PROJECT, &repo, &[]).failed("plugin.missing");
    host.finish();
}

#[test]
fn a_stage_that_was_granted_less_of_the_source_says_so_and_a_changed_grant_is_among_what_changed() {
    let host = TestHost::start();
    let grant = |paths: &str| format!(r#"[{{"name":"source","paths":["{paths}"]}}]"#);
    let (file, pems) = (guest::stages(), grant("**/*.pem"));
    host.cli(&["plugin", "install", file.to_str().unwrap(), "--grant", &pems]).ok();
    let repo = GitRepo::of_files(&[("index.html", "<p>Hello</p>\n"), ("a.key", "of a.key")]);
    set(&repo, "[[stages]]\nplugin = 'test-stages'\nstage = 'inspect'\n");
    let first = host.deploy_git(PROJECT, &repo, &[]).live();
    let summary = &stage(&first.view, "inspect").summary;
    assert_eq!(summary, "0 files; it sees only **/*.pem of the source: granted so");
    let shown = host.cli(&["show", "1", "--project", PROJECT]).ok().stdout;
    assert!(shown.contains("it sees only **/*.pem of the source"), "{shown}");

    let all = grant("**");
    host.cli(&["plugin", "grant", guest::STAGES, &all]).ok();
    let second = host.deploy_git(PROJECT, &repo, &[]).live();
    let summary = &stage(&second.view, "inspect").summary;
    assert!(summary.ends_with(" files") && summary != "0 files", "{summary}");
    let changes = host.show(PROJECT, 2).deployment.changes.unwrap();
    let [change] = changes.grants.as_slice() else { panic!("{changes:#?}") };
    assert_eq!(change.name, guest::STAGES);
    assert_eq!(change.from.as_deref(), Some("source: **/*.pem"), "{changes:#?}");
    assert_eq!(change.to.as_deref(), Some("source: **"), "{changes:#?}");

    // What it may not read is refused as what it is, and counted.
    let reads = "[[stages]]\nplugin = 'test-stages'\nstage = 'act'\nat = 'after-fetch'\n\
                 options = { read = 'a.key' }\n";
    set(&repo, reads);
    let third = host.deploy_git(PROJECT, &repo, &[]).live();
    assert_eq!(stage(&third.view, "act").summary, "of a.key");
    host.cli(&["plugin", "grant", guest::STAGES, &pems]).ok();
    let failure = host.deploy_git(PROJECT, &repo, &[]).failed("plugin.not-granted");
    assert!(failure.why.contains("a.key") && failure.why.contains("**/*.pem"), "{failure:#?}");
    let stats: serde_json::Value = host.cli_json(&["plugin", "stats", guest::STAGES]).ok().json();
    let denied = |row: &serde_json::Value| row["host_calls"]["denied"].as_u64();
    let rows = stats["plugins"].as_array().unwrap();
    assert_eq!(rows.iter().filter_map(denied).sum::<u64>(), 1, "{stats:#}");
    let shown = host.cli(&["show", "4", "--project", PROJECT]).ok().stdout;
    let told =
        |line: &str| line.contains("granted") && line.contains("source: ** -> source: **/*.pem");
    assert!(shown.lines().any(told), "{shown}");
    host.finish();
}

#[test]
fn a_plugin_that_cannot_run_a_stage_is_said_with_what_is_to_be_changed() {
    let (host, repo) = world(100);
    let refused = |plugin: &str, on_failure: &str, code: &str| {
        set(&repo, &format!("[[stages]]\nplugin = '{plugin}'\non_failure = '{on_failure}'\n"));
        let failure = host.deploy_git(PROJECT, &repo, &[]).failed(code);
        assert_eq!(failure.step, Some(StepName::Preflight), "{failure:#?}");
        assert!(failure.why.contains("`[[stages]]` in windlass.toml"), "{failure:#?}");
        let is_warned = failure.why.contains("`on_failure = \"warn\"` lets a stage pass that ran");
        assert_eq!(is_warned, on_failure == "warn", "{failure:#?}");
        failure
    };
    let mistyped = refused("test-stage", "warn", "plugin.missing");
    assert!(mistyped.fix.contains("write `plugin = \"test-stages\"`"), "{mistyped:#?}");
    let other = refused("node", "fail", "plugin.stage-not-filled");
    assert!(other.what.contains("no custom stage"), "{other:#?}");
    host.cli(&["plugin", "disable", "test-stages", "--project", PROJECT]).ok();
    let disabled = refused("test-stages", "fail", "plugin.missing");
    let enable = format!("windlass plugin enable test-stages --project {PROJECT}");
    assert!(disabled.fix.contains(&enable), "{disabled:#?}");
    host.finish();
}

#[test]
fn commands_of_a_stage_run_in_a_container_of_the_deployment_and_see_what_was_granted() {
    let (host, repo) = world(100);
    host.cli(&["project", "create", PROJECT]).ok();
    host.cli(&["env", "set", "TOKEN=hunter2-token", "--secret", "--project", PROJECT]).ok();
    host.cli(&["env", "set", "PLAIN=in the clear", "--project", PROJECT]).ok();
    let run_with = |script: &str, variables: &str, more: &str| {
        set(
            &repo,
            &format!(
                "[[stages]]\nplugin = 'test-stages'\nstage = 'act'\nat = 'before-switch'\n\
                 on_failure = 'warn'\n[stages.options]\ncommand = ['sh', '-c', '''{script}''']\n\
                 variables = {variables}\n{more}\n"
            ),
        );
        let deployed = host.deploy_git(PROJECT, &repo, &[]);
        let deployed = deployed.live();
        let view = host.wait_stages(PROJECT, deployed.number());
        stage(&view, "act").summary.clone()
    };
    let run = |script: &str, variables: &str, lines: bool| {
        run_with(script, variables, &format!("lines = {lines}"))
    };
    let script = "echo $TOKEN $PLAIN $WINDLASS_PROJECT; exit 3";
    assert_eq!(run(script, "['TOKEN', 'PLAIN']", false), "3: [secret] in the clear staged");
    assert_eq!(run("echo x$TOKEN$PLAIN", "[]", false), "0: x", "only what it names");
    assert_eq!(
        run("echo one; sleep 0.3; echo two >&2; sleep 0.3; echo three", "[]", true),
        "0: one|two|three"
    );
    let said = run("true", "['ABSENT']", false);
    assert!(said.contains("ABSENT is not granted, or not set"), "{said}");
    let said = run("sleep 600", "[]", false);
    assert_eq!(said, "137 at its time: ", "ended at the limit of the host");

    // All of it, more than a pipe holds, and then its end.
    let read = |script: &str, text: &str, times: usize| {
        run_with(script, "[]", &format!("stdin = '{text}'\nstdin_times = {times}"))
    };
    assert_eq!(read("cat", "0123456789abcdef", 1), "0: 0123456789abcdef");
    assert_eq!(read("wc -c", "0123456789abcdef", 5_000), "0: 80000");
    assert_eq!(
        read("exit 4", "0123456789abcdef", 5_000),
        "4: ",
        "what is not read holds nobody up"
    );
    assert_eq!(read("cat", "", 1), "0: ", "nothing, and its end");
    let logs = host.cli(&["logs", "--step", "check", "1", "--project", PROJECT]).ok().stdout;
    assert!(!logs.contains("hunter2"), "{logs}");
    host.finish();
}

#[test]
fn requests_of_a_stage_reach_what_was_granted_and_nothing_inside() {
    let (host, repo) = world(100);
    let server = Server::answering(|_, _| (200, "hello"));
    let port = server.port();
    let fetch = |url: &str| {
        set(
            &repo,
            &format!(
                "[[stages]]\nplugin = 'test-stages'\nstage = 'act'\nat = 'after-fetch'\n\
                 on_failure = 'warn'\n[stages.options]\nurl = '{url}'\n"
            ),
        );
        let deployed = host.deploy_git(PROJECT, &repo, &[]);
        let deployed = deployed.live();
        stage(&host.wait_stages(PROJECT, deployed.number()), "act").summary.clone()
    };
    let url = format!("http://localhost:{port}/");
    assert_eq!(fetch(&url), format!("200 from {url}: hello"));
    let said = fetch(&format!("http://127.0.0.1:{port}/"));
    assert!(said.contains("not of the public internet"), "{said}");
    let said = fetch("http://169.254.169.254/latest/meta-data/");
    assert!(said.contains("not of the public internet"), "{said}");
    host.finish();
}

#[test]
fn nothing_inside_is_reached_in_any_notation_or_by_a_redirect_from_what_was_granted() {
    let (host, repo) = world(100);
    // What was granted by its name leads elsewhere, as its path says.
    let (gate, inside) = (TcpListener::bind("127.0.0.1:0").unwrap(), Inside::listen());
    let port = gate.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in gate.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let n = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..n]).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let location = path.strip_prefix("/to/").unwrap_or("/");
            let _ = stream.write_all(
                format!(
                    "HTTP/1.1 302 Found\r\nlocation: http://{location}\r\ncontent-length: 0\r\n\
                     connection: close\r\n\r\n"
                )
                .as_bytes(),
            );
        }
    });
    let own = inside.port;
    let inside_of = [
        format!("127.0.0.1:{own}/"),
        format!("2130706433:{own}/"),
        format!("0x7f.1:{own}/"),
        format!("0177.0.0.1:{own}/"),
        format!("0.0.0.0:{own}/"),
        format!("[::1]:{own}/"),
        format!("[::ffff:127.0.0.1]:{own}/"),
        format!("[::ffff:7f00:1]:{own}/"),
        format!("[64:ff9b::7f00:1]:{own}/"),
        "169.254.169.254/latest/meta-data/".to_owned(),
        "[::ffff:169.254.169.254]/".to_owned(),
        "10.0.0.1/".to_owned(),
        "172.16.0.1/".to_owned(),
        "192.168.0.1/".to_owned(),
        "100.64.0.1/".to_owned(),
        "[fd00::1]/".to_owned(),
        "[fe80::1]/".to_owned(),
    ];
    let straight = inside_of.iter().map(|at| format!("http://{at}"));
    let redirected = inside_of.iter().map(|at| format!("http://localhost:{port}/to/{at}"));
    let urls: Vec<String> = straight.chain(redirected).collect();
    let listed = urls.iter().map(|url| format!("'{url}'")).collect::<Vec<_>>().join(", ");
    set(
        &repo,
        &format!(
            "[[stages]]\nplugin = 'test-stages'\nstage = 'act'\nat = 'after-fetch'\n\
             on_failure = 'warn'\n[stages.options]\nurls = [{listed}]\n"
        ),
    );
    let deployed = host.deploy_git(PROJECT, &repo, &[]);
    let deployed = deployed.live();
    let view = host.wait_stages(PROJECT, deployed.number());
    let said = &stage(&view, "act").summary;
    let ends: Vec<&str> = said.split(' ').collect();
    assert_eq!(ends.len(), urls.len(), "{said}");
    for (url, end) in urls.iter().zip(ends) {
        assert_eq!(end, "denied", "{url}");
    }
    assert_eq!(inside.asked(), 0, "nobody knocked there");
    host.finish();
}

#[test]
fn a_name_that_leads_inside_at_the_next_look_is_not_followed() {
    const NAME: &str = "rebind.windlass.test";
    let inside = Inside::listen();
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visits);
    let outside = OutsideServer::start_public(inside.port, move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Page::File(b"from outside")
    });
    let IpAddr::V4(public) = outside.address.ip() else { panic!("{outside:?}") };
    // The look behind the check is what a rebinding name waits for.
    let names = NameServer::start(NAME, vec![public, Ipv4Addr::LOCALHOST]);
    let options = HostOptions { name_server: Some(names.address), ..HostOptions::default() };
    let (host, _) = world_with(options);
    let repo = GitRepo::of_files(&[("index.html", "<p>A site</p>\n")]);
    let url = format!("http://{NAME}:{}/", inside.port);
    set(
        &repo,
        &format!(
            "[[stages]]\nplugin = 'test-stages'\nstage = 'act'\nat = 'after-fetch'\n\
             on_failure = 'warn'\n[stages.options]\nurls = ['{url}', '{url}', '{url}']\n"
        ),
    );
    let deployed = host.deploy_git(PROJECT, &repo, &[]).live();
    let view = host.wait_stages(PROJECT, deployed.number());
    assert_eq!(stage(&view, "act").summary, "200 denied denied");
    assert_eq!(names.asked(), 3, "each request looks once");
    assert_eq!(visits.load(Ordering::SeqCst), 1);
    assert_eq!(inside.asked(), 0, "nobody knocked there");
    host.finish();
}

/// Something on this machine that nobody was granted.
struct Inside {
    port: u16,
    asked: Arc<AtomicUsize>,
}

impl Inside {
    /// Listens on every address of the machine, old and new.
    fn listen() -> Self {
        let listener = TcpListener::bind("[::]:0");
        let listener = listener.or_else(|_| TcpListener::bind("0.0.0.0:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for _ in listener.incoming() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { port, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[test]
fn a_background_stage_goes_on_after_the_control_plane_was_killed() {
    let (mut host, repo) = world(3_000);
    set(
        &repo,
        "[[stages]]\nplugin = 'test-stages'\nstage = 'tell'\n[stages.options]\nfailures = 1\n",
    );
    host.deploy_git(PROJECT, &repo, &[]).live();
    host.wait_deployment(PROJECT, 1, "the first try has failed", SOON, |view| {
        stage(view, "tell").again_at.is_some()
    });
    host.kill9_serve();
    host.restart();
    let view = host.wait_stages(PROJECT, 1);
    let tell = stage(&view, "tell");
    assert_eq!((tell.status, tell.attempt), (StageStatus::Succeeded, 2), "{tell:#?}");
    assert_eq!(tell.summary, "told of #1 as State::Live");
    host.finish();
}

#[test]
fn a_stage_in_the_background_is_ended_at_its_time_with_what_it_has_started() {
    let options = HostOptions::default()
        .limit("stages.background_s", 8)
        .limit("stages.tries_max", 2)
        .limit("stages.pause_ms", 100);
    let (host, repo) = world_with(options);
    // A length of sleep that no other test has.
    let nap = (2_000_000 + std::process::id()).to_string();
    set(
        &repo,
        &format!(
            "[[stages]]\nplugin = 'test-stages'\nstage = 'act'\nat = 'after-switch'\n\
             [stages.options]\ncommand = ['sleep', '{nap}']\n"
        ),
    );
    host.deploy_git(PROJECT, &repo, &[]).live();
    let naps = || processes(&["sleep", &nap]);
    wait_for("its command runs", SOON, || {
        if naps().is_empty() { Err("no process sleeps".to_owned()) } else { Ok(()) }
    });
    let view = host.wait_stages(PROJECT, 1);
    let act = stage(&view, "act");
    assert_eq!((act.status, act.attempt), (StageStatus::Failed, 2), "{act:#?}");
    let failure = act.failure.as_ref().unwrap();
    assert_eq!(failure.code, "stages.deadline", "{failure:#?}");
    assert!(failure.what.contains("test-stages.act at after-switch"), "{failure:#?}");
    assert!(failure.fix.contains("stages.background_s"), "{failure:#?}");
    assert!(naps().is_empty(), "its command outlived it: {:?}", naps());
    assert_eq!(view.deployment.status, DeploymentStatus::Live);
    host.finish();
}

#[test]
fn a_call_of_a_stage_sends_no_more_requests_than_the_limit_says() {
    let (host, repo) = world_with(HostOptions::default().limit("stages.http_requests_max", 2));
    let server = Server::answering(|_, _| (200, "hello"));
    let url = format!("http://localhost:{}/", server.port());
    set(
        &repo,
        &format!(
            "[[stages]]\nplugin = 'test-stages'\nstage = 'act'\nat = 'after-fetch'\n\
             [stages.options]\nurls = ['{url}', '{url}', '{url}']\n"
        ),
    );
    host.deploy_git(PROJECT, &repo, &[]).live();
    let view = host.wait_stages(PROJECT, 1);
    let said = &stage(&view, "act").summary;
    assert!(said.starts_with("200 200 ") && said.ends_with("OverLimit"), "{said}");
    host.finish();
}
