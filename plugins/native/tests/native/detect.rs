//! What the plugin takes an application for.

use crate::support::app;

const CABAL: &str = "name: shop\nexecutable shop\n  main-is: Main.hs\n  build-depends: base\n";

#[track_caller]
fn check(files: &[(&str, &str)], id: &str, confidence: u8, line: &str) {
    let app = app(files);
    let (found, start) = (app.buildable(), app.line());
    let seen = (found.id.as_str(), found.confidence, start.as_str());
    assert_eq!(seen, (id, confidence, line), "{files:?}");
    assert_eq!(found.toolchains.len(), 1, "{files:?}");
}

#[test]
fn cmake_names_its_executables() {
    let text = "cmake_minimum_required(VERSION 3.15)\nproject(shop LANGUAGES CXX)\nadd_executable(shop main.cc)\n";
    check(&[("CMakeLists.txt", text), ("main.cc", "")], "cpp", 78, "/app/bin/shop");
    let text = "project(${X})\nproject(shop C)\nadd_executable(${PROJECT_NAME} main.c)\nadd_executable(shop_test t.c)\n";
    let text = text.replace("project(${X})\n", "");
    check(&[("CMakeLists.txt", &text), ("main.c", "")], "c", 78, "/app/bin/shop");
    let text = "project(shop)\nset(APP_NAME web)\nadd_executable(${APP_NAME} a.cpp) # x)\nadd_executable(seed b.cpp)\n";
    check(&[("CMakeLists.txt", text), ("a.cpp", "")], "cpp", 78, "/app/bin/web");
    let nested = [
        ("CMakeLists.txt", "project(shop)\nadd_subdirectory(src)\n"),
        ("src/CMakeLists.txt", "add_executable(shopd main.cpp)\n"),
        ("tests/CMakeLists.txt", "add_executable(other main.cpp)\n"),
    ];
    check(&nested, "cpp", 78, "/app/bin/shopd");
}

#[test]
fn meson_make_and_plain_files() {
    let meson =
        "project('shop', 'c')\nexecutable('shop', 'main.c', dependencies: dependency('libcurl'))\n";
    check(&[("meson.build", meson), ("main.c", "")], "c", 78, "/app/bin/shop");
    let main = "int main(void) { return 0; }\n";
    let make = [("Makefile", "server: main.c\n\t$(CC) -o $@ main.c\n"), ("main.c", main)];
    check(&make, "c", 60, "/app/bin/server");
    check(&[("main.cpp", main)], "cpp", 32, "/app/bin/app");
    check(&[("src/server.c", main)], "c", 32, "/app/bin/app");
}

#[test]
fn the_other_languages() {
    let zig = "const exe = b.addExecutable(.{\n .name = \"shop\",\n});\n";
    check(&[("build.zig", zig), ("src/main.zig", "")], "zig", 78, "/app/bin/shop");
    let shard = "name: shop\nversion: 0.1.0\ntargets:\n  shop:\n    main: src/shop.cr\ncrystal: '>= 1.0.0'\n";
    check(&[("shard.yml", shard), ("src/shop.cr", "")], "crystal", 78, "/app/bin/shop");
    check(&[("shop.cabal", CABAL)], "haskell", 78, "/app/bin/shop");
    let package =
        "name: shop\ndependencies:\n- base\nexecutables:\n  shop-exe:\n    main: Main.hs\n";
    check(&[("package.yaml", package), ("stack.yaml", "")], "haskell", 78, "/app/bin/shop-exe");
    check(
        &[("Package.swift", ""), ("Sources/swift/main.swift", "")],
        "swift",
        78,
        "/app/bin/swift",
    );
    let swift = "// swift-tools-version:5.5\nlet package = Package(name: \"shop\", targets: [.executableTarget(name: \"Shop\")])\n";
    check(&[("Package.swift", swift)], "swift", 78, "/app/bin/Shop");
    let pubspec = "name: shop\nenvironment:\n  sdk: '>=2.16.1 <3.0.0'\n";
    check(&[("pubspec.yaml", pubspec), ("bin/shop.dart", "")], "dart", 78, "/app/bin/shop");
    check(&[("index.cbl", "       IDENTIFICATION DIVISION.\n")], "cobol", 39, "/app/bin/index");
}

#[test]
fn vapor_is_told_where_to_listen() {
    let resolved = r#"{"pins":[{"location":"https://github.com/vapor/vapor.git"}]}"#;
    let files =
        [("Package.swift", ""), ("Package.resolved", resolved), ("Sources/Run/main.swift", "")];
    let line =
        "/bin/sh -c exec /app/bin/Run serve --env production --hostname 0.0.0.0 --port \"$PORT\"";
    check(&files, "vapor", 94, line);
}

#[test]
fn libraries_and_other_folders_are_none() {
    for (files, reason) in [
        (&[("CMakeLists.txt", "project(x)\nadd_library(x x.c)\n")][..], "no add_executable"),
        (&[("meson.build", "project('x', 'c')\nlibrary('x', 'x.c')\n")], "no executable"),
        (&[("CMakeLists.txt", "find_package(Qt6 REQUIRED)\nadd_executable(x a.cpp)\n")], "window"),
        (&[("build.zig", "b.addStaticLibrary(.{})\n")], "no addExecutable"),
        (&[("shard.yml", "name: x\nversion: 1\n")], "no targets"),
        (&[("x.cabal", "name: x\nlibrary\n  build-depends: base\n")], "no executable"),
        (
            &[("Package.swift", "let p = Package(name: \"x\")\n"), ("Sources/x/x.swift", "")],
            "no executable",
        ),
        (&[("pubspec.yaml", "name: x\n"), ("lib/x.dart", "")], "no program in bin"),
        (&[("CMakeList.txt", "")], "did you mean"),
    ] {
        let nothing = app(files).nothing();
        assert!(nothing.contains(reason), "{files:?}: {nothing}");
    }
    assert_eq!(app(&[("Makefile", "all:\n\tdocker build .\n"), ("x.h", "")]).nothing(), "");
    assert_eq!(app(&[("Makefile", "test:\n\tgo test\n")]).nothing(), "");
    assert_eq!(app(&[("util.c", "void f(void) {}\n")]).nothing(), "");
}

#[test]
fn examples_firmware_and_windows_are_no_applications() {
    let main = "int main(void) { return 0; }\n";
    let library =
        [("lib.c", ""), ("example.c", main), ("Makefile", "all:\n\tcc -o example example.c\n")];
    assert_eq!(app(&library).nothing(), "");
    assert!(app(&[("platformio.ini", ""), ("src/main.cpp", main)]).nothing().contains("device"));
    let window = "#include <SDL2/SDL.h>\nint main(void) { return 0; }\n";
    assert!(app(&[("main.c", window)]).nothing().contains("window"));
    let module = [("main.c", main), ("Makefile", "obj-m += main.o\n")];
    assert!(app(&module).nothing().contains("kernel"));
}

#[test]
fn code_beside_another_manifest_is_a_part_of_that() {
    let text = "project(x)\nadd_executable(x a.cpp)\n";
    let found = app(&[("CMakeLists.txt", text), ("package.json", "{}")]).found();
    assert_eq!(found.confidence, 45);
}

#[test]
fn what_cannot_be_built_is_refused() {
    let flutter = "name: x\ndependencies:\n  flutter:\n    sdk: flutter\n";
    let web = [("pubspec.yaml", flutter), ("lib/main.dart", ""), ("web/index.html", "")];
    let refusal = app(&web).refusal();
    assert_eq!(refusal.code, "native.flutter-unsupported");
    assert!(app(&web[..2]).nothing().contains("for devices"));
    assert!(app(&[("pubspec.yaml", flutter), ("lib/x.dart", "")]).nothing().contains("library"));
    let several = "project(x)\nadd_executable(one a.cpp)\nadd_executable(two b.cpp)\n";
    let files = [("CMakeLists.txt", several)];
    assert_eq!(app(&files).refusal().code, "native.several-programs");
    let chosen = app(&files).settings(r#"{"run":{"command":"two --x"}}"#);
    assert_eq!((chosen.found().refusal, chosen.line()), (None, "two --x".to_owned()));
    let broken = app(&[("shard.yml", "a: [\n")]).refusal();
    assert_eq!(broken.code, "native.manifest-invalid");
}

#[test]
fn versions_are_those_that_are_pinned() {
    let version = |files: &[(&str, &str)]| app(files).found().toolchains[0].requirement.clone();
    let dart = ("pubspec.yaml", "name: x\nenvironment:\n  sdk: '>=2.16.1 <3.0.0'\n");
    assert_eq!(version(&[dart, ("bin/x.dart", "")]), ">=2.16.1 <3.0.0");
    let swift = ("Package.swift", "// swift-tools-version:5.5\n.executableTarget(name: \"x\")\n");
    assert_eq!(version(&[swift]), ">=5.5");
    assert_eq!(version(&[swift, (".swift-version", "5.9.2\n")]), "5.9.2");
    assert_eq!(version(&[swift, (".swift-version", "5.9\n")]), "5.9");
    let zig = [
        ("build.zig", "addExecutable(.{ .name = \"x\" })"),
        ("build.zig.zon", ".{ .name = .x, .minimum_zig_version = \"0.13.0\" }"),
    ];
    assert_eq!(version(&zig), "~0.13.0");
    let crystal = ("shard.yml", "name: x\ntargets:\n  x:\n    main: x.cr\ncrystal: 1.6.0\n");
    assert_eq!(version(&[crystal]), "^1.6.0");
    let ghc = [("shop.cabal", CABAL), (".tool-versions", "ghc 9.4.7\n")];
    assert_eq!(version(&ghc), "9.4.7");
}

#[test]
fn the_framework_setting_overrides() {
    let files = [("main.cpp", "int main() {}\n")];
    let as_what = |id: &str| {
        app(&files).settings(&format!(r#"{{"build":{{"framework":"{id}"}}}}"#)).detect().detections
    };
    assert_eq!((as_what("cpp")[0].id.as_str(), as_what("cpp")[0].confidence), ("cpp", 100));
    assert!(as_what("node").is_empty());
}
