//! Detectors that were told the platform alone, and answered with the id of what they recognised or with a sentence.

wasmtime::component::bindgen!({
    inline: "
        package windlass:detector@0.9.0;
        interface detector { detect: func(platform: string) -> result<string, string>; }
        world older { export detector; }
    ",
    world: "older",
    exports: { default: async },
});

use async_trait::async_trait;
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use self::exports::windlass::detector::detector as older;
use crate::bindings::types::PluginError;
use crate::bindings::{detector as newest, types};
use crate::exports::{Asked, Detector, Exports, typed};
use crate::state::CallState;

/// Notes where a component has them.
pub(crate) fn find(pre: &InstancePre<CallState>, exports: &mut Exports) -> wasmtime::Result<()> {
    exports.detector = Some(Box::new(older::GuestIndices::new(pre)?));
    Ok(())
}

#[async_trait]
impl Detector for older::GuestIndices {
    async fn detect(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        context: &types::Context,
    ) -> Asked<newest::Report> {
        let guest = typed(self.load(&mut *store, instance))?;
        let answer = guest.call_detect(store, &context.platform).await?;
        Ok(answer.map(report).map_err(error))
    }
}

fn report(id: String) -> newest::Report {
    let detection = types::Detection {
        name: id.clone(),
        id,
        ecosystem: String::new(),
        toolchains: Vec::new(),
        // It could not say how sure it is.
        confidence: 50,
        evidence: Vec::new(),
        supersedes: Vec::new(),
        app_dir: None,
        notes_json: "{}".to_owned(),
        refusal: None,
    };
    newest::Report { detections: vec![detection], near_misses: Vec::new() }
}

/// It had no codes.
fn error(message: String) -> PluginError {
    PluginError { code: "detector.refused".to_owned(), message, hint: None, retryable: false }
}
