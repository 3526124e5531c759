//! `windlass plugin publish`: a component into an image registry, where others install it from.

use std::path::PathBuf;

use windlass_model::author::{PublishPlugin, Published};
use windlass_model::secret::Secret;

use super::index::About;
use crate::exit::{CliError, CliResult, Exit};
use crate::render::harmless;
use crate::session::Session;
use crate::verbs::registry::password;

/// Push a component to an image registry, as an artifact that `wkg` reads too.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass plugin publish ghcr.io/acme/scan:1.2.0
  printf %s \"$TOKEN\" | windlass plugin publish ghcr.io/acme/scan:1.2.0 --username me --password-stdin
  windlass plugin publish ghcr.io/acme/scan:1.2.0 --index plugins.json --keyword security
  windlass plugin install oci://ghcr.io/acme/scan:1.2.0          # on a host")]
pub(super) struct Publish {
    /// Where to: `ghcr.io/acme/scan:1.2.0`.
    reference: String,
    /// The component, or the folder that it was built in.
    #[arg(default_value = ".")]
    plugin: PathBuf,
    /// Name at the registry; the password is asked for, unless an option says where it is.
    #[arg(short, long)]
    username: Option<String>,
    /// Take the password or token from standard input.
    #[arg(long, requires = "username", conflicts_with = "password_env")]
    password_stdin: bool,
    /// Take it from this environment variable.
    #[arg(long, value_name = "VAR", requires = "username")]
    password_env: Option<String>,
    /// Write it into the file of an index too; the file is begun where there is none.
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
    #[command(flatten)]
    about: About,
}

impl Publish {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let login = match self.username {
            Some(user) => {
                let registry = self.reference.split('/').next().unwrap_or_default();
                let secret = password(session, registry, self.password_stdin, self.password_env)?;
                Some((user, Secret::new(secret)))
            }
            None => None,
        };
        let plugin = self.plugin.clone();
        let request = PublishPlugin { plugin: self.plugin, reference: self.reference, login };
        let published = session.roles.authoring().publish_plugin(&request);
        let published = published.map_err(CliError::of_role)?;
        if session.json() {
            session.print_json(&published);
        } else {
            said(session, &published);
        }
        if let Some(index) = self.index {
            self.about.write(session, index, plugin, published.address)?;
        }
        Ok(Exit::Ok)
    }
}

fn said(session: &mut Session<'_, '_>, published: &Published) {
    let Published { plugin, version, address, artifact, component } = published;
    let (version, address) = (harmless(version), harmless(address));
    session.console.out(&format!(
        "{plugin} {version} is published, {artifact}\n\
         its component is {component}\n\
         windlass plugin install {address}\n"
    ));
}
