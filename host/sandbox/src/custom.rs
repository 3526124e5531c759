//! The call of a custom stage. It is not pure: its answer is never kept, its clock is the real one, and it may
//! hold grants.

use std::sync::Arc;

use serde::Serialize;
use wasmtime::Store;
use wasmtime::component::Instance;
use windlass_model::limits::PluginLimits;
use windlass_model::plan::{Context, Refusal};
use windlass_model::plugin::{Kind, Stage};
use windlass_model::stage::{Facts, Input, Outcome};

use crate::bindings::custom;
use crate::bindings::types::PluginError;
use crate::call::{Ask, Call};
use crate::convert;
use crate::exports::exported;
use crate::granted::Effects;
use crate::plugin::{Plugin, Ready};
use crate::sandbox::Sandbox;
use crate::source::Source;
use crate::state::CallState;

/// What a custom stage is told.
#[derive(Debug, Clone, Copy)]
pub struct CustomCall<'a> {
    /// Which of the plugin's stages.
    pub stage: &'a str,
    /// The application.
    pub context: &'a Context,
    /// The deployment.
    pub facts: &'a Facts,
    /// What the stages that it needs have answered.
    pub inputs: &'a [Input],
}

impl Sandbox {
    /// Runs a custom stage. Of the source it sees what it was granted; without a source, or without that
    /// grant, there is none. Dropping the future ends the call.
    pub async fn custom(
        &self,
        plugin: &Plugin,
        source: Option<&Source>,
        call: CustomCall<'_>,
        effects: Arc<dyn Effects>,
    ) -> Call<Outcome> {
        let allowed = plugin.effective();
        let seen = source.filter(|_| allowed.has(Kind::Source));
        // What was granted was checked to read; a glob that does not shows nothing.
        let seen = seen.and_then(|source| source.only(&allowed.source_paths()).ok());
        let context = plugin.told(call.context);
        let call = CustomCall { context: &context, ..call };
        let limits = Arc::new(allowed.limits(self.limits()));
        self.call(plugin, seen.as_ref(), Custom { call, effects, limits }).await
    }
}

struct Custom<'a> {
    call: CustomCall<'a>,
    effects: Arc<dyn Effects>,
    limits: Arc<PluginLimits>,
}

impl Ask for Custom<'_> {
    type Answer = Outcome;
    type Raw = custom::Outcome;
    const STAGE: Stage = Stage::Custom;
    const FUNCTION: &'static str = "run";

    fn effects(&self) -> Option<Arc<dyn Effects>> {
        Some(Arc::clone(&self.effects))
    }

    fn limits(&self) -> Option<Arc<PluginLimits>> {
        Some(Arc::clone(&self.limits))
    }

    fn arguments(&self) -> Option<impl Serialize> {
        None::<()>
    }

    async fn ask(
        &self,
        store: &mut Store<CallState>,
        ready: &Ready,
        instance: &Instance,
    ) -> wasmtime::Result<Result<Self::Raw, PluginError>> {
        let guest = exported(ready.exports.custom.as_deref())?;
        let CustomCall { stage, context, facts, inputs } = self.call;
        let context = convert::context(context);
        let facts = convert::stage_facts(facts);
        let inputs: Vec<_> = inputs.iter().map(convert::stage_input).collect();
        guest.run(store, instance, stage, &context, &facts, &inputs).await
    }

    fn accept(&self, raw: Self::Raw) -> Result<Outcome, String> {
        convert::outcome(raw, self.call.facts)
    }

    fn unusable(&self, answer: &Outcome) -> Option<Refusal> {
        convert::unusable(answer, self.call.facts)
    }
}
