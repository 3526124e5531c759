//! The sample applications of this repository, for the tests of the plugins that build them.

use windlass_sdk::plan::ProcessKind;
use windlass_sdk::testing::Harness;
use windlass_sdk::{Builder, Detector};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/samples");

/// Each of these samples is what its `sample.json` says, and has a plan whose first process reads its port.
///
/// # Panics
/// When one is not.
#[track_caller]
pub fn check<P: Detector + Builder>(names: &[&str]) {
    for name in names {
        let harness = Harness::new(format!("{FOLDER}/{name}"));
        let planned = harness.detect_and_plan::<P>();
        let (found, plan) = planned.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let sample = std::fs::read_to_string(format!("{FOLDER}/{name}/sample.json"));
        let sample = sample.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(sample.contains(&format!("\"id\": \"{}\"", found.id)), "{name}: {}", found.id);
        let worker = sample.contains("\"worker\": true");
        assert_eq!(plan.processes[0].kind == ProcessKind::Worker, worker, "{name}");
        assert!(plan.processes[0].ports.is_empty(), "{name} reads its port");
    }
}
