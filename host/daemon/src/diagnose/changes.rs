//! What a deployment was made with, and what changed since the last good one.
//!
//! **Invariant: nothing here can be turned back into a variable's value.** The digests are keyed with a
//! secret of this host that is in no backup and no record.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use windlass_model::changes::{Changes, MadeWith};
use windlass_model::variable::Variable;
use windlass_model::{Deployment, Failure, ProjectName};

use crate::host::Host;

/// The key's file, below the data directory.
const KEY_FILE: &str = "fingerprint.key";
/// Bytes of a digest that are kept: enough to tell values apart.
const DIGEST_BYTES: usize = 8;

/// What a deployment is made with now. Without a key (the disk refuses it) variables are left out.
pub(crate) fn made_with(host: &Host, project: &ProjectName, variables: &[Variable]) -> MadeWith {
    let key = key(&host.config.data_dir).inspect_err(|error| {
        tracing::warn!(%error, "variables cannot be compared: {KEY_FILE} cannot be used");
    });
    let digests = key.map(|key| variables.iter().map(|one| digest(&key, one)).collect());
    let in_force = host.plugins.of_project(Some(project));
    let plugins = in_force.all().iter().map(|plugin| {
        let info = plugin.info();
        let version = format!("{} ({})", info.manifest.version, info.digest.short());
        (info.manifest.name.clone(), version)
    });
    let granted = in_force.all().iter().filter(|plugin| !plugin.grants().0.is_empty());
    let grants = granted.map(|plugin| {
        let mut grants: Vec<String> = plugin.grants().0.iter().map(ToString::to_string).collect();
        // The order in which they were given is no change.
        grants.sort_unstable();
        (plugin.name().to_owned(), grants.join("; "))
    });
    MadeWith {
        variables: digests.unwrap_or_default(),
        plugins: plugins.collect(),
        grants: Some(grants.collect()),
    }
}

fn digest(key: &[u8], variable: &Variable) -> (String, String) {
    let name = variable.name.to_string();
    let scope = [u8::from(variable.scope.in_build()), u8::from(variable.scope.in_run())];
    let mac = Hmac::<Sha256>::new_from_slice(key).map(|mut mac| {
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(&scope);
        mac.update(variable.value.expose().as_bytes());
        hex::encode(&mac.finalize().into_bytes()[..DIGEST_BYTES])
    });
    (name, mac.unwrap_or_default())
}

fn key(data_dir: &Path) -> std::io::Result<Vec<u8>> {
    let path = data_dir.join(KEY_FILE);
    match std::fs::read(&path) {
        Ok(key) if key.len() == 32 => return Ok(key),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut key = vec![0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    let partial = path.with_extension("key.partial");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(&key)?;
    file.sync_all()?;
    std::fs::rename(&partial, &path)?;
    Ok(key)
}

/// What changed since the last deployment of the environment that went live; `None` when none did.
pub(crate) fn since_last_good(
    host: &Host,
    deployment: &Deployment,
) -> Result<Option<Changes>, Failure> {
    let live = host.live(&deployment.project, &deployment.environment)?;
    let good = match live.filter(|(live, _)| live.id != deployment.id) {
        Some((live, _)) => Some(live),
        None => host
            .history(&deployment.project, &deployment.environment)?
            .into_iter()
            .map(|(past, _)| past)
            .find(|past| past.id != deployment.id && past.live_at.is_some()),
    };
    Ok(good.map(|good| Changes::between(&good, deployment)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use windlass_model::Secret;
    use windlass_model::variable::Scope;

    use super::*;

    fn digests(key: &[u8], variables: &[Variable]) -> BTreeMap<String, String> {
        variables.iter().map(|one| digest(key, one)).collect()
    }

    fn variable(name: &str, value: &str) -> Variable {
        Variable {
            name: name.parse().unwrap(),
            value: Secret::new(value.to_owned()),
            scope: Scope::Both,
            secret: true,
        }
    }

    #[test]
    fn a_digest_depends_on_value_name_and_the_host_s_own_key() {
        let one = digests(b"key", &[variable("A", "x"), variable("B", "x")]);
        assert_ne!(one["A"], one["B"], "the same value under another name");
        assert_eq!(one, digests(b"key", &[variable("A", "x"), variable("B", "x")]));
        assert_ne!(one["A"], digests(b"key", &[variable("A", "y")])["A"]);
        assert_ne!(one["A"], digests(b"other", &[variable("A", "x")])["A"]);
        assert!(!format!("{one:?}").contains("x\""));
    }

    #[test]
    fn the_key_is_made_once_and_is_nobody_else_s_to_read() {
        let dir = tempfile::tempdir().unwrap();
        let first = key(dir.path()).unwrap();
        assert_eq!(key(dir.path()).unwrap(), first);
        let mode = std::fs::metadata(dir.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
