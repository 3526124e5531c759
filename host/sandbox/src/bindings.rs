//! The host's side of the contract, generated from `wit/`: one world with every stage and every interface in
//! it. The world itself is never instantiated; each stage is looked up by its own interface.

#[expect(missing_docs, reason = "what is generated is described in wit/")]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package windlass:host;
            world all {
                include windlass:plugin/base@0.1.0;
                import windlass:exec/exec@0.1.0;
                import windlass:http/http@0.1.0;
                import windlass:artifacts/artifacts@0.1.0;
                import windlass:cache/cache@0.1.0;
                import windlass:annotations/annotations@0.1.0;
                export windlass:detector/detector@0.1.0;
                export windlass:builder/builder@0.1.0;
                export windlass:migrator/migrator@0.1.0;
                export windlass:health/health@0.1.0;
                export windlass:custom/custom@0.1.0;
            }
        ",
        world: "windlass:host/all",
        imports: {
            "windlass:images/images.config": async | trappable,
            "windlass:exec/exec": async | trappable,
            "windlass:http/http": async | trappable,
            "windlass:artifacts/artifacts": async | trappable,
            "windlass:cache/cache": async | trappable,
            "windlass:annotations/annotations": async | trappable,
            default: trappable,
        },
        with: { "windlass:exec/exec.process": crate::granted::exec::Running },
        exports: { default: async },
    });
}

pub(crate) use generated::exports::windlass::{
    builder::builder, custom::custom, detector::detector, health::health, migrator::migrator,
};
pub use generated::windlass::{
    annotations::annotations, artifacts::artifacts, cache::cache, exec::exec, http::http,
};
pub(crate) use generated::windlass::{images::images, log::log, source::source, types::types};
