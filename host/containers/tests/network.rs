//! The network under stress: in parallel, with broken namespaces, and with its helper killed.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking")]

mod common;

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use common::{DEADLINE, Host, until};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use windlass_containers::runtime::{Attachment, ExecSpec, Labels, TaskStatus};
use windlass_containers::{Runtime, RuntimeError};
use windlass_model::network::Addresses as _;

fn aardvark(host: &Host) -> Option<i32> {
    let path =
        format!("/run/windlass/{}/network/dns/aardvark-dns/aardvark.pid", host.config.host_id);
    let pid: i32 = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
    std::path::Path::new(&format!("/proc/{pid}/cmdline")).exists().then_some(pid)
}

fn resolve(name: &str) -> ExecSpec {
    ExecSpec {
        argv: ["nslookup", name].map(str::to_owned).to_vec(),
        env: Vec::new(),
        cwd: None,
        timeout: DEADLINE,
        tail_bytes_max: 1000,
    }
}

/// Asks for a name from inside a container, again and again for half a second; the first error that is no lack of
/// an answer.
async fn asks_for_names(host: &Host, id: &str) -> std::thread::JoinHandle<Option<ErrorKind>> {
    let Some(TaskStatus::Running { pid }) = host.engine.status(id).await.unwrap() else {
        panic!("{id} does not run");
    };
    let containers = host.engine.list(&Labels::new()).await.unwrap();
    let own = containers.iter().find(|container| container.id == id).unwrap().address.unwrap();
    let [a, b, c, _] = own.octets();
    let gateway = std::net::Ipv4Addr::new(a, b, c, 1);
    let query = b"\x57\x4c\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02db\x00\x00\x01\x00\x01";
    std::thread::spawn(move || {
        let netns = std::fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        let until = Instant::now() + Duration::from_millis(500);
        let mut buffer = [0; 512];
        while Instant::now() < until {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            socket.connect((gateway, 53)).unwrap();
            socket.send(query).unwrap();
            let error = socket.recv(&mut buffer).err().map(|error| error.kind());
            if error.is_some_and(|kind| kind != ErrorKind::WouldBlock) {
                return error;
            }
        }
        None
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn containers_start_and_go_in_parallel() {
    let host = Host::start(230).await;
    let starts = (0..8).map(|n| {
        let spec = host.shell_in(&format!("web-{n}"), &format!("net-{}", n % 2), "exec sleep 1000");
        let engine = host.engine.clone();
        tokio::spawn(async move { engine.create_and_start(&spec).await })
    });
    let mut addresses = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        addresses.push(start.await.unwrap().unwrap().address.unwrap());
    }
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 8);
    let found = host.engine.exec("web-0", &resolve("web-2")).await.unwrap();
    assert_eq!(found.code, 0, "{found:?}");
    let ends = (0..8).map(|n| {
        let engine = host.engine.clone();
        tokio::spawn(async move { engine.delete(&format!("web-{n}")).await })
    });
    for end in ends.collect::<Vec<_>>() {
        end.await.unwrap().unwrap();
    }
    for network in ["net-0", "net-1"] {
        host.engine.remove_network(network).await.unwrap();
    }
    let left = host.engine.inventory().await.unwrap();
    assert_eq!(left.keys().copied().collect::<Vec<_>>(), ["snapshots"], "{left:?}");
    host.finish().await;
}

#[tokio::test]
async fn a_broken_namespace_is_taken_away_whole() {
    let host = Host::start(231).await;
    host.engine.create_and_start(&host.shell_in("web", "net", "exec sleep 1000")).await.unwrap();
    let netns = host.engine.paths().network().join("netns/web");
    rustix::mount::unmount(&netns, rustix::mount::UnmountFlags::DETACH).unwrap();
    host.engine.delete("web").await.unwrap();
    let again = host.shell_in("web", "net", "nslookup web");
    let (code, text) = host.run(&again).await;
    assert_eq!(code, 0, "{text}");
    host.engine.remove_network("net").await.unwrap();
    let left = host.engine.inventory().await.unwrap();
    assert_eq!(left.keys().copied().collect::<Vec<_>>(), ["snapshots"], "{left:?}");
    host.finish().await;
}

#[tokio::test]
async fn names_resolve_again_after_the_dns_helper_was_killed() {
    let host = Host::start(232).await;
    for id in ["web", "db"] {
        host.engine.create_and_start(&host.shell_in(id, "net", "exec sleep 1000")).await.unwrap();
    }
    let killed = aardvark(&host).unwrap();
    let pid = rustix::process::Pid::from_raw(killed).unwrap();
    let asks = asks_for_names(&host, "web").await;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    // No answer is one that is asked for again; a refusal would be taken for one.
    assert_eq!(asks.join().unwrap(), None, "asked while the helper was away");
    until("the helper is started again", || match aardvark(&host) {
        Some(pid) if pid != killed => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let found = host.engine.exec("web", &resolve("db")).await.unwrap();
    assert_eq!(found.code, 0, "{found:?}");
    host.finish().await;
}

#[tokio::test]
async fn walls_that_were_flushed_stand_again_at_the_next_start() {
    let mut host = Host::start(233).await;
    host.engine.ensure_network("net").await.unwrap();
    let id = host.config.host_id.to_string();
    let table = format!("windlass_{id}");
    let nft = |action: &str| {
        let mut command = std::process::Command::new("nft");
        command.args([action, "table", "inet", &table]).output().unwrap().status.success()
    };
    assert!(nft("list") && nft("delete") && !nft("list"));
    host.restart().await;
    until("the table is there", || if nft("list") { Ok(()) } else { Err(String::new()) }).await;
    host.finish().await;
}

#[tokio::test]
async fn nothing_is_connected_any_more_once_a_host_was_taken_away() {
    let host = Host::start(247).await;
    let (engine, id) = (host.engine.clone(), host.config.host_id.clone());
    engine.ensure_place("early", &Attachment::build()).await.unwrap();
    host.finish().await;
    let late = engine.ensure_place("late", &Attachment::build()).await.unwrap_err();
    assert!(late.to_string().contains("were taken away"), "{late}");
    assert!(windlass_containers::leak::machine(&id).is_empty());
}

#[tokio::test]
async fn places_of_a_killed_host_go_at_its_next_start() {
    let mut host = Host::start(196).await;
    let held = |host: &Host| {
        let mut found = windlass_containers::leak::machine(&host.config.host_id);
        ["network namespaces", "network attachments"]
            .map(|kind| found.remove(kind).unwrap_or_default())
    };
    for name in ["ready", "in-use"] {
        host.engine.ensure_place(name, &Attachment::build()).await.unwrap();
    }
    // One that was killed before it had more than its address.
    host.addresses.address("windlass-build", "begun").unwrap();
    let mut runs = host.shell("runs", "exec sleep 1000");
    runs.network = Some(Attachment::build().at("in-use"));
    host.engine.create_and_start(&runs).await.unwrap();
    assert_eq!(held(&host), [["in-use", "ready"], ["in-use", "ready"]]);
    host.restart().await;
    assert_eq!(held(&host), [Vec::<String>::new(), Vec::new()]);
    assert!(host.engine.list_places("").await.unwrap().is_empty());
    assert!(host.addresses.allotted().unwrap().is_empty());
    // Whoever finds the container takes it away as any other.
    host.engine.delete("runs").await.unwrap();
    host.engine.ensure_place("ready", &Attachment::build()).await.unwrap();
    let mut again = host.shell("again", "nslookup ready");
    again.network = Some(Attachment::build().at("ready"));
    let (code, text) = host.run(&again).await;
    assert_eq!(code, 0, "{text}");
    host.finish().await;
}

#[tokio::test]
async fn a_network_whose_containers_come_and_go_keeps_its_bridge_until_it_is_removed() {
    let host = Host::start(197).await;
    let bridges = |host: &Host| {
        let mut found = windlass_containers::leak::machine(&host.config.host_id);
        found.remove("bridges").unwrap_or_default()
    };
    let mut build = host.shell("build", "true");
    build.network = Some(Attachment::build());
    host.run(&build).await;
    let kept = bridges(&host);
    assert!(!kept.is_empty(), "the next build finds it");
    host.run(&build).await;
    assert_eq!(bridges(&host), kept);
    host.run(&host.shell_in("web", "net", "true")).await;
    assert_eq!(bridges(&host), kept, "an environment's goes with its last container");
    host.engine.remove_network("windlass-build").await.unwrap();
    assert_eq!(bridges(&host), Vec::<String>::new());
    host.engine.remove_network("net").await.unwrap();
    let left = host.engine.inventory().await.unwrap();
    assert_eq!(left.keys().copied().collect::<Vec<_>>(), ["snapshots"], "{left:?}");
    host.finish().await;
}

/// Its record and its task are made while its network is.
#[tokio::test]
async fn a_command_whose_network_cannot_be_made_is_not_run_and_leaves_nothing() {
    let host = Host::start(199).await;
    host.engine.create_and_start(&host.shell_in("stays", "net", "sleep 1000")).await.unwrap();
    let held = || windlass_containers::leak::machine(&host.config.host_id);
    let bridge = held().remove("bridges").unwrap_or_default().concat();
    host.engine.delete("stays").await.unwrap();
    let before = held();
    // Something else has the name of its bridge, and goes with what was made.
    let occupy = || {
        let args = ["link", "add", &bridge, "type", "veth", "peer", "name", "wl-test-peer"];
        assert!(std::process::Command::new("ip").args(args).status().unwrap().success());
    };
    let spec = host.shell_in("web", "net", "echo runs");
    occupy();
    let error = host.engine.create_and_start(&spec).await.unwrap_err();
    occupy();
    let once = host.engine.start_once(&spec).await.unwrap_err();
    for error in [error, once] {
        assert!(matches!(error, RuntimeError::Network { operation: "setup", .. }), "{error}");
    }
    assert_eq!(common::output(&spec.log.dir), "");
    assert_eq!(held(), before);
    assert_eq!(host.run(&spec).await, (0, "runs\n".to_owned()));
    host.engine.remove_network("net").await.unwrap();
    host.finish().await;
}

/// Else a member that stays sends its answers to an address that is nobody's any more.
#[tokio::test]
async fn a_bridge_keeps_its_address_when_members_come_and_go() {
    let host = Host::start(198).await;
    let start = async |name: &str| {
        let spec = host.shell_in(name, "net", "exec sleep 1000");
        host.engine.create_and_start(&spec).await.unwrap();
    };
    start("first").await;
    let bridges = windlass_containers::leak::machine(&host.config.host_id).remove("bridges");
    let [bridge] = bridges.as_deref().unwrap_or_default() else { panic!("{bridges:?}") };
    let file = format!("/sys/class/net/{bridge}/address");
    let address = || std::fs::read_to_string(&file).unwrap();
    let before = address();
    // With each new one it is as likely as not that a port has the lowest address that had it not.
    for n in 0..8 {
        start(&format!("more-{n}")).await;
        assert_eq!(address(), before, "{n} came");
    }
    for name in ["first", "more-0", "more-1"] {
        host.engine.delete(name).await.unwrap();
        assert_eq!(address(), before, "{name} went");
    }
    for n in 2..8 {
        host.engine.delete(&format!("more-{n}")).await.unwrap();
    }
    host.engine.remove_network("net").await.unwrap();
    host.finish().await;
}
