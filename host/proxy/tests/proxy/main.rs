//! The proxy as its visitors and its control plane meet it: real sockets, in one process a test.

#![expect(clippy::unwrap_used, reason = "what helpers of a test cannot do fails the test")]

mod control;
mod drain;
mod forwarding;
mod holding;
mod process;
mod statics;
mod support;
