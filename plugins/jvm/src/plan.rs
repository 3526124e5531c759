//! The build plan: the build tool's own caches, the dependencies from the build files alone, the build
//! from the source, and what runs onto a bare Java runtime.

use windlass_plugin_common::command;
use windlass_plugin_common::layout::{self, APP, OUTPUT_APP, OUTPUT_MIGRATE, USER, on};
use windlass_sdk::plan::{Base, BuildPlan, Copy, Run, Step};
use windlass_sdk::{PluginError, log};

use crate::app::{App, Framework, Package, Tool};
use crate::facts::Facts;
use crate::version::Chosen;
use crate::{collect, gradle, start};

/// Three quarters of the container's memory are the heap's; an application out of memory ends, so that it
/// is started again.
const RUN_ENV: [(&str, &str); 3] = [
    ("HOME", APP),
    ("LANG", "C.UTF-8"),
    ("JAVA_TOOL_OPTIONS", "-XX:MaxRAMPercentage=75.0 -XX:+ExitOnOutOfMemoryError"),
];
const BUILD_ENV: [(&str, &str); 6] = [
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
    ("GRADLE_USER_HOME", "/root/.gradle"),
    ("LEIN_ROOT", "1"),
    // Maven's lines for each download; the option -ntp is not known to old versions.
    (
        "MAVEN_OPTS",
        "-Dorg.slf4j.simpleLogger.log.org.apache.maven.cli.transfer.Slf4jMavenTransferListener=warn",
    ),
    ("SBT_OPTS", "-Dsbt.color=false -Dsbt.supershell=false"),
];
/// Programs that only the image of the build has.
const TOOLS: [&str; 8] = ["mvn", "mvnw", "gradle", "gradlew", "sbt", "lein", "clojure", "clj"];
/// Folders and files that programs open by a relative path.
const DATA_FOLDERS: [&str; 10] = [
    "config",
    "conf",
    "public",
    "static",
    "templates",
    "views",
    "data",
    "assets",
    "resources",
    "www",
];
const DATA_FILES: [&str; 6] = [".yml", ".yaml", ".properties", ".conf", ".edn", ".json"];
const NO_DATA: [&str; 8] = [
    "gradle.properties",
    "system.properties",
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "deps.edn",
    "sample.json",
    "app.json",
];

/// Why it cannot be run, if it cannot.
pub(crate) fn unsupported(facts: &Facts, app: &App) -> Option<PluginError> {
    if app.package != Package::War || facts.declared.web.is_some() || facts.declared.only_workers {
        return None;
    }
    let message =
        format!("{} makes a web archive (war), which needs a servlet container", app.file);
    Some(PluginError::new("jvm.war-unsupported", message).hint(
        "make it run by itself (Spring Boot's plugin, an embedded Jetty or Tomcat), or deploy it with a \
         Dockerfile; or set run.command in windlass.toml to what runs it",
    ))
}

/// Writes the plan of what was decided.
///
/// # Errors
/// Code `jvm.war-unsupported`.
pub(crate) fn plan(facts: &Facts, app: &App, chosen: &Chosen) -> Result<BuildPlan, PluginError> {
    if let Some(error) = unsupported(facts, app) {
        return Err(error);
    }
    warn(facts, app, chosen);
    let mut plan = BuildPlan::new();
    let mut runtime = chosen.runtime();
    if app.tool != Tool::Nothing && calls(facts, &TOOLS) {
        log::warn(
            "a declared process calls the build tool, so the image keeps it: start the jar instead \
                   to make it smaller and its start faster",
        );
        let bare = calls(facts, &["gradle"]);
        runtime = chosen.toolchain(if bare { "gradle" } else { builder(facts, app) });
    }
    plan.toolchains.push(runtime.clone());
    let built = (app.tool != Tool::Nothing).then(|| build(facts, app, chosen, &mut plan));
    let base = layout::runtime(std::slice::from_ref(&runtime));
    let mut step = on(&base, "app", "collect the application");
    for copy in contents(facts, built.as_ref()) {
        step = step.op(copy);
    }
    plan.steps.extend([base, step.clone()]);
    plan.outputs.push(layout::image(OUTPUT_APP, &step, &RUN_ENV, APP));
    if let Some(built) = built.filter(|_| migrates(facts, app)) {
        let own = Run::shell("chown -R 1000:1000 /app");
        let migrate = on(&built, "migrate", "prepare the migration").op(own);
        plan.outputs.push(layout::image(OUTPUT_MIGRATE, &migrate, &RUN_ENV, APP));
        plan.steps.push(migrate);
    }
    let argv = command::argv(&start::line(facts, app));
    plan.processes = facts.declared.processes(Some(argv), None);
    Ok(plan)
}

fn warn(facts: &Facts, app: &App, chosen: &Chosen) {
    if let Some(warning) = &chosen.warning {
        log::warn(warning);
    }
    let secret = app.framework == Framework::Play
        && !facts.variable_names.iter().any(|name| name.contains("SECRET"));
    if secret {
        log::warn(
            "Play refuses to start without a secret: set APPLICATION_SECRET, and read it in \
                   conf/application.conf (play.http.secret.key = ${?APPLICATION_SECRET})",
        );
    }
    if app.tool == Tool::Maven && facts.root.contains("mvnw") && !start::has_maven_wrapper(facts) {
        log::warn("mvnw has no .mvn/wrapper/maven-wrapper.properties: the image's Maven is used");
    }
    if app.tool == Tool::Gradle && facts.root.contains("gradlew") && !gradle::has_wrapper(facts) {
        log::warn(
            "gradlew has no gradle/wrapper/gradle-wrapper.jar: the image's Gradle is used; commit the jar \
             (git add -f) to get the version that the wrapper names",
        );
    }
}

/// Whether commands that people wrote may point anywhere in the built tree.
fn keeps_all(facts: &Facts) -> bool {
    facts.declared.web.is_some() || !facts.declared.workers.is_empty()
}

/// Whether a declared command line calls one of these programs.
fn calls(facts: &Facts, programs: &[&str]) -> bool {
    let web = facts.declared.web.iter().map(|(line, ..)| line);
    let mut lines = web.chain(facts.declared.workers.iter().map(|(_, line)| line));
    lines.any(|line| {
        let mut words = line.split(|c: char| c.is_whitespace() || matches!(c, '/' | ';'));
        words.any(|word| programs.contains(&word))
    })
}

/// The toolchain that builds.
fn builder(facts: &Facts, app: &App) -> &'static str {
    match app.tool {
        Tool::Maven => "maven",
        Tool::Gradle if !gradle::has_wrapper(facts) => "gradle",
        Tool::Sbt => "sbt",
        Tool::Lein => "clojure",
        Tool::ToolsBuild => "clojure-tools",
        Tool::Gradle | Tool::Javac | Tool::Nothing => "java",
    }
}

fn build(facts: &Facts, app: &App, chosen: &Chosen, plan: &mut BuildPlan) -> Step {
    let name = builder(facts, app);
    let toolchain = chosen.toolchain(name);
    if !plan.toolchains.contains(&toolchain) {
        plan.toolchains.push(toolchain.clone());
    }
    let base = Base::Toolchains(vec![toolchain]);
    let first = |id: &str, name: &str| Step::new(id, name, base.clone());
    let mut step = match dependencies(facts, app) {
        Some((copy, run)) => {
            let step = quiet(first("dependencies", "fetch the dependencies")).op(copy).op(run);
            plan.steps.push(step.clone());
            quiet(on(&step, "build", "build the application"))
        }
        None => quiet(first("build", "build the application")),
    };
    step = step.op(layout::source().exclude(leftovers(app)));
    let declared = facts.declared.web.is_some() || facts.declared.only_workers;
    match &facts.settings.build.command {
        None => step = step.op(cached(app, Run::shell(start::build(facts, app, declared)))),
        Some(line) => {
            step = step.op(cached(app, Run::shell(line)));
            if matches!(app.package, Package::ClassPath(_)) && app.tool == Tool::Maven && !declared
            {
                let line = start::build(facts, app, false);
                step = step.op(cached(app, Run::shell(line)));
            }
        }
    }
    if let Some(run) = collect::run(app).filter(|_| !declared) {
        step = step.op(run);
    }
    plan.steps.push(step.clone());
    step
}

/// The build files and the command that fetches what they name. Gradle resolves as it builds: its cache
/// outlives the step, and so does that of the others; they fetch first because it is cheap to say.
fn dependencies(facts: &Facts, app: &App) -> Option<(Copy, Run)> {
    if let Some(line) = &facts.settings.build.install {
        return Some((layout::files(["**"]), cached(app, Run::shell(line))));
    }
    let there = |names: &[&str]| -> Vec<String> {
        names
            .iter()
            .filter(|name| name.contains('*') || facts.has(name))
            .map(|name| (*name).to_owned())
            .collect()
    };
    let (mut files, line) = match app.tool {
        Tool::Maven => {
            let files = there(&["**/pom.xml", "pom.*", "mvnw", "settings.xml"]);
            (files, format!("{} dependency:go-offline", start::maven(facts)))
        }
        Tool::Sbt => (there(&["*.sbt", "project/*"]), "sbt -batch update".to_owned()),
        Tool::Lein => (there(&["project.clj"]), "lein deps".to_owned()),
        Tool::ToolsBuild => {
            let alias = app.tasks.first().map_or("build", String::as_str);
            (there(&["deps.edn"]), format!("clojure -P && clojure -P -T:{alias}"))
        }
        Tool::Gradle | Tool::Javac | Tool::Nothing => return None,
    };
    if app.tool == Tool::Maven && facts.root.contains(".mvn") {
        files.push(".mvn/**".to_owned());
    }
    let line =
        format!("{line} || echo 'not all could be fetched ahead: the build fetches the rest'");
    Some((layout::files(files), cached(app, Run::shell(line))))
}

/// What a build on somebody's machine left: an upload may bring it, and old jars would be taken for new ones.
fn leftovers(app: &App) -> Vec<String> {
    let folder = match app.tool {
        Tool::Gradle => "build",
        Tool::Javac | Tool::Nothing => return Vec::new(),
        _ => "target",
    };
    let both = [folder.to_owned(), app.path(folder)];
    let mut globs: Vec<String> =
        both.iter().flat_map(|path| [path.clone(), format!("{path}/**")]).collect();
    globs.dedup();
    globs.truncate(if app.module.is_empty() { 2 } else { 4 });
    globs
}

/// With the network and the caches of the build tool.
fn cached(app: &App, run: Run) -> Run {
    let caches: &[(&str, &str)] = match app.tool {
        Tool::Maven => &[("maven", "/root/.m2")],
        Tool::Gradle => &[("gradle", "/root/.gradle")],
        Tool::Sbt => {
            &[("coursier", "/root/.cache/coursier"), ("sbt", "/root/.sbt"), ("ivy", "/root/.ivy2")]
        }
        Tool::Lein => &[("maven", "/root/.m2")],
        Tool::ToolsBuild => &[("maven", "/root/.m2"), ("gitlibs", "/root/.gitlibs")],
        Tool::Javac | Tool::Nothing => return run,
    };
    caches.iter().fold(run.network(), |run, (id, target)| run.cache(*id, *target))
}

fn quiet(step: Step) -> Step {
    BUILD_ENV.iter().fold(step, |step, (name, value)| step.env(*name, *value))
}

/// What the image gets.
fn contents(facts: &Facts, built: Option<&Step>) -> Vec<Copy> {
    let owned = |mut copy: Copy| {
        copy.chown = Some(USER.to_owned());
        copy
    };
    let Some(built) = built else {
        return vec![layout::source()];
    };
    let mut copies = Vec::new();
    if keeps_all(facts) {
        let left = ["app/**/node_modules/**", "app/.git/**", "app/**/.gradle/**"];
        copies.push(owned(Copy::step(&built.id, ["app/**"], "/").parents().exclude(left)));
    } else {
        let data = data(facts);
        if !data.is_empty() {
            copies.push(owned(layout::files(data)));
        }
    }
    if facts.declared.web.is_none() && !facts.declared.only_workers {
        copies.push(owned(Copy::step(&built.id, ["out/**"], "/app/")));
    }
    copies
}

/// Files of the source that the program may open while it runs.
fn data(facts: &Facts) -> Vec<String> {
    let is_file = |name: &&String| {
        let tool = name.starts_with('.')
            || name.contains("compose")
            || name.starts_with("pom.")
            || name.starts_with("micronaut-cli")
            || NO_DATA.contains(&name.as_str());
        !tool && DATA_FILES.iter().any(|ending| name.ends_with(ending))
    };
    let folder = |name: &&String| DATA_FOLDERS.contains(&name.as_str());
    let folders = facts.root.iter().filter(folder).map(|name| format!("{name}/**"));
    folders.chain(facts.root.iter().filter(is_file).cloned()).collect()
}

/// Whether the build tool migrates the database, by a plugin of its own.
fn migrates(facts: &Facts, app: &App) -> bool {
    let text = facts.text(&app.file);
    ["flyway-maven-plugin", "liquibase-maven-plugin", "org.flywaydb.flyway", "org.liquibase.gradle"]
        .iter()
        .any(|plugin| text.contains(plugin))
}
