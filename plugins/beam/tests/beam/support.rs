//! The plugin on an application of a few files.

use windlass_plugin_beam::Beam;
use windlass_sdk::testing;

pub(crate) type App = testing::App<Beam>;

pub(crate) fn app(files: &[(&str, &str)]) -> App {
    App::new(files)
}
