//! What runs after going live: supervision, replicas, stop and start, restart, maintenance, `recreate` and
//! volumes.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;
use windlass_model::api::Page;
use windlass_model::running::{
    EnvironmentEvent, EventKind, InstanceState, LiveInstance, RunState, RunningView, VolumeView,
};
use windlass_model::stats::Stats;
use windlass_model::{DeploymentStatus, Failure};
use windlass_test_support::host::kill;
use windlass_test_support::{
    GitRepo, HostOptions, Load, Request, TestHost, http, sample, until, wait_for,
};

const PROJECT: &str = "shop";
const HOST: &str = "shop.localhost";
const WITHIN: Duration = Duration::from_secs(60);
/// How many places of the crash matrix are played unless all are.
const SAMPLE: usize = 3;

/// Answers its version, who it is, and what it remembers; can be made to eat memory, and to answer nobody
/// any more while its process goes on.
const SERVER: &str = r"
const http = require('http');
const fs = require('fs');
const version = 'v1';
const me = require('crypto').randomUUID();
const eaten = [];
let hangs = false;
const server = http.createServer((request, response) => {
  if (hangs) return;
  const url = new URL(request.url, 'http://app');
  switch (url.pathname) {
    case '/slow': return setTimeout(() => response.end(`slow ${version}`), 300);
    case '/who': return response.end(me);
    case '/variable': return response.end(String(process.env.COLOUR));
    case '/remember': fs.appendFileSync('/data/notes', `${version};`); return response.end('noted');
    case '/notes': return response.end(fs.readFileSync('/data/notes', 'utf8'));
    case '/hang':
      hangs = true;
      return response.end(me);
    case '/eat':
      response.end('eating');
      return setInterval(() => eaten.push(Buffer.alloc(16 << 20, 1)), 10);
    default: return response.end(version);
  }
});
server.listen(process.env.PORT, '0.0.0.0', () => console.log('up'));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
";

struct World {
    host: TestHost,
    repo: GitRepo,
}

impl World {
    /// Version 1 is live with these settings.
    fn open(settings: &str) -> Self {
        Self::open_with(HostOptions::default(), settings)
    }

    /// The same, with further limits.
    fn open_with(options: HostOptions, settings: &str) -> Self {
        let options = options
            .limit("restart_pause_ms", 100)
            .limit("restart_pause_ms_max", 1000)
            .limit("crash_loop_exits", 3)
            .limit("settle_ms", 200);
        let host = TestHost::start_with(options);
        let repo = GitRepo::of_fixture("plain-node");
        repo.write("server.js", SERVER);
        repo.write("worker.js", "console.log('working'); setInterval(() => {}, 1000);\n");
        repo.write("Procfile", "web: node server.js\n");
        repo.write("windlass.toml", settings);
        repo.commit("v1");
        host.deploy_git(PROJECT, &repo, &[]).live();
        Self { host, repo }
    }

    fn path(rest: &str) -> String {
        format!("/v1/projects/{PROJECT}/environments/production/{rest}")
    }

    fn running(&self) -> RunningView {
        self.host.api("GET", &Self::path("running"), None).json()
    }

    fn instance(&self, name: &str) -> LiveInstance {
        let instances = self.running().instances;
        instances.into_iter().find(|one| one.name() == name).unwrap()
    }

    fn until(&self, what: &str, holds: impl Fn(&RunningView) -> bool) -> RunningView {
        wait_for(what, WITHIN, || {
            let view = self.running();
            if holds(&view) { Ok(view) } else { Err(format!("{view:#?}")) }
        })
    }

    /// Kills an instance's process and waits until it runs again.
    fn kill_and_wait(&self, name: &str) -> LiveInstance {
        let before = self.instance(name);
        kill(before.instance.pid, Signal::KILL);
        self.until(&format!("{name} runs again"), |view| {
            view.instances.iter().any(|one| {
                one.name() == name
                    && one.restarts > before.restarts
                    && one.state == InstanceState::Running
            })
        });
        self.instance(name)
    }

    fn events(&self) -> Vec<EnvironmentEvent> {
        let page: Page<EnvironmentEvent> = self.host.api("GET", &Self::path("events"), None).json();
        page.items
    }

    fn event(&self, kind: EventKind) -> EnvironmentEvent {
        let found = self.events().into_iter().find(|event| event.kind == kind);
        found.unwrap_or_else(|| panic!("no {kind:?} in {:#?}", self.events()))
    }

    /// A verb that must be done.
    fn verb(&self, words: &[&str]) -> RunningView {
        let mut all = words.to_vec();
        all.extend(["--project", PROJECT]);
        self.host.cli_json(&all).ok().json()
    }

    /// A verb that must be refused.
    fn refused(&self, words: &[&str], code: &str, names: &str) -> Failure {
        let mut all = words.to_vec();
        all.extend(["--project", PROJECT]);
        let output = self.host.cli_json(&all);
        let failure = output.failure();
        assert_eq!((output.code, failure.code.as_str()), (6, code), "{failure:#?}");
        assert!(failure.fix.contains(names), "{failure:#?}");
        failure
    }

    fn who(&self) -> BTreeSet<String> {
        (0..24).map(|_| self.host.get(HOST, "/who").text()).collect()
    }

    /// Who answers, once so many have; one of them may have had no request among the first.
    fn all_who(&self, count: usize) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        until("requests reach all of them", WITHIN, || {
            seen.extend(self.who());
            seen.len() >= count
        });
        assert_eq!(seen.len(), count, "{seen:?}");
        seen
    }

    fn load(&self) -> windlass_test_support::load::Running {
        Load::on(self.host.proxy_address(), HOST).start()
    }

    fn answers(&self, expected: &str) {
        wait_for("visitors are answered", WITHIN, || {
            let answer = http::send(self.host.proxy_address(), &Request::get(HOST, "/"));
            match answer {
                Ok(answer) if answer.text() == expected => Ok(()),
                Ok(answer) => Err(answer.text()),
                Err(error) => Err(error.to_string()),
            }
        });
    }
}

#[test]
fn an_instance_that_is_killed_is_started_again_and_a_crash_loop_and_memory_are_said() {
    let settings =
        "[run]\nmemory = \"160MiB\"\n[run.processes.worker]\ncommand = \"node worker.js\"\n";
    let world = World::open(settings);
    let before = world.who();
    assert_eq!(before.len(), 1);
    let web = world.kill_and_wait("web.0");
    assert_eq!((web.restarts, web.last_exit.unwrap().code), (1, 137));
    let after = world.who();
    assert!(before.is_disjoint(&after), "another process answers: {before:?} {after:?}");
    let deployment = world.host.show(PROJECT, 1).deployment;
    assert_eq!(deployment.status, DeploymentStatus::Live);
    assert_eq!(world.kill_and_wait("worker.0").restarts, 1);
    let stats: Stats = world.host.cli_json(&["stats", "--project", PROJECT]).ok().json();
    assert!(stats.instances.iter().all(|one| one.restarts == 1), "{stats:#?}");
    let events = world.host.cli_json(&["events", "--project", PROJECT]).ok().stdout;
    assert!(events.contains("environment.exited"), "{events}");

    // Out of memory is counted, and named.
    world.host.get(HOST, "/eat");
    world.until("the kill for memory is counted", |view| {
        view.instances.iter().any(|one| one.oom_kills == 1)
    });
    let oom = world.event(EventKind::OutOfMemory).failure.unwrap();
    assert_eq!(oom.code, "run.oom", "{oom:#?}");
    assert!(oom.why.contains("160 MiB") && oom.fix.contains("run.memory"), "{oom:#?}");
    world.answers("v1");

    // The third exit within ten minutes makes a crash loop.
    world.until("it runs", |view| {
        view.instances.iter().all(|one| one.state == InstanceState::Running)
    });
    world.kill_and_wait("web.0");
    let said = world.event(EventKind::CrashLoop);
    let failure = said.failure.unwrap();
    assert_eq!(failure.code, "run.crash-loop", "{failure:#?}");
    assert!(failure.log.iter().any(|line| line.text.contains("up")), "{failure:#?}");
    world.answers("v1");

    // A control plane that was away learns of what ended meanwhile.
    let mut world = world;
    let pid = world.instance("worker.0").instance.pid;
    let restarts = world.instance("worker.0").restarts;
    world.host.kill9_serve();
    kill(pid, Signal::KILL);
    world.host.restart();
    world.until("the worker runs again", |view| {
        view.instances.iter().any(|one| {
            one.name() == "worker.0"
                && one.restarts > restarts
                && one.state == InstanceState::Running
        })
    });
    world.host.finish();
}

#[test]
fn an_instance_that_runs_and_answers_no_more_leaves_the_route_and_is_started_again() {
    let options = HostOptions::default().limit("liveness_every_ms", 500);
    let world = World::open_with(options, "[run]\nreplicas = 2\n[health]\npath = \"/\"\n");
    let before = world.all_who(2);
    let pids = |view: &RunningView| -> BTreeSet<u32> {
        view.instances.iter().map(|one| one.instance.pid).collect()
    };
    let old_pids = pids(&world.running());
    let hung = world.host.get(HOST, "/hang").text();
    assert!(before.contains(&hung), "{hung} is one of {before:?}");
    let view = world.until("the one that hangs runs again", |view| {
        both_run(view) && view.instances.iter().any(|one| one.restarts == 1)
    });
    let again = view.instances.iter().find(|one| one.restarts == 1).unwrap();
    assert!(again.failure.is_none() && again.last_exit.is_none(), "{again:#?}");
    assert_eq!(pids(&view).intersection(&old_pids).count(), 1, "the other one goes on: {view:#?}");
    let after = world.all_who(2);
    assert!(!after.contains(&hung), "the process that hung is gone: {after:?}");
    assert_eq!(after.intersection(&before).count(), 1, "{before:?} {after:?}");

    let told = world.event(EventKind::Unhealthy);
    assert_eq!(told.instance.as_deref(), Some(again.name().as_str()), "{told:#?}");
    let failure = told.failure.unwrap();
    assert_eq!(failure.code, "run.unhealthy", "{failure:#?}");
    assert!(failure.why.contains("3 probes"), "{failure:#?}");
    until("its recovery is told", WITHIN, || {
        world.events().iter().any(|event| event.kind == EventKind::Recovered)
    });
    let recovered = world.event(EventKind::Recovered);
    assert_eq!(recovered.instance.as_deref(), Some(again.name().as_str()), "{recovered:#?}");
    let events = world.host.cli_json(&["events", "--project", PROJECT]).ok().stdout;
    assert!(events.contains("environment.unhealthy"), "{events}");
    assert_eq!(world.host.show(PROJECT, 1).deployment.status, DeploymentStatus::Live);
    world.host.finish();
}

#[test]
fn scaling_and_restarting_under_load_lose_no_request() {
    let settings = "[run]\nreplicas = 2\n[run.processes.worker]\ncommand = \"node worker.js\"\n";
    let world = World::open(settings);
    world.all_who(2);
    let record = world.host.show(PROJECT, 1).deployment;
    let load = world.load();
    load.wait_more(100);
    let view = world.verb(&["scale", "web=3", "worker=2"]);
    let numbers: Vec<u32> = view.processes.iter().map(|process| process.running).collect();
    assert_eq!(numbers, [3, 2], "{view:#?}");
    world.all_who(3);
    load.wait_more(200);
    let event = world.event(EventKind::Scale);
    assert!(event.actor.is_some(), "{event:#?}");

    let before = world.all_who(3);
    world.host.cli(&["env", "set", "COLOUR=blue", "--project", PROJECT]).ok();
    world.verb(&["restart"]);
    let after = world.all_who(3);
    assert!(before.is_disjoint(&after), "every one is fresh: {before:?} {after:?}");
    assert_eq!(world.host.get(HOST, "/variable").text(), "blue", "with the present variables");
    load.wait_more(200);

    let view = world.verb(&["scale", "web=1", "worker=0"]);
    assert_eq!(view.instances.len(), 1, "{view:#?}");
    assert_eq!(world.who().len(), 1);
    load.wait_more(200);
    load.stop().assert_unharmed(500, &["slow v1", "v1"]);
    assert_eq!(world.host.show(PROJECT, 1).deployment, record, "the deployment is not touched");

    // What a person said stays over a deployment.
    world.repo.edit("server.js", "'v1'", "'v2'");
    world.repo.commit("v2");
    world.host.deploy_git(PROJECT, &world.repo, &[]).live();
    assert_eq!(world.running().instances.len(), 1);
    world.verb(&["scale", "web=default"]);
    world.all_who(2);
    world.host.finish();
}

#[test]
fn what_is_stopped_says_so_and_starts_again_whenever_the_host_is_killed() {
    let mut world = World::open("");
    let load = world.load();
    load.wait_more(50);
    drop(load.stop());
    world.refused(&["start"], "environment.serving", "windlass restart");
    let view = world.verb(&["stop"]);
    assert_eq!((view.state, view.instances.len()), (RunState::Stopped, 0));
    assert_stopped(&world);
    world.refused(&["stop"], "environment.stopped", "windlass start");
    world.refused(&["restart"], "environment.stopped", "windlass start");
    world.refused(&["maintenance", "on"], "environment.stopped", "windlass start");
    let status = world.host.cli(&["status"]).ok().stdout;
    assert!(status.contains("stopped"), "{status}");
    let view = world.verb(&["start"]);
    assert_eq!((view.state, view.instances.len()), (RunState::Serving, 1));
    world.answers("v1");
    assert_eq!(world.host.show(PROJECT, 1).deployment.status, DeploymentStatus::Live);

    let places = [
        "begun:stop",
        "published:stop",
        "drained:stop",
        "deleted:stop",
        "begun:start-again",
        "started:start-again",
        "checked:start-again",
        "stored:start-again",
        "published:start-again",
    ];
    for place in sample::of(places.to_vec(), SAMPLE) {
        play(&mut world, place);
    }

    // What is stopped can be deployed over, and deleted.
    if world.running().state == RunState::Serving {
        world.verb(&["stop"]);
    }
    world.repo.edit("server.js", "'v1'", "'v2'");
    world.repo.commit("v2");
    world.host.deploy_git(PROJECT, &world.repo, &[]).live();
    world.answers("v2");
    let delete = ["environment", "delete", "production", "--yes", "--project", PROJECT];
    assert_eq!(world.host.cli_json(&delete).failure().code, "environment.has-live");
    world.verb(&["stop"]);
    world.host.cli(&delete).ok();
    assert_eq!(world.host.get(HOST, "/").status, 404, "its route is gone");
    world.host.finish();
}

/// Stops or starts, is killed at the place, and must end all the same.
#[expect(clippy::print_stderr, reason = "the place that fails must be known")]
fn play(world: &mut World, place: &str) {
    eprintln!("killed at {place}");
    let stops = place.ends_with(":stop");
    let is_stopped = world.running().state == RunState::Stopped;
    if stops == is_stopped {
        world.verb(&[if stops { "start" } else { "stop" }]);
    }
    world.host.stop_serve();
    world.host.set_env(&[("WINDLASS_FAILPOINT", place)]);
    world.host.restart();
    let path = World::path(if stops { "stop" } else { "start" });
    let headers = vec![("authorization", format!("Bearer {}", world.host.token()))];
    let request = Request { method: "POST", target: &path, host: "localhost", headers, body: None };
    // The host may be killed before it can answer.
    let _ = http::send(world.host.api_address(), &request);
    world.host.wait_serve_ended(WITHIN);
    assert_eq!(world.host.take_failpoint_hit().as_deref(), Some(place), "the place that was hit");
    world.host.set_env(&[]);
    world.host.restart();
    world.until("what was asked for is done", |view| view.asked.is_none());
    if stops {
        assert_stopped(world);
    } else {
        assert_eq!(world.running().state, RunState::Serving);
        world.answers("v1");
        let instances = world.running().instances.len();
        assert_eq!(world.host.ctr(&["containers", "list", "-q"]).len(), instances);
    }
}

fn assert_stopped(world: &World) {
    let answer = world.host.get(HOST, "/");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("it is stopped"), "{}", answer.text());
    assert_eq!(world.running().state, RunState::Stopped);
    assert_eq!(world.host.show(PROJECT, 1).deployment.status, DeploymentStatus::Stopped);
    let held = world.host.ctr(&["containers", "list", "-q"]);
    assert!(held.is_empty(), "no container is left: {held:?}");
}

#[test]
fn maintenance_keeps_visitors_away_and_the_instances_running() {
    let world = World::open("");
    let pid = world.instance("web.0").instance.pid;
    let words = ["maintenance", "on", "--hold-s", "0", "--message", "back at noon"];
    assert_eq!(world.verb(&words).state, RunState::Maintenance);
    let answer = world.host.get(HOST, "/");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("back at noon"), "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    // A deployment does not end it.
    world.repo.edit("server.js", "'v1'", "'v2'");
    world.repo.commit("v2");
    world.host.deploy_git(PROJECT, &world.repo, &[]).live();
    assert_eq!(world.host.get(HOST, "/").status, 503);
    assert_ne!(world.instance("web.0").instance.pid, pid);
    assert_eq!(world.verb(&["maintenance", "off"]).state, RunState::Serving);
    assert_eq!(world.host.get(HOST, "/").text(), "v2");
    world.host.finish();
}

#[test]
fn a_request_that_is_held_in_maintenance_is_answered_when_it_ends() {
    let world = World::open("");
    world.verb(&["maintenance", "on", "--hold-s", "60"]);
    let proxy = world.host.proxy_address();
    let held = std::thread::spawn(move || http::send(proxy, &Request::get(HOST, "/")).unwrap());
    // Nothing says from outside that it is held; that it is not answered meanwhile is what counts.
    std::thread::park_timeout(Duration::from_millis(500));
    assert!(!held.is_finished(), "it is held");
    world.verb(&["maintenance", "off"]);
    let answer = held.join().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "v1"));
    world.host.finish();
}

#[test]
fn a_host_that_is_killed_while_it_supervises_goes_on_with_it() {
    let mut world = World::open("");
    for place in ["during:supervise", "during:leave"] {
        world.host.stop_serve();
        world.host.set_env(&[("WINDLASS_FAILPOINT", place)]);
        world.host.restart();
        // The answer may be cut off with the host.
        let _ = world.host.cli_json(&["scale", "web=2", "--project", PROJECT]);
        if place == "during:leave" {
            world.until("both run", both_run);
            let _ = world.host.cli_json(&["scale", "web=1", "--project", PROJECT]);
        }
        world.host.wait_serve_ended(WITHIN);
        assert_eq!(world.host.take_failpoint_hit().as_deref(), Some(place));
        world.answers("v1");
        world.host.set_env(&[]);
        world.host.restart();
        let wanted = if place == "during:leave" { 1 } else { 2 };
        world.until("as many run as are wanted", |view| {
            view.instances.len() == wanted
                && view.instances.iter().all(|one| one.state == InstanceState::Running)
        });
        wait_for("no container is left over", WITHIN, || {
            let held = world.host.ctr(&["containers", "list", "-q"]);
            if held.len() == wanted { Ok(()) } else { Err(format!("{held:?}")) }
        });
        world.answers("v1");
    }
    world.host.finish();
}

fn both_run(view: &RunningView) -> bool {
    view.instances.len() == 2
        && view.instances.iter().all(|one| one.state == InstanceState::Running)
}

/// What the application holds, so that a second one of it is worth a refusal.
const HELD_BYTES: i64 = 1536 << 20;

#[test]
fn too_little_memory_for_more_refuses_and_what_runs_is_not_touched() {
    let mut world = World::open("[run]\nmemory = \"4GiB\"\n");
    let hold = format!("const held = Buffer.alloc({HELD_BYTES}, 1);\nconst version");
    world.repo.edit("server.js", "const version", &hold);
    world.repo.commit("v1 with much memory");
    world.host.deploy_git(PROJECT, &world.repo, &[]).live();
    let who = world.all_who(1);
    let free = available_bytes();
    world.host.stop_serve();
    // One more would leave half of what must stay free.
    world.host.set_limit("memory_free_bytes_min", free - HELD_BYTES / 2);
    world.host.restart();
    let failed = world.host.deploy_git(PROJECT, &world.repo, &[]);
    let failure = failed.failed("preflight.memory-two-versions");
    assert!(failure.fix.contains("strategy = \"recreate\""), "{failure:#?}");
    world.refused(&["scale", "web=2"], "scale.memory", "scale to fewer");
    assert_eq!(world.all_who(1), who, "the same process answers");
    world.host.finish();
}

fn available_bytes() -> i64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    let kib: i64 = line.trim().strip_suffix("kB").unwrap().trim().parse().unwrap();
    kib * 1024
}

#[test]
fn a_volume_keeps_its_data_over_deployments_that_hold_visitors_and_come_back_when_they_fail() {
    let settings = "[run]\nvolumes = [{ name = \"notes\", path = \"/data\" }]\n";
    let world = World::open(settings);
    world.host.get(HOST, "/remember");
    let load = world.load();
    load.wait_more(50);
    world.repo.edit("server.js", "'v1'", "'v2'");
    world.repo.commit("v2");
    world.host.deploy_git(PROJECT, &world.repo, &[]).live();
    load.wait_body("slow v2");
    load.stop().assert_unharmed(100, &["slow v1", "slow v2", "v1", "v2"]);
    world.host.get(HOST, "/remember");
    assert_eq!(world.host.get(HOST, "/notes").text(), "v1;v2;");

    // One that does not start gives way to the one before.
    world.repo.edit("server.js", "const version", "process.exit(3);\nconst version");
    world.repo.commit("broken");
    world.host.deploy_git(PROJECT, &world.repo, &[]).failed("check.exited");
    world.answers("v2");
    assert_eq!(world.host.get(HOST, "/notes").text(), "v1;v2;");
    world.verb(&["restart"]);
    assert_eq!(world.host.get(HOST, "/notes").text(), "v1;v2;");

    let list: Vec<VolumeView> =
        world.host.cli_json(&["volume", "list", "--project", PROJECT]).ok().json();
    assert_eq!((list.len(), list[0].bytes, list[0].path.as_deref()), (1, 6, Some("/data")));
    world.refused(&["volume", "remove", "notes", "--yes"], "volume.in-use", "windlass stop");
    world.refused(&["scale", "web=2"], "scale.volume-not-shared", "shared = true");

    // It outlives even its environment.
    world.verb(&["stop"]);
    world.host.cli(&["environment", "delete", "production", "--yes", "-p", PROJECT]).ok();
    let list: Vec<VolumeView> =
        world.host.cli_json(&["volume", "list", "--project", PROJECT]).ok().json();
    assert_eq!((list.len(), list[0].path.as_deref()), (1, None));
    world.host.cli(&["volume", "remove", "notes", "--yes", "--project", PROJECT]).ok();
    let list: Vec<VolumeView> =
        world.host.cli_json(&["volume", "list", "--project", PROJECT]).ok().json();
    assert!(list.is_empty(), "{list:?}");
    world.host.finish();
}
