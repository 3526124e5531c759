//! Builds applications in C, C++, Zig, Crystal, Haskell, Swift, Dart and COBOL.
//!
//! Each language is a module with one function, which says what it found together with how that is built
//! (`found`). `facts` is what they look at.

mod c;
mod cmake;
mod cobol;
mod crystal;
mod dart;
mod facts;
mod found;
mod haskell;
mod libraries;
mod swift;
mod zig;

use windlass_plugin_common::{forced, settings, spelling};
use windlass_sdk::plan::BuildPlan;
use windlass_sdk::{
    Builder, Context, DetectReport, Detection, Detector, NearMiss, PluginError, Source,
};

use facts::Facts;
use found::{Finding, Found};

const LANGUAGES: [fn(&Facts) -> Finding; 9] = [
    cmake::cmake,
    cmake::meson,
    c::find,
    zig::find,
    crystal::find,
    haskell::find,
    swift::find,
    dart::find,
    cobol::find,
];
/// Names of manifests that are often misspelled, with the ids.
const FILES: [(&str, &[&str]); 5] = [
    ("cpp", &["CMakeLists.txt", "meson.build"]),
    ("swift", &["Package.swift"]),
    ("dart", &["pubspec.yaml"]),
    ("crystal", &["shard.yml"]),
    ("zig", &["build.zig"]),
];

/// The plugin.
#[derive(Debug)]
pub struct Native;

impl Detector for Native {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        let (found, mut near_misses) = findings(&facts);
        let detections: Vec<Detection> = found.into_iter().map(|found| found.detection).collect();
        if detections.is_empty() && near_misses.is_empty() {
            for (id, names) in FILES {
                near_misses.extend(spelling::near_misses(source, id, names));
            }
        }
        let report = DetectReport { detections, near_misses };
        Ok(forced::apply(report, facts.asked.as_deref()))
    }
}

impl Builder for Native {
    fn plan(ctx: &Context, source: &Source, chosen: &Detection) -> Result<BuildPlan, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        settings::say_for_server(ctx, source);
        let (found, near_misses) = findings(&facts);
        let Some(found) = found.into_iter().find(|found| found.detection.id == chosen.id) else {
            let reasons: Vec<String> = near_misses.into_iter().map(|miss| miss.reason).collect();
            let reason = format!("there is no program to build: {}", reasons.join("; "));
            return Err(PluginError::new("native.no-program", reason).hint("deploy another folder"));
        };
        if let Some(refusal) = found.detection.refusal {
            return Err(refusal);
        }
        Ok(found.compiled.plan(&facts.settings, &facts.declared, &found.start))
    }
}

/// What the languages answer. Of several with the same id the first counts: CMake before Make.
fn findings(facts: &Facts) -> (Vec<Found>, Vec<NearMiss>) {
    let (mut all, mut near_misses): (Vec<Found>, Vec<NearMiss>) = (Vec::new(), Vec::new());
    for language in LANGUAGES {
        match language(facts) {
            Finding::Nothing => {}
            Finding::Near(id, reason) => near_misses.push(NearMiss { id: id.to_owned(), reason }),
            Finding::Found(found) => {
                if !all.iter().any(|other| other.detection.id == found.detection.id) {
                    all.push(*found);
                }
            }
        }
    }
    (all, near_misses)
}

windlass_sdk::export! {
    Native: [detector, builder],
    name: "native",
    failures: "failures.toml",
}
