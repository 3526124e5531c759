//! The keys of `windlass.toml`: which there are, which are supported, and how they become
//! [`Settings`].

use toml::{Table, Value};

use super::toolchain;
use super::{
    Build, Deploy, Drain, Health, KEEP_PRESETS, Layers, Migrate, Network, Process, Run, Settings,
    Strategy, Supersede, Validate, Volume,
};
use super::{parse_bytes, parse_duration_ms};
use crate::failure::Failure;
use crate::id::EnvironmentName;
use crate::spelling::distance;

/// Keys that are acted on. `*` stands for one name that the user chooses.
const SUPPORTED: [&str; 40] = [
    "name",
    "build.app_dir",
    "build.framework",
    "build.toolchain.*",
    "build.install",
    "build.command",
    "build.output",
    "build.lfs",
    "run.command",
    "run.port",
    "run.memory",
    "run.cpu",
    "run.replicas",
    "run.volumes",
    "run.processes.*.command",
    "run.processes.*.replicas",
    "migrate",
    "migrate.command",
    "health.path",
    "health.status",
    "health.timeout",
    "deploy.strategy",
    "deploy.drain.plain",
    "deploy.drain.streaming",
    "deploy.drain.upgraded",
    "deploy.keep_deployments",
    "deploy.keep_artifacts",
    "deploy.paths",
    "deploy.supersede",
    "build.required_variables",
    "run.required_variables",
    "validate.command",
    "validate.timeout",
    "deploy.before_switch",
    "network.allow",
    "build.dockerfile",
    "build.target",
    "build.args.*",
    "stages",
    "cron",
];

/// Keys whose value is text.
const TEXT: [&str; 21] = [
    "build.app_dir",
    "build.framework",
    "build.toolchain.*",
    "build.install",
    "build.command",
    "build.output",
    "run.command",
    "run.memory",
    "run.processes.*.command",
    "migrate.command",
    "health.path",
    "health.status",
    "health.timeout",
    "deploy.drain.plain",
    "deploy.drain.streaming",
    "deploy.drain.upgraded",
    "validate.command",
    "validate.timeout",
    "build.dockerfile",
    "build.target",
    "build.args.*",
];

/// Most instances of one process that the file can ask for.
const REPLICAS_MAX: u32 = 50;

/// Refuses unknown keys.
pub(super) fn check(table: &Table) -> Result<(), Failure> {
    for (key, value) in table {
        if key == "environments" {
            check_environments(value)?;
        } else {
            check_key(key, value, "")?;
        }
    }
    Ok(())
}

fn check_environments(value: &Value) -> Result<(), Failure> {
    let Value::Table(environments) = value else {
        return Err(wrong(
            "environments",
            "a table for each environment, as [environments.staging]",
        ));
    };
    for (name, own) in environments {
        let prefix = format!("environments.{name}.");
        if let Err(e) = name.parse::<EnvironmentName>() {
            return Err(wrong(&format!("environments.{name}"), &e.to_string()));
        }
        let Value::Table(own) = own else {
            return Err(wrong(&format!("environments.{name}"), "a table"));
        };
        for (key, value) in own {
            if key == "name" {
                return Err(wrong(
                    &format!("{prefix}name"),
                    "nothing here: a project has one name",
                ));
            }
            check_key(key, value, &prefix)?;
        }
    }
    Ok(())
}

/// Walks down to the leaves; `shown` is what stands before the key in messages.
fn check_key(path: &str, value: &Value, shown: &str) -> Result<(), Failure> {
    if SUPPORTED.iter().any(|key| matches(key, path)) && !value.is_table() {
        return match path.strip_prefix("build.toolchain.").and_then(toolchain::meant) {
            Some(meant) => Err(unknown_but(path, &format!("build.toolchain.{meant}"), shown)),
            None => Ok(()),
        };
    }
    let Value::Table(table) = value else {
        return Err(unknown(path, shown));
    };
    let is_parent = |key: &str| {
        key.split('.').count() > path.split('.').count()
            && matches(
                &key.split('.').take(path.split('.').count()).collect::<Vec<_>>().join("."),
                path,
            )
    };
    if !SUPPORTED.into_iter().any(is_parent) {
        return Err(unknown(path, shown));
    }
    table.iter().try_for_each(|(key, value)| check_key(&format!("{path}.{key}"), value, shown))
}

/// Whether it is a key, or the beginning of one.
pub(super) fn is_key(path: &str) -> bool {
    SUPPORTED.into_iter().flat_map(prefixes).any(|key| matches(key, path))
}

/// Whether the value of a key is text.
pub(super) fn takes_text(path: &str) -> bool {
    TEXT.iter().any(|key| matches(key, path))
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut a, mut b) = (pattern.split('.'), path.split('.'));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(x), Some(y)) if x == "*" || x == y => {}
            _ => return false,
        }
    }
}

/// Lays the environment's tables over the common ones.
pub(super) fn of_environment(mut table: Table, environment: &EnvironmentName) -> Table {
    let own = table.remove("environments").and_then(|value| match value {
        Value::Table(mut all) => all.remove(environment.as_str()),
        _ => None,
    });
    if let Some(Value::Table(own)) = own {
        lay_over(&mut table, own);
    }
    table
}

/// Reads the values.
pub(super) fn read(table: Table) -> Result<Settings, Failure> {
    let root = Value::Table(table);
    Ok(Settings {
        name: string(&root, "name")?
            .map(|name| name.parse().map_err(|e: crate::id::InvalidId| wrong("name", e.rule)))
            .transpose()?,
        build: read_build(&root)?,
        run: read_run(&root)?,
        migrate: read_migrate(&root)?,
        health: Health {
            path: string(&root, "health.path")?
                .map(|path| match path.strip_prefix('/') {
                    Some(rest) if !rest.contains(|c: char| c.is_control() || c == ' ') => Ok(path),
                    _ => Err(wrong("health.path", "a path with a leading slash, as \"/up\"")),
                })
                .transpose()?,
            status: string(&root, "health.status")?,
            timeout_ms: duration(&root, "health.timeout")?,
        },
        deploy: read_deploy(&root)?,
        validate: Validate {
            command: string(&root, "validate.command")?,
            timeout_ms: duration(&root, "validate.timeout")?,
        },
        network: Network { allow: parsed(&root, "network.allow")? },
        stages: super::stages::read(&root)?,
        cron: super::cron::read(&root)?,
        layers: Layers::default(),
    })
}

pub(super) fn lay_over(base: &mut Table, own: Table) {
    for (key, value) in own {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(own)) => lay_over(base, own),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

fn read_build(root: &Value) -> Result<Build, Failure> {
    let app_dir = string(root, "build.app_dir")?.unwrap_or_default();
    let output = string(root, "build.output")?;
    let dockerfile = string(root, "build.dockerfile")?;
    for (key, path) in [
        ("build.app_dir", Some(&app_dir)),
        ("build.output", output.as_ref()),
        ("build.dockerfile", dockerfile.as_ref()),
    ] {
        if path.is_some_and(|p| p.starts_with('/') || p.split('/').any(|part| part == "..")) {
            return Err(wrong(key, "a relative path inside the source"));
        }
    }
    let mut build = Build {
        app_dir: app_dir.trim_matches('/').trim_start_matches("./").to_owned(),
        framework: string(root, "build.framework")?,
        install: string(root, "build.install")?,
        command: string(root, "build.command")?,
        output,
        dockerfile,
        target: string(root, "build.target")?,
        lfs: boolean(root, "build.lfs")?,
        required_variables: parsed(root, "build.required_variables")?,
        ..Build::default()
    };
    if build.app_dir == "." {
        build.app_dir.clear();
    }
    if let Some(args) = get(root, "build.args") {
        let expected = || wrong("build.args", "a table of texts, as args = { VERSION = \"1.2\" }");
        for name in args.as_table().ok_or_else(expected)?.keys() {
            let value = string(root, &format!("build.args.{name}"))?;
            build.args.extend(value.map(|value| (name.clone(), value)));
        }
    }
    if let Some(table) = get(root, "build.toolchain").and_then(Value::as_table) {
        for name in table.keys() {
            let key = format!("build.toolchain.{name}");
            if let Some(requirement) = string(root, &key)? {
                if !toolchain::is_requirement(&requirement) {
                    return Err(wrong(&key, toolchain::FORMS));
                }
                build.toolchain.insert(name.clone(), requirement);
            }
        }
    }
    Ok(build)
}

fn read_run(root: &Value) -> Result<Run, Failure> {
    let mut run = Run { command: string(root, "run.command")?, ..Run::default() };
    if let Some(port) = integer(root, "run.port")? {
        run.port = match u16::try_from(port) {
            Ok(port) if port > 0 => Some(port),
            _ => return Err(wrong("run.port", "a port from 1 to 65535")),
        };
    }
    if let Some(memory) = string(root, "run.memory")? {
        let bytes = parse_bytes(&memory).filter(|bytes| *bytes >= 4 << 20);
        run.memory_bytes = Some(
            bytes.ok_or_else(|| wrong("run.memory", "a size of 4MiB or more, as \"512MiB\""))?,
        );
    }
    run.cpu_millis = read_cpu(root)?;
    run.required_variables = parsed(root, "run.required_variables")?;
    if let Some(table) = get(root, "run.processes").and_then(Value::as_table) {
        for name in table.keys() {
            let key = format!("run.processes.{name}");
            let process = name.parse().map_err(|e: crate::id::InvalidId| wrong(&key, e.rule))?;
            if name == "web" {
                return Err(wrong(&key, "another name: the web process is run.command"));
            }
            let command = string(root, &format!("{key}.command"))?
                .ok_or_else(|| wrong(&key, "a command, as command = \"node worker.js\""))?;
            let replicas = replicas(root, &format!("{key}.replicas"), 0)?;
            run.processes.insert(process, Process { command, replicas });
        }
    }
    run.replicas = replicas(root, "run.replicas", 1)?;
    run.volumes = read_volumes(root)?;
    if run.replicas.is_some_and(|n| n > 1) && run.volumes.iter().any(|volume| !volume.shared) {
        return Err(wrong(
            "run.replicas",
            "1, because a volume is not shared; or shared = true for each volume",
        ));
    }
    Ok(run)
}

fn replicas(root: &Value, key: &str, min: u32) -> Result<Option<u32>, Failure> {
    integer(root, key)?
        .map(|n| u32::try_from(n).ok().filter(|n| (min..=REPLICAS_MAX).contains(n)))
        .map(|n| n.ok_or_else(|| wrong(key, &format!("a number from {min} to {REPLICAS_MAX}"))))
        .transpose()
}

/// `run.volumes = [{ name = "uploads", path = "/app/uploads", shared = true }]`
fn read_volumes(root: &Value) -> Result<Vec<Volume>, Failure> {
    const KEY: &str = "run.volumes";
    let shape = || wrong(KEY, "a list as [{ name = \"uploads\", path = \"/app/uploads\" }]");
    let list = match get(root, KEY) {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(shape()),
    };
    let mut volumes: Vec<Volume> = Vec::new();
    for value in list {
        let table = value.as_table().ok_or_else(shape)?;
        if let Some(unknown) =
            table.keys().find(|k| !["name", "path", "shared"].contains(&k.as_str()))
        {
            return Err(wrong(KEY, &format!("only name, path and shared, not {unknown:?}")));
        }
        let name = string(value, "name")?.ok_or_else(shape)?;
        let name = name.parse().map_err(|e: crate::id::InvalidId| wrong(KEY, e.rule))?;
        let path = string(value, "path")?.ok_or_else(shape)?;
        let path = path.trim_end_matches('/').to_owned();
        let inside = path.starts_with('/') && path.split('/').skip(1).all(is_folder_name);
        if !inside {
            return Err(wrong(KEY, "an absolute path other than / for each volume"));
        }
        let shared = match table.get("shared") {
            None => false,
            Some(Value::Boolean(shared)) => *shared,
            Some(_) => return Err(wrong(KEY, "shared = true or shared = false")),
        };
        let volume = Volume { name, path, shared };
        if volumes.iter().any(|other| other.name == volume.name || other.path == volume.path) {
            return Err(wrong(KEY, "each name and each path once"));
        }
        volumes.push(volume);
    }
    Ok(volumes)
}

fn is_folder_name(part: &str) -> bool {
    !part.is_empty() && part != "." && part != ".."
}

fn read_cpu(root: &Value) -> Result<Option<u32>, Failure> {
    let Some(value) = get(root, "run.cpu") else {
        return Ok(None);
    };
    let cores = match value {
        Value::Float(cores) => *cores,
        Value::Integer(cores) => f64::from(i32::try_from(*cores).unwrap_or(0)),
        _ => 0.0,
    };
    if !(0.01..=1024.0).contains(&cores) {
        return Err(wrong("run.cpu", "a number of cores from 0.01 to 1024, as 1.5"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be between 0.01 and 1024"
    )]
    let millis = (cores * 1000.0).round() as u32;
    Ok(Some(millis))
}

fn read_migrate(root: &Value) -> Result<Option<Migrate>, Failure> {
    let value = match get(root, "migrate") {
        Some(Value::Table(_)) => get(root, "migrate.command"),
        other => other,
    };
    match value {
        None => Ok(None),
        Some(Value::Boolean(false)) => Ok(Some(Migrate::Never)),
        Some(Value::String(command)) if !command.trim().is_empty() => {
            Ok(Some(Migrate::Command(command.clone())))
        }
        Some(_) => Err(wrong("migrate.command", "a command, or false to run none")),
    }
}

fn read_deploy(root: &Value) -> Result<Deploy, Failure> {
    let strategy = match string(root, "deploy.strategy")?.as_deref() {
        None => None,
        Some("blue-green") => Some(Strategy::BlueGreen),
        Some("recreate") => Some(Strategy::Recreate),
        Some(_) => return Err(wrong("deploy.strategy", "\"blue-green\" or \"recreate\"")),
    };
    let exclusive = read_volumes(root)?.iter().any(|volume| !volume.shared);
    if strategy == Some(Strategy::BlueGreen) && exclusive {
        return Err(wrong(
            "deploy.strategy",
            "\"recreate\", because a volume is not shared; or shared = true for each volume",
        ));
    }
    let default = Drain::default();
    let count = |key: &str| -> Result<Option<usize>, Failure> {
        integer(root, key)?
            .map(|n| usize::try_from(n).ok().filter(|n| (1..=100_000).contains(n)))
            .map(|n| {
                n.ok_or_else(|| {
                    wrong(key, "a number from 1 to 100000; usual are 3, 10, 50 and 100")
                })
            })
            .transpose()
    };
    Ok(Deploy {
        strategy,
        drain: Drain {
            plain_ms: duration(root, "deploy.drain.plain")?.unwrap_or(default.plain_ms),
            streaming_ms: duration(root, "deploy.drain.streaming")?.unwrap_or(default.streaming_ms),
            upgraded_ms: duration(root, "deploy.drain.upgraded")?.unwrap_or(default.upgraded_ms),
        },
        keep_deployments: match keep_preset(root)? {
            None => count("deploy.keep_deployments")?,
            preset => preset,
        },
        keep_artifacts: count("deploy.keep_artifacts")?,
        paths: strings(root, "deploy.paths", "a list of globs, as [\"apps/web/**\"]")?,
        supersede: match string(root, "deploy.supersede")?.as_deref() {
            None | Some("queued") => Supersede::Queued,
            Some("running") => Supersede::Running,
            Some(_) => return Err(wrong("deploy.supersede", "\"queued\" or \"running\"")),
        },
        before_switch: texts(root, "deploy.before_switch")?,
    })
}

/// `deploy.keep_deployments` as one of its words.
fn keep_preset(root: &Value) -> Result<Option<usize>, Failure> {
    const KEY: &str = "deploy.keep_deployments";
    let Some(Value::String(word)) = get(root, KEY) else {
        return Ok(None);
    };
    let preset = KEEP_PRESETS.into_iter().find(|(name, _)| name == word);
    preset.map(|(_, count)| Some(count)).ok_or_else(|| {
        let names = KEEP_PRESETS.map(|(name, count)| format!("{name} ({count})")).join(", ");
        wrong(KEY, &format!("a number from 1 to 100000, or one of {names}"))
    })
}

pub(super) fn get<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(root, |value, key| value.get(key))
}

pub(super) fn string(root: &Value, path: &str) -> Result<Option<String>, Failure> {
    match get(root, path) {
        None => Ok(None),
        Some(Value::String(text)) if text.contains('\0') => {
            Err(wrong(path, "text without zero bytes"))
        }
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(wrong(path, "text in quotes")),
    }
}

/// A list of texts, none of them empty.
fn texts(root: &Value, path: &str) -> Result<Vec<String>, Failure> {
    let expected = || wrong(path, "a list of texts, as [\"one\", \"two\"]");
    let Some(value) = get(root, path) else {
        return Ok(Vec::new());
    };
    let texts = value.as_array().ok_or_else(expected)?.iter().map(|item| {
        let text = item.as_str().filter(|text| !text.trim().is_empty() && !text.contains('\0'));
        text.map(str::to_owned).ok_or_else(expected)
    });
    texts.collect()
}

/// The same, each of them read.
fn parsed<T>(root: &Value, path: &str) -> Result<Vec<T>, Failure>
where
    T: std::str::FromStr<Err = crate::id::InvalidId>,
{
    let read = |text: String| text.parse().map_err(|e: T::Err| wrong(path, e.rule));
    texts(root, path)?.into_iter().map(read).collect()
}

fn integer(root: &Value, path: &str) -> Result<Option<i64>, Failure> {
    match get(root, path) {
        None => Ok(None),
        Some(Value::Integer(number)) => Ok(Some(*number)),
        Some(_) => Err(wrong(path, "a whole number")),
    }
}

fn boolean(root: &Value, path: &str) -> Result<Option<bool>, Failure> {
    match get(root, path) {
        None => Ok(None),
        Some(Value::Boolean(value)) => Ok(Some(*value)),
        Some(_) => Err(wrong(path, "true or false")),
    }
}

fn strings(root: &Value, path: &str, expected: &str) -> Result<Vec<String>, Failure> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    match get(root, path) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => {
            let items: Option<Vec<String>> = items.iter().map(text).collect();
            items.ok_or_else(|| wrong(path, expected))
        }
        Some(_) => Err(wrong(path, expected)),
    }
}

fn duration(root: &Value, path: &str) -> Result<Option<u64>, Failure> {
    string(root, path)?
        .map(|text| {
            parse_duration_ms(&text)
                .filter(|ms| *ms > 0)
                .ok_or_else(|| wrong(path, "a duration with its unit, as \"30s\" or \"5m\""))
        })
        .transpose()
}

/// A failure for text that is no TOML.
pub(super) fn syntax(text: &str, error: &toml::de::Error) -> Failure {
    let line =
        error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
    Failure::app(
        "settings.syntax",
        format!("windlass.toml cannot be read, line {line}"),
        error.message().to_owned(),
        "correct the line; https://toml.io shows the syntax",
    )
}

pub(super) fn wrong(key: &str, expected: &str) -> Failure {
    Failure::app(
        "settings.wrong-value",
        format!("windlass.toml: the value of `{key}` cannot be used"),
        // A rule for people begins with "use"; here it is what is expected.
        format!("expected {}", expected.strip_prefix("use ").unwrap_or(expected)),
        format!("correct `{key}` in windlass.toml, or remove it to use the default"),
    )
}

fn unknown(path: &str, shown: &str) -> Failure {
    let nearest = SUPPORTED
        .into_iter()
        .flat_map(prefixes)
        .min_by_key(|key| (!key.starts_with(path), distance(path, key), key.len()))
        .unwrap_or_default();
    unknown_but(path, nearest, shown)
}

/// The failure for a key that is not known, with the one that is nearest.
fn unknown_but(path: &str, nearest: &str, shown: &str) -> Failure {
    Failure::app(
        "settings.unknown-key",
        format!("windlass.toml: there is no key `{shown}{path}`"),
        format!("the nearest valid key is `{shown}{nearest}`"),
        format!("rename or remove `{shown}{path}`"),
    )
}

/// A key that the tables of a list do not have.
pub(super) fn unknown_of(list: &str, key: &str, known: &[&str]) -> Failure {
    let nearest = known.iter().min_by_key(|other| (distance(key, other), other.len()));
    let nearest = nearest.copied().unwrap_or_default();
    Failure::app(
        "settings.unknown-key",
        format!("windlass.toml: there is no key `{list}.{key}`"),
        format!("the nearest valid key is `{list}.{nearest}`"),
        format!("rename or remove `{list}.{key}`"),
    )
}

fn prefixes(key: &'static str) -> impl Iterator<Item = &'static str> {
    key.match_indices('.').map(|(n, _)| &key[..n]).chain(std::iter::once(key))
}
