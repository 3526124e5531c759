//! Indexes: added, kept, searched and installed from, with real files and real servers.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use windlass_model::plugin::discover::{IndexView, SetIndex};
use windlass_model::plugin::lock::Policy;
use windlass_model::plugin::manage::FetchPlugin;

use super::super::signature::Proof;
use super::super::signature::tests::cosign;
use super::*;

/// Files by path.
type ByPath = Vec<(String, Vec<u8>)>;

/// A server of files by path; what it was asked for is kept, heads and all.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) url: String,
    files: Arc<Mutex<ByPath>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// Whether it answers 304 to everybody.
    always_unchanged: Arc<Mutex<bool>>,
    /// The path for which it answers 403.
    refused: Arc<Mutex<Option<String>>>,
}

impl Files {
    pub(super) fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let files = Self {
            url,
            files: Arc::default(),
            asked: Arc::default(),
            always_unchanged: Arc::default(),
            refused: Arc::default(),
        };
        let own = files.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = [0; 4096];
                let n = stream.read(&mut head).unwrap();
                let head = String::from_utf8_lossy(&head[..n]).to_ascii_lowercase();
                let answer = own.answer(&head);
                own.asked.lock().unwrap().push(head);
                let _all = stream.write_all(&answer);
            }
        });
        files
    }

    pub(super) fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        let mut files = self.files.lock().unwrap();
        files.retain(|(known, _)| known != path);
        files.push((path.to_owned(), bytes.into()));
    }

    /// From now on nobody may have this file.
    pub(super) fn refuse(&self, path: &str) {
        *self.refused.lock().unwrap() = Some(path.to_owned());
    }

    /// The file, marked with its digest; 304 to whoever has it.
    fn answer(&self, head: &str) -> Vec<u8> {
        let path = head.split(' ').nth(1).unwrap_or_default();
        if self.refused.lock().unwrap().as_deref() == Some(path) {
            return b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                .to_vec();
        }
        let files = self.files.lock().unwrap();
        let found = files.iter().find(|(known, _)| known == path);
        let Some((_, bytes)) = found else {
            return b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                .to_vec();
        };
        let etag = format!("\"{}\"", Digest::of(bytes).short());
        let unchanged = *self.always_unchanged.lock().unwrap();
        if unchanged || head.contains(&format!("if-none-match: {etag}")) {
            return b"HTTP/1.1 304 Not Modified\r\nconnection: close\r\n\r\n".to_vec();
        }
        let length = bytes.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\netag: {etag}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        [head.as_bytes(), bytes].concat()
    }

    pub(super) fn asked_for(&self, path: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|head| head.starts_with(&format!("get {path} "))).cloned().collect()
    }
}

/// An index of `scan` in these versions, each at its address.
fn index(versions: &[(&str, &str, &[u8])]) -> String {
    let release = |(version, url, bytes): &(&str, &str, &[u8])| {
        json!({ "version": version, "url": url, "digest": Digest::of(bytes),
                "interfaces": ["windlass:detector/detector@1.0.0"] })
    };
    let versions: Vec<Value> = versions.iter().map(release).collect();
    json!({ "version": 1, "plugins": [{
        "name": "scan", "summary": "Looks dependencies up", "licence": "MIT",
        "stages": ["detector"], "keywords": ["security"], "versions": versions,
    }] })
    .to_string()
}

fn at(url: &str) -> SetIndex {
    SetIndex { url: url.to_owned(), key: None, policy: None }
}

pub(super) fn wanted(name: &str) -> FetchPlugin {
    serde_json::from_value(json!({ "url": name })).unwrap()
}

impl World {
    /// Writes an index on the disk and adds it.
    async fn indexed(&self, name: &str, text: &str) -> Result<IndexView, Failure> {
        let path = self.dir.path().join(format!("{name}.json"));
        std::fs::write(&path, text).unwrap();
        self.plugins.set_index(name, at(&format!("file://{}", path.display()))).await
    }

    async fn found(&self, words: &str) -> Vec<String> {
        let view = self.plugins.search(words, None).await.unwrap();
        view.found
            .into_iter()
            .map(|found| format!("{}/{}", found.index, found.entry.name))
            .collect()
    }
}

#[tokio::test]
async fn a_plugin_is_found_by_name_installed_with_its_digest_and_upgraded() {
    let world = World::new();
    let files = Files::serve();
    let (first, second) = (component("1.0.0", json!([])), component("1.1.0", json!([])));
    let (one, two) = (format!("{}/1.wasm", files.url), format!("{}/2.wasm", files.url));
    files.put("/1.wasm", first.clone());
    files.put("/2.wasm", second.clone());
    let nobody = world.plugins.fetch(wanted("scan"), &[]).await.err().unwrap();
    assert_eq!(nobody.code, "plugin.not-in-index");
    assert!(nobody.why.contains("no index was added"), "{nobody:?}");

    let view = world.indexed("acme", &index(&[("1.0.0", &one, &first)])).await.unwrap();
    assert_eq!((view.plugins, view.fetched_at.is_some(), view.problem), (1, true, None));
    assert_eq!(world.found("security").await, ["acme/scan"]);
    let file = world.plugins.fetch(wanted("scan"), &[]).await.unwrap();
    assert_eq!(file.bytes, first);
    world.install(file.bytes, None).await.unwrap();

    world
        .indexed("acme", &index(&[("1.0.0", &one, &first), ("1.1.0", &two, &second)]))
        .await
        .unwrap();
    let view = world.plugins.search("scan", Some(Stage::Detector)).await.unwrap();
    let [found] = view.found.as_slice() else { panic!("{view:?}") };
    let here = (found.installed.as_deref(), found.newer, found.fits.as_deref());
    assert_eq!(here, (Some("1.0.0"), true, Some("1.1.0")));
    assert_eq!(world.plugins.fetch(wanted("scan"), &[]).await.unwrap().bytes, second);
    let file = world.plugins.fetch(wanted("acme/scan@1.0.0"), &[]).await.unwrap();
    assert_eq!(file.bytes, first);

    // The server gives something else than the index says; or another file is meant.
    files.put("/2.wasm", first.clone());
    let other = world.plugins.fetch(wanted("scan"), &[]).await.err().unwrap();
    assert_eq!(other.code, "plugin.digest-wrong");
    let mut meant = wanted("scan@1.0.0");
    meant.digest = Some(Digest::of(&second));
    let other = world.plugins.fetch(meant, &[]).await.err().unwrap();
    assert_eq!(other.code, "plugin.digest-wrong");
}

#[tokio::test]
async fn a_name_in_two_indexes_is_refused_with_both_and_one_is_removed() {
    let mut world = World::new();
    let text = index(&[("1.0.0", "https://example.com/1.wasm", b"1")]);
    for name in ["acme", "other"] {
        world.indexed(name, &text).await.unwrap();
    }
    let code = async |world: &World, name: &str| {
        let failure = world.plugins.resolve(name).await.unwrap_err();
        (failure.code.clone(), failure.why)
    };
    let (ambiguous, why) = code(&world, "scan").await;
    assert_eq!((ambiguous.as_str(), why.as_str()), ("plugin.ambiguous", "it is in acme and other"));
    assert!(world.plugins.resolve("other/scan").await.is_ok());
    for (name, expected) in [
        ("scan@2.0.0", "plugin.ambiguous"),
        ("acme/scan@2.0.0", "plugin.not-in-index"),
        ("third/scan", "plugin.index-unknown"),
        ("none", "plugin.not-in-index"),
        ("../scan", "plugin.index-unknown"),
        ("Scan", "plugin.url-invalid"),
    ] {
        assert_eq!(code(&world, name).await.0, expected, "{name}");
    }
    world.again();
    assert_eq!(world.plugins.indexes().await.indexes.len(), 2, "the lock has them");
    world.plugins.remove_index("acme").await.unwrap();
    assert!(world.plugins.resolve("scan").await.is_ok());
    assert_eq!(world.plugins.remove_index("acme").await.unwrap_err().code, "plugin.index-unknown");
    let far = text.replace("detector@1.0.0", "detector@9.0.0");
    world.indexed("other", &far).await.unwrap();
    let (unfit, why) = code(&world, "scan").await;
    assert_eq!(unfit, "plugin.not-in-index");
    assert!(why.contains("windlass:detector/detector@9.0.0"), "{why}");
}

#[tokio::test]
async fn a_file_that_did_not_change_is_not_sent_again_and_stays_when_its_server_is_away() {
    let mut world = World::new();
    let files = Files::serve();
    let (key, signed) = signed(&index(&[("1.0.0", "https://example.com/1.wasm", b"1")]));
    files.put("/plugins.json", signed.0.clone());
    files.put("/plugins.json.sig", signed.1);
    let url = format!("{}/plugins.json", files.url);
    let body = SetIndex { url, key: Some(key), policy: None };
    let view = world.plugins.set_index("acme", body).await.unwrap();
    assert_eq!(view.policy, Policy::Require, "there is a key");
    for _ in 0..2 {
        assert!(world.plugins.resolve("scan").await.is_ok());
    }
    let asked = files.asked_for("/plugins.json");
    assert_eq!(asked.len(), 3);
    assert!(!asked[0].contains("if-none-match") && asked[2].contains("if-none-match"));
    assert_eq!(files.asked_for("/plugins.json.sig").len(), 1, "what is known is not checked again");

    // What comes instead is not what was signed: what was there stays, and it is said.
    files.put("/plugins.json", index(&[("6.6.6", "https://example.com/6.wasm", b"6")]));
    assert_eq!(world.plugins.resolve("scan").await.unwrap().release.version, "1.0.0");
    let view = world.plugins.search("", None).await.unwrap();
    assert_eq!(view.problems[0].1.code, "plugin.index-signature");
    files.files.lock().unwrap().clear();
    world.again();
    assert_eq!(world.found("scan").await, ["acme/scan"], "it was kept on the disk");
    let view = world.plugins.indexes().await;
    assert_eq!(view.indexes[0].problem.as_ref().unwrap().code, "plugin.index-unreadable");

    // What lies on the disk is checked as well.
    let kept = world.folder().join(".indexes/acme.json");
    let text = std::fs::read_to_string(&kept).unwrap();
    std::fs::write(&kept, text.replace("1.0.0", "6.6.6")).unwrap();
    world.again();
    assert!(world.found("scan").await.is_empty());
}

#[tokio::test]
async fn who_waits_for_an_index_that_is_fetched_does_not_have_it_fetched_once_more() {
    let world = World::new();
    let files = Files::serve();
    let (key, signed) = signed(&index(&[("1.0.0", "https://example.com/1.wasm", b"1")]));
    files.put("/plugins.json", signed.0);
    files.put("/plugins.json.sig", signed.1);
    let url = format!("{}/plugins.json", files.url);
    let body = SetIndex { url, key: Some(key), policy: None };
    world.plugins.set_index("acme", body).await.unwrap();
    let resolved = (0..8).map(|_| world.plugins.resolve("scan"));
    for resolved in futures::future::join_all(resolved).await {
        assert_eq!(resolved.unwrap().release.version, "1.0.0");
    }
    // When it was added, for the first, and for all who came while it was fetched for the first.
    assert!(files.asked_for("/plugins.json").len() <= 3);
    world.found("scan").await;
    assert!(files.asked_for("/plugins.json").len() <= 3, "it is fresh");
}

#[tokio::test]
async fn a_server_that_says_unchanged_to_whoever_has_nothing_has_no_index() {
    let world = World::new();
    let files = Files::serve();
    let (key, signed) = signed(&index(&[("1.0.0", "https://example.com/1.wasm", b"1")]));
    files.put("/plugins.json", signed.0);
    files.put("/plugins.json.sig", signed.1);
    *files.always_unchanged.lock().unwrap() = true;
    let url = format!("{}/plugins.json", files.url);
    let body = SetIndex { url, key: Some(key), policy: None };
    let failure = world.plugins.set_index("acme", body.clone()).await.unwrap_err();
    assert_eq!(failure.code, "plugin.index-unreadable", "{failure:?}");
    assert!(failure.why.contains("nothing was here before"), "{failure:?}");
    *files.always_unchanged.lock().unwrap() = false;
    assert_eq!(world.plugins.set_index("acme", body).await.unwrap().plugins, 1);
}

/// A key, and a text with its signature.
fn signed(text: &str) -> (String, (String, String)) {
    let (key, signature) = cosign(text.as_bytes());
    (key, (text.to_owned(), signature))
}

#[tokio::test]
async fn what_cannot_be_an_index_is_refused_and_nothing_of_it_is_kept() {
    let world = World::new();
    let (key, _) = signed("");
    let with = |url: &str, key: Option<&str>, policy| SetIndex {
        url: url.to_owned(),
        key: key.map(ToOwned::to_owned),
        policy,
    };
    let folder = format!("file://{}", world.dir.path().display());
    for (name, body, code) in [
        ("Acme", at("https://example.com/a.json"), "plugin.index-invalid"),
        ("acme", at("a.json"), "plugin.index-invalid"),
        ("acme", at("file://a.json"), "plugin.index-invalid"),
        ("acme", at("http://example.com/a.json"), "plugin.index-invalid"),
        ("acme", with("http://a/a", Some(&key), Some(Policy::Warn)), "plugin.index-invalid"),
        ("acme", with("https://a/a", None, Some(Policy::Require)), "plugin.index-invalid"),
        ("acme", with("https://a/a", Some("none"), None), "plugin.key-invalid"),
        ("acme", at("file:///nowhere/plugins.json"), "plugin.index-unreadable"),
        ("acme", at(&folder), "plugin.index-unreadable"),
        ("acme", at("file:///dev/zero"), "plugin.index-unreadable"),
    ] {
        let failure = world.plugins.set_index(name, body.clone()).await.unwrap_err();
        assert_eq!(failure.code, code, "{name} {body:?}: {failure:?}");
    }
    for text in [
        "",
        "{",
        r#"{"version": 2}"#,
        r#"{"version": 1, "plugins": [{"name": "a"}, {"name": "a"}]}"#,
    ] {
        let failure = world.indexed("acme", text).await.unwrap_err();
        assert_eq!(failure.code, "plugin.index-unreadable", "{text}: {failure:?}");
    }
    let text = index(&[("1.0.0", "https://example.com/1.wasm", b"1")]);
    let path = world.dir.path().join("signed.json");
    std::fs::write(&path, &text).unwrap();
    let url = format!("file://{}", path.display());
    let (key, (_, signature)) = signed(&text);
    let unsigned = world.plugins.set_index("acme", with(&url, Some(&key), None)).await.unwrap_err();
    assert_eq!(unsigned.code, "plugin.index-signature");
    let warned = with(&url, Some(&key), Some(Policy::Warn));
    let warned = world.plugins.set_index("warned", warned).await.unwrap();
    assert_eq!(warned.signature, Signature::Absent);
    std::fs::write(world.dir.path().join("signed.json.sig"), signature).unwrap();
    let good = world.plugins.set_index("acme", with(&url, Some(&key), None)).await.unwrap();
    assert_eq!(good.signature, Signature::Verified { key: "acme".to_owned() });
    let names: Vec<String> =
        world.plugins.indexes().await.indexes.into_iter().map(|index| index.name).collect();
    assert_eq!(names, ["acme", "warned"]);
    let long = "x".repeat(201);
    let failure = world.plugins.search(&long, None).await.unwrap_err();
    assert_eq!(failure.code, "request.invalid-query");
}

#[tokio::test]
async fn a_file_that_is_read_again_is_kept_again_only_when_it_changed() {
    let world = World::new();
    let text = index(&[("1.0.0", "https://example.com/1.wasm", b"1")]);
    world.indexed("acme", &text).await.unwrap();
    let kept = world.folder().join(".indexes/acme.json");
    std::fs::remove_file(&kept).unwrap();
    assert_eq!(world.found("").await, ["acme/scan"]);
    assert!(!kept.exists(), "nothing is new");
    std::fs::write(world.dir.path().join("acme.json"), text.replace("scan", "other")).unwrap();
    assert_eq!(world.found("").await, ["acme/other"]);
    assert!(kept.exists());
}

#[tokio::test]
async fn an_index_with_an_entry_that_is_wrong_is_taken_without_it() {
    let world = World::new();
    let good = index(&[("1.0.0", "https://example.com/1.wasm", b"1")]);
    let mut text: Value = serde_json::from_str(&good).unwrap();
    text["plugins"].as_array_mut().unwrap().push(json!({ "name": "odd", "stages": ["kitchen"] }));
    let view = world.indexed("acme", &text.to_string()).await.unwrap();
    assert_eq!((view.plugins, view.skipped[0].at.as_str()), (1, "/plugins/1/stages"));
    assert_eq!(world.found("").await, ["acme/scan"]);
}

#[tokio::test]
async fn a_signature_beside_an_address_is_taken_where_signatures_are_looked_at() {
    let world = World::new();
    let files = Files::serve();
    let file = component("1.0.0", json!([]));
    let (key, signature) = cosign(&file);
    files.put("/scan.wasm", file.clone());
    let mut plain = wanted(&format!("{}/scan.wasm", files.url));
    plain.digest = Some(Digest::of(&file));
    let fetched = world.plugins.fetch(plain.clone(), &[]).await.unwrap();
    assert_eq!(fetched.proof, Proof::Nothing { looked: None });
    assert!(files.asked_for("/scan.wasm.minisig").is_empty(), "nobody looks at signatures");

    let add = [("author".to_owned(), key)].into();
    let body = SetSignatures { policy: Some(Policy::Require), add, ..SetSignatures::default() };
    world.plugins.trust(body).await.unwrap();
    let fetched = world.plugins.fetch(plain.clone(), &[]).await.unwrap();
    let url = &plain.url;
    let looked = Some(format!("{url}.minisig or {url}.sig"));
    assert_eq!(fetched.proof, Proof::Nothing { looked }, "404: none");
    files.put("/scan.wasm.sig", signature.clone());
    let beside = Proof::OfFile(signature);
    let fetched = world.plugins.fetch(plain.clone(), &[]).await.unwrap();
    assert_eq!(fetched.proof, beside);
    plain.signature = Some("given".to_owned());
    let given = world.plugins.fetch(plain.clone(), &[]).await.unwrap();
    assert_eq!(given.proof, Proof::OfFile("given".to_owned()), "what is given counts");
    // A page for every path is no signature, however large it is.
    plain.signature = None;
    for page in [vec![b'x'; 9_000], b"<html></html>".to_vec()] {
        files.put("/scan.wasm.minisig", page);
        let fetched = world.plugins.fetch(plain.clone(), &[]).await.unwrap();
        assert_eq!(fetched.proof, beside);
    }
}
