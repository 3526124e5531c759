//! The control protocol: how the control plane tells the data plane what to serve.
//!
//! JSON lines over a unix socket that only its owner may open. A connection starts with one
//! [`protocol::Hello`] and its answer; then each [`protocol::Envelope`] gets one
//! [`protocol::Reply`], in order.
//!
//! **Invariant: a publication is acknowledged only when the table file is synced and the table is
//! swapped.** Every request can be repeated, so a client that lost its connection just asks again.

pub mod client;
pub mod protocol;
pub(crate) mod server;
