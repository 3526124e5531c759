//! From a Git repository to a 200 with the right body through the proxy.

use windlass_model::{StepName, StepStatus};
use windlass_test_support::{GitRepo, TestHost};

#[test]
fn an_express_application_goes_live_and_an_unchanged_redeploy_builds_nothing() {
    let host = TestHost::start();
    let repo = GitRepo::of_fixture("express");
    let commit = repo.git(&["rev-parse", "HEAD"]);
    let first = host.deploy_git("shop", &repo, &[]).live();
    let fetched = first.view.deployment.outputs.fetched.unwrap();
    assert_eq!(fetched.commit.as_deref(), Some(commit.as_str()));
    let answer = host.get("shop.localhost", "/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "Hello from Windlass, v1\n"));

    let again = host.deploy_git("shop", &repo, &[]).live();
    assert_eq!(again.number(), 2);
    assert_eq!(
        again.step(StepName::Build),
        StepStatus::Cached,
        "{:?}",
        again.summary(StepName::Build)
    );
    assert_eq!(host.get("shop.localhost", "/").text(), "Hello from Windlass, v1\n");
    host.finish();
}

#[test]
fn a_flask_application_goes_live_with_its_variables() {
    let host = TestHost::start();
    let repo = GitRepo::of_fixture("flask");
    host.cli(&["project", "create", "guestbook"]).ok();
    host.cli(&["env", "set", "GREETING=good day", "--project", "guestbook"]).ok();
    host.deploy_git("guestbook", &repo, &[]).live();
    let answer = host.get("guestbook.localhost", "/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "Hello from Flask, good day\n"));
    host.finish();
}

#[test]
fn a_vite_site_is_built_and_served_as_a_static_tree() {
    let host = TestHost::start();
    let repo = GitRepo::of_fixture("vite");
    let deployed = host.deploy_git("site", &repo, &[]).live();
    assert!(
        deployed.view.deployment.outputs.instances.is_empty(),
        "nothing runs for a static tree"
    );
    let page = host.get("site.localhost", "/");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("Hello from Vite"), "{}", page.text());
    assert!(!page.text().contains("src=\"/main.js\""), "the page names the built script");
    let script = page.text().split("src=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let built = host.get("site.localhost", &script);
    assert_eq!(built.status, 200);
    assert!(built.text().contains("built and served by Windlass"), "{}", built.text());
    host.finish();
}

#[test]
fn plain_html_is_served_as_it_is() {
    let host = TestHost::start();
    let repo = GitRepo::of_fixture("html");
    host.deploy_git("plain", &repo, &[]).live();
    let page = host.get("plain.localhost", "/");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("Hello from plain HTML"), "{}", page.text());
    assert!(host.get("plain.localhost", "/about/").text().contains("About this page"));
    host.finish();
}
