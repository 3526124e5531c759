//! Which application of the JVM it is, over all build tools.

use windlass_sdk::{Detection, NearMiss};

use crate::app::{App, Framework};
use crate::facts::Facts;
use crate::{clojure, entry, gradle, loose, maven, sbt};

/// Decides; `asked` is an id of this plugin that must be found. The first build file in this order is
/// taken: Maven's, Gradle's, sbt's, Clojure's. A repository with two of them uses one to publish.
pub(crate) fn decide(facts: &Facts, asked: Option<&str>) -> Result<App, Vec<NearMiss>> {
    let language = asked.filter(|id| matches!(*id, "scala" | "play" | "clojure"));
    let mut misses = Vec::new();
    let mut take = |found: Result<App, Vec<NearMiss>>| match found {
        Ok(app) => Some(app),
        Err(more) => {
            misses.extend(more);
            None
        }
    };
    let mut app = None;
    if language.is_none()
        && let Some(file) = maven::manifest(facts)
    {
        app = take(maven::decide(facts, file));
    }
    if app.is_none() && language.is_none() && gradle::manifest(facts).is_some() {
        app = take(gradle::decide(facts));
    }
    if app.is_none() && asked != Some("clojure") && facts.root.contains(sbt::FILE) {
        app = take(sbt::decide(facts));
    }
    if app.is_none()
        && let Some(found) = clojure::decide(facts)
    {
        app = take(found);
    }
    let built = facts.root.iter().any(|name| maven::is_manifest(name))
        || gradle::manifest(facts).is_some()
        || facts.root.contains(sbt::FILE)
        || facts.root.contains("project.clj")
        || facts.root.contains("deps.edn");
    if app.is_none() && !built {
        app = take(loose::decide(facts));
    }
    let mut app = app.ok_or(misses)?;
    if let Some(framework) = asked.and_then(Framework::of) {
        app.framework = framework;
    }
    Ok(app)
}

/// The detection of what was decided.
pub(crate) fn detection(facts: &Facts, app: &App) -> Detection {
    let language = app.language;
    let plain = (language.id(), language.name());
    let asked = facts.settings.build.framework.as_deref();
    let named = asked.filter(|id| ["java", "kotlin", "scala", "clojure"].contains(id));
    let (id, name) = match (named, app.framework.id()) {
        (Some(id), _) => (id, language.name()),
        (None, Some(known)) => known,
        (None, None) => plain,
    };
    let shown = match app.framework {
        Framework::Dropwizard => "Dropwizard".to_owned(),
        Framework::Plain => format!("{name} ({})", app.tool.name()),
        _ => name.to_owned(),
    };
    let mut confidence = app.confidence;
    let mut found = Detection::new(id, shown, language.id())
        .evidence(&app.file, &app.sign)
        .supersedes("static");
    if app.framework.id().is_some() {
        found = found.supersedes(language.id());
    }
    if let Some(path) = &app.entry {
        let entry = entry::read(path, &facts.text(path));
        let signs = app.framework.signs();
        found = if !signs.is_empty() && signs.iter().all(|word| entry.lacks(word)) {
            let name = app.framework.id().map_or("Dropwizard", |(_, name)| name);
            confidence = confidence.min(75);
            found.evidence(path, format!("{name} is a dependency, but not used here"))
        } else {
            found.evidence(path, "the main class")
        };
    }
    if let Some((_, file, sign)) = &facts.declared.web {
        confidence = confidence.max(78);
        found = found.evidence(*file, sign.clone());
    }
    found.confidence(confidence)
}
