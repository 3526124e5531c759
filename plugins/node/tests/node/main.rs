//! The Node.js plugin on folders, natively.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not there")]

mod building;
mod detect;
mod frameworks;
mod monorepos;
mod native;
mod plan;
mod pm2;
mod ports;
mod starting;
mod support;
mod versions;
