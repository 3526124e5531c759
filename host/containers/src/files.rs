//! Generated files of a container: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`.

use std::path::{Path, PathBuf};

use crate::error::{Result, RuntimeError};
use crate::network::Attached;
use crate::runtime::ContainerSpec;

const HOSTNAME: &str = "/etc/hostname";
const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Where a container finds the files that are generated for it. For one that its own files do not have, an empty file
/// is made there, and is left in them.
pub fn generated_paths(has_network: bool) -> &'static [&'static str] {
    match has_network {
        true => &[HOSTNAME, HOSTS, RESOLV_CONF],
        false => &[HOSTNAME, HOSTS],
    }
}

/// What was written, as `(file on the host, path in the container)`.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) mounts: Vec<(PathBuf, &'static str)>,
    pub(crate) hostname: String,
}

/// Writes them into `dir`, which is removed with the container.
pub(crate) fn write(
    dir: &Path,
    spec: &ContainerSpec,
    attached: Option<&Attached>,
) -> Result<Files> {
    std::fs::create_dir_all(dir).map_err(RuntimeError::io("create directory", dir))?;
    let hostname = hostname(spec);
    let mut texts = vec![(HOSTNAME, format!("{hostname}\n")), (HOSTS, hosts(&hostname, attached))];
    if let Some(attached) = attached {
        // The helper is away for a moment when it reads its names anew: a question is asked again then.
        let options = "ndots:0 timeout:1 attempts:5";
        let text = format!("nameserver {}\noptions {options}\n", attached.gateway);
        texts.push((RESOLV_CONF, text));
    }
    let mut mounts = Vec::new();
    for (target, text) in texts {
        let path = dir.join(target.rsplit('/').next().unwrap_or_default());
        std::fs::write(&path, text).map_err(RuntimeError::io("write", &path))?;
        mounts.push((path, target));
    }
    Ok(Files { mounts, hostname })
}

/// The host name: as given, else from the id; at most 63 characters.
fn hostname(spec: &ContainerSpec) -> String {
    let name = spec.hostname.as_deref().unwrap_or(&spec.id);
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' })
        .take(63)
        .collect();
    name.trim_matches(['-', '.']).to_owned()
}

fn hosts(hostname: &str, attached: Option<&Attached>) -> String {
    let local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
    match attached {
        Some(attached) => format!("{local}{}\t{hostname}\n", attached.address),
        None => format!("{local}127.0.1.1\t{hostname}\n"),
    }
}
