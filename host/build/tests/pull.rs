//! Public images, from a registry on the loopback address into a real containerd.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::proxy::{Fault, Proxy};
use common::{DEADLINE, Host, Registry, plan, script, step};
use windlass_build::registry::{
    About, Client, CosignFound, CosignSignature, Reference, push_component,
};
use windlass_build::{Access, BaseConfig, BasePolicy, Bases, Login};
use windlass_containers::fake::FakeRuntime;
use windlass_containers::runtime::Labels;
use windlass_model::plan::{Base, Op};
use windlass_model::{Digest, Secret};
use windlass_test_support::registry::LOGIN;

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

    // As after a boot that came before the sync: it is pulled again, beside what may be cut off.
    let another = Labels::from([("windlass.unsynced".to_owned(), "another boot".to_owned())]);
    host.runtime.label_snapshot(&by_tag.snapshot, &another).await.unwrap();
    let anew = resolve(&name(&format!("@{digest}"))).await.unwrap();
    assert_ne!(anew.snapshot, by_tag.snapshot);
    assert_eq!(resolve(&name(":1")).await.unwrap().snapshot, anew.snapshot);

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

/// What a Dockerfile's builder does: it asks what a tag is, and its plan names the digest.
#[tokio::test]
async fn a_tag_means_what_it_was_told_to_mean_last_when_its_registry_is_gone() {
    let host = Host::start(195).await;
    let registry = Registry::start();
    let proxy = Proxy::start(&registry.address);
    let tag = format!("{}/team/base:1", proxy.address);
    let describe = async |text: &str| host.bases.describe(text).await;
    let push = |note: &str| registry.push_with("team/base", "1", architecture(), note);

    let resolve = async |digest: &Digest| {
        let base = Base::Image(format!("{tag}@{digest}"));
        assert_eq!(host.bases.resolve(&base, &|_| {}).await.unwrap().digest, *digest);
    };
    let told = async || describe(&tag).await.unwrap().0;

    let (first, second, third) = (push("first"), push("second"), push("third"));
    assert_eq!(told().await, third);
    // Somebody's own pin of what the tag is no longer says nothing about the tag, before and behind the one that does.
    resolve(&first).await;
    resolve(&third).await;
    resolve(&second).await;
    for trouble in [429, 503] {
        proxy.fail("GET", "/manifests/", Fault::Status(trouble), usize::MAX);
        assert_eq!(told().await, third, "{trouble}");
        proxy.heal();
    }

    // Told and never pulled; then it moved back to what is there already.
    let fourth = push("fourth");
    assert_eq!(told().await, fourth);
    assert_eq!(push("second"), second);
    assert_eq!(told().await, second);
    resolve(&fourth).await;

    drop(registry);
    assert_eq!(told().await, second);
    let other = tag.replace("base:1", "base:2");
    assert_eq!(describe(&other).await.unwrap_err().code, "registry.unreachable");
    host.finish().await;
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

fn named(address: &str, rest: &str) -> Base {
    Base::Image(format!("{address}/team/base{rest}"))
}

fn bases_with(host: &Host, mirrors: &[String]) -> Bases {
    let config = BaseConfig {
        data_dir: host.data.path().to_owned(),
        policy: BasePolicy::Registry,
        cache_dir: None,
        certificates: None,
    };
    let mirrors = mirrors.iter().map(|mirror| mirror.parse().unwrap()).collect();
    Bases::with_mirrors(host.runtime.clone(), config, mirrors)
}

#[tokio::test]
async fn a_pull_goes_on_where_it_was_cut_and_never_takes_what_is_wrong() {
    let host = Host::start(237).await;
    let registry = Registry::start();
    let digest = registry.push("team/base", "1", architecture());
    let proxy = Proxy::start(&registry.address);
    let pull = async || host.bases.resolve(&named(&proxy.address, ":1"), &|_| {}).await;

    // Bytes that are altered on the way are noticed, and nothing of them stays.
    proxy.fail("GET", "/blobs/", Fault::Corrupt, usize::MAX);
    let failure = pull().await.unwrap_err();
    assert!(
        ["registry.digest-mismatch", "registry.protocol"].contains(&failure.code.as_str()),
        "{failure:?}"
    );
    let layer = registry.layer_of("team/base", "1");
    proxy.heal();
    proxy.fail("GET", layer.as_str(), Fault::Corrupt, usize::MAX);
    assert_eq!(pull().await.unwrap_err().code, "registry.digest-mismatch");
    assert_eq!(host.runtime.blob(&layer).await.unwrap(), None);
    assert!(!host.left().await.contains(&"leases"));

    // A busy registry is asked again, and a cut download goes on, once without ranges.
    proxy.heal();
    proxy.fail("GET", "/manifests/", Fault::Status(503), 2);
    proxy.fail("GET", layer.as_str(), Fault::Status(429), 1);
    proxy.fail("GET", layer.as_str(), Fault::CutAnswer(300_000), 1);
    proxy.fail("GET", layer.as_str(), Fault::CutAnswer(100_000), 1);
    proxy.fail("GET", layer.as_str(), Fault::NoRange, 1);
    proxy.take_seen("");
    let image = pull().await.unwrap();
    assert_eq!(image.digest, digest);
    let seen = proxy.take_seen(layer.as_str());
    let ranges: Vec<&str> = seen
        .iter()
        .filter_map(|head| head.lines().find(|line| line.to_lowercase().starts_with("range:")))
        .collect();
    assert_eq!(ranges.len(), 2, "{seen:?}");
    assert!(ranges[0].contains("bytes=300000-"), "{ranges:?}");
    assert!(ranges[1].contains("bytes=400000-"), "{ranges:?}");

    // One that stays in trouble is named, and what is on the disk is taken as it was.
    proxy.fail("GET", "/manifests/", Fault::Status(503), usize::MAX);
    let other = Base::Image(format!("{}/team/other", proxy.address));
    let failure = host.bases.resolve(&other, &|_| {}).await.unwrap_err();
    assert_eq!(failure.code, "registry.unreachable");
    assert!(failure.why.contains("503"), "{failure:?}");
    assert!(!failure.fix.contains("DNS"), "it answers: {failure:?}");
    assert_eq!(pull().await.unwrap().snapshot, image.snapshot);
    host.finish().await;
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_the_registry_for_what_it_has_wrong() {
    let host = Host::start(238).await;
    let registry = Registry::start();
    registry.push("team/base", "1", architecture());
    let origin = Proxy::start(&registry.address);
    let copy = Registry::start();
    let digest = copy.push("team/base", "1", architecture());
    let mirror = Proxy::start(&copy.address);
    let mirrors = [
        format!("{}=http://127.0.0.1:1", origin.address),
        format!("{}=http://{}", origin.address, mirror.address),
    ];
    let bases = bases_with(&host, &mirrors);
    let image = bases.resolve(&named(&origin.address, ":1"), &|_| {}).await.unwrap();
    assert_eq!(image.digest, digest);
    assert_eq!(origin.take_seen("/v2/"), Vec::<String>::new());
    assert!(!mirror.take_seen("/manifests/1").is_empty());

    // A mirror that has another content under a digest: the registry has the last word.
    let newer = registry.push_with("team/base", "2", architecture(), "a newer one");
    copy.push_with("team/base", "2", architecture(), "a newer one");
    let layer = registry.layer_of("team/base", "2");
    mirror.fail("GET", layer.as_str(), Fault::Corrupt, usize::MAX);
    let image = bases.resolve(&named(&origin.address, ":2"), &|_| {}).await.unwrap();
    assert_eq!(image.digest, newer);
    assert_eq!(origin.take_seen(layer.as_str()).len(), 1);

    // A mirror without the image.
    let last = registry.push_with("team/only", "1", architecture(), "not mirrored");
    let only = Base::Image(format!("{}/team/only:1", origin.address));
    assert_eq!(bases.resolve(&only, &|_| {}).await.unwrap().digest, last);
    host.finish().await;
}

#[tokio::test]
async fn a_mirror_is_asked_for_other_images_when_its_registry_gave_no_answer_for_one() {
    let registry = Registry::start();
    let digest = registry.push("team/base", "1", architecture());
    let mirror = Proxy::start(&registry.address);
    let data = tempfile::tempdir().unwrap();
    let config = BaseConfig {
        data_dir: data.path().to_owned(),
        policy: BasePolicy::Registry,
        cache_dir: None,
        certificates: None,
    };
    // No name below `invalid` has an address.
    let mirrors = vec![format!("nowhere.invalid=http://{}", mirror.address).parse().unwrap()];
    let bases = Bases::with_mirrors(Arc::new(FakeRuntime::new().unwrap()), config, mirrors);
    let look_up =
        async |tag: &str| bases.look_up(&format!("nowhere.invalid/team/base:{tag}")).await;
    assert_eq!(look_up("lacking").await.unwrap_err().code, "registry.unreachable");
    let found = look_up("1").await.unwrap();
    assert_eq!(found.reference, format!("nowhere.invalid/team/base@{digest}"));
    assert_eq!(look_up("lacking").await.unwrap_err().code, "registry.unreachable");
    assert_eq!(mirror.take_seen("/manifests/lacking").len(), 2);
}

#[tokio::test]
async fn logins_are_shown_as_the_registry_asks_for_them() {
    let host = Host::start(239).await;
    let guarded = Registry::start_guarded();
    let registry = Registry::start();
    let digest = registry.push("team/base", "1", architecture());
    let tokens = Proxy::start(&registry.address);
    tokens.ask_for_token(LOGIN.0, LOGIN.1);
    let login = |registry: &str, password: &str| {
        let password = Secret::new(password.to_owned());
        let login = Login { registry: registry.to_owned(), user: LOGIN.0.to_owned(), password };
        let project = Some("shop".parse().unwrap());
        Access { project, logins: Arc::new(vec![login]), layout: None }
    };
    let pull = async |address: &str, access: Access| {
        host.bases.with(access).resolve(&named(address, ":1"), &|_| {}).await
    };
    let code = async |address: &str, access: Access| pull(address, access).await.unwrap_err().code;
    for address in [&guarded.address, &tokens.address] {
        assert_eq!(code(address, Access::default()).await, "registry.unauthorized");
        assert_eq!(code(address, login(address, "wrong")).await, "registry.unauthorized");
        // A login is shown to its own registry alone.
        assert_eq!(code(address, login("ghcr.io", LOGIN.1)).await, "registry.unauthorized");
    }
    let image = pull(&tokens.address, login(&tokens.address, LOGIN.1)).await.unwrap();
    assert_eq!(image.digest, digest);
    // It is let in, and has no such image.
    let access = login(&guarded.address, LOGIN.1);
    assert_eq!(code(&guarded.address, access).await, "registry.not-found");
    host.finish().await;
}

#[tokio::test]
async fn an_image_of_many_layers_is_pulled_in_order_and_an_index_chosen_from() {
    let host = Host::start(240).await;
    let registry = Registry::start();
    let digest = registry.push_layers("team/many", architecture(), 9);
    let many = Base::Image(format!("{}/team/many:1", registry.address));
    let run = "cat /layer-0 /layer-8 /same; ls /";
    let built = host.build(plan(vec![step("app", many, vec![Op::Run(script(run))])])).await;
    assert_eq!(built.unwrap().artifact.bases[0].1, digest);
    let log = host.log();
    assert!(log.contains("of layer 0") && log.contains("of layer 8"), "{log}");
    // Each layer writes it, and the last one counts; each removes the file of the one before.
    assert!(log.contains("written by 8") && !log.contains("gone-7"), "{log}");
    assert!(log.contains("gone-8"), "{log}");

    let ours = registry.push("team/index", "ours", architecture());
    let other = registry.push("team/index", "other", "s390x");
    let index = |list: &[(&Digest, &str)]| {
        let one = |(digest, platform): &(&Digest, &str)| {
            let (os, architecture) = platform.split_once('/').unwrap();
            serde_json::json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1,
                "digest": digest, "platform": {"os": os, "architecture": architecture},
            })
        };
        serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": list.iter().map(one).collect::<Vec<_>>(),
        })
    };
    let fitting = format!("linux/{}", architecture());
    let both = index(&[(&other, "linux/s390x"), (&ours, &fitting)]);
    let top = registry.push_index("team/index", "both", &both);
    let none = index(&[(&other, "linux/s390x"), (&other, "unknown/unknown")]);
    registry.push_index("team/index", "none", &none);
    let name = |tag: &str| Base::Image(format!("{}/team/index:{tag}", registry.address));
    assert_eq!(host.bases.resolve(&name("both"), &|_| {}).await.unwrap().digest, top);
    let failure = host.bases.resolve(&name("none"), &|_| {}).await.unwrap_err();
    assert_eq!(failure.code, "registry.unsupported-platform");
    assert!(failure.why.ends_with("only for linux/s390x"), "{failure:?}");
    host.finish().await;
}

/// Waits until the proxy was asked for this.
async fn asked_for(proxy: &Proxy, part: &str) {
    let start = Instant::now();
    while proxy.take_seen(part).is_empty() {
        assert!(start.elapsed() < DEADLINE, "nobody asks for {part}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_registry_that_stalls_holds_up_no_other_pull_and_one_that_nobody_waits_for_ends() {
    let host = Host::start(254).await;
    let registry = Registry::start();
    let one = registry.push("team/base", "1", architecture());
    let many = registry.push_layers("team/many", architecture(), 3);
    let last = registry.document("team/many", "manifests/1")["layers"][3]["digest"].clone();
    let last = last.as_str().unwrap().to_owned();
    let proxy = Proxy::start(&registry.address);
    proxy.fail("GET", &last, Fault::Stall, usize::MAX);
    let stalled = Base::Image(format!("{}/team/many:1", proxy.address));
    let (bases, of_task) = (host.bases.clone(), stalled.clone());
    let pulling = tokio::spawn(async move { bases.resolve(&of_task, &|_| {}).await });
    asked_for(&proxy, &last).await;
    let (of_one, quiet) = (named(&registry.address, ":1"), |_: String| {});
    let beside = tokio::time::timeout(DEADLINE, host.bases.resolve(&of_one, &quiet)).await;
    let beside = beside.expect("it waits for the other one");
    assert_eq!(beside.unwrap().digest, one);

    // Whoever asked for it goes: so does what it has stored, but for what the other image is made of.
    pulling.abort();
    let start = Instant::now();
    while host.left().await.contains(&"leases") {
        assert!(start.elapsed() < DEADLINE, "the pull goes on: {:?}", host.left().await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    proxy.heal();
    let built = plan(vec![step("app", of_one, vec![Op::Run(script("id"))])]);
    host.build(built).await.unwrap();
    let run = Op::Run(script("cat /layer-0 /layer-2"));
    let built = host.build(plan(vec![step("app", stalled, vec![run])])).await.unwrap();
    assert_eq!(built.artifact.bases[0].1, many);
    assert!(host.log().contains("of layer 2"), "{}", host.log());
    host.finish().await;
}

#[tokio::test]
async fn images_that_share_layers_are_pulled_at_once_and_each_is_whole() {
    let host = Host::start(255).await;
    let registry = Registry::start();
    let one = registry.push("team/base", "1", architecture());
    let many = registry.push_layers("team/many", architecture(), 5);
    let of_many = Base::Image(format!("{}/team/many:1", registry.address));
    let (of_one, quiet) = (named(&registry.address, ":1"), |_: String| {});
    let (first, second, again) = tokio::join!(
        host.bases.resolve(&of_one, &quiet),
        host.bases.resolve(&of_many, &quiet),
        host.bases.resolve(&of_many, &quiet),
    );
    let (first, second, again) = (first.unwrap(), second.unwrap(), again.unwrap());
    assert_eq!((first.digest, second.digest, &again.snapshot), (one, many, &second.snapshot));
    assert!(!host.left().await.contains(&"leases"));
    let run = |text| vec![Op::Run(script(text))];
    let steps = vec![step("one", of_one, run("id")), step("many", of_many, run("cat /layer-4"))];
    for step in steps {
        host.build(plan(vec![step])).await.unwrap();
    }
    assert!(host.log().contains("of layer 4"), "{}", host.log());
    host.finish().await;
}

#[test]
fn a_component_is_pushed_and_pulled_as_an_artifact_of_one_layer() {
    let registry = Registry::start();
    let name = |tag: &str| format!("{}/team/scan:{tag}", registry.address).parse::<Reference>();
    let client = |tag: &str| Client::new(name(tag).unwrap(), None, None, Vec::new());
    let bytes = b"\0asm, as far as the registry knows";
    let imports = ["wasi:cli/environment@0.2.6".to_owned()];
    let about = About { imports: &imports, exports: &[] };
    let digest = push_component(&name("1.0.0").unwrap(), None, None, bytes, &about).unwrap();
    let pulled = client("1.0.0").component(bytes.len() as u64).unwrap();
    assert_eq!((pulled.bytes.as_slice(), &pulled.manifest), (bytes.as_slice(), &digest));
    let by_digest = format!("{}/team/scan@{digest}", registry.address).parse().unwrap();
    let by_digest = Client::new(by_digest, None, None, Vec::new());
    assert_eq!(by_digest.component(1_000).unwrap(), pulled, "its manifest has this digest");

    let large = client("1.0.0").component(5).unwrap_err().to_string();
    assert!(large.contains("more than the 5 allowed"), "{large}");
    let none = client("2.0.0").component(1_000).unwrap_err();
    assert_eq!(none.code(), "registry.not-found");
    registry.push("team/scan", "image", "amd64");
    let image = client("image").component(1 << 20).unwrap_err().to_string();
    assert!(image.contains("it is no component"), "{image}");
}

/// What `wkg` insists on: the manifest as `oci_client::manifest::OciImageManifest` and the checks of
/// `oci_wasm::WasmClient` have it, the configuration as `oci_wasm::WasmConfig` has it.
#[test]
fn what_is_published_has_every_field_and_media_type_that_wkg_reads() {
    let registry = Registry::start();
    let reference: Reference = format!("{}/team/scan:1.0.0", registry.address).parse().unwrap();
    let bytes = b"\0asm, as far as the registry knows";
    let imports = ["wasi:cli/environment@0.2.6".to_owned()];
    let exports = ["windlass:stage/custom@1.0.0".to_owned()];
    let about = About { imports: &imports, exports: &exports };
    let push = || push_component(&reference, None, None, bytes, &about).unwrap();
    let digest = push();
    assert_eq!(push(), digest, "the same component is the same artifact, whenever it is pushed");

    let manifest = registry.document("team/scan", "manifests/1.0.0");
    let config = manifest["config"]["digest"].as_str().unwrap().to_owned();
    let written = registry.document("team/scan", &format!("blobs/{config}"));
    assert_eq!(
        manifest,
        serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.wasm.config.v0+json", "digest": config,
                "size": written.to_string().len(),
            },
            "layers": [{
                "mediaType": "application/wasm", "digest": Digest::of(bytes), "size": bytes.len(),
            }],
        })
    );
    // All but `author` and `component.target` are required of a component.
    assert_eq!(
        written,
        serde_json::json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": "wasm",
            "os": "wasip2",
            "layerDigests": [Digest::of(bytes)],
            "component": { "exports": exports, "imports": imports },
        })
    );
}

#[test]
fn what_wkg_writes_is_read() {
    let registry = Registry::start();
    let bytes = b"\0asm, published by wkg";
    // As `wkg publish` serializes them: with nulls in the configuration, and annotations of the package.
    let layer = registry.push_blob("team/scan", bytes);
    let config = serde_json::json!({
        "created": "2026-02-03T04:05:06.789012345Z", "author": null,
        "architecture": "wasm", "os": "wasip2", "layerDigests": [layer],
        "component": {
            "exports": ["windlass:stage/custom@1.0.0"], "imports": [], "target": null,
        },
    })
    .to_string();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.wasm.config.v0+json", "size": config.len(),
            "digest": registry.push_blob("team/scan", config.as_bytes()),
        },
        "layers": [{ "mediaType": "application/wasm", "size": bytes.len(), "digest": layer }],
        "annotations": {
            "org.opencontainers.image.description": "Looks for what leaks",
            "org.opencontainers.image.licenses": "MIT",
            "org.opencontainers.image.version": "1.2.0",
        },
    });
    let digest = registry.push_index("team/scan", "1.2.0", &manifest);
    let reference = format!("{}/team/scan:1.2.0", registry.address).parse().unwrap();
    let read = Client::new(reference, None, None, Vec::new()).component(1_000).unwrap();
    assert_eq!((read.bytes.as_slice(), &read.manifest), (bytes.as_slice(), &digest));
}

#[test]
fn what_cosign_left_beside_an_artifact_is_read_as_it_is_and_bounded() {
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
    let registry = Registry::start();
    let reference: Reference = format!("{}/team/scan:1", registry.address).parse().unwrap();
    let about = About { imports: &[], exports: &[] };
    let artifact = push_component(&reference, None, None, b"\0asm", &about).unwrap();
    let client = Client::new(reference, None, None, Vec::new());
    let tag = format!("sha256-{}.sig", artifact.hex());
    let nothing = client.cosign(&artifact).unwrap();
    assert_eq!(nothing.found, CosignFound::Nothing);
    assert_eq!(nothing.place, format!("{}/team/scan:{tag}", registry.address));
    assert_eq!(nothing.artifact, artifact);

    let config = registry.push_blob("team/scan", b"{}");
    let layer = |payload: &[u8], signature: &str| {
        serde_json::json!({
            "mediaType": PAYLOAD, "size": 20, "digest": registry.push_blob("team/scan", payload),
            "annotations": { "dev.cosignproject.cosign/signature": signature },
        })
    };
    let found = |layers: &[serde_json::Value]| {
        let image = serde_json::json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": config,
            },
        });
        registry.push_index("team/scan", &tag, &image);
        client.cosign(&artifact).map(|cosign| cosign.found)
    };
    let (one, other) = (br#"{"critical": "one"}"#, br#"{"critical": "two"}"#);
    let layers = [layer(one, "Zmlyc3Q="), layer(other, "c2Vjb25k"), layer(one, "dGhpcmQ=")];
    let CosignFound::Signatures(signatures) = found(&layers).unwrap() else { panic!("{layers:?}") };
    let read = signatures.iter().map(|one| (one.payload.as_slice(), one.signature.as_str()));
    let expected: [(&[u8], &str); 3] = [(one, "Zmlyc3Q="), (other, "c2Vjb25k"), (one, "dGhpcmQ=")];
    assert_eq!(read.collect::<Vec<_>>(), expected);

    let unreadable = found(&[]).unwrap();
    assert!(matches!(unreadable, CosignFound::Unreadable { .. }), "{unreadable:?}");
    // Whatever size it is said to have.
    let large = layer(&[b'x'; 17_000], "Zmlyc3Q=");
    let CosignFound::Unreadable { why } = found(std::slice::from_ref(&large)).unwrap() else {
        panic!("{large}")
    };
    assert!(why.contains("more than the 16384 bytes allowed"), "{why}");

    // A payload that is none hides no signature beside it.
    let good = CosignFound::Signatures(vec![CosignSignature {
        payload: other.to_vec(),
        signature: "c2Vjb25k".to_owned(),
    }]);
    assert_eq!(found(&[large, layer(other, "c2Vjb25k")]).unwrap(), good);
    found(&[layer(one, "Zmlyc3Q="), layer(other, "c2Vjb25k")]).unwrap();
    let proxy = Proxy::start(&registry.address);
    let reference: Reference = format!("{}/team/scan:1", proxy.address).parse().unwrap();
    let through = Client::new(reference, None, None, Vec::new());
    let bad = Digest::of(one);
    for fault in [Fault::Status(404), Fault::Corrupt] {
        proxy.fail("GET", bad.as_str(), fault, usize::MAX);
        assert_eq!(through.cosign(&artifact).unwrap().found, good, "{fault:?}");
        proxy.heal();
    }
    // What is refused for now may be a good one.
    proxy.fail("GET", bad.as_str(), Fault::Status(403), usize::MAX);
    assert_eq!(through.cosign(&artifact).unwrap_err().code(), "registry.unauthorized");
}
