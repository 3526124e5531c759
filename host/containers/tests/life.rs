//! The life of containers on a real containerd: adoption, restarts, two hosts, cleaning up.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking")]

mod common;

use std::time::Duration;

use common::{DEADLINE, Host, ROOTFS, until};
use windlass_containers::runtime::{
    Access, ExecSpec, LABEL_GC_REF_SNAPSHOT, LABEL_GC_ROOT, Labels, Rootfs, TaskStatus,
};
use windlass_containers::{Runtime, logs};

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

async fn running_pid(host: &Host, id: &str) -> u32 {
    match host.engine.status(id).await.unwrap() {
        Some(TaskStatus::Running { pid }) => pid,
        other => panic!("{id} does not run: {other:?}"),
    }
}

#[tokio::test]
async fn a_container_lives_in_a_network_logs_and_leaves_nothing() {
    let host = Host::start(201).await;
    let script = "echo out; echo err >&2; ip addr show eth0; exit 3";
    let spec = host.shell_in("web-1", "shop-production", script);
    let started = host.engine.create_and_start(&spec).await.unwrap();
    let address = started.address.unwrap().to_string();
    let exit = host.engine.wait("web-1").await.unwrap();
    assert_eq!((exit.code, exit.oom), (3, false));
    host.engine.delete("web-1").await.unwrap();
    let text = common::output(&spec.log.dir);
    assert!(text.contains("out\n") && text.contains("err\n"), "{text}");
    assert!(text.contains(&address), "{address} is not in {text}");
    host.engine.remove_network("shop-production").await.unwrap();
    let left = host.engine.inventory().await.unwrap();
    assert_eq!(
        left.keys().copied().collect::<Vec<_>>(),
        ["snapshots"],
        "{left:?}"
    );
    assert_eq!(left["snapshots"], [ROOTFS]);
    host.finish().await;
}

#[tokio::test]
async fn the_leak_check_sees_what_is_there() {
    let host = Host::start(202).await;
    host.engine
        .create_and_start(&host.shell_in("web", "net", "sleep 1000"))
        .await
        .unwrap();
    host.engine
        .create_lease("left", &Labels::new(), DEADLINE)
        .await
        .unwrap();
    let found = host.engine.inventory().await.unwrap();
    for kind in [
        "containers",
        "snapshots",
        "leases",
        "processes",
        "mounts",
        "cgroups",
        "networks",
        "bridges",
        "network namespaces",
        "network attachments",
        "nft tables",
        "iptables rules",
    ] {
        assert!(found.contains_key(kind), "{kind} is not in {found:?}");
    }
    host.finish().await;
}

#[tokio::test]
async fn containers_outlive_containerd_and_are_adopted() {
    let host = Host::start(203).await;
    host.engine
        .create_and_start(&host.shell_in("web", "net", "sleep 1000"))
        .await
        .unwrap();
    let (pid, containerd) = (
        running_pid(&host, "web").await,
        host.engine.containerd_pid(),
    );
    let engine = host.engine.clone();
    let waiting = tokio::spawn(async move { engine.wait("web").await });
    kill(containerd.unwrap());
    until("containerd is started again", || {
        match host.engine.containerd_pid() {
            now if now.is_some() && now != containerd => Ok(()),
            now => Err(format!("{now:?}")),
        }
    })
    .await;
    let mut adopted = host.engine.status("web").await;
    while adopted.is_err() {
        adopted = host.engine.status("web").await;
    }
    assert_eq!(adopted.unwrap(), Some(TaskStatus::Running { pid }));
    assert!(!waiting.is_finished(), "the wait goes on");
    host.engine.kill("web", 9, true).await.unwrap();
    let exit = tokio::time::timeout(DEADLINE, waiting)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(exit.code, 137);
    host.engine.delete("web").await.unwrap();
    host.finish().await;
}

#[tokio::test]
async fn a_restarted_host_finds_its_containerd_and_containers() {
    let mut host = Host::start(204).await;
    host.engine
        .create_and_start(&host.shell("web", "sleep 1000"))
        .await
        .unwrap();
    let (pid, containerd) = (
        running_pid(&host, "web").await,
        host.engine.containerd_pid(),
    );
    let left = host
        .engine
        .mount_snapshot(ROOTFS, Access::ReadOnly)
        .await
        .unwrap();
    let left_at = left.path().to_owned();
    std::mem::forget(left);
    host.restart().await;
    assert_eq!(host.engine.containerd_pid(), containerd);
    assert_eq!(running_pid(&host, "web").await, pid);
    assert!(!left_at.exists(), "mounts of a killed host are taken away");
    let again = host
        .engine
        .create_and_start(&host.shell("web", "sleep 1000"))
        .await
        .unwrap();
    assert_eq!((again.pid, again.existed), (pid, true));
    host.finish().await;
}

#[tokio::test]
async fn two_hosts_with_equal_names_do_not_touch_each_other() {
    let (one, two) = (Host::start(205).await, Host::start(206).await);
    for host in [&one, &two] {
        host.engine
            .create_and_start(&host.shell_in("web", "net", "sleep 1000"))
            .await
            .unwrap();
    }
    let pid = running_pid(&two, "web").await;
    one.engine.delete("web").await.unwrap();
    one.engine.remove_network("net").await.unwrap();
    assert_eq!(running_pid(&two, "web").await, pid);
    one.finish().await;
    assert_eq!(running_pid(&two, "web").await, pid);
    let again = two.shell_in("next", "net", "nslookup web");
    let (code, text) = two.run(&again).await;
    assert_eq!(code, 0, "{text}");
    two.finish().await;
}

#[tokio::test]
async fn commands_run_in_a_container_within_their_time() {
    let host = Host::start(207).await;
    let mut spec = host.shell("web", "sleep 1000");
    spec.env = vec![("COLOUR".to_owned(), "blue".to_owned())];
    host.engine.create_and_start(&spec).await.unwrap();
    let command = |script: &str, timeout| ExecSpec {
        argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        env: vec![("SHAPE".to_owned(), "round".to_owned())],
        cwd: Some("/tmp".to_owned()),
        timeout,
        tail_bytes_max: 32,
    };
    let script = "seq 1 100000; echo $COLOUR $SHAPE $(pwd); echo bad >&2; exit 4";
    let ended = host
        .engine
        .exec("web", &command(script, DEADLINE))
        .await
        .unwrap();
    assert_eq!((ended.code, ended.timed_out), (4, false));
    assert!(
        ended.stdout_tail.ends_with("blue round /tmp\n"),
        "{}",
        ended.stdout_tail
    );
    assert_eq!(
        (ended.stdout_tail.len(), ended.stderr_tail.as_str()),
        (32, "bad\n")
    );
    let slow = command("echo begun; sleep 1000", Duration::from_millis(300));
    let ended = host.engine.exec("web", &slow).await.unwrap();
    assert_eq!((ended.code, ended.timed_out), (137, true));
    assert_eq!(ended.stdout_tail, "begun\n");
    host.finish().await;
}

#[tokio::test]
async fn a_record_keeps_its_snapshot_and_releases_it() {
    let host = Host::start(208).await;
    let engine = &host.engine;
    engine
        .create_lease("build", &Labels::new(), DEADLINE)
        .await
        .unwrap();
    let build = engine.leased("build");
    build
        .prepare_snapshot("work", Some(ROOTFS), &Labels::new())
        .await
        .unwrap();
    build
        .commit_snapshot("work", "artifact", &Labels::new())
        .await
        .unwrap();
    let labels = Labels::from([
        (LABEL_GC_ROOT.to_owned(), "artifact".to_owned()),
        (format!("{LABEL_GC_REF_SNAPSHOT}/0"), "artifact".to_owned()),
    ]);
    let record = build
        .put_blob(common::reader(b"{}".to_vec()), None, &labels)
        .await
        .unwrap();
    engine.delete_lease("build").await.unwrap();
    assert!(
        engine.snapshot("artifact").await.unwrap().is_some(),
        "the record keeps it"
    );
    engine.delete_blob(&record.digest).await.unwrap();
    engine
        .create_lease("collect", &Labels::new(), DEADLINE)
        .await
        .unwrap();
    engine.delete_lease("collect").await.unwrap();
    assert!(
        engine.snapshot("artifact").await.unwrap().is_none(),
        "nothing keeps it any more"
    );
    host.finish().await;
}

#[tokio::test]
async fn build_steps_write_into_their_own_snapshot() {
    let host = Host::start(209).await;
    let labels = Labels::from([(LABEL_GC_ROOT.to_owned(), "test".to_owned())]);
    host.engine
        .prepare_snapshot("step", Some(ROOTFS), &labels)
        .await
        .unwrap();
    let mut spec = host.shell("step-1", "id -u; pwd; echo made > /home/made");
    spec.rootfs = Rootfs::Active("step".to_owned());
    spec.cwd = "/new/dir".to_owned();
    let following = tokio::spawn({
        let dir = spec.log.dir.clone();
        async move { futures::StreamExt::collect::<Vec<_>>(logs::follow(&dir)).await }
    });
    assert_eq!(host.run(&spec).await, (0, "0\n/new/dir\n".to_owned()));
    let followed = tokio::time::timeout(DEADLINE, following)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(followed, logs::read(&spec.log.dir));
    assert_eq!(logs::tail(&spec.log.dir, 1)[0].text, "/new/dir");
    let mounted = host
        .engine
        .mount_snapshot("step", Access::ReadOnly)
        .await
        .unwrap();
    assert_eq!(
        std::fs::read_to_string(mounted.path().join("home/made")).unwrap(),
        "made\n"
    );
    drop(mounted);
    host.finish().await;
}
