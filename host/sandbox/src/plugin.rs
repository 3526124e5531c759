//! A plugin that is known: what it says of itself, what it may do, and, once it is needed, its code.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::OnceCell;
use wasmtime::component::{Component, InstancePre};
use windlass_model::plan::Context;
use windlass_model::plugin::{self, Capability, Effective, Grants, PluginInfo, Stage};

use crate::exports::Exports;
use crate::fault::LoadError;
use crate::state::CallState;
use crate::versions::{Offer, Served};

/// A loaded plugin. Cheap to clone. Its code is mapped when it is first called, and compiled before that unless it
/// was.
#[derive(Clone)]
pub struct Plugin {
    known: Arc<Known>,
    allowed: Arc<Allowed>,
    options: Option<Arc<Map<String, Value>>>,
}

#[derive(Default)]
struct Allowed {
    grants: Grants,
    effective: Effective,
}

struct Known {
    info: PluginInfo,
    path: PathBuf,
    /// The versions of the contract's interfaces that serve it.
    uses: Vec<&'static Offer>,
    /// A result, because compiling again what failed for good costs much and changes nothing.
    ready: OnceCell<Result<Ready, Arc<LoadError>>>,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let info = &self.known.info;
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
    pub(crate) fn new(info: PluginInfo, path: PathBuf, uses: Vec<&'static Offer>) -> Self {
        let known = Known { info, path, uses, ready: OnceCell::new() };
        Self { known: Arc::new(known), allowed: Arc::default(), options: None }
    }

    /// The same, granted this and nothing else.
    #[must_use]
    pub fn with_grants(&self, grants: Grants) -> Self {
        let effective = plugin::effective(&self.info().manifest.capabilities, &grants);
        Self { allowed: Arc::new(Allowed { grants, effective }), ..self.clone() }
    }

    /// The same with options: every call finds them in `options-json`.
    #[must_use]
    pub fn with_options(&self, options: Map<String, Value>) -> Self {
        let options = Some(options).filter(|options| !options.is_empty()).map(Arc::new);
        Self { options, ..self.clone() }
    }

    /// Its options; empty when there are none.
    pub fn options(&self) -> Cow<'_, Map<String, Value>> {
        self.options.as_deref().map_or_else(|| Cow::Owned(Map::new()), Cow::Borrowed)
    }

    /// What it was granted.
    pub fn grants(&self) -> &Grants {
        &self.allowed.grants
    }

    /// What it may do: of what it asks for, what was granted.
    pub fn effective(&self) -> &Effective {
        &self.allowed.effective
    }

    /// What it cannot do without and was not granted. Only plugins that came with Windlass are loaded in spite
    /// of that.
    pub fn missing(&self) -> Vec<&Capability> {
        plugin::missing(&self.info().manifest.capabilities, &self.allowed.grants)
    }

    pub(crate) fn uses(&self) -> &[&'static Offer] {
        &self.known.uses
    }

    /// The version of the interface by which it fills a stage.
    pub(crate) fn version_of(&self, stage: Stage) -> Option<&'static str> {
        self.uses().iter().find_map(|offer| match offer.served {
            Served::Stage(of, _) if of == stage => Some(offer.version),
            _ => None,
        })
    }

    /// What a call of it is told: the context, with its options.
    pub(crate) fn told<'a>(&self, context: &'a Context) -> Cow<'a, Context> {
        let Some(options) = &self.options else {
            return Cow::Borrowed(context);
        };
        let options_json = Value::Object(options.as_ref().clone()).to_string();
        Cow::Owned(Context { options_json, ..context.clone() })
    }

    /// What it says of itself.
    pub fn info(&self) -> &PluginInfo {
        &self.known.info
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.known.info.manifest.name
    }

    /// Whether it fills a stage.
    pub fn fills(&self, stage: Stage) -> bool {
        self.known.info.stages.contains(&stage)
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.known.path
    }

    /// Whether its code is there, so that a call starts at once.
    pub fn is_ready(&self) -> bool {
        matches!(self.known.ready.get(), Some(Ok(_)))
    }

    pub(crate) fn cell(&self) -> &OnceCell<Result<Ready, Arc<LoadError>>> {
        &self.known.ready
    }
}

/// Code with its imports linked: instantiating it is all that is left to do.
pub(crate) struct Ready {
    pub(crate) instance: InstancePre<CallState>,
    pub(crate) exports: Exports,
}

impl Ready {
    /// Links a component, and finds the functions of every stage that it says it fills.
    pub(crate) fn new(
        linker: &wasmtime::component::Linker<CallState>,
        component: &Component,
        plugin: &Plugin,
    ) -> Result<Self, LoadError> {
        let mismatch = |error: wasmtime::Error| LoadError::mismatch(&plugin.info().stages, &error);
        let instance = linker.instantiate_pre(component).map_err(mismatch)?;
        let mut exports = Exports::default();
        for offer in plugin.uses() {
            if let Served::Stage(_, find) = offer.served {
                find(&instance, &mut exports).map_err(mismatch)?;
            }
        }
        Ok(Self { instance, exports })
    }
}
