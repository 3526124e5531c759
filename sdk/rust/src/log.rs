//! Lines for the deployment's log. The host bounds them, and counts what it drops.

use crate::bindings::base::windlass::log::log;

pub use log::Level;

/// Writes a line with fields.
pub fn write(level: Level, message: &str, fields: &[(String, String)]) {
    #[cfg(target_arch = "wasm32")]
    log::write(level, message, fields);
    #[cfg(not(target_arch = "wasm32"))]
    crate::native::log(level, message, fields);
}

/// For the author of the plugin.
pub fn debug(message: impl AsRef<str>) {
    write(Level::Debug, message.as_ref(), &[]);
}

/// For whoever deploys.
pub fn info(message: impl AsRef<str>) {
    write(Level::Info, message.as_ref(), &[]);
}

/// Something to be looked at that stops nothing.
pub fn warn(message: impl AsRef<str>) {
    write(Level::Warn, message.as_ref(), &[]);
}

/// What made the call fail.
pub fn error(message: impl AsRef<str>) {
    write(Level::Error, message.as_ref(), &[]);
}
