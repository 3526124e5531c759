//! Volumes: directories that outlive deployments, `<data>/volumes/<project>/<environment>/<name>`.
//!
//! **Invariant: nothing removes a volume but a person who asks for it by name**, or who deletes an
//! environment or a project and says that its volumes go too. They are never pruned.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use windlass_model::id::VolumeName;
use windlass_model::{EnvironmentName, Failure, ProjectName};

use crate::host::Host;

/// A volume and its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeFolder {
    /// Its name.
    pub name: VolumeName,
    /// Where its data lies on the host.
    pub folder: PathBuf,
}

impl Host {
    /// The volumes of an environment that there are, by name, also those of a deleted environment and those
    /// that no deployment mounts any more.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn volumes(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<Vec<VolumeFolder>, Failure> {
        let folder = environment_dir(&self.config.data_dir, project, environment);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &folder, &error)),
        };
        let volume = |entry: fs::DirEntry| {
            let name = entry.file_name().to_str()?.parse().ok()?;
            Some(VolumeFolder { name, folder: entry.path() })
        };
        let mut found: Vec<VolumeFolder> = entries.flatten().filter_map(volume).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }
}

fn root(data_dir: &Path) -> PathBuf {
    data_dir.join("volumes")
}

/// The folder of an environment's volumes.
pub(crate) fn environment_dir(
    data_dir: &Path,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> PathBuf {
    root(data_dir).join(project.as_str()).join(environment.as_str())
}

/// The folder of a project's volumes.
pub(crate) fn project_dir(data_dir: &Path, project: &ProjectName) -> PathBuf {
    root(data_dir).join(project.as_str())
}

/// Makes sure that a volume is there. Whoever the application runs as may write to it; on the host only
/// root comes near it.
pub(crate) fn ensure(
    data_dir: &Path,
    project: &ProjectName,
    environment: &EnvironmentName,
    name: &VolumeName,
) -> Result<PathBuf, Failure> {
    let folder = environment_dir(data_dir, project, environment).join(name.as_str());
    let made = || -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&folder)?;
        fs::set_permissions(root(data_dir), fs::Permissions::from_mode(0o700))?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))
    };
    made().map_err(|error| failed("make", &folder, &error))?;
    Ok(folder)
}

/// Removes a folder of volumes with everything in it; none is no error.
pub(crate) async fn remove(folder: PathBuf) -> Result<(), Failure> {
    let gone = folder.clone();
    let removed = tokio::task::spawn_blocking(move || fs::remove_dir_all(gone)).await;
    match removed.map_err(io::Error::other).flatten() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", &folder, &error))
        }
        _ => Ok(()),
    }
}

/// Bytes of all files below a folder, without following links.
pub(crate) fn bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes(&entry.path()),
            Ok(metadata) if metadata.is_file() => metadata.len(),
            _ => 0,
        })
        .sum()
}

fn failed(verb: &str, folder: &Path, error: &io::Error) -> Failure {
    Failure::host(
        "volume.io",
        format!("the host could not {verb} {}", folder.display()),
        error.to_string(),
        "check the data directory's disk and permissions",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_made_once_and_keeps_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let (project, environment) = ("shop".parse().unwrap(), EnvironmentName::production());
        let name = "uploads".parse().unwrap();
        let folder = ensure(dir.path(), &project, &environment, &name).unwrap();
        fs::write(folder.join("a"), b"12345").unwrap();
        std::os::unix::fs::symlink("/etc", folder.join("link")).unwrap();
        assert_eq!(ensure(dir.path(), &project, &environment, &name).unwrap(), folder);
        assert_eq!(bytes(&folder), 5, "links are not followed");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&root(dir.path())), mode(&folder)), (0o700, 0o777));
    }
}
