//! `windlass plugin`: what is said before anything is granted, and what is sent.

use serde_json::{Value, json};
use windlass_cli::exit::Exit;

use crate::common::{Server, run};
use crate::error;

fn proposal(installed: bool) -> String {
    json!({
        "name": "scan", "version": "1.2.0", "digest": format!("sha256:{}", "ab".repeat(32)),
        "bytes": 2048, "summary": "Looks dependencies up", "licence": "MIT", "stages": ["custom"],
        "asks": [{
            "capability": { "name": "http", "hosts": ["api.osv.dev"], "methods": ["POST"],
                            "reason": "asks for advisories" },
            "granted": [],
        }],
        "signature": { "is": "not-checked" }, "installed": installed,
    })
    .to_string()
}

fn chosen(options: Value) -> String {
    json!({ "project": "shop", "plugin": "scan", "enabled": true, "version": "1.2.0",
            "pinned": false, "options": options })
    .to_string()
}

/// A folder with a component and its signature.
fn folder() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scan.wasm");
    std::fs::write(&file, b"component").unwrap();
    let file = file.to_str().unwrap().to_owned();
    (folder, file)
}

#[test]
fn what_a_plugin_asks_for_is_said_and_nothing_is_granted_without_a_word() {
    let (folder, file) = folder();
    std::fs::write(folder.path().join("scan.wasm.minisig"), "the signature").unwrap();
    let refused = error("plugin.not-granted");
    let server = Server::json(vec![("200 OK", proposal(false)), ("409 Conflict", refused)]);
    let ran = run(&["--url", &server.url, "plugin", "install", &file], "");
    assert_eq!(ran.exit, Exit::Refused);
    for said in ["http: POST at api.osv.dev: not granted", "because: asks for advisories"] {
        assert!(ran.out.contains(said), "{}", ran.out);
    }
    assert!(ran.err.contains("code: plugin.not-granted"), "{}", ran.err);
    let sent = server.finish();
    assert!(sent[0].line.starts_with("POST /v1/plugins?name=scan.wasm&dry_run=true&"));
    assert!(sent[1].line.contains("dry_run=false") && !sent[1].line.contains("grant="));
    assert!(sent[1].line.contains("signature=the%20signature"), "{}", sent[1].line);
    assert_eq!(sent[1].body, b"component");
}

#[test]
fn a_grant_goes_with_the_file_and_an_address_is_fetched_by_the_host() {
    let (_folder, file) = folder();
    let server = Server::json(vec![("200 OK", proposal(false)), ("200 OK", proposal(true))]);
    let args = ["--url", &server.url, "plugin", "install", &file, "--grant", "http,exec"];
    let ran = run(&args, "");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert!(ran.out.ends_with("scan 1.2.0 is installed\n"), "{}", ran.out);
    assert!(server.finish()[1].line.contains("grant=http%2Cexec"));

    // For a program it is sent once: nothing is said of it before.
    let server = Server::json(vec![("200 OK", proposal(true))]);
    let args = ["--url", &server.url, "--json", "plugin", "install", &file, "--grant", "http"];
    let ran = run(&args, "");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    let sent = server.finish();
    let [once] = sent.as_slice() else { panic!("{sent:?}") };
    assert!(once.line.contains("dry_run=false") && once.body == b"component", "{}", once.line);

    let server = Server::json(vec![("200 OK", proposal(false)), ("200 OK", proposal(true))]);
    let from = "https://example.com/scan.wasm";
    let ran = run(&["--url", &server.url, "plugin", "upgrade", "scan", from, "--grant", "all"], "");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    let sent = server.finish();
    assert_eq!(sent[1].line, "POST /v1/plugins/scan/upgrade/fetch HTTP/1.1");
    let body: Value = serde_json::from_slice(&sent[1].body).unwrap();
    assert_eq!((&body["url"], &body["grant"]), (&json!(from), &json!("all")));

    let ran = run(&["plugin", "install", &file, "--grant", "everything"], "");
    assert_eq!(ran.exit, Exit::Usage);
    assert!(ran.err.contains("is no capability"), "{}", ran.err);
}

#[test]
fn options_are_changed_one_by_one_and_a_version_is_pinned() {
    let before = chosen(json!({ "level": "low", "ignore": ["CVE-1"] }));
    let after = chosen(json!({ "level": "high" }));
    let server = Server::json(vec![("200 OK", before), ("200 OK", after.clone())]);
    let set = ["level=high", "--unset", "ignore", "--project", "shop"];
    let args = [&["--url", &server.url, "plugin", "configure", "scan"][..], &set[..]].concat();
    let ran = run(&args, "");
    assert_eq!(ran.out, "shop uses scan 1.2.0, with {\"level\":\"high\"}\n", "{}", ran.err);
    let sent = server.finish();
    assert_eq!(sent[1].line, "PUT /v1/projects/shop/plugins/scan HTTP/1.1");
    let body: Value = serde_json::from_slice(&sent[1].body).unwrap();
    assert_eq!(body, json!({ "options": { "level": "high" } }));

    let server = Server::json(vec![("200 OK", after)]);
    let args = ["plugin", "enable", "scan", "--version", "1.2.0", "--project", "shop"];
    run(&[&["--url", &server.url][..], &args[..]].concat(), "");
    let body: Value = serde_json::from_slice(&server.finish()[0].body).unwrap();
    assert_eq!(body, json!({ "enabled": true, "version": "1.2.0" }));
}

#[test]
fn keys_are_read_from_files_and_a_plugin_is_removed_after_a_yes() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("minisign.pub");
    std::fs::write(&key, "RWQ...\n").unwrap();
    let view = r#"{"policy":"require","keys":{"acme":"RWQ..."}}"#;
    let server = Server::json(vec![("200 OK", view.to_owned())]);
    let add = format!("acme={}", key.display());
    let args = ["--url", &server.url, "plugin", "trust", "--add", &add, "--policy", "require"];
    let ran = run(&args, "");
    assert!(ran.out.contains("acme (minisign)"), "{} {}", ran.out, ran.err);
    let body: Value = serde_json::from_slice(&server.finish()[0].body).unwrap();
    assert_eq!(body, json!({ "policy": "require", "add": { "acme": "RWQ...\n" } }));

    let ran = run(&["plugin", "remove", "scan"], "");
    assert_eq!(ran.exit, Exit::Refused, "nobody said yes");
    let server = Server::json(vec![("204 No Content", String::new())]);
    let ran = run(&["--url", &server.url, "plugin", "remove", "scan", "--yes"], "");
    assert_eq!(ran.out, "the plugin scan is removed\n", "{}", ran.err);
    assert_eq!(server.finish()[0].line, "DELETE /v1/plugins/scan HTTP/1.1");
}

#[test]
fn a_component_is_published_with_a_login_from_standard_input() {
    let to = "ghcr.io/acme/notes:1.0.0";
    let args = ["plugin", "publish", to, "--username", "me", "--password-stdin"];
    let ran = run(&args, "the-token\n");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert!(ran.out.starts_with("notes 1.0.0 is published, sha256:"), "{}", ran.out);
    assert!(ran.out.contains(&format!("oci://{to} as me:the-token")), "{}", ran.out);
    let index =
        ["--index", "plugins.json", "--keyword", "notes", "--homepage", "https://a.example"];
    let ran = run(&[&["plugin", "publish", to][..], &index[..]].concat(), "");
    assert!(ran.out.contains("notes 1.0.0 is in plugins.json with sha256:"), "{}", ran.out);
    let ran = run(&["plugin", "publish", to, "--keyword", "notes"], "");
    assert_eq!(ran.exit, Exit::Usage, "a keyword belongs into an index");
    let ran = run(&["plugin", "publish", to, "--password-stdin"], "x");
    assert_eq!(ran.exit, Exit::Usage, "a password belongs to a name");
}

#[test]
fn a_name_is_looked_up_by_the_host_and_what_was_shown_is_what_is_taken() {
    let server = Server::json(vec![("200 OK", proposal(false)), ("200 OK", proposal(true))]);
    let args = ["plugin", "install", "acme/scan@1.2.0", "--grant", "all", "--project", "shop"];
    let ran = run(&[&["--url", &server.url][..], &args[..]].concat(), "");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    let sent = server.finish();
    assert_eq!(sent[1].line, "POST /v1/plugin-fetch HTTP/1.1");
    let bodies = sent.iter().map(|one| serde_json::from_slice::<Value>(&one.body).unwrap());
    let bodies: Vec<Value> = bodies.collect();
    assert_eq!(
        (&bodies[0]["url"], &bodies[0]["digest"]),
        (&json!("acme/scan@1.2.0"), &Value::Null)
    );
    assert_eq!(bodies[1]["digest"], json!(format!("sha256:{}", "ab".repeat(32))));
    assert_eq!(bodies[1]["project"], "shop");
    // What is no name is a file that is not there.
    let ran = run(&["--url", "http://127.0.0.1:9", "plugin", "install", "none.wasm"], "");
    assert_eq!(ran.exit, Exit::BadInput, "{}", ran.err);
}

#[test]
fn an_index_is_added_listed_searched_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("minisign.pub");
    std::fs::write(&key, "RWQ...\n").unwrap();
    let view = json!({
        "name": "acme", "url": "file:///srv/plugins.json", "policy": "require", "plugins": 1,
        "signature": { "is": "verified", "key": "acme" },
    });
    let server = Server::json(vec![("200 OK", view.to_string())]);
    let key = key.to_str().unwrap();
    let args = ["plugin", "index", "add", "acme", "/srv/plugins.json", "--key", key];
    let ran = run(&[&["--url", &server.url][..], &args[..]].concat(), "");
    assert_eq!(ran.out, "the index acme has 1 plugin; signed by acme\n", "{}", ran.err);
    let sent = server.finish();
    assert_eq!(sent[0].line, "PUT /v1/plugin-indexes/acme HTTP/1.1");
    let body: Value = serde_json::from_slice(&sent[0].body).unwrap();
    assert_eq!(body, json!({ "url": "file:///srv/plugins.json", "key": "RWQ...\n" }));

    let server = Server::json(vec![("200 OK", json!({ "indexes": [view] }).to_string())]);
    let ran = run(&["--url", &server.url, "plugin", "index", "list"], "");
    assert!(ran.out.contains("acme") && ran.out.contains("require"), "{}", ran.out);
    server.finish();

    let found = json!({ "found": [], "total": 0, "problems": [] }).to_string();
    let server = Server::json(vec![("200 OK", found)]);
    let args = ["plugin", "search", "node", "lint", "--stage", "custom"];
    let ran = run(&[&["--url", &server.url][..], &args[..]].concat(), "");
    assert!(ran.out.contains("nothing was found"), "{} {}", ran.out, ran.err);
    let line = &server.finish()[0].line;
    assert_eq!(line, "GET /v1/plugin-search?words=node%20lint&stage=custom HTTP/1.1");

    let server = Server::json(vec![("204 No Content", String::new())]);
    let ran = run(&["--url", &server.url, "plugin", "index", "remove", "acme"], "");
    assert_eq!(ran.out, "the index acme is removed\n", "{}", ran.err);
    server.finish();

    let args =
        ["--json", "plugin", "index", "entry", "a.json", "--address", "https://a.example/a.wasm"];
    let ran = run(&[&args[..], &["--keyword", "a", "--keyword", "b"]].concat(), "");
    let indexed: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(indexed["url"], r#"https://a.example/a.wasm ["a", "b"] None"#);
}
