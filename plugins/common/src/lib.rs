//! What the bundled plugins share: manifests and versions read the same way everywhere, command lines
//! turned into processes that get their signals, and the pieces that plans have in common.
//!
//! **Invariant: decisions in plain functions.** What can be decided from text is a function of text;
//! only [`package_json::PackageJson::read`] and its like touch the source.

pub mod assets;
pub mod command;
pub mod compiled;
pub mod compose;
pub mod composer;
pub mod conda;
pub mod forced;
pub mod glob;
pub mod jsonc;
pub mod layout;
pub mod lines;
pub mod migrations;
pub mod node_version;
pub mod others;
pub mod outline;
pub mod package_json;
pub mod package_manager;
pub mod paths;
pub mod pins;
pub mod pnpm;
pub mod ports;
pub mod procfile;
pub mod programs;
pub mod python;
pub mod queues;
mod restarting;
#[cfg(not(target_arch = "wasm32"))]
pub mod samples;
pub mod scripts;
pub mod settings;
pub mod spelling;
pub mod version;
pub mod wanted;
pub mod workspace;
pub mod xml;
pub mod yaml;
