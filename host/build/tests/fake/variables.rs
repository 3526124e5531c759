//! Which variables a command sees, and what of them is part of its step's key.

use windlass_model::plan::Mount;

use super::cache::{recorded, said};
use super::*;

/// The usual plan, whose first command asks for these by name.
fn asking(names: &[&str]) -> BuildPlan {
    let mut plan = plan();
    let Op::Run(run) = &mut plan.steps[0].ops[1] else { unreachable!() };
    let mount = |name: &&str| Mount::Secret {
        name: (*name).to_owned(),
        target: None,
        env: Some((*name).to_owned()),
        mode: 0o400,
        owner: None,
        required: false,
    };
    run.mounts = names.iter().map(mount).collect();
    plan
}

/// The same, whole.
fn whole(names: &[&str]) -> BuildPlan {
    let mut plan = asking(names);
    let OutputKind::Image { config, .. } = &mut plan.outputs[0].artifact else { unreachable!() };
    config.details.whole = true;
    plan
}

/// With a secret variable, if there is one, and one that is none.
fn with(
    plan: BuildPlan,
    token: Option<&'static str>,
    flavour: &'static str,
) -> impl FnOnce(&mut BuildRequest) {
    let variable = |name: &str, value: &str, secret| BuildVariable {
        name: name.to_owned(),
        value: Secret::new(value.to_owned()),
        secret,
    };
    let mut variables = vec![variable("FLAVOUR", flavour, false)];
    variables.extend(token.map(|token| variable("TOKEN", token, true)));
    move |request| {
        request.plan = plan;
        request.variables = variables;
    }
}

/// The two variables in the environment of a command that ran.
fn seen(bench: &Bench, command: usize) -> (Option<String>, Option<String>) {
    let env = bench.runtime.started()[command].env.clone();
    let value = |name: &str| env.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    (value("TOKEN"), value("FLAVOUR"))
}

fn own(token: Option<&str>, flavour: Option<&str>) -> (Option<String>, Option<String>) {
    (token.map(str::to_owned), flavour.map(str::to_owned))
}

#[tokio::test]
async fn a_whole_plan_gives_its_commands_what_they_ask_for_and_nothing_else() {
    let bench = bench(0);
    let (built, first) = recorded(&bench, with(whole(&[]), Some("one"), "sweet"), &[]).await;
    built.unwrap();
    assert_eq!((seen(&bench, 0), seen(&bench, 1)), (own(None, None), own(None, None)));
    assert!(first.steps.iter().all(|step| step.parts.variables.is_empty()), "{first:?}");
    let (built, _) = recorded(&bench, with(whole(&[]), Some("two"), "sour"), &[]).await;
    assert!(built.unwrap().all_cached(), "what no command sees builds nothing again");

    let asks = || whole(&["TOKEN", "FLAVOUR"]);
    let (built, first) = recorded(&bench, with(asks(), Some("one"), "sweet"), &[]).await;
    built.unwrap();
    assert_eq!(seen(&bench, 2), own(Some("one"), Some("sweet")));
    assert_eq!(seen(&bench, 3), own(None, None));
    let (built, _) = recorded(&bench, with(asks(), Some("two"), "sweet"), &[]).await;
    assert!(built.unwrap().all_cached(), "a rotated secret builds nothing again");
    let (_, sour) = recorded(&bench, with(asks(), Some("two"), "sour"), &[first]).await;
    assert_eq!(said(&sour, "deps"), ["the variable FLAVOUR changed"]);
    assert_eq!(said(&sour, "app"), ["the step \"deps\" has another result"]);
}

#[tokio::test]
async fn a_secret_that_is_asked_for_by_name_is_there_alone_and_its_value_is_in_no_key() {
    let bench = bench(0);
    let asks = || asking(&["TOKEN"]);
    let (built, first) = recorded(&bench, with(asks(), Some("one"), "sweet"), &[]).await;
    built.unwrap();
    assert_eq!(seen(&bench, 0), own(Some("one"), Some("sweet")));
    assert_eq!(seen(&bench, 1), own(None, Some("sweet")));
    let (built, _) = recorded(&bench, with(asks(), Some("two"), "sweet"), &[]).await;
    assert!(built.unwrap().all_cached(), "a rotated secret builds nothing again");

    let before = [first];
    let (_, gone) = recorded(&bench, with(asks(), None, "sweet"), &before).await;
    assert_eq!(said(&gone, "deps"), ["the variable TOKEN is gone"]);
    let (_, sour) = recorded(&bench, with(asks(), Some("one"), "sour"), &before).await;
    assert_eq!(said(&sour, "deps"), ["the variable FLAVOUR changed"]);

    // Nobody asks for it by name: every command has it, and a new value counts.
    let (_, first) = recorded(&bench, with(plan(), Some("one"), "sweet"), &[]).await;
    let (_, other) = recorded(&bench, with(plan(), Some("two"), "sweet"), &[first]).await;
    assert_eq!(said(&other, "deps"), ["the variable TOKEN changed"]);
}
