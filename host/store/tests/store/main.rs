//! Tests of the store: the key-value trait on both implementations, the typed records, and what
//! happens when processes and disks fail.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may fail loudly, and says its seed"
)]

mod addresses;
mod backup;
mod conformance;
mod crash;
mod cron;
mod full_disk;
mod history;
mod opening;
mod queue;
mod records;
mod rotation;
mod secrets;
mod settings;
mod support;
mod webhooks;
