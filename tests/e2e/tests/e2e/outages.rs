//! `kill -9` of each part of the host while an application serves: the control plane, containerd, the
//! data plane.

use std::process::{Command, Stdio};
use std::time::Duration;

use windlass_model::DeploymentStatus;
use windlass_test_support::host::{is_alive, kill};
use windlass_test_support::{Request, TestHost, http, leaks, until, wait_for};

use crate::shop::{HOST, PROJECT, Shop, assert_unharmed};

/// How long a part may be away before it is back.
const BACK_WITHIN: Duration = Duration::from_secs(15);

#[test]
fn a_killed_control_plane_fails_no_request_and_knows_its_application_again() {
    let mut shop = Shop::open();
    let instances = shop.instances();
    let load = shop.load();
    load.wait_more(200);
    shop.host.kill9_serve();
    load.wait_more(300);
    shop.host.restart();
    let live = shop.host.show(PROJECT, 1).deployment;
    assert_eq!(live.status, DeploymentStatus::Live);
    assert_eq!(shop.instances(), instances, "the same instances with the same processes");
    assert!(instances.iter().all(|(_, pid)| is_alive(*pid)), "{instances:?}");
    load.wait_more(300);
    assert_unharmed(&load.stop(), &["v1"]);
    shop.deploy_next();
    shop.host.finish();
}

#[test]
fn a_killed_containerd_fails_no_request_and_its_containers_are_adopted() {
    let mut shop = Shop::open();
    let instances = shop.instances();
    let load = shop.load();
    load.wait_more(200);
    let killed = shop.host.containerd_pid();
    shop.host.kill9_containerd();
    let config = format!("/run/windlass/{}/containerd.toml", shop.host.id());
    until("containerd is started again", BACK_WITHIN, || {
        let pids = leaks::pids_naming(&config);
        pids.iter().any(|pid| *pid != killed)
    });
    wait_for("the host is ready again", BACK_WITHIN, || ready(&shop.host));
    load.wait_more(300);
    assert!(instances.iter().all(|(_, pid)| is_alive(*pid)), "{instances:?}");
    assert_eq!(shop.instances(), instances, "the same instances with the same processes");
    let tasks = shop.host.ctr(&["tasks", "list", "-q"]);
    let ids: Vec<String> = instances.into_iter().map(|(id, _)| id).collect();
    assert_eq!(tasks, ids, "the new containerd has them");
    shop.deploy_next();
    load.wait_body("slow v2");
    assert_unharmed(&load.stop(), &["v1", "v2"]);
    shop.host.finish();
}

#[test]
fn a_killed_proxy_is_started_again_and_serves_from_its_own_table() {
    let mut shop = Shop::open();
    let killed = proxy_of(&shop.host);
    let words = words_of(killed);
    kill(killed, rustix::process::Signal::KILL);
    wait_for("the proxy serves again", BACK_WITHIN, || answer(&shop.host, "v1"));
    assert_ne!(proxy_of(&shop.host), killed);
    shop.deploy_next();

    // Without a control plane the table file alone must do.
    let second = proxy_of(&shop.host);
    shop.host.kill9_serve();
    kill(second, rustix::process::Signal::KILL);
    until("the proxy is gone", BACK_WITHIN, || proxies_of(&shop.host).is_empty());
    answer(&shop.host, "v2").unwrap_err();
    let log = std::fs::File::create(shop.host.data_dir().join("proxy-alone.log")).unwrap();
    let mut alone = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    wait_for("the proxy serves alone", BACK_WITHIN, || {
        let log = std::fs::read_to_string(shop.host.data_dir().join("proxy-alone.log"));
        answer(&shop.host, "v2").map_err(|why| format!("{why}: {log:?}"))
    });
    shop.host.restart();
    assert_eq!(proxy_of(&shop.host), alone.id(), "the control plane adopts it");
    shop.deploy_next();
    shop.host.finish();
    alone.wait().unwrap();
}

fn ready(host: &TestHost) -> Result<(), String> {
    let answer = http::send(host.api_address(), &Request::get("localhost", "/readyz"));
    let answer = answer.map_err(|e| e.to_string())?;
    if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
}

fn answer(host: &TestHost, expected: &str) -> Result<(), String> {
    let answer = http::send(host.proxy_address(), &Request::get(HOST, "/"));
    let text = answer.map_err(|e| e.to_string())?.text();
    if text == expected { Ok(()) } else { Err(text) }
}

/// The process of the host's proxy.
fn proxy_of(host: &TestHost) -> u32 {
    let pids = proxies_of(host);
    assert_eq!(pids.len(), 1, "one proxy: {pids:?}");
    pids[0]
}

fn proxies_of(host: &TestHost) -> Vec<u32> {
    leaks::pids_naming(&host.data_dir().join("proxy.sock").display().to_string())
}

fn words_of(pid: u32) -> Vec<String> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    line.split_terminator('\0').map(str::to_owned).collect()
}
