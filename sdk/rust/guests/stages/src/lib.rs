//! Custom stages at every hook of the pipeline: the tests of the sandbox and the end-to-end tests show with
//! them what stages may do, and what becomes of those that fail.
//!
//! `inspect` counts the files that it may see and passes the number on; `report` attaches it as an artifact and
//! notes it; `gate` opens or stays shut; `tell` runs in the background and fails as often as it is told;
//! `act` does whatever its options name, at any hook; `left` and `right` do it on two branches after `inspect`, and
//! `join` waits for both.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use windlass_sdk::annotations::{Annotation, Tone};
use windlass_sdk::artifacts::{Artifact, Kind};
use windlass_sdk::custom::{Facts, Input, Outcome, OutputKind, Schedule};
use windlass_sdk::exec::{self, Command, Exit};
use windlass_sdk::http::{Reason, Request};
use windlass_sdk::{Context, Custom, PluginError, Source, annotations, cache, images, log};

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
    /// `act`: a command, in the first output.
    command: Vec<String>,
    /// `act`: what the command reads.
    stdin: String,
    /// `act`: how often it reads that; never means once.
    stdin_times: usize,
    /// `act`: variables of the environment that the command gets.
    variables: Vec<String>,
    /// `act`: whether the command's lines are read while it runs.
    lines: bool,
    /// `act`: a URL that is fetched.
    url: String,
    /// `act`: URLs that are fetched one after another; only how each ended is said.
    urls: Vec<String>,
    /// `act`: a secret that the request carries.
    secret: String,
    /// `act`: the times of `command`, which is then no command of the stage but a schedule of the version.
    cron: String,
    /// `act`: files of static trees that are not served.
    withhold: Vec<String>,
    /// `act`: a file of the source that is read.
    read: String,
    /// `act`: an image that is looked up.
    image: String,
    /// `act`: memory that it takes and fills, in bytes.
    take_bytes: usize,
    /// `act`: how long it computes, in milliseconds.
    compute_ms: u64,
    /// `act`: how long it waits, in milliseconds.
    wait_ms: u64,
    /// `act`: `loop`, `trap`, `panic`, `sleep`; `put-forever`, `append-forever`, `annotate-forever`, `spawn-forever`.
    misbehave: String,
}

/// What `inspect` passes on.
#[derive(Debug, Serialize, Deserialize)]
struct Counted {
    files: usize,
}

/// What `left` and `right` pass on.
#[derive(Debug, Serialize, Deserialize)]
struct Branch {
    name: String,
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
            "act" => act(source, facts, &options),
            "left" | "right" => {
                let branch = Branch { name: stage.to_owned() };
                Ok(act(source, facts, &options)?.with_outputs(&branch))
            }
            "join" => join(inputs),
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
        return Err(PluginError::new("test-stages.not-told", why).retryable());
    }
    annotations::set("told", &format!("{:?} at try {}", facts.state, facts.attempt));
    Ok(Outcome::done(format!("told of #{} as {:?}", facts.number, facts.state)))
}

fn act(source: &Source, facts: &Facts, options: &Options) -> Result<Outcome, PluginError> {
    match options.misbehave.as_str() {
        "loop" => loop {
            std::hint::black_box(facts);
        },
        "trap" => std::process::abort(),
        "panic" => panic!("as asked"),
        "sleep" => std::thread::sleep(Duration::from_secs(3_600)),
        how if how.ends_with("-forever") => ask_for_ever(how, facts)?,
        _ => {}
    }
    if !options.cron.is_empty() || !options.withhold.is_empty() {
        return Ok(declare(facts, options));
    }
    if !options.command.is_empty() {
        return command(facts, options);
    }
    if !options.urls.is_empty() {
        let ends: Vec<String> = options.urls.iter().map(|url| end(url)).collect();
        return Ok(Outcome::done(ends.join(" ")));
    }
    if !options.read.is_empty() {
        let text = source.text(&options.read)?;
        return Ok(Outcome::done(text.unwrap_or_else(|| "there is no such file".to_owned())));
    }
    if !options.image.is_empty() {
        return look_up(&options.image);
    }
    if options.take_bytes > 0 || options.compute_ms > 0 || options.wait_ms > 0 {
        return Ok(use_up(options));
    }
    let mut request = Request::get(&options.url);
    if !options.secret.is_empty() {
        let value = format!("Bearer {{{{{}}}}}", options.secret);
        request = request.header("authorization", value).secret(&options.secret);
    }
    let answer = request.send()?;
    Ok(Outcome::done(format!("{} from {}: {}", answer.status, answer.url, answer.text())))
}

/// Asks the host for the same for ever; what it is refused, and why, is said once.
fn ask_for_ever(how: &str, facts: &Facts) -> Result<(), PluginError> {
    let output = facts.outputs.first().map_or("", |output| output.name.as_str());
    let nap = Command::in_output(output, ["sleep", "3600"]);
    let file = Artifact::new("more.txt", Kind::File, "text/plain");
    if how == "append-forever" {
        file.attach(b"m")?;
    }
    let mut said = String::new();
    for turn in 0_u64.. {
        let done = match how {
            "put-forever" => {
                cache::put(&format!("key {}", turn % 100), &[0; 500]).map_err(|e| e.message)
            }
            "append-forever" => file.append(b"m").map_err(|e| e.message),
            "annotate-forever" => {
                Annotation::new("turn", turn.to_string()).set().map_err(|e| e.message)
            }
            // What is dropped is ended.
            _ => exec::spawn(&nap).map(drop).map_err(|e| e.message),
        };
        if let Err(why) = done.map_err(|why| (why != said).then_some(why))
            && let Some(why) = why
        {
            log::warn(&why);
            said = why;
        }
    }
    Ok(())
}

/// Uses what it is told to, and says so.
fn use_up(options: &Options) -> Outcome {
    let taken = vec![1_u8; options.take_bytes];
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(options.compute_ms) {
        std::hint::black_box(&taken);
    }
    std::thread::sleep(Duration::from_millis(options.wait_ms));
    Outcome::done(format!("{} bytes taken", taken.len()))
}

fn join(inputs: &[Input]) -> Result<Outcome, PluginError> {
    let mut names = Vec::new();
    for input in inputs {
        let branch: Branch = input.outputs()?;
        names.push(branch.name);
    }
    Ok(Outcome::done(format!("after {}", names.join(" and "))))
}

/// How a request ends, in a word.
fn end(url: &str) -> String {
    match Request::get(url).send() {
        Ok(answer) => answer.status.to_string(),
        Err(error) => match error.reason {
            Reason::Denied => "denied".to_owned(),
            other => format!("{other:?}"),
        },
    }
}

fn look_up(image: &str) -> Result<Outcome, PluginError> {
    let found = images::config(image, "linux/amd64").map_err(|error| {
        PluginError::new("test-stages.image", format!("{image} is not known: {error}"))
    })?;
    Ok(Outcome::done(format!("{image} has {} ports", found.exposed.len())))
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
    let stdin = options.stdin.repeat(options.stdin_times.max(1));
    let wanted = Command::in_output(output, &options.command).stdin(stdin);
    let wanted = options.variables.iter().fold(wanted, Command::variable);
    if !options.lines {
        let exit = exec::run(&wanted).map_err(failed)?;
        return Ok(Outcome::done(format!("{}: {}", code(&exit), exit.stdout().trim_end())));
    }
    let process = exec::spawn(&wanted).map_err(failed)?;
    let mut lines = Vec::new();
    let exit = process.each_line(|line| lines.push(line.text.clone()));
    Ok(Outcome::done(format!("{}: {}", code(&exit), lines.join("|"))))
}

/// How a command ended.
fn code(exit: &Exit) -> String {
    let how = if exit.timed_out { " at its time" } else { "" };
    format!("{}{how}", exit.code)
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
        { name: "limits", wall_ms: 60000, cpu_ms: 30000, memory_bytes: 268435456,
          reason: "uses what its options say", optional: true },
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
        { name: "left", hooks: ["after-build"], needs: ["files"], provides: ["left"],
          summary: "Does what its options say on a branch" },
        { name: "right", hooks: ["after-build"], needs: ["files"], provides: ["right"],
          summary: "Does what its options say on another branch" },
        { name: "join", hooks: ["after-build"], needs: ["left", "right"], summary: "Waits for both" },
    ],
}
