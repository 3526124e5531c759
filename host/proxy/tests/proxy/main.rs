//! The proxy as its visitors and its control plane meet it: real sockets, in one process a test.

mod control;
mod drain;
mod forwarding;
mod holding;
mod statics;
mod support;
