//! The sandbox: engine, caches and limits, and the way from a file to a plugin.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use windlass_model::limits::PluginLimits;
use windlass_model::plugin::Grants;

use crate::answers::Answers;
use crate::call::Observer;
use crate::compiled::{CompileError, Compiled};
use crate::engine::{self, CALLS_RUNNING_MAX, Running};
use crate::fault::{LoadError, LoadProblem};
use crate::globs::Globs;
use crate::images::{ImageLookup, NoImages};
use crate::inspect::{self, Inspected};
use crate::plugin::{Plugin, Ready};
use crate::state::{self, CallState};
use crate::versions::Served;

/// How a sandbox is set up.
#[derive(Clone)]
pub struct SandboxConfig {
    /// Folder for compiled code and answers. It is made, and belongs to this user alone.
    pub cache_dir: PathBuf,
    /// Limits of one call and of compiling.
    pub limits: PluginLimits,
    /// Program that compiles: it hands the arguments behind `compiler_args` to
    /// [`compile_main`](crate::compile_main).
    pub compiler: PathBuf,
    /// Its first arguments, that choose this role.
    pub compiler_args: Vec<String>,
    /// Answers what builders ask about images; without one, registries are unreachable for them.
    pub images: Option<Arc<dyn ImageLookup>>,
}

/// Runs plugins. One for a process is enough; cheap to clone.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
    images: Arc<dyn ImageLookup>,
    observer: Option<Arc<dyn Observer>>,
}

pub(crate) struct Inner {
    pub(crate) running: Running,
    linker: Linker<CallState>,
    compiled: Arc<Compiled>,
    pub(crate) answers: Answers,
    pub(crate) globs: Arc<Globs>,
    pub(crate) limits: Arc<PluginLimits>,
    pub(crate) calls: Semaphore,
    compiling: Semaphore,
    compiler: PathBuf,
    compiler_args: Vec<String>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sandbox")
    }
}

impl Sandbox {
    /// Sets the sandbox up: engine, epochs, cache folders.
    ///
    /// # Errors
    /// The cache folder cannot be made or belongs to someone else; the machine has no code generator.
    pub fn new(config: SandboxConfig) -> io::Result<Self> {
        let running = engine::start(&config.limits).map_err(io::Error::other)?;
        let mut linker = Linker::new(&running.engine);
        state::link(&mut linker).map_err(io::Error::other)?;
        let images = config.images.unwrap_or_else(|| Arc::new(NoImages));
        let inner = Inner {
            compiled: Arc::new(Compiled::open(config.cache_dir.join("code"), &running.engine)?),
            answers: Answers::open(config.cache_dir.join("answers"))?,
            globs: Arc::default(),
            limits: Arc::new(config.limits),
            calls: Semaphore::new(CALLS_RUNNING_MAX as usize),
            compiling: Semaphore::new(1),
            compiler: config.compiler,
            compiler_args: config.compiler_args,
            running,
            linker,
        };
        Ok(Self { inner: Arc::new(inner), images, observer: None })
    }

    /// The same with other answers to what builders ask about images: those of one project.
    #[must_use]
    pub fn with_images(&self, images: Arc<dyn ImageLookup>) -> Self {
        Self { images, ..self.clone() }
    }

    /// The same, which tells somebody of its calls.
    #[must_use]
    pub fn with_observer(&self, observer: Arc<dyn Observer>) -> Self {
        Self { observer: Some(observer), ..self.clone() }
    }

    pub(crate) fn observer(&self) -> Option<&Arc<dyn Observer>> {
        self.observer.as_ref()
    }

    pub(crate) fn images(&self) -> Arc<dyn ImageLookup> {
        Arc::clone(&self.images)
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// The limits in force.
    pub fn limits(&self) -> &PluginLimits {
        &self.inner.limits
    }

    /// Loads one file: reads what it says of itself. Its code waits for the first call or for
    /// [`Sandbox::prepare`], where it was compiled before too: most plugins of a host are not called for days.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(&self, path: &Path, bundled: bool) -> Result<Plugin, LoadError> {
        self.load_granted(path, bundled, &Grants::default())
    }

    /// The same with what it was granted. Only a plugin that came with Windlass is loaded without what it
    /// cannot do without: it is there to be granted it.
    ///
    /// # Errors
    /// See [`LoadError`]; [`LoadError::NotGranted`] names what it needs.
    pub fn load_granted(
        &self,
        path: &Path,
        bundled: bool,
        grants: &Grants,
    ) -> Result<Plugin, LoadError> {
        let bytes = inspect::read(path, self.inner.limits.component_bytes_max)?;
        let Inspected { mut info, uses, .. } = inspect::inspect_bytes(&bytes)?;
        info.bundled = bundled;
        let plugin = Plugin::new(info, path.to_owned(), uses).with_grants(grants.clone());
        let missing = plugin.missing();
        if !missing.is_empty() && !bundled {
            let plugin = plugin.name().to_owned();
            let capabilities = missing.into_iter().cloned().collect();
            return Err(LoadError::NotGranted { plugin, capabilities });
        }
        Ok(plugin)
    }

    /// Loads every `*.wasm` of a folder, in the order of their names; a `*.cwasm` is refused. A file that cannot be loaded
    /// is a problem of its own and keeps no other from loading; a folder that does not exist holds
    /// no plugins.
    pub fn load_dir(&self, folder: &Path, bundled: bool) -> (Vec<Plugin>, Vec<LoadProblem>) {
        let mut plugins = Vec::new();
        let mut problems = Vec::new();
        match wasm_files(folder) {
            Ok(files) => {
                for path in files {
                    match self.load(&path, bundled) {
                        Ok(plugin) => plugins.push(plugin),
                        Err(error) => problems.push(LoadProblem { path, error }),
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => {
                let path = folder.to_owned();
                let error = LoadError::Unreadable { path: path.clone(), source };
                problems.push(LoadProblem { path, error });
            }
        }
        (plugins, problems)
    }

    /// Maps a plugin's code, compiled before if that is needed, so that its first call does not wait for it.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn prepare(&self, plugin: &Plugin) -> Result<(), Arc<LoadError>> {
        self.inner.ready(plugin).await.map(|_| ())
    }
}

impl Inner {
    /// The plugin's code, compiled if that is needed.
    pub(crate) async fn ready<'a>(&self, plugin: &'a Plugin) -> Result<&'a Ready, Arc<LoadError>> {
        let made = plugin.cell().get_or_try_init(|| async {
            match self.make_ready(plugin).await {
                Err(error) if !error.is_final() => Err(Arc::new(error)),
                settled => Ok(settled.map_err(Arc::new)),
            }
        });
        made.await?.as_ref().map_err(Arc::clone)
    }

    async fn make_ready(&self, plugin: &Plugin) -> Result<Ready, LoadError> {
        match self.mapped(plugin).await {
            Ok(Some(ready)) => return Ok(ready),
            // What the runtime does not take may be of other settings: it is made again.
            Ok(None) | Err(LoadError::TooDemanding { .. }) => {}
            Err(error) => return Err(error),
        }
        let one = self.compiling.acquire().await;
        let _one = one.map_err(|_| CompileError::Host { reason: "shutting down".to_owned() })?;
        // Another one may have compiled it meanwhile.
        if let Some(ready) = self.mapped(plugin).await? {
            return Ok(ready);
        }
        let digest = &plugin.info().digest;
        let args = &self.compiler_args;
        self.compiled.compile(&self.compiler, args, plugin.path(), digest, &self.limits).await?;
        self.mapped(plugin).await?.ok_or_else(|| {
            let reason = "it was compiled, but is not there any more".to_owned();
            LoadError::Unusable { reason }
        })
    }

    /// The plugin's code, if it was compiled before.
    async fn mapped(&self, plugin: &Plugin) -> Result<Option<Ready>, LoadError> {
        let (compiled, engine) = (Arc::clone(&self.compiled), self.running.engine.clone());
        let digest = plugin.info().digest.clone();
        // All of the code is read to be verified: of a whole interpreter that takes a while.
        let got = tokio::task::spawn_blocking(move || compiled.get(&engine, &digest)).await;
        let got = got.map_err(|ended| LoadError::Unusable { reason: ended.to_string() })?;
        let Some(component) = got? else { return Ok(None) };
        let linker = self.linker_of(plugin);
        let linker =
            linker.map_err(|error| LoadError::Unusable { reason: format!("{error:#}") })?;
        Ready::new(&linker, &component, plugin).map(Some)
    }

    /// What every plugin is linked to, and what this one asks for. An interface of which nothing is granted is
    /// there for a plugin that does without it, and denies everything.
    fn linker_of(&self, plugin: &Plugin) -> wasmtime::Result<Cow<'_, Linker<CallState>>> {
        let mut linker = Cow::Borrowed(&self.linker);
        for offer in plugin.uses() {
            if let Served::Granted(_, link) = offer.served {
                link(linker.to_mut())?;
            }
        }
        Ok(linker)
    }
}

fn wasm_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm" || extension == "cwasm") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
