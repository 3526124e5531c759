//! What is mounted while a command runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_containers::runtime::{Access, Mount as ContainerMount, Mounted};
use windlass_model::Failure;
use windlass_model::plan::{Mount, Sharing};

use super::caches::overlay::Changes;
use super::caches::{self, Cache, Noting};
use super::copy::mount;
use super::secrets;
use super::{Allowance, CopyOptions, OpContext, copy_selected, unreadable};
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
    /// For the command's environment, beneath all others.
    pub(super) env: Vec<(String, String)>,
    /// The same, above all others: secrets that it asks for by name.
    pub(super) secret_env: Vec<(String, String)>,
    /// Places that the mounts leave behind in the snapshot.
    pub(super) targets: Vec<String>,
    caches: BTreeMap<String, UsedCache>,
    /// Folders that it may write to and that are thrown away.
    copies: Vec<PathBuf>,
    mounted: Vec<Mounted>,
}

/// Folders whose growth counts as written by a command.
pub(super) struct Written {
    /// It alone writes to these: changes to caches, caches that are its own meanwhile, and copies that are
    /// thrown away.
    pub(super) own: Vec<PathBuf>,
    /// Shared caches: other commands and other builds write to them as well.
    pub(super) shared: Vec<PathBuf>,
}

/// A cache that a command uses, and where its changes lie when they lie apart.
struct UsedCache {
    cache: Cache,
    changes: Option<(Changes, Noting)>,
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
    prepared.caches = open_caches(session, context, wanted).await?;
    for (n, mount) in wanted.iter().enumerate() {
        match mount {
            Mount::Cache { id, target, .. } => prepared.cache(id, target),
            Mount::Bind { from_step, path, target, writable } => {
                let scratch = session.scratch().join(format!("{}-bind-{n}", context.id));
                let writable = writable.then(|| (scratch, Arc::clone(&context.allowance)));
                prepared.bind_tree(session, from_step, path, target, writable).await?;
            }
            Mount::Secret { name, target, env, mode, owner, required } => {
                let request = &session.request;
                let found = request.variables.iter().find(|v| v.name == *name);
                match found {
                    Some(variable) => {
                        let value = variable.value.expose();
                        let pairs = env.iter().map(|env| (env.clone(), value.clone()));
                        prepared.secret_env.extend(pairs);
                        if let Some(target) = target {
                            let (id, owner) = (&request.deployment, owner.unwrap_or_default());
                            let file = secrets::write(id, name, value, *mode, owner)?;
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

    fn cache(&mut self, id: &str, target: &str) {
        let Some(used) = self.caches.get(id) else { return };
        let changes = used.changes.as_ref().map(|(changes, _)| changes.clone());
        let Some(Changes { dir, upper, work }) = changes else {
            let dir = used.cache.dir.clone();
            return self.bind_in_layer(dir, target, false);
        };
        self.targets.push(target.to_owned());
        let target = target.to_owned();
        self.mounts.push(ContainerMount::Overlay { lower: dir, upper, work, target });
    }

    /// Folders whose growth counts as written.
    pub(super) fn written(&self) -> Written {
        let mut written = Written { own: self.copies.clone(), shared: Vec::new() };
        for UsedCache { cache, changes } in self.caches.values() {
            match changes {
                Some((changes, _)) => written.own.push(changes.upper.clone()),
                None if cache.sharing == Sharing::Shared => written.shared.push(cache.dir.clone()),
                None => written.own.push(cache.dir.clone()),
            }
        }
        written
    }

    /// The command has ended: what it changed in caches is taken over if it succeeded, and thrown away if
    /// not. Of caches that it wrote to directly it is said that this could not be done.
    pub(super) async fn settle(self, session: &Session, succeeded: bool) -> Result<(), Failure> {
        for (id, UsedCache { cache, changes }) in self.caches {
            let failed = |e: std::io::Error| {
                io_failure("What a command left in a cache cannot be kept", &cache.dir, &e)
            };
            match changes {
                Some((changes, noting)) if succeeded => {
                    noting.await.map_err(std::io::Error::other).flatten().map_err(failed)?;
                    blocking(move || changes.take_over()).await?.map_err(failed)?;
                }
                Some(_) => {
                    session.log.host(format!("what it wrote into the cache {id} is thrown away"));
                }
                None if !succeeded && !cache.is_own => session.log.host(format!(
                    "what it wrote into the cache {id} stays: it is written to directly"
                )),
                None => {}
            }
        }
        Ok(())
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
        writable: Option<(PathBuf, Arc<Allowance>)>,
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
        let Some((copy, allowance)) = writable else {
            self.bind_in_layer(resolved, target, true);
            return Ok(());
        };
        let to = copy.clone();
        let copied = blocking(move || copy_tree(&resolved, &to, &allowance)).await?;
        self.bind_in_layer(copied.map_err(|e| unreadable(&what, &e))?, target, false);
        self.copies.push(copy);
        Ok(())
    }
}

/// A copy that may be written to and is thrown away, in a folder that is made for it: where it is.
fn copy_tree(from: &Path, to: &Path, allowance: &Arc<Allowance>) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(to)?;
    let root = Root::open(to)?.within(allowance);
    if let (false, Some(parent), Some(name)) = (from.is_dir(), from.parent(), from.file_name()) {
        let (parent, name) = (Root::open(parent)?, Path::new(name));
        let (entry, mut file) = (parent.entry(name)?, parent.open_file(name)?);
        root.write_file(name, &mut file, entry.mode, entry.owner)?;
        return Ok(to.join(name));
    }
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
    copy_selected(&tree, &selection, &root, Path::new("/"), options)?;
    Ok(to.to_owned())
}

/// The caches of a command, each opened once; in the order of their names, so that two builds never wait
/// for each other.
async fn open_caches(
    session: &Session,
    context: &OpContext<'_>,
    wanted: &[Mount],
) -> Result<BTreeMap<String, UsedCache>, Failure> {
    let mut ids: BTreeMap<&str, Sharing> = BTreeMap::new();
    for mount in wanted {
        if let Mount::Cache { id, sharing, .. } = mount {
            ids.entry(id).or_insert(*sharing);
        }
    }
    let mut opened = BTreeMap::new();
    for (id, sharing) in ids {
        session.note_cache();
        let cache = caches::open(session, context, id, sharing).await?;
        // At two places of one command it must be the same, which two overlays would not be.
        let places = wanted.iter().filter(|m| matches!(m, Mount::Cache { id: of, .. } if of == id));
        let is_apart = !cache.is_own && cache.sharing != Sharing::Shared && places.count() == 1;
        let changes = if is_apart { changes(session, context, &cache)? } else { None };
        // The disk is waited for when the command has ended.
        let unusable = |e| io_failure("A cache cannot be used", &cache.dir, &e);
        let noting =
            changes.is_some().then(|| cache.note_unsynced()).transpose().map_err(unusable)?;
        let changes = changes.zip(noting);
        opened.insert(id.to_owned(), UsedCache { cache, changes });
    }
    Ok(opened)
}

fn changes(
    session: &Session,
    context: &OpContext<'_>,
    cache: &Cache,
) -> Result<Option<Changes>, Failure> {
    let all = caches::changes_dir(&session.config.data_dir, &session.request.deployment);
    let scratch = all.join(format!("{}-{}", context.id, cache.id));
    let made = Changes::prepare(&cache.dir, &scratch);
    made.map_err(|e| io_failure("A cache cannot be used", &cache.dir, &e))
}

fn missing_secret(name: &str) -> Failure {
    Failure::app(
        "build.secret-missing",
        format!("The build needs the variable {name}, which is not set"),
        "the plan mounts it as a secret and says that it is required",
        format!("windlass env set --secret --scope build {name}=..."),
    )
}
