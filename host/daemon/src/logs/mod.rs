//! What was printed: the logs of steps and instances, merged by time, filtered, searched and exported.
//!
//! **Invariants.** Memory is flat however large a log is: a batch at a time is read, and a range or the last
//! lines are found by seeking. A place in the merged logs is a text that a client can hand back, and going on
//! from it neither loses nor repeats a line.
//!
//! Reading order: [`query`] (what is wanted), [`merge`] (the lines of many logs in order), [`place`] (where
//! a reader is), [`sources`] (which logs there are), [`follow`] (as they come), [`export`] (as JSON lines and
//! OTLP).

pub(crate) mod export;
pub(crate) mod follow;
pub(crate) mod merge;
pub(crate) mod place;
pub(crate) mod query;
pub(crate) mod sources;

pub(crate) use merge::Merge;
pub(crate) use place::Places;
pub(crate) use query::{LogArgs, Wanted};
