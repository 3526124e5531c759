//! What a refusal says is typed as it says it, and then it works.

use super::*;

fn counting() -> Value {
    json!([
        { "name": "source", "paths": ["**"], "reason": "counts the files" },
        { "name": "annotations", "reason": "notes the number" },
        { "name": "cache", "reason": "remembers the number", "optional": true },
    ])
}

/// The grant that a fix names after these words.
fn named(failure: &Failure, before: &str) -> String {
    let (_, rest) = failure.fix.split_once(before).unwrap();
    rest.split_once('`').unwrap().0.trim_matches('\'').to_owned()
}

fn give(text: &str) -> SetGrants {
    SetGrants { grant: text.parse::<Give>().unwrap() }
}

#[tokio::test]
async fn the_fix_for_a_missing_grant_keeps_what_was_granted() {
    let world = World::new();
    let file = component("1.0.0", counting());
    let refused = world.install(file.clone(), Some("source")).await.unwrap_err();
    assert_eq!(refused.code, "plugin.not-granted");
    assert_eq!(named(&refused, "--grant "), "source,annotations", "{}", refused.fix);
    world.install(file, Some("source,annotations")).await.unwrap();

    let refused = world.plugins.grant("scan", &give("cache")).await.unwrap_err();
    let all = named(&refused, "windlass plugin grant scan ");
    assert_eq!(all, "cache,source,annotations");
    world.plugins.grant("scan", &give(&all)).await.unwrap();

    // A part of what is asked for stays a part.
    let part = r#"[{"name":"source","paths":["src/**"]}]"#;
    let refused = world.plugins.grant("scan", &give(part)).await.unwrap_err();
    let all = named(&refused, "windlass plugin grant scan ");
    let granted = world.plugins.grant("scan", &give(&all)).await.unwrap();
    let granted = serde_json::to_string(&granted).unwrap();
    assert!(granted.contains(r#""paths":["src/**"]"#), "{granted}");
}

#[tokio::test]
async fn an_upgrade_is_offered_without_a_grant_only_where_it_works() {
    let world = World::new();
    let source = counting()[0].clone();
    world.install(component("1.0.0", json!([source])), Some("source")).await.unwrap();

    let wishes = component("2.0.0", json!([source, counting()[2]]));
    let refused = world.upgrade(wishes.clone(), None).await.unwrap_err();
    assert_eq!(refused.code, "plugin.asks-more");
    assert!(refused.fix.contains("with `--grant none` it keeps"), "{}", refused.fix);
    world.upgrade(wishes, Some("none")).await.unwrap();

    let needs = component("3.0.0", counting());
    let refused = world.upgrade(needs.clone(), None).await.unwrap_err();
    assert_eq!(refused.code, "plugin.asks-more");
    assert!(refused.fix.ends_with("it cannot do without annotations"), "{}", refused.fix);
    let all = named(&refused, "--grant ");
    assert_eq!(
        world.upgrade(needs.clone(), Some("none")).await.unwrap_err().code,
        "plugin.not-granted"
    );
    world.upgrade(needs, Some(&all)).await.unwrap();
}
