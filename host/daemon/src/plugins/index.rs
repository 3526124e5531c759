//! Indexes: where plugins are looked for. `plugins.lock` says where they are and whose signature counts; their files
//! are kept in a folder beside it, for when a server is away.
//!
//! **Invariant: what an index says is used only after its signature was checked as its policy says**, of a file that
//! was kept before too. An index says where a file is and which digest it has; what the file may do and whether it
//! is signed is looked at as of any other.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use windlass_model::plugin::Stage;
use windlass_model::plugin::discover::{
    self, INDEXES_MAX, IndexSource, IndexView, IndexesView, SearchView, SetIndex, Unresolved,
    Wanted,
};
use windlass_model::plugin::index::{BYTES_MAX, Index, Parsed, Release};
use windlass_model::plugin::lock::{Policy, Signature, Signatures, is_name};
use windlass_model::{Digest, Failure, Timestamp};

use super::fetch::{self, Got, Reach, SMALL_TIME_MAX, Wish};
use super::install::blocking;
use super::signature::Proof;
use super::{Plugins, signature};

/// Folder of files that were fetched, in that of the installed plugins. No plugin can have this name.
const FOLDER: &str = ".indexes";
/// A file that a server was asked for so recently is not asked for again by a search.
const FRESH: Duration = Duration::from_secs(60);
/// Plugins that a search answers.
const FOUND_MAX: usize = 200;
/// Characters of what is searched for.
const WORDS_CHARS_MAX: usize = 200;
/// What stands before the path of a file of the host.
const FILE: &str = "file://";

/// What is known of each index's file.
pub(super) struct Indexes {
    folder: PathBuf,
    kept: Mutex<BTreeMap<String, Kept>>,
    /// Held while files are fetched: who waits for it finds fresh what was asked for after he came.
    looking: tokio::sync::Mutex<()>,
}

/// What is known of one.
#[derive(Clone)]
struct Kept {
    source: IndexSource,
    file: Option<Arc<File>>,
    /// When its source began to be asked.
    asked_at: Instant,
    /// Why there is no newer file, or none.
    problem: Option<Failure>,
}

/// A file that was fetched, and read.
struct File {
    parsed: Parsed,
    signature: Signature,
    fetched_at: Timestamp,
    etag: Option<String>,
    /// What it was read from.
    mark: Digest,
}

/// How it is kept on disk.
#[derive(Serialize, Deserialize)]
struct Stored {
    url: String,
    etag: Option<String>,
    fetched_at: Timestamp,
    signature: Option<String>,
    text: String,
}

impl Stored {
    /// Of what a source gave: it is the same as long as that is.
    fn mark(&self) -> Digest {
        Digest::of_json(&(&self.text, &self.signature, &self.etag))
    }
}

/// What a source gave.
enum Fetched {
    Unchanged,
    New { text: String, etag: Option<String>, signature: Option<String> },
}

/// What a name means.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) release: Release,
    /// Where the index is that says so.
    index_url: String,
}

impl Resolved {
    /// Where the address in the index may lead: an index that whoever rules the host has on its disk names what it
    /// wants, one of the web nothing inside but what its own server has.
    pub(super) fn reach(&self) -> Reach<'_> {
        match self.index_url.starts_with(FILE) {
            true => Reach::Anywhere,
            false => Reach::Outside { but: &self.index_url },
        }
    }
}

impl Indexes {
    pub(super) fn new(installed: &Path) -> Self {
        let folder = installed.join(FOLDER);
        Self { folder, kept: Mutex::default(), looking: tokio::sync::Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of each of these, looked at anew where that was longer ago than `age_max`.
    async fn all(
        &self,
        sources: &BTreeMap<String, IndexSource>,
        age_max: Duration,
    ) -> BTreeMap<String, Kept> {
        let came = Instant::now();
        if !self.stale(sources, came, age_max).is_empty() {
            let _looking = self.looking.lock().await;
            let stale = self.stale(sources, came, age_max);
            let looked = stale.into_iter().map(|(name, source, before)| async move {
                let kept = self.look(&name, &source, before).await;
                (name, kept)
            });
            let looked = futures::future::join_all(looked).await;
            self.kept().extend(looked);
        }
        let kept = self.kept();
        let of_them = kept.iter().filter(|(name, one)| sources.get(*name) == Some(&one.source));
        of_them.map(|(name, one)| (name.clone(), one.clone())).collect()
    }

    /// The sources that have to be asked again for somebody who came then, each with the file that is here. A file
    /// of the host is read for everybody anew.
    fn stale(
        &self,
        sources: &BTreeMap<String, IndexSource>,
        came: Instant,
        age_max: Duration,
    ) -> Vec<(String, IndexSource, Option<Arc<File>>)> {
        let mut kept = self.kept();
        kept.retain(|name, one| sources.get(name) == Some(&one.source));
        let is_stale = |one: &Kept| {
            let since = match one.source.url.starts_with(FILE) {
                true => Some(came),
                false => came.checked_sub(age_max),
            };
            since.is_none_or(|since| one.asked_at < since)
        };
        let stale = sources.iter().filter(|(name, _)| kept.get(*name).is_none_or(is_stale));
        let with_file = stale.map(|(name, source)| {
            let before = kept.get(name).and_then(|one| one.file.clone());
            (name.clone(), source.clone(), before)
        });
        with_file.collect()
    }

    /// Fetches a file, if it is another one than before.
    async fn look(&self, name: &str, source: &IndexSource, before: Option<Arc<File>>) -> Kept {
        let asked_at = Instant::now();
        let before = match before {
            Some(before) => Some(before),
            None => self.stored(name, source).await.map(Arc::new),
        };
        let etag = before.as_ref().and_then(|file| file.etag.clone());
        let looked = match fetch_file(name, source, etag).await {
            Ok(Fetched::Unchanged) if before.is_some() => Ok(None),
            Ok(Fetched::Unchanged) => {
                let why = "the server answered 304 Not Modified, and nothing was here before";
                Err(unreadable(name, why.to_owned()))
            }
            Ok(Fetched::New { text, etag, signature }) => {
                let url = source.url.clone();
                let stored = Stored { url, etag, fetched_at: Timestamp::now(), signature, text };
                let mark = stored.mark();
                if before.as_ref().is_some_and(|before| before.mark == mark) {
                    // It was read and kept as it is.
                    Ok(None)
                } else {
                    match read(name, source, &stored) {
                        Ok(file) => self.store(name, stored).await.map(|()| Some(Arc::new(file))),
                        Err(failure) => Err(failure),
                    }
                }
            }
            Err(failure) => Err(failure),
        };
        let (file, problem) = match looked {
            Ok(Some(new)) => (Some(new), None),
            Ok(None) => (before, None),
            Err(failure) => (before, Some(failure)),
        };
        Kept { source: source.clone(), file, asked_at, problem }
    }

    /// The file that was kept of this very source, if its signature still counts.
    async fn stored(&self, name: &str, source: &IndexSource) -> Option<File> {
        let path = self.path(name);
        let bytes = blocking("read an index", move || std::fs::read(path)).await.ok()?;
        let stored: Stored = serde_json::from_slice(&bytes).ok()?;
        if stored.url != source.url {
            return None;
        }
        read(name, source, &stored).ok()
    }

    async fn store(&self, name: &str, stored: Stored) -> Result<(), Failure> {
        let (folder, path) = (self.folder.clone(), self.path(name));
        blocking("keep an index", move || {
            std::fs::create_dir_all(&folder)?;
            let mut file = tempfile::Builder::new().prefix(".index-").tempfile_in(&folder)?;
            file.write_all(&serde_json::to_vec(&stored).map_err(io::Error::other)?)?;
            file.persist(path).map_err(|error| error.error).map(drop)
        })
        .await
    }

    async fn forget(&self, name: &str) {
        self.kept().remove(name);
        let path = self.path(name);
        // One that is left is that of a source that nobody names.
        let _ = blocking("remove an index", move || std::fs::remove_file(path)).await;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }
}

impl Plugins {
    /// All indexes.
    pub(crate) async fn indexes(&self) -> IndexesView {
        let kept = self.indexed(FRESH).await;
        IndexesView { indexes: kept.iter().map(|(name, kept)| view(name, kept)).collect() }
    }

    /// Adds an index, or exchanges the one of its name, when its file can be read. Durable when it returns.
    ///
    /// # Errors
    /// `plugin.index-invalid`, `plugin.key-invalid`, `plugin.index-unreadable`, `plugin.index-signature`, and why
    /// the lock file cannot be written.
    pub(crate) async fn set_index(&self, name: &str, body: SetIndex) -> Result<IndexView, Failure> {
        let source = source(name, body)?;
        let kept = self.indexes.look(name, &source, None).await;
        if let Some(failure) = kept.problem {
            return Err(failure);
        }
        let changing = self.changing.lock().await;
        let mut set = self.writable()?;
        set.lock.indexes.insert(name.to_owned(), source);
        if set.lock.indexes.len() > INDEXES_MAX {
            let why = format!("at most {INDEXES_MAX} are kept");
            return Err(invalid(name, &why, "remove one: windlass plugin index remove NAME"));
        }
        self.commit(set, "").await?;
        drop(changing);
        let view = view(name, &kept);
        self.indexes.kept().insert(name.to_owned(), kept);
        Ok(view)
    }

    /// Removes an index; what was installed from it stays. Durable when it returns.
    ///
    /// # Errors
    /// `plugin.index-unknown`, and why the lock file cannot be written.
    pub(crate) async fn remove_index(&self, name: &str) -> Result<(), Failure> {
        let changing = self.changing.lock().await;
        let mut set = self.writable()?;
        if set.lock.indexes.remove(name).is_none() {
            return Err(unknown(name));
        }
        self.commit(set, "").await?;
        drop(changing);
        self.indexes.forget(name).await;
        Ok(())
    }

    /// Looks for plugins.
    ///
    /// # Errors
    /// `request.invalid-query` when more is searched for than anybody would.
    pub(crate) async fn search(
        &self,
        words: &str,
        stage: Option<Stage>,
    ) -> Result<SearchView, Failure> {
        if words.chars().count() > WORDS_CHARS_MAX {
            return Err(Failure::app(
                "request.invalid-query",
                "that is too much to search for",
                format!("it has more than {WORDS_CHARS_MAX} characters"),
                "search for some words",
            ));
        }
        let words: Vec<String> = words.split_whitespace().map(ToOwned::to_owned).collect();
        let kept = self.indexed(FRESH).await;
        let set = self.set();
        let installed =
            |name: &str| set.find(name).map(|(plugin, _)| plugin.info().manifest.version.clone());
        let speaks = windlass_sandbox::speaks;
        let (found, total) =
            discover::search(&readable(&kept), &words, stage, FOUND_MAX, &speaks, &installed);
        let problems =
            kept.iter().filter_map(|(name, one)| Some((name.clone(), one.problem.clone()?)));
        Ok(SearchView { found, total, problems: problems.collect() })
    }

    /// What a name means in the indexes, which are all looked at anew.
    ///
    /// # Errors
    /// `plugin.not-in-index`, `plugin.ambiguous`, `plugin.index-unknown`; `plugin.url-invalid` when it is no name.
    pub(crate) async fn resolve(&self, text: &str) -> Result<Resolved, Failure> {
        let Ok(wanted) = text.parse::<Wanted>();
        if !is_name(&wanted.name) {
            return Err(Failure::app(
                "plugin.url-invalid",
                "that is neither an address nor a name",
                "an address begins with https:// or oci://, a name in an index is such as scan or acme/scan@1.2.0",
                "windlass plugin install https://example.com/scan.wasm",
            ));
        }
        let kept = self.indexed(Duration::ZERO).await;
        let resolved = discover::resolve(&readable(&kept), &wanted, &windlass_sandbox::speaks);
        let found = resolved.map(|(index, release)| Resolved {
            release: release.clone(),
            index_url: kept.get(index).map(|one| one.source.url.clone()).unwrap_or_default(),
        });
        found.map_err(|why| unresolved(&wanted, &why, &kept))
    }

    async fn indexed(&self, age_max: Duration) -> BTreeMap<String, Kept> {
        let sources = self.set().lock.indexes.clone();
        self.indexes.all(&sources, age_max).await
    }
}

/// The indexes that there is a file of.
fn readable(kept: &BTreeMap<String, Kept>) -> Vec<(&str, &Index)> {
    let with_file = kept.iter().filter_map(|(name, one)| Some((name, one.file.as_deref()?)));
    with_file.map(|(name, file)| (name.as_str(), &file.parsed.index)).collect()
}

fn view(name: &str, kept: &Kept) -> IndexView {
    let file = kept.file.as_deref();
    IndexView {
        name: name.to_owned(),
        url: fetch::shown(&kept.source.url),
        policy: kept.source.policy,
        fetched_at: file.map(|file| file.fetched_at),
        plugins: file.map_or(0, |file| file.parsed.index.plugins.len() as u64),
        signature: file.map_or(Signature::NotChecked, |file| file.signature.clone()),
        skipped: file.map(|file| file.parsed.skipped.clone()).unwrap_or_default(),
        problem: kept.problem.clone(),
    }
}

/// Checks what an operator gives.
fn source(name: &str, body: SetIndex) -> Result<IndexSource, Failure> {
    if !is_name(name) {
        let why = "a name has 1 to 40 lower-case letters, digits and hyphens";
        return Err(invalid("that", why, "choose another name"));
    }
    let SetIndex { url, key, policy } = body;
    let key = key.map(|key| key.trim().to_owned());
    if let Some(key) = &key {
        signature::check_key(name, key)?;
    }
    let policy = policy.unwrap_or(match key {
        Some(_) => Policy::Require,
        None => Policy::Off,
    });
    if key.is_none() && policy != Policy::Off {
        let why = "its signature cannot be checked without a key";
        return Err(invalid(name, why, "give the key that signs it: --key minisign.pub"));
    }
    let is_file = url.strip_prefix(FILE).is_some_and(|path| path.starts_with('/'));
    let web = url.parse::<http::Uri>().ok().filter(|uri| uri.host().is_some());
    match web.as_ref().and_then(http::Uri::scheme_str) {
        _ if is_file => {}
        Some("https") => {}
        Some("http") if policy == Policy::Require => {}
        Some("http") => {
            let why = "what comes over http could be exchanged on the way";
            return Err(invalid(name, why, "use https, or give the key that signs it: --key FILE"));
        }
        _ => {
            let why = "its address is neither one of https nor that of a file of the host";
            return Err(invalid(
                name,
                why,
                "give https://…/plugins.json or file:///…/plugins.json",
            ));
        }
    }
    Ok(IndexSource { url, policy, key })
}

/// The file at its source, and the signature beside it.
async fn fetch_file(
    name: &str,
    source: &IndexSource,
    etag: Option<String>,
) -> Result<Fetched, Failure> {
    let looks = source.policy != Policy::Off;
    if let Some(path) = source.url.strip_prefix(FILE) {
        let path = PathBuf::from(path);
        let read = tokio::task::spawn_blocking(move || from_disk(&path, looks)).await;
        let read = read.map_err(io::Error::other).flatten();
        let (text, signature) = read.map_err(|error| unreadable(name, error.to_string()))?;
        return Ok(Fetched::New { text, etag: None, signature });
    }
    let url = source.url.clone();
    let wish = Wish { url, bytes_max: BYTES_MAX, time_max: SMALL_TIME_MAX, etag };
    let reach = Reach::Outside { but: &source.url };
    match fetch::get(wish, reach).await.map_err(|why| unreadable(name, why))? {
        Got::Unchanged => Ok(Fetched::Unchanged),
        Got::Absent(status) => Err(unreadable(name, format!("the server answered {status}"))),
        Got::TooLarge => Err(unreadable(name, fetch::too_large(BYTES_MAX))),
        Got::File { bytes, etag } => {
            let signature = match looks {
                true => fetch::beside(&source.url, reach).await,
                false => Ok(None),
            };
            let signature = signature.map_err(|why| unreadable(name, why))?;
            let text = String::from_utf8(bytes);
            let text = text.map_err(|_| unreadable(name, "it is not UTF-8".to_owned()))?;
            Ok(Fetched::New { text, etag, signature })
        }
    }
}

/// A file of the host, and the signature beside it. A pipe or a device is none, and is not waited for.
fn from_disk(path: &Path, looks: bool) -> io::Result<(String, Option<String>)> {
    let text = bounded(path, BYTES_MAX)?;
    let signature = [".minisig", ".sig"].iter().find_map(|ending| {
        let mut beside = path.as_os_str().to_owned();
        beside.push(ending);
        bounded(Path::new(&beside), signature::SIGNATURE_BYTES_MAX as u64).ok()
    });
    Ok((text, signature.filter(|_| looks)))
}

fn bounded(path: &Path, bytes_max: u64) -> io::Result<String> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut text = String::new();
    file.take(bytes_max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > bytes_max {
        let why = format!("it has more than the {bytes_max} bytes that it may have");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(text)
}

/// Checks who made a file, then reads it.
fn read(name: &str, source: &IndexSource, stored: &Stored) -> Result<File, Failure> {
    let keys = source.key.iter().map(|key| (name.to_owned(), key.clone())).collect();
    let trust = Signatures { policy: source.policy, keys };
    let (text, proof) = (stored.text.as_bytes(), Proof::given(stored.signature.clone()));
    let signature = signature::check(&trust, &fetch::shown(&source.url), text, &proof);
    let signature = signature.map_err(|failure| unsigned(name, &failure))?;
    let parsed = Index::parse(text).map_err(|error| unreadable(name, error.to_string()))?;
    let (fetched_at, etag) = (stored.fetched_at, stored.etag.clone());
    Ok(File { parsed, signature, fetched_at, etag, mark: stored.mark() })
}

fn invalid(name: &str, why: &str, fix: &str) -> Failure {
    Failure::app("plugin.index-invalid", format!("{name} cannot be an index"), why, fix)
}

fn unreadable(name: &str, why: String) -> Failure {
    Failure::app(
        "plugin.index-unreadable",
        format!("the index {name} could not be read"),
        why,
        "check its address; whoever publishes it mends the file",
    )
}

fn unsigned(name: &str, failure: &Failure) -> Failure {
    Failure::app(
        "plugin.index-signature",
        format!("the index {name} was not taken: {}", failure.what),
        "only a file that its key signed is taken, and the signature lies beside it as .minisig or .sig",
        "check with whoever publishes it; `windlass plugin index add` takes another key",
    )
}

fn unknown(name: &str) -> Failure {
    Failure::app(
        "plugin.index-unknown",
        format!("there is no index {name}"),
        "none of this name was added",
        "`windlass plugin index list` shows them; add it with `windlass plugin index add NAME URL`",
    )
}

fn unresolved(wanted: &Wanted, why: &Unresolved, kept: &BTreeMap<String, Kept>) -> Failure {
    let name = &wanted.name;
    let nowhere = |why: String, fix: String| {
        Failure::app("plugin.not-in-index", format!("{wanted} cannot be installed"), why, fix)
    };
    match why {
        Unresolved::NoIndex(index) => unknown(index),
        Unresolved::Ambiguous(indexes) => Failure::app(
            "plugin.ambiguous",
            format!("{wanted} could be one of several plugins"),
            why.to_string(),
            format!(
                "say which one: windlass plugin install {}/{name}",
                indexes.first().map(String::as_str).unwrap_or_default()
            ),
        ),
        Unresolved::Nowhere if kept.is_empty() => nowhere(
            "no index was added in which names could be looked up".to_owned(),
            "windlass plugin index add NAME URL; or name a file or an address".to_owned(),
        ),
        Unresolved::Nowhere => {
            let problems = kept.values().filter_map(|one| one.problem.as_ref());
            let problems = problems.map(|problem| format!("; {}: {}", problem.what, problem.why));
            nowhere(
                problems.fold(why.to_string(), |text, problem| text + &problem),
                format!("windlass plugin search {name}"),
            )
        }
        Unresolved::NoVersion(_) => {
            nowhere(why.to_string(), format!("windlass plugin install {name} takes the newest"))
        }
        Unresolved::Unfit(_) => nowhere(
            why.to_string(),
            "update Windlass, or take another version: NAME@VERSION".to_owned(),
        ),
    }
}
