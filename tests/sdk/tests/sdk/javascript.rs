//! The SDK for JavaScript and TypeScript.

use crate::bench::{Bench, book, probed};
use crate::workshop::{FIXTURES, Workshop};

const SDK: &str = "sdk/javascript";
const TEMPLATE: &str = "sdk/javascript/template/detector";
const PROBE: &str = "tests/sdk/plugins/javascript";

#[test]
fn what_both_sdks_know_of_the_contract_follows_its_files() {
    let workshop = Workshop::with(&["wit", SDK, "sdk/python"]);
    workshop.run(SDK, "node", &["scripts/contract.mjs", "--check"]);
}

#[test]
fn the_tests_of_the_javascript_sdk_pass_and_its_types_fit() {
    let workshop = Workshop::with(&[SDK]);
    install(&workshop, SDK);
    workshop.run(SDK, "npm", &["test"]);
    workshop.run(SDK, "npm", &["run", "types"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_in_javascript_are_built_as_the_template_says_and_answer_like_others() {
    let workshop = Workshop::with(&[SDK, PROBE, FIXTURES]);
    install(&workshop, TEMPLATE);
    workshop.run(TEMPLATE, "npm", &["test"]);
    workshop.run(TEMPLATE, "npm", &["run", "build"]);
    let template = Bench::new(&workshop, &format!("{TEMPLATE}/dist/my-plugin.wasm")).await;
    let info = "my-plugin 0.1.0 (Apache-2.0): Serves books made by mdBook: detector, builder";
    assert_eq!(template.info(), info);
    template.assert_detects_and_plans("mdbook", &book()).await;

    install(&workshop, PROBE);
    workshop.run(PROBE, "npm", &["run", "build"]);
    let probe = Bench::new(&workshop, &format!("{PROBE}/dist/probe.wasm")).await;
    probe.assert_detects_and_plans("probe", &probed()).await;
    probe.assert_migrates_and_judges(&probed()).await;
    let trap = "detector.detect threw RangeError: trapped as asked";
    let shape = "detector.detect.detections[0].confidence: expected a whole number from 0 to 255";
    probe.assert_fails_as_asked(&probed(), trap, shape).await;
    workshop.assert_fixtures(PROBE);
}

fn install(workshop: &Workshop, folder: &str) {
    workshop.run(folder, "npm", &["install", "--no-audit", "--no-fund"]);
}
