//! `windlass domain`: host names that an environment answers under.

use clap::Subcommand;
use ureq::http::Method;
use windlass_model::api::{AddDomain, DomainView};

use super::environment::items;
use super::{environment_path, project::done};
use crate::exit::{CliResult, Exit};
use crate::render::{date, table};
use crate::session::Session;

/// Add, list and remove host names of an environment.
///
/// The host name `*` is the default route: every request that no other name takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass domain add shop.example.com
  windlass domain add '*' --project shop")]
pub struct Domain {
    #[command(subcommand)]
    verb: DomainVerb,
}

#[derive(Debug, Subcommand)]
enum DomainVerb {
    /// Add a host name.
    Add {
        /// The host name, or `*`.
        host: String,
    },
    /// List host names.
    List,
    /// Remove a host name.
    Remove {
        /// The host name, or `*`.
        host: String,
    },
}

impl Domain {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let all = environment_path(session, &["domains"])?;
        match self.verb {
            DomainVerb::Add { host } => {
                let view: DomainView = client.send(Method::POST, &all, &AddDomain { host })?;
                if session.json() {
                    session.print_json(&view);
                } else {
                    session.console.line(&format!("{} is added: {}", view.host, view.url));
                }
            }
            DomainVerb::List => {
                let domains: Vec<DomainView> = items(client.get(&all)?)?;
                if session.json() {
                    session.print_json(&domains);
                } else if domains.is_empty() {
                    session.console.line("no domains");
                } else {
                    let row = |one: &DomainView| {
                        vec![one.host.clone(), one.url.clone(), date(one.created_at)]
                    };
                    let rows: Vec<Vec<String>> = domains.iter().map(row).collect();
                    session.console.out(&table(&["host", "address", "added"], &rows));
                }
            }
            DomainVerb::Remove { host } => {
                client.delete(&environment_path(session, &["domains", &host])?)?;
                done(session, &format!("{host} is removed"), "removed", &host);
            }
        }
        Ok(Exit::Ok)
    }
}
