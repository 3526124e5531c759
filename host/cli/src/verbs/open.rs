//! `windlass open`: the application in a browser.

use std::process::{Command, Stdio};

use windlass_model::api::EnvironmentView;

use super::environment_path;
use crate::exit::{CliError, CliResult, Exit};
use crate::session::Session;

/// Print the environment's address and open it, where there is a display.
#[derive(Debug, clap::Args)]
pub struct Open {
    /// Only print it.
    #[arg(long)]
    print: bool,
}

impl Open {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let environment: EnvironmentView =
            session.client()?.get(&environment_path(session, &[])?)?;
        let Some(url) = environment.urls.first() else {
            let project = session.project()?;
            return Err(CliError::new(
                Exit::NotFound,
                "cli.no-address",
                format!("{project}/{} has no address", environment.name),
                "no domain leads to it",
                format!("windlass domain add HOST --project {project} -e {}", environment.name),
            ));
        };
        if session.json() {
            session.print_json(&serde_json::json!({ "url": url }));
            return Ok(Exit::Ok);
        }
        session.console.line(url);
        let has = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if !self.print && (has("DISPLAY") || has("WAYLAND_DISPLAY")) {
            // Where there is no browser, the address was printed.
            let _ = Command::new("xdg-open")
                .arg(url)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
        Ok(Exit::Ok)
    }
}
