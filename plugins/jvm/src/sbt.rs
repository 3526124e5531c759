//! sbt: what its plugins package.

use windlass_sdk::NearMiss;

use crate::app::{App, Framework, Language, Package, Tool};
use crate::facts::{Facts, miss};

pub(crate) const FILE: &str = "build.sbt";

/// What sbt builds here, or what nearly is an application.
pub(crate) fn decide(facts: &Facts) -> Result<App, Vec<NearMiss>> {
    let project = facts.below("project", &[".sbt", ".scala"]);
    let plugins: String = project.map(|path| facts.text(path)).collect();
    let build = facts.text(FILE);
    let has = |word: &str| plugins.contains(word) || build.contains(word);
    let play = facts.has("conf/routes")
        || has("org.playframework") && has("sbt-plugin")
        || has("com.typesafe.play") && has("sbt-plugin");
    let stages = play
        || has("sbt-native-packager")
        || has("JavaAppPackaging")
        || has("JavaServerAppPackaging");
    let unknown = plugins.trim().is_empty() && build.trim().is_empty();
    let mut app = App::new(Tool::Sbt, Language::Scala, Package::Distribution, FILE);
    let target = facts.target().map(|target| format!("{target}/")).unwrap_or_default();
    if play {
        app.framework = Framework::Play;
    }
    if stages || unknown {
        app.sign =
            if unknown { "nothing in it could be read" } else { "sbt-native-packager" }.to_owned();
        if play {
            "the sbt plugin of Play".clone_into(&mut app.sign);
        }
        app.confidence = match (play, unknown) {
            (true, _) => 95,
            (_, true) => 60,
            _ => 82,
        };
        app.tasks = vec![format!("{target}stage")];
        return Ok(app);
    }
    if has("sbt-assembly") {
        app.package = Package::Jar;
        app.tasks = vec![format!("{target}assembly")];
        "sbt-assembly".clone_into(&mut app.sign);
        app.confidence = 82;
        return Ok(app);
    }
    Err(vec![miss(
        "scala",
        "build.sbt has no plugin that makes a program: add sbt-native-packager to project/plugins.sbt, and \
         enablePlugins(JavaAppPackaging) to build.sbt; or sbt-assembly",
    )])
}
