//! What is a plugin, what is not, and that each refusal says why.

use std::path::Path;

use windlass_model::limits::PluginLimits;
use windlass_model::plugin::{Grants, Stage};
use windlass_sandbox::{CompileError, LoadError, inspect};
use windlass_test_support::adversaries::texts::{MANIFEST, manifest, parsed};

use crate::support::{Bench, guest, limits};

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), wat::parse_str(text).unwrap()).unwrap();
}

#[test]
fn the_guest_says_what_it_is_before_anything_is_compiled() {
    let info = inspect(&guest()).unwrap().info;
    assert_eq!(info.manifest.name, "test-guest");
    assert_eq!(info.manifest.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(info.manifest.licence, "Apache-2.0");
    assert!(info.manifest.summary.contains("good or bad"));
    assert_eq!(info.stages, [Stage::Detector, Stage::Builder, Stage::Health]);
}

#[test]
fn the_guest_imports_nothing_that_must_be_granted() {
    let imports = inspect(&guest()).unwrap().imports;
    assert!(imports.iter().any(|name| name.starts_with("windlass:source/")), "{imports:?}");
    assert!(!imports.iter().any(|name| name.contains("exec") || name.contains("http")));
}

#[test]
fn every_file_that_is_no_plugin_is_refused_with_its_reason_and_keeps_no_other_from_loading() {
    let bench = Bench::new();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::copy(guest(), at.join("good.wasm")).unwrap();
    std::fs::write(at.join("ignored.txt"), "no plugin").unwrap();
    std::fs::write(at.join("a-text.wasm"), "hello").unwrap();
    write(at, "b-core.wasm", "(module)");
    write(at, "c-silent.wasm", "(component)");
    let bad = r#"(component (@custom "windlass-manifest" "{\22name\22:\22Odd Name\22}"))"#;
    write(at, "d-manifest.wasm", bad);
    write(at, "e-stageless.wasm", &format!("(component {MANIFEST})"));
    let instance = "(instance $i)";
    let newer = format!(
        r#"(component {MANIFEST} {instance} (export "windlass:detector/detector@9.0.0" (instance $i)))"#
    );
    write(at, "f-newer.wasm", &newer);
    let with_import = |import: &str| {
        format!(
            r#"(component {MANIFEST} (import "{import}" (instance)) {instance}
               (export "windlass:detector/detector@1.0.0" (instance $i)))"#
        )
    };
    write(at, "g-exec.wasm", &with_import("windlass:exec/exec@1.0.0"));
    write(at, "h-http.wasm", &with_import("wasi:http/types@0.2.0"));
    write(at, "i-old.wasm", &with_import("windlass:log/log@0.0.1"));
    std::fs::write(at.join("j-forged.cwasm"), b"\x7fELF and machine code").unwrap();
    std::fs::copy(guest(), at.join("k-renamed.cwasm")).unwrap();
    std::fs::write(at.join("l-renamed.wasm"), b"\x7fELF and machine code").unwrap();
    let (plugins, problems) = bench.sandbox.load_dir(at, true);
    assert_eq!(plugins.len(), 1);
    assert!(plugins[0].info().bundled);
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        ("a-text.wasm", "not a WebAssembly component: it does not begin as every WebAssembly"),
        ("b-core.wasm", "core WebAssembly module"),
        ("c-silent.wasm", "no manifest"),
        ("d-manifest.wasm", "manifest does not read"),
        ("e-stageless.wasm", "exports no stage; it exports: nothing"),
        (
            "f-newer.wasm",
            "windlass:detector/detector@9.0.0, and this host offers windlass:detector/detector@1.0.0",
        ),
        (
            "g-exec.wasm",
            "windlass:exec/exec@1.0.0, and its manifest does not ask for the capability exec",
        ),
        ("h-http.wasm", "wasi:http/types@0.2.0, which no plugin gets"),
        ("i-old.wasm", "windlass:log/log@0.0.1, and this host offers"),
        ("j-forged.cwasm", "compiled code (a .cwasm or another ELF file), which is never taken"),
        ("k-renamed.cwasm", "compiled code"),
        ("l-renamed.wasm", "compiled code"),
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, (file, reason)) in said.iter().zip(expected) {
        assert!(said.contains(file) && said.contains(reason), "{said}");
    }
    assert!(problems.iter().all(|problem| !problem.error.fix().is_empty()));
}

#[test]
fn a_folder_that_does_not_exist_holds_no_plugins() {
    let bench = Bench::new();
    let (plugins, problems) = bench.sandbox.load_dir(Path::new("/nonexistent"), false);
    assert!(plugins.is_empty() && problems.is_empty());
}

#[test]
fn a_file_over_the_limit_is_not_even_read() {
    let bench = Bench::with(PluginLimits { component_bytes_max: 1_000_000, ..limits() });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.wasm");
    std::fs::File::create(&path).unwrap().set_len(1_000_001).unwrap();
    let error = bench.sandbox.load(&path, false).unwrap_err();
    assert!(matches!(error, LoadError::TooLarge { bytes: 1_000_001, .. }), "{error}");
    let (bytes, limit_bytes) = (40 << 20, 32 << 20);
    let said = LoadError::TooLarge { bytes, limit_bytes }.to_string();
    assert_eq!(said, "it has 41943040 bytes, and a plugin has at most 33554432 (32.0 MiB)");
}

#[tokio::test]
async fn an_export_of_the_wrong_type_is_found_before_any_call() {
    let bench = Bench::new();
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        r#"(component {MANIFEST} (instance $i)
           (export "windlass:detector/detector@1.0.0" (instance $i)))"#
    );
    write(folder.path(), "odd.wasm", &text);
    let plugin = bench.sandbox.load(&folder.path().join("odd.wasm"), false).unwrap();
    let error = bench.sandbox.prepare(&plugin).await.unwrap_err();
    assert!(matches!(*error, LoadError::Mismatch { .. }), "{error}");
    let source = crate::support::Folder::new("ok");
    let call = bench.sandbox.detect(&plugin, &source.source(), &crate::support::context()).await;
    assert_eq!(call.result.unwrap_err().code(), "plugin.not-loadable");
}

#[tokio::test]
async fn what_the_compiler_refuses_is_the_plugins_fault() {
    let bench = Bench::new();
    let folder = tempfile::tempdir().unwrap();
    // The types do not fit: the parser does not mind, the compiler does.
    let broken = wat::parse_str(format!(
        r#"(component {MANIFEST}
             (core module (func (result i32) i64.const 0)) (instance $i)
             (export "windlass:detector/detector@1.0.0" (instance $i)))"#
    ));
    let path = folder.path().join("broken.wasm");
    std::fs::write(&path, broken.unwrap()).unwrap();
    let plugin = bench.sandbox.load(&path, false).unwrap();
    let error = bench.sandbox.prepare(&plugin).await.unwrap_err();
    let LoadError::Compile(CompileError::Invalid { reason }) = &*error else { panic!("{error}") };
    assert!(reason.contains("type mismatch"), "{reason}");
}

#[tokio::test]
async fn compiling_has_a_wall_clock_and_a_memory_limit() {
    let tight = PluginLimits { compile_wall_ms: 1, ..limits() };
    let bench = Bench::with(tight);
    let error = bench.sandbox.prepare(&bench.guest).await.unwrap_err();
    assert!(
        matches!(*error, LoadError::Compile(CompileError::TimedOut { limit_ms: 1 })),
        "{error}"
    );
    let tight = PluginLimits { compile_memory_bytes_max: 48 << 20, ..limits() };
    let bench = Bench::with(tight);
    let error = bench.sandbox.prepare(&bench.guest).await.unwrap_err();
    assert!(matches!(*error, LoadError::Compile(_)), "{error}");
    assert!(!bench.guest.is_ready());
}

#[tokio::test]
async fn a_compiler_that_does_not_start_is_the_hosts_fault_and_tried_again() {
    let mut bench = Bench::new();
    bench.config.compiler = "/nonexistent/compiler".into();
    let sandbox = windlass_sandbox::Sandbox::new(bench.config.clone()).unwrap();
    let plugin = sandbox.load(&guest(), false).unwrap();
    let error = sandbox.prepare(&plugin).await.unwrap_err();
    assert!(matches!(*error, LoadError::Compile(CompileError::Host { .. })), "{error}");
}

#[test]
fn a_component_of_another_version_is_told_its_interface_what_is_offered_and_how_to_build_it_again()
{
    let bench = Bench::new();
    let folder = tempfile::tempdir().unwrap();
    let claiming = |interface: &str| {
        format!(r#"(component {MANIFEST} (instance $i) (export "{interface}" (instance $i)))"#)
    };
    let update = "update Windlass: the plugin was made for a newer one";
    for (version, fix) in [
        ("2.0.0", update),
        ("1.1.0", update),
        ("0.1.0", "or install a version of the plugin that was made for it"),
    ] {
        let claimed = format!("windlass:detector/detector@{version}");
        write(folder.path(), "odd.wasm", &claiming(&claimed));
        let error = bench.sandbox.load(&folder.path().join("odd.wasm"), false).unwrap_err();
        let LoadError::UnknownInterface { interface, version: named, offered } = &error else {
            panic!("{error}")
        };
        assert_eq!((interface.as_str(), named.as_str()), ("windlass:detector/detector", version));
        assert_eq!(*offered, ["windlass:detector/detector@1.0.0"]);
        let said =
            format!("it uses {claimed}, and this host offers windlass:detector/detector@1.0.0");
        assert_eq!(error.to_string(), said);
        assert_eq!(error.code(), "plugin.not-loadable");
        for part in
            [fix, "build it again for contract 1.0.0", "`windlass plugin build`", "`wit/1.0.0`"]
        {
            assert!(error.fix().contains(part), "{part}: {}", error.fix());
        }
    }
}

#[tokio::test]
async fn a_component_of_another_draft_is_told_its_interface_what_is_offered_and_how_to_mend_it() {
    let bench = Bench::new();
    let folder = tempfile::tempdir().unwrap();
    let stage = r#"(core module $m (func (export "f"))) (core instance $c (instantiate $m))
        (func $f (canon lift (core func $c "f"))) (instance $i (export "detect" (func $f)))
        (export "windlass:detector/detector@1.0.0" (instance $i))"#;
    // A function of the contract with other parameters, as an import and as an export.
    let import = r#"(import "windlass:log/log@1.0.0"
        (instance (export "write" (func (param "message" string)))))"#;
    write(folder.path(), "log.wasm", &format!("(component {MANIFEST} {import} {stage})"));
    write(folder.path(), "detector.wasm", &format!("(component {MANIFEST} {stage})"));
    for (file, interface) in
        [("log.wasm", "windlass:log/log"), ("detector.wasm", "windlass:detector/detector")]
    {
        let plugin = bench.sandbox.load(&folder.path().join(file), false).unwrap();
        let source = crate::support::Folder::new("ok");
        let context = crate::support::context();
        let call = bench.sandbox.detect(&plugin, &source.source(), &context).await;
        let failure = call.result.unwrap_err().to_failure("odd", Stage::Detector);
        assert_eq!(failure.code, "plugin.not-loadable", "{failure:#?}");
        assert!(failure.what.contains("odd"), "{failure:#?}");
        for said in ["it does not fit", interface, "as contract 1.0.0 has it"] {
            assert!(failure.why.contains(said), "{said}: {failure:#?}");
        }
        for said in ["build it again", "windlass-sdk", "windlass plugin build", "`wit/1.0.0`"] {
            assert!(failure.fix.contains(said), "{said}: {failure:#?}");
        }
    }
}

/// A component that asks for `exec` and imports it.
fn asks_for_exec(optional: bool) -> String {
    let manifest = format!(
        r#"(@custom "windlass-manifest" "{{\22name\22:\22odd\22,\22version\22:\221\22,\22summary\22:\22s\22,\22licence\22:\22MIT\22,\22capabilities\22:[{{\22name\22:\22exec\22,\22reason\22:\22lists packages\22,\22optional\22:{optional}}}]}}")"#
    );
    format!(
        r#"(component {manifest} (import "windlass:exec/exec@1.0.0" (instance))
           (core module $m (func (export "f"))) (core instance $c (instantiate $m))
           (func $f (canon lift (core func $c "f"))) (instance $i (export "detect" (func $f)))
           (export "windlass:detector/detector@1.0.0" (instance $i)))"#
    )
}

#[tokio::test]
async fn what_is_required_must_be_granted_and_what_is_optional_is_there_and_denies() {
    let bench = Bench::new();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "needs.wasm", &asks_for_exec(false));
    write(folder.path(), "wishes.wasm", &asks_for_exec(true));
    let needs = folder.path().join("needs.wasm");
    let error = bench.sandbox.load(&needs, false).unwrap_err();
    assert!(matches!(error, LoadError::NotGranted { .. }), "{error}");
    assert!(error.to_string().contains("commands in * (lists packages)"), "{error}");
    assert!(error.fix().contains("--grant exec"), "{}", error.fix());
    assert_eq!(error.code(), "plugin.not-granted");

    let asked = inspect(&needs).unwrap().info.manifest.capabilities;
    let granted = bench.sandbox.load_granted(&needs, false, &Grants::all_of(&asked)).unwrap();
    assert!(granted.effective().allows_exec("app") && granted.missing().is_empty());
    let bundled = bench.sandbox.load(&needs, true).unwrap();
    assert_eq!(bundled.missing().len(), 1, "it is there to be granted it");
    let wishes = bench.sandbox.load(&folder.path().join("wishes.wasm"), false).unwrap();
    assert!(!wishes.effective().allows_exec("app"));
    for plugin in [granted, bundled, wishes] {
        bench.sandbox.smoke_test(&plugin).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_born_with_the_memory_that_it_was_granted_is_tried_with_it() {
    let bench = Bench::new();
    let json = r#"{"name":"large","version":"1.0.0","summary":"s","licence":"MIT",
        "capabilities":[{"name":"limits","memory_bytes":268435456,"reason":"a large engine"}],
        "custom":[{"name":"act","summary":"s","hooks":["after-build"]}]}"#;
    let component = format!(
        r#"(component {}
            (core module $m (memory 2000) (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $e (export "run" (func $f)))
            (export "windlass:custom/custom@1.0.0" (instance $e)))"#,
        manifest(json)
    );
    let path = bench.cache.path().join("large.wasm");
    std::fs::write(&path, parsed(&component)).unwrap();
    let granted = |bytes: u64| {
        let grants = format!(r#"[{{"name":"limits","memory_bytes":{bytes}}}]"#);
        let grants: Grants = serde_json::from_str(&grants).unwrap();
        bench.sandbox.load_granted(&path, false, &grants).unwrap()
    };
    bench.sandbox.smoke_test(&granted(256 << 20)).await.unwrap();
    let too_little = bench.sandbox.smoke_test(&granted(96 << 20)).await.unwrap_err();
    assert_eq!(too_little.code(), "plugin.out-of-memory", "{too_little}");
}
