//! What the tests on a real containerd share: a host of its own for each test file, with a root file
//! system of busybox alone.

#![allow(dead_code, reason = "each test binary uses a part")]
#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking")]

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use windlass_containers::runtime::{
    Attachment, ContainerSpec, LABEL_GC_ROOT, Labels, LogSpec, Reader, Rootfs,
};
use windlass_containers::{Config, Engine, Runtime};
use windlass_model::{HostId, Limits};
pub(crate) use windlass_test_support::addresses::TestAddresses;

/// Name of the committed root file system.
pub(crate) const ROOTFS: &str = "test-rootfs";
/// Longest wait for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// One Windlass host for one test.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) config: Config,
    pub(crate) addresses: Arc<TestAddresses>,
    pub(crate) dir: PathBuf,
    data: Option<tempfile::TempDir>,
}

impl Host {
    /// Starts a host with a containerd of its own; `pool` keeps the subnets of tests apart.
    pub(crate) async fn start(pool: u8) -> Self {
        let data = tempfile::tempdir().unwrap();
        let config = Config {
            data_dir: data.path().to_owned(),
            host_id: HostId::generate(),
            containerd: None,
            logger_exe: PathBuf::from(env!("CARGO_BIN_EXE_windlass-test-logger")),
            limits: Limits::default(),
        };
        let addresses = TestAddresses::new(pool);
        let engine = Engine::start(config.clone(), addresses.clone()).await.unwrap();
        let host =
            Self { engine, config, addresses, dir: data.path().to_owned(), data: Some(data) };
        host.import().await;
        host
    }

    /// The same host as after a restart of `serve`.
    pub(crate) async fn restart(&mut self) {
        self.engine = Engine::start(self.config.clone(), self.addresses.clone()).await.unwrap();
    }

    async fn import(&self) {
        let labels = Labels::from([(LABEL_GC_ROOT.to_owned(), "test".to_owned())]);
        let archive = reader(busybox_tar());
        self.engine.import_rootfs(ROOTFS, archive, &labels).await.unwrap();
    }

    /// A container that runs a shell script.
    pub(crate) fn shell(&self, id: &str, script: &str) -> ContainerSpec {
        shell(&self.dir, id, script)
    }

    /// The same, in a network.
    pub(crate) fn shell_in(&self, id: &str, network: &str, script: &str) -> ContainerSpec {
        let mut spec = self.shell(id, script);
        spec.network = Some(Attachment::member(network, vec![id.to_owned()]));
        spec
    }

    /// Runs a container to its end, deletes it, and returns its exit code and output.
    pub(crate) async fn run(&self, spec: &ContainerSpec) -> (u32, String) {
        self.engine.create_and_start(spec).await.unwrap();
        let exit = tokio::time::timeout(DEADLINE, self.engine.wait(&spec.id)).await;
        let exit = exit.expect("the container ends in time").unwrap();
        self.engine.delete(&spec.id).await.unwrap();
        (exit.code, output(&spec.log.dir))
    }

    /// Ends the host and proves that nothing is left of it.
    pub(crate) async fn finish(mut self) {
        let id = self.config.host_id.clone();
        self.engine.clone().teardown_host().await.unwrap();
        until("nothing is left of the host", || {
            let left = windlass_containers::leak::machine(&id);
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        })
        .await;
        self.data.take();
    }
}

/// A container that runs a shell script.
pub(crate) fn shell(dir: &Path, id: &str, script: &str) -> ContainerSpec {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let log = LogSpec::instance(dir.join("logs").join(id), &Limits::default(), Vec::new());
    ContainerSpec::new(id, Rootfs::Committed(ROOTFS.to_owned()), argv, log)
}

/// The text of a log, one line each.
pub(crate) fn output(dir: &Path) -> String {
    let lines = windlass_containers::logs::read(dir);
    lines.iter().map(|line| format!("{}\n", line.text)).collect()
}

/// Waits for a condition; its last complaint is the panic's message.
pub(crate) async fn until<T>(what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match condition() {
            Ok(value) => return value,
            Err(why) if start.elapsed() > DEADLINE => panic!("{what}: {why}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Bytes as a stream.
pub(crate) fn reader(bytes: Vec<u8>) -> Reader {
    Box::new(Cursor::new(bytes))
}

/// A root file system of busybox with its links, users and the usual directories.
pub(crate) fn busybox_tar() -> Vec<u8> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|it| std::fs::read(it).ok());
    let busybox = busybox.expect("busybox is missing: run `apt-get install busybox-static`");
    let mut tar = tar::Builder::new(Vec::new());
    for dir in ["bin", "etc", "proc", "sys", "dev", "tmp", "home"] {
        put(&mut tar, dir, tar::EntryType::Directory, 0o755, b"");
    }
    put(&mut tar, "bin/busybox", tar::EntryType::Regular, 0o755, &busybox);
    let passwd = b"root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home:/bin/sh\n";
    put(&mut tar, "etc/passwd", tar::EntryType::Regular, 0o644, passwd);
    put(&mut tar, "etc/group", tar::EntryType::Regular, 0o644, b"root:x:0:\napp:x:1000:\n");
    let names = [
        "sh", "cat", "echo", "ls", "sleep", "grep", "id", "nc", "wget", "nslookup", "ping", "head",
        "dd", "true", "false", "touch", "mkdir", "mount", "unshare", "kill", "printf", "tr", "env",
        "hostname", "httpd", "seq", "rm", "tail", "wc", "yes", "test", "pwd", "ip", "mknod",
    ];
    for name in names {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        tar.append_link(&mut header, format!("bin/{name}"), "busybox").unwrap();
    }
    tar.into_inner().unwrap()
}

/// Adds an entry to an archive.
pub(crate) fn put(
    tar: &mut tar::Builder<Vec<u8>>,
    path: &str,
    kind: tar::EntryType,
    mode: u32,
    bytes: &[u8],
) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    tar.append_data(&mut header, path, bytes).unwrap();
}
