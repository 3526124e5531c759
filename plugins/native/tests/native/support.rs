//! The plugin on an application of a few files.

use windlass_plugin_native::Native;
use windlass_sdk::testing;

pub(crate) type App = testing::App<Native>;

pub(crate) fn app(files: &[(&str, &str)]) -> App {
    App::new(files)
}
