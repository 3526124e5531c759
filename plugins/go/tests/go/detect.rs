//! What the plugin takes an application for.

use crate::support::app;

const MAIN: &str = "package main\n\nimport \"net/http\"\n\nfunc main() {}\n";
const GIN: &str = "module example.com/shop\n\ngo 1.21\n\nrequire github.com/gin-gonic/gin v1.9.1\n";
const GIN_MAIN: &str = "package main\n\nimport \"github.com/gin-gonic/gin\"\n";
const PLAIN: &str = "module example.com/shop\n\ngo 1.21\n";

#[track_caller]
fn check(files: &[(&str, &str)], id: &str, confidence: u8, line: &str) {
    let app = app(files);
    let (found, start) = (app.buildable(), app.line());
    let seen = (found.id.as_str(), found.confidence, start.as_str());
    assert_eq!(seen, (id, confidence, line), "{files:?}");
}

#[test]
fn programs_are_found_where_they_lie() {
    check(&[("go.mod", PLAIN), ("main.go", MAIN)], "go", 80, "/app/bin/shop");
    check(&[("go.mod", PLAIN), ("server.go", MAIN), ("x.go", MAIN)], "go", 80, "/app/bin/shop");
    check(&[("go.mod", PLAIN), ("cmd/first/main.go", MAIN)], "go", 80, "/app/bin/first");
    check(&[("go.mod", PLAIN), ("cmd/main.go", MAIN)], "go", 80, "/app/bin/shop");
    check(&[("go.mod", PLAIN), ("src/main.go", MAIN)], "go", 80, "/app/bin/shop");
    check(&[("main.go", "")], "go", 35, "/app/bin/app");
    let several = [
        ("go.mod", PLAIN),
        ("cmd/migrate/main.go", MAIN),
        ("cmd/shop/main.go", MAIN),
        ("examples/x/main.go", MAIN),
    ];
    check(&several, "go", 80, "/app/bin/shop");
    let root = [("go.mod", PLAIN), ("main.go", MAIN), ("cmd/tool/main.go", MAIN)];
    check(&root, "go", 80, "/app/bin/shop");
    let workspace = [
        ("go.work", "go 1.21\nuse (\n ./api\n ./lib\n)\n"),
        ("api/go.mod", "module example.com/api\n"),
        ("api/main.go", MAIN),
        ("lib/go.mod", "module example.com/lib\n"),
        ("lib/lib.go", "package lib\n"),
    ];
    check(&workspace, "go", 80, "/app/bin/api");
}

#[test]
fn a_framework_is_sure_where_a_file_imports_it() {
    check(&[("go.mod", GIN), ("main.go", GIN_MAIN)], "gin", 92, "/app/bin/shop");
    check(&[("go.mod", GIN), ("main.go", "")], "gin", 92, "/app/bin/shop");
    let inside = [("go.mod", GIN), ("main.go", MAIN), ("internal/server/server.go", GIN_MAIN)];
    check(&inside, "gin", 92, "/app/bin/shop");
    check(&[("go.mod", GIN), ("main.go", MAIN)], "gin", 74, "/app/bin/shop");
    let found = app(&[("go.mod", GIN), ("main.go", MAIN)]).found();
    assert!(found.evidence.iter().any(|sign| sign.detail.contains("no file here imports it")));
    assert!(found.evidence.iter().any(|sign| sign.detail.starts_with("line 5: require")));
    let indirect = "module m\nrequire github.com/gin-gonic/gin v1.9.1 // indirect\n";
    check(&[("go.mod", indirect), ("main.go", MAIN)], "go", 80, "/app/bin/m");
    for (path, id) in [
        ("github.com/labstack/echo/v4", "echo"),
        ("github.com/gofiber/fiber/v2", "fiber"),
        ("github.com/go-chi/chi/v5", "chi"),
        ("github.com/gorilla/mux", "go"),
    ] {
        let module = format!("module m\nrequire {path} v1.0.0\n");
        let main = format!("package main\nimport \"{path}\"\n");
        assert_eq!(app(&[("go.mod", &module), ("main.go", &main)]).found().id, id);
    }
}

#[test]
fn several_programs_are_refused_until_one_is_named() {
    let files = [("go.mod", PLAIN), ("cmd/first/main.go", ""), ("cmd/second/main.go", "")];
    let refusal = app(&files).refusal();
    assert_eq!(refusal.code, "go.several-programs");
    assert!(refusal.message.contains("first, second"), "{}", refusal.message);
    let app = app(&files).settings(r#"{"run":{"command":"second --x"}}"#);
    assert_eq!(app.found().refusal, None);
    assert_eq!(app.line(), "second --x");
}

#[test]
fn what_a_program_that_is_not_run_imports_is_no_sign() {
    let gin = "package main\n\nimport \"github.com/gin-gonic/gin\"\n";
    let module = "module example.com/shop\nrequire github.com/gin-gonic/gin v1.9.1\n";
    let files =
        [("go.mod", module), ("cmd/api/main.go", gin), ("cmd/worker/main.go", "package main\n")];
    let run = |name: &str| {
        let settings = format!(r#"{{"run":{{"command":"{name}"}}}}"#);
        let found = app(&files).settings(&settings).found();
        found.evidence.iter().any(|sign| sign.detail == "line 3: import")
    };
    assert!(run("api") && !run("worker"));
}

#[test]
fn what_the_module_of_another_program_requires_is_no_sign() {
    let gin = "module example.com/api\nrequire github.com/gin-gonic/gin v1.9.1\n";
    let files = [
        ("go.work", "go 1.22\nuse (\n ./api\n ./jobs\n ./web\n)\n"),
        ("api/go.mod", gin),
        ("api/main.go", "package main\n"),
        ("jobs/go.mod", "module example.com/jobs\n"),
        ("jobs/main.go", "package main\n"),
        ("web/go.mod", "module example.com/web\n"),
        ("web/web.go", "package web\n"),
    ];
    let run = |files: &[(&str, &str)], name: &str| {
        let settings = format!(r#"{{"run":{{"command":"{name}"}}}}"#);
        app(files).settings(&settings).found().id
    };
    assert_eq!((run(&files, "api"), run(&files, "jobs")), ("gin".to_owned(), "go".to_owned()));
    let mut library = files;
    library[5].1 = gin;
    assert_eq!(run(&library, "jobs"), "gin", "a library may bring it");
}

#[test]
fn modules_of_a_workspace_are_not_chosen_by_the_alphabet() {
    let of = |one: &str, two: &str| {
        let files = [
            ("go.work".to_owned(), format!("go 1.22\nuse (\n ./{one}\n ./{two}\n)\n")),
            (format!("{one}/go.mod"), format!("module example.com/{one}\n")),
            (format!("{one}/main.go"), MAIN.to_owned()),
            (format!("{two}/go.mod"), format!("module example.com/{two}\n")),
            (format!("{two}/main.go"), MAIN.to_owned()),
        ];
        let files: Vec<_> =
            files.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
        app(&files)
    };
    let refusal = of("billing", "orders").refusal();
    assert_eq!(refusal.code, "go.several-programs");
    assert!(refusal.message.contains("billing, orders"), "{}", refusal.message);
    assert_eq!(of("jobs", "server").line(), "/app/bin/server");
    let chosen = of("billing", "orders").settings(r#"{"run":{"command":"orders"}}"#);
    assert_eq!((chosen.found().refusal, chosen.line()), (None, "orders".to_owned()));
    let one = [
        ("go.work", "go 1.22\nuse ./shop\n"),
        ("shop/go.mod", "module example.com/shop\n"),
        ("shop/cmd/migrate/main.go", MAIN),
        ("shop/cmd/shop/main.go", MAIN),
    ];
    check(&one, "go", 80, "/app/bin/shop");
}

#[test]
fn libraries_and_other_folders_are_none() {
    let library = [
        ("go.mod", PLAIN),
        ("shop.go", "package shop\n"),
        ("examples/basic/main.go", MAIN),
        ("internal/gen/main.go", MAIN),
        ("shop_test.go", "package main\n"),
    ];
    assert!(app(&library).nothing().contains("a library"));
    assert!(app(&[("go.mod", PLAIN)]).nothing().contains("no package main"));
    assert!(app(&[("api/go.mod", PLAIN), ("api/main.go", MAIN)]).nothing().contains("api/go.mod"));
    assert!(app(&[("goo.mod", PLAIN)]).nothing().contains("did you mean \"go.mod\""));
    assert_eq!(app(&[("README.md", ""), ("util.go", "package util\n")]).nothing(), "");
    let ignored = "//go:build ignore\n\npackage main\n";
    assert!(app(&[("go.mod", PLAIN), ("gen.go", ignored)]).nothing().contains("library"));
}

#[test]
fn the_version_is_the_first_pin() {
    let version = |files: &[(&str, &str)], settings: &str| {
        let mut all = vec![("main.go", MAIN)];
        all.extend(files);
        app(&all).settings(settings).found().toolchains[0].requirement.clone()
    };
    assert_eq!(version(&[], "{}"), "");
    let module = ("go.mod", "module m\ngo 1.21.3\n");
    assert_eq!(version(&[module], "{}"), ">=1.21.3 <2");
    let toolchain = ("go.mod", "module m\ngo 1.21\ntoolchain go1.23.4\n");
    assert_eq!(version(&[toolchain], "{}"), ">=1.23.4 <2");
    assert_eq!(version(&[module, (".tool-versions", "golang 1.22.1\n")], "{}"), "1.22.1");
    assert_eq!(version(&[module, ("mise.toml", "[tools]\ngo = '1.24'\n")], "{}"), "1.24");
    assert_eq!(version(&[module, (".go-version", "1.23.0\n")], "{}"), "1.23.0");
    let setting = r#"{"build":{"toolchain":{"go":"1.25"}}}"#;
    assert_eq!(version(&[module, (".go-version", "1.23.0\n")], setting), "1.25");
}

#[test]
fn a_member_that_needs_its_workspace_is_refused_alone() {
    let files = |import: &str| {
        [
            ("go.work", "go 1.22\nuse (\n ./worker\n ./libs/common\n)\n".to_owned()),
            ("worker/go.mod", "module example.com/worker\n".to_owned()),
            ("worker/main.go", format!("package main\nimport \"{import}\"\nfunc main() {{}}\n")),
            ("libs/common/go.mod", "module example.com/libs/common\n".to_owned()),
            ("libs/common/c.go", "package common\n".to_owned()),
        ]
    };
    let member = |import: &str, settings: &str| {
        let files = files(import);
        let files: Vec<_> = files.iter().map(|(file, text)| (*file, text.as_str())).collect();
        let harness = windlass_sdk::testing::Harness::with_files(&files);
        let harness = harness.app_dir("worker").settings(settings);
        harness.detect::<windlass_plugin_go::Go>().unwrap().detections.remove(0).refusal
    };
    for import in ["example.com/libs/common", "example.com/libs/common/log"] {
        let refusal = member(import, "{}").unwrap();
        assert_eq!(refusal.code, "go.workspace-member");
        assert!(refusal.message.contains("example.com/libs/common, which go.work"), "{refusal:?}");
        assert!(refusal.hint.unwrap().contains("command = \"worker\""));
    }
    assert_eq!(member("example.com/libs/commons", "{}"), None);
    assert_eq!(member("example.com/libs/common", r#"{"build":{"command":"make"}}"#), None);
}

#[test]
fn the_framework_setting_overrides() {
    let files = [("go.mod", GIN), ("main.go", MAIN)];
    let settings = |id: &str| format!(r#"{{"build":{{"framework":"{id}"}}}}"#);
    let as_what = |id: &str| app(&files).settings(&settings(id)).detect().detections;
    assert_eq!((as_what("go")[0].id.as_str(), as_what("go")[0].confidence), ("go", 100));
    assert_eq!(as_what("gin")[0].confidence, 100);
    assert!(as_what("node").is_empty());
    let library = app(&[("go.mod", PLAIN)]).settings(&settings("go"));
    assert_eq!(library.refusal().code, "go.no-program");
}

#[test]
fn a_module_that_leads_outside_is_refused() {
    let module = "module m\nreplace example.com/lib => ../lib\n";
    let refusal = app(&[("go.mod", module), ("main.go", MAIN)]).refusal();
    assert_eq!(refusal.code, "go.replace-outside");
    assert!(refusal.message.contains("../lib"));
    let vendored = [("go.mod", module), ("main.go", MAIN), ("vendor/modules.txt", "")];
    assert_eq!(app(&vendored).found().refusal, None);
}
