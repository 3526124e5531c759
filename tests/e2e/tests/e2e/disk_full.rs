//! A file system that is full within any step: the one with the state and everything else of the data
//! directory but containerd's root and the caches, the one with the logs, and the one with containerd's
//! root.
//!
//! Each is a tmpfs of its own; containerd's is larger than 64 MiB, because the base images lie there. It is
//! filled at a failpoint within the step, to the last byte.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use windlass_model::{Deployment, DeploymentStatus, Failure, StepName};
use windlass_test_support::load::Running;
use windlass_test_support::{HostOptions, TestHost, sample, scratch, wait_for};

use crate::crash::{ENDS_WITHIN, open_on};
use crate::shop::{App, PROJECT, Shop, assert_unharmed};

/// How long a deployment may take to end while the disk is full; one whose end cannot be stored waits.
const FULL_FOR: Duration = Duration::from_secs(8);
/// How long until what could not be cleaned up is cleaned up by itself.
const WELL_WITHIN: Duration = Duration::from_secs(120);

/// What lies on the small file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    State,
    Logs,
    Containerd,
}

impl Target {
    const ALL: [Self; 3] = [Self::State, Self::Logs, Self::Containerd];

    fn mebibytes(self) -> u32 {
        if self == Self::Containerd { 1024 } else { 64 }
    }
}

/// A mounted tmpfs; dropping it unmounts.
struct Small {
    dir: tempfile::TempDir,
}

impl Small {
    fn mount(mebibytes: u32) -> Self {
        let dir = scratch("small");
        let size = format!("size={mebibytes}m,mode=700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path())
            .status();
        assert!(mounted.unwrap().success());
        Self { dir }
    }

    fn ballast(&self) -> PathBuf {
        self.dir.path().join("ballast-of-the-test")
    }

    /// Takes every free byte.
    fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        for bytes in [1 << 20, 4096, 1] {
            let block = vec![7; bytes];
            while file.write_all(&block).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.dir.path()).status();
    }
}

/// A folder elsewhere, under the name that the host looks for.
fn elsewhere(data_dir: &Path, name: &str, to: &Path) {
    let to = to.join(name);
    std::fs::create_dir_all(&to).unwrap();
    symlink(to, data_dir.join(name)).unwrap();
}

fn open(target: Target) -> (Shop, Small, tempfile::TempDir) {
    let small = Small::mount(target.mebibytes());
    let roomy = scratch("roomy");
    let options =
        HostOptions::default().limit("stop_grace_s", 3).limit("disk_free_bytes_min", 1 << 20);
    let mut host = TestHost::prepare(options);
    let data_dir = host.data_dir();
    match target {
        Target::State => {
            std::fs::remove_dir(&data_dir).unwrap();
            symlink(small.dir.path(), &data_dir).unwrap();
            elsewhere(&data_dir, "containerd", roomy.path());
            elsewhere(&data_dir, "cache", roomy.path());
        }
        Target::Logs => elsewhere(&data_dir, "logs", small.dir.path()),
        Target::Containerd => elsewhere(&data_dir, "containerd", small.dir.path()),
    }
    host.restart();
    (open_on(host), small, roomy)
}

impl Shop {
    /// The deployment as it is once it has ended, or after a while when its end cannot be stored.
    fn ended_or_waits(&self) -> Deployment {
        let end = std::time::Instant::now() + FULL_FOR;
        loop {
            let deployment = self.host.show(PROJECT, self.last).deployment;
            let works =
                matches!(deployment.status, DeploymentStatus::Queued | DeploymentStatus::Running);
            if !works || std::time::Instant::now() > end {
                return deployment;
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// A deployment that failed says why, and one that could not be cleaned up gets it done by itself.
    fn well_again(&mut self, load: Running, text: &str) -> DeploymentStatus {
        let what = "the deployment ends when there is space again";
        let deployment = self
            .host
            .wait_deployment(PROJECT, self.last, what, WELL_WITHIN, |view| {
                matches!(view.deployment.status, DeploymentStatus::Live | DeploymentStatus::Failed)
            })
            .deployment;
        let old = self.text.clone();
        if deployment.status == DeploymentStatus::Live {
            self.went_live(&load, text);
            assert_unharmed(&load.stop(), &[&old, text]);
        } else {
            let failure = deployment.failure.clone().unwrap();
            assert_ne!(failure.code, "internal.panic", "{failure:#?}");
            assert!(names_the_space(&failure), "{failure:#?}");
            assert!(!failure.fix.is_empty(), "{failure:#?}");
            load.wait_more(300);
            assert_unharmed(&load.stop(), &[&old]);
        }
        self.assert_settled();
        deployment.status
    }
}

/// Whether a failure says that there is no space, whoever noticed it first.
fn names_the_space(failure: &Failure) -> bool {
    let log = failure.log.iter().map(|line| line.text.as_str());
    let evidence = [failure.what.as_str(), &failure.why, &failure.fix];
    let said = evidence.into_iter().chain(log).collect::<Vec<_>>().join("\n").to_lowercase();
    ["no space", "enospc", "disk", "full"].iter().any(|word| said.contains(word))
}

#[test]
fn a_disk_that_is_full_within_any_step_harms_no_visitor_and_all_is_well_when_there_is_space() {
    for target in sample::of(Target::ALL.to_vec(), 1) {
        let (mut shop, small, roomy) = open(target);
        for step in sample::of(StepName::ALL.to_vec(), 3) {
            let place = format!("during:{step}");
            shop.arm(&format!("pause@{place}"));
            let load = shop.load();
            let text = shop.commit(App::Good { migrates_ms: 0 });
            shop.ask();
            shop.host.wait_held_at(&place, ENDS_WITHIN);
            small.fill();
            assert_eq!(shop.host.take_failpoint_hit().as_deref(), Some(place.as_str()));
            shop.host.set_env(&[]);
            let full = shop.ended_or_waits();
            let code = full.failure.as_ref().map_or("", |failure| failure.code.as_str());
            eprintln!("{target:?} full within {step}: {} {code}", full.status);
            let answer = shop.host.get(crate::shop::HOST, "/");
            assert_eq!(answer.status, 200, "visitors are served");
            small.free();
            wait_for("the host is ready", ENDS_WITHIN, || {
                let answer = shop.host.api("GET", "/readyz", None);
                if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
            });
            let ended = shop.well_again(load, &text);
            eprintln!("  and then: {ended}");
        }
        shop.deploy_next();
        shop.host.finish();
        drop((small, roomy));
    }
}
