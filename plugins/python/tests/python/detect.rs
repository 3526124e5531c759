//! What the plugin takes an application for.

use crate::support::{FLASK, MANAGE, app};

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
fn each_framework_is_told_by_the_file_that_uses_it() {
    for (id, requirement, text) in [
        ("fastapi", "fastapi[standard]", "from fastapi import FastAPI\napi = FastAPI(title='x')\n"),
        ("starlette", "starlette", "app = Starlette(debug=True)\n"),
        ("litestar", "litestar", "app = Litestar([index])\n"),
        ("quart", "Quart", "app = Quart(__name__)\n"),
        ("sanic", "sanic", "app = Sanic('x')\n"),
        ("dash", "dash", "app = dash.Dash(__name__)\nserver = app.server\n"),
        ("falcon", "falcon", "app = falcon.App()\n"),
        ("bottle", "bottle", "from bottle import route, run\nrun(host='0.0.0.0')\n"),
        ("aiohttp", "aiohttp", "from aiohttp import web\nweb.run_app(web.Application())\n"),
        ("tornado", "tornado", "import tornado.web\ntornado.web.Application([]).listen(80)\n"),
        ("streamlit", "streamlit", "import streamlit as st\nst.title('x')\n"),
        ("chainlit", "chainlit", "import chainlit as cl\n"),
        ("gradio", "gradio", "import gradio as gr\ngr.Interface().launch()\n"),
        ("nicegui", "nicegui", "from nicegui import ui\nui.run()\n"),
    ] {
        let requirements = format!("{requirement}\n");
        let found = app(&[("requirements.txt", &requirements), ("app.py", text)]).found();
        assert_eq!(found.id, id);
        assert!(found.confidence >= 85 && found.supersedes.contains(&"python".to_owned()), "{id}");
        let sign = found.evidence.iter().find(|sign| sign.path == "app.py").unwrap();
        assert!(sign.detail.contains("line ") || sign.detail.contains("runs"), "{sign:?}");
    }
}

#[test]
fn manifests_of_every_package_manager_are_read() {
    let poetry =
        "[tool.poetry]\nname='x'\n[tool.poetry.dependencies]\npython='^3.11'\nflask='^3'\n";
    for (file, text) in [
        ("Pipfile", "[packages]\nflask='*'\n"),
        ("pyproject.toml", poetry),
        ("pyproject.toml", "[project]\nname='x'\ndependencies=['flask']\n"),
        ("requirements/production.txt", "flask\n"),
        ("setup.py", "setup(name='x', install_requires=['flask'])\n"),
        ("setup.cfg", "[options]\ninstall_requires =\n  flask\n"),
    ] {
        check(&[(file, text), ("app.py", FLASK)], "flask", 92);
        let found = app(&[(file, text), ("app.py", FLASK)]).found();
        assert_eq!(found.evidence[0].path, file);
    }
    let nested = [
        ("requirements.txt", "-r requirements/base.txt\n"),
        ("requirements/base.txt", "# web\nflask\n"),
        ("app.py", FLASK),
    ];
    check(&nested, "flask", 92);
    assert!(app(&nested).found().evidence[0].detail.contains("requirements/base.txt line 2"));
}

#[test]
fn the_shallowest_entry_decides_between_frameworks() {
    let streamlit = "import streamlit as st\n";
    let files = [
        ("requirements.txt", "fastapi\nuvicorn\nstreamlit\n"),
        ("app.py", streamlit),
        ("api/main.py", "app = FastAPI()\n"),
    ];
    check(&files, "streamlit", 92);
    let files = [
        ("requirements.txt", "starlette\nfastapi\n"),
        ("tests/app.py", "app = FastAPI()\n"),
        ("main.py", "from starlette.applications import Starlette\napp = Starlette()\n"),
    ];
    check(&files, "starlette", 92);
}

#[test]
fn an_empty_entry_file_is_taken_at_its_name_and_says_so() {
    let found = app(&[("requirements.txt", "flask\ngunicorn\n"), ("main.py", "")]).found();
    assert_eq!((found.id.as_str(), found.confidence), ("flask", 75));
    assert!(found.evidence.iter().any(|sign| sign.detail.starts_with("empty")));
    let django = [
        ("requirements.txt", "django\n"),
        ("manage.py", ""),
        ("site/settings.py", ""),
        ("site/wsgi.py", ""),
    ];
    check(&django, "django", 80);
    let bot = app(&[("requirements.txt", "discord.py\naiohttp\n"), ("main.py", "")]).found();
    assert_eq!(bot.id, "python");
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
fn a_misspelled_manifest_is_named_beside_a_detection_and_nothing_is_planned_without_it() {
    let wrong = [("requirments.txt", "flask\n"), ("app.py", FLASK)];
    let report = app(&wrong).detect();
    let refusal = report.detections[0].refusal.clone().unwrap();
    assert_eq!(refusal.code, "python.no-manifest");
    assert!(refusal.message.contains("app.py needs flask"), "{}", refusal.message);
    assert!(refusal.hint.unwrap().contains("did you mean \"requirements.txt\""));
    assert!(report.near_misses[0].reason.contains("did you mean \"requirements.txt\""));
    let procfile = [("requirements.txt", "flask"), ("app.py", FLASK), ("procfile", "web: x")];
    let report = app(&procfile).detect();
    assert_eq!(report.detections[0].refusal, None);
    assert!(report.near_misses[0].reason.contains("did you mean \"Procfile\""));
}

#[test]
fn an_entry_file_that_needs_packages_is_refused_where_none_are_listed() {
    let refused = |files: &[(&str, &str)], settings: &str| {
        let found = app(files).settings(settings).found();
        found.refusal.map(|refusal| refusal.code)
    };
    let code = Some("python.no-manifest".to_owned());
    assert_eq!(refused(&[("bot.py", "import discord\n")], "{}"), code);
    assert_eq!(refused(&[("manage.py", MANAGE), ("shop/settings.py", "")], "{}"), code);
    assert_eq!(refused(&[("app.py", FLASK), ("Procfile", "web: gunicorn app:app")], "{}"), code);
    assert_eq!(refused(&[("app.py", FLASK), ("Procfile", "web: python x.py")], "{}"), None);
    assert_eq!(refused(&[("app.py", FLASK)], r#"{"build":{"framework":"flask"}}"#), code);
    let install = r#"{"build":{"install":"pip install flask"}}"#;
    assert_eq!(refused(&[("app.py", FLASK)], install), None);
    let vendored = [("app.py", "from bottle import run\n"), ("bottle.py", "")];
    assert_eq!(refused(&vendored, "{}"), None);
    assert_eq!(refused(&[("app.py", "import http.server\n")], "{}"), None);
    let below = [("backend/manage.py", MANAGE), ("backend/requirements.txt", "django")];
    let hint = app(&below).refusal().hint.unwrap();
    assert!(hint.contains("build.app_dir = \"backend\""), "{hint}");
}

#[test]
fn a_folder_with_a_manifest_is_named_where_there_is_nothing_here() {
    let files = [("backend/requirements.txt", "flask"), ("frontend/package.json", "{}")];
    let report = app(&files).detect();
    assert!(report.detections.is_empty());
    assert!(report.near_misses[0].reason.contains("build.app_dir = \"backend\""), "{report:?}");
}

#[test]
fn what_is_not_an_application_is_left_alone() {
    let published = "[project]\nname='lib'\nclassifiers=['Topic :: Utilities']\n\
                     [project.scripts]\nlib='lib:main'\n[build-system]\nrequires=['flit']\n";
    let extension =
        "[project]\nname='flask-x'\ndependencies=['flask']\n[build-system]\nrequires=[]\n";
    let docs = "mkdocs\nmkdocs-material\n";
    let module = "[project]\nname='six'\n[build-system]\nrequires=['flit_core']\n";
    let component =
        "[project]\nname='st-x'\ndependencies=['streamlit']\n[build-system]\nrequires=['x']\n";
    let trees: [&[(&str, &str)]; 12] = [
        &[("pyproject.toml", published), ("src/lib/__init__.py", "def main(): pass")],
        &[("pyproject.toml", published), ("lib/__init__.py", ""), ("lib/__main__.py", "main()")],
        &[
            ("pyproject.toml", extension),
            ("flask_x/__init__.py", "from flask import Blueprint"),
            ("tests/test_x.py", FLASK),
            ("examples/app.py", FLASK),
        ],
        &[("setup.py", "setup(name='x')"), ("x/__init__.py", ""), ("tests/test_x.py", "")],
        &[("requirements.txt", "jupyter\n"), ("analysis.ipynb", "{}")],
        &[
            ("requirements.txt", docs),
            ("mkdocs.yml", "site_name: x"),
            ("main.py", "def define_env(env): pass"),
        ],
        &[("requirements-dev.txt", "pytest\n"), ("x.py", "")],
        &[("docs/requirements.txt", "sphinx\n"), ("docs/conf.py", "")],
        &[("package.json", "{}"), ("scripts/main.py", "print(1)")],
        &[(".github/scripts/main.py", ""), ("README.md", "")],
        &[("pyproject.toml", module), ("six.py", "PY3 = True")],
        &[("pyproject.toml", component), ("st_x/__init__.py", "import streamlit")],
    ];
    for tree in trees {
        let report = app(tree).detect();
        assert!(report.detections.is_empty(), "{tree:?}: {:?}", report.detections);
    }
    let report = app(trees[0]).detect();
    assert!(report.near_misses[0].reason.contains("run.command = \"lib\""));
    let report = app(trees[4]).detect();
    assert!(report.near_misses[0].reason.contains("only notebooks"));
}

#[test]
fn a_script_beside_another_language_s_manifest_is_hardly_an_application() {
    check(&[("go.mod", "module x"), ("main.py", "print(1)")], "python", 12);
}

#[test]
fn conda_and_reflex_are_named_and_refused() {
    let conda = "name: x\ndependencies:\n  - flask\n";
    let refusal = app(&[("environment.yml", conda), ("app.py", FLASK)]).refusal();
    assert_eq!(refusal.code, "python.conda-unsupported");
    let install = r#"{"build":{"install":"conda install flask"}}"#;
    for files in [&[("environment.yml", conda), ("app.py", FLASK)][..], &[("app.py", FLASK)]] {
        let installed = app(files).settings(install);
        assert_eq!(installed.found().id, "flask");
        let process = installed.plan().processes.remove(0);
        assert_eq!(process.name, "web");
        assert!(process.argv.join(" ").contains("gunicorn"), "{process:?}");
    }
    assert!(refusal.message.ends_with("cannot be had here: flask"), "{}", refusal.message);
    assert!(refusal.hint.unwrap().contains("requirements.txt"));
    let both = [("environment.yml", conda), ("requirements.txt", "flask"), ("app.py", FLASK)];
    assert_eq!(app(&both).found().refusal, None);
    let reflex = [("requirements.txt", "reflex"), ("rxconfig.py", ""), ("x/x.py", "")];
    assert_eq!(app(&reflex).refusal().code, "python.reflex-unsupported");
    let member = "[project]\nname='x'\ndependencies=['y']\n[tool.uv.sources]\ny={workspace=true}\n";
    let refusal = app(&[("pyproject.toml", member), ("main.py", "")]).refusal();
    assert_eq!(refusal.code, "python.workspace-member");
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
    assert_eq!(version(&[(".python-version", "# ours\n\n3.13\n")], "{}"), "3.13");
    assert_eq!(version(&[(".tool-versions", "nodejs 22\npython 3.12.1 3.11.2\n")], "{}"), "3.12");
    assert_eq!(version(&[("mise.toml", "[tools]\npython = '3.13'\n")], "{}"), "3.13");
    assert_eq!(version(&[("Pipfile", "[requires]\npython_version = '3.12'\n")], "{}"), "3.12");
    let poetry = "[tool.poetry.dependencies]\npython='^3.12'\n";
    assert_eq!(version(&[("pyproject.toml", poetry)], "{}"), "3.12");
    let both = [("runtime.txt", "python-3.13.1"), ("mise.toml", "[tools]\npython='3.12'")];
    assert_eq!(version(&both, "{}"), "3.13");
}

#[test]
fn a_version_that_ran_before_is_kept_where_nothing_asks_for_another() {
    let version = |files: &[(&str, &str)]| {
        let mut all = vec![("requirements.txt", "flask\n"), ("app.py", FLASK)];
        all.extend(files);
        let mut app = app(&all);
        let ran = windlass_sdk::Toolchain::new("python", "3.13.2");
        app.harness.context.previous_toolchains.push(ran);
        app.found().toolchains[0].requirement.clone()
    };
    assert_eq!(version(&[]), "3.13");
    assert_eq!(version(&[("pyproject.toml", "[project]\nrequires-python='>=3.9'")]), "3.13");
    assert_eq!(version(&[(".python-version", "3.12")]), "3.12");
}

#[test]
fn another_platform_s_version_comes_after_every_pin_and_before_what_ran() {
    let of = |files: &[(&str, &str)]| {
        let mut all = vec![("requirements.txt", "flask\n"), ("app.py", FLASK)];
        all.extend(files);
        let mut app = app(&all);
        let ran = windlass_sdk::Toolchain::new("python", "3.13.2");
        app.harness.context.previous_toolchains.push(ran);
        let found = app.found();
        assert_eq!(found.refusal, None);
        let sign = found.evidence.last().unwrap();
        (found.toolchains[0].requirement.clone(), format!("{}: {}", sign.path, sign.detail))
    };
    let netlify = |version: &str| format!("[build.environment]\nPYTHON_VERSION = '{version}'\n");
    let (version, sign) = of(&[("netlify.toml", &netlify("3.12"))]);
    assert_eq!(version, "3.12");
    assert_eq!(sign, "netlify.toml: build.environment.PYTHON_VERSION = 3.12");
    assert_eq!(of(&[("netlify.toml", &netlify("3.12")), (".python-version", "3.14")]).0, "3.14");
    assert_eq!(of(&[("netlify.toml", &netlify("3.6"))]).0, "3.13");
}

#[test]
fn a_version_that_cannot_be_had_is_refused_by_name() {
    for (file, text, version) in [
        (".python-version", "3.6", "3.6"),
        ("pyproject.toml", "[project]\nrequires-python='<3.7'", "<3.7"),
    ] {
        let refusal =
            app(&[("requirements.txt", "flask"), ("app.py", FLASK), (file, text)]).refusal();
        assert_eq!(refusal.code, "python.version-unsupported");
        assert!(refusal.message.contains(file) && refusal.message.contains(version));
        assert!(refusal.message.contains("3.7, 3.8"), "{}", refusal.message);
    }
}

#[test]
fn python_2_is_refused_under_its_own_code() {
    for (file, text) in [(".python-version", "2.7"), ("runtime.txt", "python-2.7.18")] {
        let refusal = app(&[("main.py", "print 'x'"), (file, text)]).refusal();
        assert_eq!(refusal.code, "python.python-2");
        assert!(refusal.hint.unwrap().contains("port the application"));
    }
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
