//! The end-to-end tests, on real parts: a private containerd, netavark, the proxy, real package
//! managers. They need root, and what `cargo xtask test` installs.
//!
//! Every test has a host of its own and ends with `TestHost::finish`, which is the leak check. Tests
//! set the Host header themselves.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod adversaries;
mod builds;
mod bundled_stages;
mod canary;
mod command_line;
mod containerd_faults;
mod crash;
mod cron;
mod diagnosis;
mod disk;
mod disk_full;
mod dockerfiles;
mod environments;
mod frameworks;
mod fuzz;
mod hosts;
mod images;
mod kills;
mod leaks;
mod logs;
mod mail;
mod migrations;
mod newcomer;
mod observe;
mod outages;
mod plans;
mod plugin_accounts;
mod plugin_faults;
mod plugin_index;
mod plugin_signatures;
mod plugin_sources;
mod plugins;
mod preflight;
mod queue;
mod recovery;
mod refused_requests;
mod refused_sources;
mod releases;
mod routes;
mod running;
mod samples;
mod screenshot;
mod services;
mod settings;
mod shop;
mod sources;
mod stages;
mod webhooks;
