//! Which server answers the requests: one that the application declares. Nothing is put into its place
//! silently. Flask and Django have one of their own, which is used with a warning; an ASGI application has
//! none at all, so uvicorn is installed beside it, with a warning too.

use crate::code::Object;
use crate::facts::Facts;
use crate::framework::{Framework, Serve};

/// What is served.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) module: String,
    pub(crate) object: Object,
    /// The file it was found in.
    pub(crate) file: String,
}

/// The server's command line, and what there is to say about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) line: String,
    pub(crate) warning: Option<String>,
    pub(crate) adds: Option<&'static str>,
}

/// A server: its package, its line for an object, and its line for a function that makes one.
struct Server {
    package: &'static str,
    object: &'static str,
    factory: &'static str,
}

const fn server(package: &'static str, object: &'static str, factory: &'static str) -> Server {
    Server { package, object, factory }
}

const WSGI: [Server; 5] = [
    server(
        "gunicorn",
        "gunicorn --bind \"0.0.0.0:$PORT\" {target}",
        "gunicorn --bind \"0.0.0.0:$PORT\" '{target}()'",
    ),
    server(
        "waitress",
        "waitress-serve --listen=\"0.0.0.0:$PORT\" {target}",
        "waitress-serve --listen=\"0.0.0.0:$PORT\" --call {target}",
    ),
    server(
        "granian",
        "granian --interface wsgi --host 0.0.0.0 --port \"$PORT\" {target}",
        "granian --interface wsgi --host 0.0.0.0 --port \"$PORT\" --factory {target}",
    ),
    server(
        "uwsgi",
        "uwsgi --http-socket \"0.0.0.0:$PORT\" --master --die-on-term --module {target}",
        "uwsgi --http-socket \"0.0.0.0:$PORT\" --master --die-on-term --module '{target}()'",
    ),
    server(
        "pyuwsgi",
        "uwsgi --http-socket \"0.0.0.0:$PORT\" --master --die-on-term --module {target}",
        "uwsgi --http-socket \"0.0.0.0:$PORT\" --master --die-on-term --module '{target}()'",
    ),
];
const UVICORN: Server = server(
    "uvicorn",
    "uvicorn {target} --host 0.0.0.0 --port \"$PORT\"",
    "uvicorn {target} --factory --host 0.0.0.0 --port \"$PORT\"",
);
const ASGI: [Server; 4] = [
    UVICORN,
    server(
        "hypercorn",
        "hypercorn --bind \"0.0.0.0:$PORT\" {target}",
        "hypercorn --bind \"0.0.0.0:$PORT\" '{target}()'",
    ),
    server(
        "daphne",
        "daphne -b 0.0.0.0 -p \"$PORT\" {target}",
        "daphne -b 0.0.0.0 -p \"$PORT\" {target}",
    ),
    server(
        "granian",
        "granian --interface asgi --host 0.0.0.0 --port \"$PORT\" {target}",
        "granian --interface asgi --host 0.0.0.0 --port \"$PORT\" --factory {target}",
    ),
];
/// Packages that bring a server, and the server.
const BRINGS: [(&str, &[&str], &str); 5] = [
    ("fastapi", &["standard", "all", "standard-no-fastapi-cloud-cli"], "uvicorn"),
    ("litestar", &["standard", "full"], "uvicorn"),
    ("connexion", &["uvicorn"], "uvicorn"),
    ("channels", &["daphne"], "daphne"),
    ("gradio", &[], "uvicorn"),
];

impl Server {
    fn line(&self, target: &str, factory: bool) -> String {
        let line = if factory { self.factory } else { self.object };
        line.replace("{target}", target)
    }
}

/// Whether a server is installed with the application.
fn installed(facts: &Facts, server: &str) -> bool {
    let brought = BRINGS.iter().filter(|(.., it)| *it == server).any(|(package, extras, _)| {
        facts.declares(package) && (extras.is_empty() || facts.has_extra(package, extras))
    });
    brought || facts.declares(server) || server == "hypercorn" && facts.declares("quart")
}

/// The WSGI server that was declared.
pub(crate) fn wsgi(facts: &Facts) -> Option<&'static str> {
    WSGI.iter().map(|server| server.package).find(|package| facts.declares(package))
}

/// A line of the declared WSGI server for `module:object`.
pub(crate) fn wsgi_line(facts: &Facts, target: &str, factory: bool) -> Option<String> {
    let server = WSGI.iter().find(|server| facts.declares(server.package))?;
    let line = server.line(target, factory);
    if server.package != "gunicorn" || !facts.declares("flask-socketio") {
        return Some(line);
    }
    // One worker: clients of Socket.IO come back to the process that knows them.
    let worker =
        if facts.declares("eventlet") { "--worker-class eventlet" } else { "--threads 100" };
    Some(line.replacen("gunicorn", &format!("gunicorn --workers 1 {worker}"), 1))
}

/// A line of the declared ASGI server for `module:object`.
pub(crate) fn asgi_line(facts: &Facts, target: &str, factory: bool) -> Option<String> {
    let server = ASGI.iter().find(|server| installed(facts, server.package))?;
    Some(server.line(target, factory))
}

/// The line that serves an application.
pub(crate) fn line(facts: &Facts, framework: &Framework, target: &Target) -> Served {
    let Target { module, object, file } = target;
    let named = format!("{module}:{}", object.name);
    let own = |line: &str| line.replace("{target}", &named).replace("{file}", file);
    match framework.serve {
        Serve::Asgi => match asgi_line(facts, &named, object.factory) {
            Some(line) => Served { line, ..Served::default() },
            None => Served {
                line: UVICORN.line(&named, object.factory),
                warning: Some(format!(
                    "no server is declared, and {} brings none: uvicorn is installed too; add it to \
                     the dependencies to choose its version",
                    framework.name
                )),
                adds: Some("uvicorn"),
            },
        },
        Serve::Wsgi(fallback) => match wsgi_line(facts, &named, object.factory) {
            Some(line) => {
                Served { line: of_dash(facts, framework, target, line), ..Served::default() }
            }
            None => {
                Served { line: own(fallback), warning: Some(no_server(framework.name)), adds: None }
            }
        },
        Serve::Object(line) | Serve::File(line) => Served { line: own(line), ..Served::default() },
    }
}

/// What a server runs of Dash is the Flask application inside: `server = app.server`.
fn of_dash(facts: &Facts, framework: &Framework, target: &Target, line: String) -> String {
    if framework.id != "dash" {
        return line;
    }
    let (module, name) = (&target.module, &target.object.name);
    let sign = format!("= {name}.server");
    let text = facts.text(&target.file);
    let named = text.lines().find_map(|line| line.strip_suffix(&sign).map(str::trim));
    match named {
        Some(server) => line.replace(&format!("{module}:{name}"), &format!("{module}:{server}")),
        None => format!("python {}", target.file),
    }
}

/// The warning where a framework's own development server is used.
pub(crate) fn no_server(name: &str) -> String {
    format!(
        "no production server is declared, so {name}'s own development server is used: add gunicorn \
         to the dependencies"
    )
}
