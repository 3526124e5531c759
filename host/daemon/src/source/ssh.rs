//! SSH for Git: a key made for one project, and the hosts that the project has met.
//!
//! **Invariants**
//! - The private part lies in clear in a file only while Git runs, readable by this user alone.
//! - A host's key is accepted when it is met first and refused when it has changed; nothing but a person
//!   forgets it. Each project has its own list: none can loosen another's.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use windlass_model::{Failure, ProjectName, Secret};

use super::{blocking, host_failed};

/// Where a project's list of hosts lies, and its key while Git runs.
pub fn dir(data_dir: &Path, project: &ProjectName) -> PathBuf {
    data_dir.join("ssh").join(project.as_str())
}

/// How Git is to call ssh. Dropping it removes the key's file.
#[derive(Debug)]
pub(super) struct Identity {
    command: String,
    key: Option<PathBuf>,
}

impl Drop for Identity {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            let _ = std::fs::remove_file(key);
        }
    }
}

impl Identity {
    /// Writes the key's file, if there is a key.
    pub(super) async fn open(
        data_dir: &Path,
        project: &ProjectName,
        key: Option<&Secret<String>>,
    ) -> Result<Self, Failure> {
        let (dir, key) = (dir(data_dir, project), key.cloned());
        blocking("prepare the SSH key", move || {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
            let known_hosts = dir.join("known_hosts");
            let mut identity = Self { command: command(&known_hosts, None), key: None };
            if let Some(key) = key {
                let file = dir.join(format!("key-{}", windlass_model::DeploymentId::generate()));
                let mut options = std::fs::OpenOptions::new();
                let mut opened = options.write(true).create_new(true).mode(0o600).open(&file)?;
                identity.command = command(&known_hosts, Some(&file));
                identity.key = Some(file);
                opened.write_all(key.expose().as_bytes())?;
            }
            Ok(identity)
        })
        .await
    }

    /// Value of `GIT_SSH_COMMAND`.
    pub(super) fn command(&self) -> &str {
        &self.command
    }
}

fn command(known_hosts: &Path, key: Option<&Path>) -> String {
    let mut command = "ssh -oBatchMode=yes -oConnectTimeout=20 -oStrictHostKeyChecking=accept-new \
                       -oHashKnownHosts=no -oUpdateHostKeys=no"
        .to_owned();
    command += &format!(" {}", shell_word(&format!("-oUserKnownHostsFile={}", path(known_hosts))));
    if let Some(key) = key {
        let file = shell_word(&format!("-oIdentityFile={}", path(key)));
        command += &format!(" -oIdentitiesOnly=yes -oIdentityAgent=none {file}");
    }
    command
}

/// A path as ssh's options want it: quoted, and `%` is no variable.
fn path(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

/// One word for the shell that Git hands the command to.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Removes what a killed process may have left of keys. At a start no Git runs.
pub fn remove_leftovers(data_dir: &Path) {
    let projects = std::fs::read_dir(data_dir.join("ssh")).into_iter().flatten().flatten();
    for project in projects {
        for entry in std::fs::read_dir(project.path()).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("key-") {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// A new ed25519 pair: private and public part. Needs `ssh-keygen`, which comes with ssh itself.
///
/// # Errors
/// `source.ssh-missing`, `source.host-failed`.
pub async fn generate(data_dir: &Path, project: &ProjectName) -> Result<(String, String), Failure> {
    let dir = dir(data_dir, project);
    let made = dir.join(format!("key-{}", windlass_model::DeploymentId::generate()));
    let folder = dir.clone();
    blocking("make the folder of SSH keys", move || {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
    })
    .await?;
    let comment = format!("windlass-{project}");
    let output = tokio::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", &comment, "-f"])
        .arg(&made)
        .stdin(std::process::Stdio::null())
        .output()
        .await;
    let output = output.map_err(|e| missing(&e))?;
    let public = made.with_extension("pub");
    let pair = blocking("read the new SSH key", move || {
        let pair = (std::fs::read_to_string(&made), std::fs::read_to_string(&public));
        let _ = (std::fs::remove_file(made), std::fs::remove_file(public));
        Ok((pair.0?, pair.1?.trim().to_owned()))
    })
    .await;
    if output.status.success() {
        return pair;
    }
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(host_failed("make an SSH key", &why))
}

fn missing(error: &std::io::Error) -> Failure {
    Failure::host(
        "source.ssh-missing",
        "ssh-keygen could not be run",
        error.to_string(),
        "install it: apt-get install openssh-client",
    )
}

/// Forgets the keys of a host (`example.org`, or `[example.org]:2222`). Answers whether there were any.
///
/// # Errors
/// `source.host-failed`.
pub async fn forget_host(
    data_dir: &Path,
    project: &ProjectName,
    host: &str,
) -> Result<bool, Failure> {
    let (file, host) = (dir(data_dir, project).join("known_hosts"), host.to_owned());
    blocking("change the list of known hosts", move || {
        let text = match std::fs::read_to_string(&file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            text => text?,
        };
        let names = |line: &str| {
            line.split(' ').next().is_some_and(|names| names.split(',').any(|name| name == host))
        };
        let kept: String =
            text.lines().filter(|line| !names(line)).map(|line| format!("{line}\n")).collect();
        let partial = file.with_extension("partial");
        std::fs::write(&partial, &kept)?;
        std::fs::rename(partial, file)?;
        Ok(kept.lines().count() != text.lines().count())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_the_shell_and_ssh() {
        let command = command(Path::new("/a b/100%/it's"), None);
        assert!(command.contains(r#"'-oUserKnownHostsFile="/a b/100%%/it'\''s"'"#), "{command}");
    }

    #[tokio::test]
    async fn a_pair_is_made_and_no_file_of_it_stays() {
        let data = tempfile::tempdir().unwrap();
        let project = "shop".parse().unwrap();
        let (private, public) = generate(data.path(), &project).await.unwrap();
        assert!(private.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));
        assert!(public.starts_with("ssh-ed25519 ") && public.ends_with(" windlass-shop"));
        assert_eq!(std::fs::read_dir(dir(data.path(), &project)).unwrap().count(), 0);
        let key = Secret::new(private);
        let identity = Identity::open(data.path(), &project, Some(&key)).await.unwrap();
        assert_eq!(std::fs::read_dir(dir(data.path(), &project)).unwrap().count(), 1);
        drop(identity);
        assert_eq!(std::fs::read_dir(dir(data.path(), &project)).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_host_is_forgotten_by_its_name() {
        let data = tempfile::tempdir().unwrap();
        let project = "shop".parse().unwrap();
        assert!(!forget_host(data.path(), &project, "h").await.unwrap());
        let folder = dir(data.path(), &project);
        std::fs::create_dir_all(&folder).unwrap();
        let text = "h ssh-ed25519 A\n[h]:2222 ssh-ed25519 B\nother,h2 ssh-rsa C\n";
        std::fs::write(folder.join("known_hosts"), text).unwrap();
        assert!(forget_host(data.path(), &project, "[h]:2222").await.unwrap());
        let left = std::fs::read_to_string(folder.join("known_hosts")).unwrap();
        assert_eq!(left, "h ssh-ed25519 A\nother,h2 ssh-rsa C\n");
    }
}
