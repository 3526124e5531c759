//! The maps that visitors can read: asked for at the application's own address.
//!
//! Looked at are the pages that are set, the scripts and styles that these load, and the places where maps of an
//! image would lie. A map counts when it was read and is one.

use std::collections::BTreeSet;

use windlass_sdk::annotations::{Annotation, Tone};
use windlass_sdk::artifacts::{Artifact, Kind};
use windlass_sdk::custom::{Facts, Outcome, State};
use windlass_sdk::http::{HttpError, Reason, Request, Response};
use windlass_sdk::{PluginError, log};

use crate::archive::Archive;
use crate::map::{Map, pointer};
use crate::page::{Address, assets};
use crate::table::{Table, yes};
use crate::{Collected, Options, count, not_granted, release, size};

/// Requests of one deployment.
const REQUESTS_MAX: usize = 300;
/// Scripts and styles that are looked at.
const ASSETS_MAX: usize = 100;
/// Time of one request, in milliseconds.
const TIMEOUT_MS: u32 = 20_000;
/// Bytes of the archive.
const ARCHIVE_BYTES_MAX: usize = 48 << 20;

pub(crate) fn run(
    options: &Options,
    facts: &Facts,
    collected: &Collected,
) -> Result<Outcome, PluginError> {
    if facts.state != State::Live {
        return Ok(Outcome::skipped("the deployment is not live"));
    }
    let base = options.url.as_ref().or(facts.urls.first());
    let Some(base) = base.and_then(|url| Address::of(url)) else {
        return Ok(Outcome::skipped("the environment has no address"));
    };
    let mut visit = Visit::default();
    let mut closed = Vec::new();
    for page in options.pages.iter().filter_map(|page| base.to(page)) {
        let answer = get(&page).map_err(|error| unreachable(&page, error))?;
        visit.requests += 1;
        if !answer.is_success() {
            closed.push((page.text(), answer.status));
            continue;
        }
        // Where a redirect led: to https, or to another name of the site.
        let at = Address::of(&answer.url).unwrap_or(page);
        let named = assets(&answer.text());
        for asset in named.iter().filter_map(|asset| at.to(asset)).take(ASSETS_MAX) {
            visit.asset(&asset);
        }
    }
    for (page, status) in &closed {
        log::warn(format!("{page} answered {status}, and is not looked at"));
    }
    match closed.as_slice() {
        [(page, status @ 500..), ..] => {
            let what = format!("{page} answered {status}, so what visitors can read is not known");
            return Err(PluginError::new("sourcemaps.no-page", what).retryable());
        }
        [(page, status), ..] if visit.seen.is_empty() && collected.places.is_empty() => {
            let why = format!("{page} answered {status}: set `pages` to some that visitors see");
            return Ok(Outcome::skipped(why));
        }
        _ => {}
    }
    for place in collected.places.iter().filter_map(|place| base.to(place)) {
        visit.map(&place, "", false);
    }
    visit.attach(facts, collected)
}

fn get(address: &Address) -> Result<Response, HttpError> {
    Request::get(address.text()).timeout_ms(TIMEOUT_MS).send()
}

fn unreachable(page: &Address, error: HttpError) -> PluginError {
    let what = format!("{} could not be asked: {}", page.text(), error.message);
    if error.reason != Reason::Denied {
        return PluginError::from(HttpError { message: what, ..error });
    }
    let text = page.text();
    let host = text.split('/').nth(2).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let hint = format!(
        "`windlass plugin grant sourcemaps` with {{\"name\": \"http\", \"hosts\": [\"{host}\"], \"methods\": \
         [\"GET\"], \"private\": [\"{name}\"]}} beside what it has: the address leads to this machine"
    );
    not_granted(what, hint)
}

/// A map that visitors can read.
#[derive(Debug)]
struct Open {
    at: Address,
    bundle: String,
    /// Whether the bundle sends browsers to it.
    named: bool,
    map: Map,
    bytes: usize,
    /// Empty where there was no room for it.
    content: Vec<u8>,
}

/// What was asked for already, and what was found.
#[derive(Debug, Default)]
struct Visit {
    requests: usize,
    seen: BTreeSet<String>,
    open: Vec<Open>,
    bytes: usize,
    /// Bundles that hold their map themselves.
    inline: Vec<String>,
}

impl Visit {
    /// An answer, unless it was asked for before or there were too many.
    fn ask(&mut self, address: &Address) -> Option<Response> {
        if self.requests >= REQUESTS_MAX || !self.seen.insert(address.text()) {
            return None;
        }
        self.requests += 1;
        match get(address) {
            Ok(answer) => Some(answer).filter(Response::is_success),
            Err(error) => {
                log::debug(format!("{} was not looked at: {}", address.text(), error.message));
                None
            }
        }
    }

    /// A script or a style, and its map.
    fn asset(&mut self, address: &Address) {
        let Some(answer) = self.ask(address) else { return };
        let text = answer.text();
        let header = answer.header("sourcemap").or(answer.header("x-sourcemap"));
        match header.or(pointer(&text)) {
            Some(inline) if inline.starts_with("data:") => self.inline.push(address.path.clone()),
            Some(named) => {
                if let Some(map) = address.to(named) {
                    self.map(&map, &address.path, true);
                }
            }
            // One that no bundle names is still there for who guesses.
            None => self.map(&address.with_map(), &address.path, false),
        }
    }

    fn map(&mut self, at: &Address, bundle: &str, named: bool) {
        let Some(answer) = self.ask(at) else { return };
        let Some(map) = Map::of(&answer.body) else { return };
        let (at, bundle, bytes) = (at.clone(), bundle.to_owned(), answer.body.len());
        let has_room = bytes <= ARCHIVE_BYTES_MAX.saturating_sub(self.bytes);
        let content = if has_room { answer.body } else { Vec::new() };
        self.bytes += content.len();
        self.open.push(Open { at, bundle, named, map, bytes, content });
    }

    /// Attaches the table, and the maps where nobody else has them; notes what was found.
    fn attach(self, facts: &Facts, collected: &Collected) -> Result<Outcome, PluginError> {
        let found = self.open.len() + self.inline.len();
        let mut annotation = Annotation::new("public-source-maps", "");
        let summary = match (self.open.first(), self.inline.first()) {
            (None, None) => {
                annotation = annotation.tone(Tone::Good);
                "visitors can read none of the source maps that were looked for".to_owned()
            }
            (first, inline) => {
                annotation = annotation.tone(Tone::Warning);
                let path = first.map(|one| one.at.path.as_str()).or(inline.map(String::as_str));
                let with_sources = self.open.iter().filter(|one| one.map.has_sources).count();
                let what = count(found);
                format!(
                    "visitors can read {what}, {with_sources} with the source itself: {}",
                    path.unwrap_or_default()
                )
            }
        };
        if found > 0 {
            self.table()?;
        }
        if collected.maps == 0 && !self.open.is_empty() {
            self.keep(&release(facts))?;
        }
        annotation.value = summary.chars().take(400).collect();
        if let Err(error) = annotation.set() {
            log::debug(format!("what visitors can read was not noted: {}", error.message));
        }
        Ok(Outcome::done(summary))
    }

    fn table(&self) -> Result<(), PluginError> {
        let mut table =
            Table::new(["map", "bundle", "bytes", "named_by_bundle", "sources", "has_sources"]);
        for Open { at, bundle, named, map, bytes, .. } in &self.open {
            let (bytes, sources) = (bytes.to_string(), map.sources.to_string());
            table.row([&at.path, bundle, &bytes, yes(*named), &sources, yes(map.has_sources)]);
        }
        for bundle in &self.inline {
            table.row(["inline", bundle, "", "yes", "", ""]);
        }
        table.attach("public-source-maps.csv", "Source maps that visitors can read")
    }

    fn keep(&self, release: &str) -> Result<(), PluginError> {
        let mut archive = Archive::default();
        for one in self.open.iter().filter(|one| !one.content.is_empty()) {
            archive.add(one.at.path.split('?').next().unwrap_or_default(), &one.content);
        }
        log::info(format!("{} of source maps are kept", size(archive.len() as u64)));
        Artifact::new(format!("source-maps-{release}.tar"), Kind::File, "application/x-tar")
            .title(format!("Source maps of {release}"))
            .attach(&archive.finish())?;
        Ok(())
    }
}
