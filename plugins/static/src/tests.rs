use windlass_sdk::plan::{Artifact, Op, StaticOutput};
use windlass_sdk::testing::Harness;
use windlass_sdk::{DetectReport, Detection};

use super::Static;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn detect(files: &[&str], settings: &str) -> DetectReport {
    let files: Vec<_> = files.iter().map(|path| (*path, "")).collect();
    Harness::new(folder(&files).path()).settings(settings).detect::<Static>().unwrap()
}

fn site(files: &[(&str, &str)], settings: &str) -> (Detection, Vec<String>, StaticOutput) {
    let folder = folder(files);
    let (chosen, plan) =
        Harness::new(folder.path()).settings(settings).detect_and_plan::<Static>().unwrap();
    assert!(plan.processes.is_empty(), "a static site runs nothing");
    let Op::Copy(copy) = &plan.steps[0].ops[0] else { panic!("no copy") };
    let Artifact::StaticTree(tree) = &plan.outputs[0].artifact else { panic!("no tree") };
    (chosen, copy.sources.clone(), tree.clone())
}

#[test]
fn an_index_is_a_site_wherever_it_usually_lies() {
    for (index, sources, root) in [
        ("index.html", "**", "/site"),
        ("public/index.html", "public/**", "/site/public"),
        ("dist/index.html", "dist/**", "/site/dist"),
    ] {
        let (chosen, copied, tree) = site(&[(index, "")], "{}");
        assert!(chosen.confidence <= 30, "weaker than anything else");
        assert_eq!(chosen.evidence[0].path, index);
        assert_eq!((copied[0].as_str(), tree.root.as_str()), (sources, root));
        assert_eq!(tree.not_found, None);
    }
}

#[test]
fn the_error_page_is_found() {
    let (_, _, tree) = site(&[("public/index.html", ""), ("public/404.html", "")], "{}");
    assert_eq!(tree.not_found.as_deref(), Some("404.html"));
}

#[test]
fn settings_and_staticfile_name_the_folder() {
    let (_, _, tree) = site(&[("htdocs/x.html", "")], r#"{"build":{"output":"./htdocs/"}}"#);
    assert_eq!(tree.root, "/site/htdocs");
    let (_, _, tree) = site(&[("Staticfile", "root: web\n"), ("web/index.html", "")], "{}");
    assert_eq!(tree.root, "/site/web");
}

#[test]
fn it_stands_back_where_another_ecosystem_shows_unless_it_is_asked_for() {
    for other in ["go.mod", "composer.json", "manage.py", "requirements.txt"] {
        let report = detect(&["index.html", other], "{}");
        assert!(report.detections.is_empty(), "{other}");
        assert!(report.near_misses[0].reason.contains(other));
        let report = detect(&["index.html", other], r#"{"build":{"framework":"static"}}"#);
        assert_eq!(report.detections[0].confidence, 100);
    }
    let script = folder(&[("index.html", ""), ("package.json", r#"{"scripts":{"build":"x"}}"#)]);
    let report = Harness::new(script.path()).detect::<Static>().unwrap();
    assert!(report.near_misses[0].reason.contains("\"build\" script"));
}

#[test]
fn nothing_is_nothing_and_slips_are_named() {
    assert_eq!(detect(&["README.md", "docs/index.html"], "{}"), DetectReport::nothing());
    assert!(detect(&["indx.html"], "{}").near_misses[0].reason.contains("did you mean"));
    let report = detect(&["README.md"], r#"{"build":{"framework":"static"}}"#);
    assert!(report.near_misses[0].reason.contains("build.output"));
    assert!(detect(&["index.html"], r#"{"build":{"framework":"node"}}"#).detections.is_empty());
}
