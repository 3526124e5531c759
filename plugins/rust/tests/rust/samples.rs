//! The sample applications of this plugin, as far as their plans.

use windlass_plugin_rust::Rust;
use windlass_sdk::testing::Harness;

#[test]
fn each_sample_is_what_it_says_and_has_a_plan() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/samples");
    for name in ["rust", "rust-workspace"] {
        let (found, plan) =
            Harness::new(format!("{folder}/{name}")).detect_and_plan::<Rust>().unwrap();
        let sample = std::fs::read_to_string(format!("{folder}/{name}/sample.json")).unwrap();
        assert!(sample.contains(&format!("\"id\": \"{}\"", found.id)), "{name}: {}", found.id);
        let kind = plan.processes[0].kind;
        let worker = sample.contains("\"worker\": true");
        assert_eq!(kind == windlass_sdk::plan::ProcessKind::Worker, worker, "{name}");
        assert!(plan.processes[0].ports.is_empty(), "{name} reads its port");
    }
}
