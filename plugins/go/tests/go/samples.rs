//! The sample applications of this plugin, as far as their plans.

use windlass_plugin_common::samples;
use windlass_plugin_go::Go;

#[test]
fn each_sample_is_what_it_says_and_has_a_plan() {
    samples::check::<Go>(&["go", "go-cmd", "go-workspace"]);
}
