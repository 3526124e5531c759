//! Custom stages at every hook of the pipeline: the tests of the sandbox and the end-to-end tests show with
//! them what stages may do, and what becomes of those that fail.
//!
//! `inspect` counts the files that it may see and passes the number on; `report` attaches it as an artifact and
//! notes it; `gate` opens or stays shut; `tell` runs in the background and fails as often as it is told;
//! `act` does whatever its options name, at any hook.

use serde::{Deserialize, Serialize};
use windlass_sdk::annotations::{Annotation, Tone};
use windlass_sdk::artifacts::{Artifact, Kind};
use windlass_sdk::custom::{Facts, Input, Outcome, OutputKind, Schedule};
use windlass_sdk::exec::{self, Command};
use windlass_sdk::http::Request;
use windlass_sdk::{Context, Custom, PluginError, Source, annotations, cache, log};

/// The guest.
#[derive(Debug)]
pub struct Stages;

/// What can be set for a stage.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// `gate`: whether it stays shut.
    shut: bool,
    /// `tell`: how often it fails before it does not.
    failures: u32,
    /// `tell`: whether what fails is not worth another try.
    finally: bool,
    /// `act`: a command, in the first output.
    command: Vec<String>,
    /// `act`: variables of the environment that the command gets.
    variables: Vec<String>,
    /// `act`: whether the command's lines are read while it runs.
    lines: bool,
    /// `act`: a URL that is fetched.
    url: String,
    /// `act`: a secret that the request carries.
    secret: String,
    /// `act`: the times of `command`, which is then no command of the stage but a schedule of the version.
    cron: String,
    /// `act`: files of static trees that are not served.
    withhold: Vec<String>,
    /// `act`: `loop`, `trap`, `sleep`.
    misbehave: String,
}

/// What `inspect` passes on.
#[derive(Debug, Serialize, Deserialize)]
struct Counted {
    files: usize,
}

impl Custom for Stages {
    fn run(
        stage: &str,
        ctx: &Context,
        source: &Source,
        facts: &Facts,
        inputs: &[Input],
    ) -> Result<Outcome, PluginError> {
        let options: Options = ctx.options()?;
        match stage {
            "inspect" => inspect(source),
            "report" => report(facts, inputs),
            "gate" => gate(facts, &options),
            "tell" => tell(facts, &options),
            "act" => act(facts, &options),
            other => {
                let what = format!("there is no stage {other:?}");
                Err(PluginError::new("test-stages.unknown-stage", what))
            }
        }
    }
}

fn inspect(source: &Source) -> Result<Outcome, PluginError> {
    let files = source.files(&[])?.len();
    log::info(format!("{files} files can be seen"));
    Ok(Outcome::done(format!("{files} files")).with_outputs(&Counted { files }))
}

fn report(facts: &Facts, inputs: &[Input]) -> Result<Outcome, PluginError> {
    let Some(input) = inputs.iter().find(|input| input.name == "files") else {
        return Ok(Outcome::skipped("nobody has counted the files"));
    };
    let counted: Counted = input.outputs()?;
    let before = cache::get("files").map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    cache::put("files", counted.files.to_string().as_bytes())
        .map_err(|error| PluginError::new("test-stages.cache", error.message))?;
    let page = format!(
        "#{} has {} files, after {}\n",
        facts.number,
        counted.files,
        before.as_deref().unwrap_or("none")
    );
    Artifact::new("files.txt", Kind::Report, "text/plain")
        .title("Files of the source")
        .attach(page.as_bytes())?;
    let noted = Annotation::new("files", counted.files.to_string()).tone(Tone::Good);
    if let Err(error) = noted.set() {
        log::warn(error.message);
    }
    Ok(Outcome::done(page.trim_end()).with_outputs(&counted))
}

fn gate(facts: &Facts, options: &Options) -> Result<Outcome, PluginError> {
    let healthy: Vec<&str> =
        facts.processes.iter().flat_map(|it| &it.addresses).map(String::as_str).collect();
    if options.shut {
        return Err(PluginError::new("test-stages.gate-shut", "the gate is shut")
            .hint("set `shut = false` in its options"));
    }
    Ok(Outcome::done(format!("open: {}", healthy.join(", "))))
}

fn tell(facts: &Facts, options: &Options) -> Result<Outcome, PluginError> {
    if facts.attempt <= options.failures {
        let why = format!("try {} of {} fails", facts.attempt, options.failures + 1);
        let error = PluginError::new("test-stages.not-told", why);
        return Err(if options.finally { error } else { error.retryable() });
    }
    annotations::set("told", &format!("{:?} at try {}", facts.state, facts.attempt));
    Ok(Outcome::done(format!("told of #{} as {:?}", facts.number, facts.state)))
}

fn act(facts: &Facts, options: &Options) -> Result<Outcome, PluginError> {
    match options.misbehave.as_str() {
        "loop" => loop {
            std::hint::black_box(facts);
        },
        "trap" => std::process::abort(),
        "sleep" => std::thread::sleep(std::time::Duration::from_secs(3_600)),
        _ => {}
    }
    if !options.cron.is_empty() || !options.withhold.is_empty() {
        return Ok(declare(facts, options));
    }
    if !options.command.is_empty() {
        return command(facts, options);
    }
    let mut request = Request::get(&options.url);
    if !options.secret.is_empty() {
        let value = format!("Bearer {{{{{}}}}}", options.secret);
        request = request.header("authorization", value).secret(&options.secret);
    }
    let answer = request.send()?;
    Ok(Outcome::done(format!("{} from {}: {}", answer.status, answer.url, answer.text())))
}

fn declare(facts: &Facts, options: &Options) -> Outcome {
    let mut outcome = Outcome::done("declared");
    if !options.cron.is_empty() {
        outcome = outcome.with_schedule(Schedule::new("tick", &options.cron, &options.command));
    }
    let trees = facts.outputs.iter().filter(|output| output.kind == OutputKind::StaticTree);
    for tree in trees.filter(|_| !options.withhold.is_empty()) {
        outcome = outcome.withholding(&tree.name, &options.withhold);
    }
    outcome
}

fn command(facts: &Facts, options: &Options) -> Result<Outcome, PluginError> {
    let failed = |error: exec::ExecError| {
        PluginError::new("test-stages.command", format!("{:?}: {}", error.reason, error.message))
    };
    let output = facts.outputs.first().map_or("", |output| output.name.as_str());
    let wanted = Command::in_output(output, &options.command);
    let wanted = options.variables.iter().fold(wanted, Command::variable);
    if !options.lines {
        let exit = exec::run(&wanted).map_err(failed)?;
        return Ok(Outcome::done(format!("{}: {}", exit.code, exit.stdout().trim_end())));
    }
    let process = exec::spawn(&wanted).map_err(failed)?;
    let mut lines = Vec::new();
    let exit = process.each_line(|line| lines.push(line.text.clone()));
    Ok(Outcome::done(format!("{}: {}", exit.code, lines.join("|"))))
}

windlass_sdk::export! {
    Stages: [custom],
    name: "test-stages",
    capabilities: [
        { name: "source", paths: ["**"], reason: "counts the files" },
        { name: "exec", outputs: ["*"], reason: "runs what its options say", optional: true },
        { name: "http", hosts: ["*"], methods: ["GET"], reason: "fetches what its options say",
          optional: true },
        { name: "variables", names: ["*"], reason: "gives them to commands", optional: true },
        { name: "secrets", names: ["*"], reason: "gives them to commands", optional: true },
        { name: "artifacts", bytes_max: 1048576, reason: "attaches its report", optional: true },
        { name: "cache", bytes_max: 65536, reason: "remembers the last number", optional: true },
        { name: "annotations", reason: "notes the number", optional: true },
    ],
    custom: [
        { name: "inspect", hooks: ["after-fetch"], provides: ["files"],
          summary: "Counts the files of the source" },
        { name: "report", hooks: ["after-build"], needs: ["files"], provides: ["report"],
          summary: "Attaches the number" },
        { name: "gate", hooks: ["before-switch"], summary: "Opens or stays shut" },
        { name: "tell", hooks: ["after-switch"], summary: "Tells in the background" },
        { name: "act", hooks: ["after-fetch", "after-build", "before-switch", "after-switch"],
          summary: "Does what its options say" },
    ],
}
