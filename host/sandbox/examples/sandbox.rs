//! A host in one page: asks every plugin of a folder what an application is.
//!
//! `cargo run -p windlass-sandbox --example sandbox -- <folder of plugins> <folder of source>`
//!
//! The tests use its other role: it is the program that compiles.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

use std::path::PathBuf;

use windlass_model::Digest;
use windlass_model::limits::PluginLimits;
use windlass_model::plan::Context;
use windlass_model::plugin::Stage;
use windlass_sandbox::{Sandbox, SandboxConfig, Source, compile_main};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [role, rest @ ..] if role == "__compile" => std::process::exit(compile_main(rest)),
        [plugins, source] => detect(plugins.into(), source.into()).await,
        _ => Err("usage: sandbox <folder of plugins> <folder of source>".into()),
    }
}

async fn detect(plugins: PathBuf, source: PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    let cache = std::env::temp_dir().join("windlass-sandbox-example");
    let sandbox = Sandbox::new(SandboxConfig {
        cache_dir: cache,
        limits: PluginLimits::default(),
        compiler: std::env::current_exe()?,
        compiler_args: vec!["__compile".to_owned()],
        images: None,
    })?;
    let (plugins, problems) = sandbox.load_dir(&plugins, true);
    for problem in problems {
        eprintln!("{problem}");
    }
    // The folder may change between two runs: a digest of the moment, so that no answer is replayed.
    let moment = format!("{:?}", std::time::SystemTime::now());
    let source = Source::open(source, Digest::of(moment.as_bytes()))?;
    let context = Context { platform: "linux/amd64".to_owned(), ..Context::default() };
    for plugin in plugins.iter().filter(|plugin| plugin.fills(Stage::Detector)) {
        let call = sandbox.detect(plugin, &source, &context).await;
        println!("{}", serde_json::to_string_pretty(&call.report)?);
        match call.result {
            Ok(report) => println!("{}", serde_json::to_string_pretty(&report)?),
            Err(fault) => println!("{}", fault.to_failure(plugin.name(), Stage::Detector)),
        }
    }
    Ok(())
}
