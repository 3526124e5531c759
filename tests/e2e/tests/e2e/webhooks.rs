//! Webhooks, commit statuses and previews, from signed deliveries to what visitors see.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use windlass_model::DeploymentStatus;
use windlass_model::hooks::{PreviewsView, WebhookWithSecret};
use windlass_model::webhook::{Delivery, Verdict};
use windlass_test_support::hooks::Hook;
use windlass_test_support::{GitRepo, HostOptions, Server, TestHost, sample, until, wait_for};

const PROJECT: &str = "shop";
const HOST: &str = "shop.localhost";
const ZEROS: &str = "0000000000000000000000000000000000000000";
const SOON: Duration = Duration::from_secs(120);

fn repository(repo: &GitRepo) -> Value {
    json!({ "full_name": "acme/shop", "clone_url": repo.url(), "default_branch": "main" })
}

fn push(repo: &GitRepo, branch: &str, after: &str, message: &str) -> Value {
    json!({
        "ref": format!("refs/heads/{branch}"), "before": ZEROS, "after": after,
        "head_commit": {"id": after, "message": message}, "repository": repository(repo),
    })
}

fn pull_request(repo: &GitRepo, action: &str, number: u64, commit: &str) -> Value {
    let side = |reference: &str| json!({"ref": reference, "sha": commit, "repo": {"full_name": "acme/shop"}});
    json!({
        "action": action, "number": number, "repository": repository(repo),
        "pull_request": {"title": "A change", "head": side("change"), "base": side("main")},
    })
}

/// A site of one page.
fn site(text: &str) -> GitRepo {
    GitRepo::of_files(&[("index.html", text)])
}

#[track_caller]
fn settled(delivery: &Delivery, verdict: Verdict, code: &str) {
    assert_eq!((delivery.verdict, delivery.code.as_str()), (verdict, code), "{delivery:#?}");
}

fn wait_live(host: &TestHost, delivery: &Delivery) -> u64 {
    settled(delivery, Verdict::Accepted, "deployed");
    let number = delivery.outcomes[0].number.unwrap();
    host.wait_deployment(PROJECT, number, "it is live", SOON, |view| {
        let deployment = &view.deployment;
        assert!(deployment.failure.is_none(), "{:#?}", deployment.failure);
        deployment.status == DeploymentStatus::Live
    });
    number
}

#[test]
fn a_signed_push_deploys_its_commit_and_the_provider_is_told() {
    let host = TestHost::start();
    let repo = site("one");
    let first = repo.git(&["rev-parse", "HEAD"]);
    host.deploy_git(PROJECT, &repo, &[]).live();
    let api = Server::answering(|_, number| (if number == 0 { 502 } else { 201 }, "{}"));
    let hook = Hook::create(&host, PROJECT, &["--provider", "github", "--api-base", &api.base()]);
    let token = ["webhook", "status-token", &hook.id, "--project", PROJECT];
    assert_eq!(host.cli_with_input(&token, "t0ken\n").code, 0);

    let ping =
        hook.settled(&host, "ping", "p-1", &json!({"zen": "x", "repository": repository(&repo)}));
    settled(&ping, Verdict::Ignored, "ping");
    repo.write("index.html", "two");
    let second = repo.commit("Two");
    repo.write("index.html", "three");
    repo.commit("Three, not pushed yet as far as the host knows");
    let asked = Instant::now();
    let answer = hook.github(&host, "push", "d-1", &push(&repo, "main", &second, "Two"));
    assert!(asked.elapsed() < Duration::from_secs(1), "answered in {:?}", asked.elapsed());
    assert_eq!(answer.status, 202, "{}", answer.text());
    let number = wait_live(&host, &hook.wait(&host, "d-1"));
    assert_eq!(host.get(HOST, "/").text(), "two", "exactly the pushed commit");
    let view = host.show(PROJECT, number).deployment;
    assert_eq!(view.outputs.fetched.unwrap().commit.as_deref(), Some(second.as_str()));

    let told = wait_for("the provider is told of the success", SOON, || {
        let told = api.asked();
        let done = told.iter().any(|one| one.json()["state"] == "success");
        if done { Ok(told) } else { Err(format!("{told:#?}")) }
    });
    let line = format!("POST /repos/acme/shop/statuses/{second} HTTP/1.1");
    for one in &told {
        assert_eq!(one.line, line);
        assert_eq!(one.header("authorization"), Some("Bearer t0ken"));
        assert_eq!(one.json()["context"], "windlass/production");
    }
    let states = told.iter().map(|one| one.json()["state"].clone());
    let states: Vec<Value> = states.filter(Value::is_string).collect();
    assert_eq!(states.last(), Some(&json!("success")), "{states:?}");
    assert!(states.len() >= 2, "the first one was refused, and sent again: {states:?}");

    // An older commit may be pushed again.
    let back = hook.settled(&host, "push", "d-2", &push(&repo, "main", &first, "One"));
    wait_live(&host, &back);
    assert_eq!(host.get(HOST, "/").text(), "one");
    // A redeployment looks the branch up anew.
    host.cli_json(&["redeploy", "--project", PROJECT]).ok();
    assert_eq!(host.get(HOST, "/").text(), "three");
    host.finish();
}

#[test]
fn what_is_replayed_or_not_genuine_is_refused_also_after_a_restart() {
    let mut host = TestHost::start();
    let repo = site("one");
    let commit = repo.git(&["rev-parse", "HEAD"]);
    host.cli_json(&["project", "create", PROJECT]).ok();
    let url = repo.url();
    let args = ["--provider", "github", "--no-status", "--repository", &url];
    let mut hook = Hook::create(&host, PROJECT, &args);
    let body = push(&repo, "main", &commit, "One");

    let stranger = Hook { secret: "guess".to_owned(), ..hook.clone() };
    stranger.refused(&host, "d-1", &body, 401, "webhook.signature-wrong");
    // The host dies after it has answered, before the work is done; the deployment is made once.
    host.stop_serve();
    host.set_env(&[("WINDLASS_FAILPOINT", "webhook:deployed")]);
    host.restart();
    assert_eq!(hook.github(&host, "push", "d-1", &body).status, 202);
    host.wait_serve_ended(SOON);
    assert_eq!(host.take_failpoint_hit().as_deref(), Some("webhook:deployed"));
    host.set_env(&[]);
    host.restart();
    let number = wait_live(&host, &hook.wait(&host, "d-1"));
    assert_eq!(number, 1, "one delivery is one deployment");
    assert_eq!(host.get(HOST, "/").text(), "one", "a project's first deployment may be a push");
    hook.refused(&host, "d-1", &body, 409, "webhook.replayed");

    let rotate = ["webhook", "rotate", &hook.id, "--project", PROJECT, "--keep", "1h"];
    let rotated: WebhookWithSecret = host.cli_json(&rotate).ok().json();
    let old = hook.clone();
    hook.secret = rotated.secret;
    let skipped = |text: &str| push(&repo, "main", &commit, text);
    for (n, with) in [&old, &hook].into_iter().enumerate() {
        let id = format!("rotated-{n}");
        let delivery = with.settled(&host, "push", &id, &skipped(&format!("{n} [skip ci]")));
        settled(&delivery, Verdict::Ignored, "skip-marker");
    }
    let rotate = ["webhook", "rotate", &hook.id, "--project", PROJECT, "--keep", "0s"];
    let rotated: WebhookWithSecret = host.cli_json(&rotate).ok().json();
    hook.refused(&host, "d-5", &body, 401, "webhook.signature-wrong");
    hook.secret = rotated.secret;
    let gone = hook.settled(&host, "push", "d-6", &push(&repo, "main", ZEROS, ""));
    settled(&gone, Verdict::Ignored, "branch-deleted");
    let dev = hook.settled(&host, "push", "d-7", &push(&repo, "dev", &commit, "x"));
    settled(&dev, Verdict::Ignored, "branch-not-mapped");

    let kept = hook.deliveries(&host);
    let refused = kept.iter().filter(|one| one.verdict == Verdict::Refused).count();
    assert_eq!((kept.len(), refused), (8, 3), "every delivery is kept: {kept:#?}");
    assert!(kept.iter().all(|one| !one.reason.is_empty()));
    let shown = host.cli(&["webhook", "show", &hook.id, "--project", PROJECT]).ok().stdout;
    assert!(!shown.contains(&hook.secret), "the secret is shown once");
    host.finish();
}

#[test]
fn a_push_to_a_mapped_branch_goes_to_its_environment() {
    let host = TestHost::start();
    let repo = site("one");
    host.deploy_git(PROJECT, &repo, &[]).live();
    let hook = Hook::create(&host, PROJECT, &["--provider", "github", "--no-status"]);
    host.cli_json(&["environment", "create", "staging", "--project", PROJECT]).ok();
    let set = ["environment", "set", "staging", "--branch", "release/*", "--auto-deploy", "on"];
    host.cli_json(&[&set[..], &["--project", PROJECT]].concat()).ok();
    repo.git(&["checkout", "--quiet", "-b", "release/2"]);
    repo.write("index.html", "two");
    let commit = repo.commit("Two");
    let delivery = hook.settled(&host, "push", "1", &push(&repo, "release/2", &commit, "Two"));
    wait_live(&host, &delivery);
    assert_eq!(host.get("staging.shop.localhost", "/").text(), "two");
    assert_eq!(host.get(HOST, "/").text(), "one", "production is as it was");

    // A path filter keeps pushes out that change nothing of the application; a removal counts.
    repo.write("windlass.toml", "[deploy]\npaths = [\"*.html\"]\n");
    let commit = repo.commit("A filter");
    wait_live(&host, &hook.settled(&host, "push", "2", &push(&repo, "release/2", &commit, "x")));
    repo.write("notes.txt", "nothing that is served");
    let commit = repo.commit("Notes");
    let quiet = hook.settled(&host, "push", "3", &push(&repo, "release/2", &commit, "x"));
    settled(&quiet, Verdict::Ignored, "paths-not-touched");
    let again = ["webhook", "redeliver", quiet.id.as_str(), "--project", PROJECT];
    host.cli_json(&again).ok();
    let found = wait_for("it is taken up again", SOON, || {
        let newest = hook.deliveries(&host).remove(0);
        if newest.verdict == Verdict::Pending { Err(format!("{newest:#?}")) } else { Ok(newest) }
    });
    assert_eq!(found.redelivery_of.as_ref(), Some(&quiet.id));
    wait_live(&host, &found);
    repo.write("more.html", "more");
    repo.commit("More");
    repo.remove("more.html");
    repo.write("other.html", "other");
    let commit = repo.commit("Less");
    wait_live(&host, &hook.settled(&host, "push", "4", &push(&repo, "release/2", &commit, "x")));
    host.finish();
}

fn previews(host: &TestHost) -> PreviewsView {
    host.cli_json(&["preview", "list", "--project", PROJECT]).ok().json()
}

/// The host is told something, dies at this place, and is started again.
fn dies_while_told(host: &mut TestHost, hook: &Hook, place: &str, id: &str, body: &Value) {
    host.stop_serve();
    host.set_env(&[("WINDLASS_FAILPOINT", place)]);
    host.restart();
    let answer = hook.github(host, "pull_request", id, body);
    assert_eq!(answer.status, 202, "{}", answer.text());
    host.wait_serve_ended(SOON);
    assert_eq!(host.take_failpoint_hit().as_deref(), Some(place));
    host.set_env(&[]);
    host.restart();
}

/// Each of one with each of the other.
fn pairs<'a>(one: &[&'a str], other: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    one.iter().flat_map(|a| other.iter().map(|b| (*a, *b))).collect()
}

#[test]
fn a_pull_request_gets_a_preview_that_goes_with_it_and_leaves_nothing() {
    let mut host = TestHost::start_with(HostOptions::default().limit("stop_grace_s", 1));
    let repo = GitRepo::of_fixture("plain-node");
    host.deploy_git(PROJECT, &repo, &[]).live();
    let hook = Hook::create(&host, PROJECT, &["--provider", "github", "--no-status"]);
    let set = ["preview", "set", "--pull-requests", "on", "--domain", "preview.test"];
    host.cli_json(&[&set[..], &["--project", PROJECT]].concat()).ok();
    let before = host.holdings();
    repo.git(&["checkout", "--quiet", "-b", "change"]);
    let commit = repo.commit("A change");
    let opened =
        hook.settled(&host, "pull_request", "1", &pull_request(&repo, "opened", 12, &commit));
    wait_live(&host, &opened);
    let name = "pr-12-shop.preview.test";
    assert_eq!(host.get(name, "/").status, 200);
    assert_eq!(host.get("pr-12.shop.localhost", "/").status, 200);
    let [preview] = &previews(&host).previews[..] else { panic!("one preview") };
    assert_eq!(preview.preview.environment.as_str(), "pr-12");
    assert!(preview.urls.iter().any(|url| url.contains(name)), "{:?}", preview.urls);
    assert_ne!(host.holdings(), before, "a preview holds something");

    // The host dies in the middle of the removal, and goes on with it.
    let closes = pull_request(&repo, "closed", 12, &commit);
    dies_while_told(&mut host, &hook, "preview:draining", "2", &closes);
    settled(&hook.wait(&host, "2"), Verdict::Accepted, "preview-removed");
    until("the preview is gone", SOON, || previews(&host).previews.is_empty());
    assert_eq!(host.holdings(), before, "nothing of the preview is left");
    assert_eq!(host.get(name, "/").status, 404);
    assert_eq!(host.get(HOST, "/").status, 200, "production serves on");
    let environments = host.cli_json(&["environment", "list", "--project", PROJECT]).ok();
    assert!(!environments.stdout.contains("pr-12"), "{}", environments.stdout);

    // It dies at another place as one comes, and at another as one goes.
    let coming = ["webhook:work", "preview:recorded", "webhook:deployed"];
    let going = ["preview:down", "preview:pruned"];
    let mut id = 10;
    for (comes, goes) in sample::of(pairs(&coming, &going), 1) {
        // Each is another delivery, with another signature.
        let commit = repo.commit(&format!("Change {id}"));
        let opens = pull_request(&repo, "opened", 12, &commit);
        let closes = pull_request(&repo, "closed", 12, &commit);
        dies_while_told(&mut host, &hook, comes, &id.to_string(), &opens);
        wait_live(&host, &hook.wait(&host, &id.to_string()));
        assert_eq!(host.get(name, "/").status, 200);
        id += 1;
        dies_while_told(&mut host, &hook, goes, &id.to_string(), &closes);
        settled(&hook.wait(&host, &id.to_string()), Verdict::Accepted, "preview-removed");
        until("the preview is gone", SOON, || previews(&host).previews.is_empty());
        assert_eq!(host.holdings(), before, "killed at {comes} and {goes}");
        id += 1;
    }

    // One that nobody deploys to any more goes by itself.
    let again =
        hook.settled(&host, "pull_request", "3", &pull_request(&repo, "reopened", 12, &commit));
    wait_live(&host, &again);
    host.cli_json(&["preview", "set", "--expire", "1s", "--project", PROJECT]).ok();
    until("the preview has expired", SOON, || previews(&host).previews.is_empty());
    assert_eq!(host.holdings(), before, "nothing of it is left either");
    host.finish();
}
