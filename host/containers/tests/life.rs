//! The life of containers on a real containerd: adoption, restarts, two hosts, cleaning up.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{DEADLINE, Host, ROOTFS, until};
use windlass_containers::runtime::{
    Access, ExecSpec, LABEL_GC_REF_SNAPSHOT, LABEL_GC_ROOT, Labels, Rootfs, TaskStatus,
};
use windlass_containers::{Runtime, doctor, leak, logs};
use windlass_model::network::Addresses;

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
    assert_eq!(left.keys().copied().collect::<Vec<_>>(), ["snapshots"], "{left:?}");
    assert_eq!(left["snapshots"], [ROOTFS]);
    host.finish().await;
}

#[tokio::test]
async fn the_leak_check_sees_what_is_there() {
    let host = Host::start(202).await;
    host.engine.create_and_start(&host.shell_in("web", "net", "sleep 1000")).await.unwrap();
    host.engine.create_lease("left", &Labels::new(), DEADLINE).await.unwrap();
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
    host.engine.create_and_start(&host.shell_in("web", "net", "sleep 1000")).await.unwrap();
    let (pid, containerd) = (running_pid(&host, "web").await, host.engine.containerd_pid());
    let engine = host.engine.clone();
    let waiting = tokio::spawn(async move { engine.wait("web").await });
    kill(containerd.unwrap());
    until("containerd is started again", || match host.engine.containerd_pid() {
        now if now.is_some() && now != containerd => Ok(()),
        now => Err(format!("{now:?}")),
    })
    .await;
    let mut adopted = host.engine.status("web").await;
    while adopted.is_err() {
        adopted = host.engine.status("web").await;
    }
    assert_eq!(adopted.unwrap(), Some(TaskStatus::Running { pid }));
    assert!(!waiting.is_finished(), "the wait goes on");
    host.engine.kill("web", 9, true).await.unwrap();
    let exit = tokio::time::timeout(DEADLINE, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(exit.code, 137);
    host.engine.delete("web").await.unwrap();
    host.finish().await;
}

#[tokio::test]
async fn a_restarted_host_finds_its_containerd_and_containers() {
    let mut host = Host::start(204).await;
    host.engine.create_and_start(&host.shell("web", "sleep 1000")).await.unwrap();
    let (pid, containerd) = (running_pid(&host, "web").await, host.engine.containerd_pid());
    let left = host.engine.mount_snapshot(ROOTFS, Access::ReadOnly).await.unwrap();
    let left_at = left.path().to_owned();
    std::mem::forget(left);
    host.restart().await;
    assert_eq!(host.engine.containerd_pid(), containerd);
    assert_eq!(running_pid(&host, "web").await, pid);
    assert!(!left_at.exists(), "mounts of a killed host are taken away");
    let again = host.engine.create_and_start(&host.shell("web", "sleep 1000")).await.unwrap();
    assert_eq!((again.pid, again.existed), (pid, true));
    host.finish().await;
}

#[tokio::test]
async fn two_hosts_with_equal_names_do_not_touch_each_other() {
    let (one, two) = (Host::start(205).await, Host::start(206).await);
    for host in [&one, &two] {
        host.engine.create_and_start(&host.shell_in("web", "net", "sleep 1000")).await.unwrap();
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
    let ended = host.engine.exec("web", &command(script, DEADLINE)).await.unwrap();
    assert_eq!((ended.code, ended.timed_out), (4, false));
    assert!(ended.stdout_tail.ends_with("blue round /tmp\n"), "{}", ended.stdout_tail);
    assert_eq!((ended.stdout_tail.len(), ended.stderr_tail.as_str()), (32, "bad\n"));
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
    engine.create_lease("build", &Labels::new(), DEADLINE).await.unwrap();
    let build = engine.leased("build");
    build.prepare_snapshot("work", Some(ROOTFS), &Labels::new()).await.unwrap();
    build.commit_snapshot("work", "artifact", &Labels::new()).await.unwrap();
    let labels = Labels::from([
        (LABEL_GC_ROOT.to_owned(), "artifact".to_owned()),
        (format!("{LABEL_GC_REF_SNAPSHOT}/0"), "artifact".to_owned()),
    ]);
    let record = build.put_blob(common::reader(b"{}".to_vec()), None, &labels).await.unwrap();
    engine.delete_lease("build").await.unwrap();
    assert!(engine.snapshot("artifact").await.unwrap().is_some(), "the record keeps it");
    engine.delete_blob(&record.digest).await.unwrap();
    engine.create_lease("collect", &Labels::new(), DEADLINE).await.unwrap();
    engine.delete_lease("collect").await.unwrap();
    assert!(engine.snapshot("artifact").await.unwrap().is_none(), "nothing keeps it any more");
    host.finish().await;
}

#[tokio::test]
async fn build_steps_write_into_their_own_snapshot() {
    let host = Host::start(209).await;
    let labels = Labels::from([(LABEL_GC_ROOT.to_owned(), "test".to_owned())]);
    host.engine.prepare_snapshot("step", Some(ROOTFS), &labels).await.unwrap();
    let mut spec = host.shell("step-1", "id -u; pwd; echo made > /home/made");
    spec.rootfs = Rootfs::Active("step".to_owned());
    spec.cwd = "/new/dir".to_owned();
    let following = tokio::spawn({
        let dir = spec.log.dir.clone();
        async move { futures::StreamExt::collect::<Vec<_>>(logs::follow(&dir, Arc::default())).await }
    });
    assert_eq!(host.run(&spec).await, (0, "0\n/new/dir\n".to_owned()));
    let followed = tokio::time::timeout(DEADLINE, following).await.unwrap().unwrap();
    assert_eq!(followed, logs::read(&spec.log.dir));
    assert_eq!(logs::tail(&spec.log.dir, 1)[0].text, "/new/dir");
    let mounted = host.engine.mount_snapshot("step", Access::ReadOnly).await.unwrap();
    assert_eq!(std::fs::read_to_string(mounted.path().join("home/made")).unwrap(), "made\n");
    drop(mounted);
    host.finish().await;
}

/// Whether the kernel syncs nothing of the overlay that a process sees at a path.
fn is_volatile(process: &str, at: &str) -> bool {
    let mounts = std::fs::read_to_string(format!("/proc/{process}/mountinfo")).unwrap();
    let mut lines = mounts.lines().filter(|line| line.split(' ').nth(4) == Some(at));
    let line = lines.next_back().unwrap_or_else(|| panic!("{at} is not in {mounts}"));
    let (_, file_system) = line.split_once(" - ").unwrap();
    assert!(file_system.starts_with("overlay "), "{line}");
    file_system.contains("volatile")
}

#[tokio::test]
async fn what_is_being_built_is_mounted_volatile_again_and_again_and_committed_whole() {
    let host = Host::start(219).await;
    let engine = &host.engine;
    let labels = Labels::from([(LABEL_GC_ROOT.to_owned(), "test".to_owned())]);
    engine.prepare_snapshot("step", Some(ROOTFS), &labels).await.unwrap();
    let write = async |name: &str| {
        let mounted = engine.mount_snapshot("step", Access::ReadWrite).await.unwrap();
        assert!(is_volatile("self", mounted.path().to_str().unwrap()), "{name}");
        std::fs::write(mounted.path().join("home").join(name), name).unwrap();
    };
    write("before").await;

    let mut spec = host.shell("step-1", "printf command > /home/command; sleep 1000");
    spec.rootfs = Rootfs::Active("step".to_owned());
    (spec.user_namespace, spec.of_builds) = (true, true);
    engine.create_and_start(&spec).await.unwrap();
    let pid = running_pid(&host, "step-1").await;
    let written = format!("/proc/{pid}/root/home/command");
    until("the command has written", || match std::fs::read_to_string(&written) {
        Ok(text) if text == "command" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let checks = doctor::inspect(&host.config);
    let namespaces = checks.iter().find(|check| check.name == "user namespaces").unwrap();
    // Without one it is containerd that mounts.
    let staged = namespaces.state == doctor::State::Ok;
    assert_eq!(is_volatile(&pid.to_string(), "/"), staged);
    engine.kill("step-1", 9, true).await.unwrap();
    engine.wait("step-1").await.unwrap();
    engine.delete("step-1").await.unwrap();

    write("after").await;
    engine.commit_snapshot("step", "built", &labels).await.unwrap();
    let mounted = engine.mount_snapshot("built", Access::ReadOnly).await.unwrap();
    for name in ["before", "command", "after"] {
        let file = mounted.path().join("home").join(name);
        assert_eq!(std::fs::read_to_string(file).unwrap(), name);
    }
    assert!(!is_volatile("self", mounted.path().to_str().unwrap()), "nothing is written to it");
    drop(mounted);
    host.finish().await;
}

#[tokio::test]
async fn what_a_reboot_leaves_is_seen_and_made_anew() {
    let mut host = Host::start(211).await;
    let spec = host.shell_in("web", "net", "exec sleep 1000");
    host.engine.create_and_start(&spec).await.unwrap();
    reboot(&host).await;
    host.restart().await;
    assert_eq!(host.engine.status("web").await.unwrap(), Some(TaskStatus::Missing));
    let again = host.engine.create_and_start(&spec).await.unwrap();
    assert!(!again.existed && again.pid > 0);
    reboot(&host).await;
    host.restart().await;
    host.engine.delete("web").await.unwrap();
    assert!(host.addresses.allotted().unwrap().is_empty());
    host.finish().await;
}

/// Ends every process of the host and empties its part of `/run`, as a reboot does.
async fn reboot(host: &Host) {
    let run = host.engine.paths().run().to_owned();
    until("the host's processes are gone", || {
        let found = leak::machine(&host.config.host_id);
        for process in found.get("processes").into_iter().flatten() {
            let pid = process.split(' ').next().unwrap().parse().unwrap();
            let _ = rustix::process::Pid::from_raw(pid)
                .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
        }
        for group in found.get("cgroups").into_iter().flatten() {
            let procs =
                std::fs::read_to_string(format!("{group}/cgroup.procs")).unwrap_or_default();
            procs.lines().for_each(|pid| kill(pid.parse().unwrap()));
        }
        for mounted in found.get("mounts").into_iter().flatten() {
            let _ = rustix::mount::unmount(mounted, rustix::mount::UnmountFlags::DETACH);
        }
        let quiet = ["processes", "mounts"].iter().all(|kind| !found.contains_key(kind));
        if quiet { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    std::fs::remove_dir_all(&run).unwrap();
}

#[tokio::test]
async fn an_unfinished_start_is_taken_away_at_the_next_start() {
    let mut host = Host::start(212).await;
    let labels = Labels::from([(LABEL_GC_ROOT.to_owned(), "container".to_owned())]);
    host.engine.prepare_snapshot("container-half", Some(ROOTFS), &labels).await.unwrap();
    host.addresses.address("net", "half").unwrap();
    std::fs::create_dir_all(host.engine.paths().run().join("containers/half")).unwrap();
    host.restart().await;
    let left = host.engine.inventory().await.unwrap();
    assert_eq!(left["snapshots"], [ROOTFS], "{left:?}");
    assert!(host.addresses.allotted().unwrap().is_empty());
    host.finish().await;
}

/// A shim that containerd has no record of, as one that was being started when whoever asked for it was killed.
fn lost_shim(host: &Host, container: &str) -> std::fs::File {
    let bundle = host.dir.join("lost").join(container);
    std::fs::create_dir_all(&bundle).unwrap();
    std::fs::write(bundle.join("config.json"), r#"{"ociVersion": "1.0.2"}"#).unwrap();
    let log = bundle.join("log");
    rustix::fs::mkfifoat(rustix::fs::CWD, &log, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
        .unwrap();
    // It writes its log there, and waits until somebody reads it.
    let reader = std::fs::File::options().read(true).write(true).open(&log).unwrap();
    let mut start = std::process::Command::new("containerd-shim-runc-v2");
    start.args(["-namespace", &format!("windlass-{}", host.config.host_id), "-id", container]);
    start.arg("-address").arg(host.engine.paths().socket()).arg("start").current_dir(&bundle);
    let output = start.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    reader
}

fn shims(host: &Host) -> Vec<String> {
    let mut processes = leak::machine(&host.config.host_id).remove("processes").unwrap_or_default();
    processes.retain(|process| process.contains("containerd-shim"));
    processes
}

#[tokio::test]
async fn shims_that_containerd_has_lost_are_ended_and_no_others() {
    let mut host = Host::start(248).await;
    host.engine.create_and_start(&host.shell("web", "exec sleep 1000")).await.unwrap();
    let pid = running_pid(&host, "web").await;
    for (container, how) in [("gone", "a deletion"), ("left", "a start")] {
        let _log = lost_shim(&host, container);
        assert_eq!(shims(&host).len(), 2, "{how}: {:?}", shims(&host));
        match how {
            "a deletion" => host.engine.delete(container).await.unwrap(),
            _ => host.restart().await,
        }
        let left = shims(&host);
        assert!(matches!(&left[..], [one] if one.contains("-id web ")), "{how}: {left:?}");
    }
    assert_eq!(running_pid(&host, "web").await, pid);
    let _log = lost_shim(&host, "at-the-end");
    // A teardown ends it, too.
    host.finish().await;
}

#[tokio::test]
async fn a_given_containerd_is_used_and_left_alone() {
    let giver = Host::start(213).await;
    let config = windlass_containers::Config {
        host_id: windlass_model::HostId::generate(),
        containerd: Some(giver.engine.paths().socket()),
        ..giver.config.clone()
    };
    let id = config.host_id.clone();
    let guest = windlass_containers::Engine::start(config, common::TestAddresses::new(214));
    let guest = guest.await.unwrap();
    assert_eq!(guest.containerd_pid(), None);
    giver.engine.create_and_start(&giver.shell("web", "exec sleep 1000")).await.unwrap();
    assert_eq!(guest.status("web").await.unwrap(), None, "namespaces keep them apart");
    let labels = Labels::from([(LABEL_GC_ROOT.to_owned(), "test".to_owned())]);
    let archive = common::reader(common::busybox_tar());
    guest.import_rootfs(ROOTFS, archive, &labels).await.unwrap();
    guest.create_and_start(&giver.shell("web", "exec sleep 1000")).await.unwrap();
    guest.remove_snapshot(ROOTFS).await.unwrap_err();
    guest.shutdown_all().await.unwrap();
    guest.remove_snapshot(ROOTFS).await.unwrap();
    guest.teardown_host().await.unwrap();
    assert!(leak::machine(&id).is_empty());
    assert!(running_pid(&giver, "web").await > 0);
    giver.finish().await;
}

#[tokio::test]
async fn layers_may_be_packed_with_zstd() {
    let host = Host::start(215).await;
    let labels = Labels::from([(LABEL_GC_ROOT.to_owned(), "test".to_owned())]);
    let mut tar = tar::Builder::new(Vec::new());
    common::put(&mut tar, "file", tar::EntryType::Regular, 0o644, b"packed");
    let archive = common::reader(zstd_raw(&tar.into_inner().unwrap()));
    host.engine.import_rootfs("packed", archive, &labels).await.unwrap();
    let mounted = host.engine.mount_snapshot("packed", Access::ReadOnly).await.unwrap();
    assert_eq!(std::fs::read(mounted.path().join("file")).unwrap(), b"packed");
    drop(mounted);
    host.finish().await;
}

/// A zstd frame of raw blocks: magic, a header with a window of 1 MiB, blocks with their sizes.
fn zstd_raw(bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50];
    let mut blocks = bytes.chunks(64 * 1024).peekable();
    while let Some(block) = blocks.next() {
        let last = u32::from(blocks.peek().is_none());
        let header = u32::try_from(block.len()).unwrap() << 3 | last;
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.extend_from_slice(block);
    }
    frame
}

#[tokio::test]
async fn the_doctor_names_what_is_in_force() {
    use windlass_containers::doctor::{State, inspect};
    let host = Host::start(216).await;
    let checks = inspect(&host.config);
    for name in ["containerd", "runc", "netavark", "aardvark-dns", "nft", "seccomp", "user"] {
        let check = checks.iter().find(|check| check.name == name).unwrap();
        assert_eq!((check.state, check.fix.as_str()), (State::Ok, ""), "{check:?}");
    }
    let socket = checks.iter().find(|check| check.name == "containerd socket").unwrap();
    assert!(socket.in_force.ends_with("answers"), "{socket:?}");
    let version = checks.iter().find(|check| check.name == "runc").unwrap().version.clone();
    assert!(version.unwrap().starts_with("1."));
    host.finish().await;
}

#[tokio::test]
async fn a_start_that_nobody_waits_for_any_more_leaves_nothing() {
    let host = Host::start(225).await;
    let run = host.engine.paths().run().to_owned();
    let (mut without_record, mut with_record) = (0, 0);
    for wait_ms in (0..200).step_by(10).chain([20_000]) {
        let id = format!("given-up-{wait_ms}");
        let spec = host.shell_in(&id, "blog", "sleep 1000");
        let start = host.engine.create_and_start(&spec);
        // The moment is what is tested; whichever place it falls on, nothing may stay.
        let _given_up = tokio::time::timeout(Duration::from_millis(wait_ms), start).await;
        if host.engine.status(&id).await.unwrap().is_some() {
            with_record += 1;
        } else {
            without_record += 1;
            let places = ["network/netns", "containers"].map(|place| run.join(place).join(&id));
            until("what was made of it is gone", || {
                let left: Vec<_> = places.iter().filter(|place| place.exists()).collect();
                if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
            })
            .await;
        }
        host.engine.delete(&id).await.unwrap();
    }
    assert!(without_record > 0 && with_record > 0, "{without_record} and {with_record}");
    host.finish().await;
}

/// Runs a command under our first process, asks it to end, and gives back how it ended and what it said.
async fn ends_under_init(host: &Host, argv: &[&str], signal: i32) -> (u32, String) {
    let mut spec = host.shell("one", "");
    spec.argv = argv.iter().map(|&word| word.to_owned()).collect();
    spec.init = true;
    // What the one before it said is not its own.
    let _none = std::fs::remove_dir_all(&spec.log.dir);
    host.engine.create_and_start(&spec).await.unwrap();
    if signal != 0 {
        until("the command runs", || {
            let said = common::output(&spec.log.dir);
            if said.contains("up") { Ok(()) } else { Err(said) }
        })
        .await;
        host.engine.kill("one", signal, false).await.unwrap();
    }
    let exit = tokio::time::timeout(DEADLINE, host.engine.wait("one")).await.unwrap().unwrap();
    host.engine.delete("one").await.unwrap();
    (exit.code, common::output(&spec.log.dir))
}

#[tokio::test]
async fn the_first_process_hands_signals_on_reaps_orphans_and_ends_as_the_command_does() {
    let host = Host::start(217).await;
    // No handler: process 1 itself would ignore it.
    let deaf = ["/bin/sh", "-c", "echo up; exec sleep 1000"];
    assert_eq!(ends_under_init(&host, &deaf, 15).await.0, 143);
    let handles = ["/bin/sh", "-c", "trap 'exit 9' QUIT; echo up; while :; do sleep 0.1; done"];
    assert_eq!(ends_under_init(&host, &handles, 3).await.0, 9);
    assert_eq!(ends_under_init(&host, &["/bin/sh", "-c", "exit 5"], 0).await.0, 5);
    // An orphan's parent is process 1: nothing is left of it a moment later.
    let orphan = "(sh -c 'exit 0' & ); sleep 1; grep -l 'State:.Z' /proc/[0-9]*/status; echo done";
    let (code, said) = ends_under_init(&host, &["/bin/sh", "-c", orphan], 0).await;
    assert!(code == 0 && said.contains("done") && !said.contains("/status"), "{code}: {said}");
    let (code, said) = ends_under_init(&host, &["no-such-command"], 0).await;
    assert_eq!(code, 127);
    assert!(said.contains("exec: \"no-such-command\": executable file not found"), "{said}");
    host.finish().await;
}
