//! One suite for every implementation of the [`Runtime`] trait: what the pipeline relies on.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{DEADLINE, Host, ROOTFS, put, reader, shell};
use windlass_containers::fake::{Behaviour, FakeRuntime};
use windlass_containers::runtime::{
    Access, Attachment, Committed, ExecSpec, LABEL_GC_ROOT, Labels, TaskStatus,
};
use windlass_containers::{Runtime, RuntimeError, logs};
use windlass_model::{Digest, Stream};

fn kept(label: &str) -> Labels {
    [(LABEL_GC_ROOT, "test"), ("test/kind", label)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn only(label: &str) -> Labels {
    [("test/kind".to_owned(), label.to_owned())].into()
}

#[tokio::test]
async fn the_engine_conforms() {
    let host = Host::start(210).await;
    suite(&host.engine, &host.dir).await;
    host.finish().await;
}

#[tokio::test]
async fn the_fake_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeRuntime::scripted(|spec| match spec.argv.last().map(String::as_str) {
        Some("echo told hunter22; exit 7") => Behaviour {
            lines: vec![(Stream::Stdout, "told hunter22".to_owned())],
            ..Behaviour::exits(7)
        },
        Some("/no/such/command") => Behaviour {
            start_error: Some("no such file or directory".to_owned()),
            ..Behaviour::default()
        },
        _ => Behaviour::default(),
    })
    .unwrap();
    fake.add_rootfs(ROOTFS, &[("etc/passwd", b"root:x:0:0::/root:/bin/sh\n")]).unwrap();
    suite(&fake, dir.path()).await;
}

async fn suite(runtime: &dyn Runtime, dir: &Path) {
    leases(runtime).await;
    blobs(runtime).await;
    snapshots(runtime).await;
    layers(runtime).await;
    a_life(runtime, dir).await;
    refusals(runtime, dir).await;
    networks(runtime, dir).await;
}

async fn leases(runtime: &dyn Runtime) {
    let hour = Duration::from_secs(3600);
    for _ in 0..2 {
        runtime.create_lease("lease-1", &only("lease"), hour).await.unwrap();
    }
    assert_eq!(runtime.list_leases(&only("lease")).await.unwrap(), ["lease-1"]);
    assert!(runtime.list_leases(&only("other")).await.unwrap().is_empty());
    let leased = runtime.leased("lease-1");
    let blob = leased.put_blob(reader(b"leased".to_vec()), None, &Labels::new()).await.unwrap();
    let read = runtime.read_blob(&blob.digest, 100).await.unwrap();
    assert_eq!(read.as_deref(), Some(&b"leased"[..]));
    let rooted = leased.put_blob(reader(b"rooted".to_vec()), None, &kept("x")).await.unwrap();
    leased.prepare_snapshot("held", Some(ROOTFS), &Labels::new()).await.unwrap();
    for _ in 0..2 {
        runtime.delete_lease("lease-1").await.unwrap();
    }
    assert!(runtime.blob(&blob.digest).await.unwrap().is_none(), "only the lease kept it");
    assert!(runtime.snapshot("held").await.unwrap().is_none(), "only the lease kept it");
    assert!(runtime.blob(&rooted.digest).await.unwrap().is_some());
    runtime.delete_blob(&rooted.digest).await.unwrap();
    assert!(runtime.list_leases(&Labels::new()).await.unwrap().is_empty());

    // One that is released is gone at once, and what it kept with the next collection.
    runtime.create_lease("lease-2", &only("lease"), hour).await.unwrap();
    let leased = runtime.leased("lease-2");
    let blob = leased.put_blob(reader(b"leased".to_vec()), None, &Labels::new()).await.unwrap();
    let rooted = leased.put_blob(reader(b"rooted".to_vec()), None, &kept("x")).await.unwrap();
    for _ in 0..2 {
        runtime.release_lease("lease-2").await.unwrap();
    }
    assert!(runtime.list_leases(&Labels::new()).await.unwrap().is_empty());
    runtime.collect().await.unwrap();
    assert!(runtime.blob(&blob.digest).await.unwrap().is_none(), "only the lease kept it");
    assert!(runtime.blob(&rooted.digest).await.unwrap().is_some());
    runtime.delete_blob(&rooted.digest).await.unwrap();
}

async fn blobs(runtime: &dyn Runtime) {
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let digest = Digest::of(&body);
    for _ in 0..2 {
        let blob =
            runtime.put_blob(reader(body.clone()), Some(&digest), &kept("blob")).await.unwrap();
        assert_eq!((blob.digest, blob.bytes), (digest.clone(), 3_000_000));
    }
    assert_eq!(runtime.read_blob(&digest, 4_000_000).await.unwrap().unwrap(), body);
    let too_large = runtime.read_blob(&digest, 10).await.unwrap_err();
    assert_eq!(too_large.code(), "content.too-large");
    let other = Digest::of(b"other");
    let wrong = runtime.put_blob(reader(body), Some(&other), &kept("blob")).await.unwrap_err();
    assert_eq!(wrong.code(), "content.digest-mismatch");
    assert!(runtime.blob(&other).await.unwrap().is_none());
    runtime.label_blob(&digest, &[("more".to_owned(), "1".to_owned())].into()).await.unwrap();
    let listed = runtime.list_blobs(&only("blob")).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].labels.get("more").map(String::as_str), Some("1"));
    for _ in 0..2 {
        runtime.delete_blob(&digest).await.unwrap();
    }
    assert!(runtime.blob(&digest).await.unwrap().is_none());
}

async fn snapshots(runtime: &dyn Runtime) {
    for key in ["work-1", "work-1", "work-2"] {
        runtime.prepare_snapshot(key, Some(ROOTFS), &kept("work")).await.unwrap();
    }
    for key in ["work-1", "work-2"] {
        let mounted = runtime.mount_snapshot(key, Access::ReadWrite).await.unwrap();
        assert!(mounted.path().join("etc/passwd").is_file());
        std::fs::write(mounted.path().join("made"), key).unwrap();
    }
    assert!(runtime.snapshot_bytes("work-1").await.unwrap() > 0);
    let labels = kept("step");
    let first = runtime.commit_snapshot("work-1", "step-1", &labels).await.unwrap();
    assert_eq!(first, Committed::New);
    let second = runtime.commit_snapshot("work-2", "step-1", &labels).await.unwrap();
    assert_eq!(second, Committed::Existed);
    let again = runtime.commit_snapshot("work-1", "step-1", &labels).await.unwrap();
    assert_eq!(again, Committed::Existed);
    assert!(runtime.snapshot("work-2").await.unwrap().is_none());

    let step = runtime.snapshot("step-1").await.unwrap().unwrap();
    assert_eq!((step.committed, step.parent.as_deref()), (true, Some(ROOTFS)));
    runtime
        .label_snapshot("step-1", &[("used".to_owned(), "now".to_owned())].into())
        .await
        .unwrap();
    let listed = runtime.list_snapshots(&only("step")).await.unwrap();
    assert_eq!(listed[0].labels.get("used").map(String::as_str), Some("now"));
    {
        let mounted = runtime.mount_snapshot("step-1", Access::ReadOnly).await.unwrap();
        assert_eq!(std::fs::read_to_string(mounted.path().join("made")).unwrap(), "work-1");
    }
    assert!(runtime.mount_snapshot("step-1", Access::ReadWrite).await.is_err());
    runtime.prepare_snapshot("child", Some("step-1"), &kept("work")).await.unwrap();
    assert!(runtime.remove_snapshot("step-1").await.is_err());
    for key in ["child", "child", "step-1", "step-1"] {
        runtime.remove_snapshot(key).await.unwrap();
    }
    let missing = runtime.prepare_snapshot("work-3", Some("nowhere"), &kept("work")).await;
    assert_eq!(missing.unwrap_err().code(), "containers.not-found");
}

async fn layers(runtime: &dyn Runtime) {
    let file = |path: &str, bytes: &[u8]| {
        let mut tar = tar::Builder::new(Vec::new());
        put(&mut tar, "dir", tar::EntryType::Directory, 0o755, b"");
        put(&mut tar, path, tar::EntryType::Regular, 0o644, bytes);
        tar.into_inner().unwrap()
    };
    let plain = file("dir/kept-not", b"1");
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut zip, &file("dir/.wh.kept-not", b"")).unwrap();
    let whiteout = zip.finish().unwrap();

    let base = runtime.import_rootfs("base", reader(plain.clone()), &kept("layer")).await.unwrap();
    assert_eq!((base.committed, base.diff_id), (Committed::New, Some(Digest::of(&plain))));
    let base = runtime.import_rootfs("base", reader(plain), &kept("layer")).await.unwrap();
    assert_eq!(base.committed, Committed::Existed);
    let layer = runtime.put_blob(reader(whiteout), None, &kept("layer")).await.unwrap().digest;
    let top = runtime.apply_layer(Some("base"), "top", &layer, None, &kept("layer")).await.unwrap();
    assert_eq!(top.committed, Committed::New);
    {
        let mounted = runtime.mount_snapshot("top", Access::ReadOnly).await.unwrap();
        assert!(mounted.path().join("dir").is_dir());
        assert!(!mounted.path().join("dir/kept-not").exists());
    }
    for key in ["top", "base"] {
        runtime.remove_snapshot(key).await.unwrap();
    }
    runtime.delete_blob(&layer).await.unwrap();
    let none = runtime.apply_layer(None, "none", &layer, None, &kept("layer")).await.unwrap_err();
    assert_eq!(none.code(), "containers.not-found");
}

async fn a_life(runtime: &dyn Runtime, dir: &Path) {
    let mut runs = shell(dir, "runs", "sleep 1000");
    runs.labels = only("run");
    let started = runtime.create_and_start(&runs).await.unwrap();
    assert!(started.pid > 0 && !started.existed);
    let again = runtime.create_and_start(&runs).await.unwrap();
    assert_eq!((again.pid, again.existed), (started.pid, true));
    let status = runtime.status("runs").await.unwrap();
    assert_eq!(status, Some(TaskStatus::Running { pid: started.pid }));
    assert!(runtime.usage("runs").await.unwrap().unwrap().memory_bytes > 0);
    let probe = ExecSpec {
        argv: vec!["/bin/true".to_owned()],
        env: Vec::new(),
        cwd: None,
        timeout: DEADLINE,
        tail_bytes_max: 100,
    };
    assert_eq!(runtime.exec("runs", &probe).await.unwrap().code, 0);
    let listed = runtime.list(&only("run")).await.unwrap();
    assert_eq!(listed.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["runs"]);
    runtime.kill("runs", 9, true).await.unwrap();
    assert_eq!(runtime.wait("runs").await.unwrap().code, 137);
    runtime.kill("runs", 9, true).await.unwrap();
    assert!(matches!(runtime.status("runs").await.unwrap(), Some(TaskStatus::Exited(_))));
    let ended = runtime.create_and_start(&runs).await.unwrap();
    assert!(ended.existed, "what has run is not run again");
    assert!(!logs::is_closed(&runs.log.dir));
    for _ in 0..2 {
        runtime.delete("runs").await.unwrap();
    }
    assert!(logs::is_closed(&runs.log.dir));
    assert_eq!(runtime.status("runs").await.unwrap(), None);

    let mut tells = shell(dir, "tells", "echo told hunter22; exit 7");
    tells.log.mask = vec!["hunter22".to_owned()];
    assert!(!runtime.start_once(&tells).await.unwrap().existed);
    assert_eq!(runtime.wait("tells").await.unwrap().code, 7);
    assert!(runtime.start_once(&tells).await.unwrap().existed, "what has run is not run again");
    runtime.delete("tells").await.unwrap();
    assert_eq!(common::output(&tells.log.dir), "told [secret]\n");
    assert_eq!(runtime.wait("tells").await.unwrap_err().code(), "containers.not-found");
}

async fn refusals(runtime: &dyn Runtime, dir: &Path) {
    let bad = shell(dir, "../up", "true");
    assert_eq!(runtime.create_and_start(&bad).await.unwrap_err().code(), "containers.invalid");
    let mut bad = shell(dir, "no-command", "true");
    bad.argv = vec!["/no/such/command".to_owned()];
    let error = runtime.create_and_start(&bad).await.unwrap_err();
    assert!(matches!(&error, RuntimeError::StartFailed { why, .. } if why.contains("no such")));
    let error = runtime.start_once(&bad).await.unwrap_err();
    assert!(matches!(&error, RuntimeError::StartFailed { .. }));
    assert_eq!(runtime.status("no-command").await.unwrap(), None);
}

async fn networks(runtime: &dyn Runtime, dir: &Path) {
    let gateway = runtime.ensure_network("shop-production").await.unwrap();
    assert_eq!(runtime.ensure_network("shop-production").await.unwrap(), gateway);
    let mut member = shell(dir, "member", "sleep 1000");
    member.network = Some(Attachment::member("shop-production", vec!["web".to_owned()]));
    let started = runtime.create_and_start(&member).await.unwrap();
    let listed = runtime.list(&Labels::new()).await.unwrap();
    assert!(started.address.is_some());
    assert_eq!(listed[0].address, started.address);
    assert!(runtime.remove_network("shop-production").await.is_err());
    runtime.delete("member").await.unwrap();
    places(runtime, dir).await;
    assert_eq!(runtime.list_networks().await.unwrap(), ["shop-production"]);
    for _ in 0..2 {
        runtime.remove_network("shop-production").await.unwrap();
    }
    assert!(runtime.list_networks().await.unwrap().is_empty());
}

async fn places(runtime: &dyn Runtime, dir: &Path) {
    let network = Attachment::member("shop-production", Vec::new());
    assert_eq!(
        runtime.ensure_place("../up", &network).await.unwrap_err().code(),
        "containers.invalid"
    );
    for name in ["place-1", "place-1", "place-2"] {
        runtime.ensure_place(name, &network).await.unwrap();
    }
    assert_eq!(runtime.list_places("place-").await.unwrap(), ["place-1", "place-2"]);
    assert!(runtime.list_places("other-").await.unwrap().is_empty());
    let mut addresses = Vec::new();
    for id in ["first", "second"] {
        let mut inside = shell(dir, id, "sleep 1000");
        inside.network = Some(network.clone().at("place-1"));
        addresses.push(runtime.create_and_start(&inside).await.unwrap().address);
        runtime.delete(id).await.unwrap();
    }
    assert!(addresses[0].is_some() && addresses[0] == addresses[1], "it stays: {addresses:?}");
    for name in ["place-1", "place-1"] {
        runtime.remove_place(name).await.unwrap();
    }
    let mut late = shell(dir, "late", "sleep 1000");
    late.network = Some(network.at("place-1"));
    let error = runtime.create_and_start(&late).await.unwrap_err();
    assert_eq!(error.code(), "containers.not-found");
    assert_eq!(runtime.status("late").await.unwrap(), None);
    assert!(runtime.remove_network("shop-production").await.is_err(), "a place is in it");
    runtime.remove_place("place-2").await.unwrap();
    assert!(runtime.list_places("").await.unwrap().is_empty());
}
