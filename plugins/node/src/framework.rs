//! What kind of Node.js application it is: a server, or a static tree that a build leaves.
//!
//! **Invariant: a framework that renders on a server is never taken for a static tree** because it
//! happens to use the same bundler.

use windlass_sdk::{Detection, Evidence, NearMiss};

use crate::config;
use crate::facts::Facts;
use crate::start::{self, Start};

/// What was decided.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub(crate) detection: Detection,
    pub(crate) shape: Shape,
}

/// What the build leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Files for the proxy.
    Tree(Tree),
    /// A process; none where the settings name it, or only workers were declared.
    Server(Option<Start>),
    /// A Next.js server with only the files it needs.
    Standalone,
}

/// A static tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    /// Folder, relative to the application.
    pub(crate) output: String,
    /// Unknown paths are the application's own.
    pub(crate) single_page: bool,
    /// Built with this where package.json has no build script.
    pub(crate) build: &'static str,
}

/// A framework that leaves a static tree.
struct Builds {
    id: &'static str,
    name: &'static str,
    package: &'static str,
    output: &'static str,
    single_page: bool,
    build: &'static str,
}

const fn builds(
    (id, name): (&'static str, &'static str),
    package: &'static str,
    output: &'static str,
    single_page: bool,
    build: &'static str,
) -> Builds {
    Builds { id, name, package, output, single_page, build }
}

/// The first whose package is a dependency is taken.
const TREES: [Builds; 6] = [
    builds(("docusaurus", "Docusaurus"), "@docusaurus/core", "build", false, "docusaurus build"),
    builds(("gatsby", "Gatsby"), "gatsby", "public", false, "gatsby build"),
    builds(("astro", "Astro"), "astro", "dist", false, "astro build"),
    builds(("eleventy", "Eleventy"), "@11ty/eleventy", "_site", false, "eleventy"),
    builds(
        ("create-react-app", "Create React App"),
        "react-scripts",
        "build",
        true,
        "react-scripts build",
    ),
    builds(("vite", "Vite"), "vite", "dist", true, "vite build"),
];

/// Packages of frameworks that render on a server, and the command that starts what their build leaves,
/// where there is one.
const RENDERS_ON_SERVER: [(&str, &str, &str); 17] = [
    ("@sveltejs/adapter-node", "SvelteKit", "node build"),
    ("@sveltejs/kit", "SvelteKit", ""),
    ("@remix-run/react", "Remix", ""),
    ("@react-router/node", "React Router", ""),
    ("@react-router/dev", "React Router", ""),
    ("nuxt", "Nuxt", "node .output/server/index.mjs"),
    ("@astrojs/node", "Astro", "node dist/server/entry.mjs"),
    ("@solidjs/start", "SolidStart", "node .output/server/index.mjs"),
    ("@tanstack/react-start", "TanStack Start", ""),
    ("@tanstack/solid-start", "TanStack Start", ""),
    ("@tanstack/start", "TanStack Start", ""),
    ("@builder.io/qwik-city", "Qwik", ""),
    ("@shopify/hydrogen", "Hydrogen", ""),
    ("@angular/ssr", "Angular", ""),
    ("vike", "Vike", ""),
    ("vinxi", "Vinxi", "node .output/server/index.mjs"),
    ("@nestjs/core", "NestJS", "node dist/main"),
];
/// Files that say that package.json only serves the assets of an application in another language.
const OTHERS: [(&str, &str); 9] = [
    ("composer.json", "PHP"),
    ("artisan", "PHP"),
    ("Gemfile", "Ruby"),
    ("go.mod", "Go"),
    ("Cargo.toml", "Rust"),
    ("mix.exs", "Elixir"),
    ("pom.xml", "Java"),
    ("build.gradle", "Java"),
    ("manage.py", "Python"),
];
const BACKENDS: [(&str, &str); 8] = [
    ("express", "Express"),
    ("fastify", "Fastify"),
    ("koa", "Koa"),
    ("hono", "Hono"),
    ("@hapi/hapi", "hapi"),
    ("@adonisjs/core", "AdonisJS"),
    ("@strapi/strapi", "Strapi"),
    ("polka", "Polka"),
];

/// Decides; `forced` is the setting `build.framework`.
///
/// # Errors
/// A near miss: there is a package.json, but nothing in it says what to run.
pub(crate) fn decide(facts: &Facts, forced: Option<&str>) -> Result<Decision, NearMiss> {
    if forced != Some("node") {
        if facts.uses("next") {
            return Ok(next(facts));
        }
        if let Some(decision) = tree(facts, forced) {
            let other = OTHERS.iter().find(|(file, _)| forced.is_none() && facts.has(file));
            return other.map_or(Ok(decision), |(file, language)| Err(assets(file, language)));
        }
    }
    plain(facts)
}

fn found(id: &str, name: &str, confidence: u8) -> Detection {
    let detection = Detection::new(id, name, "node").confidence(confidence).supersedes("static");
    if id == "node" { detection } else { detection.supersedes("node") }
}

fn next(facts: &Facts) -> Decision {
    let key = facts.package.as_ref().map(|package| package.key_of("next")).unwrap_or_default();
    let detection = found("nextjs", "Next.js", 95).evidence("package.json", key);
    let own = start::script(facts).filter(|start| !start.line.contains("next start"));
    let own = own.filter(|start| !start::is_for_development(&start.line));
    let mode = config::next_output(facts);
    let shown = |detection: Detection, mode: &str| match config::next_file(facts) {
        Some(file) => detection.evidence(file, format!("output: {mode:?}")),
        None => detection,
    };
    match (facts.declared.web.is_some(), mode.as_deref()) {
        (false, Some("export")) => {
            let build = "next build";
            let tree = Tree { output: "out".into(), single_page: false, build };
            Decision { detection: shown(detection, "export"), shape: Shape::Tree(tree) }
        }
        (false, Some("standalone")) if own.is_none() => {
            Decision { detection: shown(detection, "standalone"), shape: Shape::Standalone }
        }
        _ => {
            let start = own.unwrap_or_else(next_start);
            let detection = detection.evidence(&start.evidence.path, &start.evidence.detail);
            Decision { detection, shape: Shape::Server(Some(start)) }
        }
    }
}

fn next_start() -> Start {
    let line = "next start -H 0.0.0.0 -p \"$PORT\"".to_owned();
    let evidence = Evidence::new("package.json", "started with next start");
    let argv = windlass_plugin_common::command::argv(&line);
    Start { line, argv, evidence, confidence: 95 }
}

fn tree(facts: &Facts, forced: Option<&str>) -> Option<Decision> {
    let package = facts.package.as_ref()?;
    let known = TREES.iter().find(|known| package.uses(known.package))?;
    let asked = forced == Some(known.id);
    let serves = facts.declared.web.is_some() || facts.declared.only_workers;
    let own = start::script(facts).filter(|start| !start::serves_files(&start.line));
    let renders = RENDERS_ON_SERVER.iter().any(|(package, ..)| facts.uses(package));
    if !asked && (serves || own.is_some() || renders) {
        return None;
    }
    let output = match &facts.settings.build.output {
        Some(output) => output.clone(),
        None if known.id == "vite" => config::vite_output(facts),
        None => known.output.to_owned(),
    };
    let output = config::normal(&output);
    let detection = found(known.id, known.name, 90)
        .evidence("package.json", package.key_of(known.package))
        .evidence(
            "package.json",
            match package.script("build") {
                Some(line) => format!("scripts.build: {line}"),
                None => format!("no build script: {} is run", known.build),
            },
        );
    let tree = Tree { output, single_page: known.single_page, build: known.build };
    Some(Decision { detection, shape: Shape::Tree(tree) })
}

/// A server of no particular framework.
fn plain(facts: &Facts) -> Result<Decision, NearMiss> {
    let Some(package) = &facts.package else {
        return bare(facts);
    };
    let key = |(dependency, name): (&str, &'static str)| (package.key_of(dependency), name);
    let rendering = RENDERS_ON_SERVER.iter().find(|(name, ..)| package.uses(name));
    let backend = BACKENDS.iter().find(|(name, _)| package.uses(name));
    let framework = rendering.map(|(dependency, name, _)| (*dependency, *name));
    let framework = framework.or(backend.copied()).map(key);
    let name = framework.as_ref().map_or("Node.js", |(_, name)| name);
    let declared = facts.declared.web.as_ref();
    let foreign = declared.filter(|(_, file, _)| *file != "windlass.toml");
    if let Some(program) = foreign.and_then(|(line, ..)| start::foreign(line)) {
        return Err(runs_foreign("the Procfile", program));
    }
    let (start, confidence, sign) = if let Some((_, file, sign)) = declared {
        (None, 80, Some((*file, sign.clone())))
    } else if facts.declared.only_workers {
        (None, 80, Some(("Procfile", "only workers".to_owned())))
    } else if let Some(output) = &facts.settings.build.output {
        let tree = Tree { output: config::normal(output), single_page: true, build: "" };
        let sign = format!("build.output = {output:?}");
        let detection = found("node", name, 85).evidence("windlass.toml", sign);
        return Ok(Decision { detection, shape: Shape::Tree(tree) });
    } else {
        let usual = rendering.map_or("", |(.., line)| line);
        match runnable(facts, start::find(facts), name, usual) {
            Ok(start) => {
                let sure = if framework.is_some() { 8 } else { 0 };
                let confidence = start.confidence + sure;
                (Some(start), confidence, None)
            }
            Err(_) if !facts.declared.workers.is_empty() => {
                (None, 80, Some(("windlass.toml", "run.processes: only workers".to_owned())))
            }
            Err(missing) => return Err(missing),
        }
    };
    let mut detection = found("node", name, confidence);
    if let Some((key, _)) = framework {
        detection = detection.evidence("package.json", key);
    }
    if let Some((file, sign)) = sign {
        detection = detection.evidence(file, sign);
    }
    if let Some(start) = &start {
        detection.evidence.push(start.evidence.clone());
    }
    Ok(Decision { detection, shape: Shape::Server(start) })
}

/// The start command, if it is one for production; else the usual one of the framework.
fn runnable(
    facts: &Facts,
    start: Option<Start>,
    name: &str,
    usual: &str,
) -> Result<Start, NearMiss> {
    let miss = |reason| NearMiss { id: "node".to_owned(), reason };
    let development = start.as_ref().filter(|start| start::is_for_development(&start.line));
    let builds = facts.script("build").is_some();
    if (development.is_some() || start.is_none()) && builds && !usual.is_empty() {
        let evidence = Evidence::new("package.json", format!("no start script: {usual} is run"));
        let argv = windlass_plugin_common::command::argv(usual);
        return Ok(Start { line: usual.to_owned(), argv, evidence, confidence: 80 });
    }
    if let Some(start) = development {
        return Err(miss(format!(
            "the start script runs {:?}, a development server; set run.command in windlass.toml to \
             the command for production, or build.output if the build leaves a static site",
            start.line
        )));
    }
    let start = start.ok_or_else(|| no_start(facts, name))?;
    match start::foreign(&start.line) {
        None => Ok(start),
        Some(program) => Err(runs_foreign("the start script of package.json", program)),
    }
}

fn runs_foreign(place: &str, program: &str) -> NearMiss {
    let reason = format!(
        "{place} runs {program}: this is no Node.js application; to run it as one, set run.command \
         in windlass.toml"
    );
    NearMiss { id: "node".to_owned(), reason }
}

fn assets(file: &str, language: &str) -> NearMiss {
    let reason = format!(
        "package.json builds assets, but {file} says that the application is written in {language}; \
         to serve the assets alone, set build.framework in windlass.toml"
    );
    NearMiss { id: "node".to_owned(), reason }
}

/// No package.json.
fn bare(facts: &Facts) -> Result<Decision, NearMiss> {
    let reason = || NearMiss { id: "node".into(), reason: "there is no package.json".into() };
    let start = start::bare_entry(facts).ok_or_else(reason)?;
    let mut detection = found("node", "Node.js", start.confidence);
    detection.evidence.push(start.evidence.clone());
    Ok(Decision { detection, shape: Shape::Server(Some(start)) })
}

fn no_start(facts: &Facts, name: &str) -> NearMiss {
    let library = facts.package.as_ref().is_some_and(|package| package.is_library());
    let reason = if library {
        "package.json looks like a library's: it has no start script, and its main file opens no \
         port; if it is an application, add a \"start\" script or set run.command in windlass.toml"
            .to_owned()
    } else {
        format!(
            "package.json says {name}, but it has no \"start\" script, and there is no server.js, \
             index.js or app.js; add a \"start\" script, or set run.command in windlass.toml, or \
             build.output if the build leaves a static site"
        )
    };
    NearMiss { id: "node".into(), reason }
}
