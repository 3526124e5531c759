//! The host's side of the contract, generated from its newest release below `wit/`: one world with every stage
//! and every interface in it. The world itself is never instantiated; each stage is looked up by its own interface.

#[expect(missing_docs, reason = "what is generated is described in wit/")]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/1.0.0",
        inline: "
            package windlass:host;
            world all {
                include windlass:plugin/base@1.0.0;
                import windlass:exec/exec@1.0.0;
                import windlass:http/http@1.0.0;
                import windlass:artifacts/artifacts@1.0.0;
                import windlass:cache/cache@1.0.0;
                import windlass:annotations/annotations@1.0.0;
                export windlass:detector/detector@1.0.0;
                export windlass:builder/builder@1.0.0;
                export windlass:migrator/migrator@1.0.0;
                export windlass:health/health@1.0.0;
                export windlass:rollout/rollout@1.0.0;
                export windlass:custom/custom@1.0.0;
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
    rollout::rollout,
};
pub use generated::windlass::{
    annotations::annotations, artifacts::artifacts, cache::cache, exec::exec, http::http,
};
pub(crate) use generated::windlass::{images::images, log::log, source::source, types::types};
