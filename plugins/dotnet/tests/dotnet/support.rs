//! The plugin on an application of a few files.

use windlass_plugin_dotnet::Dotnet;
use windlass_sdk::testing;

pub(crate) type App = testing::App<Dotnet>;

pub(crate) fn app(files: &[(&str, &str)]) -> App {
    App::new(files)
}
