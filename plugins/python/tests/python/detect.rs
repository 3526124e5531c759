//! What the plugin takes an application for.

use crate::support::app;

const FLASK: &str = "from flask import Flask\napp = Flask(__name__)\n";
const MANAGE: &str = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n";

#[track_caller]
fn check(files: &[(&str, &str)], id: &str, confidence: u8) {
    let found = app(files).found();
    assert_eq!((found.id.as_str(), found.confidence), (id, confidence), "{files:?}");
    assert_eq!(found.refusal, None);
    assert!(!found.evidence.is_empty() && !found.toolchains.is_empty());
}

#[test]
fn applications_are_told_by_what_they_declare_and_use() {
    check(&[("requirements.txt", "Flask==3\n"), ("app.py", FLASK)], "flask", 92);
    check(
        &[
            ("requirements.txt", "Flask\n"),
            ("shop/__init__.py", "def create_app():\n  return Flask(x)"),
        ],
        "flask",
        92,
    );
    check(&[("requirements.txt", "django\n"), ("manage.py", MANAGE)], "django", 95);
    check(
        &[
            ("pyproject.toml", "[project]\nname='x'\ndependencies=['fastapi','uvicorn']"),
            ("main.py", "app = FastAPI()"),
        ],
        "fastapi",
        92,
    );
    check(&[("requirements.txt", "requests\n"), ("main.py", "")], "python", 65);
    check(&[("main.py", "print(1)")], "python", 35);
}

#[test]
fn a_framework_that_no_file_uses_is_a_near_miss_and_lowers_the_confidence() {
    let app = app(&[("requirements.txt", "flask\n"), ("main.py", "print(1)")]);
    let report = app.detect();
    assert_eq!((report.detections[0].id.as_str(), report.detections[0].confidence), ("python", 55));
    assert_eq!(report.near_misses[0].id, "flask");
    assert!(report.detections[0].evidence.iter().any(|sign| sign.detail.contains("not used here")));
}

#[test]
fn libraries_and_other_folders_are_none() {
    let library = "[project]\nname='lib'\n[build-system]\nrequires=['hatchling']\n";
    let report = app(&[("pyproject.toml", library), ("lib/__init__.py", "")]).detect();
    assert!(report.detections.is_empty());
    assert!(report.near_misses[0].reason.contains("run.command"));
    assert!(app(&[("README.md", ""), ("tools/x.py", "")]).detect().detections.is_empty());
    let tools = "[tool.black]\nline-length = 100\n";
    assert!(app(&[("pyproject.toml", tools), ("x/y.py", "")]).detect().detections.is_empty());
    let report = app(&[("requirments.txt", "flask")]).detect();
    assert!(report.near_misses[0].reason.contains("did you mean \"requirements.txt\""));
}

#[test]
fn the_version_is_one_that_fits_what_is_asked_for() {
    let version = |files: &[(&str, &str)], settings: &str| {
        let mut all = vec![("requirements.txt", "flask\n"), ("app.py", FLASK)];
        all.extend(files);
        app(&all).settings(settings).found().toolchains[0].requirement.clone()
    };
    assert_eq!(version(&[], "{}"), "3.11");
    assert_eq!(version(&[(".python-version", "3.12.4\n")], "{}"), "3.12");
    assert_eq!(version(&[("pyproject.toml", "[project]\nrequires-python='>=3.9'")], "{}"), "3.11");
    assert_eq!(version(&[("runtime.txt", "python-3.11.7")], "{}"), "3.11");
    let setting = r#"{"build":{"toolchain":{"python":"3.13"}}}"#;
    assert_eq!(version(&[(".python-version", "3.12")], setting), "3.13");
}

#[test]
fn a_version_that_cannot_be_had_is_refused_by_name() {
    for (file, text, version) in [
        (".python-version", "3.8", "3.8"),
        ("runtime.txt", "python-2.7.18", "2.7.18"),
        ("pyproject.toml", "[project]\nrequires-python='<3.10'", "<3.10"),
    ] {
        let refusal =
            app(&[("requirements.txt", "flask"), ("app.py", FLASK), (file, text)]).refusal();
        assert_eq!(refusal.code, "python.version-unsupported");
        assert!(refusal.message.contains(file) && refusal.message.contains(version));
        assert!(refusal.message.contains("3.10, 3.11"), "{}", refusal.message);
    }
}

#[test]
fn what_cannot_be_installed_is_refused_with_the_way_out() {
    let poetry = "[tool.poetry.dependencies]\npython='^3.11'\nflask='^3'\n";
    let refusal = app(&[("pyproject.toml", poetry), ("app.py", FLASK)]).refusal();
    assert_eq!(refusal.code, "python.poetry-unsupported");
    assert!(refusal.hint.unwrap().contains("poetry export"));
    let exported = [("pyproject.toml", poetry), ("app.py", FLASK), ("requirements.txt", "flask")];
    assert_eq!(app(&exported).found().refusal, None);
    let refusal = app(&[("Pipfile", "[packages]\nflask='*'"), ("app.py", FLASK)]).refusal();
    assert_eq!(refusal.code, "python.pipenv-unsupported");
}

#[test]
fn a_broken_pyproject_is_refused_with_its_place() {
    let refusal = app(&[("pyproject.toml", "[project]\nname = \n"), ("app.py", FLASK)]).refusal();
    assert_eq!(refusal.code, "python.pyproject-invalid");
    assert!(refusal.message.contains("line 2"), "{}", refusal.message);
}

#[test]
fn the_framework_setting_overrides() {
    let files = [("requirements.txt", "flask\n"), ("app.py", FLASK)];
    let as_what = |what: &str| {
        app(&files)
            .settings(&format!(r#"{{"build":{{"framework":"{what}"}}}}"#))
            .detect()
            .detections
    };
    assert_eq!(
        (as_what("python")[0].id.as_str(), as_what("python")[0].confidence),
        ("python", 100)
    );
    assert_eq!(as_what("flask")[0].confidence, 100);
    assert!(as_what("node").is_empty());
}

#[test]
fn asked_for_and_without_a_way_to_start_it_says_so() {
    let app = app(&[("requirements.txt", "x")]).settings(r#"{"build":{"framework":"python"}}"#);
    let refusal = app.refusal();
    assert_eq!(refusal.code, "python.no-start");
    assert!(refusal.hint.unwrap().contains("run.command"));
}
