//! What the plugin plans.

use crate::support::app;
use windlass_plugin_common::outline::outline;

#[test]
fn a_script_with_tools() {
    let text = "#!/bin/zsh\ntrap 'exit 0' TERM\ncurl -s example.org | jq .\n";
    insta::assert_snapshot!(outline(&app(&[("start.sh", text)]).plan()));
}

#[test]
fn a_site_of_haunt() {
    let site = app(&[("haunt.scm", "")]).settings(r#"{"build":{"install":"./haunt.sh"}}"#);
    insta::assert_snapshot!(outline(&site.plan()));
}
