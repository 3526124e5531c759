//! The Deno plugin on folders, natively.

use windlass_plugin_common::outline::outline;
use windlass_plugin_deno::Deno;
use windlass_sdk::Toolchain;
use windlass_sdk::testing::App;

fn app(files: &[(&str, &str)]) -> App<Deno> {
    App::new(files)
}

/// Id, confidence and start command.
fn found(files: &[(&str, &str)]) -> (String, u8, String) {
    let app = app(files);
    let chosen = app.found();
    (chosen.id, chosen.confidence, app.line())
}

const SERVER: (&str, &str) = ("main.ts", "Deno.serve(() => new Response('x'));");

#[track_caller]
fn check(files: &[(&str, &str)], id: &str, confidence: u8, start: &str) {
    assert_eq!(found(files), (id.to_owned(), confidence, start.to_owned()));
}

#[test]
fn applications_are_told_by_task_or_entry_file() {
    let tasks = ("deno.json", r#"{"tasks":{"start":"deno run -A main.ts"}}"#);
    check(&[tasks], "deno", 82, "deno run -A main.ts");
    check(&[tasks, ("deno.lock", "{}")], "deno", 87, "deno run -A main.ts");
    let chained = r#"{"tasks":{"start":"deno task run","run":{"command":"deno run -A s.ts"}}}"#;
    check(&[("deno.jsonc", chained)], "deno", 82, "deno run -A s.ts");
    check(&[("deno.json", "{}"), SERVER], "deno", 80, "deno run --allow-all main.ts");
    let watched = ("deno.json", r#"{"tasks":{"start":"deno run --watch main.ts"}}"#);
    check(&[watched, SERVER], "deno", 80, "deno run --allow-all main.ts");
    check(&[SERVER], "deno", 39, "deno run --allow-all main.ts");
    let remote = ("src/index.ts", "import { x } from \"https://deno.land/std/x.ts\";\n");
    check(&[remote], "deno", 36, "deno run --allow-all src/index.ts");
    check(&[("src/index.ts", "")], "deno", 7, "deno run --allow-all src/index.ts");
    let package = ("deno.json", r#"{"tasks":{"start":"vite preview --host"}}"#);
    assert!(app(&[package]).detect().detections.is_empty());
    let tool = ("deno.json", r#"{"tasks":{"start":"astro-server"}}"#);
    check(&[tool], "deno", 82, "deno task start");
}

#[test]
fn deno_serve_is_told_the_port() {
    let serve = ("deno.json", r#"{"tasks":{"start":"deno serve -A main.ts"}}"#);
    let line = "/bin/sh -c exec deno serve --host 0.0.0.0 --port \"$PORT\" -A main.ts";
    check(&[serve], "deno", 82, line);
    let handler = ("main.ts", "export default { fetch(request) { return new Response() } }");
    let line = "/bin/sh -c exec deno serve --host 0.0.0.0 --port \"$PORT\" --allow-all main.ts";
    check(&[("deno.json", "{}"), handler], "deno", 80, line);
}

#[test]
fn fresh_is_told_from_deno() {
    let one = r#"{"tasks":{"start":"deno run -A --watch=static/ dev.ts","preview":"deno run -A main.ts"},
        "imports":{"$fresh/":"https://deno.land/x/fresh@1.6.8/"}}"#;
    check(&[("deno.json", one)], "fresh", 95, "deno run -A main.ts");
    let two = r#"{"tasks":{"build":"vite build","start":"deno serve -A _fresh/server.js"},
        "imports":{"fresh":"jsr:@fresh/core@2"}}"#;
    let (id, _, start) = found(&[("deno.json", two)]);
    assert!(id == "fresh" && start.contains("_fresh/server.js"), "{start}");
    let old = [
        (
            "deno.json",
            r#"{"tasks":{"start":"deno run -A dev.ts"},"importMap":"./import_map.json"}"#,
        ),
        ("import_map.json", r#"{"imports":{"$fresh/":"https://deno.land/x/fresh@1.0.0/"}}"#),
    ];
    check(&old, "fresh", 95, "deno run -A dev.ts");
}

#[test]
fn what_is_no_deno_application_does_not_match() {
    let detections = |files: &[(&str, &str)]| app(files).detect().detections.len();
    let node = ("package.json", r#"{"scripts":{"start":"node server.js"}}"#);
    assert_eq!(detections(&[("deno.json", r#"{"lint":{}}"#), node, ("server.js", "")]), 0);
    assert_eq!(detections(&[node, ("src/index.ts", "")]), 0);
    assert_eq!(
        detections(&[("deno.json", r#"{"name":"@x/y","exports":"./mod.ts"}"#), ("mod.ts", "")]),
        0
    );
    assert_eq!(detections(&[("src/index.ts", ""), ("tsconfig.json", "{}")]), 0);
    assert_eq!(detections(&[("index.js", "alert(1)"), ("index.html", "")]), 0);
    assert_eq!(detections(&[("README.md", "")]), 0);
    let workspace = app(&[("deno.json", r#"{"workspace":["a"]}"#)]);
    assert!(workspace.nothing().contains("build.app_dir"));
    let slip = app(&[("dneo.json", "{}")]);
    assert!(slip.nothing().contains("did you mean \"deno.json\""));
}

#[test]
fn a_broken_configuration_is_refused_with_its_place() {
    let refusal = app(&[("deno.json", "{\n x }"), SERVER]).refusal();
    assert_eq!(refusal.code, "deno.config-invalid");
    assert!(refusal.hint.unwrap().contains("line 2"));
}

#[test]
fn the_version_comes_from_the_first_place_that_names_one() {
    let version = |files: &[(&str, &str)], previous: &str| {
        let mut all = vec![SERVER, ("deno.json", "{}")];
        all.extend(files);
        let mut app = app(&all);
        if !previous.is_empty() {
            app.harness.context.previous_toolchains = vec![Toolchain::new("deno", previous)];
        }
        app.found().toolchains[0].requirement.clone()
    };
    assert_eq!(version(&[], ""), "");
    assert_eq!(version(&[], "2.1.4"), "2.1.4");
    assert_eq!(version(&[(".dvmrc", "2.2.0\n"), (".tool-versions", "deno 2.1.0")], ""), "2.2.0");
    assert_eq!(version(&[("mise.toml", "[tools]\ndeno = '2'")], "2.1.4"), "2.1.4");
}

#[test]
fn modules_are_fetched_before_the_source_is_copied() {
    let files = [
        (
            "deno.json",
            r#"{"tasks":{"start":"deno run -A main.ts","build":"deno run -A b.ts"},"imports":{"hono":"npm:hono@4"}}"#,
        ),
        ("deno.lock", "{}"),
        SERVER,
        ("Procfile", "web: deno run -A main.ts\nworker: deno run -A worker.ts\n"),
    ];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn an_installation_of_the_settings_is_run_without_a_manifest_too() {
    let app =
        app(&[SERVER]).settings(r#"{"build":{"install":"deno install --entrypoint main.ts"}}"#);
    let text = outline(&app.plan());
    assert!(text.contains("run /bin/sh -c deno install --entrypoint main.ts"), "{text}");
}
