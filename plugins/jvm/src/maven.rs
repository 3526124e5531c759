//! Maven: which module runs, and in what form it is packaged.

use windlass_sdk::NearMiss;

use crate::app::{App, Framework, Language, Package, Tool, join};
use crate::entry;
use crate::facts::{Facts, miss};
use crate::pom::Pom;

/// Forms of the pom that Maven reads with an extension.
const POLYGLOT: [&str; 12] = [
    "pom.yaml",
    "pom.yml",
    "pom.rb",
    "pom.groovy",
    "pom.scala",
    "pom.clj",
    "pom.atom",
    "pom.kts",
    "pom.json",
    "pom.toml",
    "pom.ini",
    "pom.hocon",
];

/// Whether a file is Maven's.
pub(crate) fn is_manifest(name: &str) -> bool {
    name == "pom.xml" || POLYGLOT.contains(&name)
}

/// The pom of the application's folder.
pub(crate) fn manifest<'f>(facts: &'f Facts) -> Option<&'f str> {
    let polyglot = facts.has(".mvn") || !facts.has("pom.xml");
    facts.root.iter().map(String::as_str).find(|name| *name == "pom.xml").or_else(|| {
        facts.root.iter().map(String::as_str).find(|name| is_manifest(name) && polyglot)
    })
}

/// What Maven builds here, or what nearly is an application.
pub(crate) fn decide(facts: &Facts, file: &str) -> Result<App, Vec<NearMiss>> {
    let broken = || vec![miss("java", format!("{file} is not valid XML, or no pom"))];
    let root = Pom::read(file, &facts.text(file)).ok_or_else(broken)?;
    let poms = modules(facts, &root);
    let mut found: Vec<App> = Vec::new();
    for pom in poms.iter().filter(|pom| pom.packaging != "pom" || pom.unknown) {
        let parent = (pom.path != root.path).then_some(&root);
        found.extend(runnable(facts, pom, parent));
    }
    if let Some(target) = facts.target() {
        let names: Vec<&str> = poms.iter().map(|pom| pom.folder.as_str()).collect();
        let named = |app: &App| app.module == target || app.module.ends_with(&format!("/{target}"));
        let unknown = format!(
            "build.target in windlass.toml names {target:?}, and the modules that can run are among {}",
            names.join(", ")
        );
        return found.into_iter().find(named).ok_or_else(|| vec![miss("java", unknown)]);
    }
    let best = found.iter().map(|app| app.confidence).max().unwrap_or_default();
    // A class with a main method is less than a plugin that packages a program.
    found.retain(|app| app.confidence + 10 >= best);
    match found.as_slice() {
        [] => Err(vec![none(&root, poms.len())]),
        [one] => Ok(one.clone()),
        several => App::first_of(several).ok_or_else(Vec::new),
    }
}

fn none(root: &Pom, poms: usize) -> NearMiss {
    let what = if poms > 1 { "none of the modules" } else { "the pom" };
    let verb = if poms > 1 { "has" } else { "has no" };
    let reason = match root.packaging.as_str() {
        "maven-plugin" => "the pom builds a plugin for Maven, which is a library".to_owned(),
        "pom" if poms <= 1 => {
            "the pom has packaging pom and no modules: it builds nothing".to_owned()
        }
        _ if poms > 1 => format!(
            "{what} {verb} a main class or a plugin that packages a program (spring-boot, quarkus, \
             shade, assembly): they are taken for libraries; set run.command in windlass.toml"
        ),
        _ => format!(
            "{what} {verb} plugin that packages a program (spring-boot, quarkus, shade, assembly), and \
             no class has a main method: it is taken for a library; set run.command in windlass.toml"
        ),
    };
    miss("java", reason)
}

/// The root and the modules that it reaches.
fn modules(facts: &Facts, root: &Pom) -> Vec<Pom> {
    let mut poms = vec![root.clone()];
    let mut at = 0;
    while at < poms.len() && poms.len() < 200 {
        let folder = poms[at].folder.clone();
        for module in poms[at].modules.clone() {
            let module = module.trim_start_matches("./").trim_end_matches('/').to_owned();
            let path = match module.strip_suffix("/pom.xml") {
                Some(_) => join(&folder, &module),
                None => join(&folder, &format!("{module}/pom.xml")),
            };
            let known = poms.iter().any(|pom| pom.path == path);
            if !known && facts.has(&path) {
                poms.extend(Pom::read(&path, &facts.text(&path)));
            }
        }
        at += 1;
    }
    poms
}

/// The module as an application, if it is one.
fn runnable(facts: &Facts, pom: &Pom, parent: Option<&Pom>) -> Option<App> {
    let entry = entry::find(facts, &pom.folder);
    let language = language(facts, pom);
    let mut app = App::new(Tool::Maven, language, Package::Jar, &pom.path);
    app.module.clone_from(&pom.folder);
    app.java = java(pom).or_else(|| java(parent?));
    app.framework = framework(pom, parent);
    app.entry = entry.as_ref().map(|entry| entry.path.clone());
    let war = pom.packaging == "war";
    if let Some((package, sign)) = by_plugin(pom, parent, entry.as_ref()) {
        (app.package, app.sign) = (package, sign);
        app.confidence = if app.framework == Framework::Plain { 82 } else { 95 };
        return Some(app);
    }
    if war {
        app.package = Package::War;
        app.sign = "packaging war".to_owned();
        app.confidence = 80;
        return Some(app);
    }
    if pom.packaging != "jar" && !pom.packaging.is_empty() {
        return None;
    }
    let exec = ["exec-maven-plugin", "jib-maven-plugin", "appassembler-maven-plugin"];
    let properties = ["exec.mainClass", "mainClass", "main.class", "start-class"];
    let configured =
        exec.iter().find_map(|plugin| Some((pom.main_of(plugin)?, format!("{plugin}: mainClass"))));
    let configured = configured.or_else(|| {
        properties.iter().find_map(|name| Some((pom.property(name)?, format!("properties.{name}"))))
    });
    if let Some((main, sign)) = configured {
        app.sign = format!("{sign} {main}");
        app.package = Package::ClassPath(main);
        app.confidence = 78;
        return Some(app);
    }
    let entry = entry?;
    let read = !entry.text.trim().is_empty();
    app.sign = format!("{} has a main method", entry.path);
    app.confidence = if read { 72 } else { 60 };
    app.package = Package::ClassPath(entry.class);
    Some(app)
}

/// The packaging that a plugin of the build does.
fn by_plugin(
    pom: &Pom,
    parent: Option<&Pom>,
    entry: Option<&entry::Entry>,
) -> Option<(Package, String)> {
    let own =
        |artifact: &str| pom.plugin(artifact).map(|one| format!("line {}: {artifact}", one.line));
    // What the parent's build has, every module has: only the one with a main class runs.
    let inherited = |artifact: &str| {
        let parent =
            parent.filter(|parent| entry.is_some() && parent.plugin(artifact).is_some())?;
        Some(format!("{}: {artifact}", parent.path))
    };
    let any = |artifact: &str| own(artifact).or_else(|| inherited(artifact));
    if let Some(sign) = any("quarkus-maven-plugin") {
        return Some((Package::Quarkus, sign));
    }
    if let Some(sign) = any("spring-boot-maven-plugin") {
        return Some((Package::Jar, sign));
    }
    if pom.packaging == "war" {
        return None;
    }
    if pom.parent.0.starts_with("io.micronaut") || pom.plugin("micronaut-maven-plugin").is_some() {
        return Some((Package::Jar, "micronaut-maven-plugin".to_owned()));
    }
    for artifact in ["maven-shade-plugin", "maven-assembly-plugin"] {
        if let Some(sign) = any(artifact)
            && (pom.main_of(artifact).is_some() || pom.main_of("maven-jar-plugin").is_some())
        {
            return Some((Package::Jar, sign));
        }
    }
    let main = pom.main_of("maven-jar-plugin")?;
    let alone = pom.dependencies.is_empty() && parent.is_none_or(|one| one.dependencies.is_empty());
    let sign = format!("maven-jar-plugin: mainClass {main}");
    Some((if alone { Package::Jar } else { Package::ClassPath(main) }, sign))
}

fn framework(pom: &Pom, parent: Option<&Pom>) -> Framework {
    let uses = |group: &str| pom.uses(group) || parent.is_some_and(|parent| parent.uses(group));
    let plugin = |name: &str| {
        pom.plugin(name).or_else(|| parent.and_then(|parent| parent.plugin(name))).is_some()
    };
    if plugin("quarkus-maven-plugin") || uses("io.quarkus") {
        Framework::Quarkus
    } else if plugin("spring-boot-maven-plugin") || uses("org.springframework.boot") {
        Framework::SpringBoot
    } else if uses("io.micronaut") {
        Framework::Micronaut
    } else if uses("io.ktor") {
        Framework::Ktor
    } else if uses("io.dropwizard") {
        Framework::Dropwizard
    } else {
        Framework::Plain
    }
}

fn language(facts: &Facts, pom: &Pom) -> Language {
    let folder = join(&pom.folder, "src/main");
    let java = facts.below(&folder, &[".java"]).next().is_some();
    let has = |ending| facts.below(&folder, ending).next().is_some();
    if !java && has(&[".kt"]) {
        Language::Kotlin
    } else if !java && has(&[".scala"]) {
        Language::Scala
    } else {
        Language::Java
    }
}

fn java(pom: &Pom) -> Option<(String, String)> {
    let names = [
        "maven.compiler.release",
        "java.version",
        "maven.compiler.target",
        "maven.compiler.source",
        "jdk.version",
    ];
    names.iter().find_map(|name| Some(((*name).to_owned(), pom.property(name)?)))
}
