//! The host's side of the contract, generated from `wit/`: one world with every pure stage in it.
//! The world itself is never instantiated; each stage is looked up by its own interface.

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package windlass:host;
            world all {
                include windlass:plugin/base@0.1.0;
                export windlass:detector/detector@0.1.0;
                export windlass:builder/builder@0.1.0;
                export windlass:migrator/migrator@0.1.0;
                export windlass:health/health@0.1.0;
            }
        ",
        world: "windlass:host/all",
        imports: {
            "windlass:images/images.config": async | trappable,
            default: trappable,
        },
        exports: { default: async },
    });
}

pub(crate) use generated::exports::windlass::{
    builder::builder, detector::detector, health::health, migrator::migrator,
};
pub(crate) use generated::windlass::{images::images, log::log, source::source, types::types};
