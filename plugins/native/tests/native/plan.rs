//! What the plugin plans.

use crate::support::app;
use windlass_plugin_common::outline::outline;
use windlass_sdk::plan::ProcessKind;

#[track_caller]
fn build(files: &[(&str, &str)]) -> String {
    let plan = app(files).plan();
    let text = outline(&plan);
    let start = text.find("step build").unwrap();
    let end = text.find("step runtime").unwrap();
    text[start..end].lines().filter(|line| !line.contains("ldd")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_program_of_cmake() {
    let text = "project(shop LANGUAGES CXX)\nfind_package(OpenSSL REQUIRED)\nfind_package(Boost COMPONENTS system REQUIRED)\nadd_executable(shop main.cc)\n";
    insta::assert_snapshot!(outline(&app(&[("CMakeLists.txt", text), ("main.cc", "")]).plan()));
}

#[test]
fn the_build_lines_of_each_language() {
    let main = "int main(void) { return 0; }\n";
    let make = "BIN=build/shop\n$(BIN): main.c\n\t$(CC) -o $(BIN) main.c\n";
    let meson = "project('shop', 'c')\nexecutable('shop', 'main.c')\n";
    let cabal = "name: shop\nexecutable shop\n  main-is: Main.hs\n  build-depends: base\n";
    let warp = "name: shop\nexecutable shop\n  main-is: Main.hs\n  build-depends: base, warp\n";
    let shard = "name: shop\ntargets:\n  shop:\n    main: src/shop.cr\ndependencies:\n  kemal:\n    github: kemalcr/kemal\n";
    let pubspec = "name: shop\n";
    let all: [&[(&str, &str)]; 10] = [
        &[("Makefile", make), ("main.c", main)],
        &[("meson.build", meson), ("main.c", "")],
        &[("main.cpp", main)],
        &[("build.zig", "addExecutable(.{ .name = \"shop\" })")],
        &[("shop.cabal", cabal)],
        &[("shop.cabal", warp)],
        &[("shard.yml", shard)],
        &[("Package.swift", ".executableTarget(name: \"Shop\")")],
        &[("pubspec.yaml", pubspec), ("bin/shop.dart", "")],
        &[("main.cob", "IDENTIFICATION DIVISION.\n"), ("sub.cob", "LINKAGE SECTION.\n")],
    ];
    let text: Vec<String> = all.into_iter().map(build).collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn dependencies_are_installed_from_the_manifests_alone() {
    let shard = "name: shop\ntargets:\n  shop:\n    main: src/shop.cr\ndependencies:\n  kemal:\n    github: kemalcr/kemal\n";
    let text = outline(&app(&[("shard.yml", shard), ("shard.lock", "")]).plan());
    assert!(text.contains("copy shard.* of source to /app/"), "{text}");
    assert!(text.contains("shards install --without-development --frozen"), "{text}");
}

#[test]
fn cobol_is_a_worker() {
    let plan = app(&[("main.cbl", "       IDENTIFICATION DIVISION.\n")]).plan();
    assert_eq!(plan.processes.len(), 1);
    assert_eq!(
        (plan.processes[0].kind, plan.processes[0].name.as_str()),
        (ProcessKind::Worker, "worker")
    );
    let named = r#"{"run":{"processes":{"worker":{"command":"main -q"}}}}"#;
    let plan = app(&[("main.cbl", "       IDENTIFICATION DIVISION.\n")]).settings(named).plan();
    assert_eq!((plan.processes.len(), plan.processes[0].argv.join(" ").as_str()), (1, "main -q"));
}

#[test]
fn the_port_that_is_fixed_is_the_process_s_port() {
    let main = "int main() { addr.sin_port = htons(8080); }\n";
    assert_eq!(app(&[("main.c", main)]).plan().processes[0].ports, [8080]);
    let main = "int main() { getenv(\"PORT\"); addr.sin_port = htons(8080); }\n";
    assert!(app(&[("main.c", main)]).plan().processes[0].ports.is_empty());
}
