//! The native harness keeps the rules of the real host: see `host/sandbox/tests` for the same on a
//! component.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that is not as it should be"
)]

use std::os::unix::fs::symlink;

use windlass_sdk::testing::Harness;
use windlass_sdk::{
    Context, DetectReport, Detection, Detector, PluginError, ReadError, Source, log,
};

struct Probe;

impl Detector for Probe {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        log::warn("looked");
        if !source.exists("app.json") {
            return Ok(DetectReport::near_miss("probe", "there is no app.json"));
        }
        let app: serde_json::Value = source.json("app.json")?.unwrap_or_default();
        let found = Detection::new("probe", "Probe", "test")
            .confidence(if app["main"].is_string() { 90 } else { 40 })
            .toolchain("probe", ctx.settings()?.build.toolchain.get("probe").map_or("", |v| v))
            .with_notes(&app);
        Ok(found.into())
    }
}

windlass_sdk::export! {
    Probe: [detector],
    name: "probe",
    summary: "Shows that an exported type is checked natively",
    capabilities: [("http", "to show that it parses")],
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

#[test]
fn a_detector_runs_on_a_folder_with_the_settings_that_it_is_given() {
    let folder = folder(&[("apps/web/app.json", r#"{"main":"x"}"#)]);
    let harness = Harness::new(folder.path())
        .app_dir("apps/web")
        .settings(r#"{"build":{"toolchain":{"probe":"2"}}}"#);
    let found = harness.detect::<Probe>().unwrap().detections.remove(0);
    assert_eq!(found.confidence, 90);
    assert_eq!(found.toolchains[0].requirement, "2");
    assert_eq!(found.notes::<serde_json::Value>().unwrap()["main"], "x");
    assert!(Harness::new(folder.path()).detect::<Probe>().unwrap().detections.is_empty());
}

#[test]
fn a_broken_file_is_an_error_that_names_file_and_line() {
    let folder = folder(&[("app.json", "{\n  \"main\": oops\n}")]);
    let error = Harness::new(folder.path()).detect::<Probe>().unwrap_err();
    assert_eq!(error.code, "source.invalid-json");
    assert!(error.message.contains("app.json") && error.message.contains("line 2"), "{error:?}");
}

#[test]
fn the_log_of_a_run_comes_back_with_it() {
    let folder = folder(&[]);
    let harness = Harness::new(folder.path());
    let (_, log) = harness.run(|source| Probe::detect(&harness.context, source));
    assert_eq!(log, [(log::Level::Warn, "looked".to_owned())]);
}

#[test]
fn nothing_outside_the_source_is_read() {
    let folder = folder(&[("outside", "secret"), ("source/inside/file", "12345")]);
    let source = folder.path().join("source");
    symlink("../outside", source.join("out")).unwrap();
    symlink("inside/file", source.join("in")).unwrap();
    let (seen, _) = Harness::new(&source).run(|source| {
        ["../outside", "/etc/passwd", "out", "in", "inside", "absent"].map(|path| source.read(path))
    });
    let expected = [
        Err(ReadError::Denied),
        Err(ReadError::Denied),
        Err(ReadError::Denied),
        Ok(b"12345".to_vec()),
        Err(ReadError::NotAFile),
        Err(ReadError::NotFound),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_listing_is_sorted_below_the_application_and_without_git() {
    let folder = folder(&[
        ("app/b/c.html", ""),
        ("app/a.html", ""),
        ("app/d.txt", ""),
        ("app/.git/config", ""),
        ("other/e.html", ""),
    ]);
    let harness = Harness::new(folder.path()).app_dir("app");
    let list = |globs: &[&str]| harness.run(|source| source.files(globs)).0.unwrap();
    assert_eq!(list(&[]), ["a.html", "b/c.html", "d.txt"]);
    assert_eq!(list(&["*.html"]), ["a.html"]);
    assert_eq!(list(&["**/*.html"]), ["a.html", "b/c.html"]);
    let (shallow, _) = harness.run(|source| source.list(&[], 1, 2));
    let shallow = shallow.unwrap();
    assert!(shallow.truncated);
    assert_eq!(
        shallow.entries.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(),
        ["a.html", "b"]
    );
}

#[test]
fn a_file_is_asked_for_once() {
    let folder = folder(&[("app.json", "{}")]);
    let ((before, after), _) = Harness::new(folder.path()).run(|source| {
        source.prefetch(&["app.json"]);
        std::fs::remove_file(folder.path().join("app.json")).unwrap();
        (source.exists("app.json"), source.exists("package.json"))
    });
    assert!(before && !after);
}
