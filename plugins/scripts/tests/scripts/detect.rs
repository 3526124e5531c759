//! What the plugin takes an application for.

use crate::support::app;
use windlass_sdk::plan::ProcessKind;

#[track_caller]
fn check(files: &[(&str, &str)], id: &str, confidence: u8, line: &str) {
    let app = app(files);
    let found = app.found();
    assert_eq!((found.id.as_str(), found.confidence), (id, confidence), "{files:?}");
    assert_eq!(found.refusal, None);
    assert_eq!(app.line(), line, "{files:?}");
}

#[test]
fn a_script_is_run_by_its_shell() {
    check(&[("start.sh", "")], "shell", 30, "sh start.sh");
    check(&[("start.sh", "echo hello\n")], "shell", 30, "sh start.sh");
    check(&[("start.sh", "#!/bin/bash\necho\n")], "shell", 30, "bash start.sh");
    check(&[("start.sh", "#!/usr/bin/env zsh\necho\n")], "shell", 30, "zsh start.sh");
}

#[test]
fn scheme_programs_are_run_by_guile() {
    let main = "(use-modules (web server))\n(run-server handler)\n";
    check(&[("main.scm", main)], "scheme", 34, "guile --no-auto-compile main.scm");
    let site = app(&[("haunt.scm", "(site)")]);
    assert_eq!((site.found().id.as_str(), site.found().confidence), ("haunt", 92));
    assert_eq!(site.refusal().code, "scripts.haunt-missing");
}

#[test]
fn what_answers_requests_is_a_web_process() {
    let kind = |text: &str| app(&[("start.sh", text)]).plan().processes[0].kind;
    assert_eq!(kind("#!/bin/sh\nwhile :; do sleep 1; done\n"), ProcessKind::Worker);
    assert_eq!(kind("#!/bin/sh\nexec httpd -p $PORT\n"), ProcessKind::Web);
    assert_eq!(kind(""), ProcessKind::Web);
    let named = r#"{"run":{"processes":{"worker":{"command":"./start.sh -q"}}}}"#;
    let plan =
        app(&[("start.sh", "#!/bin/sh\nwhile :; do sleep 1; done\n")]).settings(named).plan();
    assert_eq!(
        (plan.processes.len(), plan.processes[0].argv.join(" ").as_str()),
        (1, "./start.sh -q")
    );
}

#[test]
fn other_folders_are_none() {
    assert!(app(&[("start.sh", "#!/usr/bin/env node\n")]).nothing().contains("no shell"));
    assert!(app(&[("main.scm", "#lang racket\n")]).nothing().contains("another Scheme"));
    assert!(app(&[("starrt.sh", "")]).nothing().contains("did you mean \"start.sh\""));
    assert_eq!(app(&[("install.sh", ""), (".bashrc", "")]).nothing(), "");
    assert_eq!(app(&[("queries/highlights.scm", "")]).nothing(), "");
}

#[test]
fn the_framework_setting_runs_any_command() {
    let settings = r#"{"build":{"framework":"shell"},"run":{"command":"sh run.sh"}}"#;
    let any = app(&[("run.sh", "")]).settings(settings);
    assert_eq!((any.found().confidence, any.line()), (100, "sh run.sh".to_owned()));
    let refusal = app(&[("x", "")]).settings(r#"{"build":{"framework":"shell"}}"#).refusal();
    assert_eq!(refusal.code, "scripts.no-script");
}
