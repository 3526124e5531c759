//! `windlass explain`: what a failure code means. It asks no server.

use std::path::PathBuf;

use windlass_model::failure::explain::{self, Explained};

use crate::exit::{CliError, CliResult, Exit};
use crate::render::{harmless, table};
use crate::roles::PluginFolders;
use crate::session::Session;

/// Explain a failure code: what happened, why, and how to fix it.
///
/// Without a code all are listed, those of this machine's plugins included. No host need run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass explain check.loopback-only
  windlass explain")]
pub struct Explain {
    /// The code, as a failure names it.
    code: Option<String>,
    /// Folder of the plugins that came with Windlass [default: `plugins` beside the binary].
    #[arg(long, value_name = "DIR")]
    plugins_dir: Option<PathBuf>,
}

impl Explain {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let folders = PluginFolders { data_dir: session.data_dir(), plugins_dir: self.plugins_dir };
        let manifests = session.roles.manifests(&folders).map_err(CliError::of_role)?;
        let all = explain::all(&manifests);
        let Some(code) = &self.code else {
            return Ok(list(session, &all));
        };
        let known = explain::one(&all, code)
            .map_err(|failure| Box::new(CliError { failure, exit: Exit::NotFound }))?;
        if session.json() {
            session.print_json(known);
        } else {
            session.console.out(&block(known));
        }
        Ok(Exit::Ok)
    }
}

fn list(session: &mut Session<'_, '_>, all: &[Explained]) -> Exit {
    if session.json() {
        session.print_json(&all);
        return Exit::Ok;
    }
    let row = |known: &Explained| vec![known.code.clone(), whose(known), harmless(&known.title)];
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    session.console.out(&table(&["code", "whose", "what happened"], &rows));
    Exit::Ok
}

fn whose(known: &Explained) -> String {
    match &known.plugin {
        Some(plugin) => format!("{} ({})", known.whose.as_str(), harmless(plugin)),
        None => known.whose.as_str().to_owned(),
    }
}

fn block(known: &Explained) -> String {
    let mut text = format!("{}: {}\n", known.code, harmless(&known.title));
    for (name, value) in
        [("why", harmless(&known.cause)), ("fix", harmless(&known.fix)), ("whose", whose(known))]
    {
        text += &format!("  {name}: {value}\n");
    }
    text
}
