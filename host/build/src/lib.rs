//! Builds: from a plan, which is data, to an artifact, which is committed snapshots.
//!
//! **Invariant: nothing is decided here.** What is run, copied and kept was decided by a builder and
//! stands in the [plan](windlass_model::plan::BuildPlan); this crate carries it out, caches by content,
//! and records what came of it. The name of a step's snapshot *is* its key, so a step that was carried
//! out before is found by looking its name up.
//!
//! Reading order: [`request`] (what goes in and comes out), [`builder`] (one build from end to end),
//! `key`, `source`, `ops`, `tree`; [`artifact`]; [`base`] and [`registry`] (what steps start from);
//! [`disk`] (what all of it takes, and what of it may go).

pub mod archive;
pub mod artifact;
pub mod base;
pub mod builder;
mod content;
pub mod disk;
mod export;
pub mod http;
mod key;
pub mod layer;
mod log;
mod ops;
mod pipe;
mod place;
pub mod registry;
pub mod request;
mod rooted;
mod settled;
mod source;
mod tree;
mod whole;

pub use artifact::{Pruned, read_artifact};
pub use base::{BaseConfig, BaseImage, BasePolicy, Bases, FoundImage};
pub use builder::Builder;
pub use export::Pieces;
pub use layer::{ArchiveFormat, Export, PushedImage, SavedImage};
pub use registry::{Access, Layout, Login, Mirror};
pub use request::{
    BaseSink, BuildConfig, BuildOutcome, BuildRequest, BuildVariable, CacheUse, Earlier, LogSink,
    SourceDigests, StepEvent, StepOutcome, StepSink,
};
