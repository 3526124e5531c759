//! Swift: the executables of `Package.swift`, or the folders with a `main.swift`. Vapor is told where to
//! listen by its command line.

use windlass_plugin_common::command;
use windlass_plugin_common::compiled::{built, program};
use windlass_plugin_common::wanted::{self, Pin};
use windlass_sdk::Detection;

use crate::facts::Facts;
use crate::found::{Finding, Found, choose};

const ONLY_BUILD: [&str; 7] = [
    "Sources/**",
    "Tests/**",
    "Package.swift",
    "Package.resolved",
    ".swift-version",
    ".build/**",
    "Dockerfile",
];

/// What the files say.
pub(crate) fn find(facts: &Facts) -> Finding {
    if !facts.has("Package.swift") {
        return Finding::Nothing;
    }
    let text = facts.text("Package.swift");
    let mut names = named(&text, ".executable(");
    let targets = named(&text, ".executableTarget(");
    if names.is_empty() {
        names = targets;
    }
    let main = |path: &String| {
        path.strip_prefix("Sources/")?.strip_suffix("/main.swift").map(str::to_owned)
    };
    if names.is_empty() {
        names = facts.files.iter().filter_map(main).filter(|name| !name.contains('/')).collect();
    }
    if names.is_empty() && facts.has("Sources/main.swift") {
        names = named(&text, "Package(");
    }
    if names.is_empty() {
        let reason = "there is a Package.swift, but no executable target and no Sources/<name>/main.swift: a library";
        return Finding::Near("swift", reason.to_owned());
    }
    let project = named(&text, "Package(").into_iter().next().unwrap_or_default();
    let usual = |name: &&str| names.iter().any(|one| one == name);
    let usual = ["App", "Run", "Server", "server"].into_iter().find(usual);
    let chosen =
        choose(facts, &names, &project).or_else(|error| usual.map(str::to_owned).ok_or(error));
    let resolved = facts.text("Package.resolved");
    let vapor = text.contains("vapor/vapor") || resolved.contains("vapor/vapor.git");
    let vapor = vapor && !facts.asks_for("swift") || facts.asks_for("vapor");
    let detection = if vapor {
        let sign = if text.contains("vapor/vapor") { "Package.swift" } else { "Package.resolved" };
        Detection::new("vapor", "Vapor", "swift")
            .confidence(94)
            .supersedes("swift")
            .evidence(sign, "vapor/vapor")
    } else {
        Detection::new("swift", "Swift", "swift").confidence(78)
    };
    let detection = detection.evidence("Package.swift", format!("executable {}", names.join(", ")));
    let found = Found::new(detection, facts, "swift", pins(facts, &text))
        .packages(if text.contains("sqlite") { vec!["libsqlite3-dev"] } else { Vec::new() })
        .without(&ONLY_BUILD)
        .cache("swiftpm", "/root/.cache/org.swift.swiftpm");
    let name = match chosen {
        Err(error) => return found.refuse(error).finding(),
        Ok(name) => name,
    };
    let options = format!("-c release --product {name} --static-swift-stdlib");
    let line = format!(
        "swift build {options} && bin=\"$(swift build {options} --show-bin-path)\" && \
         install -D \"$bin/{name}\" {} && \
         find \"$bin\" -maxdepth 1 -name '*.resources' -exec cp -R {{}} /out/app/bin/ ';'",
        built(&name)
    );
    let mut found =
        found.program(&name).install(&["Package.*"], "swift package resolve").build(&line);
    if vapor {
        let place = program(&name);
        let line = format!("{place} serve --env production --hostname 0.0.0.0 --port \"$PORT\"");
        found.start.argv = command::argv(&line);
    }
    found.finding()
}

/// `.swift-version`, `.tool-versions`, `mise.toml`, `swift-tools-version`.
fn pins(facts: &Facts, text: &str) -> Vec<Pin> {
    let own = facts.text(".swift-version");
    let own = own.trim().trim_start_matches("swift-").trim_end_matches("-RELEASE");
    let mut pins: Vec<Pin> = Pin::new(".swift-version", "", own).into_iter().collect();
    pins.extend(wanted::shared(facts.source, &["swift"]));
    let least = text.lines().next().and_then(|line| line.split("swift-tools-version").nth(1));
    let least = least.map(|rest| {
        rest.trim_start_matches([':', ' ']).split(';').next().unwrap_or_default().trim()
    });
    pins.extend(least.filter(|version| !version.is_empty()).and_then(|version| {
        Pin::new("Package.swift", "swift-tools-version", &format!(">={version}"))
    }));
    pins
}

/// The names in calls such as `.executableTarget(name: "App", …)`.
fn named(text: &str, call: &str) -> Vec<String> {
    let name = |rest: &str| {
        let value = rest.trim_start().strip_prefix("name:")?.trim_start().strip_prefix('"')?;
        value.split('"').next().map(str::to_owned)
    };
    text.split(call).skip(1).filter_map(name).collect()
}
