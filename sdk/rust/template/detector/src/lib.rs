//! Serves books made by mdBook that were committed with their pages.

use windlass_sdk::plan::{Artifact, Base, BuildPlan, Copy, Output, StaticOutput, Step};
use windlass_sdk::{Builder, Context, DetectReport, Detection, Detector, PluginError, Source, log};

/// The plugin: a type, with a trait for each stage that it fills.
pub struct Plugin;

impl Detector for Plugin {
    fn detect(_: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        if !source.is_file("book.toml") {
            return Ok(DetectReport::nothing());
        }
        if !source.is_file("book/index.html") {
            let reason = "there is a book.toml, but no book/index.html: run `mdbook build`";
            return Ok(DetectReport::near_miss("mdbook", reason));
        }
        let found = Detection::new("mdbook", "mdBook", "static")
            .confidence(90)
            .evidence("book.toml", "")
            .supersedes("static");
        Ok(found.into())
    }
}

/// What a plugin detects, the same plugin builds.
impl Builder for Plugin {
    fn plan(_: &Context, _: &Source, _: &Detection) -> Result<BuildPlan, PluginError> {
        log::info("the book is served as it was committed");
        let copy = Copy::source(["book/**"], "/site/").parents();
        let step = Step::new("site", "collect the book", Base::Scratch).op(copy);
        let tree = StaticOutput {
            step: step.id.clone(),
            root: "/site/book".to_owned(),
            spa_fallback: None,
            not_found: Some("404.html".to_owned()),
        };
        let mut plan = BuildPlan::new();
        plan.steps.push(step);
        plan.outputs.push(Output { name: "site".to_owned(), artifact: Artifact::StaticTree(tree) });
        Ok(plan)
    }
}

windlass_sdk::export! {
    Plugin: [detector, builder],
}

#[cfg(test)]
mod tests {
    use windlass_sdk::testing::Harness;

    use super::Plugin;

    #[test]
    fn a_built_book_is_served() {
        let harness = Harness::new("fixtures/book/source");
        let (chosen, plan) = harness.detect_and_plan::<Plugin>().unwrap();
        assert_eq!(chosen.id, "mdbook");
        assert_eq!(plan.outputs[0].name, "site");
        assert!(plan.processes.is_empty());
    }

    #[test]
    fn a_book_without_its_pages_is_a_near_miss() {
        let report = Harness::new("fixtures/not-built/source").detect::<Plugin>().unwrap();
        assert!(report.detections.is_empty());
        assert!(report.near_misses[0].reason.contains("mdbook build"));
    }
}
