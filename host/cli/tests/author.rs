//! The verbs for authors of plugins: what they understand, and the exit code of each end.

#[expect(dead_code, reason = "other tests need the rest")]
mod common;

use common::run;
use windlass_cli::exit::Exit;
use windlass_model::api::ErrorBody;
use windlass_model::author::Tested;

#[test]
fn each_verb_of_an_author_says_what_it_takes() {
    for verb in ["new", "build", "check", "test", "run", "bench"] {
        let ran = run(&["plugin", verb, "--help"], "");
        assert_eq!(ran.exit, Exit::Ok, "{verb}");
        let own = ran.out.split("Common options:").next().unwrap();
        let examples = ran.out.split_once("\nExamples:").map_or("", |(_, examples)| examples);
        insta::assert_snapshot!(format!("help_plugin_{verb}"), format!("{own}{examples}"));
    }
}

#[test]
fn what_is_there_is_refused_what_is_missing_is_bad_input_and_a_bad_component_failed() {
    let rows = [
        (&["plugin", "new", "notes"][..], Exit::Refused, "plugin.folder-exists"),
        (&["plugin", "build"], Exit::BadInput, "plugin.tool-missing"),
        (&["plugin", "check", "a.wasm"], Exit::Failed, "plugin.not-loadable"),
        (&["plugin", "bench"], Exit::Failed, "plugin.trapped"),
        (&["plugin", "run", "/nonexistent"], Exit::BadInput, "cli.no-such-folder"),
    ];
    for (args, exit, code) in rows {
        let ran = run(args, "");
        assert_eq!((ran.exit, ran.out.as_str()), (exit, ""), "{args:?}");
        assert!(ran.err.contains(&format!("code: {code}")), "{args:?}: {}", ran.err);
        let ran = run(&[&["--json"], args].concat(), "");
        let body: ErrorBody = serde_json::from_str(&ran.out).unwrap();
        assert_eq!((ran.exit, body.error.code.as_str()), (exit, code));
    }
}

#[test]
fn a_fixture_that_differs_fails_the_command_until_it_is_accepted() {
    let ran = run(&["plugin", "test"], "");
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Failed, ""));
    assert!(ran.out.contains("differs  book") && ran.out.contains("--accept"), "{}", ran.out);
    let ran = run(&["plugin", "test", "--accept"], "");
    assert_eq!(ran.exit, Exit::Ok);
    let ran = run(&["--json", "plugin", "test"], "");
    let tested: Tested = serde_json::from_str(&ran.out).unwrap();
    assert!(ran.exit == Exit::Failed && !tested.cases[0].passed());
}

#[test]
fn languages_and_stages_that_there_are_not_are_named_with_those_that_there_are() {
    let ran = run(&["plugin", "new", "notes", "--lang", "cobol"], "");
    assert_eq!(ran.exit, Exit::Usage);
    assert!(ran.err.contains("rust, js, python"), "{}", ran.err);
    let ran = run(&["plugin", "new", "notes", "--stage", "deploy"], "");
    assert!(ran.err.contains("detector, builder, migrator"), "{}", ran.err);
    let ran = run(&["plugin", "run", ".", "--stage", "health"], "");
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Ok, "not asked: health stage alone\n"));
    let ran = run(&["plugin", "bench", "--calls", "0"], "");
    assert_eq!(ran.exit, Exit::Usage, "{}", ran.err);
}
