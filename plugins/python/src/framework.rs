//! What kind of Python application it is, and how it is started.
//!
//! **Invariant: a framework is only taken for what runs when a file really makes its application.**
//! That it is declared is not enough: libraries declare it too.

use windlass_sdk::{Detection, NearMiss};

use crate::code::{self, Object};
use crate::facts::Facts;
use crate::imports;
use crate::serve::{self, Target};
use crate::{django, script};

/// What was decided.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub(crate) detection: Detection,
    /// Command line of the process; none where it was declared.
    pub(crate) line: Option<String>,
    /// Whether it answers requests.
    pub(crate) web: bool,
    /// The command that collects static files when it is built.
    pub(crate) collect_static: Option<String>,
    /// Variables of the image.
    pub(crate) env: &'static [(&'static str, &'static str)],
    /// Django's settings module, where it is not the one that manage.py would take.
    pub(crate) settings: Option<String>,
    /// A package that is needed and not declared.
    pub(crate) adds: Option<&'static str>,
    pub(crate) warnings: Vec<String>,
}

/// How the application of a framework is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serve {
    /// An object for a WSGI server; without one that was declared, this line.
    Wsgi(&'static str),
    /// An object for an ASGI server.
    Asgi,
    /// An object for the framework's own server: this line.
    Object(&'static str),
    /// A file that is run: this line.
    File(&'static str),
}

/// A framework. In lines `{target}` is `module:object`, `{file}` the file that has it.
#[derive(Debug)]
pub(crate) struct Framework {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    /// Module that is imported; the package has the same name.
    module: &'static str,
    /// What makes the application. Files need none.
    constructors: &'static [&'static str],
    pub(crate) serve: Serve,
    env: &'static [(&'static str, &'static str)],
}

const fn framework(
    (id, name): (&'static str, &'static str),
    constructors: &'static [&'static str],
    serve: Serve,
    env: &'static [(&'static str, &'static str)],
) -> Framework {
    Framework { id, name, module: id, constructors, serve, env }
}

const RUN: Serve = Serve::File("python {file}");
const FLASK: Serve = Serve::Wsgi("flask --app {target} run --host 0.0.0.0 --port \"$PORT\"");
const SANIC: Serve = Serve::Object("sanic {target} --host 0.0.0.0 --port \"$PORT\"");
const STREAMLIT: Serve = Serve::File(
    "streamlit run {file} --server.port \"$PORT\" --server.address 0.0.0.0 --server.headless true",
);
const CHAINLIT: Serve =
    Serve::File("chainlit run {file} --host 0.0.0.0 --port \"$PORT\" --headless");
const GRADIO: Serve = Serve::File("GRADIO_SERVER_PORT=\"$PORT\" python {file}");
const SCRIPT: Serve = Serve::Wsgi("python {file}");

/// The table. Of several in one file the first is taken.
pub(crate) const FRAMEWORKS: [Framework; 19] = [
    framework(("fastapi", "FastAPI"), &["FastAPI"], Serve::Asgi, &[]),
    framework(("litestar", "Litestar"), &["Litestar"], Serve::Asgi, &[]),
    framework(("starlette", "Starlette"), &["Starlette"], Serve::Asgi, &[]),
    framework(("quart", "Quart"), &["Quart"], Serve::Asgi, &[]),
    framework(("blacksheep", "BlackSheep"), &["Application"], Serve::Asgi, &[]),
    framework(("sanic", "Sanic"), &["Sanic"], SANIC, &[]),
    framework(("dash", "Dash"), &["Dash"], SCRIPT, &[("HOST", "0.0.0.0")]),
    framework(("flask", "Flask"), &["Flask", "APIFlask", "OpenAPI"], FLASK, &[]),
    framework(("connexion", "Connexion"), &["FlaskApp", "AsyncApp"], Serve::Asgi, &[]),
    framework(("falcon", "Falcon"), &["falcon.App", "falcon.API"], SCRIPT, &[]),
    framework(("bottle", "Bottle"), &["Bottle", "bottle.default_app", "default_app"], SCRIPT, &[]),
    framework(("aiohttp", "aiohttp"), &["web.Application"], RUN, &[]),
    framework(("tornado", "Tornado"), &["Application", "HTTPServer"], RUN, &[]),
    framework(
        ("cherrypy", "CherryPy"),
        &["cherrypy.quickstart", "cherrypy.engine.start"],
        RUN,
        &[],
    ),
    framework(("pyramid", "Pyramid"), &["make_wsgi_app"], RUN, &[]),
    framework(("nicegui", "NiceGUI"), &["ui.run"], RUN, &[]),
    framework(
        ("streamlit", "Streamlit"),
        &[],
        STREAMLIT,
        &[("STREAMLIT_BROWSER_GATHER_USAGE_STATS", "false")],
    ),
    framework(("chainlit", "Chainlit"), &[], CHAINLIT, &[]),
    framework(
        ("gradio", "Gradio"),
        &[".launch"],
        GRADIO,
        &[("GRADIO_SERVER_NAME", "0.0.0.0"), ("GRADIO_ANALYTICS_ENABLED", "False")],
    ),
];
/// Files that are read at once, before the next ones are looked at.
const BATCH: usize = 60;

/// Where a framework's application is.
struct Entry {
    file: String,
    /// None: the file itself is run.
    object: Option<Object>,
    sign: String,
    confidence: u8,
}

/// Whether an id is one of this plugin's.
pub(crate) fn is_own(id: &str) -> bool {
    ["python", "django", "reflex"].contains(&id) || FRAMEWORKS.iter().any(|one| one.id == id)
}

/// Decides; `forced` is the setting `build.framework`.
pub(crate) fn decide(facts: &Facts, forced: Option<&str>) -> (Option<Decision>, Vec<NearMiss>) {
    let mut near_misses = Vec::new();
    if matches!(forced, None | Some("django"))
        && let Some(decision) = django::decide(facts)
    {
        return (Some(decision), near_misses);
    }
    if matches!(forced, None | Some("reflex"))
        && let Some(decision) = script::reflex(facts)
    {
        return (Some(decision), near_misses);
    }
    if forced != Some("python") {
        let wanted = |one: &&Framework| match forced {
            Some(id) if is_own(id) => one.id == id,
            _ => facts.declares(one.module) || imports::installed(facts, one.module),
        };
        let declared: Vec<&Framework> = FRAMEWORKS.iter().filter(wanted).collect();
        if let Some((framework, entry)) = entry(facts, &declared) {
            let mut decision = application(facts, framework, &entry);
            decision.detection.refusal = imports::missing(facts, &entry.file);
            return (Some(decision), near_misses);
        }
        let client_too = |one: &&&Framework| !matches!(one.id, "aiohttp" | "tornado");
        let named = |one: &&&Framework| client_too(one) && !imports::installed(facts, one.module);
        near_misses.extend(declared.iter().filter(named).map(|one| unused(facts, one)));
    }
    match script::decide(facts, near_misses.first().map(|miss| miss.id.as_str())) {
        Ok(decision) => (Some(decision), near_misses),
        Err(reason) => {
            near_misses.extend(reason.map(|reason| NearMiss { id: "python".to_owned(), reason }));
            (None, near_misses)
        }
    }
}

fn unused(facts: &Facts, framework: &Framework) -> NearMiss {
    let name = framework.name;
    let reason = match facts.candidates().is_empty() {
        true => format!("looks like {name}, but there is no Python file that could be its entry"),
        false => format!(
            "looks like {name}, but no entry file imports it and makes an application (looked at \
             app.py, main.py, wsgi.py, packages and the files beside them)"
        ),
    };
    NearMiss { id: framework.id.to_owned(), reason }
}

/// A detection of this plugin, with where its package is declared.
pub(crate) fn found(facts: &Facts, id: &str, name: &str, confidence: u8) -> Detection {
    let mut detection = Detection::new(id, name, "python").confidence(confidence);
    if id != "python" {
        detection = detection.supersedes("python");
    }
    if let Some((file, key)) = facts.manifests.declares(id) {
        detection = detection.evidence(file, key);
    }
    detection.supersedes("static")
}

/// A decision with nothing special about it.
pub(crate) fn decision(detection: Detection, line: Option<String>) -> Decision {
    Decision {
        detection,
        line,
        web: true,
        collect_static: None,
        env: &[],
        settings: None,
        adds: None,
        warnings: Vec::new(),
    }
}

/// The likeliest entry of any of the frameworks.
fn entry<'f>(facts: &Facts, frameworks: &[&'f Framework]) -> Option<(&'f Framework, Entry)> {
    if frameworks.is_empty() {
        return None;
    }
    let candidates = facts.candidates();
    for batch in candidates.chunks(BATCH) {
        facts.source.prefetch(batch);
        let mut makes = batch.iter().filter_map(|file| {
            let text = facts.text(file);
            frameworks.iter().find_map(|one| Some((*one, made(one, file, &text)?)))
        });
        if let Some(found) = makes.next() {
            return Some(found);
        }
    }
    let runs = candidates.iter().take(BATCH).find_map(|file| {
        let text = facts.text(file);
        frameworks.iter().find_map(|one| Some((*one, run(one, file, &text)?)))
    });
    runs.or_else(|| {
        let file = candidates.iter().find(|file| is_entry(file) && facts.text(file).is_empty())?;
        let client_too = |one: &&&Framework| !matches!(one.id, "aiohttp" | "tornado");
        let first = frameworks.iter().find(client_too)?;
        Some((*first, assumed(facts, first, file)))
    })
}

fn is_entry(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    matches!(
        name,
        "app.py" | "main.py" | "server.py" | "run.py" | "wsgi.py" | "asgi.py" | "streamlit_app.py"
    )
}

/// Whether a file may be a page that is run: at the root, or under a usual name in a folder.
fn is_page(file: &str) -> bool {
    let inner = file.strip_prefix("src/").unwrap_or(file);
    match inner.split_once('/') {
        None => inner != "__init__.py",
        Some((_, name)) => is_entry(name) && !name.contains('/'),
    }
}

/// The application that a file makes.
fn made(framework: &Framework, file: &str, text: &str) -> Option<Entry> {
    if let Serve::File(_) = framework.serve {
        let named = |one: &&str| text.contains(&format!("{one}("));
        let makes = match framework.constructors {
            // The import alone is no sign in the modules of a package.
            [] => is_page(file),
            constructors => constructors.iter().any(named),
        };
        let line = text.lines().position(|line| code::imports(line, framework.module))?;
        let sign = format!("line {}: imports {}", line + 1, framework.module);
        let file = file.to_owned();
        return makes.then_some(Entry { file, object: None, sign, confidence: 92 });
    }
    let object = code::object(text, framework.constructors)?;
    let sign = object.sign.clone();
    Some(Entry { file: file.to_owned(), object: Some(object), sign, confidence: 92 })
}

/// A file that uses the framework inside a function, and runs it itself.
fn run(framework: &Framework, file: &str, text: &str) -> Option<Entry> {
    let imports = code::imports(text, framework.module);
    let signs = [".run(", "run_app(", "run_simple(", ".listen("];
    let runs = signs.iter().any(|sign| text.contains(sign))
        || text.lines().any(|line| line.trim_start().starts_with("run("));
    let sign = format!("imports {} and runs the application itself", framework.module);
    let files = matches!(framework.serve, Serve::File(_));
    (imports && runs && !files).then(|| Entry {
        file: file.to_owned(),
        object: None,
        sign,
        confidence: 85,
    })
}

/// An empty file is taken at its name: `app`, if a server was declared that could serve it.
fn assumed(facts: &Facts, framework: &Framework, file: &str) -> Entry {
    let served = match framework.serve {
        Serve::Wsgi(_) => serve::wsgi(facts).is_some(),
        Serve::Asgi | Serve::Object(_) => true,
        Serve::File(_) => false,
    };
    let sign = "empty: taken for the entry file by its name".to_owned();
    let name = if file.ends_with("wsgi.py") { "application" } else { "app" }.to_owned();
    let object = served.then(|| Object { name, factory: false, sign: sign.clone() });
    Entry { file: file.to_owned(), object, sign, confidence: 75 }
}

fn application(facts: &Facts, framework: &Framework, entry: &Entry) -> Decision {
    let detection = found(facts, framework.id, framework.name, entry.confidence);
    let mut detection = detection.evidence(&entry.file, &entry.sign);
    if let Some((_, file, sign)) = &facts.declared.web {
        detection = detection.evidence(*file, sign.clone());
    }
    let mut decision = decision(detection, None);
    decision.env = framework.env;
    decision.line = Some(match (&entry.object, framework.serve) {
        (Some(object), _) => {
            let (folder, module) = code::module(facts, &entry.file);
            let target = Target { module, object: object.clone(), file: entry.file.clone() };
            let served = serve::line(facts, framework, &target).beside_declared(facts);
            decision.warnings.extend(served.warning);
            decision.adds = served.adds;
            in_folder(&folder, served.line)
        }
        (None, Serve::File(line)) => line.replace("{file}", &entry.file),
        (None, _) => format!("python {}", entry.file),
    });
    decision
}

/// The line, run in a folder of the application.
pub(crate) fn in_folder(folder: &str, line: String) -> String {
    if folder.is_empty() { line } else { format!("cd {folder} && {line}") }
}
