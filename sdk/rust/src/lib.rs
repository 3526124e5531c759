//! Write Windlass plugins in Rust.
//!
//! Implement the trait of each stage that the plugin fills, and export the type with [`export!`].
//! The crate is built for `wasm32-wasip2` as a `cdylib`; add `rlib` and the same code is tested
//! natively with [`testing::App`] and [`testing::Harness`].
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//! ```
//!
//! ```
//! use windlass_sdk::{Context, DetectReport, Detection, Detector, PluginError, Source};
//!
//! struct Hugo;
//!
//! impl Detector for Hugo {
//!     fn detect(_ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
//!         if !source.exists("hugo.toml") {
//!             return Ok(DetectReport::near_miss("hugo", "there is no hugo.toml"));
//!         }
//!         let found = Detection::new("hugo", "Hugo", "static")
//!             .confidence(90)
//!             .toolchain("hugo", "")
//!             .evidence("hugo.toml", "")
//!             .supersedes("static");
//!         Ok(found.into())
//!     }
//! }
//!
//! windlass_sdk::export! {
//!     Hugo: [detector],
//!     name: "hugo",
//!     summary: "Builds Hugo sites",
//! }
//!
//! // The same logic, natively, on a folder:
//! let app = windlass_sdk::testing::App::<Hugo>::new(&[("hugo.toml", "")]);
//! assert_eq!(app.found().id, "hugo");
//! ```
//!
//! **Invariant: a plugin is pure, custom stages aside.** What a stage returns may depend on its arguments and
//! on the source alone; the host caches answers by exactly these. A [`Custom`] stage may also use what was
//! granted to it: [`exec`], [`http`], [`artifacts`], [`cache`], [`annotations`]; [`testing::Harness`] has
//! a mock of each.

#[doc(hidden)]
pub mod bindings;

pub mod annotations;
mod answer;
pub mod artifacts;
pub mod cache;
pub mod config;
pub mod custom;
pub mod exec;
pub mod health;
pub mod http;
pub mod log;
#[cfg(not(target_arch = "wasm32"))]
mod mock;
#[cfg(not(target_arch = "wasm32"))]
mod native;
mod source;
mod stage;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use source::{Entry, Kind, Listing, ReadError, Source};
pub use stage::{Builder, Custom, Detector, Health, Migrator, Rollout};
pub use windlass_sdk_macros::export;

pub use bindings::base::windlass::types::types::{
    Context, Detection, Evidence, HealthCheck, PluginError, Service, Toolchain,
};
pub use bindings::detector::exports::windlass::detector::detector::{
    NearMiss, Report as DetectReport,
};
pub use bindings::migrator::exports::windlass::migrator::migrator::{
    Migration, Verdict as MigrationVerdict,
};

/// Names and values, in order.
pub type KeyValues = Vec<(String, String)>;

pub mod plan {
    //! What a [`Builder`](crate::Builder) returns: steps, outputs, processes.
    pub use crate::bindings::builder::exports::windlass::builder::builder::{
        Artifact, Base, BindMount, BuildPlan, CacheMount, CopyFiles as Copy, Download, Extract,
        Fetch, ImageOutput, InlineFile, MakeDir, Mount, Op, Origin, Output, Place, Placed, Process,
        ProcessKind, Run, RunConfig, SecretMount, Sharing, StaticOutput, Step, TmpfsMount,
        WriteFile,
    };
}

pub mod rollout {
    //! What a [`Rollout`](crate::Rollout) sees and answers.
    pub use crate::bindings::rollout::exports::windlass::rollout::rollout::{
        Decision, Sample, State,
    };
}

pub mod images {
    //! What a base image brings.
    pub use crate::bindings::base::windlass::images::images::{ImageConfig, ImageError};

    /// The configuration of an image, which the host looks up and pins.
    ///
    /// # Errors
    /// As the contract says; natively [`ImageError::NotFound`] for what the harness was not given.
    pub fn config(reference: &str, platform: &str) -> Result<ImageConfig, ImageError> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::base::windlass::images::images::config(reference, platform);
        #[cfg(not(target_arch = "wasm32"))]
        {
            let _ = platform;
            crate::native::image(reference)
        }
    }
}
