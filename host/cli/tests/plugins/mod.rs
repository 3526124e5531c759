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
fn what_keeps_one_of_a_folder_out_is_said_and_the_others_are_installed() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.wasm", "b.wasm", "notes.txt"] {
        std::fs::write(folder.path().join(name), name).unwrap();
    }
    let server = Server::json(vec![
        ("200 OK", proposal(false)),
        ("409 Conflict", error("plugin.exists")),
        ("200 OK", proposal(false)),
        ("200 OK", proposal(true)),
    ]);
    let from = folder.path().to_str().unwrap();
    let ran = run(&["--url", &server.url, "plugin", "install", from, "--grant", "http"], "");
    assert_eq!(ran.exit, Exit::Refused, "{}", ran.err);
    for said in ["a.wasm: it was refused", "code: plugin.exists", "not installed: a.wasm\n"] {
        assert!(ran.err.contains(said), "{}", ran.err);
    }
    assert!(ran.out.ends_with("scan 1.2.0 is installed\n"), "{}", ran.out);
    let sent = server.finish();
    assert_eq!(
        (sent[1].body.as_slice(), sent[3].body.as_slice()),
        (&b"a.wasm"[..], &b"b.wasm"[..])
    );
}

#[test]
fn the_folder_of_a_plugin_is_what_was_built_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().to_str().unwrap();
    let at = ["--url", "http://127.0.0.1:9", "plugin", "install", from];
    let ran = run(&at, "");
    assert_eq!(ran.exit, Exit::BadInput);
    assert!(ran.err.contains("code: plugin.not-built"), "{}", ran.err);

    std::fs::create_dir(folder.path().join("dist")).unwrap();
    std::fs::write(folder.path().join("dist/notes.wasm"), b"built").unwrap();
    for verb in [&["install"][..], &["upgrade", "scan"]] {
        let server = Server::json(vec![("200 OK", proposal(false)), ("200 OK", proposal(true))]);
        let args = [&["--url", &server.url, "plugin"][..], verb, &[from, "--grant", "all"]];
        let ran = run(&args.concat(), "");
        assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
        let sent = server.finish();
        assert!(sent[1].line.contains("?name=notes.wasm&"), "{}", sent[1].line);
        assert_eq!(sent[1].body, b"built");
    }
}

#[test]
fn a_file_that_is_not_there_need_not_be_text() {
    let (_folder, file) = folder();
    let install = ["plugin", "install", "none.wasm"];
    let upgrade = ["plugin", "upgrade", "scan", "none.wasm"];
    let signed = ["plugin", "install", &file, "--signature", "none.sig"];
    for args in [&install[..], &upgrade, &signed] {
        let ran = run(&[&["--url", "http://127.0.0.1:9"], args].concat(), "");
        assert_eq!(ran.exit, Exit::BadInput, "{}", ran.err);
        assert!(ran.err.contains("fix: check the path"), "{}", ran.err);
    }
    let other = format!("{file}.sig");
    std::fs::write(&other, [0xff, 0xfe]).unwrap();
    let args = ["--url", "http://127.0.0.1:9", "plugin", "install", &file];
    let ran = run(&args, "");
    assert!(ran.err.contains("UTF-8 text"), "{}", ran.err);
}

#[test]
fn a_file_that_is_too_large_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.wasm");
    std::fs::File::create(&path).unwrap().set_len(40 << 20).unwrap();
    let file = path.to_str().unwrap();
    let takes = |bytes_max: u64| {
        json!({ "plugins": [], "problems": [], "component_bytes_max": bytes_max }).to_string()
    };
    for args in [&["install", file][..], &["upgrade", "big", file], &["install", file, "--json"]] {
        let server = Server::json(vec![("200 OK", takes(32 << 20))]);
        let ran = run(&[&["--url", &server.url, "plugin"][..], args].concat(), "");
        assert_eq!(ran.exit, Exit::BadInput, "{args:?}: {}", ran.err);
        let said = ran.out + &ran.err;
        for part in ["at most 32.0 MiB", "has 40.0 MiB", "request.body-too-large"] {
            assert!(said.contains(part), "{args:?}: {said}");
        }
        let sent = server.finish();
        assert_eq!(sent[0].line, "GET /v1/plugins HTTP/1.1");
        assert!(sent.len() == 1 && sent[0].body.is_empty(), "{sent:?}");
    }

    // What counts is the host's own limit.
    std::fs::File::create(&path).unwrap().set_len(2 << 20).unwrap();
    let small = Server::json(vec![("200 OK", takes(1 << 20))]);
    let ran = run(&["--url", &small.url, "plugin", "install", file], "");
    assert!(ran.err.contains("at most 1.0 MiB"), "{}", ran.err);
    small.finish();
    let answers = [takes(2 << 20), proposal(false)].map(|body| ("200 OK", body));
    let large = Server::json(answers.into());
    let ran = run(&["--url", &large.url, "plugin", "install", file, "--dry-run"], "");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_eq!(large.finish()[1].body.len(), 2 << 20);
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
    // Of one whose file does not load nothing is known: it is removed without a word.
    let server = Server::json(vec![
        ("404 Not Found", error("plugin.not-found")),
        ("204 No Content", String::new()),
    ]);
    let ran = run(&["--url", &server.url, "plugin", "remove", "scan", "--yes"], "");
    assert_eq!(ran.out, "the plugin scan is removed\n", "{}", ran.err);
    assert_eq!(ran.err, "");
    assert_eq!(server.finish()[1].line, "DELETE /v1/plugins/scan HTTP/1.1");
}

/// A plugin that asks for `http` of one host, as the host shows it.
fn shown(live: Value, projects: Value) -> String {
    json!({
        "manifest": { "name": "scan", "version": "1.2.0", "licence": "MIT", "summary": "Looks them up",
                      "capabilities": [], "options_schema": "", "custom": [] },
        "digest": format!("sha256:{}", "ab".repeat(32)), "stages": ["custom"], "bundled": false,
        "bytes": 2048, "standing": "installed", "everywhere": true, "grants": [], "versions": [],
        "asks": [{
            "capability": { "name": "http", "hosts": ["api.osv.dev"], "methods": ["POST"],
                            "reason": "asks for advisories" },
            "granted": [],
        }],
        "live": live, "projects": projects,
    })
    .to_string()
}

#[test]
fn before_a_plugin_is_removed_it_is_said_who_uses_it() {
    let live = json!([
        { "project": "tally", "environment": "production", "number": 3, "stages": ["custom"] },
        { "project": "blog", "environment": "staging", "number": 9, "stages": ["custom"] },
    ]);
    let projects = json!([{ "project": "shop", "plugin": "scan", "enabled": true,
                            "version": "1.2.0", "pinned": false, "options": { "level": "high" } }]);
    let answers = vec![("200 OK", shown(live, projects)), ("204 No Content", String::new())];
    let server = Server::json(answers);
    let ran = run(&["--url", &server.url, "plugin", "remove", "scan", "--yes"], "");
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Ok, "the plugin scan is removed\n"));
    for said in [
        "warning: scan had a part in what is live in tally/production, blog/staging: that goes on",
        "the next deployment there will not find the plugin",
        "warning: what these projects chose of scan goes with it (options, versions, enabled or not): shop",
    ] {
        assert!(ran.err.contains(said), "{}", ran.err);
    }
    assert_eq!(server.finish()[0].line, "GET /v1/plugins/scan HTTP/1.1");
}

#[test]
fn what_is_given_and_not_asked_for_is_said() {
    let given = |what: &str| {
        let server = Server::json(vec![("200 OK", shown(json!([]), json!([])))]);
        let ran = run(&["--url", &server.url, "plugin", "grant", "scan", what], "");
        assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
        server.finish();
        ran.err
    };
    let other = "warning: scan does not ask for exec: only what it asks for is granted\n";
    assert_eq!(given("http,exec"), other);
    let wide = r#"[{"name": "http", "hosts": ["*"], "methods": ["POST"]}]"#;
    assert!(given(wide).contains("does not ask for http: POST at *: only"), "{}", given(wide));
    let narrow = r#"[{"name": "http", "hosts": ["api.osv.dev"], "methods": ["POST"], "private": ["10.0.0.1"]}]"#;
    for fits in ["all", "none", "http", narrow] {
        assert_eq!(given(fits), "", "{fits}");
    }
}

#[test]
fn a_private_key_does_not_leave_the_machine_and_require_without_a_key_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("k.pem");
    std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n").unwrap();
    let file = key.to_str().unwrap();
    let add = format!("acme={file}");
    let index = ["plugin", "index", "add", "acme", "/srv/plugins.json", "--key", file];
    for args in [&["plugin", "trust", "--add", &add][..], &index] {
        let ran = run(&[&["--url", "http://127.0.0.1:9"][..], args].concat(), "");
        assert_eq!(ran.exit, Exit::BadInput, "{}", ran.err);
        for said in
            ["is a private key", "keep it secret", &format!("openssl pkey -in {file} -pubout")]
        {
            assert!(ran.err.contains(said), "{}", ran.err);
        }
    }

    let server = Server::json(vec![("200 OK", r#"{"policy":"require","keys":{}}"#.to_owned())]);
    let ran = run(&["--url", &server.url, "plugin", "trust", "--policy", "require"], "");
    assert!(ran.out.contains("warning: no key is trusted"), "{}", ran.out);
    server.finish();
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
