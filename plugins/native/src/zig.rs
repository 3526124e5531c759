//! Zig: `build.zig`.

use windlass_plugin_common::compiled::built;
use windlass_plugin_common::wanted::{self, Pin};
use windlass_sdk::Detection;

use crate::facts::Facts;
use crate::found::{Finding, Found, choose};

/// What the files say.
pub(crate) fn find(facts: &Facts) -> Finding {
    if !facts.has("build.zig") {
        return Finding::Nothing;
    }
    let (text, zon) = (facts.text("build.zig"), facts.text("build.zig.zon"));
    let mut names: Vec<String> =
        text.split("addExecutable(").skip(1).filter_map(|rest| field(rest, ".name")).collect();
    let readable = !text.trim().is_empty();
    let calls = text.contains("addExecutable(");
    if readable && !calls || !readable && !facts.has("src/main.zig") {
        let reason = "there is a build.zig, but no addExecutable in it: a library".to_owned();
        return Finding::Near("zig", reason);
    }
    let project = field(&zon, ".name").unwrap_or_default();
    if names.is_empty() {
        names.push(if project.is_empty() { "app".to_owned() } else { project.clone() });
    }
    let chosen = choose(facts, &names, &project);
    let detection = Detection::new("zig", "Zig", "zig").confidence(78);
    let detection = detection.evidence("build.zig", if readable { "addExecutable" } else { "" });
    let mut pins = Vec::new();
    pins.extend(Pin::new(".zigversion", "", &facts.text(".zigversion")));
    pins.extend(wanted::shared(facts.source, &["zig"]));
    // A minor version of Zig is a language of its own.
    let least = field(&zon, ".minimum_zig_version");
    let line = least.and_then(|version| {
        Pin::new("build.zig.zon", "minimum_zig_version", &format!("~{version}"))
    });
    pins.extend(line);
    let found = Found::new(detection, facts, "zig", pins)
        .cache("zig", "/root/.cache/zig")
        .env("ZIG_GLOBAL_CACHE_DIR", "/root/.cache/zig")
        .without(&[
            "**/*.zig",
            "build.zig.zon",
            "zig-out/**",
            "zig-cache/**",
            ".zig-cache/**",
            "Dockerfile",
        ]);
    match chosen {
        Err(error) => found.refuse(error).finding(),
        Ok(name) => {
            let out = built(&name);
            // The name may be one that the build file makes up.
            let line = format!(
                "zig build -Doptimize=ReleaseSafe --prefix /out/app && \
                 {{ [ -x {out} ] || mv \"$(find /out/app/bin -type f | head -n 1)\" {out}; }}"
            );
            found.program(&name).build(&line).finding()
        }
    }
}

/// `.name = "shop"` or `.name = .shop`
fn field(text: &str, key: &str) -> Option<String> {
    let rest = text.split(key).nth(1)?.trim_start().strip_prefix('=')?.trim_start();
    let value = rest.strip_prefix(['"', '.'])?;
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    let end = value.find(|c| !name(c)).unwrap_or(value.len());
    Some(value[..end].to_owned()).filter(|name| !name.is_empty())
}
