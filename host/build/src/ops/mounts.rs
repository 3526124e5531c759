//! What is mounted while a command runs.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use windlass_containers::runtime::{Access, Mount as ContainerMount, Mounted};
use windlass_model::Failure;
use windlass_model::plan::{Mount, Sharing};

use super::copy::mount;
use super::secrets;
use super::{CopyOptions, OpContext, copy_selected, unreadable};
use crate::builder::{Session, blocking, io_failure};
use crate::rooted::Root;
use crate::source::{CopySources, Tree};

/// Where the certificate bundle appears: below `/dev`, which is the container's own memory, so that no
/// trace of the mount stays in the layer.
const CERTIFICATES_AT: &str = "/dev/windlass/certificates.crt";
const CERTIFICATE_VARIABLES: [&str; 8] = [
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "GIT_SSL_CAINFO",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
];
const TMPFS_BYTES_DEFAULT: u64 = 256 << 20;

/// Mounts, variables and what keeps them alive.
#[derive(Default)]
pub(super) struct Prepared {
    /// For the container.
    pub(super) mounts: Vec<ContainerMount>,
    /// For the command's environment.
    pub(super) env: Vec<(String, String)>,
    /// Places that the mounts leave behind in the snapshot.
    pub(super) targets: Vec<String>,
    locks: Vec<File>,
    mounted: Vec<Mounted>,
}

/// Prepares the certificate bundle and all mounts of a command.
pub(super) async fn prepare(
    session: &Session,
    context: &OpContext<'_>,
    wanted: &[Mount],
) -> Result<Prepared, Failure> {
    let mut prepared = Prepared::default();
    if let Some(bundle) = &session.certificates {
        prepared.bind(bundle.clone(), CERTIFICATES_AT, true);
        let pair = |name: &str| (name.to_owned(), CERTIFICATES_AT.to_owned());
        prepared.env.extend(CERTIFICATE_VARIABLES.into_iter().map(pair));
    }
    for (n, mount) in wanted.iter().enumerate() {
        match mount {
            Mount::Cache { id, target, sharing } => {
                let (dir, lock) = cache(session, context, id, *sharing).await?;
                prepared.locks.extend(lock);
                prepared.bind_in_layer(dir, target, false);
            }
            Mount::Bind { from_step, path, target, writable } => {
                let scratch = session.scratch().join(format!("{}-bind-{n}", context.id));
                let writable = writable.then_some(scratch);
                prepared.bind_tree(session, from_step, path, target, writable).await?;
            }
            Mount::Secret { name, target, env, mode, required } => {
                let request = &session.request;
                let found = request.variables.iter().find(|v| v.name == *name);
                match found {
                    Some(variable) => {
                        let value = variable.value.expose();
                        prepared.env.extend(env.iter().map(|env| (env.clone(), value.clone())));
                        if let Some(target) = target {
                            let file = secrets::write(&request.deployment, name, value, *mode)?;
                            prepared.bind_in_layer(file, target, true);
                        }
                    }
                    None if *required => return Err(missing_secret(name)),
                    None => {}
                }
            }
            Mount::Tmpfs { target, bytes_max } => {
                let bytes_max = bytes_max.unwrap_or(TMPFS_BYTES_DEFAULT);
                let target = target.clone();
                prepared.targets.push(target.clone());
                prepared.mounts.push(ContainerMount::Tmpfs { target, bytes_max, mode: 0o1777 });
            }
        }
    }
    Ok(prepared)
}

impl Prepared {
    fn bind(&mut self, source: PathBuf, target: &str, read_only: bool) {
        let target = target.to_owned();
        self.mounts.push(ContainerMount::Bind { source, target, read_only });
    }

    fn bind_in_layer(&mut self, source: PathBuf, target: &str, read_only: bool) {
        self.targets.push(target.to_owned());
        self.bind(source, target, read_only);
    }

    async fn bind_tree(
        &mut self,
        session: &Session,
        from_step: &str,
        path: &str,
        target: &str,
        writable: Option<PathBuf>,
    ) -> Result<(), Failure> {
        let base = if from_step.is_empty() {
            session.source.path.clone()
        } else {
            let snapshot = session.step_snapshot(from_step)?;
            let mounted = mount(session, &snapshot, Access::ReadOnly).await?;
            let base = mounted.path().to_owned();
            self.mounted.push(mounted);
            base
        };
        let what = format!("{path:?} cannot be mounted");
        let resolved = Root::open(&base)
            .and_then(|root| root.resolved(Path::new(path)))
            .map_err(|e| unreadable(&what, &e))?;
        let Some(copy) = writable else {
            self.bind_in_layer(resolved, target, true);
            return Ok(());
        };
        let to = copy.clone();
        blocking(move || copy_tree(&resolved, &to)).await?.map_err(|e| unreadable(&what, &e))?;
        self.bind_in_layer(copy, target, false);
        Ok(())
    }
}

/// A copy that may be written to and is thrown away.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent)?;
        }
        return std::fs::copy(from, to).map(drop);
    }
    std::fs::create_dir_all(to)?;
    let tree = Tree::dir(from)?;
    let sources = CopySources {
        sources: &[".".to_owned()],
        exclude: &[],
        dest: "/",
        parents: false,
        without_git: false,
    };
    let selection = tree.select(&sources).map_err(std::io::Error::other)?;
    let options = CopyOptions { owner: None, mode: None, plain_modes: false };
    copy_selected(&tree, &selection, &Root::open(to)?, Path::new("/"), options)
}

/// A cache's directory, with its lock if it is not shared.
async fn cache(
    session: &Session,
    context: &OpContext<'_>,
    id: &str,
    sharing: Sharing,
) -> Result<(PathBuf, Option<File>), Failure> {
    let all = session.config.data_dir.join("cache/mounts").join(session.request.project.as_str());
    let dir = all.join(id);
    make_cache(&all, &dir).map_err(|e| io_failure("A cache cannot be used", &dir, &e))?;
    if sharing == Sharing::Shared {
        return Ok((dir, None));
    }
    let path = all.join(format!("{id}.lock"));
    let mut options = File::options();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| io_failure("A cache cannot be locked", &path, &e))?;
    let mut told = false;
    while rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if sharing == Sharing::Private {
            let own = session.scratch().join(format!("{}-cache-{id}", context.id));
            make_cache(&session.scratch(), &own)
                .map_err(|e| io_failure("A cache cannot be used", &own, &e))?;
            return Ok((own, None));
        }
        session.check_cancelled()?;
        if !told {
            session.log.host(format!("waiting for the cache {id}, which another build uses"));
            told = true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok((dir, Some(file)))
}

/// Whoever runs in the container may write to it; on the host only root gets there.
fn make_cache(outer: &Path, dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    std::fs::set_permissions(outer, std::fs::Permissions::from_mode(0o700))?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o777))
}

fn missing_secret(name: &str) -> Failure {
    Failure::app(
        "build.secret-missing",
        format!("The build needs the variable {name}, which is not set"),
        "the plan mounts it as a secret and says that it is required",
        format!("windlass env set --secret --scope build {name}=..."),
    )
}
