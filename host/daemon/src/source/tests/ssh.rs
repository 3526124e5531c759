//! Fetching over SSH from a real sshd: a key made for the project, and a host whose key changes.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::World;
use super::git::Repo;
use crate::source::{Credentials, ssh};
use windlass_model::{Secret, Source};

/// An sshd that knows one public key and hands out repositories of this user.
struct Sshd {
    child: Child,
    port: u16,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _status = self.child.wait();
    }
}

fn new_host_key(dir: &Path) {
    let key = dir.join("host-key");
    let _absent = std::fs::remove_file(&key);
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key).stdin(Stdio::null());
    assert!(command.status().unwrap().success());
}

impl Sshd {
    fn start(dir: &Path, port: u16, public_key: &str) -> Self {
        let keys = dir.join("authorized_keys");
        let line = format!(
            "command=\"git-shell -c \\\"$SSH_ORIGINAL_COMMAND\\\"\",restrict {public_key}\n"
        );
        std::fs::write(&keys, line).unwrap();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {0}/host-key\nPidFile none\nUsePAM no\n\
             AuthorizedKeysFile {0}/authorized_keys\nStrictModes no\nPermitRootLogin yes\n\
             PasswordAuthentication no\n",
            dir.display()
        );
        let file = dir.join("sshd_config");
        std::fs::write(&file, config).unwrap();
        // It wants a folder of its own to shut itself in.
        std::fs::create_dir_all("/run/sshd").unwrap();
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(file).stdin(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("sshd is missing: run `apt-get install openssh-server`");
        let sshd = Self { child, port };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "sshd does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        sshd
    }

    fn url(&self, repo: &Repo) -> String {
        format!("ssh://root@127.0.0.1:{}{}", self.port, repo.path().display())
    }
}

#[tokio::test]
async fn a_deploy_key_opens_its_repository_and_a_changed_host_key_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (repo, _, second) = Repo::with_history();
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let (private, public) = ssh::generate(&world.data(), &world.project).await.unwrap();
    let (other, _) = ssh::generate(&world.data(), &world.project).await.unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    new_host_key(dir.path());
    let sshd = Sshd::start(dir.path(), port, &public);
    let source = Source::Git { url: sshd.url(&repo), reference: None };
    let with = |key: &str| Credentials {
        deploy_key: Some(Secret::new(key.to_owned())),
        ..Credentials::default()
    };
    let got = world.fetch_with(&source, &with(&private)).await.unwrap();
    assert_eq!(got.fetched.commit, Some(second));
    let failure = world.fetch_with(&source, &with(&other)).await.unwrap_err();
    assert_eq!(failure.code, "source.deploy-key-rejected", "{failure:?}");
    // No key stays behind in clear.
    let names: Vec<_> =
        std::fs::read_dir(ssh::dir(&world.data(), &world.project)).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");

    drop(sshd);
    new_host_key(dir.path());
    let sshd = Sshd::start(dir.path(), port, &public);
    let failure = world.fetch_with(&source, &with(&private)).await.unwrap_err();
    assert_eq!(failure.code, "source.host-key-changed", "{failure:?}");
    let host = format!("[127.0.0.1]:{port}");
    assert!(failure.fix.contains(&host), "{failure:?}");
    assert!(ssh::forget_host(&world.data(), &world.project, &host).await.unwrap());
    world.fetch_with(&source, &with(&private)).await.unwrap();
    drop(sshd);
}
