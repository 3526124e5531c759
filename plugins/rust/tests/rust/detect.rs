//! What the plugin takes an application for.

use crate::support::app;

const MAIN: &str = "fn main() {}\n";
const PLAIN: &str = "[package]\nname = \"shop\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
const AXUM: &str = "[package]\nname = \"shop\"\n[dependencies]\naxum = \"0.7\"\n";

#[track_caller]
fn check(files: &[(&str, &str)], id: &str, confidence: u8, line: &str) {
    let app = app(files);
    let (found, start) = (app.buildable(), app.line());
    let seen = (found.id.as_str(), found.confidence, start.as_str());
    assert_eq!(seen, (id, confidence, line), "{files:?}");
}

#[test]
fn programs_are_found_where_they_lie() {
    check(&[("Cargo.toml", PLAIN), ("src/main.rs", MAIN)], "rust", 80, "/app/bin/shop");
    check(&[("Cargo.toml", PLAIN), ("src/bin/web.rs", MAIN)], "rust", 80, "/app/bin/web");
    check(&[("Cargo.toml", PLAIN), ("src/bin/web/main.rs", MAIN)], "rust", 80, "/app/bin/web");
    let named = "[package]\nname='shop'\n[[bin]]\nname='server'\npath='server/main.rs'\n";
    check(&[("Cargo.toml", named), ("server/main.rs", MAIN)], "rust", 80, "/app/bin/server");
    let renamed = "[package]\nname='shop'\n[[bin]]\nname='server'\npath='src/main.rs'\n";
    check(&[("Cargo.toml", renamed), ("src/main.rs", MAIN)], "rust", 80, "/app/bin/server");
    let default = "[package]\nname='shop'\ndefault-run='two'\n";
    let two = [("Cargo.toml", default), ("src/bin/one.rs", MAIN), ("src/bin/two.rs", MAIN)];
    check(&two, "rust", 80, "/app/bin/two");
    let like = [("Cargo.toml", PLAIN), ("src/main.rs", MAIN), ("src/bin/seed.rs", MAIN)];
    check(&like, "rust", 80, "/app/bin/shop");
}

#[test]
fn a_workspace_s_program_is_that_of_its_members() {
    let member = "[package]\nname='binary'\n[dependencies.library]\npath='../library'\n";
    let files = [
        ("Cargo.toml", "[workspace]\nmembers=['example/*']\n"),
        ("example/binary/Cargo.toml", member),
        ("example/binary/src/main.rs", ""),
        ("example/library/Cargo.toml", "[package]\nname='library'\n"),
        ("example/library/src/lib.rs", ""),
        ("other/Cargo.toml", "[package]\nname='other'\n"),
        ("other/src/main.rs", ""),
    ];
    check(&files, "rust", 80, "/app/bin/binary");
    let files = [
        ("Cargo.toml", "[workspace]\nmembers=['cli','web','xtask']\n"),
        ("cli/Cargo.toml", "[package]\nname='shop-cli'\n"),
        ("cli/src/main.rs", MAIN),
        ("web/Cargo.toml", "[package]\nname='shop-http-front'\n[dependencies]\naxum='0.7'\n"),
        ("web/src/main.rs", "use axum::Router;\n"),
        ("xtask/Cargo.toml", "[package]\nname='xtask'\n"),
        ("xtask/src/main.rs", MAIN),
    ];
    check(&files, "axum", 92, "/app/bin/shop-http-front");
}

#[test]
fn a_framework_is_sure_where_a_file_names_it() {
    check(
        &[("Cargo.toml", AXUM), ("src/main.rs", "use axum::Router;\n")],
        "axum",
        92,
        "/app/bin/shop",
    );
    check(&[("Cargo.toml", AXUM), ("src/main.rs", "")], "axum", 92, "/app/bin/shop");
    let inside = [
        ("Cargo.toml", AXUM),
        ("src/main.rs", "mod routes;\nfn main() {}\n"),
        ("src/routes.rs", "use axum::Router;\n"),
    ];
    check(&inside, "axum", 92, "/app/bin/shop");
    check(&[("Cargo.toml", AXUM), ("src/main.rs", MAIN)], "axum", 74, "/app/bin/shop");
    let found = app(&[("Cargo.toml", AXUM), ("src/main.rs", MAIN)]).found();
    assert!(found.evidence.iter().any(|sign| sign.detail.contains("no file here names it")));
    for id in ["actix-web", "rocket", "warp", "poem"] {
        let manifest = format!("[package]\nname='x'\n[dependencies]\n{id}='1'\n");
        let main = format!("use {}::x;\n", id.replace('-', "_"));
        assert_eq!(app(&[("Cargo.toml", &manifest), ("src/main.rs", &main)]).found().id, id);
    }
}

#[test]
fn several_programs_are_refused_until_one_is_named() {
    let files = [("Cargo.toml", PLAIN), ("src/bin/one.rs", MAIN), ("src/bin/two.rs", MAIN)];
    let refusal = app(&files).refusal();
    assert_eq!(refusal.code, "rust.several-programs");
    assert!(refusal.message.contains("one, two"), "{}", refusal.message);
    assert!(refusal.hint.unwrap().starts_with("set `default-run` in Cargo.toml, or"));
    let app = app(&files).settings(r#"{"run":{"command":"./target/release/two"}}"#);
    assert_eq!((app.found().refusal, app.line()), (None, "/app/bin/two".to_owned()));
}

#[test]
fn members_of_a_workspace_without_a_root_package_are_not_chosen_by_the_alphabet() {
    let files = |one: &'static str, two: &'static str| {
        [
            ("Cargo.toml".to_owned(), format!("[workspace]\nmembers=['{one}','{two}']\n")),
            (format!("{one}/Cargo.toml"), format!("[package]\nname='{one}'\n")),
            (format!("{one}/src/main.rs"), MAIN.to_owned()),
            (format!("{two}/Cargo.toml"), format!("[package]\nname='{two}'\n")),
            (format!("{two}/src/main.rs"), MAIN.to_owned()),
        ]
    };
    let of = |one, two| {
        let files = files(one, two);
        let files: Vec<_> =
            files.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
        app(&files)
    };
    let refusal = of("billing", "orders").refusal();
    assert_eq!(refusal.code, "rust.several-programs");
    assert!(refusal.message.contains("billing, orders"), "{}", refusal.message);
    assert!(refusal.hint.unwrap().starts_with("set `workspace.default-members` in Cargo.toml"));
    assert_eq!(of("jobs", "server").line(), "/app/bin/server");
    let chosen = of("billing", "orders").settings(r#"{"run":{"command":"orders"}}"#);
    assert_eq!((chosen.found().refusal, chosen.line()), (None, "orders".to_owned()));
}

#[test]
fn libraries_and_other_folders_are_none() {
    let library = [("Cargo.toml", PLAIN), ("src/lib.rs", ""), ("examples/x.rs", MAIN)];
    assert!(app(&library).nothing().contains("a library"));
    let extension =
        "[package]\nname='x'\n[lib]\ncrate-type=['cdylib']\n[dependencies]\npyo3='0.2'\n";
    assert!(app(&[("Cargo.toml", extension), ("src/lib.rs", "")]).nothing().contains("a library"));
    let workspace = [
        ("Cargo.toml", "[workspace]\nmembers=['a']\n"),
        ("a/Cargo.toml", "[package]\nname='a'\n"),
        ("a/src/lib.rs", ""),
    ];
    assert!(app(&workspace).nothing().contains("no member"));
    let desktop = "[package]\nname='x'\n[dependencies]\neframe='1'\n";
    assert!(app(&[("Cargo.toml", desktop), ("src/main.rs", MAIN)]).nothing().contains("window"));
    let below = app(&[("api/Cargo.toml", PLAIN)]).nothing();
    assert!(below.contains("build.app_dir = \"api\""), "{below}");
    assert!(app(&[("Cargo.tml", PLAIN)]).nothing().contains("did you mean \"Cargo.toml\""));
    assert_eq!(app(&[("README.md", ""), ("main.rs", MAIN)]).nothing(), "");
}

#[test]
fn the_version_is_the_first_pin() {
    let version = |files: &[(&str, &str)], settings: &str| {
        let mut all = vec![("src/main.rs", MAIN)];
        all.extend(files);
        app(&all).settings(settings).found().toolchains[0].requirement.clone()
    };
    let manifest = ("Cargo.toml", PLAIN);
    assert_eq!(version(&[manifest], "{}"), ">=1.56");
    let least = ("Cargo.toml", "[package]\nname='x'\nrust-version='1.70'\nedition='2021'\n");
    assert_eq!(version(&[least], "{}"), ">=1.70");
    let shared = (
        "Cargo.toml",
        "[package]\nname='x'\nedition.workspace=true\n[workspace]\nmembers=[]\n[workspace.package]\nedition='2024'\n",
    );
    assert_eq!(version(&[shared], "{}"), ">=1.85");
    assert_eq!(version(&[manifest, ("rust-toolchain", "1.75.0\n")], "{}"), "1.75.0");
    let file = ("rust-toolchain.toml", "[toolchain]\nchannel = \"1.76\"\n");
    assert_eq!(version(&[manifest, file], "{}"), "1.76");
    let nightly = ("rust-toolchain.toml", "[toolchain]\nchannel = \"nightly\"\n");
    assert_eq!(version(&[manifest, nightly], "{}"), ">=1.56");
    assert_eq!(version(&[manifest, (".tool-versions", "rust 1.77.0\n")], "{}"), "1.77.0");
    let setting = r#"{"build":{"toolchain":{"rust":"1.80"}}}"#;
    assert_eq!(version(&[manifest, file], setting), "1.80");
}

#[test]
fn what_cannot_be_built_or_read_is_refused() {
    let broken = app(&[("Cargo.toml", "[package\n"), ("src/main.rs", MAIN)]).refusal();
    assert_eq!(broken.code, "rust.manifest-invalid");
    let leptos = "[package]\nname='x'\n[package.metadata.leptos]\noutput-name='x'\n";
    let leptos = app(&[("Cargo.toml", leptos), ("src/main.rs", MAIN)]).refusal();
    assert_eq!(leptos.code, "rust.leptos-unsupported");
    let library = [("Cargo.toml", PLAIN), ("src/lib.rs", "")];
    let asked = app(&library).settings(r#"{"build":{"framework":"rust"}}"#).refusal();
    assert_eq!(asked.code, "rust.no-program");
}

#[test]
fn the_framework_setting_overrides() {
    let files = [("Cargo.toml", AXUM), ("src/main.rs", MAIN)];
    let settings = |id: &str| format!(r#"{{"build":{{"framework":"{id}"}}}}"#);
    let as_what = |id: &str| app(&files).settings(&settings(id)).detect().detections;
    assert_eq!((as_what("rust")[0].id.as_str(), as_what("rust")[0].confidence), ("rust", 100));
    assert_eq!(as_what("axum")[0].confidence, 100);
    assert!(as_what("node").is_empty());
}
