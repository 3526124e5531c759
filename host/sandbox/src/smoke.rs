//! Trying a plugin before it is taken into use: it is compiled, linked, and an instance is begun.

use std::sync::Arc;

use serde::Serialize;
use wasmtime::Store;
use wasmtime::component::Instance;
use windlass_model::limits::PluginLimits;
use windlass_model::plugin::Stage;

use crate::bindings::types::PluginError;
use crate::call::Ask;
use crate::fault::PluginFault;
use crate::plugin::{Plugin, Ready};
use crate::sandbox::Sandbox;
use crate::state::CallState;

/// Asks nothing: that the instance has begun is the answer.
struct Begun(Arc<PluginLimits>);

impl Ask for Begun {
    type Answer = ();
    type Raw = ();
    // Of no matter: no function of a stage is called.
    const STAGE: Stage = Stage::Custom;
    const FUNCTION: &'static str = "start";

    fn limits(&self) -> Option<Arc<PluginLimits>> {
        Some(Arc::clone(&self.0))
    }

    fn arguments(&self) -> Option<impl Serialize> {
        None::<()>
    }

    async fn ask(
        &self,
        _store: &mut Store<CallState>,
        _ready: &Ready,
        _instance: &Instance,
    ) -> wasmtime::Result<Result<(), PluginError>> {
        Ok(Ok(()))
    }

    fn accept(&self, (): ()) -> Result<(), String> {
        Ok(())
    }
}

impl Sandbox {
    /// Compiles a plugin if that is needed, links it, and begins an instance under the limits of a call: for one
    /// of custom stages alone, with what it was granted.
    ///
    /// # Errors
    /// What a first call would fail with, whatever it asked.
    pub async fn smoke_test(&self, plugin: &Plugin) -> Result<(), PluginFault> {
        let inner = self.inner();
        // What was granted is for calls of custom stages alone.
        let is_custom = plugin.info().stages.iter().all(|stage| *stage == Stage::Custom);
        let limits = match is_custom {
            true => Arc::new(plugin.effective().limits(&inner.limits)),
            false => Arc::clone(&inner.limits),
        };
        inner.make(plugin, None, self.images(), &Begun(limits)).await.0
    }
}
