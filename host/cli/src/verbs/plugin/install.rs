//! `windlass plugin install` and `upgrade`: say what a component asks for, and take it only with a grant.

use std::fs::File;
use std::path::{Path, PathBuf};

use ureq::http::Method;
use windlass_model::Digest;
use windlass_model::limits::PluginLimits;
use windlass_model::plugin::Give;
use windlass_model::plugin::discover::Wanted;
use windlass_model::plugin::lock::is_name;
use windlass_model::plugin::manage::{Asked, FetchPlugin, PluginsView, Proposal};

use crate::client;
use crate::exit::{CliError, CliResult, Exit};
use crate::render::{self, harmless};
use crate::session::Session;
use crate::verbs::plugin::change::warn_unasked;
use crate::verbs::unreadable_file;

/// A component up to this size is sent without asking how large one may be, in bytes.
const SENT_UNASKED_BYTES_MAX: u64 = 1 << 20;

/// Install a plugin from a file, a folder of components, an address, an image registry, or an index.
///
/// It says what the plugin asks for, with its reasons. Nothing is granted by itself: say what with --grant, or
/// answer the question on a terminal.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass plugin install scan.wasm
  windlass plugin install scan.wasm --grant all
  windlass plugin install https://example.com/scan.wasm --grant http,artifacts
  windlass plugin install oci://ghcr.io/acme/scan:1.2.0
  windlass plugin install oci://ghcr.io/acme/scan:1.2.0 --project shop    # with shop's login
  windlass plugin install scan                                           # what an index has
  windlass plugin install acme/scan@1.2.0
  windlass plugin install scan.wasm --dry-run")]
pub(super) struct Install {
    /// A component, a folder of components, the folder of a plugin that was built, https://..., oci://..., or a
    /// name in the indexes.
    from: String,
    #[command(flatten)]
    how: How,
    /// Only projects that enable it use it.
    #[arg(long)]
    disabled: bool,
}

/// Install another version of a plugin and make it the active one.
///
/// A version that asks for more than the one in use is only taken with --grant; what was granted before stays.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass plugin upgrade scan scan-2.wasm
  windlass plugin upgrade scan https://example.com/scan-2.wasm --grant http
  windlass plugin upgrade scan scan              # the newest that an index has
  windlass plugin rollback scan")]
pub(super) struct Upgrade {
    /// The plugin.
    name: String,
    /// A component, the folder of a plugin that was built, https://..., oci://..., or a name in the indexes.
    from: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
struct How {
    /// What it is granted: `all`, `none`, kinds such as `exec,http`, or a list of requests as JSON.
    #[arg(long, value_name = "WHAT")]
    grant: Option<Give>,
    /// The digest that the file must have.
    #[arg(long, value_name = "sha256:...")]
    digest: Option<Digest>,
    /// Its signature [default: FILE.minisig or FILE.sig, beside the file or the address; what cosign left in the registry].
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Only say what it is and what it asks for.
    #[arg(long)]
    dry_run: bool,
}

/// Where a component comes from.
enum Component {
    File(PathBuf),
    /// An address, or a name in the indexes.
    Url(String),
}

impl Component {
    /// Of a file its name without folders, as people are told.
    fn name(&self) -> String {
        match self {
            Self::File(file) => file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Url(url) => url.clone(),
        }
    }
}

impl Install {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let from = sources(session, &self.from)?;
        match from.as_slice() {
            [one] => take(session, one, None, &self.how, self.disabled).map(|()| Exit::Ok),
            all => self.each(session, all),
        }
    }

    /// Takes one after another. What is wrong with one is said, and keeps no other out; the first such gives the
    /// command its exit code.
    fn each(&self, session: &mut Session<'_, '_>, all: &[Component]) -> CliResult<Exit> {
        let mut ended = Exit::Ok;
        let mut left_out = Vec::new();
        for from in all {
            let Err(mut error) = take(session, from, None, &self.how, self.disabled) else {
                continue;
            };
            // It would be the same for the rest.
            if matches!(error.exit, Exit::Unreachable | Exit::Unauthorized) {
                return Err(error);
            }
            let name = from.name();
            error.failure.what = format!("{name}: {}", error.failure.what);
            let json = session.json();
            render::failure::report(session.console, &error.failure, json);
            if left_out.is_empty() {
                ended = error.exit;
            }
            left_out.push(name);
        }
        if !left_out.is_empty() && !session.json() {
            let names = harmless(&left_out.join(", "));
            session.console.note(&format!("not installed: {names}"));
        }
        Ok(ended)
    }
}

impl Upgrade {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let from = match sources(session, &self.from)?.as_mut_slice() {
            [one] => std::mem::replace(one, Component::Url(String::new())),
            many => {
                return Err(CliError::bad_input(
                    "cli.usage",
                    format!("{} is no single component", self.from),
                    format!(
                        "it is a folder with {}",
                        render::count(many.len() as u64, "component")
                    ),
                    "name the file",
                ));
            }
        };
        take(session, &from, Some(&self.name), &self.how, false)?;
        Ok(Exit::Ok)
    }
}

/// Whether it is a name in the indexes, and nothing that is here: `scan`, `acme/scan@1.2.0`.
fn is_named(from: &str) -> bool {
    let Ok(wanted) = from.parse::<Wanted>();
    let is_here = Path::new(from).exists();
    !is_here && is_name(&wanted.name) && wanted.index.as_deref().is_none_or(is_name)
}

/// A file, the components of a folder, the one that was built in the folder of a plugin, an address, or a name.
fn sources(session: &Session<'_, '_>, from: &str) -> CliResult<Vec<Component>> {
    if from.contains("://") || is_named(from) {
        return Ok(vec![Component::Url(from.to_owned())]);
    }
    let path = Path::new(from);
    if !path.is_dir() {
        return Ok(vec![Component::File(path.to_owned())]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|e| unreadable_file(path, &e))? {
        let path = entry.map_err(|e| unreadable_file(path, &e))?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        let built = session.roles.authoring().find_component(path);
        files.push(built.map_err(CliError::of_role)?);
    }
    Ok(files.into_iter().map(Component::File).collect())
}

/// Asks what it is, says it, asks for the grant, and takes it. With `--json` nothing is said before the end, and
/// nothing is asked: it is sent once.
fn take(
    session: &mut Session<'_, '_>,
    from: &Component,
    upgrades: Option<&str>,
    how: &How,
    disabled: bool,
) -> CliResult<()> {
    if let Component::File(file) = from {
        check_size(session, file)?;
    }
    let sent = |session: &Session<'_, '_>, given, dry: bool| {
        send(session, from, upgrades, how, given, disabled, dry)
    };
    if session.json() {
        let answer = sent(session, (&how.grant, &how.digest), how.dry_run)?;
        session.print_json(&answer);
        say_unasked(session, how, &answer);
        return Ok(());
    }
    let asked = sent(session, (&how.grant, &how.digest), true)?;
    session.console.out(&render::plugin::proposal(&asked));
    say_unasked(session, how, &asked);
    if how.dry_run {
        return Ok(());
    }
    let grant = match &how.grant {
        None if wants(&asked) => agreed(session, &asked)?,
        given => given.clone(),
    };
    // What was shown is what is taken, whatever the server gives by now.
    let digest = match from {
        Component::Url(_) => Some(asked.digest.clone()),
        Component::File(_) => how.digest.clone(),
    };
    let done = sent(session, (&grant, &digest), false)?;
    let version = harmless(&done.version);
    let sentence = match &done.replaces {
        Some(before) => format!("{} is now {version}; it was {}", done.name, harmless(before)),
        None => format!("{} {version} is installed", done.name),
    };
    session.console.line(&sentence);
    Ok(())
}

fn say_unasked(session: &mut Session<'_, '_>, how: &How, proposal: &Proposal) {
    if let Some(give) = &how.grant {
        warn_unasked(session, &proposal.name, give, &proposal.asks);
    }
}

/// Refuses a file that the host would not take. A host that refuses it ends the connection while it is still being sent,
/// and then its answer may be lost.
fn check_size(session: &Session<'_, '_>, file: &Path) -> CliResult<()> {
    let bytes = std::fs::metadata(file).map_or(0, |meta| meta.len());
    if bytes <= SENT_UNASKED_BYTES_MAX {
        return Ok(());
    }
    let view: PluginsView = session.client()?.get("/v1/plugins")?;
    let usual = || PluginLimits::default().component_bytes_max;
    let bytes_max = view.component_bytes_max.unwrap_or_else(usual);
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(CliError::bad_input(
        "request.body-too-large",
        format!("{} is too large for a plugin", file.display()),
        format!(
            "a plugin has at most {} on this host, and this file has {}",
            render::bytes(bytes_max),
            render::bytes(bytes)
        ),
        "build it optimised and without debug information, as `windlass plugin build` does; or raise \
         `plugin.component_bytes_max` in the host's limits file",
    ))
}

/// Whether there is something to be granted: of an upgrade only what it asks for more.
fn wants(proposal: &Proposal) -> bool {
    match proposal.replaces {
        Some(_) => !proposal.more.is_empty(),
        None => !proposal.asks.is_empty(),
    }
}

/// Asks on a terminal; elsewhere nothing is granted, and the host says what that means.
fn agreed(session: &mut Session<'_, '_>, proposal: &Proposal) -> CliResult<Option<Give>> {
    if !session.console.stdin_is_terminal() {
        return Ok(None);
    }
    session.console.err(&format!("Grant {} all of this? [y/N] ", proposal.name));
    let answer = session.console.read_line().unwrap_or_default();
    if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        return Ok(Some(Give::All));
    }
    Err(declined(proposal))
}

/// Nothing was granted. That it is taken with nothing is only offered of what can do without.
fn declined(proposal: &Proposal) -> Box<CliError> {
    let missing = |one: &&Asked| !one.capability.optional && one.granted.0.is_empty();
    let missing = proposal.asks.iter().filter(missing);
    let mut needed: Vec<&str> = missing.map(|one| one.capability.request.kind().as_str()).collect();
    needed.dedup();
    let least = match needed.as_slice() {
        [] => "or none: --grant none".to_owned(),
        needed => format!("it cannot do without {}", needed.join(",")),
    };
    CliError::new(
        Exit::Refused,
        "cli.not-confirmed",
        format!("{} was not installed", proposal.name),
        "what it asks for was not granted",
        format!("grant some of it: --grant KIND,KIND; {least}"),
    )
}

/// One request; `dry` only asks.
fn send(
    session: &Session<'_, '_>,
    from: &Component,
    upgrades: Option<&str>,
    how: &How,
    (grant, digest): (&Option<Give>, &Option<Digest>),
    disabled: bool,
    dry: bool,
) -> CliResult<Proposal> {
    let client = session.client()?;
    let signature = signature(from, how)?;
    match from {
        Component::Url(url) => {
            let path = match upgrades {
                Some(name) => client::path(&["v1", "plugins", name, "upgrade", "fetch"]),
                None => client::path(&["v1", "plugin-fetch"]),
            };
            let body = FetchPlugin {
                url: url.clone(),
                project: session.common.project.clone(),
                grant: grant.clone(),
                digest: digest.clone(),
                signature,
                dry_run: dry,
                disabled,
            };
            client.send_at_length(Method::POST, &path, &body)
        }
        Component::File(file) => {
            let path = match upgrades {
                Some(name) => client::path(&["v1", "plugins", name, "upgrade"]),
                None => client::path(&["v1", "plugins"]),
            };
            let name = from.name();
            let (dry, disabled) = (dry.to_string(), disabled.to_string());
            let mut query = vec![("name", &*name), ("dry_run", &dry), ("disabled", &disabled)];
            let grant = grant.as_ref().map(ToString::to_string);
            let digest = digest.as_ref().map(ToString::to_string);
            query.extend(grant.as_deref().map(|grant| ("grant", grant)));
            query.extend(digest.as_deref().map(|digest| ("digest", digest)));
            query.extend(signature.as_deref().map(|text| ("signature", text)));
            let opened = File::open(file).map_err(|e| unreadable_file(file, &e))?;
            let path = client::with_query(&path, &query);
            client.upload(&path, "application/wasm", &opened)
        }
    }
}

/// The signature that was named, or that lies beside the file.
fn signature(from: &Component, how: &How) -> CliResult<Option<String>> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map(Some).map_err(|e| unreadable_file(path, &e))
    };
    if let Some(path) = &how.signature {
        return read(path);
    }
    let Component::File(file) = from else { return Ok(None) };
    let beside = ["minisig", "sig"].map(|ending| {
        let mut name = file.clone().into_os_string();
        name.push(format!(".{ending}"));
        PathBuf::from(name)
    });
    beside.iter().find(|path| path.is_file()).map_or(Ok(None), |path| read(path))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_is_offered_as_a_grant_only_of_what_can_do_without() {
        let proposal = |optional: bool| -> Proposal {
            let wish = json!({ "name": "exec", "reason": "lists packages", "optional": true });
            let asks = json!({ "name": "http", "hosts": ["a.example"], "reason": "asks",
                               "optional": optional });
            serde_json::from_value(json!({
                "name": "scan", "version": "1.0.0", "digest": format!("sha256:{}", "ab".repeat(32)),
                "bytes": 1, "summary": "s", "licence": "MIT", "stages": ["custom"],
                "asks": [{ "capability": asks, "granted": [] }, { "capability": wish, "granted": [] }],
                "signature": { "is": "not-checked" }, "installed": false,
            }))
            .unwrap()
        };
        assert!(declined(&proposal(true)).failure.fix.ends_with("or none: --grant none"));
        let needs = declined(&proposal(false));
        assert!(needs.failure.fix.ends_with("it cannot do without http"), "{needs}");
    }
}
