//! What is known of the application before anything is decided.

use windlass_plugin_common::layout::Declared;
use windlass_plugin_common::settings;
use windlass_sdk::config::Settings;
use windlass_sdk::{Context, PluginError, Source, Toolchain};

const FILES: [&str; 11] = [
    "Procfile",
    "start.sh",
    "haunt.scm",
    "main.scm",
    "server.scm",
    "app.scm",
    "web.scm",
    "run.scm",
    "src/main.scm",
    "main.ss",
    "server.ss",
];

/// The facts.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) settings: Settings,
    pub(crate) declared: Declared,
    pub(crate) source: &'a Source,
    pub(crate) previous: &'a [Toolchain],
}

impl<'a> Facts<'a> {
    /// Gathers them.
    ///
    /// # Errors
    /// Codes `settings.invalid`, `source.unreadable`.
    pub(crate) fn gather(ctx: &'a Context, source: &'a Source) -> Result<Self, PluginError> {
        source.prefetch(&FILES);
        let settings = settings::read(ctx, source)?;
        let declared = Declared::read(&settings, source)?;
        Ok(Self { settings, declared, source, previous: &ctx.previous_toolchains })
    }

    /// Text of a file, empty if it cannot be read.
    pub(crate) fn text(&self, path: &str) -> String {
        self.source.text(path).ok().flatten().unwrap_or_default()
    }

    /// Whether there is such a file.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.source.is_file(path)
    }

    /// Whether the settings ask for this id.
    pub(crate) fn asks_for(&self, id: &str) -> bool {
        self.settings.build.framework.as_deref() == Some(id)
    }
}
