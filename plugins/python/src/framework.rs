//! What kind of Python application it is, and how it is started.
//!
//! **Invariant: a framework is only taken for what runs when a file really makes its application.**
//! That it is declared is not enough: libraries declare it too.

use windlass_sdk::{Detection, NearMiss};

use crate::facts::Facts;

/// What was decided.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub(crate) detection: Detection,
    /// Command line of the process; none where it was declared.
    pub(crate) line: Option<String>,
    /// Whether it answers requests.
    pub(crate) web: bool,
    /// Whether its static files are collected when it is built.
    pub(crate) collect_static: bool,
    pub(crate) warnings: Vec<String>,
}

/// A framework whose application is an object in a module.
struct Framework {
    id: &'static str,
    name: &'static str,
    package: &'static str,
    constructor: &'static str,
    asgi: bool,
}

const fn framework(
    id: &'static str,
    name: &'static str,
    constructor: &'static str,
    asgi: bool,
) -> Framework {
    Framework { id, name, package: id, constructor, asgi }
}

const FRAMEWORKS: [Framework; 3] = [
    framework("flask", "Flask", "Flask(", false),
    framework("fastapi", "FastAPI", "FastAPI(", true),
    framework("starlette", "Starlette", "Starlette(", true),
];
const MODULES: [&str; 11] = [
    "wsgi.py",
    "asgi.py",
    "app.py",
    "main.py",
    "application.py",
    "server.py",
    "run.py",
    "api.py",
    "src/app.py",
    "src/main.py",
    "src/server.py",
];
const SCRIPTS: [&str; 8] = [
    "main.py",
    "app.py",
    "server.py",
    "run.py",
    "__main__.py",
    "src/main.py",
    "src/app.py",
    "bot.py",
];

/// Decides; `forced` is the setting `build.framework`.
pub(crate) fn decide(facts: &Facts, forced: Option<&str>) -> (Option<Decision>, Vec<NearMiss>) {
    let mut near_misses = Vec::new();
    if forced != Some("python") {
        if let Some(decision) = django(facts) {
            return (Some(decision), near_misses);
        }
        let declared = |f: &&Framework| facts.declares(f.package) || forced == Some(f.id);
        for framework in FRAMEWORKS.iter().filter(declared) {
            match application(facts, framework) {
                Ok(decision) => return (Some(decision), near_misses),
                Err(reason) => {
                    near_misses.push(NearMiss { id: framework.id.to_owned(), reason });
                }
            }
        }
    }
    match plain(facts, near_misses.first().map(|miss| miss.id.clone())) {
        Ok(decision) => (Some(decision), near_misses),
        Err(reason) => {
            near_misses.extend(reason.map(|reason| NearMiss { id: "python".to_owned(), reason }));
            (None, near_misses)
        }
    }
}

fn found(facts: &Facts, id: &str, name: &str, confidence: u8) -> Detection {
    let mut detection = Detection::new(id, name, "python").confidence(confidence);
    if id != "python" {
        detection = detection.supersedes("python");
    }
    if let Some((file, key)) = facts.manifests.declares(id) {
        detection = detection.evidence(file, key);
    }
    detection.supersedes("static")
}

fn decision(detection: Detection, line: Option<String>) -> Decision {
    let warnings = Vec::new();
    Decision { detection, line, web: true, collect_static: false, warnings }
}

fn django(facts: &Facts) -> Option<Decision> {
    let manage = facts.text("manage.py");
    let named = manage.split("DJANGO_SETTINGS_MODULE").nth(1);
    let settings = named.and_then(|rest| rest.split(['"', '\'']).nth(2)).unwrap_or_default();
    if named.is_none() || !facts.has("manage.py") {
        return None;
    }
    let project = settings.split('.').next().unwrap_or_default();
    let mut detection = found(facts, "django", "Django", 95)
        .evidence("manage.py", format!("DJANGO_SETTINGS_MODULE = {settings}"));
    let wsgi = format!("{project}/wsgi.py");
    let (line, warning) = if facts.declares("gunicorn") && facts.has(&wsgi) {
        detection = detection.evidence(wsgi, "");
        (format!("gunicorn --bind \"0.0.0.0:$PORT\" {project}.wsgi"), None)
    } else {
        let line = "python manage.py runserver --noreload \"0.0.0.0:$PORT\"".to_owned();
        (line, Some(no_server("Django")))
    };
    let prefix = settings.replace('.', "/");
    let of_settings = |file: &&String| file.starts_with(&prefix) || file.contains("/settings/");
    let sets_root = |file: &String| facts.text(file).contains("STATIC_ROOT");
    let collect_static = facts.files.iter().filter(of_settings).any(sets_root);
    let mut decision = decision(detection, Some(line));
    decision.collect_static = collect_static;
    decision.warnings.extend(warning);
    Some(decision)
}

/// An application object: where it is, and the server it gets.
fn application(facts: &Facts, framework: &Framework) -> Result<Decision, String> {
    let Framework { name, constructor, .. } = framework;
    let packages =
        facts.files.iter().map(String::as_str).filter(|file| file.ends_with("/__init__.py"));
    let candidates = MODULES.into_iter().filter(|file| facts.has(file)).chain(packages);
    let entry = candidates.into_iter().find_map(|file| {
        object(&facts.text(file), constructor).map(|(object, sign)| (file.to_owned(), object, sign))
    });
    let (file, object, sign) = entry.ok_or_else(|| {
        format!("looks like {name}, but none of app.py, main.py, wsgi.py or a package creates an application")
    })?;
    let (folder, module) = module(&file);
    let target = format!("{module}:{object}");
    let quoted = if object.contains('(') { format!("'{target}'") } else { target };
    let (command, warning) = serve(facts, framework, &quoted)?;
    let line = if folder.is_empty() { command } else { format!("cd {folder} && {command}") };
    let detection = found(facts, framework.id, name, 92).evidence(file, sign);
    let mut decision = decision(detection, Some(line));
    decision.warnings.extend(warning);
    Ok(decision)
}

/// The server that was declared; for Flask at least its own.
fn serve(
    facts: &Facts,
    framework: &Framework,
    target: &str,
) -> Result<(String, Option<String>), String> {
    if framework.asgi {
        let line = facts.manifests.declares(framework.package).map(|(_, line)| line);
        let extra = line.is_some_and(|line| line.contains("[standard") || line.contains("[all"));
        if facts.declares("uvicorn") || extra {
            return Ok((format!("uvicorn {target} --host 0.0.0.0 --port \"$PORT\""), None));
        }
        if facts.declares("hypercorn") {
            return Ok((format!("hypercorn --bind \"0.0.0.0:$PORT\" {target}"), None));
        }
        let name = framework.name;
        return Err(format!("looks like {name}, but no server is declared: add uvicorn"));
    }
    if facts.declares("gunicorn") {
        return Ok((format!("gunicorn --bind \"0.0.0.0:$PORT\" {target}"), None));
    }
    if facts.declares("waitress") {
        return Ok((format!("waitress-serve --listen=\"0.0.0.0:$PORT\" {target}"), None));
    }
    let line = format!("flask --app {target} run --host 0.0.0.0 --port \"$PORT\"");
    Ok((line, Some(no_server(framework.name))))
}

fn no_server(name: &str) -> String {
    format!(
        "no production server is declared, so {name}'s own development server is used: add gunicorn \
         to the dependencies"
    )
}

/// The application in a module: a name at its top level, or a factory.
fn object(text: &str, constructor: &str) -> Option<(String, String)> {
    let named = |line: &str| {
        let (name, value) = line.split_once('=')?;
        let name = name.split(':').next()?.trim();
        let identifier = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let value = value.trim_start();
        let makes = value.starts_with(constructor)
            || value
                .split('(')
                .next()?
                .ends_with(&format!(".{}", constructor.trim_end_matches('(')))
            || value.starts_with("create_app(")
            || value.starts_with("make_app(");
        (makes && !name.is_empty() && name.chars().all(identifier)).then(|| name.to_owned())
    };
    let lines = || text.lines().enumerate();
    if let Some((n, name)) = lines().find_map(|(n, line)| Some((n, named(line)?))) {
        return Some((name, format!("line {}", n + 1)));
    }
    let factory = lines().find_map(|(n, line)| {
        let name = line.strip_prefix("def ")?.split('(').next()?.trim();
        matches!(name, "create_app" | "make_app").then(|| (n, name.to_owned()))
    });
    let (n, name) = factory.filter(|_| text.contains(constructor))?;
    Some((format!("{name}()"), format!("line {}: def {name}", n + 1)))
}

/// `src/app.py` → `("src", "app")`, `shop/__init__.py` → `("", "shop")`
fn module(file: &str) -> (&str, String) {
    let (folder, file) = match file.strip_prefix("src/") {
        Some(rest) => ("src", rest),
        None => ("", file),
    };
    let path = file.trim_end_matches(".py").trim_end_matches("/__init__");
    (folder, path.replace('/', "."))
}

/// A script, or what was declared. `unused` is a framework that no file uses.
fn plain(facts: &Facts, unused: Option<String>) -> Result<Decision, Option<String>> {
    let manifest = [
        ("requirements.txt", facts.manifests.requirements.is_some()),
        (
            "pyproject.toml",
            facts.manifests.pyproject.as_ref().is_some_and(|p| p.project || p.poetry.is_some()),
        ),
        ("Pipfile", facts.has("Pipfile")),
    ];
    let manifest = manifest.into_iter().find(|(_, exists)| *exists).map(|(file, _)| file);
    let script = SCRIPTS.into_iter().find(|file| facts.has(file));
    let workers = script.is_none() && !facts.declared.workers.is_empty();
    let declared = facts.declared.web.is_some() || facts.declared.only_workers || workers;
    let confidence = match (manifest, script, &unused) {
        (Some(_), _, _) if declared => 80,
        (None, Some(_), _) if declared => 60,
        (Some(_), Some(_), None) => 65,
        (Some(_), Some(_), Some(_)) => 55,
        (None, Some("main.py" | "app.py" | "server.py" | "bot.py"), _) => 35,
        (Some(file), None, _) => {
            return Err(Some(format!(
                "there is a {file}, but none of {} to start; set run.command in windlass.toml",
                SCRIPTS.join(", ")
            )));
        }
        _ => return Err(None),
    };
    let mut detection = found(facts, "python", "Python", confidence);
    if let Some(manifest) = manifest {
        detection = detection.evidence(manifest, "");
    }
    if let Some((_, file, sign)) = &facts.declared.web {
        detection = detection.evidence(*file, sign.clone());
    } else if let Some(script) = script {
        let detail = unused.map(|unused| format!("{unused} is declared, but not used here"));
        detection = detection.evidence(script, detail.unwrap_or_default());
    }
    let mut decision = decision(detection, script.map(|script| format!("python {script}")));
    decision.web = script != Some("bot.py");
    Ok(decision)
}
