//! Many plugins on one host, and what one of them costs: installing it, loading its code, and calling it from many
//! sides at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use windlass_model::Limits;
use windlass_model::plan::Context;
use windlass_model::plugin::Manifest;
use windlass_sandbox::{Plugin, Sandbox, SandboxConfig, inspect};
use windlass_test_support::adversaries::bytes;
use windlass_test_support::{TestHost, binary};

use crate::figure::{Figure, median};
use crate::plugin_call::policy;
use crate::start::{settled_mb, starts};

/// Plugins that are installed.
const MANY: usize = 200;
const STARTS: usize = 7;
/// Plugins whose code is loaded, one after another.
const LOADED: usize = 20;
const INSTALLED: usize = 5;
/// What the plugin that is installed is to be near, in bytes.
const LARGE_BYTES: u64 = 200 * 1024;
const CALLERS: usize = 64;
const CALLS_OF_A_CALLER: usize = 2_000;
const ROUNDS: usize = 5;

pub(crate) fn measure() -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut figures = runtime.block_on(of_the_sandbox(folder.path()))?;
    drop(runtime);
    figures.extend(of_a_host(folder.path())?);
    Ok(figures)
}

fn figure(what: &str, measured: f64, unit: &'static str, bar: Option<f64>, note: String) -> Figure {
    Figure { what: what.to_owned(), measured, unit, bar, note }
}

/// Where the bundled plugins are.
fn bundled() -> PathBuf {
    binary().with_file_name("plugins")
}

/// The same component under another name, and so of another digest: its manifest stands before its own.
fn renamed(path: &Path, name: &str) -> Result<Vec<u8>> {
    /// The kind of a section that a host may pass over.
    const CUSTOM: u8 = 0;
    let component = std::fs::read(path)?;
    let manifest = inspect(path)?.info.manifest;
    // Codes of failures begin with the name.
    let manifest = Manifest { name: name.to_owned(), failures: Vec::new(), ..manifest };
    let manifest = serde_json::to_vec(&manifest)?;
    let name = Manifest::SECTION.as_bytes();
    let mut content = Vec::new();
    bytes::number(&mut content, name.len());
    content.extend_from_slice(name);
    content.extend_from_slice(&manifest);
    let (header, rest) = component.split_at_checked(8).context("it is no component")?;
    let mut made = header.to_vec();
    bytes::section(&mut made, CUSTOM, &content);
    made.extend_from_slice(rest);
    Ok(made)
}

/// Writes the health component under many names.
fn many(folder: &Path, count: usize) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)?;
    let health = bundled().join("health.wasm");
    let one = |n: usize| {
        let path = folder.join(format!("many-{n:03}.wasm"));
        std::fs::write(&path, renamed(&health, &format!("many-{n:03}"))?)?;
        Ok(path)
    };
    (0..count).map(one).collect()
}

fn sandbox(cache: &Path) -> Result<Sandbox> {
    Ok(Sandbox::new(SandboxConfig {
        cache_dir: cache.to_owned(),
        limits: Limits::default().plugin,
        compiler: binary(),
        compiler_args: vec!["__compile".to_owned()],
        images: None,
    })?)
}

async fn of_the_sandbox(folder: &Path) -> Result<Vec<Figure>> {
    let cache = tempfile::tempdir()?;
    let files = many(&folder.join("few"), LOADED)?;
    let compiling = sandbox(cache.path())?;
    for file in &files {
        let plugin = compiling.load(file, false)?;
        compiling.prepare(&plugin).await.map_err(|e| anyhow!("{e}"))?;
    }
    let later = sandbox(cache.path())?;
    let (mut took_ms, mut plugins) = (Vec::new(), Vec::new());
    for file in &files {
        let began = Instant::now();
        let plugin = later.load(file, false)?;
        later.prepare(&plugin).await.map_err(|e| anyhow!("{e}"))?;
        took_ms.push(began.elapsed().as_secs_f64() * 1e3);
        plugins.push(plugin);
    }
    let first = plugins.into_iter().next().context("there is no plugin")?;
    let note = format!("median of {LOADED} components; read, verified, mapped and linked");
    Ok(vec![
        figure("load of a cached component", median(took_ms), "ms", Some(1.0), note),
        concurrent(later, first).await?,
    ])
}

/// How far calls from many sides at once are from using every core as well as calls from one side use one.
async fn concurrent(sandbox: Sandbox, plugin: Plugin) -> Result<Figure> {
    let cores = std::thread::available_parallelism()?.get();
    let shared = Arc::new((sandbox, plugin));
    let calls = CALLERS * CALLS_OF_A_CALLER;
    let (mut one_us, mut all_us) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let one = called(&shared, 1, calls).await? / calls as f64;
        let all = called(&shared, CALLERS, CALLS_OF_A_CALLER).await? / calls as f64;
        // The first round is there to warm up.
        if round > 0 {
            one_us.push(one * 1e6);
            all_us.push(all * 1e6);
        }
    }
    let (one, all) = (median(one_us), median(all_us));
    let (alone, together) = (1e6 / one, 1e6 / all);
    let note = format!(
        "{alone:.0} calls a second by one caller, {together:.0} by {CALLERS}, {cores} cores; median of {ROUNDS}; 1 \
         is {cores} times the calls of one caller"
    );
    let what = format!("time of a call by {CALLERS} callers at once, times cores, to that by one");
    Ok(figure(&what, all * cores as f64 / one, "×", Some(1.2), note))
}

/// Seconds until so many callers made so many calls each.
async fn called(shared: &Arc<(Sandbox, Plugin)>, callers: usize, each: usize) -> Result<f64> {
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let shared = Arc::clone(shared);
        tasks.spawn(async move {
            let (context, policy) = (Context::default(), policy());
            for _ in 0..each {
                let call = shared.0.judge(&shared.1, &context, &policy, &[]).await;
                call.result.map_err(|fault| anyhow!("{fault}"))?;
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(began.elapsed().as_secs_f64())
}

fn of_a_host(folder: &Path) -> Result<Vec<Figure>> {
    let mut host = TestHost::start();
    let installed = installs(&host, folder)?;
    let (without_ms, without_mb) = idle(&mut host)?;
    let many_at = folder.join("many");
    many(&many_at, MANY)?;
    let many_at = many_at.to_string_lossy();
    host.cli(&["plugin", "install", &many_at, "--grant", "none", "--disabled"]).ok();
    let listed = host.cli(&["plugin", "list"]).ok().stdout;
    ensure!(listed.matches("many-").count() >= MANY, "not all are installed: {listed}");
    let (with_ms, with_mb) = idle(&mut host)?;
    host.finish();
    let starts = format!("median of {STARTS} starts, from the process's start to `/readyz`");
    let memory = format!("resident: {without_mb:.1} MB without, {with_mb:.1} MB with them");
    Ok(vec![
        installed,
        figure(
            &format!("`serve` ready with {MANY} plugins"),
            with_ms,
            "ms",
            Some(500.0),
            starts.clone(),
        ),
        figure("`serve` ready without them", without_ms, "ms", None, starts),
        figure(
            &format!("idle memory that {MANY} plugins add"),
            with_mb - without_mb,
            "MB",
            Some(20.0),
            memory,
        ),
    ])
}

/// Installs a plugin under several names, each of which is compiled.
fn installs(host: &TestHost, folder: &Path) -> Result<Figure> {
    let mut found: Option<(u64, PathBuf)> = None;
    for entry in std::fs::read_dir(bundled())? {
        let path = entry?.path();
        let Ok(inspected) = inspect(&path) else { continue };
        let (bytes, manifest) = (inspected.info.bytes, inspected.info.manifest);
        let is_nearer = found
            .as_ref()
            .is_none_or(|(best, _)| bytes.abs_diff(LARGE_BYTES) < best.abs_diff(LARGE_BYTES));
        if manifest.capabilities.is_empty() && is_nearer {
            found = Some((bytes, path));
        }
    }
    let (bytes, component) = found.context("there is no bundled plugin")?;
    let mut took_ms = Vec::new();
    for n in 0..INSTALLED {
        let name = format!("large-{n}");
        let path = folder.join(format!("{name}.wasm"));
        std::fs::write(&path, renamed(&component, &name)?)?;
        let path = path.to_string_lossy();
        let began = Instant::now();
        host.cli(&["plugin", "install", &path, "--grant", "none", "--disabled"]).ok();
        took_ms.push(began.elapsed().as_secs_f64() * 1e3);
        host.cli(&["plugin", "remove", &name, "--yes"]).ok();
    }
    let name = component.file_stem().unwrap_or_default().to_string_lossy();
    let note = format!("{} KiB ({name}), compiled each time; median of {INSTALLED}", bytes / 1024);
    Ok(figure("install of a plugin, compile included", median(took_ms), "ms", Some(1500.0), note))
}

/// How soon `serve` is ready, and what it holds when nothing happens.
fn idle(host: &mut TestHost) -> Result<(f64, f64)> {
    Ok((median(starts(host, STARTS)), settled_mb(host.serve_pid())?))
}
