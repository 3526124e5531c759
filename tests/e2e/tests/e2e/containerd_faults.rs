//! Every call to containerd goes wrong once: it is answered with an error, held, or carried out with its
//! answer lost. The methods are those that are seen to be called: by a deployment, by an undo, commands, a
//! stop and a start, and by what is done for the first time. Together they are all that the host calls:
//! [`METHODS`] has them, and a new one is missed there at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use windlass_model::{DeploymentStatus, Failure};
use windlass_test_support::{
    ContainerdProxy, Deployed, Fault, HostOptions, Request, TestHost, http, sample, scratch,
    wait_for,
};

use crate::crash::{ENDS_WITHIN, open_on};
use crate::observe::Terminal;
use crate::shop::{App, HOST, PROJECT, Shop, assert_unharmed};
use crate::sources::{architecture, saved_image};

/// The methods that `host/containers` calls, by service. One is left out: `Version`, which only the host's
/// own containerd is asked for while it is waited for, and behind the proxy is a given one.
const METHODS: [(&str, &[&str]); 7] = [
    ("containers.v1.Containers", &["Create", "Delete", "Get", "List"]),
    ("content.v1.Content", &["Delete", "Info", "List", "Read", "Update", "Write"]),
    ("diff.v1.Diff", &["Apply"]),
    ("leases.v1.Leases", &["Create", "Delete", "List"]),
    ("namespaces.v1.Namespaces", &["Create"]),
    (
        "snapshots.v1.Snapshots",
        &["Commit", "List", "Mounts", "Prepare", "Remove", "Stat", "Update", "Usage", "View"],
    ),
    (
        "tasks.v1.Tasks",
        &[
            "CloseIO",
            "Create",
            "Delete",
            "DeleteProcess",
            "Exec",
            "Get",
            "Kill",
            "List",
            "Pause",
            "ResizePty",
            "Resume",
            "Start",
            "Wait",
        ],
    ),
];

/// How often each method was called.
type Seen = BTreeMap<String, usize>;

/// [`METHODS`] as they are in a call.
fn methods() -> BTreeSet<String> {
    let of = |(service, names): &(&str, &[&str])| {
        let full = |name: &&str| format!("/containerd.services.{service}/{name}");
        names.iter().map(full).collect::<Vec<_>>()
    };
    METHODS.iter().flat_map(of).collect()
}

/// Nothing is called that nobody has thought of.
fn assert_known(seen: &Seen) {
    let known = methods();
    let unknown: Vec<&String> = seen.keys().filter(|method| !known.contains(*method)).collect();
    assert!(unknown.is_empty(), "add them to METHODS, and see that they go wrong: {unknown:#?}");
}

/// Each method with each fault.
fn cases(seen: Seen) -> Vec<(String, Fault)> {
    let with_each = |method: String| Fault::ALL.map(|fault| (method.clone(), fault));
    seen.into_keys().flat_map(with_each).collect()
}

fn assert_typed(failure: &Failure) {
    assert!(!failure.code.is_empty() && !failure.fix.is_empty(), "{failure:#?}");
}

/// How many cases are played unless all are.
const SAMPLE: usize = 6;

/// A host whose containerd is reached through the proxy.
fn open_behind_a_proxy() -> (Shop, ContainerdProxy, tempfile::TempDir) {
    let options =
        HostOptions::default().limit("stop_grace_s", 3).limit("build.output_bytes_max", 1 << 20);
    let mut host = TestHost::start_with(options);
    // Its own containerd goes on when it stops: from then on it is a given one.
    let real = format!("/run/windlass/{}/containerd.sock", host.id());
    host.stop_serve();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("proxy.sock");
    let proxy = ContainerdProxy::start(&socket, real.as_ref());
    host.set_args(&["--containerd", socket.to_str().unwrap()]);
    host.restart();
    (open_on(host), proxy, dir)
}

impl Shop {
    /// Deploys the next version while visitors come, and waits until it has ended and all is settled.
    /// A failure must be typed, and leave the old version.
    fn deploy_through_trouble(&mut self, trouble: impl FnOnce(&mut Self)) -> DeploymentStatus {
        let load = self.load();
        let text = self.commit(App::Good { migrates_ms: 0 });
        self.ask();
        trouble(self);
        let deployment = self.ended();
        let old = self.text.clone();
        match deployment.status {
            DeploymentStatus::Live => {
                self.went_live(&load, &text);
                assert_unharmed(&load.stop(), &[&old, &text]);
            }
            DeploymentStatus::Failed => {
                assert_typed(deployment.failure.as_ref().unwrap());
                load.wait_more(300);
                assert_unharmed(&load.stop(), &[&old]);
            }
            _ => panic!("{deployment:#?}"),
        }
        assert!(self.migrations_of(&deployment) <= 1, "a migration ran twice");
        self.assert_settled();
        deployment.status
    }
}

#[test]
fn any_call_to_containerd_may_fail_lag_or_lose_its_answer() {
    let (mut shop, proxy, _dir) = open_behind_a_proxy();
    // What a good deployment calls, with the retirement of the one before it.
    proxy.take_seen();
    shop.deploy_through_trouble(|_| ());
    let seen = proxy.take_seen();
    assert_known(&seen);
    assert!(seen.contains_key("/containerd.services.tasks.v1.Tasks/Start"), "{seen:#?}");
    for (method, fault) in sample::of(cases(seen), SAMPLE) {
        proxy.arm(&method, fault);
        let status = shop.deploy_through_trouble(|_| ());
        wait_for("the fault happens", ENDS_WITHIN, || match proxy.was_hit() {
            true => Ok(()),
            false => Err(format!("{method} is not called any more")),
        });
        eprintln!("{method} {fault:?}: {status}");
        if fault == Fault::Delay {
            assert_eq!(status, DeploymentStatus::Live, "{method}: a call that lags harms nothing");
        }
        proxy.disarm();
    }
    shop.deploy_next();
    shop.host.finish();
}

impl Shop {
    /// What a deployment that fails, one-off commands, a stop and a start ask of containerd. Each ends well,
    /// or with a typed failure.
    fn work_through_trouble(&mut self) {
        self.commit(App::CrashesAtStart);
        self.ask();
        let failed = self.ended();
        assert_typed(failed.failure.as_ref().unwrap_or_else(|| panic!("{failed:#?}")));
        let verbs: [&[&str]; 4] =
            [&["exec", "--", "true"], &["run", "--", "true"], &["stop"], &["start"]];
        for verb in verbs {
            self.well_or_typed(&[&verb[..1], &["--project", PROJECT], &verb[1..]].concat());
        }
    }

    /// A verb that is done, or says why not.
    fn well_or_typed(&self, words: &[&str]) {
        let done = self.host.cli_json(words);
        if done.code != 0 {
            assert_typed(&done.failure());
        }
    }

    /// Whatever is stopped or half started serves again, with nothing beside it.
    fn serves_again(&self) {
        wait_for("it serves again", ENDS_WITHIN, || {
            let _ = self.host.cli_json(&["start", "--project", PROJECT]);
            let answer = self.host.get(HOST, "/").text();
            let containers = self.host.ctr(&["containers", "list", "-q"]);
            match answer == self.text && containers.len() == 1 {
                true => Ok(()),
                false => Err(format!("{answer} {containers:#?}")),
            }
        });
    }
}

/// The calls that a good deployment does not make: those of an undo, of commands, of a stop and a start.
#[test]
fn any_call_of_an_undo_a_command_or_a_stop_may_go_wrong_too() {
    let (mut shop, proxy, _dir) = open_behind_a_proxy();
    // It is the application itself: what is stopped would wait for itself to answer.
    shop.host.cli(&["service", "remove", "web", "--project", PROJECT]).ok();
    proxy.take_seen();
    shop.deploy_through_trouble(|_| ());
    let good = proxy.take_seen();
    shop.work_through_trouble();
    shop.serves_again();
    let mut seen = proxy.take_seen();
    assert_known(&seen);
    seen.retain(|method, _| !good.contains_key(method));
    assert!(seen.contains_key("/containerd.services.tasks.v1.Tasks/Exec"), "{seen:#?}");
    for (method, fault) in sample::of(cases(seen), 2) {
        eprintln!("{method} {fault:?}");
        proxy.arm(&method, fault);
        shop.work_through_trouble();
        wait_for("the fault happens", ENDS_WITHIN, || match proxy.was_hit() {
            true => Ok(()),
            false => Err(format!("{method} is not called any more")),
        });
        proxy.disarm();
        shop.serves_again();
    }
    shop.deploy_next();
    shop.host.finish();
}

impl Shop {
    /// What is done for the first time, or seldom: a start beside what runs, an image unpacked, a build that
    /// is ended for what it says, input that ends, a terminal, an image taken out, and a prune. Each ends well,
    /// or with a typed failure.
    fn first_uses_through_trouble(&mut self, dir: &Path) {
        self.start_through_trouble();
        // Of this number no version was unpacked before.
        let image = saved_image(dir, &format!("page {}", self.last), architecture());
        let image = image.to_str().unwrap();
        let words = ["--json", "deploy", "--image-archive", image, "--project", "boxed"];
        let boxed = Deployed::of(&self.host.cli(&words)).view.deployment;
        match &boxed.failure {
            Some(failure) => assert_typed(failure),
            None => assert_eq!(boxed.status, DeploymentStatus::Live, "{boxed:#?}"),
        }

        self.set_build(Some("yes windlass"));
        self.commit(App::Good { migrates_ms: 0 });
        self.ask();
        let ended = self.ended();
        self.set_build(None);
        assert_typed(ended.failure.as_ref().unwrap_or_else(|| panic!("{ended:#?}")));

        let cat = ["exec", "--project", PROJECT, "--", "cat"];
        let echoed = self.host.cli_with_input(&cat, "to the end");
        assert!(echoed.code != 0 || echoed.stdout == "to the end", "{echoed:#?}");
        self.resize_through_trouble();
        let file = dir.join("saved.tar");
        let live = self.live.to_string();
        let save = ["save", &live, "--output", file.to_str().unwrap(), "--project", PROJECT];
        self.well_or_typed(&save);
        self.well_or_typed(&["prune", "--cache", "--yes"]);
    }

    /// The host is started again while its containers run. A start that fails says that it was containerd, and
    /// the next one is good.
    fn start_through_trouble(&mut self) {
        self.host.stop_serve();
        let before = self.host.serve_log().len();
        self.host.spawn_serve();
        wait_for("serve is ready, or ends", ENDS_WITHIN, || {
            let ready = Request::get("localhost", "/readyz");
            let ready = http::send(self.host.api_address(), &ready);
            let is_ready = ready.is_ok_and(|answer| answer.status == 200);
            match is_ready || !self.host.serve_is_alive() {
                true => Ok(()),
                false => Err(self.host.serve_log()),
            }
        });
        if !self.host.serve_is_alive() {
            let log = self.host.serve_log();
            let said = log.get(before..).unwrap_or_default();
            assert!(said.contains("containerd"), "{said}");
            self.host.restart();
        }
    }

    /// A command in a terminal that is resized until it sees that, or ends.
    fn resize_through_trouble(&self) {
        let until_resized = "echo begun; while [ \"$(stty size)\" = '24 80' ]; do sleep 0.1; done";
        let words = ["exec", "--project", PROJECT, "--", "sh", "-c", until_resized];
        let mut terminal = Terminal::start(&self.host, &words);
        let mut rows = 24;
        let mut looks = 0;
        wait_for("the command sees the new size, or ends", ENDS_WITHIN, || {
            if terminal.has_ended() {
                return Ok(());
            }
            // Now and then: the one before may have been lost.
            if terminal.shows("begun") && looks % 25 == 0 {
                rows += 1;
                terminal.resize(100, rows);
            }
            looks += 1;
            Err(format!("{rows} rows"))
        });
    }
}

#[test]
fn any_call_of_a_start_a_first_image_a_terminal_or_a_prune_may_go_wrong_and_none_is_forgotten() {
    let (mut shop, proxy, _dir) = open_behind_a_proxy();
    shop.host.cli(&["service", "remove", "web", "--project", PROJECT]).ok();
    let dir = scratch("first-uses");
    proxy.take_seen();
    shop.deploy_through_trouble(|_| ());
    shop.work_through_trouble();
    shop.serves_again();
    let common = proxy.take_seen();
    shop.first_uses_through_trouble(dir.path());
    let mut seen = proxy.take_seen();
    let all: Seen = common.clone().into_iter().chain(seen.clone()).collect();
    assert_known(&all);
    let missing: Vec<String> =
        methods().into_iter().filter(|method| !all.contains_key(method)).collect();
    assert!(missing.is_empty(), "nothing here makes the host call {missing:#?}");

    seen.retain(|method, _| !common.contains_key(method));
    for (method, fault) in sample::of(cases(seen), 2) {
        eprintln!("{method} {fault:?}");
        proxy.arm(&method, fault);
        shop.first_uses_through_trouble(dir.path());
        assert!(proxy.was_hit(), "{method} is not called any more");
        proxy.disarm();
        wait_for("all is as it was", ENDS_WITHIN, || {
            let answer = shop.host.get(HOST, "/").text();
            let kept = shop.host.kept_for_nobody();
            match answer == shop.text && kept.is_empty() {
                true => Ok(()),
                false => Err(format!("{answer} {kept:#?}")),
            }
        });
    }
    shop.deploy_next();
    shop.host.finish();
}

#[test]
fn a_containerd_that_is_away_in_a_deployment_is_waited_for_or_named() {
    let away = Duration::from_secs(if sample::is_full() { 60 } else { 5 });
    let (mut shop, proxy, _dir) = open_behind_a_proxy();
    let status = shop.deploy_through_trouble(|shop| {
        proxy.set_away(true);
        let back = Instant::now() + away;
        let path = format!("/v1/projects/{PROJECT}");
        while Instant::now() < back {
            let answer = shop.host.api("GET", &path, None);
            assert_eq!(answer.status, 200, "the API answers meanwhile");
            std::thread::park_timeout(Duration::from_millis(200));
        }
        proxy.set_away(false);
    });
    if away < Duration::from_secs(10) {
        assert_eq!(status, DeploymentStatus::Live, "a short absence is waited for");
    }
    shop.deploy_next();
    shop.host.finish();
}
