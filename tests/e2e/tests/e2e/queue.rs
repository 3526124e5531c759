//! Waiting, halting, going back, promoting, keeping, on real parts; and a thousand requests at once.

use std::time::{Duration, Instant};

use windlass_model::api::DeploymentView;
use windlass_model::deployment::CancelReason;
use windlass_model::{Deployment, DeploymentStatus, StepName, StepStatus, Timestamp};
use windlass_test_support::{
    Deployed, GitRepo, HostOptions, Request, TestHost, http, leaks, sample, wait_for,
};

const PROJECT: &str = "shop";
const HOST: &str = "shop.localhost";
const SOON: Duration = Duration::from_secs(60);

/// The small application; it answers its version and the variable GREETING.
fn greeting() -> GitRepo {
    let repo = GitRepo::of_fixture("plain-node");
    repo.edit("server.js", "const version = 'v1'", "const version = 'v1 ' + process.env.GREETING");
    repo.commit("version 1");
    repo
}

fn next(repo: &GitRepo, from: u32) {
    repo.edit("server.js", &format!("'v{from} '"), &format!("'v{} '", from + 1));
    repo.commit(&format!("version {}", from + 1));
}

fn set(host: &TestHost, text: &str) {
    let value = format!("GREETING={text}");
    host.cli(&["env", "set", &value, "--project", PROJECT]).ok();
}

#[test]
fn a_rollback_gets_the_variables_that_are_wanted_and_builds_only_what_was_pruned() {
    let host = TestHost::start();
    let repo = greeting();
    repo.write("windlass.toml", "[deploy]\nkeep_artifacts = 1\n");
    repo.commit("keep one artifact");
    host.cli(&["project", "create", PROJECT]).ok();
    host.cli(&["environment", "create", "production", "--project", PROJECT]).ok();
    set(&host, "one");
    host.deploy_git(PROJECT, &repo, &[]).live();
    assert_eq!(host.get(HOST, "/").text(), "v1 one");
    set(&host, "two");
    next(&repo, 1);
    host.deploy_git(PROJECT, &repo, &[]).live();
    assert_eq!(host.get(HOST, "/").text(), "v2 two");

    let back = ["rollback", "1", "--project", PROJECT];
    let back = Deployed::of(&host.cli_json(&back)).live();
    assert_eq!(back.step(StepName::Build), StepStatus::Skipped);
    assert_eq!(host.get(HOST, "/").text(), "v1 two", "with the present variables");
    let old = ["rollback", "1", "--with-its-env", "--project", PROJECT];
    let old = Deployed::of(&host.cli_json(&old)).live();
    assert_eq!(host.get(HOST, "/").text(), "v1 one", "with the variables that it had");

    host.cli(&["pin", "2", "--project", PROJECT]).ok();
    next(&repo, 2);
    host.deploy_git(PROJECT, &repo, &[]).live();
    next(&repo, 3);
    host.deploy_git(PROJECT, &repo, &[]).live();
    for number in [1, old.number()] {
        host.wait_deployment(PROJECT, number, "it is pruned", SOON, |view| {
            view.deployment.artifact_pruned
        });
    }
    let pinned = host.show(PROJECT, 2);
    assert!(pinned.pinned && !pinned.deployment.artifact_pruned, "the pinned one stays");
    let refused = host.cli_json(&["rollback", "1", "--project", PROJECT]).failure();
    assert_eq!(refused.code, "rollback.artifact-pruned");
    assert!(refused.fix.contains("windlass rollback 1 --rebuild"), "{}", refused.fix);
    let built = ["rollback", "1", "--rebuild", "--project", PROJECT];
    let built = Deployed::of(&host.cli_json(&built)).live();
    assert_ne!(built.step(StepName::Build), StepStatus::Skipped);
    assert_eq!(built.step(StepName::Migrate), StepStatus::Skipped);
    assert_eq!(host.get(HOST, "/").text(), "v1 two");
    host.cli(&["redeploy", "--project", PROJECT]).ok();
    assert_eq!(host.get(HOST, "/").text(), "v4 two", "a redeployment follows the branch again");
    host.finish();
}

#[test]
fn a_damaged_artifact_is_refused_before_anything_is_started() {
    let host = TestHost::start();
    let repo = greeting();
    let first = host.deploy_git(PROJECT, &repo, &[]).live();
    next(&repo, 1);
    host.deploy_git(PROJECT, &repo, &[]).live();
    let serving = host.get(HOST, "/").text();
    let artifact = first.view.deployment.outputs.artifact.unwrap();
    host.ctr_lines(&["content", "rm", &artifact.digest.to_string()]);
    let back = Deployed::of(&host.cli_json(&["rollback", "1", "--project", PROJECT]));
    let failure = back.failed("rollback.artifact-damaged");
    assert_eq!(failure.step, Some(StepName::Preflight));
    assert!(failure.fix.contains("--rebuild"), "{}", failure.fix);
    assert_eq!(back.step(StepName::Start), StepStatus::Cancelled, "it was never begun");
    assert_eq!(host.get(HOST, "/").text(), serving);
    host.finish();
}

#[test]
fn a_promotion_takes_the_same_artifact_with_the_targets_variables() {
    let host = TestHost::start();
    let repo = greeting();
    host.cli(&["project", "create", PROJECT]).ok();
    for (environment, text) in [("staging", "staging"), ("production", "production")] {
        host.cli(&["environment", "create", environment, "--project", PROJECT]).ok();
        let value = format!("GREETING={text}");
        host.cli(&["env", "set", &value, "-e", environment, "--project", PROJECT]).ok();
    }
    let staged = host.deploy_git(PROJECT, &repo, &["-e", "staging"]).live();
    let promote = ["promote", "--from", "staging", "--to", "production", "--project", PROJECT];
    let promoted = Deployed::of(&host.cli_json(&promote)).live();
    assert_eq!(promoted.step(StepName::Build), StepStatus::Skipped);
    let digest = |deployed: &Deployed| {
        let artifact = deployed.view.deployment.outputs.artifact.as_ref();
        artifact.map(|artifact| artifact.digest.clone())
    };
    assert_eq!(digest(&promoted), digest(&staged));
    assert_eq!(host.get(HOST, "/").text(), "v1 production");
    let warned = promoted.view.deployment.warnings.iter();
    let codes: Vec<&str> = warned.map(|warning| warning.code.as_str()).collect();
    assert!(codes.contains(&"promote.build-variables-differ"), "{codes:?}");
    host.finish();
}

/// A build that leaves a daemon behind: its own session, no parent, deaf to SIGTERM.
const DAEMON: &str = "setsid sh -c 'trap : TERM; while :; do sleep 918273; done' </dev/null >/dev/null 2>&1 & echo forked; sleep 918273";

#[test]
fn cancelling_kills_the_whole_process_tree_of_a_build_and_leaves_nothing() {
    let host = TestHost::start();
    let repo = greeting();
    host.deploy_git(PROJECT, &repo, &[]).live();
    let before = host.holdings();
    repo.write("daemon.sh", DAEMON);
    repo.edit(
        "package.json",
        "\"node server.js\"",
        "\"node server.js\", \"build\": \"sh daemon.sh\"",
    );
    repo.commit("a build that forks");
    let accepted: DeploymentView =
        host.cli_json(&["deploy", &repo.url(), "--project", PROJECT, "--no-wait"]).ok().json();
    let number = accepted.deployment.number.to_string();
    wait_for("the build has forked", SOON, || match leaks::pids_naming("918273").len() >= 2 {
        true => Ok(()),
        false => Err(format!("{:#?}", host.show(PROJECT, 2).deployment.steps)),
    });
    host.cli(&["cancel", &number, "--project", PROJECT]).ok();
    let done = host.wait_deployment(PROJECT, 2, "it is cancelled", SOON, |view| {
        view.deployment.status == DeploymentStatus::Cancelled
    });
    assert!(matches!(done.deployment.cancelled, Some(CancelReason::Person { .. })));
    assert_eq!(leaks::pids_naming("918273"), Vec::<u32>::new(), "the whole tree is gone");
    assert_eq!(host.holdings(), before);
    host.finish();
}

#[test]
fn a_halted_deployment_survives_a_kill_and_goes_on_when_it_is_told_to() {
    let mut host = TestHost::start_with(HostOptions::default().failpoint("after:pause"));
    let repo = greeting();
    repo.edit("package.json", "\"node server.js\"", "\"node server.js\", \"build\": \"sleep 4\"");
    repo.commit("a build that takes a while");
    host.cli(&["deploy", &repo.url(), "--project", PROJECT, "--no-wait"]).ok();
    host.wait_deployment(PROJECT, 1, "it is building", SOON, |view| {
        view.deployment.current_step() == Some(StepName::Build)
    });
    host.cli(&["pause", "1", "--project", PROJECT]).ok();
    // It dies as soon as the halt is stored.
    host.wait_serve_ended(SOON);
    assert_eq!(host.take_failpoint_hit().as_deref(), Some("after:pause"));
    host.set_env(&[]);
    host.restart();
    let paused = |view: &DeploymentView| view.deployment.status == DeploymentStatus::Paused;
    let halted = host.wait_deployment(PROJECT, 1, "it is halted", SOON, paused);
    let before = halted.deployment.paused.as_ref().map(|pause| pause.before);
    assert_eq!(halted.deployment.current_step(), before, "between two steps");
    host.kill9_serve();
    host.restart();
    assert_eq!(host.show(PROJECT, 1).deployment.paused, halted.deployment.paused);
    let again = host.cli_json(&["pause", "1", "--project", PROJECT]).failure();
    assert_eq!(again.code, "deployment.already-paused");
    assert!(again.fix.contains("windlass resume 1"), "{}", again.fix);
    // The environment's slot stays taken; a newer one says so.
    host.cli(&["deploy", &repo.url(), "--project", PROJECT, "--no-wait"]).ok();
    let waiting = host.show(PROJECT, 2).waiting_for.unwrap_or_default();
    assert!(waiting.contains("#1 of this environment is paused before"), "{waiting}");
    Deployed::of(&host.cli_json(&["resume", "1", "--project", PROJECT])).live();
    host.wait_deployment(PROJECT, 2, "the newer one is live", SOON, |view| {
        view.deployment.status == DeploymentStatus::Live
    });
    host.finish();
}

/// What the control plane may have taken at most when a thousand requests came at once.
const MEMORY_BYTES_MAX: u64 = 512 << 20;

/// The most memory that a process had so far.
fn peak_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = line.trim().strip_suffix("kB").unwrap().trim().parse().unwrap();
    kib * 1024
}

/// Projects that ask at once.
const PROJECTS: usize = 50;
/// Deployments that run at once then.
const RUNNERS: usize = 4;
/// How long one answer may take: two seconds are promised, and measured by the bench. Here as many threads as
/// requests share two cores with other tests.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// A request that was accepted.
struct Accepted {
    sent: Instant,
    answered: Instant,
    /// The same, by the clock that the host's records have.
    answered_at: Timestamp,
    deployment: Deployment,
}

/// Sends so many requests for each project, all at once, from as many threads.
fn ask_at_once(host: &TestHost, url: &str, each: usize) -> Vec<Accepted> {
    let (token, api) = (host.token(), host.api_address());
    let body = format!("{{\"git_url\": \"{url}\"}}");
    let ask = |project: usize| {
        let path =
            format!("/v1/projects/p{project}/environments/production/deployments?create=true");
        let headers = vec![
            ("authorization", format!("Bearer {token}")),
            ("content-type", "application/json".to_owned()),
        ];
        let body = Some(body.as_bytes());
        let request = Request { method: "POST", target: &path, host: "localhost", headers, body };
        let sent = Instant::now();
        let answer = http::send(api, &request).unwrap();
        let (answered, answered_at) = (Instant::now(), Timestamp::now());
        assert_eq!(answer.status, 202, "{}", answer.text());
        let deployment = answer.json::<DeploymentView>().deployment;
        Accepted { sent, answered, answered_at, deployment }
    };
    std::thread::scope(|threads| {
        let projects = (0..each).flat_map(|_| 0..PROJECTS);
        let asked: Vec<_> = projects.map(|project| threads.spawn(move || ask(project))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    })
}

/// Each project's deployments are numbered without a gap, and one that was accepted before another was asked
/// for has the lower number.
#[expect(clippy::print_stderr, reason = "how long it took is told beside what it may take")]
fn assert_answered_in_order(accepted: &[Accepted], each: usize) {
    let slowest = accepted.iter().map(|one| one.answered - one.sent).max().unwrap_or_default();
    eprintln!("the slowest of {} answers took {} ms", accepted.len(), slowest.as_millis());
    assert!(slowest < ANSWERED_WITHIN, "the slowest answer took {} s", slowest.as_secs());
    for project in 0..PROJECTS {
        let name = format!("p{project}");
        let of = |one: &&Accepted| one.deployment.project.as_str() == name;
        let of: Vec<&Accepted> = accepted.iter().filter(of).collect();
        let mut numbers: Vec<u64> = of.iter().map(|one| one.deployment.number).collect();
        numbers.sort_unstable();
        let expected: Vec<u64> = (1..=each).map(|number| number.try_into().unwrap()).collect();
        assert_eq!(numbers, expected, "{name}");
        for (one, other) in of.iter().flat_map(|one| of.iter().map(move |other| (one, other))) {
            let (first, second) = (one.deployment.number, other.deployment.number);
            let is_before = one.answered < other.sent;
            assert!(!is_before || first < second, "{name}: {first} came before {second}");
        }
    }
}

/// Who was accepted first begins first: within a project always; among projects nobody is overtaken by more
/// than those whom the runners were just taking.
fn assert_begun_in_order(all: &[Deployment], accepted: &[Accepted]) {
    let over = |one: &Deployment| one.live_at.or(one.ended_at);
    for one in all {
        let Some(began) = one.started_at else { continue };
        let own = all.iter().filter(|other| other.project == one.project);
        let before = own.filter(|other| other.number < one.number && other.started_at.is_some());
        let before: Vec<&Deployment> = before.collect();
        for other in &before {
            assert!(other.started_at < one.started_at, "{other:#?} began after {one:#?}");
        }
        let answered = accepted.iter().find(|other| other.deployment.id == one.id).unwrap();
        // From then on nothing but its turn kept it from beginning.
        let ready = before.into_iter().filter_map(over).fold(answered.answered_at, Ord::max);
        let overtook = all.iter().filter(|other| {
            let later = other.project != one.project && other.id > one.id;
            later && other.started_at.is_some_and(|at| ready < at && at < began)
        });
        let overtook = overtook.count();
        assert!(overtook <= 3 * RUNNERS, "{overtook} newer ones began before {one:#?}");
    }
}

/// All at once, from as many threads: each is answered, in order; the newest of each environment wins, the
/// queue stays bounded, and everything settles.
#[test]
fn many_requests_for_fifty_projects_at_once_are_answered_and_settle() {
    // Every one of them is looked at below: none is pruned.
    let runners = i64::try_from(RUNNERS).unwrap();
    let limits = HostOptions::default().limit("deployments_running_max", runners);
    let host = TestHost::start_with(limits.limit("keep_deployments", 50));
    let repo = GitRepo::of_files(&[("index.html", "<h1>hello</h1>\n")]);
    let each: usize = sample::of((1..=20).collect(), 4).len();
    let accepted = ask_at_once(&host, &repo.url(), each);
    let held = peak_bytes(host.serve_pid());
    assert!(held < MEMORY_BYTES_MAX, "the host took {} MiB at most", held >> 20);
    assert_answered_in_order(&accepted, each);
    let last = u64::try_from(each).unwrap();
    let mut all: Vec<Deployment> = Vec::new();
    for project in 0..PROJECTS {
        let project = format!("p{project}");
        let newest =
            host.wait_deployment(&project, last, "the newest is live", 10 * SOON, |view| {
                view.deployment.status == DeploymentStatus::Live
            });
        for number in 1..last {
            let view =
                host.wait_deployment(&project, number, "it has settled", 10 * SOON, |view| {
                    view.deployment.status.is_over()
                });
            let deployment = view.deployment;
            // One may have gone live before the newer ones came; none is live still.
            let superseded = match &deployment.cancelled {
                Some(CancelReason::Superseded { by }) => {
                    let by = accepted.iter().find(|one| one.deployment.id == *by);
                    by.is_some_and(|by| by.deployment.number > number)
                }
                _ => false,
            };
            let failure = &deployment.failure;
            assert!(superseded || deployment.live_at.is_some(), "{failure:#?} of {deployment:#?}");
            assert_ne!(deployment.status, DeploymentStatus::Live);
            all.push(deployment);
        }
        all.push(newest.deployment);
    }
    assert_begun_in_order(&all, &accepted);
    host.finish();
}
