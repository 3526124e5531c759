//! Gradle: which project runs, and with which task it is packaged. The build is a program, which is not
//! run here: what is known is what its text names.

use windlass_plugin_common::pins;
use windlass_sdk::NearMiss;

use crate::app::{App, Framework, Language, Package, Tool, join};
use crate::entry;
use crate::facts::{Facts, miss};

/// One project of the build.
#[derive(Debug, Clone, Default)]
struct Script {
    path: String,
    folder: String,
    /// Without comments.
    text: String,
    plugins: Vec<String>,
}

impl Script {
    fn has(&self, ids: &[&str]) -> Option<&str> {
        self.plugins.iter().map(String::as_str).find(|id| ids.contains(id))
    }

    fn is_unknown(&self) -> bool {
        self.text.trim().is_empty()
    }
}

const SHADOW: [&str; 3] =
    ["com.gradleup.shadow", "com.github.johnrengelman.shadow", "io.github.goooler.shadow"];
const MICRONAUT: [&str; 2] = ["io.micronaut.application", "io.micronaut.minimal.application"];
const KOTLIN: [&str; 3] = ["org.jetbrains.kotlin.jvm", "kotlin", "kotlin-jvm"];

/// Whether Gradle builds what is here.
pub(crate) fn manifest(facts: &Facts) -> Option<&'static str> {
    let names = ["build.gradle.kts", "build.gradle", "settings.gradle.kts", "settings.gradle"];
    names.into_iter().find(|name| facts.root.contains(*name))
}

/// Whether the wrapper is complete.
pub(crate) fn has_wrapper(facts: &Facts) -> bool {
    facts.has("gradlew") && facts.has("gradle/wrapper/gradle-wrapper.jar")
}

/// What Gradle builds here, or what nearly is an application.
pub(crate) fn decide(facts: &Facts) -> Result<App, Vec<NearMiss>> {
    let scripts = scripts(facts);
    let android = |script: &&Script| script.plugins.iter().any(|id| id.starts_with("com.android."));
    let is_android = scripts.iter().any(|script| android(&script));
    let mut found: Vec<App> = scripts
        .iter()
        .filter(|script| !android(script))
        .filter_map(|script| runnable(facts, script))
        .collect();
    let jdk_max = wrapper_version(facts).map(jdk_max);
    for app in &mut found {
        app.jdk_max = jdk_max;
    }
    if let Some(target) = facts.target() {
        let folder = target.replace(':', "/");
        let named = |app: &App| app.module == folder || app.module.ends_with(&format!("/{folder}"));
        let unknown = format!(
            "build.target in windlass.toml names {target:?}, which is no project that runs"
        );
        return found.into_iter().find(named).ok_or_else(|| vec![miss("java", unknown)]);
    }
    let best = found.iter().map(|app| app.confidence).max().unwrap_or_default();
    found.retain(|app| app.confidence + 10 >= best);
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] if is_android => {
            Err(vec![miss("java", "the Gradle build makes an Android application")])
        }
        [] => Err(vec![miss(
            "java",
            "the Gradle build has no plugin that makes a program (application, org.springframework.boot, \
             io.quarkus, a shadow plugin) and no Main-Class: it is taken for a library; add the \
             application plugin, or set run.command in windlass.toml",
        )]),
        several => App::first_of(several).ok_or_else(Vec::new),
    }
}

/// The root's script and those of the projects.
fn scripts(facts: &Facts) -> Vec<Script> {
    let catalog = facts.text("gradle/libs.versions.toml");
    let catalog: toml_like::Aliases = toml_like::aliases(&catalog);
    let found = facts.files.iter().filter(|path| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let generated =
            path.split('/').any(|part| matches!(part, "buildSrc" | "build" | "build-logic"));
        matches!(name, "build.gradle" | "build.gradle.kts") && !generated
    });
    let paths: Vec<&str> = found.map(String::as_str).take(200).collect();
    facts.source.prefetch(&paths);
    let mut inherited = Vec::new();
    let mut scripts: Vec<Script> = Vec::new();
    for path in paths {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let text = without_comments(&facts.text(path));
        if folder.is_empty() {
            inherited = shared(&text);
        }
        let plugins = plugins(&text, &catalog);
        scripts.push(Script { path: path.to_owned(), folder, text, plugins });
    }
    if scripts.is_empty() {
        let path = manifest(facts).unwrap_or_default().to_owned();
        scripts.push(Script { path, ..Script::default() });
    }
    let several = scripts.len() > 1;
    for script in scripts.iter_mut().filter(|script| !script.folder.is_empty() || !several) {
        let main = entry::find(facts, &script.folder).is_some();
        if main {
            script.plugins.extend(inherited.iter().cloned());
        }
    }
    // The root of several projects often only lends its name to them.
    if several {
        let idle = |script: &Script| script.folder.is_empty() && !facts.has("src");
        scripts.retain(|script| !idle(script));
    }
    scripts
}

/// Ids that `subprojects` and `allprojects` apply.
fn shared(text: &str) -> Vec<String> {
    let starts = ["subprojects", "allprojects"].iter().filter_map(|word| text.find(word));
    let Some(start) = starts.min() else {
        return Vec::new();
    };
    let lines = text[start..].lines().filter(|line| line.contains("apply"));
    lines.filter_map(quoted).map(str::to_owned).collect()
}

fn plugins(text: &str, catalog: &toml_like::Aliases) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.contains("apply false")) {
        for statement in line.split(['{', ';', '}']).map(str::trim) {
            let word = statement.trim_matches('`');
            if matches!(word, "application" | "war") {
                found.push(word.to_owned());
            } else if statement.starts_with("id")
                || statement.contains("apply plugin")
                || statement.starts_with("apply(")
            {
                found.extend(quoted(statement).map(str::to_owned));
            } else if let Some(name) = statement.strip_prefix("kotlin(") {
                let name = name.trim_matches(['"', '\'', ')', ' ']);
                let name = name.split(['"', '\'']).next().unwrap_or(name);
                found.push(format!("org.jetbrains.kotlin.{name}"));
            } else if let Some(alias) = statement.strip_prefix("alias(libs.plugins.") {
                let alias = alias.split(')').next().unwrap_or(alias);
                found.extend(catalog.get(&toml_like::normal(alias)).cloned());
            }
        }
    }
    found
}

/// The first quoted word.
fn quoted(text: &str) -> Option<&str> {
    let start = text.find(['"', '\''])?;
    let quote = text[start..].chars().next()?;
    text[start + 1..].split(quote).next().filter(|word| !word.is_empty())
}

fn runnable(facts: &Facts, script: &Script) -> Option<App> {
    let language = language(facts, script);
    let entry = entry::find(facts, &script.folder);
    let mut app = App::new(Tool::Gradle, language, Package::Jar, &script.path);
    app.module.clone_from(&script.folder);
    app.framework = framework(facts, script);
    app.java = java(&script.text).or_else(|| {
        java(&without_comments(&facts.text(facts.first(&["build.gradle.kts", "build.gradle"])?)))
    });
    app.entry = entry.as_ref().map(|entry| entry.path.clone());
    let task = |name: &str| {
        let project = script.folder.replace('/', ":");
        vec![if project.is_empty() { name.to_owned() } else { format!(":{project}:{name}") }]
    };
    let war = script.has(&["war"]).is_some();
    let (package, name, sign) = if script.has(&["io.quarkus"]).is_some() {
        (Package::Quarkus, "quarkusBuild", "io.quarkus".to_owned())
    } else if script.has(&["org.springframework.boot"]).is_some() {
        let name = if war { "bootWar" } else { "bootJar" };
        (Package::Jar, name, "org.springframework.boot".to_owned())
    } else if let Some(id) = script.has(&SHADOW) {
        (Package::Jar, "shadowJar", id.to_owned())
    } else if script.has(&["io.ktor.plugin"]).is_some() {
        (Package::Jar, "buildFatJar", "io.ktor.plugin".to_owned())
    } else if let Some(id) = script.has(&MICRONAUT).or(script.has(&["application"])) {
        (Package::Distribution, "installDist", id.to_owned())
    } else if war {
        (Package::War, "war", "war".to_owned())
    } else if script.text.contains("Main-Class") {
        (Package::Jar, "jar", "a manifest with Main-Class".to_owned())
    } else if script.is_unknown() && (entry.is_some() || script.folder.is_empty()) {
        app.confidence = 60;
        (Package::Jar, "assemble", "nothing in it could be read".to_owned())
    } else {
        return None;
    };
    if !script.is_unknown() {
        app.confidence = if app.framework == Framework::Plain { 82 } else { 95 };
        app.sign = format!("plugin {sign}");
    } else {
        app.sign = sign;
    }
    app.package = package;
    app.tasks = task(name);
    Some(app)
}

fn framework(facts: &Facts, script: &Script) -> Framework {
    let uses = |group: &str| script.text.contains(group);
    if script.has(&["io.quarkus"]).is_some() {
        Framework::Quarkus
    } else if script.has(&["org.springframework.boot"]).is_some() {
        Framework::SpringBoot
    } else if script.has(&MICRONAUT).is_some()
        || uses("io.micronaut")
        || (script.is_unknown() && facts.has("micronaut-cli.yml"))
    {
        Framework::Micronaut
    } else if uses("io.ktor") || uses("libs.ktor") {
        Framework::Ktor
    } else if uses("io.dropwizard") {
        Framework::Dropwizard
    } else {
        Framework::Plain
    }
}

fn language(facts: &Facts, script: &Script) -> Language {
    let folder = join(&script.folder, "src/main");
    let has = |ending| facts.below(&folder, ending).next().is_some();
    let java = has(&[".java"]);
    let kotlin = script.has(&KOTLIN).is_some();
    if !java && (has(&[".kt"]) || kotlin) {
        Language::Kotlin
    } else if !java && has(&[".scala"]) {
        Language::Scala
    } else {
        Language::Java
    }
}

/// `languageVersion = JavaLanguageVersion.of(21)`, `jvmToolchain(21)`, `sourceCompatibility = '17'`.
fn java(text: &str) -> Option<(String, String)> {
    let keys = [
        "JavaLanguageVersion.of",
        "jvmToolchain",
        "options.release",
        "sourceCompatibility",
        "targetCompatibility",
    ];
    keys.iter().find_map(|key| {
        let rest = text.split(key).nth(1)?.lines().next()?;
        let rest = rest.replace("JavaVersion.VERSION_", "").replace('_', ".");
        let value: String = rest
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect();
        (!value.is_empty()).then(|| ((*key).to_owned(), value))
    })
}

/// Major and minor of the wrapper's Gradle.
fn wrapper_version(facts: &Facts) -> Option<(u32, u32)> {
    let text = facts.text("gradle/wrapper/gradle-wrapper.properties");
    let url = pins::property(&text, "distributionUrl")?;
    let version = url.rsplit("gradle-").next()?;
    let mut numbers = version.split(['.', '-']).map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next().and_then(Result::ok).unwrap_or_default()))
}

/// The highest line of the JDK on which a Gradle runs.
fn jdk_max(version: (u32, u32)) -> u32 {
    match version {
        (..=4, _) => 8,
        (5 | 6, _) | (7, ..=2) => 11,
        (7, _) | (8, ..=4) => 17,
        (8, _) | (9, 0) => 21,
        _ => 25,
    }
}

/// Without `// …` and `/* … */`; what looks like one behind a colon is an address.
fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("/*") {
        kept.push_str(&rest[..at]);
        rest = rest[at..].split_once("*/").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    let line = |line: &str| {
        let mut comment = line.match_indices("//").map(|(at, _)| at);
        let end = comment.find(|at| !line[..*at].ends_with(':')).unwrap_or(line.len());
        line[..end].to_owned()
    };
    kept.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The `[plugins]` table of a version catalog.
mod toml_like {
    use std::collections::BTreeMap;

    pub(super) type Aliases = BTreeMap<String, String>;

    /// An alias as scripts write it: with dots.
    pub(super) fn normal(alias: &str) -> String {
        alias.trim().replace(['-', '_'], ".").to_ascii_lowercase()
    }

    /// Aliases and ids.
    pub(super) fn aliases(text: &str) -> Aliases {
        let table = text.lines().map(str::trim).skip_while(|line| *line != "[plugins]").skip(1);
        table
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| {
                let (alias, value) = line.split_once('=')?;
                let id = value.split_once("id").map_or(value, |(_, after)| after);
                let id = super::quoted(id)?.split(':').next()?;
                Some((normal(alias), id.to_owned()))
            })
            .collect()
    }
}
