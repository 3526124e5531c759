//! A database that answers as `https://api.osv.dev` does, and what is remembered of its answers.
//!
//! **Invariant: a refusal is never hidden by the cache.** What was not granted fails, however much is
//! remembered; an old answer takes the place of a new one only where the database itself does not answer.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use windlass_plugin_locked::{Component, Ecosystem};
use windlass_sdk::http::{HttpError, Reason, Request, Response};
use windlass_sdk::{PluginError, cache, log};

use crate::osv::{Entry, Matches, normal_name};

/// Packages that are asked for at once: as many as osv.dev takes.
const BATCH: usize = 1_000;
/// Answers that go on on another page.
const PAGES_MAX: usize = 50;
/// Entries that are fetched.
const ENTRIES_MAX: usize = 2_000;

/// Where and how long.
#[derive(Debug)]
pub(crate) struct Api<'a> {
    /// `https://api.osv.dev`
    pub(crate) base: &'a str,
    /// How long an answer is as good as a new one.
    pub(crate) fresh: Duration,
    /// What has to be granted.
    pub(crate) methods: &'a [&'a str],
}

/// What the database found, as it is remembered.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Found {
    /// Seconds since 1970.
    at_s: u64,
    /// Id and time of change by package URL.
    ids: BTreeMap<String, Vec<(String, String)>>,
}

impl Api<'_> {
    /// Asks for all components, then for the entries that it names.
    ///
    /// # Errors
    /// `vulnerabilities.denied`, `vulnerabilities.unreachable`, `vulnerabilities.refused`.
    pub(crate) fn look_up(&self, components: &[&Component]) -> Result<Matches, PluginError> {
        let mut matches = Matches::default();
        if components.is_empty() {
            return Ok(matches);
        }
        let found = self.found(components, &mut matches.notes)?;
        for (purl, ids) in &found.ids {
            for (id, modified) in ids {
                if !matches.entries.contains_key(id) {
                    if matches.entries.len() >= ENTRIES_MAX {
                        matches.notes.push(format!(
                            "more than {ENTRIES_MAX} entries were found; the others are not in this"
                        ));
                        return Ok(matches);
                    }
                    let entry = self.entry(id, modified)?;
                    matches.entries.insert(id.clone(), entry);
                }
                let withdrawn = matches.entries.get(id).is_some_and(|it| it.withdrawn.is_some());
                if !withdrawn {
                    matches.found.entry(purl.clone()).or_default().push(id.clone());
                }
            }
        }
        Ok(matches)
    }

    fn found(
        &self,
        components: &[&Component],
        notes: &mut Vec<String>,
    ) -> Result<Found, PluginError> {
        let key = self.key("found", components.iter().map(|component| component.purl.as_str()));
        let known: Option<Found> = cache::get_json(&key);
        let now_s = now_s();
        let age = |known: &Found| Duration::from_secs(now_s.saturating_sub(known.at_s));
        if let Some(known) = known.as_ref().filter(|known| age(known) < self.fresh) {
            log::info(format!("{} said this {} s ago", self.base, age(known).as_secs()));
            return Ok(Found { at_s: known.at_s, ids: known.ids.clone() });
        }
        match self.ask(components) {
            Ok(ids) => {
                let found = Found { at_s: now_s, ids };
                remember(&key, &found);
                Ok(found)
            }
            Err(error) => match known.filter(|_| error.retryable) {
                Some(known) => {
                    let hours = age(&known).as_secs() / 3_600;
                    let what = error.message;
                    notes.push(format!("{what}; what it said {hours} hours ago is used"));
                    Ok(known)
                }
                None => Err(error),
            },
        }
    }

    /// `POST /v1/querybatch`, page by page.
    fn ask(
        &self,
        components: &[&Component],
    ) -> Result<BTreeMap<String, Vec<(String, String)>>, PluginError> {
        let url = format!("{}/v1/querybatch", self.base);
        let mut ids: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for batch in components.chunks(BATCH) {
            let mut open: Vec<(&Component, Value)> =
                batch.iter().map(|component| (*component, query(component))).collect();
            for _ in 0..PAGES_MAX {
                if open.is_empty() {
                    break;
                }
                let queries: Vec<&Value> = open.iter().map(|(_, query)| query).collect();
                let request = Request::post_json(&url, &json!({ "queries": queries }));
                let answer: Value = self.send(&request)?.json().map_err(|it| self.failed(it))?;
                let results = answer.get("results").and_then(Value::as_array);
                let results = results.filter(|it| it.len() == open.len()).ok_or_else(|| {
                    self.broken(format!("{url} did not answer one result for each query"))
                })?;
                let mut more = Vec::new();
                for ((component, mut query), result) in open.into_iter().zip(results) {
                    let all = ids.entry(component.purl.clone()).or_default();
                    let vulns = result.get("vulns").and_then(Value::as_array);
                    for vuln in vulns.into_iter().flatten() {
                        all.push(named(vuln).ok_or_else(|| {
                            self.broken(format!("{url} named something that is no id of OSV"))
                        })?);
                    }
                    if let Some(token) = result.get("next_page_token").and_then(Value::as_str) {
                        query["page_token"] = token.into();
                        more.push((component, query));
                    }
                }
                open = more;
            }
            if !open.is_empty() {
                let what = format!("{url} goes on for more than {PAGES_MAX} pages");
                return Err(self.broken(what));
            }
        }
        ids.retain(|_, ids| !ids.is_empty());
        Ok(ids)
    }

    /// `GET /v1/vulns/ID`, unless it has not changed since it was asked for last.
    fn entry(&self, id: &str, modified: &str) -> Result<Entry, PluginError> {
        let key = self.key("entry", std::iter::once(id));
        let known: Option<Entry> = cache::get_json(&key);
        if let Some(known) = known.as_ref().filter(|it| it.modified == modified) {
            return Ok(known.clone());
        }
        let request = Request::get(format!("{}/v1/vulns/{id}", self.base));
        let fetched = self.send(&request).and_then(|answer| {
            let value: Value = answer.json().map_err(|error| self.failed(error))?;
            Entry::read(value)
                .map_err(|why| self.broken(format!("{id} is not an entry of OSV: {why}")))
        });
        match (fetched, known) {
            (Ok(entry), _) => {
                remember(&key, &entry);
                Ok(entry)
            }
            (Err(error), Some(known)) if error.retryable => Ok(known),
            (Err(error), _) => Err(error),
        }
    }

    fn send(&self, request: &Request) -> Result<Response, PluginError> {
        let answer = self.answer(request)?;
        if answer.is_success() {
            return Ok(answer);
        }
        let hint = format!("check whether {} answers as https://api.osv.dev does", self.base);
        Err(PluginError::new("vulnerabilities.refused", said(request, &answer)).hint(hint))
    }

    /// What a server answers that is neither busy nor out of order.
    ///
    /// # Errors
    /// `vulnerabilities.denied`, `vulnerabilities.unreachable`.
    pub(crate) fn answer(&self, request: &Request) -> Result<Response, PluginError> {
        let answer = request.send().map_err(|error| self.failed(error))?;
        if answer.status != 429 && answer.status < 500 {
            return Ok(answer);
        }
        Err(PluginError::new("vulnerabilities.unreachable", said(request, &answer))
            .hint("deploy again, or set `on_failure = \"warn\"` for the stage")
            .retryable())
    }

    /// An answer that is not as osv.dev answers.
    fn broken(&self, message: String) -> PluginError {
        self.failed(HttpError { reason: Reason::Protocol, message })
    }

    fn failed(&self, error: HttpError) -> PluginError {
        let (base, said, reason) = (self.base, &error.message, error.reason);
        if reason == Reason::Denied {
            let what = format!("the database {base} may not be asked: {said}");
            return PluginError::new("vulnerabilities.denied", what).hint(self.grant());
        }
        let what = format!("{base}: {said}");
        let error = PluginError::new("vulnerabilities.unreachable", what);
        if matches!(reason, Reason::OverLimit | Reason::TooLarge) {
            return error.hint(
                "have `stages.http_requests_max` or `stages.http_response_bytes_max` raised in the limits file, \
                 or set the option `database` to a folder of the source with entries of OSV",
            );
        }
        error.retryable().hint(
            "deploy again; or set `on_failure = \"warn\"` for the stage, or the option `database` to a \
             folder of the source with entries of OSV",
        )
    }

    /// What the operator enters, so that it may be asked.
    fn grant(&self) -> String {
        let host = self.base.split("//").nth(1).unwrap_or(self.base);
        let host = host.split('/').next().unwrap_or(host);
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let grants = json!([
            {"name": "source", "paths": ["**"]},
            {"name": "artifacts"},
            {"name": "cache"},
            {"name": "annotations"},
            {"name": "http", "hosts": [host], "methods": self.methods},
        ]);
        let private = match self.base {
            crate::OSV => String::new(),
            _ => format!(
                " (for an address of a private network add \"private\": [\"{name}\"] to http)"
            ),
        };
        format!("grant it: windlass plugin grant vulnerabilities '{grants}'{private}")
    }

    /// Keys of the cache have up to 200 bytes, and two databases are two.
    pub(crate) fn key<'k>(&self, what: &str, parts: impl Iterator<Item = &'k str>) -> String {
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            hash.update(part.as_bytes());
            hash.update([0]);
        };
        add(self.base);
        parts.for_each(&mut add);
        format!("{what}/{}", hex::encode(hash.finalize()))
    }
}

/// What a server said, shortened.
pub(crate) fn said(request: &Request, answer: &Response) -> String {
    let said: String = answer.text().chars().filter(|c| !c.is_control()).take(200).collect();
    format!("{} answered {}: {said}", request.url, answer.status)
}

fn query(component: &Component) -> Value {
    let (ecosystem, version) = (component.ecosystem, component.version.as_str());
    // There the versions of Go have no letter.
    let version = match ecosystem {
        Ecosystem::Go => version.trim_start_matches('v'),
        _ => version,
    };
    // Names of NuGet are case-insensitive in the registry, but not in the database.
    let name = match ecosystem {
        Ecosystem::NuGet => component.name.clone(),
        _ => normal_name(ecosystem, &component.name),
    };
    json!({ "package": { "ecosystem": ecosystem.osv(), "name": name }, "version": version })
}

/// Id and time of change. An id becomes a part of an address, so nothing else is taken for one.
fn named(vuln: &Value) -> Option<(String, String)> {
    let id = vuln.get("id")?.as_str()?;
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    let fits = (1..=100).contains(&id.len()) && id.chars().all(letter) && !id.starts_with('.');
    let modified = vuln.get("modified").and_then(Value::as_str).unwrap_or_default();
    fits.then(|| (id.to_owned(), modified.to_owned()))
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map(|since| since.as_secs()).unwrap_or_default()
}

/// Without a cache the database is asked each time; that one was not granted is as the operator wants it.
pub(crate) fn remember<T: Serialize>(key: &str, value: &T) {
    let Err(error) = cache::put_json(key, value) else { return };
    let line = format!("an answer of the database is not remembered: {}", error.message);
    match error.reason {
        cache::Reason::Denied => log::debug(line),
        _ => log::warn(line),
    }
}
