//! Applications without a build file: source for the compiler alone, and a committed jar.

use windlass_sdk::NearMiss;

use crate::app::{App, Language, Package, Tool};
use crate::entry;
use crate::facts::{Facts, miss};

/// Files that say that loose Java or a jar is not what the repository is about.
const OTHERS: [&str; 10] = [
    "package.json",
    "requirements.txt",
    "pyproject.toml",
    "go.mod",
    "Cargo.toml",
    "Gemfile",
    "composer.json",
    "mix.exs",
    "CMakeLists.txt",
    "Makefile",
];

/// What is here without a build file.
pub(crate) fn decide(facts: &Facts) -> Result<App, Vec<NearMiss>> {
    let java: Vec<&str> = facts.below("", &[".java"]).filter(|path| is_source(path)).collect();
    if let Some(entry) = java.first().and_then(|_| main(facts, &java)) {
        let mut app = App::new(
            Tool::Javac,
            Language::Java,
            Package::Classes(entry.class.clone()),
            &entry.path,
        );
        app.sign = if entry.text.trim().is_empty() {
            "its name; nothing in it could be read".to_owned()
        } else {
            "a main method".to_owned()
        };
        app.confidence = if other(facts).is_some() { 12 } else { 39 };
        return Ok(app);
    }
    if !java.is_empty() {
        return Err(vec![miss(
            "java",
            "there are Java files, but no build file, and none has a main method",
        )]);
    }
    if let Some(file) = facts.root.iter().find(|name| name.ends_with(".kt")) {
        let reason = format!("there is a {file}, but no Gradle or Maven build that compiles it");
        return Err(vec![miss("kotlin", reason)]);
    }
    jar(facts)
}

fn other(facts: &Facts) -> Option<&'static str> {
    OTHERS.into_iter().find(|name| facts.root.contains(*name))
}

/// Only files of the folder itself and of `src`, without tests.
fn is_source(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    !lower.split('/').any(|part| matches!(part, "test" | "tests" | "examples"))
        && !lower.ends_with("test.java")
}

/// The one file with a main method.
fn main(facts: &Facts, java: &[&str]) -> Option<entry::Entry> {
    let mut found = entry::in_folder(facts, "")?;
    if !java.contains(&found.path.as_str()) {
        return None;
    }
    if found.text.trim().is_empty() {
        let folder = found.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let below = folder.strip_prefix("src/").unwrap_or_default().replace('/', ".");
        if !below.is_empty() && !found.class.contains('.') {
            found.class = format!("{below}.{}", found.class);
        }
    }
    Some(found)
}

fn jar(facts: &Facts) -> Result<App, Vec<NearMiss>> {
    let is_program = |path: &&str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let beside = ["-sources.jar", "-javadoc.jar", "-tests.jar", "-plain.jar"];
        !beside.iter().any(|ending| name.ends_with(ending))
            && !name.starts_with("original-")
            && !name.starts_with("gradle-wrapper")
    };
    for folder in ["", "target", "build/libs"] {
        let lies = |path: &&str| path.rsplit_once('/').map_or("", |(folder, _)| folder) == folder;
        let jars: Vec<&str> = facts.below("", &[".jar"]).filter(lies).filter(is_program).collect();
        match jars.as_slice() {
            [] => {}
            [one] => {
                let mut app = App::new(Tool::Nothing, Language::Java, Package::Jar, one);
                "the only jar, and no build file; whether it has a Main-Class cannot be read"
                    .clone_into(&mut app.sign);
                app.confidence = if other(facts).is_some() { 10 } else { 38 };
                return Ok(app);
            }
            several => {
                let reason = format!(
                    "several jars lie here ({}): set run.command in windlass.toml",
                    several.join(", ")
                );
                return Err(vec![miss("java", reason)]);
            }
        }
    }
    Err(Vec::new())
}
