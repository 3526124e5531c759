//! `windlass plugin search` and `windlass plugin index`: what could be installed, and where it is looked for. What an
//! author writes of it, [`Entry`], is done on his machine.

use std::path::PathBuf;

use clap::Subcommand;
use ureq::http::Method;
use windlass_model::author::IndexPlugin;
use windlass_model::plugin::Stage;
use windlass_model::plugin::discover::{IndexView, IndexesView, SearchView, SetIndex};
use windlass_model::plugin::lock::Policy;

use super::author::stages;
use super::change::{policy, public_key};
use crate::client;
use crate::exit::{CliError, CliResult, Exit};
use crate::render::{self, harmless};
use crate::session::Session;
use crate::verbs::project::done;

/// Search the indexes for plugins that could be installed; without words, all of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass plugin search security
  windlass plugin search node lint --stage custom
  windlass plugin install scan                   # what was found")]
pub(super) struct Search {
    /// Words that are all to be found: in the name first, then in keywords and summary.
    words: Vec<String>,
    /// Only plugins that fill this stage.
    #[arg(long, value_parser = stages())]
    stage: Option<Stage>,
}

impl Search {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let words = self.words.join(" ");
        let mut query = vec![("words", words.as_str())];
        query.extend(self.stage.map(|stage| ("stage", stage.as_str())));
        let path = client::with_query("/v1/plugin-search", &query);
        let view: SearchView = session.client()?.get(&path)?;
        if session.json() {
            session.print_json(&view);
        } else {
            let text = render::index::search(&view, session.console.color());
            session.console.out(&text);
        }
        Ok(Exit::Ok)
    }
}

/// Say where plugins are looked for; write the entry of one's own in an index.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass plugin index add acme https://acme.example/plugins.json --key minisign.pub
  windlass plugin index list
  windlass plugin index remove acme
  windlass plugin index entry plugins.json --address https://acme.example/scan-1.2.0.wasm")]
pub(super) struct Index {
    #[command(subcommand)]
    verb: IndexVerb,
}

#[derive(Debug, Subcommand)]
enum IndexVerb {
    Add(Add),
    List(List),
    Remove(Remove),
    Entry(Entry),
}

impl Index {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        match self.verb {
            IndexVerb::Add(verb) => verb.run(session),
            IndexVerb::List(verb) => verb.run(session),
            IndexVerb::Remove(verb) => verb.run(session),
            IndexVerb::Entry(verb) => verb.run(session),
        }
    }
}

/// Look for plugins in an index too, or exchange the one of that name.
#[derive(Debug, clap::Args)]
struct Add {
    /// What it is called here.
    name: String,
    /// `https://.../plugins.json`, or the path of a file on the host.
    #[arg(value_name = "URL")]
    address: String,
    /// The key that signs the file: a public key of minisign or cosign.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// What happens without a good signature: `require` (the default with a key), `warn`, `off`.
    #[arg(long, value_parser = policy)]
    policy: Option<Policy>,
}

impl Add {
    fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let key = self.key.map(|path| public_key(&self.name, &path)).transpose()?;
        let url = match self.address.starts_with('/') {
            true => format!("file://{}", self.address),
            false => self.address,
        };
        let body = SetIndex { url, key, policy: self.policy };
        let view: IndexView =
            session.client()?.send_at_length(Method::PUT, &one(&self.name), &body)?;
        if session.json() {
            session.print_json(&view);
        } else {
            session.console.out(&render::index::added(&view));
        }
        Ok(Exit::Ok)
    }
}

/// List the indexes, and what is wrong with them.
#[derive(Debug, clap::Args)]
struct List {}

impl List {
    fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let Self {} = self;
        let view: IndexesView = session.client()?.get("/v1/plugin-indexes")?;
        if session.json() {
            session.print_json(&view);
        } else {
            let text = render::index::list(&view, session.console.color());
            session.console.out(&text);
        }
        Ok(Exit::Ok)
    }
}

/// Look there no more; what was installed from it stays.
#[derive(Debug, clap::Args)]
struct Remove {
    /// The index.
    name: String,
}

impl Remove {
    fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        session.client()?.delete(&one(&self.name))?;
        let sentence = format!("the index {} is removed", harmless(&self.name));
        done(session, &sentence, "removed", &self.name);
        Ok(Exit::Ok)
    }
}

/// Write a plugin of one's own into the file of an index; the file is begun where there is none.
#[derive(Debug, clap::Args)]
struct Entry {
    /// The file of the index.
    index: PathBuf,
    /// The component, or the folder that it was built in.
    #[arg(default_value = ".")]
    plugin: PathBuf,
    /// Where the component will be: `https://...` or `oci://...`.
    #[arg(long, value_name = "URL")]
    address: String,
    #[command(flatten)]
    about: About,
}

/// What an index says of a plugin beside its manifest.
#[derive(Debug, clap::Args)]
pub(super) struct About {
    /// What it should be found by in the index; can be given several times.
    #[arg(long, value_name = "WORD", requires = "index")]
    keyword: Vec<String>,
    /// A page about it, for the index.
    #[arg(long, value_name = "URL", requires = "index")]
    homepage: Option<String>,
}

impl About {
    /// Writes the entry and says so.
    pub(super) fn write(
        self,
        session: &mut Session<'_, '_>,
        index: PathBuf,
        plugin: PathBuf,
        url: String,
    ) -> CliResult<()> {
        let Self { keyword: keywords, homepage } = self;
        let request = IndexPlugin { plugin, url, index, keywords, homepage };
        let indexed = session.roles.authoring().index_plugin(&request);
        let indexed = indexed.map_err(CliError::of_role)?;
        if session.json() {
            session.print_json(&indexed);
        } else {
            session.console.out(&format!(
                "{} {} is in {} with {}\n",
                indexed.plugin,
                harmless(&indexed.version),
                indexed.index.display(),
                indexed.component
            ));
        }
        Ok(())
    }
}

impl Entry {
    fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        self.about.write(session, self.index, self.plugin, self.address)?;
        Ok(Exit::Ok)
    }
}

fn one(name: &str) -> String {
    client::path(&["v1", "plugin-indexes", name])
}
