//! Which Java: the first of these that says anything, in this order. `windlass.toml`, `.java-version`,
//! `.tool-versions`, `mise.toml`, `.sdkmanrc`, `system.properties`, `.jdk-version`, the build file (what
//! its compiler targets), another platform's file, the version that the application ran with before, the
//! default. Lines with long-term support are offered; another version gets the next one above it.

use windlass_plugin_common::{others, pins, wanted};
use windlass_sdk::{Evidence, PluginError, Toolchain};

use crate::app::{App, Tool};
use crate::facts::Facts;

/// Lines that can be had.
const LINES: [u32; 5] = [8, 11, 17, 21, 25];
const SBT_LINES: [u32; 2] = [17, 21];
const DEFAULT: u32 = 21;

/// The version that was settled on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// None leaves it to the host.
    pub(crate) line: Option<u32>,
    pub(crate) evidence: Option<Evidence>,
    pub(crate) warning: Option<String>,
}

impl Chosen {
    /// What the application runs on.
    pub(crate) fn runtime(&self) -> Toolchain {
        self.toolchain("jre")
    }

    /// A toolchain of this version.
    pub(crate) fn toolchain(&self, name: &str) -> Toolchain {
        Toolchain::new(name, self.line.map(|line| line.to_string()).unwrap_or_default())
    }
}

/// Settles on a version.
///
/// # Errors
/// Code `jvm.version-unsupported`: what was asked for, where, and what there is.
pub(crate) fn choose(facts: &Facts, app: &App) -> Result<Chosen, PluginError> {
    let mut asked = asked(facts, app);
    let raised = raise(&mut asked, app);
    let mut chosen = first(facts, app, asked)?;
    chosen.warning = raised.or(chosen.warning);
    Ok(chosen)
}

/// File, key and version of a place that asks for one.
type Asked = (String, String, String);

/// Puts what the build file compiles for before a pin of an older version, which could not compile it, and says so.
/// What windlass.toml says stays first.
fn raise(asked: &mut Vec<Asked>, app: &App) -> Option<String> {
    let is_known = |(_, _, text): &Asked| major(text).is_some();
    let (file, _, text) = asked.iter().find(|one| is_known(one))?;
    let at = asked.iter().position(|one| one.0 == app.file && is_known(one))?;
    let (pinned, built) = (major(text)?, major(&asked[at].2)?);
    if built <= pinned || file == "windlass.toml" {
        return None;
    }
    let warning = format!(
        "{file} asks for Java {pinned}, and {} compiles for {built}: {built} is taken; write the same into both",
        app.file
    );
    let built = asked.remove(at);
    asked.insert(0, built);
    Some(warning)
}

/// The first that can be had.
fn first(facts: &Facts, app: &App, asked: Vec<Asked>) -> Result<Chosen, PluginError> {
    let mut warning = None;
    for (file, key, text) in asked {
        let Some(version) = major(&text) else {
            warning = Some(wanted::unreadable(&file, "Java", &text, &DEFAULT.to_string()));
            continue;
        };
        // What sbt compiles runs on its own Java and newer ones; its images have two.
        let lines: &[u32] = if app.tool == Tool::Sbt { &SBT_LINES } else { &LINES };
        let line = lines.iter().copied().find(|line| *line >= version);
        let Some(line) = line else {
            if others::FILES.contains(&file.as_str()) {
                continue;
            }
            return Err(unsupported(&file, &text));
        };
        if line != version {
            warning = Some(format!(
                "{file} asks for Java {version}, and Windlass provides {}: {line} is taken, the next above it",
                shown(lines)
            ));
        }
        let warning = warning.or_else(|| old(line, &file));
        let evidence = Some(Evidence::new(file, format!("{key}{text}")));
        return Ok(Chosen { line: Some(line), evidence, warning });
    }
    let previous = facts.previous("jre").and_then(major).filter(|line| LINES.contains(line));
    // A wrapper's old Gradle does not run on a new Java.
    let limited = app.jdk_max.filter(|max| *max < DEFAULT);
    Ok(Chosen { line: previous.or(limited), evidence: None, warning })
}

fn old(line: u32, file: &str) -> Option<String> {
    (line < 11).then(|| {
        format!("{file} asks for Java {line}: its public updates have ended; move to {DEFAULT} when you can")
    })
}

/// File, key and version of every place that asks for one.
fn asked(facts: &Facts, app: &App) -> Vec<Asked> {
    let mut asked = Vec::new();
    let mut add = |file: &str, key: &str, version: Option<String>| {
        let version = version.filter(|version| !version.trim().is_empty());
        asked.extend(
            version.map(|version| (file.to_owned(), key.to_owned(), version.trim().to_owned())),
        );
    };
    for name in ["java", "jre", "jdk"] {
        let setting = facts.settings.build.toolchain.get(name).cloned();
        add("windlass.toml", &format!("build.toolchain.{name} = "), setting);
    }
    let line = |text: String| pins::first_line(&text).map(str::to_owned);
    add(".java-version", "", line(facts.text(".java-version")));
    let tools = facts.text(".tool-versions");
    add(".tool-versions", "java ", pins::tool_versions(&tools, &["java"]).map(str::to_owned));
    for file in pins::MISE {
        add(file, "tools.java = ", pins::mise(&facts.text(file), &["java"]));
    }
    let property =
        |file: &str, key: &str| pins::property(&facts.text(file), key).map(str::to_owned);
    add(".sdkmanrc", "java=", property(".sdkmanrc", "java"));
    add(
        "system.properties",
        "java.runtime.version=",
        property("system.properties", "java.runtime.version"),
    );
    add(".jdk-version", "", line(facts.text(".jdk-version")));
    if let Some((key, version)) = &app.java
        && app.tool != Tool::Nothing
    {
        add(&app.file, &format!("{key}: "), Some(version.clone()));
    }
    if let Some(pin) = wanted::elsewhere(facts.source, &["java", "jre", "jdk"]) {
        add(&pin.file, &format!("{} = ", pin.key), Some(pin.requirement));
    }
    asked
}

/// The major version in `17`, `1.8`, `21.0.2`, `temurin-21.0.2+13`, `17.0.9-tem`, `openjdk64-11.0.2`.
fn major(text: &str) -> Option<u32> {
    text.trim().split('-').find_map(|part| {
        let part = part.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let mut numbers = part.split(['.', '+', '_', 'u']);
        let first: u32 = numbers.next()?.parse().ok()?;
        let major = if first == 1 { numbers.next()?.parse().ok()? } else { first };
        (5..=60).contains(&major).then_some(major)
    })
}

fn shown(lines: &[u32]) -> String {
    lines.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

fn unsupported(file: &str, asked: &str) -> PluginError {
    PluginError::new(
        "jvm.version-unsupported",
        format!("{file} asks for Java {asked}, and Windlass provides {}", shown(&LINES)),
    )
    .hint(format!(
        "ask for a supported version in {file}, or set it in windlass.toml:\n[build.toolchain]\njava = \"25\""
    ))
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn every_spelling_of_a_version_is_read() {
        for (text, expected) in [
            ("17", Some(17)),
            ("1.8", Some(8)),
            ("1.8.0_372", Some(8)),
            ("8u392", Some(8)),
            ("21.0.2", Some(21)),
            ("temurin-21.0.2+13.0.LTS", Some(21)),
            ("17.0.9-tem", Some(17)),
            ("openjdk64-11.0.2", Some(11)),
            ("graalvm-ce-java17-22.3.0", Some(17)),
            ("zulu-8.72.0.17", Some(8)),
            ("latest", None),
            ("", None),
        ] {
            assert_eq!(major(text), expected, "{text}");
        }
    }
}
