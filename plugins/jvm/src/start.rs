//! The command line that starts what was built. Every line gives the machine's own options a place,
//! `$JAVA_OPTS`, as most platforms do, and tells each framework the port in its own way.

use crate::app::{App, Framework, Package, Tool};
use crate::facts::Facts;
use crate::gradle;

/// Where sbt's distribution lies.
pub(crate) const STAGE: &str = "target/universal/stage";
/// The jar's name in the image.
pub(crate) const JAR: &str = "app.jar";
/// The name that a distribution's start script gets.
pub(crate) const SCRIPT: &str = "main";
/// Port that Dropwizard listens on in files that say so.
const DROPWIZARD: [&str; 6] = [
    "config.yml",
    "config.yaml",
    "configuration.yml",
    "configuration.yaml",
    "config/config.yml",
    "app.yml",
];

/// The line.
pub(crate) fn line(facts: &Facts, app: &App) -> String {
    let (options, arguments) = port(facts, app);
    let java = if options.is_empty() {
        "java $JAVA_OPTS".to_owned()
    } else {
        format!("java {options} $JAVA_OPTS")
    };
    let program = match &app.package {
        Package::Jar | Package::War if app.tool == Tool::Nothing => {
            format!("{java} -jar {}", app.file)
        }
        Package::Jar | Package::War => format!("{java} -jar {JAR}"),
        Package::Quarkus => format!("{java} -jar quarkus-run.jar"),
        Package::ClassPath(main) => format!("{java} -cp '{JAR}:lib/*' {main}"),
        Package::Classes(main) => format!("{java} -cp 'classes:lib/*' {main}"),
        Package::Distribution => return distribution(app, &options, &arguments),
    };
    if arguments.is_empty() { program } else { format!("{program} {arguments}") }
}

/// Start scripts of Gradle and sbt take the machine's options from `JAVA_OPTS`, and sbt's from arguments too.
fn distribution(app: &App, options: &str, arguments: &str) -> String {
    let sbt = app.tool == Tool::Sbt;
    let program = if sbt { format!("./{STAGE}/bin/{SCRIPT}") } else { format!("./bin/{SCRIPT}") };
    let line = match (options.is_empty(), sbt) {
        (true, _) => program,
        (false, true) => format!("{program} {options}"),
        (false, false) => format!("JAVA_OPTS=\"{options} $JAVA_OPTS\" {program}"),
    };
    if arguments.is_empty() { line } else { format!("{line} {arguments}") }
}

/// How the framework learns the port: the machine's options, and the program's arguments.
fn port(facts: &Facts, app: &App) -> (String, String) {
    let options = |text: &str| (text.to_owned(), String::new());
    match app.framework {
        Framework::SpringBoot => options("-Dserver.port=$PORT"),
        Framework::Quarkus => options("-Dquarkus.http.host=0.0.0.0 -Dquarkus.http.port=$PORT"),
        Framework::Micronaut => options("-Dmicronaut.server.port=$PORT"),
        Framework::Play => options("-Dhttp.port=$PORT -Dpidfile.path=/dev/null"),
        Framework::Ktor if ktor_engine(facts, app) => (String::new(), "-port=$PORT".to_owned()),
        Framework::Dropwizard => dropwizard(facts),
        Framework::Ktor | Framework::Plain => (String::new(), String::new()),
    }
}

/// Whether Ktor's own main class runs, which takes the port as an argument.
fn ktor_engine(facts: &Facts, app: &App) -> bool {
    let text = app.entry.as_deref().map(|path| facts.text(path)).unwrap_or_default();
    let configured = ["application.conf", "application.yaml", "application.yml"]
        .iter()
        .any(|name| facts.has(&app.path(&format!("src/main/resources/{name}"))));
    text.contains("EngineMain") || (configured && !text.contains("embeddedServer"))
}

fn dropwizard(facts: &Facts) -> (String, String) {
    let file = facts.source.list(&["*.yml", "*.yaml", "config/*.yml"], 2, 50).ok();
    let listed: Vec<String> = file
        .map(|listing| listing.entries.into_iter().map(|entry| entry.path).collect())
        .unwrap_or_default();
    let is_config = |path: &&str| {
        let text = facts.text(path);
        text.contains("server:") || text.contains("logging:")
    };
    let known = DROPWIZARD.into_iter().find(|name| listed.iter().any(|path| path == name));
    let file = known.or_else(|| listed.iter().map(String::as_str).find(is_config));
    let Some(file) = file else {
        return (String::new(), "server".to_owned());
    };
    let text = facts.text(file);
    let option = if text.contains("applicationConnectors") {
        "'-Ddw.server.applicationConnectors[0].port='$PORT"
    } else if text.contains("type: simple") {
        "-Ddw.server.connector.port=$PORT"
    } else {
        ""
    };
    (option.to_owned(), format!("server {file}"))
}

/// The line that builds, for a shell.
pub(crate) fn build(facts: &Facts, app: &App, declared: bool) -> String {
    match app.tool {
        Tool::Maven => {
            let module = if app.module.is_empty() {
                String::new()
            } else {
                format!(" -pl {} -am", app.module)
            };
            let also = match app.package {
                Package::ClassPath(_) if !declared => {
                    " dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=/out/lib"
                }
                _ => "",
            };
            format!("{} -DskipTests{module} package{also}", maven(facts))
        }
        Tool::Gradle => {
            let tasks = match (declared, app.tasks.iter().any(|task| task.ends_with("installDist")))
            {
                (true, true) => "assemble installDist".to_owned(),
                (true, false) => "assemble".to_owned(),
                (false, _) => app.tasks.join(" "),
            };
            format!("{} {tasks}", gradle_line(facts))
        }
        Tool::Sbt => format!("sbt -batch {}", app.tasks.join(" ")),
        Tool::Lein => format!("lein {}", app.tasks.join(" ")),
        Tool::ToolsBuild => format!("clojure -T:{}", app.tasks.join(" ")),
        Tool::Javac => "mkdir -p /out/classes && \
             find . -name '*.java' ! -path '*/test/*' ! -path '*/tests/*' > /tmp/sources && \
             javac -encoding UTF-8 -d /out/classes -cp 'lib/*' @/tmp/sources && \
             { test ! -d lib || cp -R lib /out/; }"
            .to_owned(),
        Tool::Nothing => String::new(),
    }
}

/// Maven, by its wrapper where there is one. Windows' ends of lines stop a shell script.
pub(crate) fn maven(facts: &Facts) -> String {
    let settings = if facts.root.contains("settings.xml") { " -s settings.xml" } else { "" };
    if has_maven_wrapper(facts) {
        format!("sed -i 's/\\r$//' mvnw && sh ./mvnw -B{settings}")
    } else {
        format!("mvn -B{settings}")
    }
}

/// Whether the wrapper is complete.
pub(crate) fn has_maven_wrapper(facts: &Facts) -> bool {
    facts.root.contains("mvnw") && facts.has(".mvn/wrapper/maven-wrapper.properties")
}

/// Gradle, by its wrapper where it is complete.
pub(crate) fn gradle_line(facts: &Facts) -> String {
    let options = "--no-daemon --console=plain";
    if gradle::has_wrapper(facts) {
        format!("sed -i 's/\\r$//' gradlew && sh ./gradlew {options}")
    } else {
        format!("gradle {options}")
    }
}
