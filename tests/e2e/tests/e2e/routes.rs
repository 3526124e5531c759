//! Static trees and routes: what the proxy serves, and what it never does.

use std::time::Duration;

use windlass_model::DeploymentStatus;
use windlass_test_support::{GitRepo, TestHost};

const HOST: &str = "site.localhost";

#[test]
fn a_static_site_serves_its_tree_and_nothing_beside_it() {
    let host = TestHost::start();
    let repo = GitRepo::of_fixture("html");
    repo.write("assets/app.css", "body { color: black }");
    repo.write(".env", "TOKEN=never-served");
    repo.commit("More files");
    host.deploy_git("site", &repo, &[]).live();
    let css = host.get(HOST, "/assets/app.css");
    let kind = css.header("content-type").unwrap_or_default();
    assert!(css.status == 200 && kind.starts_with("text/css"), "{css:?}");
    let outside = [
        "/../token",
        "/../../token",
        "/..%2f..%2ftoken",
        "/%2e%2e/%2e%2e/token",
        "/assets/../../token",
        "/assets/%2e%2e/%2e%2e/token",
        "/..\\..\\token",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/etc/passwd",
        "/assets/..%5c..%5ctoken",
        "/%00",
        "/.git/config",
    ];
    let token = host.token();
    for target in outside {
        let answer = host.get(HOST, target);
        assert!(matches!(answer.status, 400 | 403 | 404), "{target}: {}", answer.status);
        let text = answer.text();
        assert!(!text.contains("root:") && !text.contains(&token), "{target}: {text}");
    }
    assert_eq!(host.get(HOST, "/absent").status, 404);
    let folder = host.get(HOST, "/about");
    let to = folder.header("location").unwrap_or_default().to_owned();
    assert!(folder.status == 200 || (to == "/about/" && folder.status / 100 == 3), "{folder:?}");
    host.finish();
}

/// The proxy keeps one generation for both, which never drains.
#[test]
fn a_static_site_deployed_again_unchanged_retires_the_deployment_before() {
    let host = TestHost::start();
    let repo = GitRepo::of_fixture("html");
    host.deploy_git("site", &repo, &[]).live();
    host.deploy_git("site", &repo, &[]).live();
    host.wait_deployment("site", 1, "it is retired", Duration::from_secs(30), |view| {
        view.deployment.status == DeploymentStatus::Retired
    });
    assert_eq!(host.get(HOST, "/").status, 200);
    host.finish();
}

#[test]
fn a_single_page_application_answers_unknown_paths_with_its_page() {
    let host = TestHost::start();
    let repo = GitRepo::of_fixture("vite");
    host.deploy_git("site", &repo, &[]).live();
    let page = host.get(HOST, "/some/view/of/the/application");
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.text().contains("Hello from Vite"));
    assert_eq!(host.get(HOST, "/assets/absent.js").status, 404, "a missing file is no view");
    host.finish();
}

#[test]
fn domains_lead_to_their_project_and_the_default_route_takes_the_rest() {
    let host = TestHost::start();
    let page = |text: &str| GitRepo::of_files(&[("index.html", text)]);
    host.deploy_git("one", &page("<p>page one</p>"), &[]).live();
    host.deploy_git("two", &page("<p>page two</p>"), &[]).live();
    let body = |name: &str| host.get(name, "/").text();
    assert!(body("one.localhost").contains("page one"));
    assert!(body("two.localhost").contains("page two"));

    assert_eq!(host.get("shop.example", "/").status, 404, "no route leads there yet");
    host.cli(&["domain", "add", "shop.example", "--project", "one"]).ok();
    assert!(body("shop.example").contains("page one"));
    assert!(body("SHOP.example:8080").contains("page one"), "case and port do not matter");
    let taken = host.cli_json(&["domain", "add", "shop.example", "--project", "two"]);
    assert_eq!((taken.code, taken.failure().code.as_str()), (6, "domain.taken"));

    host.cli(&["domain", "add", "*", "--project", "two"]).ok();
    assert!(body("anything.example").contains("page two"));
    assert!(body("shop.example").contains("page one"), "a name wins over the default route");
    host.cli(&["domain", "remove", "shop.example", "--project", "one"]).ok();
    assert!(body("shop.example").contains("page two"));
    host.cli(&["domain", "remove", "*", "--project", "two"]).ok();
    assert_eq!(host.get("shop.example", "/").status, 404);

    // A domain that is added before the first deployment leads there from then on.
    host.cli(&["project", "create", "three"]).ok();
    host.cli(&["domain", "add", "three.example", "--project", "three"]).ok();
    host.deploy_git("three", &page("<p>page three</p>"), &[]).live();
    assert!(body("three.example").contains("page three"));
    host.finish();
}
