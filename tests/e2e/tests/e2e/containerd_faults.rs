//! Every call to containerd goes wrong once: it is answered with an error, held, or carried out with its
//! answer lost. The methods are those that a deployment is seen to call, so a new one is covered at once.

use std::time::{Duration, Instant};

use windlass_model::DeploymentStatus;
use windlass_test_support::{ContainerdProxy, Fault, HostOptions, TestHost, sample, wait_for};

use crate::crash::{ENDS_WITHIN, open_on};
use crate::shop::{App, HOST, PROJECT, Shop, assert_unharmed};

/// How many cases are played unless all are.
const SAMPLE: usize = 6;

/// A host whose containerd is reached through the proxy.
fn open_behind_a_proxy() -> (Shop, ContainerdProxy, tempfile::TempDir) {
    let mut host = TestHost::start_with(HostOptions::default().limit("stop_grace_s", 3));
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
                let failure = deployment.failure.clone().unwrap();
                assert!(!failure.code.is_empty() && !failure.fix.is_empty(), "{failure:#?}");
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
    assert!(seen.len() >= 15, "{seen:#?}");
    assert!(seen.contains_key("/containerd.services.tasks.v1.Tasks/Start"), "{seen:#?}");
    let cases: Vec<(String, Fault)> = seen
        .into_keys()
        .flat_map(|method| Fault::ALL.map(|fault| (method.clone(), fault)))
        .collect();
    for (method, fault) in sample::of(cases, SAMPLE) {
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
        let failure = failed.failure.clone().unwrap_or_else(|| panic!("{failed:#?}"));
        assert!(!failure.code.is_empty() && !failure.fix.is_empty(), "{failure:#?}");
        let verbs: [&[&str]; 4] =
            [&["exec", "--", "true"], &["run", "--", "true"], &["stop"], &["start"]];
        for verb in verbs {
            let all = [&verb[..1], &["--project", PROJECT], &verb[1..]].concat();
            let done = self.host.cli_json(&all);
            if done.code != 0 {
                let failure = done.failure();
                assert!(
                    !failure.code.is_empty() && !failure.fix.is_empty(),
                    "{verb:?}: {failure:#?}"
                );
            }
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
    seen.retain(|method, _| !good.contains_key(method));
    assert!(seen.contains_key("/containerd.services.tasks.v1.Tasks/Exec"), "{seen:#?}");
    let cases: Vec<(String, Fault)> = seen
        .into_keys()
        .flat_map(|method| Fault::ALL.map(|fault| (method.clone(), fault)))
        .collect();
    for (method, fault) in sample::of(cases, 2) {
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
