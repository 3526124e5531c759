//! Applications of no framework: what was declared, an entry file, a script of the project, a package that
//! runs. Also who is a worker: bots and loops open no port.

use windlass_sdk::PluginError;

use crate::code;
use crate::facts::Facts;
use crate::framework::{Decision, decision, found};
use crate::imports;

/// Entry files by name, the likeliest first.
const SCRIPTS: [&str; 16] = [
    "main.py",
    "app.py",
    "server.py",
    "run.py",
    "bot.py",
    "worker.py",
    "start.py",
    "index.py",
    "__main__.py",
    "src/main.py",
    "src/app.py",
    "src/server.py",
    "src/bot.py",
    "src/__main__.py",
    "app/main.py",
    "app/app.py",
];
/// Entry files that need no manifest beside them.
const ALONE: [&str; 4] = ["main.py", "app.py", "server.py", "bot.py"];
/// Libraries that read the arguments of a command.
const COMMAND_LINES: [&str; 8] =
    ["click", "typer", "docopt", "fire", "rich-click", "cyclopts", "plumbum", "cleo"];
/// Files that name exact versions, as an application that is deployed has one.
const LOCKS: [&str; 7] = [
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile.lock",
    "pylock.toml",
    "requirements.txt",
    "requirements.lock",
];
/// Libraries of bots that ask for their work and open no port.
const BOTS: [&str; 18] = [
    "discord-py",
    "discord",
    "py-cord",
    "nextcord",
    "disnake",
    "hikari",
    "python-telegram-bot",
    "aiogram",
    "telethon",
    "pyrogram",
    "pytelegrambotapi",
    "slack-bolt",
    "tweepy",
    "praw",
    "twitchio",
    "matrix-nio",
    "mastodon-py",
    "revolt-py",
];
/// Packages that answer requests.
const SERVERS: [&str; 40] = [
    "flask",
    "django",
    "fastapi",
    "starlette",
    "uvicorn",
    "gunicorn",
    "hypercorn",
    "waitress",
    "granian",
    "daphne",
    "bottle",
    "tornado",
    "sanic",
    "quart",
    "falcon",
    "pyramid",
    "cherrypy",
    "litestar",
    "robyn",
    "twisted",
    "werkzeug",
    "grpcio",
    "websockets",
    "python-socketio",
    "mcp",
    "fastmcp",
    "streamlit",
    "gradio",
    "chainlit",
    "dash",
    "nicegui",
    "panel",
    "bokeh",
    "solara",
    "mesop",
    "flet",
    "marimo",
    "mlflow",
    "bentoml",
    "litserve",
];
/// Signs in a file that it opens a port.
const OPENS: [&str; 19] = [
    "http.server",
    "HTTPServer",
    "socketserver",
    "socket.socket",
    ".listen(",
    "run_app(",
    "wsgiref",
    "make_server(",
    "serve_forever",
    "start_server(",
    "create_server(",
    "add_insecure_port(",
    "run_webhook(",
    "start_webhook(",
    "uvicorn.run(",
    "\"PORT\"",
    "'PORT'",
    "port=",
    "web.Application(",
];
/// So many files are looked at for signs of a port.
const LOOKED_AT_MAX: usize = 64;

/// A way to start: its line, where it was seen, and how sure it makes.
struct Start {
    line: String,
    file: String,
    sign: &'static str,
    confidence: u8,
}

/// Decides; `unused` is the id of a framework that is declared and that no entry file uses.
///
/// # Errors
/// Why nothing is started, where there is a word to say about it.
pub(crate) fn decide(facts: &Facts, unused: Option<&str>) -> Result<Decision, Option<String>> {
    let manifest = facts.manifest();
    let start = start(facts);
    let workers = start.is_none() && !facts.declared.workers.is_empty();
    let declared = facts.declared.web.is_some() || facts.declared.only_workers || workers;
    let conda = conda_file(facts);
    let any = manifest.or(conda).is_some();
    if let Some(reason) = stands_back(facts, declared, any) {
        return Err(Some(reason));
    }
    let alone = |start: &Start| ALONE.contains(&start.file.as_str());
    let confidence = match (any, &start) {
        (true, _) if declared => 80,
        (false, Some(_)) if declared => 60,
        (true, Some(start)) if unused.is_some() => start.confidence.min(55),
        (true, Some(start)) => start.confidence,
        (false, Some(start)) if alone(start) && facts.other_language().is_some() => 12,
        (false, Some(start)) if alone(start) => 35,
        (true, None) => return Err(Some(nothing_to_start(facts, manifest.or(conda)))),
        _ => return Err(None),
    };
    let mut detection = found(facts, "python", "Python", confidence);
    if let Some(file) = manifest.or(conda) {
        detection = detection.evidence(file, "");
    }
    if let Some((_, file, sign)) = &facts.declared.web {
        detection = detection.evidence(*file, sign.clone());
    } else if let Some(start) = &start {
        let detail = unused.map(|id| format!("{id} is declared, but not used here"));
        detection =
            detection.evidence(&start.file, detail.unwrap_or_else(|| start.sign.to_owned()));
    }
    if let Some(refusal) = start.as_ref().and_then(|start| imports::missing(facts, &start.file)) {
        return Ok(decision(detection.refuse(refusal), start.map(|start| start.line)));
    }
    // What stands in a Conda environment is not known.
    let known = !declared && (manifest.is_some() || conda.is_none());
    let worker = start.as_ref().filter(|_| known).and_then(|start| worker(facts, start));
    if let Some(reason) = worker {
        let file = start.as_ref().map(|start| start.file.as_str()).unwrap_or_default();
        detection = detection.evidence(file, format!("a worker without a port: {reason}"));
    }
    let mut decision = decision(detection, start.map(|start| start.line));
    decision.web = worker.is_none();
    decision.warnings.extend(silent(facts));
    Ok(decision)
}

/// Reflex: recognised, and not built.
pub(crate) fn reflex(facts: &Facts) -> Option<Decision> {
    if !facts.has("rxconfig.py") || !facts.declares("reflex") || facts.declared.web.is_some() {
        return None;
    }
    let message =
        "Reflex builds its pages with Node.js and Bun beside Python, which is not supported yet";
    let refusal = PluginError::new("python.reflex-unsupported", message)
        .hint("describe the image in a Dockerfile, as the documentation of Reflex shows");
    let detection = found(facts, "reflex", "Reflex", 95).evidence("rxconfig.py", "");
    Some(decision(detection.refuse(refusal), None))
}

/// The file of a Conda environment, where no other manifest is there.
pub(crate) fn conda_file(facts: &Facts) -> Option<&'static str> {
    facts.manifests.conda.as_ref().map(|conda| conda.file)
}

/// Why it is left to others, although there may be something to start.
fn stands_back(facts: &Facts, declared: bool, any: bool) -> Option<String> {
    let site = facts.first(&["mkdocs.yml", "mkdocs.yaml"]).filter(|_| any && !declared)?;
    Some(format!(
        "{site} is documentation, which is built as a static site; an application needs run.command"
    ))
}

fn nothing_to_start(facts: &Facts, manifest: Option<&str>) -> String {
    let file = manifest.unwrap_or_default();
    let notebooks = facts.files.iter().any(|file| file.ends_with(".ipynb"));
    if notebooks && facts.candidates().is_empty() {
        return format!(
            "there is a {file}, but only notebooks beside it; set run.command in windlass.toml, for \
             instance to voila or jupyter"
        );
    }
    let script = facts.manifests.pyproject.as_ref().and_then(|project| project.scripts.first());
    if let Some(script) = script.filter(|_| is_a_tool(facts)) {
        return format!(
            "{file} describes a command line tool, {script}, and no lock file says that it is deployed; to run \
             it, set run.command = \"{script}\" in windlass.toml"
        );
    }
    if let Some(script) = script {
        return format!(
            "{file} looks like a package that is made to be published (it has classifiers or \
             keywords); to run its script, set run.command = \"{script}\" in windlass.toml"
        );
    }
    format!(
        "there is a {file}, but none of {} to start; set run.command in windlass.toml",
        SCRIPTS[..9].join(", ")
    )
}

/// An entry file, a script of the project, a package that runs, or the only file there is.
fn start(facts: &Facts) -> Option<Start> {
    if let Some(file) = facts.first(&SCRIPTS) {
        let line = match code::module(facts, file) {
            (folder, module) if folder.is_empty() && file.starts_with("app/") => {
                format!("python -m {module}")
            }
            _ => format!("python {file}"),
        };
        return Some(Start { line, file: file.to_owned(), sign: "", confidence: 65 });
    }
    let project = facts.manifests.pyproject.as_ref();
    if project.is_some_and(|project| project.published) || is_a_tool(facts) {
        return None;
    }
    script(facts).or_else(|| package(facts)).or_else(|| only_file(facts))
}

/// Whether it is a program for people's terminals: a package with a script that reads its arguments with a library
/// for that, and without a lock file, which who installs such a tool would have no use for.
fn is_a_tool(facts: &Facts) -> bool {
    let packaged = facts
        .manifests
        .pyproject
        .as_ref()
        .is_some_and(|project| project.build_system && !project.scripts.is_empty());
    let reads = COMMAND_LINES.iter().any(|name| facts.manifests.declares(name).is_some());
    packaged && reads && facts.first(&LOCKS).is_none()
}

/// The project's script: the only one, or the one of its name.
fn script(facts: &Facts) -> Option<Start> {
    let project = facts.manifests.pyproject.as_ref()?;
    let own = facts.own_package();
    let named = project.scripts.iter().find(|script| Some(*script) == project.name.as_ref());
    let usual = ["start", "serve", "server", "web", "main", "app"];
    let usual = || project.scripts.iter().find(|script| usual.contains(&script.as_str()));
    let only = project.scripts.first().filter(|_| project.scripts.len() == 1);
    let line = named.or_else(usual).or(only).filter(|_| own.is_some())?.clone();
    let file = "pyproject.toml".to_owned();
    Some(Start { line, file, sign: "its script", confidence: 60 })
}

/// A package with a `__main__.py`.
fn package(facts: &Facts) -> Option<Start> {
    let candidates = facts.candidates();
    let file = candidates.into_iter().find(|file| file.ends_with("/__main__.py"))?;
    let (folder, module) = code::module(facts, file);
    let line = format!("python -m {}", module.trim_end_matches(".__main__"));
    let line = crate::framework::in_folder(&folder, line);
    Some(Start { line, file: file.to_owned(), sign: "a package that runs", confidence: 60 })
}

/// The only Python file at the root.
fn only_file(facts: &Facts) -> Option<Start> {
    let candidates = facts.candidates();
    let mut root =
        candidates.into_iter().filter(|file| !file.contains('/') && *file != "__init__.py");
    let (file, None) = (root.next()?, root.next()) else {
        return None;
    };
    // A single module that is packaged is a library.
    let packaged = facts.manifests.pyproject.as_ref().is_some_and(|project| project.build_system);
    let library = packaged || facts.manifest() == Some("setup.py");
    let line = format!("python {file}");
    let file = file.to_owned();
    (!library).then_some(Start { line, file, sign: "the only Python file", confidence: 45 })
}

/// Why it is a worker, if it is one. A package that answers requests is declared for nothing where no file
/// imports it.
fn worker(facts: &Facts, start: &Start) -> Option<&'static str> {
    let servers: Vec<&str> =
        SERVERS.into_iter().filter(|package| facts.declares(package)).collect();
    let bot = BOTS.iter().any(|package| facts.declares(package));
    let name = start.file.rsplit('/').next().unwrap_or_default();
    let candidates = facts.candidates();
    if candidates.len() > LOOKED_AT_MAX {
        return (bot && servers.is_empty()).then_some("it is a bot");
    }
    facts.source.prefetch(&candidates);
    let opens = |text: &str| {
        let serves = |package: &&str| uses(text, package);
        OPENS.iter().any(|sign| text.contains(sign)) || servers.iter().any(serves)
    };
    let says_anything = |file: &&str| !facts.text(file).trim().is_empty();
    let unknown = !servers.is_empty() && !candidates.iter().any(says_anything);
    if unknown || candidates.iter().any(|file| opens(&facts.text(file))) {
        return None;
    }
    match (bot, name) {
        (true, _) => Some("it is a bot"),
        (_, "bot.py" | "worker.py") => Some("its entry file says so"),
        _ => (!facts.text(&start.file).trim().is_empty() && start.file.ends_with(".py"))
            .then_some("no file of it opens one"),
    }
}

/// The warning about a declared web process whose file opens no port.
fn silent(facts: &Facts) -> Option<String> {
    let (line, ..) = facts.declared.web.as_ref()?;
    let file = started(facts, line)?;
    let start = Start { line: line.clone(), file, sign: "", confidence: 0 };
    worker(facts, &start).filter(|_| facts.manifest().is_some())?;
    facts.declared.no_port(&start.file)
}

/// The file of the application that a command line gives to Python: `python -u src/bot.py`, `python -m bot`.
fn started(facts: &Facts, line: &str) -> Option<String> {
    let mut words = line.split_whitespace().skip_while(|word| !word.starts_with("python"));
    words.next()?;
    let words: Vec<&str> = words.collect();
    let files = match words.iter().position(|word| *word == "-m").and_then(|at| words.get(at + 1)) {
        Some(module) => {
            let path = module.replace('.', "/");
            vec![format!("{path}.py"), format!("{path}/__main__.py")]
        }
        None => {
            let file = words.iter().find(|word| !word.starts_with('-'))?;
            vec![file.trim_start_matches("./").to_owned()]
        }
    };
    files.into_iter().find(|file| file.ends_with(".py") && facts.has(file))
}

/// Whether a file imports a package, or one that extends it: `flask`, `flask_restful`.
fn uses(text: &str, package: &str) -> bool {
    let module = match package {
        "grpcio" => "grpc".to_owned(),
        "python-socketio" => "socketio".to_owned(),
        other => other.replace('-', "_"),
    };
    let mut lines = text.lines().map(str::trim_start);
    lines.any(|line| {
        let rest = line.strip_prefix("import ").or_else(|| line.strip_prefix("from "));
        rest.is_some_and(|rest| rest.split(',').any(|one| one.trim().starts_with(&module)))
    })
}
