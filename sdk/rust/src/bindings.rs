//! The contract's types and calls, generated from its newest release below `wit/`.
//!
//! One world per stage, so that a component exports exactly the stages it names; the types that the
//! stages share are generated once, in [`base`], and mapped into the others.

/// Generates one stage's world on top of [`base`].
macro_rules! stage {
    ($module:ident, $world:literal, $macro_name:literal, $bindings:literal) => {
        pub mod $module {
            //! Generated from the stage's world.
            wit_bindgen::generate!({
                path: "../../wit/1.0.0",
                world: $world,
                with: {
                    "windlass:types/types@1.0.0": crate::bindings::base::windlass::types::types,
                    "windlass:log/log@1.0.0": crate::bindings::base::windlass::log::log,
                    "windlass:source/source@1.0.0": crate::bindings::base::windlass::source::source,
                    "windlass:images/images@1.0.0": crate::bindings::base::windlass::images::images,
                },
                additional_derives: [PartialEq, Eq, serde::Serialize, serde::Deserialize],
                pub_export_macro: true,
                export_macro_name: $macro_name,
                default_bindings_module: $bindings,
                generate_all,
            });
        }
    };
}

pub mod base {
    //! What every plugin may use: types, log, source, images.
    wit_bindgen::generate!({
        path: "../../wit/1.0.0",
        world: "base",
        additional_derives: [PartialEq, Eq, serde::Serialize, serde::Deserialize],
        generate_all,
    });
}

stage!(detector, "detector", "export_detector", "windlass_sdk::bindings::detector");
stage!(builder, "builder", "export_builder", "windlass_sdk::bindings::builder");
stage!(migrator, "migrator", "export_migrator", "windlass_sdk::bindings::migrator");
stage!(health, "health", "export_health", "windlass_sdk::bindings::health");
stage!(rollout, "rollout", "export_rollout", "windlass_sdk::bindings::rollout");
stage!(custom, "custom", "export_custom", "windlass_sdk::bindings::custom");
