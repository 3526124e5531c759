//! What the plugin takes an application for.

use crate::support::app;
use windlass_sdk::Toolchain;

const EXPRESS: &str = r#"{"dependencies":{"express":"4"},"scripts":{"start":"node server.js"}}"#;
const LOCK: (&str, &str) = ("package-lock.json", "{}");

#[track_caller]
fn check(package: &str, files: &[&str], id: &str) {
    let mut all = vec![("package.json", package)];
    all.extend(files.iter().map(|file| (*file, "")));
    assert_eq!(app(&all).buildable().id, id, "{package}");
}

#[test]
fn applications_are_told_by_their_dependencies_and_scripts() {
    let express = r#"{"dependencies":{"express":"4"},"scripts":{"start":"node server.js"}}"#;
    check(express, &["server.js"], "express");
    check(r#"{"scripts":{"start":"node server.js"}}"#, &["server.js"], "node");
    check(r#"{"dependencies":{"next":"15","react":"19"}}"#, &[], "nextjs");
    check(r#"{"devDependencies":{"vite":"6"},"scripts":{"build":"vite build"}}"#, &[], "vite");
    check(r#"{"devDependencies":{"vite":"6"},"scripts":{"start":"vite"}}"#, &[], "vite");
    check(
        r#"{"dependencies":{"react-scripts":"5"},"scripts":{"start":"react-scripts start"}}"#,
        &[],
        "create-react-app",
    );
    check(r#"{"dependencies":{"astro":"5"},"scripts":{"start":"astro dev"}}"#, &[], "astro");
}

#[test]
fn a_bundler_under_a_server_is_no_static_site() {
    let start = r#""scripts":{"build":"x","start":"node build/server.js"}"#;
    check(&format!(r#"{{"devDependencies":{{"vite":"6"}},{start}}}"#), &[], "node");
    check(
        &format!(r#"{{"dependencies":{{"nuxt":"3"}},"devDependencies":{{"vite":"6"}},{start}}}"#),
        &[],
        "nuxt",
    );
    let kit =
        r#"{"devDependencies":{"vite":"6","@sveltejs/kit":"2"},"scripts":{"build":"vite build"}}"#;
    let app = app(&[("package.json", kit)]);
    assert_eq!(
        (app.found().id.as_str(), app.web().join(" ").as_str()),
        ("sveltekit", "node build")
    );
}

#[test]
fn libraries_and_tool_folders_are_near_misses_with_a_reason() {
    for package in [
        r#"{"name":"lib","main":"index.js","files":["index.js"],"scripts":{"test":"x"}}"#,
        r#"{"name":"lib","exports":"./index.js","peerDependencies":{"react":"*"}}"#,
    ] {
        let report = app(&[("package.json", package), ("index.js", "module.exports = 1")]).detect();
        assert!(report.detections.is_empty(), "{package}");
        assert!(report.near_misses[0].reason.contains("run.command"));
    }
    let report = app(&[("package.json", r#"{"devDependencies":{"prettier":"3"}}"#)]).detect();
    assert!(report.near_misses[0].reason.contains("no \"start\" script"));
    let report = app(&[("packgae.json", "{}")]).detect();
    assert!(report.near_misses[0].reason.contains("did you mean \"package.json\""));
    assert!(app(&[("README.md", "")]).detect().near_misses.is_empty());
}

#[test]
fn an_entry_file_that_opens_a_port_is_an_application_even_in_a_library_s_clothes() {
    let package = r#"{"main":"index.js","files":["index.js"]}"#;
    let files = [("package.json", package), ("index.js", "http.createServer(f).listen(3000)")];
    assert_eq!(app(&files).found().confidence, 70);
    let bare = [("server.js", "require('http').createServer(f).listen(process.env.PORT)")];
    assert_eq!(app(&bare).found().id, "node");
    assert!(app(&[("index.js", "alert(1)"), ("index.html", "")]).detect().detections.is_empty());
}

#[test]
fn the_version_comes_from_the_first_place_that_names_one() {
    let package = r#"{"scripts":{"start":"node a.js"},"engines":{"node":">=20 <23"}}"#;
    let version = |files: &[(&str, &str)], settings: &str, previous: &str| {
        let mut all = vec![("package.json", package)];
        all.extend(files);
        let mut app = app(&all).settings(settings);
        if !previous.is_empty() {
            app.harness.context.previous_toolchains = vec![Toolchain::new("node", previous)];
        }
        app.found().toolchains[0].requirement.clone()
    };
    assert_eq!(version(&[], "{}", ""), "22");
    assert_eq!(version(&[], "{}", "20.11.0"), "20", "what ran before stays while it fits");
    assert_eq!(version(&[], "{}", "24.1.0"), "22");
    assert_eq!(version(&[(".nvmrc", "v20.11.1\n")], "{}", ""), "20.11.1");
    assert_eq!(version(&[(".nvmrc", "lts/krypton")], "{}", ""), "24");
    assert_eq!(version(&[(".nvmrc", "lts/*"), (".node-version", "20")], "{}", ""), "22");
    assert_eq!(version(&[(".node-version", "24")], "{}", ""), "24");
    assert_eq!(version(&[(".tool-versions", "ruby 3\nnodejs 24.1.0\n")], "{}", ""), "24.1.0");
    let setting = r#"{"build":{"toolchain":{"node":"20"}}}"#;
    assert_eq!(version(&[(".nvmrc", "24")], setting, ""), "20");
    assert_eq!(version(&[(".nvmrc", "whatever")], "{}", ""), "22");
}

#[test]
fn a_default_that_moved_changes_no_application() {
    let mut app = app(&[("package.json", r#"{"scripts":{"start":"node a.js"}}"#)]);
    app.harness.context.previous_toolchains = vec![Toolchain::new("node", "20.11.0")];
    assert_eq!(app.found().toolchains[0].requirement, "20.11.0");
}

#[test]
fn a_version_that_cannot_be_had_is_refused_by_name() {
    for (files, place, version) in [
        (&[(".nvmrc", "8")][..], ".nvmrc", "8"),
        (&[(".node-version", "v12.1")], ".node-version", "v12.1"),
        (&[(".nvmrc", "99")], ".nvmrc", "99"),
    ] {
        let mut all = vec![("package.json", r#"{"scripts":{"start":"node a.js"}}"#)];
        all.extend(files);
        let refusal = app(&all).refusal();
        assert_eq!(refusal.code, "node.version-unsupported");
        assert!(refusal.message.contains(place) && refusal.message.contains(version));
        assert!(refusal.message.contains("20, 22, 24"), "{}", refusal.message);
        assert!(refusal.hint.unwrap().contains("build.toolchain"));
    }
}

#[test]
fn a_broken_package_json_is_refused_with_its_place_and_nothing_else_is_built() {
    let app = app(&[
        ("package.json", "{\n \"scripts\": {\"start\": \"node a.js\",}\n}"),
        ("index.html", ""),
    ]);
    let refusal = app.refusal();
    assert_eq!(refusal.code, "node.package-json-invalid");
    assert!(refusal.message.contains("line 2"), "{}", refusal.message);
    assert!(app.found().supersedes.contains(&"static".to_owned()));
}

#[test]
fn the_framework_setting_overrides() {
    let next = r#"{"dependencies":{"next":"15"},"scripts":{"start":"node server.js"}}"#;
    let as_what = |what: &str| {
        let settings = format!(r#"{{"build":{{"framework":"{what}"}}}}"#);
        app(&[("package.json", next), LOCK]).settings(&settings).detect()
    };
    assert_eq!(
        (as_what("node").detections[0].id.as_str(), as_what("node").detections[0].confidence),
        ("node", 100)
    );
    assert_eq!(as_what("nextjs").detections[0].id, "nextjs");
    assert!(as_what("django").detections.is_empty());
}

#[test]
fn asked_for_and_without_a_way_to_start_it_says_so() {
    let app = app(&[("package.json", "{}")]).settings(r#"{"build":{"framework":"node"}}"#);
    let refusal = app.refusal();
    assert_eq!(refusal.code, "node.no-start");
    assert!(refusal.hint.unwrap().contains("run.command"));
}

#[test]
fn assets_of_another_language_are_not_taken_for_the_application() {
    let vite = r#"{"devDependencies":{"vite":"6"},"scripts":{"build":"vite build"}}"#;
    for other in ["composer.json", "Gemfile", "mix.exs", "go.mod", "Site.csproj", "manage.py"] {
        let files = [("package.json", vite), (other, "")];
        let report = app(&files).detect();
        assert!(report.detections.is_empty(), "{other}");
        assert!(report.near_misses[0].reason.contains(other));
        let asked = app(&files).settings(r#"{"build":{"framework":"vite"}}"#);
        assert_eq!(asked.found().id, "vite");
    }
    let ruby = r#"{"scripts":{"start":"bundle exec puma"}}"#;
    assert!(app(&[("package.json", ruby)]).detect().near_misses[0].reason.contains("bundle"));
    let procfile = ("Procfile", "web: ruby app.rb\n");
    let report = app(&[("package.json", EXPRESS), procfile]).detect();
    assert!(report.near_misses[0].reason.contains("the Procfile runs ruby"));
}

#[test]
fn development_servers_are_not_put_into_production() {
    let webpack = r#"{"scripts":{"start":"webpack serve","build":"webpack"}}"#;
    let report = app(&[("package.json", webpack)]).detect();
    assert!(report.near_misses[0].reason.contains("build.output"));
    let built = r#"{"build":{"output":"dist/app/browser"}}"#;
    assert_eq!(app(&[("package.json", webpack)]).settings(built).found().confidence, 85);
    let nest = r#"{"dependencies":{"@nestjs/core":"11"},
        "scripts":{"start":"nest start","start:prod":"node dist/main","build":"nest build"}}"#;
    assert_eq!(app(&[("package.json", nest)]).web(), ["node", "dist/main"]);
    let nuxt = r#"{"dependencies":{"nuxt":"3"},"scripts":{"dev":"nuxt dev","build":"nuxt build"}}"#;
    assert_eq!(app(&[("package.json", nuxt)]).web(), ["node", ".output/server/index.mjs"]);
    let files = r#"{"devDependencies":{"serve":"14"},"scripts":{"start":"serve public -l 3000"}}"#;
    assert_eq!(app(&[("package.json", files)]).found().id, "node");
}

#[test]
fn folders_with_applications_are_named_where_the_root_has_no_start() {
    let reason = |scripts: &str| {
        let root = format!(r#"{{"name":"shop","devDependencies":{{"a":"1"}}{scripts}}}"#);
        let client = r#"{"dependencies":{"react-scripts":"5"}}"#;
        let server = r#"{"dependencies":{"express":"4"},"scripts":{"start":"node index.js"}}"#;
        let files = [
            ("package.json", root.as_str()),
            ("client/package.json", client),
            ("server/package.json", server),
        ];
        let report = app(&files).detect();
        assert!(report.detections.is_empty());
        report.near_misses.into_iter().find(|miss| miss.id == "node").unwrap().reason
    };
    for scripts in ["", r#","scripts":{"start":"gulp"}"#] {
        let reason = reason(scripts);
        assert!(reason.contains("(client, server), set build.app_dir"), "{reason}");
    }
}

#[test]
fn a_file_that_needs_a_package_is_refused_without_a_manifest() {
    let server = ("index.js", "const express = require('express')\nexpress().listen(3000)");
    let refusal = app(&[server, ("pacakge.json", "{}")]).refusal();
    assert_eq!(refusal.code, "node.no-manifest");
    assert!(refusal.message.starts_with("index.js needs express"), "{}", refusal.message);
    let hint = refusal.hint.unwrap();
    assert!(hint.starts_with("rename it: ") && hint.contains("\"package.json\""), "{hint}");
    let hint = app(&[server]).refusal().hint.unwrap();
    assert!(hint.contains("npm install express"), "{hint}");
    let installed = app(&[server]).settings(r#"{"build":{"install":"npm install express"}}"#);
    assert_eq!(installed.web().join(" "), "node index.js");
    let own = ("index.js", "require('http').createServer(f).listen(3000)");
    assert_eq!(app(&[own]).web().join(" "), "node index.js");
}
