//! Dart: a program in `bin`, compiled ahead of time. Flutter is named and refused.

use windlass_plugin_common::compiled::built;
use windlass_plugin_common::wanted::{self, Pin};
use windlass_plugin_common::yaml;
use windlass_sdk::{Detection, PluginError};

use crate::facts::Facts;
use crate::found::{Finding, Found, choose};

/// What the files say.
pub(crate) fn find(facts: &Facts) -> Finding {
    if !facts.has("pubspec.yaml") {
        return Finding::Nothing;
    }
    let detection = Detection::new("dart", "Dart", "dart");
    let pubspec = match yaml::parse(&facts.text("pubspec.yaml")) {
        Ok(pubspec) => pubspec,
        Err(why) => {
            let error = PluginError::new(
                "native.manifest-invalid",
                format!("pubspec.yaml cannot be read: {why}"),
            )
            .hint("repair pubspec.yaml and deploy again");
            let detection = detection.confidence(70).evidence("pubspec.yaml", "");
            return Found::new(detection, facts, "dart", Vec::new()).refuse(error).finding();
        }
    };
    if !pubspec["dependencies"]["flutter"].is_null() {
        return flutter(facts);
    }
    let name = yaml::text_of(&pubspec["name"]);
    let programs: Vec<String> = facts
        .files
        .iter()
        .filter_map(|path| path.strip_prefix("bin/")?.strip_suffix(".dart").map(str::to_owned))
        .collect();
    if programs.is_empty() {
        let reason = "there is a pubspec.yaml, but no program in bin: a library".to_owned();
        return Finding::Near("dart", reason);
    }
    let chosen = choose(facts, &programs, &name);
    let files: Vec<String> = programs.iter().map(|name| format!("bin/{name}.dart")).collect();
    let detection = detection.confidence(78).evidence("pubspec.yaml", format!("name: {name}"));
    let detection = detection.evidence(files.join(", "), "program");
    let mut pins: Vec<Pin> = wanted::shared(facts.source, &["dart"]);
    let sdk = yaml::text_of(&pubspec["environment"]["sdk"]);
    pins.extend(Pin::new("pubspec.yaml", "environment.sdk", &sdk));
    let found = Found::new(detection, facts, "dart", pins)
        .cache("pub", "/root/.pub-cache")
        .env("PUB_CACHE", "/root/.pub-cache")
        .env("DART_SUPPRESS_ANALYTICS", "true")
        .without(&[
            "**/*.dart",
            "pubspec.yaml",
            "pubspec.lock",
            ".dart_tool/**",
            "test/**",
            "Dockerfile",
        ]);
    let name = match chosen {
        Err(error) => return found.refuse(error).finding(),
        Ok(name) => name,
    };
    let manifests = ["pubspec.*"];
    // Again after the source came, because the source is a package itself; the cache has the rest.
    let line = format!("dart pub get && dart compile exe bin/{name}.dart -o {}", built(&name));
    found.program(&name).install(&manifests, "dart pub get").build(&line).finding()
}

fn flutter(facts: &Facts) -> Finding {
    if !facts.has("lib/main.dart") && !facts.asks_for("flutter") {
        let reason =
            "there is a pubspec.yaml of Flutter, but no lib/main.dart: a library".to_owned();
        return Finding::Near("flutter", reason);
    }
    if !facts.has("web/index.html") && !facts.asks_for("flutter") {
        let reason = "it is a Flutter application for devices: there is no web/index.html, which `flutter create \
                      --platforms=web .` makes"
            .to_owned();
        return Finding::Near("flutter", reason);
    }
    let error = PluginError::new(
        "native.flutter-unsupported",
        "it is a Flutter application, and there is no toolchain for Flutter",
    )
    .hint("build it with `flutter build web`, commit build/web, and deploy that folder; or add a Dockerfile");
    let detection = Detection::new("flutter", "Flutter", "dart")
        .confidence(92)
        .evidence("pubspec.yaml", "dependencies.flutter");
    Found::new(detection, facts, "dart", Vec::new()).refuse(error).finding()
}
