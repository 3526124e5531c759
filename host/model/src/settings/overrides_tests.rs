use serde_json::json;

use super::*;
use crate::id::EnvironmentName;
use crate::settings::Strategy;

fn overrides(document: Value) -> Overrides {
    Overrides::read(serde_json::from_value(document).unwrap()).unwrap()
}

fn file(text: &str) -> Settings {
    Settings::parse(text, &EnvironmentName::production()).unwrap()
}

#[track_caller]
fn refused(document: Value, code: &str, says: &str) {
    let failure = Overrides::read(serde_json::from_value(document).unwrap()).unwrap_err();
    assert_eq!(failure.code, code, "{failure:?}");
    let all = format!("{} {} {}", failure.what, failure.why, failure.fix);
    assert!(all.contains(says), "{all}");
    assert!(!failure.what.contains("windlass.toml:"), "{all}");
    assert!(!failure.fix.contains("correct"), "{all}");
}

#[test]
fn the_environment_s_settings_go_before_the_file_and_before_its_own_tables() {
    let text = r#"
        [run]
        port = 4000
        memory = "256MiB"
        [deploy.drain]
        plain = "5s"
        [environments.production]
        run.memory = "512MiB"
    "#;
    let set = overrides(json!({
        "run": {"memory": "1GiB", "replicas": 2},
        "deploy": {"drain": {"streaming": "1m"}, "strategy": "recreate"},
        "health": {"path": "/up"},
    }));
    let settings = file(text).with(&set).unwrap();
    assert_eq!(settings.run.memory_bytes, Some(1 << 30));
    assert_eq!((settings.run.port, settings.run.replicas), (Some(4000), Some(2)));
    assert_eq!(settings.deploy.drain.plain_ms, 5_000, "a table is laid over key by key");
    assert_eq!(settings.deploy.drain.streaming_ms, 60_000);
    assert_eq!(settings.strategy(), Strategy::Recreate);
    assert_eq!(settings.health.path.as_deref(), Some("/up"));

    // What is in force says where it comes from, also when it is read again.
    let stored = serde_json::to_string(&settings).unwrap();
    let settings: Settings = serde_json::from_str(&stored).unwrap();
    assert_eq!(settings.layers.file.get("run.memory"), Some(&json!("512MiB")));
    assert_eq!(settings.layers.environment.get("run.memory"), Some(&json!("1GiB")));
    assert_eq!(settings.layers.value("run.port"), Some(&json!(4000)));
    assert_eq!(settings.layers.value("run.cpu"), None);
    // Another setting takes the place of the first, and none gives the file back.
    let other = settings.with(&overrides(json!({"run": {"port": 5000}}))).unwrap();
    assert_eq!(other.run.memory_bytes, Some(512 << 20));
    assert_eq!(other.run.port, Some(5000));
    assert_eq!(other.with(&Overrides::default()).unwrap(), file(text));
}

#[test]
fn without_a_file_the_environment_s_settings_are_all() {
    let set = overrides(json!({
        "run": {"volumes": [{"name": "data", "path": "/data"}], "cpu": 0.5},
        "migrate": false,
        "deploy": {"keep_deployments": "long"},
    }));
    let settings = Settings::default().with(&set).unwrap();
    assert_eq!(settings.run.volumes[0].path, "/data");
    assert_eq!(settings.run.cpu_millis, Some(500));
    assert_eq!(settings.migrate, Some(crate::settings::Migrate::Never));
    assert_eq!(settings.deploy.keep_deployments, Some(50));
    assert_eq!(set.retention(), (Some(50), None));
    assert_eq!(Settings::default().with(&Overrides::default()).unwrap(), Settings::default());
}

#[test]
fn what_the_file_could_not_say_cannot_be_set_either() {
    refused(json!({"run": {"memroy": "1GiB"}}), "settings.unknown-key", "run.memory");
    refused(
        json!({"run": {"memory": 3}}),
        "settings.wrong-value",
        "windlass settings set run.memory",
    );
    refused(json!({"run": {"memory": null}}), "settings.wrong-value", "run.memory");
    refused(json!({"cron": {"a": "b"}}), "settings.unknown-key", "cron");
    let often = json!({"cron": [{"schedule": "* * * *", "command": "true"}]});
    refused(often, "settings.wrong-value", "cron.schedule");
    refused(json!({"name": "shop"}), "settings.wrong-value", "one environment");
    refused(json!({"environments": {"staging": {}}}), "settings.wrong-value", "one environment");
    refused(json!({"build": {"lfs": false}}), "settings.only-in-file", "build.lfs");
    refused(json!({"deploy": {"paths": ["a/**"]}}), "settings.only-in-file", "deploy.paths");
    let url = "postgres://me:hunter2@db/shop";
    refused(json!({"run": {"command": url}}), "settings.secret-in-file", "windlass env set");
    let two = json!({"run": {"replicas": 2, "volumes": [{"name": "a", "path": "/a"}]}});
    refused(two, "settings.wrong-value", "shared");
    for keep in [json!("forever"), json!(0), json!(-1), json!(1.5), json!(u64::MAX)] {
        refused(json!({"deploy": {"keep_deployments": keep}}), "settings.wrong-value", "keep_");
    }
}

#[test]
fn what_contradicts_the_file_is_refused_with_both_ways_out() {
    let volumes = file("[run]\nvolumes = [{ name = 'data', path = '/data' }]");
    let failure = volumes.with(&overrides(json!({"run": {"replicas": 2}}))).unwrap_err();
    assert_eq!(failure.code, "settings.wrong-value");
    assert!(failure.what.contains("together") && failure.what.contains("run.replicas"));
    assert!(failure.fix.contains("windlass settings unset"), "{failure:?}");
    assert!(failure.fix.contains("windlass.toml"), "{failure:?}");
}

#[test]
fn presets_are_words_for_how_many_deployments_are_kept() {
    for (word, count) in crate::settings::KEEP_PRESETS {
        let settings = file(&format!("[deploy]\nkeep_deployments = '{word}'"));
        assert_eq!(settings.deploy.keep_deployments, Some(count));
    }
    let counts = crate::settings::KEEP_PRESETS.map(|(_, count)| count);
    assert_eq!(counts, [3, 10, 50, 100]);
    assert_eq!(crate::Limits::default().keep_deployments, 10, "the default is `standard`");
    let word = Settings::parse("[deploy]\nkeep_artifacts = 'long'", &EnvironmentName::production());
    assert_eq!(word.unwrap_err().code, "settings.wrong-value");
}

#[test]
fn an_artifact_keeps_what_is_part_of_it() {
    let built = file(
        "[build]\noutput = 'dist'\n[run]\ncommand = 'one'\n[health]\npath = '/up'\n[[cron]]\nschedule = \
         '@daily'\ncommand = 'one'",
    );
    let set = overrides(json!({
        "build": {"output": "out"},
        "run": {"command": "two", "memory": "64MiB"},
        "health": {"path": "/well"},
        "cron": [],
    }));
    let now = built.with(&set).unwrap().for_artifact_of(&built);
    assert_eq!((&now.build, &now.health), (&built.build, &built.health));
    assert_eq!((&now.cron, now.cron.len()), (&built.cron, 1));
    assert_eq!(now.run.command.as_deref(), Some("one"));
    assert_eq!(now.run.memory_bytes, Some(64 << 20));
    assert!(!built.is_without_layers() && !Settings::default().is_without_layers());
    let old = Settings { layers: Layers::default(), ..built };
    assert!(old.is_without_layers());
}

#[test]
fn values_are_typed_as_in_the_file_and_else_they_are_text() {
    assert_eq!(typed("run.memory", "1GiB"), json!("1GiB"));
    assert_eq!(typed("run.memory", "1048576"), json!("1048576"));
    assert_eq!(typed("run.replicas", "2"), json!(2));
    assert_eq!(typed("run.cpu", "0.5"), json!(0.5));
    assert_eq!(typed("deploy.keep_deployments", "minimal"), json!("minimal"));
    assert_eq!(typed("build.toolchain.node", "22"), json!("22"));
    assert_eq!(typed("run.command", "true"), json!("true"));
    assert_eq!(typed("run.command", "'node  x.js'"), json!("node  x.js"));
    assert_eq!(typed("migrate", "false"), json!(false));
    assert_eq!(
        typed("run.volumes", "[{name='d',path='/d'}]"),
        json!([{"name": "d", "path": "/d"}])
    );
    let two_keys = "1\nother = 2";
    assert_eq!(typed("run.replicas", two_keys), json!(two_keys));
}

#[test]
fn keys_are_set_and_unset_by_their_dotted_names() {
    let mut set = Overrides::default();
    set.set("run.memory", json!("1GiB"));
    set.set("deploy.drain.plain", json!("5s"));
    set.set("migrate", json!(false));
    set.set("migrate.command", json!("migrate"));
    let keys: Vec<String> = set.flat().into_keys().collect();
    assert_eq!(keys, ["deploy.drain.plain", "migrate.command", "run.memory"]);
    assert!(!set.unset("run.cpu") && !set.unset("run.memory.x"));
    assert!(set.unset("run.memory") && set.unset("deploy") && set.unset("migrate.command"));
    assert!(set.is_empty(), "{set:?}");
}
