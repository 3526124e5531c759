//! What kind of Node.js application it is: a server, or a static tree that a build leaves.

use windlass_plugin_common::{migrations, scripts};
use windlass_sdk::{Detection, NearMiss, PluginError};

use crate::answers;
use crate::catalog::{self, Answer, Framework, Leaves};
use crate::config;
use crate::entry;
use crate::facts::Facts;
use crate::listening;
use crate::never;
use crate::start::{self, Start};

/// What was decided.
#[derive(Clone)]
pub(crate) struct Decision {
    pub(crate) detection: Detection,
    pub(crate) shape: Shape,
    pub(crate) framework: Option<&'static Framework>,
    /// The project of Nx that is built, where its own configuration says how.
    pub(crate) project: Option<String>,
    /// What it starts opens no port.
    pub(crate) worker: bool,
}

impl Decision {
    /// A decision for what package.json builds and starts, and what may open a port.
    fn new(detection: Detection, shape: Shape, framework: Option<&'static Framework>) -> Self {
        Self { detection, shape, framework, project: None, worker: false }
    }
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
    /// The page for unknown paths, if they are the application's own.
    pub(crate) page: Option<String>,
}

/// Decides; `forced` is the setting `build.framework`.
///
/// # Errors
/// A near miss: there is a package.json, but nothing in it says what to run.
pub(crate) fn decide(facts: &Facts, forced: Option<&str>) -> Result<Decision, NearMiss> {
    if facts.package.is_none() {
        return bare(facts);
    }
    if forced.is_none() && facts.declared.web.is_none() {
        never::application(facts)?;
    }
    if forced != Some("node") {
        for (row, package) in catalog::used(facts, forced) {
            if let Some(decided) = with(facts, forced, row, package) {
                return decided;
            }
        }
    }
    plain(facts, None)
}

/// What the application is if this framework is its own; `None` if it is not.
fn with(
    facts: &Facts,
    forced: Option<&str>,
    row: &'static Framework,
    package: &'static str,
) -> Option<Result<Decision, NearMiss>> {
    let asked = forced == Some(row.id) && row.id != "node";
    let library = facts.package.as_ref().is_some_and(|json| json.is_library());
    if let Leaves::Library = row.leaves {
        return Some(plain(facts, Some((row, package))));
    }
    if library && !asked && start::script(facts).is_none() && facts.declared.web.is_none() {
        return None;
    }
    let answer = match &row.leaves {
        Leaves::Files(output, page) => {
            let own = own_start(facts, row).is_some() || declares(facts);
            if own && !asked || row.id == "vite" && config::vite_library(facts) && !asked {
                return None;
            }
            Answer::Files(output(facts), page.map(str::to_owned))
        }
        Leaves::Server(line) => Answer::Server((*line).to_owned()),
        Leaves::Asks(ask) => ask(facts),
        Leaves::Library => return None,
    };
    Some(answered(facts, forced, row, package, answer))
}

/// Whether the settings or a Procfile say what is run.
fn declares(facts: &Facts) -> bool {
    facts.declared.web.is_some() || facts.declared.only_workers
}

/// The start script, if it starts a server of the application's own and not just the framework's.
fn own_start(facts: &Facts, row: &Framework) -> Option<Start> {
    let own = start::script(facts).filter(|start| !start::serves_files(&start.line))?;
    let tool = row.build.split_whitespace().next();
    // A line that cannot be taken apart is run as it is.
    let last = start::apart(&own.line).map(|(_, last)| last).unwrap_or_default();
    let usual = tool.is_some() && tool != Some("node") && start::first_program(last) == tool;
    // It is meant to be run in the folder that the build makes.
    let inside =
        row.id == "adonisjs" && own.line.ends_with("server.js") && !own.line.contains("build/");
    // The cut-down server is started with its static files beside it.
    let cut = row.id == "nextjs" && start::around_cut_down(facts, last).is_some();
    (!usual && !inside && !cut).then_some(own)
}

fn answered(
    facts: &Facts,
    forced: Option<&str>,
    row: &'static Framework,
    package: &'static str,
    answer: Answer,
) -> Result<Decision, NearMiss> {
    let detection = of_framework(facts, row, package);
    let own = own_start(facts, row);
    let decision = |detection, shape| Decision::new(detection, shape, Some(row));
    if declares(facts) {
        let detection = match &facts.declared.web {
            Some((_, file, sign)) => detection.evidence(*file, sign.clone()),
            None => detection.evidence("Procfile", "only workers"),
        };
        foreign_procfile(facts)?;
        if matches!(answer, Answer::Standalone) && is_cut_down(facts) {
            return Ok(decision(standalone(facts, detection), Shape::Standalone));
        }
        return Ok(decision(detection, Shape::Server(None)));
    }
    if let (Some(output), false) =
        (&facts.settings.build.output, matches!(answer, Answer::Files(..)))
    {
        let tree = Tree { output: config::normal(output), page: Some("index.html".to_owned()) };
        let mut detection = detection;
        detection.evidence.extend(facts.output_sign.clone());
        return Ok(decision(detection, Shape::Tree(tree)));
    }
    if let Some(start) = own {
        if let Some(program) = start::foreign(&start.line) {
            return Err(runs_foreign("the start script of package.json", program));
        }
        let mut detection = detection;
        detection.evidence.push(start.evidence.clone());
        return Ok(decision(detection, Shape::Server(Some(start))));
    }
    match answer {
        Answer::Files(output, page) => {
            if let Some((file, language)) = never::others(facts).filter(|_| forced.is_none()) {
                return Err(assets(&file, language));
            }
            let output = match &facts.settings.build.output {
                Some(output) => config::normal(output),
                None => output,
            };
            let detection = detection.evidence("package.json", built_by(facts, row));
            Ok(decision(detection, Shape::Tree(Tree { output, page })))
        }
        Answer::Standalone if runs_more(facts) || !facts.declared.workers.is_empty() => {
            let start = Start::framed(facts, answers::NEXT_START);
            let mut detection = detection;
            detection.evidence.push(start.evidence.clone());
            Ok(decision(detection, Shape::Server(Some(start))))
        }
        Answer::Standalone => Ok(decision(standalone(facts, detection), Shape::Standalone)),
        Answer::Server(line) if line.is_empty() => plain(facts, Some((row, package))),
        Answer::Server(line) => {
            let start = Start::framed(facts, &line);
            let mut detection = detection;
            detection.evidence.push(start.evidence.clone());
            Ok(decision(detection, Shape::Server(Some(start))))
        }
        Answer::Unfit(why, _) if row.id == "expo" && forced.is_none() => {
            Err(NearMiss { id: row.id.to_owned(), reason: why })
        }
        Answer::Unfit(why, fix) => {
            let refusal = PluginError::new("node.adapter-unsupported", why).hint(fix);
            Ok(decision(detection.refuse(refusal), Shape::Server(None)))
        }
    }
}

/// Whether the server that Next.js cuts down is all that is declared to be run: [`Facts`] has put another line in the
/// place of one that runs more.
fn is_cut_down(facts: &Facts) -> bool {
    let web = facts.declared.web.as_ref();
    web.is_some_and(|(line, ..)| start::around_cut_down(facts, line).is_some())
}

fn standalone(facts: &Facts, detection: Detection) -> Detection {
    let file = config::next_file(facts).unwrap_or_default();
    detection.evidence(file, scripts::STANDALONE)
}

/// Whether the start script does more before the server than to migrate: a server that is cut down to what it
/// needs may not have what that takes.
fn runs_more(facts: &Facts) -> bool {
    let frame = start::frame(facts);
    frame.is_some_and(|frame| frame.before.iter().any(|command| !migrations::applies(command)))
}

/// The detection of a framework of the catalog.
fn of_framework(facts: &Facts, row: &Framework, package: &str) -> Detection {
    let key = facts.package.as_ref().map(|json| json.key_of(package)).unwrap_or_default();
    let configured = facts.first(row.files);
    let confidence = if configured.is_some() { 95 } else { 90 };
    let detection = found(row.id, row.name, confidence).evidence("package.json", key);
    match configured {
        Some(file) => detection.evidence(file, ""),
        None => detection,
    }
}

fn found(id: &str, name: &str, confidence: u8) -> Detection {
    let detection = Detection::new(id, name, "node").confidence(confidence).supersedes("static");
    if id == "node" { detection } else { detection.supersedes("node") }
}

/// How the build is run, as evidence.
fn built_by(facts: &Facts, row: &Framework) -> String {
    match build_script(facts, row) {
        Some((name, line)) => format!("scripts.{name}: {line}"),
        None => format!("no build script: {} is run", row.build),
    }
}

/// The script that builds: `build` and its like on other platforms, or the one that runs the framework's own command.
pub(crate) fn build_script(facts: &Facts, row: &Framework) -> Option<(String, String)> {
    let package = facts.package.as_ref()?;
    let owned = |(name, line): (&str, &str)| (name.to_owned(), line.to_owned());
    if let Some(name) = scripts::building(package) {
        return Some(owned((name, package.script(name)?)));
    }
    let runs = |(_, line): &(&str, &str)| row.build.contains(' ') && line.starts_with(row.build);
    package.scripts().find(runs).map(owned)
}

/// A server of no framework that is built in its own way.
fn plain(
    facts: &Facts,
    library: Option<(&'static Framework, &'static str)>,
) -> Result<Decision, NearMiss> {
    let Some(package) = &facts.package else {
        return bare(facts);
    };
    let name = library.map_or("Node.js", |(row, _)| row.name);
    let id = library.map_or("node", |(row, _)| row.id);
    let framework = library.map(|(row, _)| row);
    foreign_procfile(facts)?;
    let declared = facts.declared.web.as_ref();
    let (start, confidence, sign) = if let Some((_, file, sign)) = declared {
        (None, 80, Some((*file, sign.clone())))
    } else if facts.declared.only_workers {
        (None, 80, Some(("Procfile", "only workers".to_owned())))
    } else if let Some(output) = &facts.settings.build.output {
        let tree = Tree { output: config::normal(output), page: Some("index.html".to_owned()) };
        let mut detection = found(id, name, 85);
        detection.evidence.extend(facts.output_sign.clone());
        return Ok(Decision::new(detection, Shape::Tree(tree), framework));
    } else {
        match runnable(facts, start::find(facts), name) {
            Ok(start) => {
                let confidence = start.confidence;
                (Some(start), confidence, None)
            }
            Err(_) if !facts.declared.workers.is_empty() => (None, 80, Some(facts.workers_sign())),
            Err(missing) => return Err(missing),
        }
    };
    let mut detection = found(id, name, confidence);
    if let Some((_, dependency)) = library {
        detection = detection.evidence("package.json", package.key_of(dependency));
        detection = imported(facts, detection, dependency, start.as_ref());
    }
    if let Some((file, sign)) = sign {
        detection = detection.evidence(file, sign);
    }
    let mut worker = false;
    if let Some(start) = &start {
        detection.evidence.push(start.evidence.clone());
        if let Some(bot) = listening::bot(facts, &start.line).filter(|_| library.is_none()) {
            let sign = format!("{}: a worker without a port", package.key_of(bot));
            detection = detection.evidence("package.json", sign);
            worker = true;
        }
    }
    Ok(Decision { worker, ..Decision::new(detection, Shape::Server(start), framework) })
}

/// Surer where a program that is started imports the framework, less sure where none does.
fn imported(
    facts: &Facts,
    detection: Detection,
    package: &str,
    start: Option<&Start>,
) -> Detection {
    let declared = facts.declared.web.as_ref().map(|(line, ..)| line.as_str());
    let line = declared.or(start.map(|start| start.line.as_str())).unwrap_or_default();
    let usual = detection.confidence;
    match entry::imports(facts, line, package) {
        Some(Some(file)) => {
            let sure = if usual >= 80 { 92 } else { usual.max(75) };
            detection.confidence(sure).evidence(file, format!("imports {package}"))
        }
        Some(None) => detection
            .confidence(usual.min(60))
            .evidence("package.json", format!("{package} is imported by no entry file")),
        None => detection.confidence((usual + 8).min(89)),
    }
}

/// The start command, if it is one for production.
fn runnable(facts: &Facts, start: Option<Start>, name: &str) -> Result<Start, NearMiss> {
    let miss = |reason| NearMiss { id: "node".to_owned(), reason };
    if let Some(start) = start.as_ref().filter(|start| start::is_for_development(&start.line)) {
        return Err(miss(format!(
            "the start script runs {:?}, a development server; set run.command in windlass.toml to \
             the command for production, or build.output if the build leaves a static site{}",
            start.line,
            never::elsewhere(facts)
        )));
    }
    let start = start.ok_or_else(|| no_start(facts, name))?;
    if start.confidence < 60
        && let Some((file, language)) = never::others(facts)
    {
        return Err(assets(&file, language));
    }
    match start::foreign(&start.line) {
        None => Ok(start),
        Some(program) => Err(runs_foreign("the start script of package.json", program)),
    }
}

/// A Procfile that starts a program of another language.
fn foreign_procfile(facts: &Facts) -> Result<(), NearMiss> {
    let declared = facts.declared.web.as_ref().filter(|(_, file, _)| *file != "windlass.toml");
    match declared.and_then(|(line, ..)| start::foreign(line)) {
        Some(program) => Err(runs_foreign("the Procfile", program)),
        None => Ok(()),
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

/// No package.json. What a file needs is then not installed, unless a command of the settings does.
fn bare(facts: &Facts) -> Result<Decision, NearMiss> {
    let miss = || NearMiss { id: "node".into(), reason: never::no_package(facts) };
    let other = never::others(facts).is_some() || facts.has("deno.json") || facts.has("deno.jsonc");
    let start = start::bare_entry(facts).filter(|_| !other).ok_or_else(miss)?;
    let mut detection = found("node", "Node.js", start.confidence);
    detection.evidence.push(start.evidence.clone());
    let file = start.evidence.path.as_str();
    let build = &facts.settings.build;
    let installs = build.install.is_some() || build.command.is_some();
    let package = entry::package(&facts.text(file).unwrap_or_default()).filter(|_| !installs);
    if let Some(package) = package {
        detection = detection.refuse(never::unlisted(facts, file, &package));
    }
    Ok(Decision::new(detection, Shape::Server(Some(start)), None))
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
             index.js or app.js that starts anything; add a \"start\" script, or set run.command in \
             windlass.toml, or build.output if the build leaves a static site"
        )
    };
    NearMiss { id: "node".into(), reason: reason + &never::elsewhere(facts) }
}
