//! Why a plugin that is named cannot be asked: each reason has its own words and its own way out.

use super::*;
use crate::plugins::failures;

#[tokio::test]
async fn a_name_that_nobody_has_is_said_with_the_nearest_and_where_it_stands() {
    let world = World::new();
    world.install(component("1.0.0", json!([])), None).await.unwrap();
    let in_force = world.plugins.of_project(Some(&project_name("shop")));
    let mistyped = in_force.named("scann", Stage::Detector).unwrap_err();
    assert_eq!(mistyped.code, "plugin.missing");
    assert!(mistyped.what.contains("scann is not loaded"), "{mistyped}");
    assert!(mistyped.why.ends_with("near it is scan"), "{mistyped}");

    // The only one that is near has no custom stage, so it cannot be meant.
    let mistyped = in_force.named("scann", Stage::Custom).unwrap_err();
    assert!(mistyped.why.starts_with("`[[stages]]` in windlass.toml names it"), "{mistyped}");
    assert!(!mistyped.why.contains("near it"), "{mistyped}");
    let named = failures::missing("notfy", Stage::Custom, false, &["notify"]);
    assert!(named.fix.contains("write `plugin = \"notify\"` in `[[stages]]`"), "{named}");
}

#[tokio::test]
async fn one_without_a_custom_stage_is_not_to_be_enabled_but_taken_out() {
    let world = World::new();
    world.install(component("1.0.0", json!([])), None).await.unwrap();
    let shop = project_name("shop");
    let disable = || SetProjectPlugin { enabled: Some(false), ..SetProjectPlugin::default() };
    for enabled in [true, false] {
        if !enabled {
            world.choose("shop", disable()).await.unwrap();
        }
        let in_force = world.plugins.of_project(Some(&shop));
        let other = in_force.named("scan", Stage::Custom).unwrap_err();
        assert_eq!(other.code, "plugin.stage-not-filled");
        assert_eq!(other.what, "the plugin scan has no custom stage");
        assert!(other.why.ends_with("it fills only: detector"), "{other}");
        assert!(other.fix.contains("`[[stages]]`") && !other.fix.contains("enable"), "{other}");
    }
}

#[tokio::test]
async fn one_that_is_disabled_is_enabled_for_the_very_project() {
    let world = World::new();
    world.install(component("1.0.0", json!([])), None).await.unwrap();
    let disable = SetProjectPlugin { enabled: Some(false), ..SetProjectPlugin::default() };
    world.choose("shop", disable).await.unwrap();
    let shop = project_name("shop");
    let in_force = world.plugins.of_project(Some(&shop));
    let disabled = in_force.named("scan", Stage::Detector).unwrap_err();
    assert_eq!(disabled.what, "the plugin scan is not enabled for shop");
    assert_eq!(disabled.fix, "`windlass plugin enable scan --project shop`");
    let custom = failures::not_enabled("scan", Stage::Custom, Some(&shop));
    assert!(custom.why.starts_with("`[[stages]]` in windlass.toml names it"), "{custom}");
    assert!(custom.fix.contains("enable scan --project shop`, or take it out"), "{custom}");
}

#[tokio::test]
async fn one_whose_file_is_gone_is_installed_again() {
    let mut world = World::new();
    world.install(component("1.0.0", json!([])), None).await.unwrap();
    let file = world.folder().join("scan").join(&world.files()[0]);
    std::fs::remove_file(&file).unwrap();
    world.again();
    let in_force = world.plugins.of_project(Some(&project_name("shop")));
    let gone = in_force.named("scan", Stage::Detector).unwrap_err();
    assert_eq!(gone.what, "the plugin scan is installed and could not be loaded");
    assert!(gone.fix.contains("windlass plugin upgrade scan FILE"), "{gone}");
}
