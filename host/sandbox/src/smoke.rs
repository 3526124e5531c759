//! Trying a plugin before it is taken into use: it is compiled, linked, and an instance is begun.

use serde::Serialize;
use wasmtime::Store;
use wasmtime::component::Instance;
use windlass_model::plugin::Stage;

use crate::bindings::types::PluginError;
use crate::call::Ask;
use crate::fault::PluginFault;
use crate::plugin::{Plugin, Ready};
use crate::sandbox::Sandbox;
use crate::state::CallState;

/// Asks nothing: that the instance has begun is the answer.
struct Begun;

impl Ask for Begun {
    type Answer = ();
    type Raw = ();
    // Of no matter: no function of a stage is called.
    const STAGE: Stage = Stage::Custom;
    const FUNCTION: &'static str = "start";

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
    /// Compiles a plugin if that is needed, links it, and begins an instance under the limits of a call.
    ///
    /// # Errors
    /// What a first call would fail with, whatever it asked.
    pub async fn smoke_test(&self, plugin: &Plugin) -> Result<(), PluginFault> {
        self.inner().make(plugin, None, self.images(), &Begun).await.0
    }
}
