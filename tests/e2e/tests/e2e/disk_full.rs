//! A file system that is full within any step: the one with the state and everything else of the data
//! directory but containerd's root and the caches, the one with the logs, and the one with containerd's
//! root.
//!
//! Each is a tmpfs of its own; containerd's is larger than 64 MiB, because the base images lie there. It is
//! filled at a failpoint within the step, to the last byte. Where it is certain what comes of that, it is
//! demanded: see [`Target::ends`].

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use windlass_model::{Deployment, DeploymentStatus, Failure, StepName};
use windlass_test_support::load::Running;
use windlass_test_support::{HostOptions, TestHost, sample, scratch, wait_for};

use crate::crash::{ENDS_WITHIN, open_on};
use crate::shop::{App, PROJECT, Shop, assert_unharmed};

/// How long until what could not be cleaned up is cleaned up by itself.
const WELL_WITHIN: Duration = Duration::from_secs(120);
/// What may be free right after it was filled: whoever is at work there gives a file back now and then.
const LEFT_MAX: u64 = 1 << 20;
/// The store's own reserve, which it gives up as soon as it cannot write.
const RESERVE_BYTES: u64 = 8 << 20;

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

    /// How long a deployment may take to end while this is full. One whose end cannot be stored waits, and
    /// is not waited for.
    fn full_for(self) -> Duration {
        Duration::from_secs(if self == Self::State { 8 } else { 60 })
    }

    /// What comes of a deployment when this is full from the middle of a step on; `None` where that
    /// depends on what lies there already.
    fn ends(self, step: StepName) -> Option<Ends> {
        use StepName as S;
        match self {
            // The plan is stored next, and a store that cannot write takes nothing new.
            Self::State if step <= S::Detect => {
                Some(Ends::Refused(&["store.", "source.host-failed", "preflight.disk-floor"]))
            }
            // The next container has its log prepared there.
            Self::Logs if step <= S::Migrate => Some(Ends::Refused(&["host.io"])),
            // Nothing but lines is left to write, and nobody waits for a line.
            Self::Logs => Some(Ends::Live),
            Self::Containerd if step == S::Fetch => Some(Ends::Refused(&["preflight.disk-floor"])),
            // The build copies the new version's source into a snapshot.
            Self::Containerd if step <= S::Build => Some(Ends::Refused(&[
                "build.",
                "containerd.",
                "containers.",
                "host.io",
                "app.disk-full",
            ])),
            Self::State | Self::Containerd => None,
        }
    }
}

/// What must come of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// It does not go live while there is no space; when it failed, its code begins with one of these.
    Refused(&'static [&'static str]),
    /// It goes live all the same.
    Live,
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

    /// Takes every free byte, and makes sure that it did: not one more was taken.
    fn fill(&self, target: Target) {
        let mut file = File::create(self.ballast()).unwrap();
        for bytes in [1 << 20, 4096, 1] {
            let block = vec![7; bytes];
            let refused = loop {
                if let Err(error) = file.write_all(&block) {
                    break error;
                }
            };
            assert_eq!(refused.kind(), ErrorKind::StorageFull, "{refused}");
        }
        assert!(file.metadata().unwrap().len() > 0, "there was space to take");
        let now = rustix::fs::statvfs(self.dir.path()).unwrap();
        let free = now.f_bavail * now.f_frsize;
        let reserve = if target == Target::State { RESERVE_BYTES } else { 0 };
        assert!(free <= LEFT_MAX + reserve, "{free} bytes are free: it is not full");
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

/// The proof of the next failpoint lies elsewhere too: taking it must give no space back.
fn prove_elsewhere(data_dir: &Path, roomy: &Path) {
    let to = roomy.join("failpoint.hit");
    let _ = std::fs::remove_file(&to);
    symlink(to, data_dir.join("failpoint.hit")).unwrap();
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
            // The compiled plugins that it was given.
            std::fs::rename(data_dir.join("cache"), roomy.path().join("cache")).unwrap();
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
    fn ended_or_waits(&self, within: Duration) -> Deployment {
        let end = std::time::Instant::now() + within;
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
    fn well_again(&mut self, load: Running, text: &str, ends: Option<Ends>) -> DeploymentStatus {
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
            match ends {
                Some(Ends::Refused(families)) => {
                    let is_one = families.iter().any(|family| failure.code.starts_with(family));
                    assert!(is_one, "{} is none of {families:?}: {failure:#?}", failure.code);
                }
                Some(Ends::Live) => panic!("nothing was in its way: {failure:#?}"),
                None => {}
            }
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

/// A deployment that needs space does not go live while there is none.
fn assert_ended_as(full: &Deployment, ends: Option<Ends>, target: Target) {
    use DeploymentStatus as S;
    if let Some(Ends::Refused(_)) = ends {
        // One whose end cannot be stored waits; only the state's disk can be in the way of that.
        let waits = target == Target::State && matches!(full.status, S::Queued | S::Running);
        let refused = waits || matches!(full.status, S::Failed | S::Stuck);
        assert!(refused, "it needs space that is not there: {full:#?}");
    }
}

/// One deployment with a disk that is full from within a step on, and what comes of it.
#[expect(clippy::print_stderr, reason = "the case that fails must be known")]
fn play(shop: &mut Shop, small: &Small, roomy: &Path, target: Target, step: StepName) {
    let place = format!("during:{step}");
    prove_elsewhere(&shop.host.data_dir(), roomy);
    shop.arm(&format!("pause@{place}"));
    let load = shop.load();
    let text = shop.commit(App::Good { migrates_ms: 0 });
    shop.ask();
    shop.host.wait_held_at(&place, ENDS_WITHIN);
    small.fill(target);
    assert_eq!(shop.host.take_failpoint_hit().as_deref(), Some(place.as_str()));
    shop.host.set_env(&[]);
    let full = shop.ended_or_waits(target.full_for());
    let code = full.failure.as_ref().map_or("", |failure| failure.code.as_str());
    eprintln!("{target:?} full within {step}: {} {code}", full.status);
    let answer = shop.host.get(crate::shop::HOST, "/");
    assert_eq!(answer.status, 200, "visitors are served");
    let ends = target.ends(step);
    assert_ended_as(&full, ends, target);
    small.free();
    wait_for("the host is ready", ENDS_WITHIN, || {
        let answer = shop.host.api("GET", "/readyz", None);
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    });
    let ended = shop.well_again(load, &text, ends);
    eprintln!("  and then: {ended}");
}

#[test]
fn a_disk_that_is_full_within_any_step_harms_no_visitor_and_all_is_well_when_there_is_space() {
    for target in sample::of(Target::ALL.to_vec(), 1) {
        let (mut shop, small, roomy) = open(target);
        // One at least that cannot end well without space.
        let (refused, others): (Vec<StepName>, Vec<StepName>) = StepName::ALL
            .into_iter()
            .partition(|step| matches!(target.ends(*step), Some(Ends::Refused(_))));
        assert!(!refused.is_empty(), "{target:?}");
        for step in sample::of(refused, 1).into_iter().chain(sample::of(others, 2)) {
            play(&mut shop, &small, roomy.path(), target, step);
        }
        shop.deploy_next();
        shop.host.finish();
        drop((small, roomy));
    }
}
