//! The SDK for Python.

use crate::bench::{Bench, book, probed};
use crate::workshop::{FIXTURES, Workshop};

const SDK: &str = "sdk/python";
const TEMPLATE: &str = "sdk/python/template/detector";
const PROBE: &str = "tests/sdk/plugins/python";

#[test]
fn the_tests_of_the_python_sdk_pass() {
    let workshop = Workshop::with(&[SDK]);
    let unittest = ["-m", "unittest", "discover", "-s", "tests", "-t", "tests"];
    workshop.run(SDK, "python3", &unittest);
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_in_python_are_built_as_the_template_says_and_answer_like_others() {
    let workshop = Workshop::with(&[SDK, PROBE, FIXTURES]);
    workshop.run(TEMPLATE, "python3", &["-m", "venv", ".venv"]);
    let python = workshop.path(TEMPLATE).join(".venv/bin/python");
    let install = ["-m", "pip", "install", "--quiet", "--requirement", "requirements.txt"];
    workshop.run(TEMPLATE, &python, &install);
    workshop.run(TEMPLATE, &python, &["-m", "unittest", "discover", "tests"]);
    workshop.run(TEMPLATE, &python, &["-m", "windlass_plugin", "build"]);
    let template = Bench::new(&workshop, &format!("{TEMPLATE}/dist/my-plugin.wasm")).await;
    let info = "my-plugin 0.1.0 (Apache-2.0): Serves books made by mdBook: detector, builder";
    assert_eq!(template.info(), info);
    template.assert_detects_and_plans("mdbook", &book()).await;

    workshop.run(PROBE, &python, &["-m", "windlass_plugin", "build"]);
    let probe = Bench::new(&workshop, &format!("{PROBE}/dist/probe.wasm")).await;
    probe.assert_detects_and_plans("probe", &probed()).await;
    probe.assert_migrates_and_judges(&probed()).await;
    let trap = "ArithmeticError: trapped as asked";
    let shape = "detector.detect.detections[0].confidence: expected a whole number";
    probe.assert_fails_as_asked(&probed(), trap, shape).await;
    workshop.assert_fixtures(PROBE);
}
