//! Which server answers the requests: one that the application declares. Where it declares none, gunicorn or
//! uvicorn is installed beside it, with a warning. A framework's own development server is used, with a warning
//! too, only where another one cannot load the application: its file starts a server whenever it is imported.

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

impl Served {
    /// The same without what it needs, where a declared command starts something else: Python, or another server.
    pub(crate) fn beside_declared(self, facts: &Facts) -> Self {
        let other = facts.declared.web.as_ref().is_some_and(|(line, ..)| {
            let starts =
                ["python", "flask ", "uvicorn", "hypercorn", "daphne", "granian", "gunicorn"];
            let named = self.adds.is_some_and(|server| line.contains(server));
            !named && starts.iter().any(|program| line.contains(program))
        });
        if other { Self { warning: None, adds: None, ..self } } else { self }
    }
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

const GUNICORN: Server = server(
    "gunicorn",
    "gunicorn --bind \"0.0.0.0:$PORT\" {target}",
    "gunicorn --bind \"0.0.0.0:$PORT\" '{target}()'",
);
const WSGI: [Server; 5] = [
    GUNICORN,
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
    Some(of_server(facts, server, target, factory))
}

fn of_server(facts: &Facts, server: &Server, target: &str, factory: bool) -> String {
    let line = server.line(target, factory);
    if server.package != "gunicorn" || !facts.declares("flask-socketio") {
        return line;
    }
    // One worker: clients of Socket.IO come back to the process that knows them.
    let worker =
        if facts.declares("eventlet") { "--worker-class eventlet" } else { "--threads 100" };
    line.replacen("gunicorn", &format!("gunicorn --workers 1 {worker}"), 1)
}

/// gunicorn, which is installed for an application that declares no server.
pub(crate) fn gunicorn(facts: &Facts, name: &str, target: &str, factory: bool) -> Served {
    let line = of_server(facts, &GUNICORN, target, factory);
    Served { line, warning: Some(added(name, "gunicorn")), adds: Some("gunicorn") }
}

/// uvicorn likewise, or the server that Channels is made for.
pub(crate) fn asgi_added(facts: &Facts, name: &str, target: &str, factory: bool) -> Served {
    let package = if facts.declares("channels") { "daphne" } else { "uvicorn" };
    let server = ASGI.iter().find(|server| server.package == package).unwrap_or(&UVICORN);
    let line = server.line(target, factory);
    Served { line, warning: Some(added(name, package)), adds: Some(package) }
}

/// The warning where a server is installed that was not declared.
fn added(name: &str, server: &str) -> String {
    format!(
        "no server is declared for {name}: {server} is installed too; add it to the dependencies to choose its \
         version"
    )
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
            None => asgi_added(facts, framework.name, &named, object.factory),
        },
        Serve::Wsgi(fallback) => match wsgi_line(facts, &named, object.factory) {
            Some(line) => {
                Served { line: of_dash(facts, framework, target, line), ..Served::default() }
            }
            None if loads(facts, framework, target) => {
                let served = gunicorn(facts, framework.name, &named, object.factory);
                Served { line: of_dash(facts, framework, target, served.line), ..served }
            }
            None => {
                Served { line: own(fallback), warning: Some(no_server(framework.name)), adds: None }
            }
        },
        Serve::Object(line) | Serve::File(line) => Served { line: own(line), ..Served::default() },
    }
}

/// Whether a WSGI server can load the application: its file does not start another server when it is imported,
/// and it is not made for ASGI.
fn loads(facts: &Facts, framework: &Framework, target: &Target) -> bool {
    let text = facts.text(&target.file);
    let starts = |line: &str| {
        let call = line.split('(').next().unwrap_or_default();
        let runs = ["run", "run_server", "serve_forever", "run_simple", "serve"];
        let guarded = line.starts_with(char::is_whitespace) || line.starts_with("if ");
        !guarded
            && line.contains('(')
            && runs.contains(&call.rsplit('.').next().unwrap_or_default().trim())
    };
    let asgi = framework.id == "falcon" && text.contains("asgi");
    let inner = framework.id != "dash" || dash_server(&text, &target.object.name).is_some();
    inner && !asgi && !text.lines().any(starts)
}

/// `server = app.server` → `server`
fn dash_server<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let sign = format!("= {name}.server");
    text.lines().find_map(|line| line.strip_suffix(&sign).map(str::trim))
}

/// What a server runs of Dash is the Flask application inside: `server = app.server`.
fn of_dash(facts: &Facts, framework: &Framework, target: &Target, line: String) -> String {
    if framework.id != "dash" {
        return line;
    }
    let (module, name) = (&target.module, &target.object.name);
    let text = facts.text(&target.file);
    match dash_server(&text, name) {
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
