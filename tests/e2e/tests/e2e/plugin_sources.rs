//! Where plugins come from on a real host: over HTTPS, by an index that is there, and from a folder.

use serde_json::{Value, json};
use windlass_model::{Digest, Failure};
use windlass_test_support::https::{Reply, Visit};
use windlass_test_support::{
    Asked, CliOutput, GitRepo, HostOptions, HttpsServer, TestHost, guest, scratch,
};

use crate::plugins::Versions;

const PLUGIN: &str = guest::STAGES;

fn plugin(host: &TestHost, args: &[&str]) -> CliOutput {
    host.cli_json(&[&["plugin"], args].concat())
}

/// A server that has two versions of a plugin and an index of them, and sends who asks for `/moved/…` to the same
/// over HTTPS, for `/plain/…` to the same without TLS.
fn shop_of(versions: &Versions) -> HttpsServer {
    let file = |name: &str| std::fs::read(versions.file(name)).unwrap();
    let (first, second) = (file("1.wasm"), file("2.wasm"));
    HttpsServer::answering(move |asked: &Asked| {
        let authority = asked.header("host").unwrap_or_default();
        let target = asked.target();
        if let Some(rest) = target.strip_prefix("/moved/") {
            return Reply::Redirect(format!("https://{authority}/{rest}"));
        }
        if let Some(rest) = target.strip_prefix("/plain/") {
            return Reply::Redirect(format!("http://{authority}/{rest}"));
        }
        match target {
            "/1.wasm" => Reply::File(first.clone()),
            "/2.wasm" => Reply::File(second.clone()),
            "/plugins.json" => Reply::File(index(authority, &second).into()),
            _ => Reply::Absent,
        }
    })
}

/// An index that has the second version.
fn index(authority: &str, file: &[u8]) -> String {
    let version = json!({ "version": "0.2.0", "url": format!("https://{authority}/2.wasm"),
                          "digest": Digest::of(file) });
    let listed = json!({ "name": PLUGIN, "summary": "A test", "licence": "MIT",
                         "stages": ["custom"], "versions": [version] });
    json!({ "version": 1, "plugins": [listed] }).to_string()
}

fn trusting(server: &HttpsServer) -> HostOptions {
    HostOptions::default().env("SSL_CERT_FILE", server.trusted().to_str().unwrap())
}

#[test]
fn a_plugin_and_an_index_come_over_https_and_no_redirect_leads_out_of_it() {
    let versions = Versions::new();
    let (server, stranger) = (shop_of(&versions), shop_of(&versions));
    let host = TestHost::start_with(trusting(&server));
    let url = |path: &str| format!("{}{path}", server.base());
    let visited = |encrypted: bool, target: &str| {
        server.visits().contains(&Visit { encrypted, target: target.to_owned() })
    };
    let install = |from: &str| plugin(&host, &["install", from, "--grant", "source,cache"]);
    let refused = |output: CliOutput, code: &str, why: &str| {
        let failure: Failure = output.failure();
        assert_eq!(failure.code, code, "{failure:#?}");
        assert!(failure.why.contains(why), "{failure:#?}");
    };

    // Who it is, the certificate has to say.
    let of_stranger = format!("{}/1.wasm", stranger.base());
    refused(install(&of_stranger), "plugin.fetch-failed", "certificate");
    assert_eq!(stranger.visits(), [], "it was asked for nothing");

    // The file is there without TLS too, on the same port: nothing but the rule keeps the host from it.
    refused(install(&url("/plain/1.wasm")), "plugin.fetch-failed", "https only");
    let args = ["index", "add", "acme", &url("/plain/plugins.json")];
    refused(plugin(&host, &args), "plugin.index-unreadable", "https only");
    assert!(visited(true, "/plain/1.wasm") && visited(true, "/plain/plugins.json"));
    let digest = Digest::of(&std::fs::read(versions.file("1.wasm")).unwrap()).to_string();
    let in_the_clear = format!("http://127.0.0.1:{}/1.wasm", server.port());
    plugin(&host, &["install", &in_the_clear, "--digest", &digest, "--grant", "all", "--dry-run"])
        .ok();
    assert!(visited(false, "/1.wasm"), "{:?}", server.visits());

    // Within HTTPS a redirect is followed.
    let installed: Value = install(&url("/moved/1.wasm")).ok().json();
    assert_eq!((&installed["version"], &installed["installed"]), (&json!("0.1.0"), &json!(true)));
    assert!(visited(true, "/moved/1.wasm") && visited(true, "/1.wasm"));

    plugin(&host, &["index", "add", "acme", &url("/plugins.json")]).ok();
    let upgraded: Value =
        plugin(&host, &["upgrade", PLUGIN, &format!("acme/{PLUGIN}")]).ok().json();
    assert_eq!(upgraded["version"], "0.2.0", "{upgraded:#}");
    let shown: Value = plugin(&host, &["show", PLUGIN]).ok().json();
    let from: Vec<&Value> =
        shown["versions"].as_array().unwrap().iter().map(|version| &version["source"]).collect();
    let of = |path: &str| json!({ "from": "url", "url": url(path) });
    assert_eq!(from, [&of("/2.wasm"), &of("/moved/1.wasm")], "{shown:#}");
    let plain = server.visits().into_iter().filter(|visit| !visit.encrypted).count();
    assert_eq!(plain, 1, "what was asked for without TLS, and nothing else: {:?}", server.visits());
    host.finish();
}

#[test]
fn a_stage_asks_over_https_whom_the_machine_trusts_and_nobody_else() {
    let hello = |_: &Asked| Reply::File(b"hello".to_vec());
    let (server, stranger) = (HttpsServer::answering(hello), HttpsServer::answering(hello));
    let host = TestHost::start_with(trusting(&server));
    let file = guest::stages();
    let grant = r#"[{"name": "source", "paths": ["**"]},
        {"name": "http", "hosts": ["*"], "methods": ["GET"], "private": ["localhost"]}]"#;
    plugin(&host, &["install", file.to_str().unwrap(), "--grant", grant]).ok();
    let repo = GitRepo::of_fixture("plain-node");
    let urls = [&server, &stranger].map(|of| format!("'https://localhost:{}/'", of.port()));
    repo.write(
        "windlass.toml",
        &format!(
            "[[stages]]\nplugin = '{PLUGIN}'\nstage = 'act'\nat = 'after-fetch'\n\
             [stages.options]\nurls = [{}]\n",
            urls.join(", ")
        ),
    );
    repo.commit("A stage that asks");
    let deployed = host.deploy_git("asks", &repo, &[]).live();
    let view = host.wait_stages("asks", deployed.number());
    let [act] = view.stages.as_slice() else { panic!("{:#?}", view.stages) };
    let summary = &act.summary;
    assert!(summary.starts_with("200 ") && summary.ends_with("Tls"), "{summary}");
    let encrypted = Visit { encrypted: true, target: "/".to_owned() };
    assert_eq!((server.visits(), stranger.visits()), (vec![encrypted], vec![]));
    host.finish();
}

#[test]
fn every_component_of_a_folder_is_installed_and_nothing_else_in_it() {
    let folder = scratch("folder");
    let at = folder.path().to_str().unwrap();
    let host = TestHost::start();
    let install = || host.cli(&["plugin", "install", at, "--grant", "all"]);
    std::fs::write(folder.path().join("README.md"), "No component").unwrap();
    let failure = host.cli_json(&["plugin", "install", at]).failure();
    assert_eq!(failure.code, "plugin.not-built", "{failure:#?}");
    assert!(failure.why.contains("no *.wasm file lies in"), "{failure:#?}");

    for (name, file) in [("one.wasm", guest::component()), ("two.wasm", guest::stages())] {
        std::fs::copy(file, folder.path().join(name)).unwrap();
    }
    let said = install().ok().stdout;
    for name in [guest::NAME, PLUGIN] {
        assert!(said.contains(&format!("{name} 0.1.0 is installed")), "{said}");
        let shown: Value = plugin(&host, &["show", name]).ok().json();
        assert_eq!(shown["standing"], "installed", "{shown:#}");
        assert_eq!(shown["versions"][0]["source"]["from"], "file", "{shown:#}");
    }
    let failure = plugin(&host, &["upgrade", PLUGIN, at]).failure();
    assert_eq!(failure.code, "cli.usage", "a version is one component: {failure:#?}");
    assert!(failure.what.contains("no single component"), "{failure:#?}");

    // One that is none is said with its name; those before it and after it are there.
    std::fs::write(folder.path().join("three.wasm"), "text").unwrap();
    plugin(&host, &["remove", guest::NAME, "--yes"]).ok();
    plugin(&host, &["remove", PLUGIN, "--yes"]).ok();
    let failed = install();
    assert_ne!(failed.code, 0, "{}", failed.stdout);
    assert!(failed.stderr.contains("three.wasm"), "{}", failed.stderr);
    assert!(failed.stderr.contains("not installed: three.wasm"), "{}", failed.stderr);
    for name in [guest::NAME, PLUGIN] {
        plugin(&host, &["show", name]).ok();
    }

    // The folder of a plugin that was built: what lies in its dist/.
    let built = scratch("folder-built");
    std::fs::create_dir(built.path().join("dist")).unwrap();
    std::fs::copy(guest::component(), built.path().join("dist/any.wasm")).unwrap();
    plugin(&host, &["remove", guest::NAME, "--yes"]).ok();
    plugin(&host, &["install", built.path().to_str().unwrap(), "--grant", "all"]).ok();
    plugin(&host, &["show", guest::NAME]).ok();
    host.finish();
}
