//! Detection and planning of a folder on this machine, and what authors of plugins need: no daemon, no root, no
//! network.
//!
//! **Invariant: what is said here is what a deployment would do.** The plugins, the rule that chooses
//! ([`choose`]) and the settings are the same ones that the pipeline uses, and plugins see the folder
//! as an upload would carry it ([`tree`]). A component under test ([`author`]) is asked in the same way.

pub mod ask;
pub mod author;
pub mod choose;
pub mod local;
pub mod tree;

pub use ask::{Asking, Detected, PORT_DEFAULT, web_port};
pub use choose::{Chosen, choose, require_builder};
pub use local::{Config, Request, default_cache_dir, detect, plan};
