//! What serves versions of interfaces that are not the newest any more: a module for each, named by a row of
//! [`versions`](crate::versions). It has bindings of the older version, and turns their records into those of the newest.
//!
//! There is one version of each interface today, so these two are of versions that never were. Only tests have them, and
//! their rows.

pub(crate) mod detector_0_9_0;
pub(crate) mod log_0_9_0;
