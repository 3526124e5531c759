//! Public images, from a registry on the loopback address into a real containerd.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Host, Registry, plan, script, step};
use windlass_model::Digest;
use windlass_model::plan::{Base, Op};

#[tokio::test]
async fn an_image_is_pulled_by_tag_and_digest_and_what_is_wrong_is_named() {
    let host = Host::start(231).await;
    let registry = Registry::start();
    let digest = registry.push(
        "team/base",
        "1",
        if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
    );
    registry.push("team/base", "odd", "s390x");
    let name = |rest: &str| Base::Image(format!("{}/team/base{rest}", registry.address));
    let resolve = async |base: &Base| host.bases.resolve(base, &|_| {}).await;

    let by_tag = resolve(&name(":1")).await.unwrap();
    assert_eq!(by_tag.digest, digest);
    assert_eq!(by_tag.config.cwd, "/tmp");
    let by_digest = resolve(&name(&format!("@{digest}"))).await.unwrap();
    assert_eq!(by_digest.snapshot, by_tag.snapshot);

    let code = async |base: Base| resolve(&base).await.unwrap_err().code;
    let other = Digest::of(b"something else");
    assert_eq!(code(name(":2")).await, "registry.not-found");
    assert_eq!(code(name(&format!("@{other}"))).await, "registry.not-found");
    assert_eq!(code(name(":odd")).await, "registry.unsupported-platform");
    assert_eq!(code(name(":a b")).await, "registry.invalid-reference");
    assert_eq!(code(Base::Image("127.0.0.1:1/a".to_owned())).await, "registry.unreachable");

    let run = step("app", name(":1"), vec![Op::Run(script("echo $GREETING from $(id -u)"))]);
    let built = host.build(plan(vec![run.clone()])).await.unwrap();
    assert!(host.log().contains("hello from"), "{}", host.log());
    let windlass_model::deployment::ArtifactKind::Image { config } =
        &built.artifact.outputs[0].kind
    else {
        panic!("{:?}", built.artifact.outputs)
    };
    assert_eq!((config.user.as_str(), config.cwd.as_str()), ("app", "/tmp"));
    assert_eq!(built.artifact.bases[0].1, digest);

    // With the registry gone, a tag means what it meant last.
    drop(registry);
    let again = host.build(plan(vec![run])).await.unwrap();
    assert!(again.all_cached());
    host.finish().await;
}
