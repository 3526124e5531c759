//! Images to a registry on the loopback address, through a proxy that goes wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::proxy::{Fault, Proxy};
use common::{Host, Registry, plan, script, scripted, step};
use windlass_build::{Access, Login};
use windlass_model::Secret;
use windlass_model::plan::{Base, Op};
use windlass_test_support::registry::LOGIN;

fn login(registry: &str, password: &str) -> Access {
    let password = Secret::new(password.to_owned());
    let login = Login { registry: registry.to_owned(), user: LOGIN.0.to_owned(), password };
    Access { project: Some("shop".parse().unwrap()), logins: Arc::new(vec![login]), layout: None }
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// Status of a tag.
fn tag(address: &str, repository: &str, tag: &str) -> u16 {
    let url = format!("http://{address}/v2/{repository}/manifests/{tag}");
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let accept = "application/vnd.oci.image.manifest.v1+json";
    agent.get(&url).header("accept", accept).call().unwrap().status().as_u16()
}

#[tokio::test]
async fn an_image_is_pushed_with_a_login_and_runs_on_another_host() {
    let host = Host::start(242).await;
    let registry = Registry::start_guarded();
    let name = format!("{}/team/shop:1", registry.address);
    let built = host.build(scripted(script("echo pushed > /pushed"))).await.unwrap();
    let push = async |access: Access, to: &str| {
        host.builder.export(access).push(&built.artifact, None, to).await
    };
    for access in [Access::default(), login(&registry.address, "wrong")] {
        let failure = push(access, &name).await.unwrap_err();
        assert_eq!(failure.code, "registry.unauthorized");
        assert!(failure.fix.contains("windlass registry login"), "{failure:?}");
    }
    let access = login(&registry.address, LOGIN.1);
    let failure = push(access.clone(), "127.0.0.1:1/a").await.unwrap_err();
    assert_eq!(failure.code, "registry.unreachable");
    let digest = windlass_model::Digest::of(b"x");
    let under = push(access.clone(), &format!("{}/a@{digest}", registry.address)).await;
    assert_eq!(under.unwrap_err().code, "registry.invalid-reference");

    let pushed = push(access.clone(), &name).await.unwrap();
    assert_eq!((pushed.layers, pushed.notes.len()), (2, 0));
    assert!(pushed.bytes_sent > 100_000, "{pushed:?}");
    let again = push(access.clone(), &name).await.unwrap();
    assert_eq!((again.digest.clone(), again.bytes_sent), (pushed.digest.clone(), 0));
    assert!(!host.left().await.contains(&"leases"));
    host.finish().await;

    let other = Host::start(243).await;
    let base = Base::Image(pushed.reference);
    let run = step("app", base, vec![Op::Run(script("cat /pushed"))]);
    let mut request = other.request(plan(vec![run]));
    request.access = access;
    let built = other.builder.build(request).await.unwrap();
    assert!(other.log().contains("pushed"), "{}", other.log());
    assert_eq!(built.artifact.bases[0].1, pushed.digest);
    other.finish().await;
}

#[tokio::test]
async fn a_push_that_is_cut_off_is_made_again_and_a_name_never_leads_to_half_an_image() {
    let host = Host::start(244).await;
    let registry = Registry::start();
    let proxy = Proxy::start(&registry.address);
    proxy.ask_for_token(LOGIN.0, LOGIN.1);
    let access = login(&proxy.address, LOGIN.1);
    let name = format!("{}/team/shop:1", proxy.address);
    let built = host.build(scripted(script("echo pushed > /pushed"))).await.unwrap();
    let push = async || {
        host.builder.export(access.clone()).push(&built.artifact, Some("app"), &name).await
    };
    // The lowest layer never gets through.
    proxy.fail("PUT", "/blobs/", Fault::CutRequest(200_000), usize::MAX);
    let failure = push().await.unwrap_err();
    assert_eq!(failure.code, "registry.unreachable");
    assert!(failure.why.contains(&proxy.address), "{failure:?}");
    assert!(failure.why.contains("bytes of layers were sent"), "{failure:?}");
    assert_eq!(tag(&registry.address, "team/shop", "1"), 404);
    assert!(!host.left().await.contains(&"leases"));

    // A registry that stays in trouble is told as that.
    proxy.heal();
    proxy.fail("POST", "/blobs/uploads", Fault::Status(503), usize::MAX);
    let failure = push().await.unwrap_err();
    assert_eq!(failure.code, "registry.unreachable");
    assert!(failure.why.contains("status 503"), "{failure:?}");
    assert!(!failure.why.contains("were sent"), "{failure:?}");

    // Now and then it does not.
    proxy.heal();
    proxy.fail("PUT", "/blobs/", Fault::CutRequest(200_000), 1);
    proxy.fail("PUT", "/blobs/", Fault::Status(503), 1);
    proxy.fail("POST", "/blobs/uploads", Fault::Status(429), 2);
    proxy.fail("PUT", "/manifests/", Fault::Status(502), 1);
    proxy.take_seen("");
    let pushed = push().await.unwrap();
    assert_eq!(tag(&registry.address, "team/shop", "1"), 200);
    let seen = proxy.take_seen("HTTP/1.1");
    let manifest =
        seen.iter().position(|head| head.starts_with("PUT") && head.contains("manifests"));
    let after = seen.iter().skip(manifest.unwrap()).filter(|head| head.contains("/blobs/"));
    assert_eq!(after.count(), 0, "the name comes last: {seen:?}");
    assert!(seen.iter().any(|head| head.contains("scope=repository%3Ateam%2Fshop%3Apull%2Cpush")));

    // What is there is not sent again, and it is the whole image.
    assert_eq!(push().await.unwrap().bytes_sent, 0);
    let base = Base::Image(format!("{}/team/shop@{}", registry.address, pushed.digest));
    let run = step("app", base, vec![Op::Run(script("cat /pushed"))]);
    host.build(plan(vec![run])).await.unwrap();
    assert!(host.log().contains("pushed"), "{}", host.log());
    host.finish().await;
}

#[tokio::test]
async fn a_base_of_the_same_registry_is_not_sent() {
    let host = Host::start(245).await;
    let registry = Registry::start();
    registry.push("team/base", "1", architecture());
    let proxy = Proxy::start(&registry.address);
    let base = Base::Image(format!("{}/team/base:1", proxy.address));
    let run = script("echo more > /tmp/more");
    let built = host.build(plan(vec![step("app", base, vec![Op::Run(run)])])).await.unwrap();
    let layer = registry.layer_of("team/base", "1");
    assert_eq!(host.runtime.blob(&layer).await.unwrap(), None, "it was unpacked and let go");
    proxy.take_seen("");
    let name = format!("{}/team/shop:1", proxy.address);
    let pushed = host.builder.push(&built.artifact, None, &name).await.unwrap();
    assert_eq!(pushed.layers, 2);
    assert!(pushed.bytes_sent < 20_000, "{pushed:?}");
    let seen = proxy.take_seen(layer.as_str());
    assert!(seen.iter().any(|head| head.contains("mount=sha256")), "{seen:?}");
    let sent_or_read = |head: &&String| head.starts_with("PUT") || head.starts_with("GET");
    assert_eq!(seen.iter().filter(sent_or_read).count(), 0, "{seen:?}");

    // To another registry it goes by way of this host.
    let other = Registry::start();
    let name = format!("{}/team/shop:1", other.address);
    let there = host.builder.push(&built.artifact, None, &name).await.unwrap();
    assert_eq!((there.digest, there.notes.len()), (pushed.digest, 0));
    assert!(there.bytes_sent > 100_000);
    assert_eq!(other.layer_of("team/shop", "1"), layer);
    host.finish().await;
}
