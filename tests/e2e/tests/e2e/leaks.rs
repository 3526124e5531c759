//! The leak check sees every kind of leak.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use windlass_model::HostId;
use windlass_test_support::leaks::{force_clean, leftovers};
use windlass_test_support::{Machine, scratch, wait_for};

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
        wait_for(&what, std::time::Duration::from_secs(5), || {
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
