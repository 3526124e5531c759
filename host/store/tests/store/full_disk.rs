//! A disk that is full: the store is read-only and loud, what frees space still goes through, and it
//! takes changes again when there is space.
//!
//! The disk is a small tmpfs in a mount namespace of this test's own, so nothing is left mounted
//! whatever happens. That needs root.

use std::ffi::CString;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use windlass_model::project::Intent;
use windlass_model::{DeploymentId, DeploymentStatus, Limits};
use windlass_store::kv::Expect;
use windlass_store::{Health, Store, StoreError};

use crate::support::{deployment, make_shop, production, shop};

const DISK_BYTES: u64 = 32 * 1024 * 1024;
const DEADLINE: Duration = Duration::from_secs(60);

struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    fn mount() -> Self {
        // SAFETY: only the mount namespace of this thread (and of those it starts) is replaced; no
        // file descriptor changes its meaning.
        let own = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) };
        own.expect("a mount namespace needs root");
        let all = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", all).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let size = CString::new(format!("size={DISK_BYTES}")).unwrap();
        mount("none", dir.path(), "tmpfs", MountFlags::empty(), size.as_c_str()).unwrap();
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Takes all the space that is left and returns the file that holds it.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = File::options().create(true).append(true).open(&path).unwrap();
        for size in [1 << 20, 4096, 1] {
            let block = vec![0xaa; size];
            while file.write_all(&block).is_ok() {}
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(self.dir.path(), UnmountFlags::DETACH);
    }
}

async fn wait_until_well(store: &Store) {
    let deadline = Instant::now() + DEADLINE;
    while store.health() != Health::Ok {
        assert!(Instant::now() < deadline, "still {:?}", store.health());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Writes until the disk is full; returns how many were acknowledged.
async fn write_until_refused(store: &Store, disk: &Disk) -> (u64, StoreError) {
    for n in 0_u64.. {
        disk.fill();
        let key = format!("filler/{n:06}");
        let put = store.kv().compare_and_set(&key, Expect::Any, vec![n.to_le_bytes()[0]; 60_000]);
        if let Err(error) = put.await {
            return (n, error);
        }
    }
    unreachable!()
}

fn assert_all_there(store: &Store, written: u64) {
    for n in 0..written {
        let entry = store.kv().get(&format!("filler/{n:06}")).unwrap().expect("acknowledged");
        assert_eq!(entry.value, vec![n.to_le_bytes()[0]; 60_000]);
    }
}

#[tokio::test]
async fn a_full_disk_makes_the_store_read_only_until_there_is_space() {
    let disk = Disk::mount();
    let data = disk.path().join("data");
    let store = Store::open(&data, Limits::default()).unwrap();
    make_shop(&store).await;
    let queued = deployment(&production(), DeploymentStatus::Queued);
    let mut queued = store.create_deployment(queued).await.unwrap();

    let (written, error) = write_until_refused(&store, &disk).await;
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    assert!(matches!(store.health(), Health::ReadOnly { .. }));

    // Reads work, new work is refused, cancelling and settling are not.
    assert_all_there(&store, written);
    let refused =
        store.create_deployment(deployment(&production(), DeploymentStatus::Queued)).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), "store.read-only");
    assert!(refused.fix().contains("free space"));
    let intent = Intent::Cancel { deployment: DeploymentId::generate(), actor: "ann".into() };
    let id = store.put_intent(intent).await.unwrap();
    queued.value.status = DeploymentStatus::Cancelled;
    store.update_deployment(&queued.value, queued.revision).await.unwrap();
    store.remove_intent(id).await.unwrap();
    assert!(matches!(store.health(), Health::ReadOnly { .. }), "still");

    std::fs::remove_file(disk.path().join("filler")).unwrap();
    wait_until_well(&store).await;
    store.kv().compare_and_set("after", Expect::Absent, vec![1]).await.unwrap();
    drop(store);

    let store = Store::open(&data, Limits::default()).unwrap();
    assert_eq!(store.health(), Health::Ok);
    assert_all_there(&store, written);
    assert!(store.kv().get("after").unwrap().is_some());
    let cancelled = store.deployment_by_number(&shop(), 1).unwrap();
    assert_eq!(cancelled.value.status, DeploymentStatus::Cancelled);
}

#[tokio::test]
async fn a_store_opens_on_a_full_disk_and_can_be_read() {
    let disk = Disk::mount();
    let data = disk.path().join("data");
    let store = Store::open(&data, Limits::default()).unwrap();
    make_shop(&store).await;
    let id = store.host_id().clone();
    drop(store);
    let filler = disk.fill();

    let store = Store::open(&data, Limits::default()).unwrap();
    assert!(matches!(store.health(), Health::ReadOnly { .. }));
    assert_eq!(*store.host_id(), id);
    assert!(store.project(&shop()).is_ok());
    assert!(!data.join("ballast").exists(), "its space was needed");
    std::fs::remove_file(filler).unwrap();
    wait_until_well(&store).await;
    store.ensure_project(&"other".parse().unwrap()).await.unwrap();
    assert_eq!(store.projects().unwrap().len(), 2);
}

#[tokio::test]
async fn without_any_space_opening_says_so_and_loses_nothing() {
    let disk = Disk::mount();
    let data = disk.path().join("data");
    let store = Store::open(&data, Limits::default()).unwrap();
    make_shop(&store).await;
    drop(store);
    std::fs::remove_file(data.join("ballast")).unwrap();
    let filler = disk.fill();
    let refused = Store::open(&data, Limits::default()).unwrap_err();
    assert_eq!(refused.code(), "store.io", "{refused}");
    assert!(refused.fix().contains("has space"), "{}", refused.fix());
    std::fs::remove_file(filler).unwrap();
    let store = Store::open(&data, Limits::default()).unwrap();
    assert_eq!(store.health(), Health::Ok);
    assert!(store.project(&shop()).is_ok());
}
