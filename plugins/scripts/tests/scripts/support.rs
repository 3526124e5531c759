//! The plugin on an application of a few files.

use windlass_plugin_scripts::Scripts;
use windlass_sdk::testing;

pub(crate) type App = testing::App<Scripts>;

pub(crate) fn app(files: &[(&str, &str)]) -> App {
    App::new(files)
}
