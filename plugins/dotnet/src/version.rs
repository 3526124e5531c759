//! Which .NET. The runtime is the one that `build.toolchain.dotnet` of `windlass.toml` names if it can run the
//! program, else the one that the project is built for (`TargetFramework`), else what the application ran with
//! before, else the default. The SDK is the one that the first of `windlass.toml`, `global.json`, `.tool-versions`
//! and `mise.toml` names, and at least as new as the runtime and `TargetFramework`.
//!
//! **Invariant: no runtime is older than what the program is built for**, which would not start on it.

use windlass_plugin_common::{pins, wanted};
use windlass_sdk::{Evidence, PluginError, Toolchain};

use crate::facts::Facts;
use crate::framework::Shape;
use crate::project::Kind;

/// Lines that can be had, the oldest first.
const LINES: [&str; 5] = ["6.0", "7.0", "8.0", "9.0", "10.0"];
const DEFAULT: &str = "10.0";
/// Lines without support, and when it ended.
const ENDED: [(&str, &str); 4] =
    [("6.0", "2024-11-12"), ("7.0", "2024-05-14"), ("8.0", "2026-11-10"), ("9.0", "2026-11-10")];

/// The versions that were settled on.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub(crate) sdk: Toolchain,
    pub(crate) runtime: Toolchain,
    /// What the project is published for, where it is built for several.
    pub(crate) framework: Option<String>,
    /// Whether the program is older than its runtime, which must be told to take it.
    pub(crate) rolls: bool,
    pub(crate) evidence: Option<Evidence>,
    pub(crate) warnings: Vec<String>,
}

/// Settles on versions.
///
/// # Errors
/// Code `dotnet.version-unsupported`: what was asked for, where, and what there is.
pub(crate) fn choose(facts: &Facts, shape: &Shape) -> Result<Chosen, PluginError> {
    let setting = facts.settings.build.toolchain.get("dotnet").map(|text| (text, "dotnet"));
    let setting = setting.or_else(|| {
        facts.settings.build.toolchain.get("dotnet-sdk").map(|text| (text, "dotnet-sdk"))
    });
    let set = setting.map(|(text, key)| {
        let found = line(text).filter(|line| LINES.contains(&line.as_str()));
        found
            .ok_or_else(|| unsupported("windlass.toml", &format!("build.toolchain.{key} = {text}")))
    });
    let set = set.transpose()?;
    let (target, evidence) = target(facts, shape)?;
    let sticky = facts.previous("dotnet").and_then(line);
    let elsewhere = elsewhere(facts);
    let fallback =
        || set.clone().or(elsewhere.clone()).or(sticky).unwrap_or_else(|| DEFAULT.to_owned());
    let built = target.as_ref().map_or_else(fallback, |target| target.line.clone());
    // A site in the browser has no runtime here.
    let runs = !matches!(shape, Shape::Project(project) if project.kind == Kind::Wasm);
    let asked = set.clone().filter(|_| runs && setting.is_some_and(|(_, key)| key == "dotnet"));
    let runtime = asked.clone().filter(|asked| order(asked) >= order(&built));
    let runtime = runtime.unwrap_or_else(|| built.clone());
    let pinned = set.or_else(|| sdk_pin(facts)).or(elsewhere);
    let pinned = pinned.filter(|pin| LINES.contains(&pin.as_str()));
    let sdk = pinned.into_iter().chain([built.clone()]).max_by_key(|one| order(one));
    let newer = order(&runtime) > order(&built);
    Ok(Chosen {
        sdk: Toolchain::new("dotnet-sdk", sdk.unwrap_or_default()),
        warnings: warnings(asked.as_deref(), &runtime, &built),
        runtime: Toolchain::new("dotnet", runtime),
        rolls: newer || target.as_ref().is_some_and(|target| target.rolls),
        framework: target.and_then(|target| target.chosen),
        evidence,
    })
}

/// What to say of the runtime for what was built for another than is asked for, and of its support.
fn warnings(asked: Option<&str>, runtime: &str, built: &str) -> Vec<String> {
    let lower = asked.filter(|asked| order(asked) < order(built)).map(|asked| {
        format!(
            "windlass.toml asks for the runtime .NET {asked}, and the application is built for {built}: {asked} \
             cannot run it, so {built} is taken: raise or remove build.toolchain.dotnet"
        )
    });
    let ended = ENDED.iter().find(|(line, _)| *line == runtime).map(|(line, day)| {
        let place = if runtime == built { "TargetFramework" } else { "build.toolchain.dotnet" };
        let newest = if runtime == built { format!("net{DEFAULT}") } else { DEFAULT.to_owned() };
        format!("support for .NET {line} ended on {day}: move {place} to {newest}")
    });
    lower.into_iter().chain(ended).collect()
}

struct Target {
    line: String,
    rolls: bool,
    chosen: Option<String>,
}

/// The line that the application is built for.
fn target(facts: &Facts, shape: &Shape) -> Result<(Option<Target>, Option<Evidence>), PluginError> {
    let project = match shape {
        Shape::Prebuilt(prebuilt) => {
            let Some(built) = &prebuilt.runtime else {
                return Ok((None, None));
            };
            let file = format!("{}.runtimeconfig.json", prebuilt.name);
            let (line, rolls) = offered(built).ok_or_else(|| unsupported(&file, built))?;
            return Ok((Some(Target { line, rolls, chosen: None }), None));
        }
        Shape::Project(project) => project,
    };
    if project.frameworks.is_empty() {
        return Ok((None, None));
    }
    let asked = facts.settings.build.toolchain.get("dotnet").and_then(|text| line(text));
    let mut fitting: Vec<(&String, String)> = project
        .frameworks
        .iter()
        .filter(|name| !name.contains('-'))
        .filter_map(|name| Some((name, line(name)?)))
        .filter(|(_, line)| offered(line).is_some())
        .collect();
    // The runtime that is asked for runs what is built for an older one, and nothing newer.
    let runs_on = |line: &str| asked.as_ref().is_none_or(|asked| order(line) <= order(asked));
    fitting.sort_by_key(|(_, line)| (runs_on(line), order(line)));
    let shown = project.frameworks.join(";");
    let found = fitting.pop().and_then(|(name, line)| Some((name, offered(&line)?)));
    let (name, (line, rolls)) = found.ok_or_else(|| unsupported(&project.frameworks_in, &shown))?;
    let chosen = (project.frameworks.len() > 1).then(|| name.clone());
    let evidence = Evidence::new(&project.frameworks_in, format!("TargetFramework {shown}"));
    Ok((Some(Target { line, rolls, chosen }), Some(evidence)))
}

/// The line that is there for one that is asked for, and whether it is another: what is older than all of
/// them runs on the oldest.
fn offered(line: &str) -> Option<(String, bool)> {
    if LINES.contains(&line) {
        return Some((line.to_owned(), false));
    }
    let older = (2, 0) <= order(line) && order(line) < order(LINES[0]);
    older.then(|| (LINES[0].to_owned(), true))
}

/// The line that another platform is told, if it is there.
fn elsewhere(facts: &Facts) -> Option<String> {
    let pin = wanted::elsewhere(facts.source, &["dotnet-sdk", "dotnet"])?;
    line(&pin.requirement).filter(|line| LINES.contains(&line.as_str()))
}

/// The line of the SDK that a file asks for.
fn sdk_pin(facts: &Facts) -> Option<String> {
    let global: serde_json::Value =
        serde_json::from_str(facts.text("global.json").trim_start_matches('\u{feff}'))
            .unwrap_or_default();
    let global = global["sdk"]["version"].as_str().and_then(line);
    let tools = || {
        let names = ["dotnet", "dotnet-core", "dotnet-sdk"];
        pins::tool_versions(&facts.text(".tool-versions"), &names).and_then(line)
    };
    let mise = || {
        let of = |file| line(&pins::mise(&facts.text(file), &["dotnet", "dotnet-core"])?);
        pins::MISE.into_iter().find_map(of)
    };
    global.or_else(tools).or_else(mise)
}

/// `8.0.404`, `net8.0`, `netcoreapp3.1`, `8` → `8.0`.
pub(crate) fn line(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches(['v', '^', '~', '=', '>', ' ']);
    let text = text.strip_prefix("netcoreapp").or_else(|| text.strip_prefix("net")).unwrap_or(text);
    let mut parts = text.split(['.', '-', ' ']);
    let major: u32 = parts.next()?.parse().ok().filter(|major| *major < 40)?;
    let minor: u32 = match parts.next() {
        None | Some("x" | "*") => 0,
        Some(part) => part.parse().ok()?,
    };
    Some(format!("{major}.{minor}"))
}

fn order(line: &str) -> (u32, u32) {
    let (major, minor) = line.split_once('.').unwrap_or((line, "0"));
    (major.parse().unwrap_or_default(), minor.parse().unwrap_or_default())
}

fn unsupported(file: &str, asked: &str) -> PluginError {
    PluginError::new(
        "dotnet.version-unsupported",
        format!("{file} asks for {asked}, and Windlass provides .NET {}", LINES.join(", ")),
    )
    .hint(format!("set TargetFramework to net{DEFAULT} in the project, and deploy again"))
}
