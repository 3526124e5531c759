//! What the plugin starts: servers and their applications, commands, ports, and who is a worker.

use windlass_plugin_common::outline::outline;
use windlass_sdk::plan::{Op, ProcessKind};

use crate::support::{FLASK, MANAGE, app};

/// The command line of the first process.
#[track_caller]
fn line(files: &[(&str, &str)]) -> String {
    app(files).web().last().unwrap().clone()
}

#[test]
fn the_declared_server_is_used_and_gunicorn_is_installed_where_none_is() {
    let with = |requirements: &str| line(&[("requirements.txt", requirements), ("app.py", FLASK)]);
    assert_eq!(with("flask\ngunicorn"), "exec gunicorn --bind \"0.0.0.0:$PORT\" app:app");
    assert_eq!(with("flask\nwaitress"), "exec waitress-serve --listen=\"0.0.0.0:$PORT\" app:app");
    assert_eq!(with("flask"), "exec gunicorn --bind \"0.0.0.0:$PORT\" app:app");
    let bare = app(&[("requirements.txt", "flask"), ("app.py", FLASK)]);
    assert!(outline(&bare.plan()).contains("run pip install gunicorn +network"));
    let warnings = bare.warnings();
    assert!(warnings[0].contains("gunicorn is installed too"), "{warnings:?}");
    let guarded = format!("{FLASK}if __name__ == '__main__':\n    app.run(debug=True)\n");
    let files = [("requirements.txt", "flask"), ("app.py", guarded.as_str())];
    assert!(line(&files).contains("gunicorn"), "{}", line(&files));
    let django = line(&[("requirements.txt", "django"), ("manage.py", MANAGE)]);
    assert_eq!(django, "exec python manage.py runserver --noreload \"0.0.0.0:$PORT\"");
}

#[test]
fn a_file_that_starts_a_server_when_it_is_imported_keeps_the_framework_s_own() {
    let text = format!("{FLASK}app.run(host='0.0.0.0')\n");
    let flask = app(&[("requirements.txt", "flask"), ("app.py", text.as_str())]);
    assert_eq!(flask.web()[2], "exec flask --app app:app run --host 0.0.0.0 --port \"$PORT\"");
    assert!(flask.warnings()[0].contains("add gunicorn"), "{:?}", flask.warnings());
    let bottle = "from bottle import Bottle\napp = Bottle()\napp.run(port=8000)\n";
    assert_eq!(app(&[("requirements.txt", "bottle"), ("app.py", bottle)]).web()[1], "app.py");
    let dash = [("requirements.txt", "dash"), ("app.py", "app = Dash(__name__)\n")];
    assert_eq!(app(&dash).web(), ["python", "app.py"]);
}

#[test]
fn django_without_a_server_gets_the_one_for_its_application() {
    let of = |requirements: &str, files: &[&str]| {
        let mut all = vec![("requirements.txt", requirements), ("manage.py", MANAGE)];
        all.extend(files.iter().map(|file| (*file, "")));
        app(&all)
    };
    let both = ["shop/settings.py", "shop/wsgi.py", "shop/asgi.py"];
    let wsgi = of("django", &both);
    let warnings = wsgi.warnings();
    assert!(warnings[0].contains("gunicorn is installed too"), "{warnings:?}");
    assert!(warnings[0].contains("whitenoise"), "{warnings:?}");
    insta::assert_snapshot!(outline(&wsgi.plan()));
    let asgi = of("django", &["shop/settings.py", "shop/asgi.py"]);
    assert!(asgi.web()[2].starts_with("exec uvicorn shop.asgi:application"), "{:?}", asgi.web());
    let channels = of("django\nchannels", &both);
    assert!(channels.web()[2].starts_with("exec daphne "), "{:?}", channels.web());
    assert!(outline(&channels.plan()).contains("run pip install daphne +network"));
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
fn nested_modules_are_named_as_they_import() {
    let with = |files: &[(&str, &str)]| {
        let mut all = vec![("requirements.txt", "fastapi\nuvicorn\n")];
        all.extend(files);
        line(&all).replace(" --host 0.0.0.0 --port \"$PORT\"", "")
    };
    let package = [("app/__init__.py", ""), ("app/main.py", "app = FastAPI()\n")];
    assert_eq!(with(&package), "exec uvicorn app.main:app");
    let relative = [("app/main.py", "from .db import x\napp = FastAPI()\n"), ("app/db.py", "")];
    assert_eq!(with(&relative), "exec uvicorn app.main:app");
    let beside =
        [("backend/main.py", "from db import x\napp = FastAPI()\n"), ("backend/db.py", "")];
    assert_eq!(with(&beside), "cd backend && exec uvicorn main:app");
    let source = [("src/shop/__init__.py", ""), ("src/shop/api.py", "app = FastAPI()\n")];
    assert_eq!(with(&source), "cd src && exec uvicorn shop.api:app");
    let any = [("hello.py", "api = FastAPI()\n")];
    assert_eq!(with(&any), "exec uvicorn hello:api");
    let factory = [("main.py", "def create_app():\n    app = FastAPI()\n    return app\n")];
    assert_eq!(with(&factory), "exec uvicorn main:create_app --factory");
}

#[test]
fn an_asgi_application_gets_a_server_and_a_warning_where_none_is_declared() {
    let fastapi = [("requirements.txt", "fastapi\nuvicorn"), ("main.py", "app = FastAPI()")];
    assert_eq!(line(&fastapi), "exec uvicorn main:app --host 0.0.0.0 --port \"$PORT\"");
    assert_eq!(app(&fastapi).warnings(), Vec::<String>::new());
    let bare = app(&[("requirements.txt", "fastapi"), ("main.py", "app = FastAPI()")]);
    assert_eq!(bare.web()[2], "exec uvicorn main:app --host 0.0.0.0 --port \"$PORT\"");
    assert!(outline(&bare.plan()).contains("run pip install uvicorn +network"));
    assert!(bare.warnings()[0].contains("no server is declared"));
    let quart = [("requirements.txt", "quart"), ("main.py", "app = Quart(__name__)")];
    assert_eq!(line(&quart), "exec hypercorn --bind \"0.0.0.0:$PORT\" main:app");
    let own = [("requirements.txt", "sanic"), ("server.py", "app = Sanic('x')")];
    assert_eq!(line(&own), "exec sanic server:app --host 0.0.0.0 --port \"$PORT\"");
}

#[test]
fn frameworks_with_a_command_of_their_own_run_a_file() {
    let of = |requirements: &str, file: &str, text: &str| {
        line(&[("requirements.txt", requirements), (file, text)])
    };
    assert_eq!(
        of("streamlit", "streamlit_app.py", "import streamlit"),
        "exec streamlit run streamlit_app.py --server.port \"$PORT\" --server.address 0.0.0.0 \
         --server.headless true"
    );
    assert_eq!(
        of("gradio", "app.py", "import gradio as gr\ndemo.launch()"),
        "exec env GRADIO_SERVER_PORT=\"$PORT\" python app.py"
    );
    let dash = "app = Dash(__name__)\nserver = app.server\n";
    assert_eq!(
        of("dash\ngunicorn", "app.py", dash),
        "exec gunicorn --bind \"0.0.0.0:$PORT\" app:server"
    );
}

#[test]
fn django_is_served_by_what_is_declared() {
    let with = |requirements: &str, files: &[(&str, &str)]| {
        let mut all = vec![("requirements.txt", requirements), ("manage.py", MANAGE)];
        all.extend(files);
        line(&all)
    };
    let both = [("shop/settings.py", ""), ("shop/wsgi.py", ""), ("shop/asgi.py", "")];
    assert_eq!(
        with("django\nuvicorn", &both),
        "exec uvicorn shop.asgi:application --host 0.0.0.0 --port \"$PORT\""
    );
    assert_eq!(
        with("django\nchannels\ndaphne\ngunicorn", &both),
        "exec daphne -b 0.0.0.0 -p \"$PORT\" shop.asgi:application"
    );
    let named = [("shop/settings.py", "WSGI_APPLICATION = 'core.web.app'\n"), ("core/web.py", "")];
    assert_eq!(
        with("django\ngunicorn", &named),
        "exec gunicorn --bind \"0.0.0.0:$PORT\" core.web:app"
    );
    let below = [
        ("requirements.txt", "django\ngunicorn"),
        ("backend/manage.py", MANAGE),
        ("backend/shop/settings.py", "STATIC_ROOT = 'x'\nSECRET_KEY = env('DJANGO_SECRET_KEY')\n"),
        ("backend/shop/wsgi.py", ""),
    ];
    let plan = app(&below).plan();
    let line = plan.processes[0].argv.last().unwrap();
    assert_eq!(line, "cd backend && exec gunicorn --bind \"0.0.0.0:$PORT\" shop.wsgi:application");
    let Op::Run(collect) = plan.steps.last().unwrap().ops.last().unwrap() else { panic!("no run") };
    assert!(collect.argv[2].starts_with("cd backend && exec python manage.py collectstatic"));
    assert_eq!(collect.env[0].0, "DJANGO_SECRET_KEY");
    let mut off = app(&below);
    off.harness = off.harness.variables(["DISABLE_COLLECTSTATIC"]);
    assert!(!outline(&off.plan()).contains("collectstatic"));
}

#[test]
fn packages_start_by_their_script_or_as_a_module() {
    let project = "[project]\nname='my-tool'\n[project.scripts]\nmy-tool='my_tool:main'\n\
                   [build-system]\nrequires=['uv_build']\n";
    let files = [
        ("pyproject.toml", project),
        ("uv.lock", ""),
        ("src/my_tool/__init__.py", "def main(): pass"),
    ];
    assert_eq!(app(&files).plan().processes[0].argv, ["my-tool"]);
    let module = [("requirements.txt", "x"), ("shop/__init__.py", ""), ("shop/__main__.py", "")];
    assert_eq!(app(&module).plan().processes[0].argv, ["python", "-m", "shop"]);
    let only = [("requirements.txt", "requests"), ("scraper.py", "port=80")];
    assert_eq!(app(&only).plan().processes[0].argv, ["python", "scraper.py"]);
}

#[test]
fn who_opens_no_port_is_a_worker() {
    let kind = |requirements: &str, text: &str| {
        let plan = app(&[("requirements.txt", requirements), ("main.py", text)]).plan();
        plan.processes[0].kind
    };
    assert_eq!(kind("discord.py", "client.run(token)"), ProcessKind::Worker);
    assert_eq!(kind("schedule", "while True: pass"), ProcessKind::Worker);
    assert_eq!(kind("schedule", ""), ProcessKind::Web);
    assert_eq!(kind("discord.py\nflask", "client.run(token)"), ProcessKind::Worker);
    let both = "from flask_restful import Api\nclient.run(token)";
    assert_eq!(kind("discord.py\nflask", both), ProcessKind::Web);
    let unused =
        [("requirements.txt", "flask\ngunicorn"), ("worker.py", "while True: pass"), ("x.py", "")];
    assert_eq!(app(&unused).plan().processes[0].kind, ProcessKind::Worker);
    assert_eq!(kind("aiogram", "web.run_app(app)"), ProcessKind::Web);
    assert_eq!(kind("x", "from http.server import HTTPServer"), ProcessKind::Web);
}

#[test]
fn a_port_that_is_written_out_is_the_process_s() {
    let ports = |files: &[(&str, &str)]| app(files).plan().processes[0].ports.clone();
    let script = [("requirements.txt", "x"), ("main.py", "HTTPServer(('', 8000), H)")];
    assert_eq!(ports(&script), [8000]);
    let procfile = [
        ("requirements.txt", "flask"),
        ("app.py", FLASK),
        ("Procfile", "web: gunicorn -b 0.0.0.0:9000 app:app"),
    ];
    assert_eq!(ports(&procfile), [9000]);
    assert!(ports(&[("requirements.txt", "flask"), ("app.py", FLASK)]).is_empty());
}

#[test]
fn a_server_on_the_loopback_address_is_warned_of() {
    let warned = |start: &str| {
        let text = format!("from flask import Flask\napp = Flask(__name__)\n{start}\n");
        let files = [
            ("requirements.txt", "flask"),
            ("app.py", &text),
            ("Procfile", "web: python app.py\n"),
        ];
        app(&files).warnings().iter().any(|line| line.contains("127.0.0.1"))
    };
    assert!(warned("if __name__ == '__main__':\n    app.run()"));
    assert!(!warned("if __name__ == '__main__':\n    app.run(host='0.0.0.0')"));
    let server = |line: &str| {
        let procfile = format!("web: {line}\n");
        let files = [("requirements.txt", "flask"), ("app.py", FLASK), ("Procfile", &procfile)];
        app(&files)
    };
    let warned = |line: &str| {
        server(line).warnings().into_iter().find(|line| line.contains("127.0.0.1 only"))
    };
    for (line, fix) in [
        ("uvicorn app:app", "add --host 0.0.0.0"),
        ("uvicorn app:app --host 127.0.0.1 --port $PORT", "add --host 0.0.0.0"),
        ("python -m flask run -p 5000", "add --host 0.0.0.0"),
        ("python manage.py runserver", "add 0.0.0.0:$PORT"),
        ("python manage.py runserver 127.0.0.1:8000", "add 0.0.0.0:$PORT"),
        ("python manage.py runserver 8000", "add 0.0.0.0:$PORT"),
        ("gunicorn --bind=127.0.0.1:8000 app:app", "add --bind 0.0.0.0:$PORT"),
        ("hypercorn app:app", "add --bind 0.0.0.0:$PORT"),
    ] {
        assert!(warned(line).unwrap_or_default().ends_with(fix), "{line}: {:?}", warned(line));
    }
    for line in [
        "uvicorn app:app --host 0.0.0.0",
        "uvicorn app:app --host 0.0.0.0 --forwarded-allow-ips 127.0.0.1",
        "UVICORN_HOST=0.0.0.0 uvicorn app:app",
        "uvicorn app:app --uds /tmp/x",
        "flask run --host=0.0.0.0",
        "python manage.py runserver 0.0.0.0:8000",
        "gunicorn app:app",
        "gunicorn -k uvicorn.workers.UvicornWorker app:app",
        "fastapi run app.py",
    ] {
        assert_eq!(warned(line), None, "{line}");
    }
    let mut set = server("uvicorn app:app");
    set.harness = set.harness.variables(["UVICORN_HOST"]);
    let set = set.warnings();
    assert!(!set.iter().any(|line| line.contains("127.0.0.1")), "{set:?}");
}

#[test]
fn the_port_of_a_declared_command_is_its_own_its_server_s_or_its_file_s() {
    let flask = format!("{FLASK}if __name__ == '__main__':\n    app.run(host='0.0.0.0')\n");
    let http = "PORT = 8081\nHTTPServer(('', PORT), H).serve_forever()\n";
    let ports = |line: &str| {
        let procfile = format!("web: {line}\n");
        let files = [
            ("requirements.txt", "flask"),
            ("app.py", flask.as_str()),
            ("shop/serve.py", http),
            ("shop/__init__.py", ""),
            ("Procfile", &procfile),
        ];
        app(&files).plan().processes[0].ports.clone()
    };
    for (line, port) in [
        ("python app.py", Some(5000)),
        ("python -m shop.serve", Some(8081)),
        ("cd shop && python -u serve.py", Some(8081)),
        ("uvicorn app:app --host 0.0.0.0", Some(8000)),
        ("uvicorn app:app --host 0.0.0.0 --port 8002", Some(8002)),
        ("uvicorn app:app --host 0.0.0.0 --port $PORT", None),
        ("flask run --host 0.0.0.0", Some(5000)),
        ("waitress-serve app:app", Some(8080)),
        ("gunicorn app:app", None),
        ("poetry run flask db upgrade && poetry run gunicorn app:app", None),
        ("python missing.py", None),
    ] {
        assert_eq!(ports(line), port.into_iter().collect::<Vec<u16>>(), "{line}");
    }
}

#[test]
fn a_declared_command_that_starts_something_else_needs_no_server() {
    let added = |line: &str| {
        let procfile = format!("web: {line}\n");
        let files = [("requirements.txt", "flask"), ("app.py", FLASK), ("Procfile", &procfile)];
        app(&files).warnings().iter().any(|line| line.contains("gunicorn is installed too"))
    };
    assert!(added("gunicorn app:app") && added("./serve.sh"));
    assert!(!added("python app.py") && !added("flask run --host 0.0.0.0"));
}

#[test]
fn jobs_that_no_process_carries_out_are_said() {
    let hint = |files: &[(&str, &str)]| {
        app(files).warnings().into_iter().find(|line| line.contains("into a queue"))
    };
    let celery = "from celery import Celery\napp = Celery(\"x\")\n";
    let requirements = ("requirements.txt", "flask\ngunicorn\ncelery\nredis\n");
    let files =
        [requirements, ("app.py", FLASK), ("shop/celery.py", celery), ("shop/__init__.py", "")];
    let said = hint(&files).unwrap();
    assert!(said.starts_with("Celery in shop/celery.py puts jobs"), "{said}");
    assert!(said.contains("worker.command = \"celery -A shop.celery worker\""), "{said}");
    let tasks = hint(&[requirements, ("app.py", FLASK), ("tasks.py", celery)]).unwrap();
    assert!(tasks.contains("\"celery -A tasks worker\""), "{tasks}");
    let mut declared = files.to_vec();
    declared.push(("Procfile", "web: gunicorn app:app\nmail: celery -A shop worker\n"));
    assert_eq!(hint(&declared), None);
    assert_eq!(hint(&[requirements, ("app.py", FLASK)]), None);
    let dramatiq = "import dramatiq\n@dramatiq.actor\ndef mail(): pass\n";
    let files =
        [("requirements.txt", "flask\ndramatiq\n"), ("app.py", FLASK), ("mail.py", dramatiq)];
    assert!(hint(&files).unwrap().contains("\"dramatiq mail\""));
    let manage = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'config.settings')\n";
    let django = |folder: &str| {
        let at = |name: &str| format!("{folder}{name}");
        let (manage_py, queue) = (at("manage.py"), at("config/celery.py"));
        let (settings, wsgi) = (at("config/settings.py"), at("config/wsgi.py"));
        let requirements = ("requirements.txt", "django\ncelery\n");
        let files = [
            requirements,
            (manage_py.as_str(), manage),
            (settings.as_str(), ""),
            (wsgi.as_str(), "application = x\n"),
            (queue.as_str(), celery),
        ];
        hint(&files).unwrap()
    };
    assert!(django("").contains("\"celery -A config.celery worker\""), "{}", django(""));
    let below = django("backend/");
    assert!(below.contains("\"cd backend && celery -A config.celery worker\""), "{below}");
}

#[test]
fn plain_scripts_are_run_and_bots_are_workers() {
    let plan = app(&[("requirements.txt", "x"), ("main.py", "")]).plan();
    assert_eq!(plan.processes[0].argv, ["python", "main.py"]);
    let plan = app(&[("requirements.txt", "x"), ("bot.py", "")]).plan();
    assert_eq!((plan.processes.len(), plan.processes[0].name.as_str()), (1, "worker"));
    let named = r#"{"run":{"processes":{"worker":{"command":"python bot.py -q"}}}}"#;
    let plan = app(&[("requirements.txt", "x"), ("bot.py", "")]).settings(named).plan();
    assert_eq!(
        (plan.processes.len(), plan.processes[0].argv.join(" ").as_str()),
        (1, "python bot.py -q")
    );
}

#[test]
fn a_bot_that_is_declared_as_the_web_process_is_warned_of() {
    let warned = |text: &str, settings: &str| {
        let files = [("requirements.txt", "discord.py"), ("main.py", text)];
        let said = app(&files).settings(settings).warnings();
        said.into_iter().find(|line| line.contains("seems to open no port"))
    };
    let command = r#"{"run":{"command":"python ./main.py"}}"#;
    let said = warned("client.run(token)", command).unwrap();
    assert!(said.starts_with("main.py seems") && said.contains("run.command in windlass.toml"));
    assert_eq!(warned("client.run(token)\nweb.run_app(app)", command), None);
    assert!(warned("client.run(token)", r#"{"run":{"command":"python -m main"}}"#).is_some());
    assert_eq!(warned("client.run(token)", r#"{"run":{"command":"./start.sh"}}"#), None);
    assert_eq!(warned("client.run(token)", "{}"), None, "it is a worker then");
    let listed = [
        ("requirements.txt", "discord.py"),
        ("bot.py", "client.run(token)"),
        ("Procfile", "web: python bot.py\n"),
    ];
    assert!(app(&listed).warnings().iter().any(|line| line.contains("web in Procfile")));
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
