//! Plugins of strangers who mean harm, beside a deployment: it goes live, visitors notice nothing, and each of theirs
//! ends as the [table](windlass_test_support::adversaries) says.
//!
//! `WINDLASS_TEST_EXTENT=full` plays all of the table, otherwise a sample is drawn; `WINDLASS_TEST_ONLY` plays those
//! of these names. What has to lie in a source, and how close to their limits calls end, is the sandbox's tests' to
//! play: here all of them have the limits of one host.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use windlass_model::failure::Fault;
use windlass_model::plugin::Stage;
use windlass_model::plugin::manage::Proposal;
use windlass_model::{DeploymentStatus, Failure, StepName};
use windlass_test_support::adversaries::greedy::{GREEDY, Greedy};
use windlass_test_support::adversaries::{Adversary, Ends, Kind, Made, table};
use windlass_test_support::{
    Deployed, GitRepo, HostOptions, TestHost, guest, leaks, sample, scratch, until, wait_for,
};

use crate::shop::{App, HOST, PROJECT, Shop, assert_unharmed};

/// Adversaries that are played beside one deployment.
const ROUND: usize = 8;
/// The project that they are deployed to.
const SITE: &str = "site";
/// Memory of one call: enough for what is too long to be made in it.
const MEMORY_BYTES_MAX: u64 = 512 << 20;
/// What the host itself may need beside the memory that it lends to a call.
const HOST_BYTES_MAX: u64 = 256 << 20;
const SOON: Duration = Duration::from_secs(60);

/// A host with limits of which each adversary meets its own first: what computes comes to its CPU time long before
/// the wall clock is over, and what takes memory long before its CPU time is.
fn host() -> TestHost {
    let options = HostOptions::default()
        .limit("stop_grace_s", 3)
        .limit("plugin.wall_ms", 20_000)
        .limit("plugin.cpu_ms", 5_000)
        .limit("plugin.memory_bytes_max", i64::try_from(MEMORY_BYTES_MAX).unwrap())
        // They fail many times in a row here, and are to be asked each time.
        .limit("plugin.faults_in_a_row_max", 0);
    let host = TestHost::start_with(options);
    host.cli(&["plugin", "install", guest::component().to_str().unwrap()]).ok();
    host.cli(&["project", "create", SITE]).ok();
    host
}

#[test]
fn a_deployment_beside_adversaries_goes_live_and_each_of_theirs_ends_as_documented() {
    let mut shop = Shop::open_on(host());
    let serve = shop.host.serve_pid();
    let before = resident_bytes(serve, "VmRSS:");
    let mut played = sample::of_named(table(), ROUND, |one| one.name.clone());
    let mut failed = Vec::new();
    for round in 0.. {
        let some: Vec<Adversary> = played.drain(..ROUND.min(played.len())).collect();
        if some.is_empty() {
            break;
        }
        play_round(&mut shop, round, &some, &mut failed);
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(shop.host.serve_pid(), serve, "the host went on");
    let grown = resident_bytes(serve, "VmHWM:").saturating_sub(before);
    assert!(grown < MEMORY_BYTES_MAX / 10 * 11 + HOST_BYTES_MAX, "the host grew by {grown} bytes");
    shop.host.finish();
}

/// Changes that a call of a stage may make.
const WRITES_MAX: u64 = 300;

#[test]
fn a_deployment_beside_stages_that_ask_for_ever_goes_live_and_each_of_them_is_stopped() {
    let options = HostOptions::default()
        .limit("stop_grace_s", 3)
        .limit("plugin.cpu_ms", 1_000)
        .limit("plugin.wall_ms", 60_000)
        .limit("plugin.faults_in_a_row_max", 0)
        .limit("stages.exec_commands_max", 5)
        .limit("stages.writes_max", i64::try_from(WRITES_MAX).unwrap());
    let host = TestHost::start_with(options);
    let (file, grants) = (guest::stages(), "source,exec,artifacts,cache,annotations");
    host.cli(&["plugin", "install", file.to_str().unwrap(), "--grant", grants]).ok();
    host.cli(&["project", "create", SITE]).ok();
    let mut shop = Shop::open_on(host);
    let serve = shop.host.serve_pid();
    beside(&mut shop, 0, |host| {
        for one in GREEDY {
            assert_greedy_is_stopped(host, &one);
        }
    });
    assert_eq!(shop.host.serve_pid(), serve, "the host went on");
    shop.host.finish();
}

/// It gets as much as the host's limit says, and is ended and named when its own time is over.
fn assert_greedy_is_stopped(host: &TestHost, one: &Greedy) {
    let repo = GitRepo::of_fixture("plain-node");
    repo.write(
        "windlass.toml",
        &format!(
            "[[stages]]\nplugin = 'test-stages'\nstage = 'act'\nat = 'after-build'\n\
             options = {{ misbehave = '{}' }}\n",
            one.misbehave
        ),
    );
    repo.commit("One that is greedy");
    let deployed = host.deploy_git(SITE, &repo, &[]);
    let failure = deployed.failed("plugin.timed-out");
    assert_eq!(failure.fault, Fault::Plugin(guest::STAGES.to_owned()), "{one:?}: {failure:#?}");
    assert!(failure.what.contains("test-stages.act at after-build"), "{one:?}: {failure:#?}");
    let number = deployed.number().to_string();
    let log = host.cli(&["logs", "--step", "build", &number, "--project", SITE]).ok().stdout;
    assert!(log.contains(one.meets), "{one:?}: {log}");
    if one.misbehave == "append-forever" {
        let attached = host.show(SITE, deployed.number()).attached;
        assert_eq!(attached[0].bytes, WRITES_MAX, "one for each change: {attached:#?}");
    }
}

/// Plays some of them while a deployment builds and visitors come. Those that do not end as they should are noted.
fn play_round(shop: &mut Shop, round: usize, some: &[Adversary], failed: &mut Vec<String>) {
    beside(shop, round, |host| {
        for one in some {
            let play = AssertUnwindSafe(|| match &one.made {
                Made::Guest(how) => {
                    let deployed = host.deploy_git(SITE, &asking(how), &[]);
                    assert_ended(one, &deployed, guest::NAME);
                }
                Made::File(_) => install(host, one),
                Made::Odd(lay) => drop_in(host, one, *lay),
            });
            if catch_unwind(play).is_err() {
                failed.push(one.name.clone());
            }
        }
    });
}

/// Plays something while a deployment builds and visitors come: it goes live, and they notice nothing.
fn beside(shop: &mut Shop, round: usize, play: impl FnOnce(&TestHost)) {
    let load = shop.load();
    let before = shop.text.clone();
    // A build that takes its time, which its neighbours must not take from it.
    let nap = format!("sleep 20.{:05}{round:04}", std::process::id() % 100_000);
    shop.set_build(Some(&nap));
    shop.text = shop.commit(App::Good { migrates_ms: 0 });
    shop.ask();
    until("the build sleeps", SOON, || !leaks::pids_naming(&nap).is_empty());
    play(&shop.host);
    let live = "it goes live beside them";
    shop.host.wait_deployment(PROJECT, shop.last, live, Duration::from_secs(120), |view| {
        assert_eq!(view.deployment.failure, None);
        view.deployment.status == DeploymentStatus::Live
    });
    shop.live = shop.last;
    load.wait_body(&shop.text);
    load.wait_body(&format!("slow {}", shop.text));
    assert_unharmed(&load.stop(), &[&before, &shop.text]);
    assert_eq!(shop.host.get(HOST, "/").text(), shop.text);
}

/// A repository that asks the guest for a behaviour. Health is asked of what has processes only.
fn asking(how: &str) -> GitRepo {
    if !how.starts_with("policy=") {
        return GitRepo::of_files(&[("behave", how), ("index.html", "<p>Theirs</p>\n")]);
    }
    let repo = GitRepo::of_fixture("plain-node");
    repo.write("behave", how);
    repo.write("windlass.toml", "[build]\nframework = \"node\"\n");
    repo.commit("Judged by somebody else");
    repo
}

/// It is installed for one project, unless it is refused, and asked there what an application is.
fn install(host: &TestHost, one: &Adversary) {
    let dir = scratch("adversary");
    let file = one.lay_file(dir.path());
    let file = file.to_str().unwrap();
    let sent = host.cli_json(&["plugin", "install", file, "--grant", "none", "--disabled"]);
    if sent.code != 0 {
        assert_refused(one, &sent.failure());
        return;
    }
    let plugin = sent.json::<Proposal>().name;
    host.cli(&["plugin", "enable", &plugin, "--project", SITE]).ok();
    let repo = GitRepo::of_files(&[("index.html", "<p>Ours</p>\n")]);
    assert_ended(one, &host.deploy_git(SITE, &repo, &[]), &plugin);
    host.cli(&["plugin", "remove", &plugin, "--yes"]).ok();
}

/// It is put into the folder of plugins while the host runs.
fn drop_in(host: &TestHost, one: &Adversary, lay: fn(&Path)) {
    let path = host.data_dir().join("plugins/odd.wasm");
    let listed = || host.cli(&["plugin", "list"]).ok().stdout;
    lay(&path);
    wait_for("the host says what is wrong with it", SOON, || {
        let said = listed();
        let says = |word: &&str| said.contains(*word);
        if said.contains("odd") && one.says.iter().all(says) { Ok(()) } else { Err(said) }
    });
    std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path)).unwrap();
    until("it is forgotten", SOON, || !listed().contains("odd"));
}

/// How it may end; nothing where it may go live.
fn codes<'a>(one: &Adversary, failure: &'a Failure) -> Vec<&'a str> {
    match &one.ends {
        _ if is_open(one) => vec![failure.code.as_str()],
        Ends::NotLoadable => vec!["plugin.not-loadable"],
        Ends::Stopped(ends) => ends.iter().map(|(_, code)| *code).collect(),
        Ends::Harmless(_) | Ends::Named => Vec::new(),
    }
}

/// Whether it may end anyhow, as long as it is named. A host has more time to compile than the sandbox's tests give
/// a bomb, which may come to its end.
fn is_open(one: &Adversary) -> bool {
    matches!(one.ends, Ends::Named) || one.kind == Kind::CompileBomb
}

/// Whoever installs it is told what is wrong with the file.
fn assert_refused(one: &Adversary, failure: &Failure) {
    let name = &one.name;
    // It may not come to the call that was to end otherwise.
    let is_not_loadable = failure.code == "plugin.not-loadable";
    let is_documented = codes(one, failure).contains(&failure.code.as_str());
    // An empty file is an empty request.
    let is_empty = matches!(one.kind, Kind::RandomBytes | Kind::NoComponent)
        && failure.code == "request.body-empty";
    assert!(is_not_loadable || is_documented || is_empty, "{name}: {failure:#?}");
    assert_ne!(failure.fault, Fault::Host, "{name}: {failure:#?}");
    assert!(!failure.why.is_empty() && !failure.fix.is_empty(), "{name}: {failure:#?}");
    if is_open(one) || is_empty {
        return;
    }
    assert!(failure.what.contains("odd"), "{name}: {failure:#?}");
    assert_says(one, failure);
}

fn assert_ended(one: &Adversary, deployed: &Deployed, plugin: &str) {
    let name = &one.name;
    let deployment = &deployed.view.deployment;
    let Some(failure) = &deployment.failure else {
        let may_go_live = matches!(one.ends, Ends::Harmless(_)) || is_open(one);
        assert!(may_go_live, "{name}: it went live");
        assert_eq!(deployment.status, DeploymentStatus::Live, "{name}");
        return;
    };
    assert!(codes(one, failure).contains(&failure.code.as_str()), "{name}: {failure:#?}");
    let failure = deployed.failed(&failure.code);
    if failure.code.starts_with("plugin.") {
        assert_eq!(failure.fault, Fault::Plugin(plugin.to_owned()), "{name}: {failure:#?}");
    } else {
        assert_eq!(failure.fault, Fault::App, "{name}: {failure:#?}");
    }
    if is_open(one) {
        return;
    }
    assert!(failure.what.contains(plugin), "{name}: {failure:#?}");
    let step = match one.stage {
        Stage::Builder => StepName::Plan,
        Stage::Health => StepName::Check,
        _ => StepName::Detect,
    };
    assert_eq!(failure.step, Some(step), "{name}: {failure:#?}");
    assert_says(one, &failure);
}

fn assert_says(one: &Adversary, failure: &Failure) {
    for word in one.says {
        assert!(failure.why.contains(word), "{}: no {word:?} in {failure:#?}", one.name);
    }
}

/// A line of the memory of a process, in bytes.
fn resident_bytes(pid: u32, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    let kib: u64 = found.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}
