//! Builds that misbehave, on a real containerd: each is stopped within its limit and named, and what else
//! runs on the host goes on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use common::{DEADLINE, Host, busybox, copy, plan, script, scripted, step, variable};
use windlass_containers::runtime::{Access, Attachment, ContainerSpec, LogSpec, Rootfs};
use windlass_model::plan::{Base, BuildPlan, Mount, Op, Origin, Place, Placed, Run, Sharing};
use windlass_model::{Failure, Limits};
use windlass_test_support::outside::{self, METADATA, OutsideServer, Page};

const MIB: u64 = 1 << 20;

fn cache(sharing: Sharing) -> Mount {
    Mount::Cache { id: "store".to_owned(), target: "/cache".to_owned(), sharing }
}

fn with_cache(text: &str, sharing: Sharing) -> Run {
    Run { mounts: vec![cache(sharing)], ..script(text) }
}

/// More than any machine writes between two looks.
const TOLERANCE_MIB: u64 = 512;

/// Stopped soon after its limit, by what was measured.
fn assert_stopped_near(failure: &Failure, limit_mib: u64, tolerance_mib: u64) {
    let written = failure.why.split_once("had written ").map(|(_, rest)| rest);
    let written = written.and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    let near = limit_mib..=limit_mib + tolerance_mib;
    assert!(written.is_some_and(|mib| near.contains(&mib)), "{failure:?}");
}

/// An application of another project that answers while builds misbehave.
async fn neighbour(host: &Host) -> Ipv4Addr {
    let built = host.build(scripted(script("true"))).await.unwrap();
    let root = Rootfs::Committed(built.artifact.outputs[0].snapshot.clone());
    let serve = "mkdir -p /tmp/w; echo hello > /tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w";
    let argv = ["/bin/busybox", "sh", "-c", serve].map(str::to_owned).to_vec();
    let log = LogSpec::instance(host.data.path().join("neighbour"), &Limits::default(), vec![]);
    let mut spec = ContainerSpec::new("neighbour".to_owned(), root, argv, log);
    spec.env = vec![("PATH".to_owned(), "/bin".to_owned())];
    spec.network = Some(Attachment::member("blog", vec![]));
    let address = host.runtime.create_and_start(&spec).await.unwrap().address.unwrap();
    let start = Instant::now();
    while !answers(address) {
        assert!(start.elapsed() < DEADLINE, "the neighbour does not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    address
}

fn answers(address: Ipv4Addr) -> bool {
    ask(address).is_ok()
}

fn ask(address: Ipv4Addr) -> Result<(), String> {
    let ask = || -> std::io::Result<bool> {
        let wait = Duration::from_secs(10);
        let mut stream = TcpStream::connect_timeout(&(address, 8080).into(), wait)?;
        stream.set_read_timeout(Some(wait))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text.contains("hello"))
    };
    match ask() {
        Ok(true) => Ok(()),
        Ok(false) => Err("it answers something else".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn tight() -> Limits {
    let mut limits = Limits::default();
    limits.build.memory_bytes_max = 128 * MIB;
    limits.build.pids_max = 60;
    limits.build.output_bytes_max = 4 * MIB;
    limits.build.disk_bytes_max = 64 * MIB;
    limits
}

/// Runs a command that must fail while the neighbour goes on answering.
async fn misbehaves(host: &Host, neighbour: Ipv4Addr, run: Run) -> Failure {
    let (builder, request) = (host.builder.clone(), host.request(scripted(run)));
    let build = tokio::spawn(async move { builder.build(request).await });
    while !build.is_finished() {
        let asked = tokio::task::spawn_blocking(move || ask(neighbour)).await.unwrap();
        assert_eq!(asked, Ok(()), "{}", host.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(ask(neighbour), Ok(()));
    build.await.unwrap().unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hog_is_stopped_within_its_limit_and_named_while_the_neighbour_answers() {
    let host = Host::with_limits(227, tight()).await;
    let neighbour = neighbour(&host).await;
    let hogs = [
        ("while true; do sleep 1000 & done", "build.process-limit"),
        ("x=a; while true; do x=$x$x; done", "build.out-of-memory"),
        ("while true; do yes windlass; done", "build.output-limit"),
        (
            "n=0; while true; do n=$((n+1)); dd if=/dev/zero of=/f$n bs=1M count=1 2>/dev/null; done",
            "build.disk-limit",
        ),
        // A file without a name takes the disk all the same.
        (
            "exec 3>/f; rm /f; while true; do dd if=/dev/zero bs=1M count=1 >&3 2>/dev/null; done",
            "build.disk-limit",
        ),
        ("dd if=/dev/zero of=/dev/shm/x bs=1M count=100", "build.disk-full"),
    ];
    for (text, code) in hogs {
        let failure = misbehaves(&host, neighbour, script(text)).await;
        assert_eq!(failure.code, code, "{failure:?}");
        match code {
            "build.disk-limit" => {
                assert!(failure.why.contains("a build may write 64 MiB"), "{failure:?}");
                assert_stopped_near(&failure, 64, TOLERANCE_MIB);
            }
            "build.output-limit" => assert_stopped_near(&failure, 4, TOLERANCE_MIB),
            _ => {}
        }
    }
    let mut endless = script("while true; do sleep 1; done");
    endless.timeout_ms = Some(1500);
    let failure = misbehaves(&host, neighbour, endless).await;
    assert_eq!(failure.code, "build.timed-out", "{failure:?}");
    // What lies below a path that is too long for whoever measures by paths.
    let hides = "n=$(printf %0255d 0); i=0; while [ $i -lt 20 ]; do mkdir $n; cd $n; i=$((i+1)); done; \
                 while true; do dd if=/dev/zero bs=1M count=1 2>/dev/null >> x; done";
    let failure = misbehaves(&host, neighbour, script(hides)).await;
    assert_eq!(failure.code, "build.disk-limit", "{failure:?}");
    assert!(failure.why.contains("cannot be measured"), "{failure:?}");
    let fills = "while true; do dd if=/dev/zero bs=1M count=1 2>/dev/null >> /cache/big; done";
    for sharing in [Sharing::Locked, Sharing::Shared] {
        let failure = misbehaves(&host, neighbour, with_cache(fills, sharing)).await;
        assert_eq!(failure.code, "build.disk-limit", "{failure:?}");
        assert_stopped_near(&failure, 64, TOLERANCE_MIB);
    }
    // Nothing of them is left: no writable snapshot, no container but the neighbour.
    let left = host.runtime.list_snapshots(&Default::default()).await.unwrap();
    let writable = left.iter().filter(|s| !s.committed && !s.key.starts_with("container-"));
    assert_eq!(writable.count(), 0, "{left:?}");
    let containers = host.runtime.list(&Default::default()).await.unwrap();
    assert_eq!(containers.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["neighbour"]);
    host.runtime.delete("neighbour").await.unwrap();
    host.finish().await;
}

#[tokio::test]
async fn what_short_commands_and_copies_write_counts_together() {
    let host = Host::with_limits(247, tight()).await;
    let over = async |plan| {
        let failure = host.build(plan).await.unwrap_err();
        assert_eq!(failure.code, "build.disk-limit", "{failure:?}");
        failure
    };
    // Each ends before it is looked at, and five of them are within the limit.
    let fill =
        |path: &str| script(&format!("dd if=/dev/zero of={path} bs=1M count=12 2>/dev/null"));
    let mut steps = vec![busybox()];
    for n in 0..8 {
        let base = steps.last().map(|step| Base::Step(step.id.clone())).unwrap();
        steps.push(step(&format!("s{n}"), base, vec![Op::Run(fill(&format!("/f{n}")))]));
    }
    let failure = over(plan(steps)).await;
    assert!(failure.what.contains("the step s5"), "{failure:?}");
    assert_stopped_near(&failure, 64, 16);

    // So does what they say.
    let say = script("yes $(printf %0200d 1) | busybox head -c 1000000");
    let ops = (0..8).map(|_| Op::Run(say.clone())).collect();
    let said = plan(vec![busybox(), step("app", Base::Step("base".to_owned()), ops)]);
    let failure = host.build(said).await.unwrap_err();
    assert_eq!(failure.code, "build.output-limit", "{failure:?}");
    assert!(failure.why.contains("a build may write 4 MiB"), "{failure:?}");
    let begun = host.log().matches("$ yes").count();
    assert!((3..=5).contains(&begun), "{begun} commands");

    // What was taken over into caches counts as well.
    let into_cache = |n: u32| {
        let (id, target) = (format!("c{n}"), "/cache".to_owned());
        let mounts = vec![Mount::Cache { id, target, sharing: Sharing::Locked }];
        Op::Run(Run { mounts, ..fill("/cache/x") })
    };
    let ops = (0..8).map(into_cache).collect();
    let failure =
        over(plan(vec![busybox(), step("app", Base::Step("base".to_owned()), ops)])).await;
    assert_stopped_near(&failure, 64, 16);

    // And what the host copies.
    std::fs::write(host.source.path().join("big"), vec![7; 40 << 20]).unwrap();
    let copied = |id: &str, base: &str, to: &str| {
        step(id, Base::Step(base.to_owned()), vec![copy("big", to)])
    };
    let failure = over(plan(vec![
        busybox(),
        copied("one", "base", "/one"),
        copied("two", "one", "/two"),
        step("app", Base::Step("two".to_owned()), vec![Op::Run(script("true"))]),
    ]))
    .await;
    assert!(failure.what.contains("the step two"), "{failure:?}");
    assert_stopped_near(&failure, 64, 20);
    assert_eq!(host.left().await, Vec::<&str>::new());
    host.finish().await;
}

#[tokio::test]
async fn what_the_host_copies_keeps_its_holes_and_a_copy_ends_where_the_limit_is() {
    use std::os::unix::fs::MetadataExt as _;
    let host = Host::with_limits(253, tight()).await;
    let copied = |text: &str| {
        let made = step("made", Base::Step("base".to_owned()), vec![Op::Run(script(text))]);
        let Op::Copy(mut from) = copy("x", "/y") else { unreachable!() };
        from.origin = Origin::Step("made".to_owned());
        let app = step("app", Base::Step("base".to_owned()), vec![Op::Copy(from)]);
        plan(vec![busybox(), made, app])
    };
    let built =
        host.build(copied("busybox truncate -s 1099511627776 /x && echo end >> /x")).await.unwrap();
    let snapshot = &built.artifact.outputs[0].snapshot;
    let mounted = host.runtime.mount_snapshot(snapshot, Access::ReadOnly).await.unwrap();
    let meta = std::fs::metadata(mounted.path().join("y")).unwrap();
    assert_eq!(meta.len(), (1 << 40) + 4);
    assert!(meta.blocks() * 512 < MIB, "{} blocks", meta.blocks());
    drop(mounted);
    // One that fits once: the copy of it does not, and is not written to its end.
    let made = "dd if=/dev/zero of=/x bs=1M count=50 2>/dev/null";
    let failure = host.build(copied(made)).await.unwrap_err();
    assert_eq!(failure.code, "build.disk-limit", "{failure:?}");
    assert!(failure.what.contains("the step app"), "{failure:?}");
    assert_stopped_near(&failure, 64, 1);
    assert_eq!(host.left().await, Vec::<&str>::new());
    host.finish().await;
}

#[tokio::test]
async fn the_host_copies_nothing_below_the_floor() {
    let limits = Limits { disk_free_bytes_min: u64::MAX, ..Limits::default() };
    let host = Host::with_limits(248, limits).await;
    let failure = host.build(plan(vec![busybox()])).await.unwrap_err();
    assert_eq!(failure.code, "build.disk-floor", "{failure:?}");
    assert!(failure.what.contains("copy rootfs to /"), "{failure:?}");
    assert_eq!(host.left().await, Vec::<&str>::new());
    host.finish().await;
}

#[tokio::test]
async fn empty_files_end_a_build_at_the_floor_of_inodes() {
    let disk = rustix::fs::statvfs(std::env::temp_dir()).unwrap();
    // Some file systems make inodes as they need them: there is no floor.
    if disk.f_files == 0 {
        return;
    }
    let disk_free_inodes_min = disk.f_favail.saturating_sub(20_000) * 2;
    let host = Host::with_limits(254, Limits { disk_free_inodes_min, ..Limits::default() }).await;
    let hog = script("n=0; while true; do n=$((n+1)); : > /f$n; done");
    let failure = host.build(scripted(hog)).await.unwrap_err();
    assert_eq!(failure.code, "build.disk-floor", "{failure:?}");
    let floor = format!("or {} inodes", disk_free_inodes_min / 2);
    assert!(failure.why.contains(&floor), "{failure:?}");
    assert_eq!(host.left().await, Vec::<&str>::new());
    host.finish().await;
}

#[tokio::test]
async fn a_frozen_command_can_be_ended() {
    let host = Host::start(228).await;
    let built = host.build(scripted(script("true"))).await.unwrap();
    let root = Rootfs::Committed(built.artifact.outputs[0].snapshot.clone());
    let log = LogSpec::instance(host.data.path().join("frozen"), &Limits::default(), vec![]);
    let argv = ["/bin/busybox", "sh", "-c", "sleep 1000 & while true; do true; done"];
    let argv = argv.map(str::to_owned).to_vec();
    let spec = ContainerSpec::new("frozen".to_owned(), root, argv, log);
    host.runtime.create_and_start(&spec).await.unwrap();
    host.runtime.freeze("frozen").await.unwrap();
    let cpu = |usage: Option<windlass_containers::runtime::Usage>| usage.unwrap().cpu_us;
    let before = cpu(host.runtime.usage("frozen").await.unwrap());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(cpu(host.runtime.usage("frozen").await.unwrap()), before, "it went on");
    host.runtime.freeze("frozen").await.unwrap();
    host.runtime.thaw("frozen").await.unwrap();
    host.runtime.thaw("frozen").await.unwrap();
    host.runtime.freeze("frozen").await.unwrap();
    // As the clean-up after a crash does it.
    host.runtime.delete("frozen").await.unwrap();
    assert_eq!(host.runtime.status("frozen").await.unwrap(), None);
    host.runtime.freeze("frozen").await.unwrap();
    host.finish().await;
}

/// What listens like the API, on every address of the host.
struct Api {
    v4: TcpListener,
    v6: TcpListener,
}

impl Api {
    fn start() -> Self {
        let (v4, v6) = (TcpListener::bind("0.0.0.0:0"), TcpListener::bind("[::]:0"));
        Self { v4: v4.unwrap(), v6: v6.unwrap() }
    }

    fn ports(&self) -> (u16, u16) {
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        (port(&self.v4), port(&self.v6))
    }

    /// Whether somebody has connected since this was asked last.
    fn was_met(&self) -> bool {
        let count = |listener: &TcpListener| {
            listener.set_nonblocking(true).unwrap();
            std::iter::from_fn(|| listener.accept().ok()).count()
        };
        count(&self.v4) + count(&self.v6) > 0
    }
}

/// What no build may come to: another app, metadata, and the API by every address of the host.
async fn inside(host: &Host, neighbour: Ipv4Addr, api: &Api) -> Vec<(IpAddr, u16)> {
    let (port, port6) = api.ports();
    let mut targets = vec![(IpAddr::from(neighbour), 8080)];
    targets.extend(METADATA.map(|metadata| (IpAddr::from(metadata), 80)));
    targets.push(("fd00:ec2::254".parse().unwrap(), 80));
    let mut own = Vec::new();
    for network in ["windlass-build", "blog"] {
        own.push(IpAddr::from(host.runtime.ensure_network(network).await.unwrap()));
    }
    let addresses = std::process::Command::new("hostname").arg("-I").output().unwrap();
    let addresses = String::from_utf8_lossy(&addresses.stdout).into_owned();
    own.extend(addresses.split_whitespace().map(|address| address.parse::<IpAddr>().unwrap()));
    targets.extend(own.iter().filter(|ip| ip.is_ipv4()).map(|ip| (*ip, port)));
    targets.extend(own.iter().map(|ip| (*ip, port6)));
    // The positive control: the host itself reaches what listens there.
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok() && answers(neighbour));
    assert!(api.was_met());
    targets
}

#[tokio::test]
async fn a_build_that_looks_around_finds_neither_the_host_nor_metadata_nor_another_app() {
    let host = Host::start(229).await;
    let neighbour = neighbour(&host).await;
    let (api, server) = (Api::start(), OutsideServer::start_with_metadata(|_| Page::Absent));
    let mut targets = inside(&host, neighbour, &api).await;
    // The positive control: who has the addresses of metadata is reached under its own.
    targets.push((server.address.ip(), 80));
    let one = |(ip, port): &(IpAddr, u16)| {
        format!("nc -w 1 {ip} {port} </dev/null >/dev/null 2>&1 && echo open {ip} {port}; ")
    };
    let text: String = targets.iter().map(one).collect();
    let networked =
        Run { network: true, ..script(&format!("{text} echo looked; ip addr || true")) };
    host.build(scripted(networked)).await.unwrap();
    let log = host.log();
    assert!(log.contains("looked"), "{log}");
    let open: Vec<&str> = log.lines().filter(|line| line.starts_with("open ")).collect();
    assert_eq!(open, [format!("open {} 80", server.address.ip())], "{log}");
    assert!(!api.was_met(), "{log}");
    outside::wait_for_metadata();
    host.runtime.delete("neighbour").await.unwrap();
    host.finish().await;
}

fn downloaded(url: String) -> BuildPlan {
    let place = Op::Place(Place {
        origin: Placed::Download { url, sha256: None, name: "file".to_owned() },
        paths: Vec::new(),
        ignore: Vec::new(),
        exclude: Vec::new(),
        dest: "/file".to_owned(),
        chown: None,
        chmod: None,
        parents: false,
        link: false,
        unpack: false,
    });
    plan(vec![busybox(), step("app", Base::Step("base".to_owned()), vec![place])])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_comes_to_neither_the_host_nor_metadata_nor_another_app() {
    let host = Host::start(252).await;
    let neighbour = neighbour(&host).await;
    let api = Api::start();
    // Leads on to whatever its path names.
    let server = OutsideServer::start(|path| match path.strip_prefix("/to/") {
        Some(to) => Page::Elsewhere(format!("http://{to}")),
        None => Page::File(b"from outside"),
    });
    let (_, outside) = server.url.split_once("//").unwrap();
    for url in [format!("{}/file", server.url), format!("{}/to/{outside}/file", server.url)] {
        let built = host.build(downloaded(url)).await.unwrap();
        let snapshot = &built.artifact.outputs[0].snapshot;
        let mounted = host.runtime.mount_snapshot(snapshot, Access::ReadOnly).await.unwrap();
        assert_eq!(std::fs::read(mounted.path().join("file")).unwrap(), b"from outside");
    }
    let mut targets = inside(&host, neighbour, &api).await;
    // The bridge of builds comes with the first that has a network: until then its address is nobody's.
    let gateway = IpAddr::from(host.runtime.ensure_network("windlass-build").await.unwrap());
    if UdpSocket::bind((gateway, 0)).is_err() {
        targets.retain(|(ip, _)| *ip != gateway);
    }
    let (port, port6) = api.ports();
    targets.push((Ipv4Addr::LOCALHOST.into(), port));
    targets.push((Ipv6Addr::LOCALHOST.into(), port6));
    for target in targets.into_iter().map(SocketAddr::from) {
        let was_own = [port, port6].contains(&target.port());
        let is_own = || UdpSocket::bind((target.ip(), 0)).is_ok();
        for url in [format!("http://{target}/"), format!("{}/to/{target}/", server.url)] {
            let failure = host.build(downloaded(url.clone())).await.unwrap_err();
            assert_eq!(failure.code, "build.fetch-failed", "{url}: {failure:?}");
            // The bridge of another host on this machine may go at any time; then the address is nobody's.
            let gone = was_own && !is_own();
            assert!(gone || failure.why.contains("leads to this machine"), "{url}: {failure:?}");
        }
    }
    assert!(!api.was_met());
    host.runtime.delete("neighbour").await.unwrap();
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_without_a_digest_is_made_again_when_the_server_has_another_file() {
    let is_newer = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_newer);
    let server = OutsideServer::start(move |_| match seen.load(Ordering::SeqCst) {
        false => Page::File(b"one"),
        true => Page::File(b"two"),
    });
    let host = Host::start(251).await;
    let url = format!("{}/file", server.url);
    let fetch = Op::Fetch {
        url: url.clone(),
        sha256: None,
        dest: "/file".to_owned(),
        chown: None,
        chmod: None,
    };
    let fetched = plan(vec![busybox(), step("app", Base::Step("base".to_owned()), vec![fetch])]);
    let build = async |plan: &BuildPlan, expected: &[u8]| {
        let built = host.build(plan.clone()).await.unwrap();
        let snapshot = &built.artifact.outputs[0].snapshot;
        let mounted = host.runtime.mount_snapshot(snapshot, Access::ReadOnly).await.unwrap();
        assert_eq!(std::fs::read(mounted.path().join("file")).unwrap(), expected);
        let unpinned = built.warnings.iter().filter(|w| w.code == "build.fetch-unpinned");
        assert_eq!(unpinned.count(), 1, "{:?}", built.warnings);
        built.all_cached()
    };
    for plan in [downloaded(url.clone()), fetched] {
        is_newer.store(false, Ordering::SeqCst);
        assert!(!build(&plan, b"one").await);
        assert!(build(&plan, b"one").await, "the file is the same");
        is_newer.store(true, Ordering::SeqCst);
        assert!(!build(&plan, b"two").await);
    }
    host.finish().await;
}

#[tokio::test]
async fn what_a_failed_command_wrote_into_a_cache_is_thrown_away() {
    let host = Host::start(230).await;
    let run = |text: &str| scripted(with_cache(text, Sharing::Locked));
    host.build(run("echo good > /cache/index; mkdir /cache/d; echo 1 > /cache/d/1")).await.unwrap();
    let spoil = "echo bad > /cache/index; rm -r /cache/d; echo half > /cache/half; exit 1";
    let failure = host.build(run(spoil)).await.unwrap_err();
    assert_eq!(failure.code, "build.command-failed");
    assert!(host.log().contains("what it wrote into the cache store is thrown away"));
    let look = "cat /cache/index; ls /cache /cache/d; rm /cache/index; echo 2 > /cache/d/2";
    host.build(run(look)).await.unwrap();
    let log = host.log();
    assert!(log.contains("good\n") && !log.lines().any(|l| l == "half" || l == "bad"), "{log}");
    host.build(run("ls /cache; ls /cache/d | tr '\\n' ,; test ! -e /cache/index")).await.unwrap();
    assert!(host.log().contains("1,2,"), "{}", host.log());

    let shared = |text: &str| scripted(with_cache(text, Sharing::Shared));
    host.build(shared("echo stays > /cache/stays; exit 1")).await.unwrap_err();
    assert!(host.log().contains("what it wrote into the cache store stays"), "{}", host.log());
    assert_eq!(host.left().await, Vec::<&str>::new());
    assert!(!host.data.path().join("cache/changes").read_dir().unwrap().any(|_| true));
    host.finish().await;
}

#[tokio::test]
async fn caches_are_held_to_their_quota_after_a_build() {
    let mut limits = Limits::default();
    limits.build.cache_bytes_max = 6 * MIB;
    let host = Host::with_limits(231, limits).await;
    let fill = |id: &str, mib: u32| {
        let target = "/cache".to_owned();
        let mount = Mount::Cache { id: id.to_owned(), target, sharing: Sharing::Locked };
        let text = format!("dd if=/dev/zero of=/cache/x bs=1M count={mib} 2>/dev/null; echo {id}");
        scripted(Run { mounts: vec![mount], ..script(&text) })
    };
    let mounts = host.data.path().join("cache/mounts/shop");
    let there = |id: &str| mounts.join(id).join("x").exists();
    host.build(fill("one", 3)).await.unwrap();
    host.build(fill("two", 2)).await.unwrap();
    assert!(there("one") && there("two"));
    // After the build, in the background.
    let gone = async |ids: &[&str]| {
        let start = Instant::now();
        while ids.iter().any(|id| there(id)) {
            assert!(start.elapsed() < DEADLINE, "one of {ids:?} is left");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    host.build(fill("three", 2)).await.unwrap();
    gone(&["one"]).await;
    assert!(there("two") && there("three"), "only the oldest goes");
    host.build(fill("large", 9)).await.unwrap();
    // One that is too large alone goes, too.
    gone(&["two", "three", "large"]).await;
    host.finish().await;
}

#[tokio::test]
async fn only_what_a_build_adds_to_a_shared_cache_counts_as_written() {
    let mut limits = Limits::default();
    limits.build.disk_bytes_max = 32 * MIB;
    let host = Host::with_limits(200, limits).await;
    let fill = |name: &str, mib: u32| {
        let text = format!("dd if=/dev/zero of=/cache/{name} bs=1M count={mib} 2>/dev/null");
        scripted(with_cache(&text, Sharing::Shared))
    };
    for name in ["one", "two", "three"] {
        host.build(fill(name, 20)).await.unwrap();
    }
    let failure = host.build(fill("four", 40)).await.unwrap_err();
    assert_eq!(failure.code, "build.disk-limit", "{failure:?}");
    // What it wrote is there: the cache is written to directly.
    assert!(host.data.path().join("cache/mounts/shop/store/four").exists());
    host.finish().await;
}

#[tokio::test]
async fn steps_at_the_same_time_meet_in_a_shared_cache() {
    let host = Host::start(232).await;
    let meets = |own: &str, other: &str| {
        let text = format!(
            "touch /cache/{own}; for i in $(seq 1 300); do test -e /cache/{other} && exit 0; \
             sleep 0.1; done; exit 1"
        );
        vec![Op::Run(with_cache(&text, Sharing::Shared))]
    };
    let base = || Base::Step("base".to_owned());
    let mut last = vec![copy("app.txt", "/app/")];
    for id in ["a", "b"] {
        let Op::Copy(mut from) = copy("bin", "/") else { unreachable!() };
        from.origin = Origin::Step(id.to_owned());
        last.push(Op::Copy(from));
    }
    let plan = plan(vec![
        busybox(),
        step("a", base(), meets("a", "b")),
        step("b", base(), meets("b", "a")),
        step("app", base(), last),
    ]);
    let built = host.build(plan).await.unwrap();
    let order: Vec<&str> = built.steps.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(order, ["base", "a", "b", "app"]);
    host.finish().await;
}

#[tokio::test]
async fn a_failure_ends_the_steps_beside_it_with_all_their_processes() {
    let host = Host::start(233).await;
    let base = || Base::Step("base".to_owned());
    let hangs = vec![Op::Run(with_cache(
        "touch /cache/begun; (sleep 1000 & sleep 1000) & sleep 1000",
        Sharing::Shared,
    ))];
    let fails = vec![Op::Run(with_cache(
        "until test -e /cache/begun; do sleep 0.1; done; echo why; exit 9",
        Sharing::Shared,
    ))];
    let mut last = Vec::new();
    for id in ["hangs", "fails"] {
        let Op::Copy(mut from) = copy("bin", "/") else { unreachable!() };
        from.origin = Origin::Step(id.to_owned());
        last.push(Op::Copy(from));
    }
    let plan = plan(vec![
        busybox(),
        step("hangs", base(), hangs),
        step("fails", base(), fails),
        step("app", base(), last),
    ]);
    let failure = host.build(plan).await.unwrap_err();
    assert_eq!(failure.code, "build.command-failed", "{failure:?}");
    assert!(failure.what.contains("exit code 9"), "{failure:?}");
    assert!(failure.log.iter().any(|line| line.text == "why"), "{failure:?}");
    assert_eq!(host.left().await, Vec::<&str>::new());
    host.finish().await;
}

#[tokio::test]
async fn a_secret_is_masked_in_pieces_and_encoded() {
    let host = Host::start(234).await;
    let value = "correct-horse/battery staple";
    let engine = base64::engine::general_purpose::STANDARD;
    let shifted = |by: &str| engine.encode(format!("{by}{value}"));
    let text = format!(
        "a=${{TOKEN%staple}}; printf '%s' \"$a\"; sleep 0.3; printf 'staple\\n'; echo \"see $TOKEN\" >&2; \
         echo {} {} {}",
        shifted(""),
        shifted("x"),
        shifted("xy"),
    );
    let mut request = host.request(scripted(script(&text)));
    // The command's line in the log holds the encoded forms as well.
    request.variables = vec![variable("TOKEN", value, true)];
    let built = host.builder.build(request).await.unwrap();
    let log = host.log();
    for trace in ["horse", "battery", &engine.encode(value)[4..20]] {
        assert!(!log.contains(trace), "{trace} is in {log}");
    }
    assert!(log.matches("[secret]").count() >= 5, "{log}");
    let mounted = host
        .runtime
        .mount_snapshot(&built.artifact.outputs[0].snapshot, Access::ReadOnly)
        .await
        .unwrap();
    let found = std::process::Command::new("grep")
        .args(["-r", "-l", "battery"])
        .arg(mounted.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "", "it is in the layer");
    drop(mounted);
    host.finish().await;
}
