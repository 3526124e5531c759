//! `windlass key`: the key that variables and credentials are encrypted with at rest.

use clap::Subcommand;
use windlass_model::access::{KeyRotated, KeyView};

use crate::exit::{CliResult, Exit};
use crate::render::{count, harmless};
use crate::session::Session;

/// Show or replace the key that variables and credentials are encrypted with at rest.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass key show
  windlass key rotate")]
pub struct Key {
    #[command(subcommand)]
    verb: KeyVerb,
}

#[derive(Debug, Subcommand)]
enum KeyVerb {
    /// Show which key is in use; never the key itself.
    Show,
    /// Make a new key and encrypt everything anew; what a crash cuts off, the next start goes on with.
    ///
    /// Nothing is interrupted. The old key is kept in a file beside the new one, since backups from
    /// before need it; delete it with those. Keep a copy of the new `secret.key` elsewhere.
    Rotate,
}

impl Key {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        match self.verb {
            KeyVerb::Show => {
                let key: KeyView = client.get("/v1/key")?;
                if session.json() {
                    session.print_json(&key);
                } else {
                    let state = if key.is_rotating { ", replacing another one" } else { "" };
                    session.console.line(&format!("key {}{state}", key.id));
                    old_files(session, &key);
                }
            }
            KeyVerb::Rotate => {
                let done: KeyRotated = client.post("/v1/key/rotate")?;
                if session.json() {
                    session.print_json(&done);
                } else {
                    let values = count(done.resealed, "value");
                    session
                        .console
                        .line(&format!("{values} are under the new key {}", done.key.id));
                    old_files(session, &done.key);
                    session
                        .console
                        .line("keep a copy of `secret.key` of the data directory elsewhere");
                }
            }
        }
        Ok(Exit::Ok)
    }
}

fn old_files(session: &mut Session<'_, '_>, key: &KeyView) {
    for file in &key.old_files {
        let file = harmless(file);
        session
            .console
            .line(&format!("{file}: only backups from before need it; delete it with them"));
    }
}
