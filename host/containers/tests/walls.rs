//! What a container cannot do: limits, privileges, and where its network ends.
//!
//! Every "cannot reach" has a positive control that the same command reaches what it may.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use common::{DEADLINE, Host, ROOTFS, until};
use windlass_containers::runtime::{Access, Attachment, LABEL_GC_ROOT, Labels, Mount, Rootfs};
use windlass_containers::{Runtime, doctor};
use windlass_test_support::outside::{self, METADATA, OutsideServer, Page};

#[tokio::test]
async fn limits_hold_and_running_out_of_memory_is_named() {
    let host = Host::start(220).await;
    let mut hog = host.shell("hog", "exec dd if=/dev/zero of=/dev/null bs=200M count=1");
    hog.limits.memory_bytes = 32 << 20;
    host.engine.create_and_start(&hog).await.unwrap();
    let exit = host.engine.wait("hog").await.unwrap();
    assert_eq!((exit.code, exit.oom), (137, true));

    let mut forks = host.shell("forks", "for i in $(seq 40); do sleep 5 & done; echo never");
    forks.limits.pids = 10;
    let (code, text) = host.run(&forks).await;
    assert!(code != 0 && text.contains("can't fork") && !text.contains("never"), "{text}");

    let mut spins = host.shell("spins", "while true; do true; done");
    spins.limits.cpu_millis = 100;
    host.engine.create_and_start(&spins).await.unwrap();
    let start = std::time::Instant::now();
    let at_first = host.engine.usage("spins").await.unwrap().unwrap().cpu_us;
    let mut used = 0;
    while start.elapsed() < Duration::from_secs(1) {
        used = host.engine.usage("spins").await.unwrap().unwrap().cpu_us - at_first;
    }
    assert!((20_000..300_000).contains(&used), "{used} us of CPU in a second");
    host.finish().await;
}

#[tokio::test]
async fn privileges_are_dropped() {
    let host = Host::start(221).await;
    let script = "grep -E 'NoNewPrivs|Seccomp:|CapBnd|CapEff' /proc/self/status | tr -d '\\t'
        mount -t tmpfs none /tmp 2>&1; unshare -n true 2>&1; mknod /tmp/sda b 8 0 2>&1
        cat /proc/kcore | head -c 1 | wc -c; touch /sys/x 2>&1; cat /dev/mem 2>&1; ls /dev";
    let (_, text) = host.run(&host.shell("root", script)).await;
    for line in [
        "NoNewPrivs:1",
        "Seccomp:2",
        "CapBnd:00000000a00405fb",
        "CapEff:00000000a00405fb",
        "mount: permission denied",
        "unshare: unshare(0x40000000): Operation not permitted",
        "mknod: /tmp/sda: Operation not permitted",
        "0",
        "touch: /sys/x: Read-only file system",
    ] {
        assert!(text.lines().any(|it| it.contains(line)), "{line} is not in:\n{text}");
    }
    assert!(!text.lines().any(|it| it == "sda" || it == "vda" || it == "mem"), "{text}");

    let mut app = host.shell("app", "id; echo $HOME; echo x > /data/x; cat /memory/x; touch /up");
    app.user = Some("app".to_owned());
    let shared = host.dir.join("shared");
    std::fs::create_dir(&shared).unwrap();
    app.mounts = vec![
        Mount::Bind { source: shared, target: "/data".to_owned(), read_only: true },
        Mount::Tmpfs { target: "/memory".to_owned(), bytes_max: 4096, mode: 0o1777 },
    ];
    let (_, text) = host.run(&app).await;
    for line in [
        "uid=1000(app) gid=1000(app)",
        "/home",
        "can't create /data/x: Read-only file system",
        "touch: /up: Permission denied",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    let mut nobody = host.shell("nobody", "true");
    nobody.user = Some("nobody".to_owned());
    let error = host.engine.create_and_start(&nobody).await.unwrap_err();
    assert_eq!(error.code(), "containers.no-such-user");
    host.finish().await;
}

/// What a container with a user namespace does.
const LOOKS: &str = "B=/bin/busybox
        for file in /bin/busybox /home/apps /theirs/file /below/home/apps /cache/old /secret; do
            echo $($B stat -c %u:%g $file) $file; done
        id -u; cat /secret; echo; touch /made /cache/new; $B chown 1000:1000 /made; rm /home/apps
        echo out > /dev/stdout; echo err > /dev/stderr; touch /theirs/no 2>&1; mknod /sda b 8 0 2>&1
        echo x > /sys/no 2>&1; echo net: $(ls /sys/class/net); echo ready; sleep 1000";
/// What it sees then.
const SEEN: [&str; 12] = [
    "0:0 /bin/busybox",
    "1000:1000 /home/apps",
    "7:8 /theirs/file",
    "1000:1000 /below/home/apps",
    "7:8 /cache/old",
    "0:0 /secret",
    "the secret",
    "out",
    "err",
    "touch: /theirs/no: Read-only file system",
    "mknod: /sda: Operation not permitted",
    "net: eth0 lo",
];

/// Prepares the snapshot `step` on another one, in which a file belongs to an application's user.
async fn step_on_another(host: &Host) {
    let labels = Labels::from([(LABEL_GC_ROOT.to_owned(), "test".to_owned())]);
    for (key, parent) in [("below", ROOTFS), ("step", "below-done")] {
        host.engine.prepare_snapshot(key, Some(parent), &labels).await.unwrap();
        if key == "below" {
            let mounted = host.engine.mount_snapshot(key, Access::ReadWrite).await.unwrap();
            owned_file(&mounted.path().join("home/apps"), (1000, 1000));
            drop(mounted);
            host.engine.commit_snapshot(key, "below-done", &labels).await.unwrap();
        }
    }
}

#[tokio::test]
async fn root_with_a_user_namespace_is_nobody_on_the_host_and_files_keep_their_owners() {
    let host = Host::start(224).await;
    let checks = doctor::inspect(&host.config);
    let check = checks.iter().find(|check| check.name == "user namespaces").unwrap();
    let first: u32 = if check.state == doctor::State::Ok { 1_000_000_000 } else { 0 };
    step_on_another(&host).await;
    let secret = tempfile::Builder::new().tempfile_in("/dev/shm").unwrap();
    std::fs::write(secret.path(), "the secret").unwrap();
    let made = |name: &str| {
        let dir = host.dir.join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    };
    let cache = made("cache");
    owned_file(&cache.join("old"), (7, 8));
    owned_file(&made("theirs").join("file"), (7, 8));
    let (upper, work) = (made("changes/upper"), made("changes/work"));
    let below = host.engine.mount_snapshot("below-done", Access::ReadOnly).await.unwrap();
    let bind = |source: &Path, target: &str, read_only| Mount::Bind {
        source: source.to_owned(),
        target: target.to_owned(),
        read_only,
    };
    let mut spec = host.shell("mapped", LOOKS);
    spec.rootfs = Rootfs::Active("step".to_owned());
    spec.user_namespace = true;
    spec.network = Some(Attachment::build());
    spec.mounts = vec![
        bind(&host.dir.join("theirs"), "/theirs", true),
        bind(below.path(), "/below", true),
        bind(secret.path(), "/secret", true),
        Mount::Overlay {
            lower: cache.clone(),
            upper: upper.clone(),
            work,
            target: "/cache".into(),
        },
        Mount::Tmpfs { target: "/memory".to_owned(), bytes_max: 4096, mode: 0o1777 },
    ];
    let pid = host.engine.create_and_start(&spec).await.unwrap().pid;
    until("it is ready", || match common::output(&spec.log.dir) {
        text if text.contains("ready") => Ok(()),
        text => Err(text),
    })
    .await;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains(&format!("Uid:\t{first}\t")), "{status}");
    host.engine.delete("mapped").await.unwrap();
    let text = common::output(&spec.log.dir);
    for line in SEEN {
        assert!(text.lines().any(|it| it == line), "{line:?} is not in:\n{text}");
    }
    drop(below);
    let mounted = host.engine.mount_snapshot("step", Access::ReadOnly).await.unwrap();
    assert_eq!(owner(&mounted.path().join("made")), (1000, 1000));
    assert!(!mounted.path().join("home/apps").exists(), "it was removed");
    assert_eq!((owner(&upper.join("new")), cache.join("new").exists()), ((0, 0), false));
    drop(mounted);
    let staged = std::fs::read_dir(host.engine.paths().run().join("mounts")).unwrap();
    assert_eq!(staged.count(), 0, "what was mounted for it is gone");
    host.finish().await;
}

fn owned_file(path: &Path, (user, group): (u32, u32)) {
    std::fs::write(path, "text").unwrap();
    std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
}

fn owner(path: &Path) -> (u32, u32) {
    let meta = std::fs::metadata(path).unwrap();
    (meta.uid(), meta.gid())
}

/// Script lines that say for each target whether a TCP connection opens.
fn reach(targets: &[String]) -> String {
    let one = |target: &String| {
        format!(
            "nc -w 1 {target} </dev/null >/dev/null 2>&1 && echo open {target} || echo shut {target}\n"
        )
    };
    targets.iter().map(one).collect()
}

const SERVE: &str =
    "mkdir -p /tmp/w; echo hello > /tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w";

#[tokio::test]
async fn a_container_reaches_its_network_and_the_outside_but_not_the_host() {
    let host = Host::start(222).await;
    let neighbour = OutsideServer::start_with_metadata(|_| Page::Absent);
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut addresses = Vec::new();
    for (id, network) in [("db", "shop"), ("other", "blog")] {
        let spec = host.shell_in(id, network, SERVE);
        let started = host.engine.create_and_start(&spec).await.unwrap();
        let address = started.address.unwrap();
        until("the host reaches the container", || get(address)).await;
        addresses.push(address);
    }
    let gateway = host.engine.ensure_network("shop").await.unwrap();
    let foreign_gateway = host.engine.ensure_network("blog").await.unwrap();
    let targets = [
        "db 8080".to_owned(),
        format!("{} 80", neighbour.address.ip()),
        format!("{} 80", METADATA[0]),
        format!("{} 80", METADATA[1]),
        format!("{} 80", METADATA[2]),
        format!("{} 80", METADATA[3]),
        format!("{gateway} {port}"),
        format!("{foreign_gateway} {port}"),
        format!("{} {port}", neighbour.gateway),
        format!("{} 8080", addresses[1]),
        format!("{foreign_gateway} 53"),
    ];
    let script = format!("{}nslookup other || echo unknown other", reach(&targets));
    let (_, text) = host.run(&host.shell_in("web", "shop", &script)).await;
    for (n, target) in targets.iter().enumerate() {
        let line = format!("{} {target}\n", if n < 2 { "open" } else { "shut" });
        assert!(text.contains(&line), "{line} is not in:\n{text}");
    }
    assert!(text.contains("unknown other"), "{text}");
    outside::wait_for_metadata();
    drop(neighbour);
    host.finish().await;
}

#[tokio::test]
async fn builds_reach_the_outside_and_not_each_other() {
    let host = Host::start(223).await;
    let neighbour = OutsideServer::start(|_| Page::Absent);
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut serves = host.shell("serves", SERVE);
    serves.network = Some(Attachment::build());
    let address = host.engine.create_and_start(&serves).await.unwrap().address.unwrap();
    until("the host reaches the build", || get(address)).await;
    let gateway = host.engine.ensure_network("windlass-build").await.unwrap();
    let targets = [
        format!("{address} 8080"),
        format!("{gateway} {port}"),
        format!("{} 80", neighbour.address.ip()),
    ];
    host.engine.ensure_place("place", &Attachment::build()).await.unwrap();
    // In a place that was made before, the second time after another one.
    let places =
        [Attachment::build(), Attachment::build().at("place"), Attachment::build().at("place")];
    for (n, network) in places.into_iter().enumerate() {
        let mut build = host.shell(&format!("build-{n}"), &reach(&targets));
        build.network = Some(network);
        let (_, text) = host.run(&build).await;
        for line in [
            format!("shut {}", targets[0]),
            format!("shut {}", targets[1]),
            format!("open {}", targets[2]),
        ] {
            assert!(text.contains(&line), "{line} is not in what {n} says:\n{text}");
        }
    }
    host.finish().await;
}

/// One request from the host to a container.
fn get(address: Ipv4Addr) -> Result<(), String> {
    let socket = (address, 8080).into();
    let fail = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect_timeout(&socket, Duration::from_secs(1)).map_err(fail)?;
    stream.set_read_timeout(Some(DEADLINE)).map_err(fail)?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").map_err(fail)?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(fail)?;
    if text.contains("hello") { Ok(()) } else { Err(text) }
}
