//! What the plugin plans.

use crate::support::app;
use windlass_plugin_common::outline::outline;

const FLASK: &str = "from flask import Flask\napp = Flask(__name__)\n";
const MANAGE: &str = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n";

/// The command line of the first process.
#[track_caller]
fn line(files: &[(&str, &str)]) -> String {
    app(files).web().last().unwrap().clone()
}

#[test]
fn flask_with_gunicorn() {
    let files = [("requirements.txt", "flask\ngunicorn\n"), ("app.py", FLASK)];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn django_with_static_files() {
    let files = [
        ("requirements.txt", "Django>=5\ngunicorn\n"),
        ("manage.py", MANAGE),
        ("shop/settings.py", "STATIC_ROOT = BASE_DIR / 'static'\n"),
        ("shop/wsgi.py", ""),
    ];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn a_project_table_is_installed_by_its_list() {
    let project = "[project]\nname='my-shop'\ndependencies=['fastapi[standard]','httpx>=0.27']\n\
                   [build-system]\nrequires=['setuptools']\n";
    let files = [
        ("pyproject.toml", project),
        ("my_shop/__init__.py", "app = FastAPI()\n"),
        ("uv.lock", ""),
    ];
    insta::assert_snapshot!(outline(&app(&files).plan()));
    assert!(app(&files).warnings()[0].contains("uv.lock is not read"));
}

#[test]
fn the_declared_server_is_used_and_the_framework_s_own_with_a_warning() {
    let with = |requirements: &str| line(&[("requirements.txt", requirements), ("app.py", FLASK)]);
    assert_eq!(with("flask\ngunicorn"), "exec gunicorn --bind \"0.0.0.0:$PORT\" app:app");
    assert_eq!(with("flask\nwaitress"), "exec waitress-serve --listen=\"0.0.0.0:$PORT\" app:app");
    let bare = "exec flask --app app:app run --host 0.0.0.0 --port \"$PORT\"";
    assert_eq!(with("flask"), bare);
    let warnings = app(&[("requirements.txt", "flask"), ("app.py", FLASK)]).warnings();
    assert!(warnings[0].contains("add gunicorn"), "{warnings:?}");
    let django = line(&[("requirements.txt", "django"), ("manage.py", MANAGE)]);
    assert_eq!(django, "exec python manage.py runserver --noreload \"0.0.0.0:$PORT\"");
}

#[test]
fn the_application_object_is_found_where_it_is() {
    let with = |file: &str, text: &str| {
        line(&[("requirements.txt", "flask\ngunicorn"), (file, text)])
            .split("\" ")
            .nth(1)
            .unwrap()
            .to_owned()
    };
    assert_eq!(with("main.py", "import flask\nserver = flask.Flask(__name__)"), "main:server");
    assert_eq!(with("wsgi.py", "application: Flask = create_app()"), "wsgi:application");
    assert_eq!(
        with("shop/__init__.py", "def create_app():\n    return Flask(__name__)"),
        "'shop:create_app()'"
    );
    let nested = line(&[("requirements.txt", "flask\ngunicorn"), ("src/app.py", FLASK)]);
    assert_eq!(nested, "cd src && exec gunicorn --bind \"0.0.0.0:$PORT\" app:app");
}

#[test]
fn an_asgi_application_needs_a_server() {
    let fastapi = [("requirements.txt", "fastapi\nuvicorn"), ("main.py", "app = FastAPI()")];
    assert_eq!(line(&fastapi), "exec uvicorn main:app --host 0.0.0.0 --port \"$PORT\"");
    let report = app(&[("requirements.txt", "fastapi"), ("main.py", "app = FastAPI()")]).detect();
    assert!(report.near_misses[0].reason.contains("add uvicorn"));
}

#[test]
fn plain_scripts_are_run_and_bots_are_workers() {
    let plan = app(&[("requirements.txt", "x"), ("main.py", "")]).plan();
    assert_eq!(plan.processes[0].argv, ["python", "main.py"]);
    let plan = app(&[("requirements.txt", "x"), ("bot.py", "")]).plan();
    assert_eq!((plan.processes.len(), plan.processes[0].name.as_str()), (1, "worker"));
}

#[test]
fn settings_come_before_the_procfile_and_that_before_the_framework() {
    let files = [
        ("requirements.txt", "flask"),
        ("app.py", FLASK),
        ("Procfile", "web: gunicorn -b :$PORT other:app\nworker: rq worker\n"),
    ];
    let plan = app(&files).plan();
    assert_eq!(plan.processes[0].argv[2], "exec gunicorn -b :$PORT other:app");
    assert_eq!(plan.processes[1].argv, ["rq", "worker"]);
    let plan = app(&files).settings(r#"{"run":{"command":"python x.py"}}"#).plan();
    assert_eq!(plan.processes[0].argv, ["python", "x.py"]);
}

#[test]
fn requirements_that_name_other_files_bring_them() {
    let text = |requirements: &str| {
        outline(&app(&[("requirements.txt", requirements), ("main.py", "")]).plan())
    };
    assert!(
        text("-r base.txt\n-c limits.txt\nx")
            .contains("copy requirements.txt base.txt limits.txt of source to /app/\n")
    );
    assert!(text("-e .\nx").contains("copy ** of source to /app/\n"));
    assert!(text("./libs/x").contains("copy ** of source to /app/\n"));
}
