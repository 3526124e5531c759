//! What has a package.json and is no application for a server.

use windlass_plugin_common::spelling;
use windlass_sdk::{NearMiss, PluginError};

use crate::facts::Facts;
use crate::start;

/// Files that say that package.json only serves the assets of an application in another language.
const OTHERS: [(&str, &str); 22] = [
    ("composer.json", "PHP"),
    ("artisan", "PHP"),
    ("Gemfile", "Ruby"),
    ("go.mod", "Go"),
    ("Cargo.toml", "Rust"),
    ("mix.exs", "Elixir"),
    ("gleam.toml", "Gleam"),
    ("pom.xml", "Java"),
    ("build.gradle", "Java"),
    ("build.gradle.kts", "Kotlin"),
    ("build.sbt", "Scala"),
    ("project.clj", "Clojure"),
    ("deps.edn", "Clojure"),
    ("manage.py", "Python"),
    ("requirements.txt", "Python"),
    ("pyproject.toml", "Python"),
    ("Pipfile", "Python"),
    ("pubspec.yaml", "Dart"),
    ("Package.swift", "Swift"),
    ("shard.yml", "Crystal"),
    ("stack.yaml", "Haskell"),
    ("build.zig", "Zig"),
];
const PROJECTS: [&str; 4] = [".csproj", ".fsproj", ".vbproj", ".sln"];

/// The file that says that the application is written in another language.
pub(crate) fn others(facts: &Facts) -> Option<(String, &'static str)> {
    let known = OTHERS.iter().find(|(file, _)| facts.has(file));
    let known = known.map(|(file, language)| ((*file).to_owned(), *language));
    known.or_else(|| {
        let project = |file: &&str| PROJECTS.iter().any(|ending| file.ends_with(ending));
        facts.top().find(project).map(|file| (file.to_owned(), ".NET"))
    })
}

/// Whether it may be an application for a server at all.
///
/// # Errors
/// A near miss that says what it is instead.
pub(crate) fn application(facts: &Facts) -> Result<(), NearMiss> {
    let Some(package) = &facts.package else {
        return Ok(());
    };
    let script = package.script("start");
    let starts = |program: &str| script.is_none_or(|line| line.contains(program));
    let what = if package.engine("vscode").is_some() {
        Some("an extension of Visual Studio Code (engines.vscode)")
    } else if (facts.has("action.yml") || facts.has("action.yaml")) && script.is_none() {
        Some("a GitHub action (action.yml)")
    } else if facts.uses("electron") && (starts("electron") || develops(script)) {
        Some("a desktop application (electron)")
    } else if is_native(facts) && (starts("react-native") || starts("expo")) {
        Some("an application for telephones (react-native, without react-native-web)")
    } else if package.has_bin() && script.is_none() && !runs(facts) {
        Some("a command line tool (bin)")
    } else {
        None
    };
    match what {
        None => Ok(()),
        Some(what) => Err(NearMiss {
            id: "node".to_owned(),
            reason: format!(
                "package.json is that of {what}: there is nothing to serve; if there is, set \
                 run.command in windlass.toml"
            ),
        }),
    }
}

fn develops(script: Option<&str>) -> bool {
    script.is_some_and(start::is_for_development)
}

fn is_native(facts: &Facts) -> bool {
    facts.uses("react-native") && !facts.uses("react-native-web") && !facts.uses("react-dom")
}

/// Whether anything else of it can be run or built: a tool may come with a site.
fn runs(facts: &Facts) -> bool {
    let usual = start::find(facts).is_some_and(|start| start.confidence >= 70);
    usual
        || facts.script("build").is_some()
            && facts.package.as_ref().is_some_and(|p| !p.is_library())
}

/// A file needs a package, and there is no package.json to install it by.
pub(crate) fn unlisted(facts: &Facts, file: &str, package: &str) -> PluginError {
    let message =
        format!("{file} needs {package}, and no package.json says what is to be installed");
    let misspelled = spelling::near_misses(&facts.source, "node", &["package.json"]);
    let hint = match misspelled.first() {
        Some(miss) => format!("rename it: {}", miss.reason),
        None => format!(
            "commit a package.json beside it (`npm init -y && npm install {package}` writes one), or set build.install \
             in windlass.toml"
        ),
    };
    PluginError::new("node.no-manifest", message).hint(hint)
}

/// What is said besides where nothing here can be started: it may lie in a folder. Begins with a semicolon.
pub(crate) fn elsewhere(facts: &Facts) -> String {
    match facts.nested("package.json").as_slice() {
        [] => String::new(),
        folders => format!(
            "; if the application is in one of the folders with a package.json of their own ({}), set \
             build.app_dir in windlass.toml to it",
            folders.join(", ")
        ),
    }
}

/// What is said where there is no package.json: one may lie in a folder.
pub(crate) fn no_package(facts: &Facts) -> String {
    let nested = facts.nested("package.json");
    match nested.as_slice() {
        [] => "there is no package.json".to_owned(),
        folders => format!(
            "there is no package.json here, but in {}: set build.app_dir in windlass.toml",
            folders.join(", ")
        ),
    }
}
