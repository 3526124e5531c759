//! Builds on a whole host: what an unchanged redeploy does not start, what `windlass why` says, the caches,
//! and build commands that misbehave beside an application that serves.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use windlass_model::build::{BuildWhy, CacheCleared, Reason, StepWhy};
use windlass_model::{DeploymentStatus, StepName, StepStatus};
use windlass_test_support::outside::{self, METADATA, OutsideServer, Page};
use windlass_test_support::{Deployed, HostOptions, TestHost, sample, wait_for};

use crate::crash::ENDS_WITHIN;
use crate::shop::{App, HOST, PROJECT, Shop, assert_unharmed};

/// How long an event of containerd may take to arrive.
const HEARD_WITHIN: Duration = Duration::from_secs(15);
/// Hogs that are played unless all are.
const SAMPLE: usize = 2;

/// Every container that is started and ends, by containerd's own events.
pub(crate) struct Events {
    child: Child,
    file: tempfile::NamedTempFile,
}

impl Events {
    pub(crate) fn of(host: &TestHost) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let child = Command::new("ctr")
            .args(["--address", &format!("/run/windlass/{}/containerd.sock", host.id())])
            .args(["--namespace", &format!("windlass-{}", host.id()), "events"])
            .stdout(File::create(file.path()).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let events = Self { child, file };
        // Heard once it hears: a container record that is made and deleted again would do, but listing
        // makes no event; so a label of the namespace is set until one arrives.
        wait_for("containerd's events are heard", HEARD_WITHIN, || {
            let name = format!("windlass-{}", host.id());
            host.ctr_lines(&["namespaces", "label", &name, "heard=yes"]);
            if events.text().contains("/namespaces/update") { Ok(()) } else { Err(events.text()) }
        });
        events
    }

    fn text(&self) -> String {
        let mut text = String::new();
        File::open(self.file.path()).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Ids of the containers started since, once the last of these has been heard of.
    fn started(mut self, last: &str) -> Vec<String> {
        let starts = |text: &str| -> Vec<String> {
            let starts = text.lines().filter(|line| line.contains("/tasks/start"));
            let id = |line: &str| {
                let json: serde_json::Value =
                    serde_json::from_str(&line[line.find('{')?..]).ok()?;
                Some(json["container_id"].as_str()?.to_owned())
            };
            starts.filter_map(id).collect()
        };
        let heard = wait_for("the instance's start is heard of", HEARD_WITHIN, || {
            let heard = starts(&self.text());
            if heard.iter().any(|id| id == last) { Ok(heard) } else { Err(self.text()) }
        });
        let _ = self.child.kill();
        let _ = self.child.wait();
        heard
    }

    /// How the first processes of these containers ended, once all have: 128 + signal where one did it.
    pub(crate) fn ends(mut self, containers: &[String]) -> BTreeMap<String, u64> {
        let ends = |text: &str| -> BTreeMap<String, u64> {
            let ends = text.lines().filter(|line| line.contains("/tasks/exit"));
            let end = |line: &str| {
                let json: serde_json::Value =
                    serde_json::from_str(&line[line.find('{')?..]).ok()?;
                let container = json["container_id"].as_str()?;
                // A status of 0 is left out.
                let status = json["exit_status"].as_u64().unwrap_or_default();
                (json["id"].as_str()? == container).then(|| (container.to_owned(), status))
            };
            ends.filter_map(end).filter(|(id, _)| containers.contains(id)).collect()
        };
        let heard = wait_for("the ends of all instances are heard of", HEARD_WITHIN, || {
            let heard = ends(&self.text());
            if heard.len() == containers.len() { Ok(heard) } else { Err(self.text()) }
        });
        let _ = self.child.kill();
        let _ = self.child.wait();
        heard
    }
}

fn why(shop: &Shop, number: u64) -> BuildWhy {
    let number = number.to_string();
    shop.host.cli_json(&["why", &number, "--project", PROJECT]).ok().json()
}

fn rebuilt(why: &BuildWhy) -> Vec<&StepWhy> {
    why.steps.iter().filter(|step| !step.cached).collect()
}

fn redeploy(shop: &mut Shop, args: &[&str]) -> Deployed {
    let mut all = vec!["redeploy", "--project", PROJECT];
    all.extend(args);
    shop.last += 1;
    shop.live = shop.last;
    Deployed::of(&shop.host.cli_json(&all)).live()
}

/// Starts of build commands while something is deployed.
fn build_commands(shop: &mut Shop, deploy: impl FnOnce(&mut Shop) -> Deployed) -> Vec<String> {
    let events = Events::of(&shop.host);
    let deployed = deploy(shop);
    let instance = deployed.view.deployment.outputs.instances[0].id.clone();
    let mut started = events.started(&instance);
    started.retain(|id| id.starts_with("build-"));
    started
}

#[test]
fn an_unchanged_redeploy_starts_no_build_container_and_why_names_what_changed() {
    let mut shop = Shop::open();
    shop.set_build(Some("echo built > made.txt"));
    shop.deploy_next();
    let first = why(&shop, 2);
    assert!(first.steps.iter().all(|step| step.succeeded), "{first:#?}");

    let ran = build_commands(&mut shop, |shop| redeploy(shop, &[]));
    assert_eq!(ran, [] as [&str; 0], "an unchanged redeploy is look-ups only");
    let unchanged = shop.host.show(PROJECT, shop.last).deployment;
    let build = unchanged.steps.iter().find(|step| step.name == StepName::Build).unwrap();
    assert_eq!(build.status, StepStatus::Cached, "{build:#?}");
    let unchanged = why(&shop, shop.last);
    assert!(unchanged.steps.iter().all(|step| step.cached), "{unchanged:#?}");

    let ran = build_commands(&mut shop, Shop::deploy_next);
    assert!(!ran.is_empty(), "the same count sees what is started");
    let changed = why(&shop, shop.last);
    let is_file =
        |reason: &Reason| matches!(reason, Reason::File { path, .. } if path == "server.js");
    assert!(rebuilt(&changed).iter().any(|step| step.reasons.iter().any(is_file)), "{changed:#?}");
    let text = shop.host.cli(&["why", "--project", PROJECT]).ok().stdout;
    assert!(text.contains("server.js changed"), "{text}");

    let set = ["env", "set", "--project", PROJECT, "--scope", "build", "FLAVOUR=sour"];
    shop.host.cli(&set).ok();
    redeploy(&mut shop, &[]);
    let variable = why(&shop, shop.last);
    let said: Vec<&str> =
        variable.steps.iter().flat_map(|step| step.said.iter().map(String::as_str)).collect();
    assert!(said.contains(&"the variable FLAVOUR is new"), "{variable:#?}");
    let runtime = ["env", "set", "--project", PROJECT, "--scope", "run", "SPICE=hot"];
    shop.host.cli(&runtime).ok();
    redeploy(&mut shop, &[]);
    let spice = why(&shop, shop.last);
    assert!(spice.steps.iter().all(|step| step.cached), "no part of a build: {spice:#?}");
    shop.host.finish();
}

#[test]
fn without_the_cache_all_is_built_and_clearing_it_harms_nothing() {
    let mut shop = Shop::open();
    shop.set_build(Some("echo built > made.txt"));
    shop.deploy_next();
    let ran = build_commands(&mut shop, |shop| redeploy(shop, &["--no-cache"]));
    assert!(!ran.is_empty());
    let fresh = why(&shop, shop.last);
    assert!(fresh.steps.iter().all(|step| step.reasons == [Reason::NoCache]), "{fresh:#?}");
    redeploy(&mut shop, &[]);
    let taken = why(&shop, shop.last);
    assert!(taken.steps.iter().all(|step| step.cached), "the new results count: {taken:#?}");

    let before = shop.text.clone();
    shop.deploy_next();
    let load = shop.load();
    load.wait_more(50);
    let cleared: CacheCleared = shop.host.cli_json(&["cache", "clear"]).ok().json();
    assert_eq!(cleared.in_use, 0, "{cleared:?}");
    let text = shop.text.clone();
    // What was live before can still be gone back to.
    shop.host.cli(&["rollback", "--project", PROJECT]).ok();
    shop.last += 1;
    load.wait_more(50);
    load.wait_body(&before);
    load.wait_body(&format!("slow {before}"));
    assert_unharmed(&load.stop(), &[&before, &text]);
    let refused = shop.host.cli_json(&["why", &shop.last.to_string(), "--project", PROJECT]);
    let failure = refused.failure();
    assert_eq!(failure.code, "deployment.not-built", "{failure:#?}");
    assert!(failure.why.contains("took over the artifact"), "{failure:#?}");
    shop.host.finish();
}

/// The result that takes another's place is committed, and nothing says yet that it does.
#[test]
fn a_kill_behind_the_commit_of_a_build_without_the_cache_loses_nothing_of_it() {
    let mut shop = Shop::open();
    shop.set_build(Some("echo built > made.txt"));
    shop.deploy_next();
    let load = shop.load();
    shop.arm("during:committed");
    shop.last += 1;
    shop.ask_what_dies("redeploy?no_cache=true", &serde_json::json!({}));
    shop.dies_at("during:committed");
    shop.restart_and_go_on();
    let fresh = shop.ended();
    assert_eq!(fresh.status, DeploymentStatus::Live, "{fresh:#?}");
    load.wait_more(50);
    assert_unharmed(&load.stop(), &[&shop.text]);
    let carried_out = why(&shop, shop.last);
    assert!(carried_out.steps.iter().all(|step| !step.cached), "{carried_out:#?}");
    redeploy(&mut shop, &[]);
    let taken = why(&shop, shop.last);
    assert!(taken.steps.iter().all(|step| step.cached), "the new results count: {taken:#?}");
    let artifact = |of: u64| shop.host.show(PROJECT, of).deployment.outputs.artifact;
    assert_eq!(artifact(shop.last), artifact(shop.last - 1));
    shop.host.finish();
}

#[test]
fn the_running_step_of_a_build_is_shown_with_its_beginning() {
    let mut shop = Shop::open();
    shop.set_build(Some("sleep 1000"));
    shop.commit(App::Good { migrates_ms: 0 });
    shop.ask();
    let number = shop.last.to_string();
    let building = wait_for("the step that sleeps is shown", ENDS_WITHIN, || {
        let building = shop.host.show(PROJECT, shop.last).building;
        let shown = shop.host.cli(&["show", &number, "--project", PROJECT]).ok().stdout;
        match building.as_slice() {
            [step] if shown.contains(&format!("{}, since ", step.name)) => Ok(step.clone()),
            other => Err(format!("{other:?}\n{shown}")),
        }
    });
    let deployment = shop.host.show(PROJECT, shop.last).deployment;
    let build = deployment.steps.iter().find(|step| step.name == StepName::Build).unwrap();
    assert!(build.started_at.unwrap() <= building.since, "{build:#?} {building:#?}");
    shop.host.cli(&["cancel", &number, "--project", PROJECT]).ok();
    let cancelled = shop.ended();
    assert_eq!(cancelled.status, DeploymentStatus::Cancelled, "{cancelled:#?}");
    assert_eq!(shop.host.show(PROJECT, shop.last).building, []);
    shop.host.finish();
}

/// A build command that misbehaves, and how its failure must be named.
const HOGS: [(&str, &str); 5] = [
    ("while true; do sleep 1000 & done", "build.process-limit"),
    ("tail /dev/zero", "build.out-of-memory"),
    ("yes windlass", "build.output-limit"),
    ("dd if=/dev/zero of=big bs=1M", "build.disk-limit"),
    ("sleep 1000", "build.timed-out"),
];

#[test]
fn a_build_that_misbehaves_is_named_and_harms_nobody() {
    let limits = HostOptions::default()
        .limit("stop_grace_s", 3)
        .limit("build.memory_bytes_max", 512 << 20)
        .limit("build.pids_max", 300)
        .limit("build.output_bytes_max", 8 << 20)
        .limit("build.disk_bytes_max", 600 << 20)
        .limit("build.command_wall_ms", 40_000);
    let mut shop = Shop::open_on(TestHost::start_with(limits));
    let load = shop.load();
    for (command, code) in sample::of(HOGS.to_vec(), SAMPLE) {
        shop.set_build(Some(command));
        shop.commit(App::Good { migrates_ms: 0 });
        let failed = shop.host.deploy_git(PROJECT, &shop.repo, &[]);
        let failure = failed.view.deployment.failure.clone().unwrap();
        assert_eq!(failure.code, code, "{command}: {failure:#?}");
        assert_eq!(failure.step, Some(StepName::Build));
        let why = why(&shop, shop.last);
        assert!(why.steps.iter().any(|step| !step.succeeded), "{why:#?}");
    }
    assert_unharmed(&load.stop(), &["v1"]);
    shop.set_build(None);
    shop.deploy_next();
    shop.host.finish();
}

#[test]
fn a_build_reaches_neither_the_api_nor_the_metadata_address() {
    let mut shop = Shop::open();
    // What listens on every address of the machine, as an API may; the machine itself comes to it.
    let api = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = api.local_addr().unwrap().port();
    let addresses = Command::new("hostname").arg("-I").output().unwrap();
    let own = String::from_utf8_lossy(&addresses.stdout).into_owned();
    let own: Vec<&str> = own.split_whitespace().filter(|at| at.contains('.')).collect();
    drop(TcpStream::connect((own[0], port)).unwrap());
    drop(api.accept().unwrap());
    let mut targets: Vec<String> = own.iter().map(|at| format!("{at} {port}")).collect();
    // Somebody is under the addresses of metadata, and is reached under its own.
    let server = OutsideServer::start_with_metadata(|_| Page::Absent);
    let metadata = METADATA.map(|address| format!("{address} 80"));
    let reachable = format!("{} 80", server.address.ip());
    targets.extend(metadata.iter().chain([&reachable]).cloned());
    targets.push(format!("127.0.0.1 {}", shop.host.api_address().port()));
    // The gateway of the build's own network stands in its route table.
    let script = "const net = require('net'), fs = require('fs');\n\
        const hex = fs.readFileSync('/proc/net/route', 'utf8').split('\\n')[1]?.split('\\t')[2];\n\
        const gateway = hex?.match(/../g).reverse().map(h => parseInt(h, 16)).join('.');\n\
        const targets = process.argv.slice(2);\n\
        if (gateway) targets.push(gateway + ' ' + PORT);\n\
        for (const target of targets) {\n\
          const [host, port] = target.split(' ');\n\
          const socket = net.connect({ host, port: +port, timeout: 2000 });\n\
          const end = word => { console.log(word + ' ' + target); socket.destroy(); };\n\
          socket.on('connect', () => end('open')).on('error', () => end('shut'));\n\
          socket.on('timeout', () => end('shut'));\n\
        }\n";
    shop.repo.write("look.js", &script.replace("PORT", &port.to_string()));
    let words: Vec<String> = targets.iter().map(|target| format!("'{target}'")).collect();
    shop.set_build(Some(&format!("node look.js {}", words.join(" "))));
    shop.deploy_next();
    let path = format!("/v1/deployments/{}/logs?project={PROJECT}&step=build", shop.last);
    let log = shop.host.api("GET", &path, None).text();
    for target in &metadata {
        assert!(log.contains(&format!("shut {target}")), "{target}: {log}");
    }
    assert!(log.contains(&format!("open {reachable}")), "{log}");
    assert_eq!(log.matches("open ").count(), 1, "{log}");
    outside::wait_for_metadata();
    api.set_nonblocking(true).unwrap();
    assert!(api.accept().is_err(), "somebody came to what listens on the machine: {log}");
    assert_eq!(shop.host.get(HOST, "/").status, 200);
    shop.host.finish();
}
