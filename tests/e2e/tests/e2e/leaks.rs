//! The leak check sees every kind of leak.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use windlass_model::{DeploymentId, DeploymentStatus, HostId};
use windlass_test_support::leaks::{Standing, force_clean, kept_for_nobody, leftovers};
use windlass_test_support::{Machine, TestHost, scratch, wait_for};

use crate::shop::{App, PROJECT, Shop};

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status().unwrap();
    assert!(status.success(), "{program} {args:?}: {status}");
}

/// A leak of one kind: how it is planted for a host, and how the check names it.
struct Leak {
    plant: fn(&Planted),
    named: &'static str,
}

struct Planted {
    host: HostId,
    bridge: String,
    run: std::path::PathBuf,
    data: std::path::PathBuf,
    children: std::cell::RefCell<Vec<Child>>,
}

const LEAKS: [Leak; 9] = [
    Leak {
        plant: |it| std::fs::create_dir_all(it.run.join("network/netns")).unwrap(),
        named: "run directory",
    },
    Leak {
        plant: |it| drop(std::fs::File::create(it.run.join("network/netns/web")).unwrap()),
        named: "network namespaces",
    },
    Leak {
        plant: |it| run("ip", &["netns", "add", &format!("windlass-{}", it.host)]),
        named: "network namespace:",
    },
    Leak { plant: |it| run("ip", &["link", "add", &it.bridge, "type", "bridge"]), named: "bridge" },
    Leak {
        plant: |it| run("nft", &["add", "table", "inet", &format!("windlass_{}", it.host)]),
        named: "nft table",
    },
    Leak {
        plant: |it| {
            run("iptables", &["-N", "NETAVARK-leak"]);
            run("iptables", &["-A", "NETAVARK-leak", "-i", &it.bridge, "-j", "RETURN"]);
        },
        named: "iptables rule",
    },
    Leak {
        plant: |it| {
            let group = cgroup_root().join(format!("windlass-{}/web", it.host));
            std::fs::create_dir_all(group).unwrap();
        },
        named: "cgroup",
    },
    Leak {
        plant: |it| {
            let point = it.run.join("mounts/leak");
            std::fs::create_dir_all(&point).unwrap();
            run("mount", &["-t", "tmpfs", "windlass-leak", point.to_str().unwrap()]);
        },
        named: "mount",
    },
    Leak {
        plant: |it| {
            let child = Command::new("tail")
                .args(["-f", "/dev/null", it.data.to_str().unwrap()])
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            it.children.borrow_mut().push(child);
        },
        named: "process",
    },
];

fn cgroup_root() -> &'static Path {
    let v1 = Path::new("/sys/fs/cgroup/pids");
    if v1.is_dir() { v1 } else { Path::new("/sys/fs/cgroup") }
}

#[test]
fn the_leak_check_reports_a_leak_of_each_kind() {
    let dir = scratch("leaks");
    let host = HostId::generate();
    let planted = Planted {
        bridge: format!("wl{}0000000", &host.as_str()[..6]),
        run: format!("/run/windlass/{host}").into(),
        data: dir.path().join("data"),
        host,
        children: std::cell::RefCell::default(),
    };
    std::fs::create_dir_all(&planted.data).unwrap();
    let before = Machine::now();
    let look = || leftovers(&before, Some(&planted.host), &planted.data);
    assert_eq!(look(), Vec::<String>::new(), "nothing is planted yet");
    for leak in &LEAKS {
        let seen_before = look();
        (leak.plant)(&planted);
        let what = format!("the check reports a leak of kind {}", leak.named);
        wait_for(&what, Duration::from_secs(5), || {
            let new: Vec<String> =
                look().into_iter().filter(|found| !seen_before.contains(found)).collect();
            let named = new.iter().any(|found| found.starts_with(leak.named));
            if named { Ok(()) } else { Err(format!("{new:?}")) }
        });
    }
    clear(&planted);
    assert_eq!(look(), Vec::<String>::new(), "nothing is left of the planted leaks");
}

fn clear(planted: &Planted) {
    run("ip", &["netns", "delete", &format!("windlass-{}", planted.host)]);
    run("iptables", &["-F", "NETAVARK-leak"]);
    run("iptables", &["-X", "NETAVARK-leak"]);
    force_clean(Some(&planted.host), &planted.data);
    for child in planted.children.borrow_mut().iter_mut() {
        child.wait().unwrap();
    }
}

/// Whether a report names something of a kind.
fn names(report: &[String], kind: &str) -> bool {
    report.iter().any(|one| one.starts_with(&format!("{kind}: ")))
}

/// How long until a deployment that is over holds nothing.
const WITHIN: Duration = Duration::from_secs(60);

fn assert_nothing_kept(host: &TestHost) {
    wait_for("nothing is held for those that are over", WITHIN, || {
        let kept = host.kept_for_nobody();
        if kept.is_empty() { Ok(()) } else { Err(format!("{kept:#?}")) }
    });
}

#[test]
fn the_look_before_the_teardown_reports_what_is_held_for_a_deployment_that_is_over() {
    let mut shop = Shop::open();
    shop.deploy_next();
    let retired = shop.host.wait_deployment(PROJECT, 1, "the first one retires", WITHIN, |view| {
        view.deployment.status == DeploymentStatus::Retired
    });
    shop.commit(App::CrashesAtStart);
    let failed = shop.host.deploy_git(PROJECT, &shop.repo, &[]);
    failed.failed("check.exited");
    assert_nothing_kept(&shop.host);

    // Were the live one over, all that it runs on would be reported.
    let all = kept_for_nobody(&shop.host.held(), |_| Standing::Over);
    for kind in [
        "containers",
        "tasks",
        "snapshots",
        "network attachments",
        "network namespaces",
        "cgroups",
        "files of containers",
    ] {
        assert!(names(&all, kind), "{kind} in {all:#?}");
    }
    plant_for(&shop.host, &retired.deployment.id, &failed.view.deployment.id);
    assert_nothing_kept(&shop.host);
    shop.host.finish();
}

/// Leaves things lying for one that has retired and for one that failed; they are reported, and removed.
fn plant_for(host: &TestHost, retired: &DeploymentId, failed: &DeploymentId) {
    let (container, lease) = (format!("{retired}.web.9"), format!("build-{failed}"));
    let (snapshot, prepared) = (format!("container-{container}"), format!("{failed}.prepared"));
    let run = Path::new("/run/windlass").join(host.id().as_str());
    let dirs = [
        ("workspaces", host.data_dir().join(format!("work/{failed}"))),
        ("scratch files of builds", host.data_dir().join(format!("build/{retired}"))),
        ("files of containers", run.join("containers").join(&container)),
    ];
    let rootfs = scratch("rootfs");
    let root = rootfs.path().to_str().unwrap();
    host.ctr_lines(&["containers", "create", "--rootfs", root, &container, "true"]);
    host.ctr_lines(&["snapshots", "prepare", &snapshot]);
    host.ctr_lines(&["snapshots", "prepare", &prepared]);
    host.ctr_lines(&["leases", "create", "--id", &lease]);
    dirs.iter().for_each(|(_, dir)| std::fs::create_dir_all(dir).unwrap());

    let kept = host.kept_for_nobody();
    let mut planted = vec![
        format!("containers: {container}"),
        format!("snapshots: {snapshot}"),
        format!("snapshots: {prepared}"),
        format!("leases: {lease}"),
    ];
    planted.extend(
        dirs.iter()
            .map(|(kind, dir)| format!("{kind}: {}", dir.file_name().unwrap().to_str().unwrap())),
    );
    for one in &planted {
        assert!(kept.contains(one), "{one} in {kept:#?}");
    }
    assert_eq!(kept.len(), planted.len(), "nothing else is reported: {kept:#?}");

    host.ctr_lines(&["containers", "delete", &container]);
    host.ctr_lines(&["snapshots", "delete", &snapshot]);
    host.ctr_lines(&["snapshots", "delete", &prepared]);
    host.ctr_lines(&["leases", "delete", &lease]);
    dirs.iter().for_each(|(_, dir)| std::fs::remove_dir_all(dir).unwrap());
}
