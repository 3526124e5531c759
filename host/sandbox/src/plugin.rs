//! A plugin that is known: what it says of itself, and, once it is needed, its code.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::OnceCell;
use wasmtime::component::{Component, InstancePre};
use windlass_model::plugin::{PluginInfo, Stage};

use crate::bindings::{builder, detector, health, migrator};
use crate::fault::LoadError;
use crate::state::CallState;

/// A loaded plugin. Cheap to clone. Its code is compiled when it is first called, unless it was
/// compiled before.
#[derive(Clone)]
pub struct Plugin(Arc<Known>);

struct Known {
    info: PluginInfo,
    path: PathBuf,
    /// A result, because compiling again what failed for good costs much and changes nothing.
    ready: OnceCell<Result<Ready, Arc<LoadError>>>,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let info = &self.0.info;
        write!(
            f,
            "Plugin({} {}, {})",
            info.manifest.name,
            info.manifest.version,
            info.digest.short()
        )
    }
}

impl Plugin {
    pub(crate) fn new(info: PluginInfo, path: PathBuf) -> Self {
        Self(Arc::new(Known { info, path, ready: OnceCell::new() }))
    }

    /// What it says of itself.
    pub fn info(&self) -> &PluginInfo {
        &self.0.info
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.info.manifest.name
    }

    /// Whether it fills a stage.
    pub fn fills(&self, stage: Stage) -> bool {
        self.0.info.stages.contains(&stage)
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether its code is there, so that a call starts at once.
    pub fn is_ready(&self) -> bool {
        matches!(self.0.ready.get(), Some(Ok(_)))
    }

    pub(crate) fn cell(&self) -> &OnceCell<Result<Ready, Arc<LoadError>>> {
        &self.0.ready
    }
}

/// Code with its imports linked: instantiating it is all that is left to do.
pub(crate) struct Ready {
    pub(crate) instance: InstancePre<CallState>,
    pub(crate) detector: Option<detector::GuestIndices>,
    pub(crate) builder: Option<builder::GuestIndices>,
    pub(crate) migrator: Option<migrator::GuestIndices>,
    pub(crate) health: Option<health::GuestIndices>,
}

impl Ready {
    /// Links a component, and checks the type of every stage that it says it fills.
    pub(crate) fn new(
        linker: &wasmtime::component::Linker<CallState>,
        component: &Component,
        stages: &[Stage],
    ) -> Result<Self, LoadError> {
        let mismatch =
            |error: wasmtime::Error| LoadError::Mismatch { reason: format!("{error:#}") };
        let pre = linker.instantiate_pre(component).map_err(mismatch)?;
        let fills = |stage| stages.contains(&stage);
        let detector = fills(Stage::Detector).then(|| detector::GuestIndices::new(&pre));
        let builder = fills(Stage::Builder).then(|| builder::GuestIndices::new(&pre));
        let migrator = fills(Stage::Migrator).then(|| migrator::GuestIndices::new(&pre));
        let health = fills(Stage::Health).then(|| health::GuestIndices::new(&pre));
        Ok(Self {
            detector: detector.transpose().map_err(mismatch)?,
            builder: builder.transpose().map_err(mismatch)?,
            migrator: migrator.transpose().map_err(mismatch)?,
            health: health.transpose().map_err(mismatch)?,
            instance: pre,
        })
    }
}
