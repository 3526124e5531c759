//! The JVM plugin: applications in Java, Kotlin, Scala and Clojure.
//!
//! Reading order: `facts` (what is known), `app` (the words for what is found), the build tools (`pom`
//! and `maven`, `gradle`, `sbt`, `clojure`, `loose`), `entry` (main classes), `detect` (which of them it
//! is), `start`, `version`, `collect` and `plan`.

mod app;
mod clojure;
mod collect;
mod detect;
mod entry;
mod facts;
mod gradle;
mod loose;
mod maven;
mod plan;
mod pom;
mod sbt;
mod start;
mod version;

use windlass_plugin_common::{forced, settings, spelling};
use windlass_sdk::plan::BuildPlan;
use windlass_sdk::{
    Builder, Context, DetectReport, Detection, Detector, NearMiss, PluginError, Source,
};

use app::IDS;
use facts::Facts;

const FILES: [&str; 8] = [
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "settings.gradle",
    "build.sbt",
    "project.clj",
    "deps.edn",
    "system.properties",
];

/// The plugin.
#[derive(Debug)]
pub struct Jvm;

impl Detector for Jvm {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        let asked = facts.settings.build.framework.clone();
        let asked = asked.as_deref();
        let mine = asked.filter(|id| IDS.contains(id));
        let app = match detect::decide(&facts, mine) {
            Ok(app) => app,
            Err(mut misses) => {
                if let Some(id) = mine {
                    let found = Detection::new(id, "Java", "java").refuse(no_start(&misses));
                    return Ok(forced::certain(found, id).into());
                }
                let below = || spelling::below(source, "java", &FILES[..FILES.len() - 1]);
                let nested = misses.is_empty().then(below).flatten();
                misses.extend(spelling::near_misses(source, "java", &FILES));
                misses.extend(nested);
                return Ok(DetectReport { detections: Vec::new(), near_misses: misses });
            }
        };
        let mut found = detect::detection(&facts, &app);
        match version::choose(&facts, &app) {
            Ok(chosen) => {
                found.toolchains.push(chosen.runtime());
                found.evidence.extend(chosen.evidence);
            }
            Err(error) => found = found.refuse(error),
        }
        if let Some(error) = app.several().or_else(|| plan::unsupported(&facts, &app)) {
            found = found.refuse(error);
        }
        let report = forced::apply(found.into(), asked);
        Ok(spelling::beside(report, source, "java", &["system.properties", "Procfile"]))
    }
}

impl Builder for Jvm {
    fn plan(ctx: &Context, source: &Source, chosen: &Detection) -> Result<BuildPlan, PluginError> {
        settings::say_with_target(ctx, source);
        let facts = Facts::gather(ctx, source)?;
        let app =
            detect::decide(&facts, Some(chosen.id.as_str())).map_err(|misses| no_start(&misses))?;
        if let Some(error) = app.several() {
            return Err(error);
        }
        let version = version::choose(&facts, &app)?;
        plan::plan(&facts, &app, &version)
    }
}

fn no_start(misses: &[NearMiss]) -> PluginError {
    let otherwise = "there is no build file of Maven, Gradle, sbt, Leiningen or tools.build";
    forced::no_start("jvm.no-start", misses, otherwise)
        .hint("set run.command in windlass.toml, or build.target to the module that is to run")
}

windlass_sdk::export! {
    Jvm: [detector, builder],
    name: "jvm",
    failures: "failures.toml",
}
