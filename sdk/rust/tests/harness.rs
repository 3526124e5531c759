//! The native harness keeps the rules of the real host: see `host/sandbox/tests` for the same on a
//! component.

use std::os::unix::fs::symlink;

use windlass_sdk::testing::{App, Harness};
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

#[test]
fn a_detector_runs_on_a_folder_with_the_settings_that_it_is_given() {
    let root = Harness::with_files(&[("apps/web/app.json", r#"{"main":"x"}"#)]);
    let harness =
        root.clone().app_dir("apps/web").settings(r#"{"build":{"toolchain":{"probe":"2"}}}"#);
    let found = harness.detect::<Probe>().unwrap().detections.remove(0);
    assert_eq!(found.confidence, 90);
    assert_eq!(found.toolchains[0].requirement, "2");
    assert_eq!(found.notes::<serde_json::Value>().unwrap()["main"], "x");
    assert!(root.detect::<Probe>().unwrap().detections.is_empty());
}

#[test]
fn a_broken_file_is_an_error_that_names_file_and_line() {
    let harness = Harness::with_files(&[("app.json", "{\n  \"main\": oops\n}")]);
    let error = harness.detect::<Probe>().unwrap_err();
    assert_eq!(error.code, "source.invalid-json");
    assert!(error.message.contains("app.json") && error.message.contains("line 2"), "{error:?}");
}

#[test]
fn the_log_of_a_run_comes_back_with_it() {
    let harness = Harness::with_files(&[]);
    let (_, log) = harness.run(|source| Probe::detect(&harness.context, source));
    assert_eq!(log, [(log::Level::Warn, "looked".to_owned())]);
}

#[test]
fn nothing_outside_the_source_is_read() {
    let files = Harness::with_files(&[("outside", "secret"), ("source/inside/file", "12345")]);
    let source = files.folder().join("source");
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
    let harness = Harness::with_files(&[
        ("app/b/c.html", ""),
        ("app/a.html", ""),
        ("app/d.txt", ""),
        ("app/.git/config", ""),
        ("other/e.html", ""),
    ])
    .app_dir("app");
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
    let harness = Harness::with_files(&[("app.json", "{}")]);
    let ((before, after), _) = harness.run(|source| {
        source.prefetch(&["app.json"]);
        std::fs::remove_file(harness.folder().join("app.json")).unwrap();
        (source.exists("app.json"), source.exists("package.json"))
    });
    assert!(before && !after);
}

#[test]
fn a_folder_of_files_goes_with_the_last_clone_of_its_harness() {
    let harness = Harness::with_files(&[("apps/web/app.json", "{}")]);
    let folder = harness.folder().to_owned();
    let clone = harness.clone();
    drop(harness);
    assert!(clone.folder().join("apps/web/app.json").is_file());
    drop(clone);
    assert!(!folder.exists());
}

#[test]
fn an_application_is_asked_for_its_first_detection_or_for_what_is_missing() {
    let app = App::<Probe>::new(&[("app.json", r#"{"main":"x"}"#)]);
    let app = app.settings(r#"{"build":{"toolchain":{"probe":"2"}}}"#);
    assert_eq!(app.found().toolchains[0].requirement, "2");
    assert_eq!(App::<Probe>::new(&[]).nothing(), "there is no app.json");
}
