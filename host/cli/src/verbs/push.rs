//! `windlass push`: a deployment's image to a registry.

use ureq::http::Method;
use windlass_model::image::{PushImage, PushedView};

use super::taken;
use crate::client;
use crate::exit::{CliResult, Exit};
use crate::render::{bytes, harmless};
use crate::session::Session;

/// Push a deployment's image to a registry, with the project's login for it.
///
/// Nothing is built: the image is made of what runs. What the registry has is not sent again, and the
/// name is given last, so a push that was cut off is simply made again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass push production registry.example.com/team/shop:12
  windlass push 12 ghcr.io/me/shop --project shop
  windlass push 12 localhost:5000/shop --image worker")]
pub struct Push {
    /// Environment, whose live deployment is taken; or id, start of an id, or number of a deployment.
    deployment: String,
    /// The image's name there.
    reference: String,
    /// Which output of the build [default: that of the web process, or the only one].
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
}

impl Push {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let view = taken(session, &client, &self.deployment)?;
        let id = view.deployment.id.as_str();
        let body = PushImage { reference: self.reference, output: self.image };
        let path = client::path(&["v1", "deployments", id, "push"]);
        let pushed: PushedView = client.send_at_length(Method::POST, &path, &body)?;
        if session.json() {
            session.print_json(&pushed);
            return Ok(Exit::Ok);
        }
        for note in &pushed.notes {
            session.console.err(&format!("note: {}\n", harmless(note)));
        }
        let PushedView { reference, layers, bytes_sent, .. } = pushed;
        let sent = bytes(bytes_sent);
        session.console.out(&format!("{}: {layers} layers, {sent} sent\n", harmless(&reference)));
        Ok(Exit::Ok)
    }
}
