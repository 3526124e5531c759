//! The plugin on an application of a few files.

use windlass_plugin_python::Python;
use windlass_sdk::testing;

pub(crate) type App = testing::App<Python>;

/// A module with an application.
pub(crate) const FLASK: &str = "from flask import Flask\napp = Flask(__name__)\n";
/// What `manage.py` says of the settings.
pub(crate) const MANAGE: &str =
    "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n";

pub(crate) fn app(files: &[(&str, &str)]) -> App {
    App::new(files)
}
