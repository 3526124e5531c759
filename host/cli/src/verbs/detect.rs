//! `windlass detect`: what is this folder?

use std::path::PathBuf;

use crate::exit::{CliError, CliResult, Exit};
use crate::render;
use crate::roles::LocalOptions;
use crate::session::Session;

/// Say what a folder is, with the signs; needs no host.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass detect
  windlass detect ../shop --app-dir apps/web --json")]
pub struct Detect {
    #[command(flatten)]
    source: Source,
}

/// The folder that `detect`, `plan` and `init` look at.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// The folder.
    #[arg(default_value = ".")]
    pub(super) path: PathBuf,
    /// The application's folder inside it, over `build.app_dir`.
    #[arg(long, value_name = "DIR")]
    pub(super) app_dir: Option<String>,
    /// What to build it as, over `build.framework`.
    #[arg(long, value_name = "ID")]
    pub(super) framework: Option<String>,
    /// Folder of the plugins that came with Windlass [default: `plugins` beside the binary].
    #[arg(long, value_name = "DIR")]
    pub(super) plugins_dir: Option<PathBuf>,
}

impl Source {
    pub(super) fn options(self, session: &Session<'_, '_>) -> CliResult<LocalOptions> {
        if !self.path.is_dir() {
            return Err(CliError::bad_input(
                "cli.no-such-folder",
                format!("{} is not a folder", self.path.display()),
                "there is nothing, or a file",
                "name the folder that holds the source",
            ));
        }
        Ok(LocalOptions {
            path: self.path,
            environment: session.environment(),
            without_settings: false,
            app_dir: self.app_dir,
            framework: self.framework,
            plugins_dir: self.plugins_dir,
            data_dir: session.data_dir(),
        })
    }
}

impl Detect {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let options = self.source.options(session)?;
        let output = session.roles.detect(&options).map_err(CliError::of_role)?;
        if session.json() {
            session.print_json(&output);
            return Ok(if output.failure.is_some() { Exit::BadInput } else { Exit::Ok });
        }
        let text = render::local::detect(&output, session.console.color());
        session.console.out(&text);
        match output.failure {
            Some(failure) => Err(CliError::of_role(failure)),
            None => Ok(Exit::Ok),
        }
    }
}
