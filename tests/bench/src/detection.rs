//! All detectors on a small repository and on one of 10,000 files, warm: every plugin is compiled, the files
//! are in the page cache, and no answer is kept from before, because each round has another tree digest. Then the
//! large one again under one digest, as an unchanged source is deployed again: every answer is kept.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use windlass_model::plan::Context;
use windlass_model::plugin::Stage;
use windlass_model::{Digest, Limits};
use windlass_sandbox::{Plugin, Sandbox, SandboxConfig, Source};
use windlass_test_support::{binary, fixture};

use crate::figure::{Figure, median};

const FILES: usize = 10_000;
const FILES_OF_A_FOLDER: usize = 25;
const ROUNDS: usize = 40;
const WARM_UP: usize = 5;
const MIB: f64 = 1_048_576.0;

pub(crate) fn measure() -> Result<Vec<Figure>> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(figures())
}

async fn figures() -> Result<Vec<Figure>> {
    let cache = tempfile::tempdir()?;
    let windlass = binary();
    let sandbox = Sandbox::new(SandboxConfig {
        cache_dir: cache.path().to_owned(),
        limits: Limits::default().plugin,
        compiler: windlass.clone(),
        compiler_args: vec!["__compile".to_owned()],
        images: None,
    })?;
    let (plugins, problems) = sandbox.load_dir(&windlass.with_file_name("plugins"), true);
    ensure!(problems.is_empty(), "plugins that do not load: {problems:?}");
    let detectors: Vec<Plugin> =
        plugins.into_iter().filter(|plugin| plugin.fills(Stage::Detector)).collect();
    for plugin in &detectors {
        sandbox.prepare(plugin).await.map_err(|e| anyhow!("{e}"))?;
    }
    let large = tempfile::tempdir()?;
    large_tree(large.path()).context("making a tree")?;
    let small = detect(&sandbox, &detectors, &fixture("express"), Tree::Other).await?;
    let again = detect(&sandbox, &detectors, large.path(), Tree::Same).await?;
    let large = detect(&sandbox, &detectors, large.path(), Tree::Other).await?;
    let of = |files: &str| format!("{} detectors, {files}; median of {ROUNDS}", detectors.len());
    let most = small.memory_bytes.max(large.memory_bytes) as f64 / MIB;
    Ok(vec![
        figure("detection, a small repository", small.took_ms, "ms", 5.0, of("5 files")),
        figure("detection, a large one", large.took_ms, "ms", 30.0, of("10000 files")),
        figure(
            "detection, the large one again",
            again.took_ms,
            "ms",
            2.0,
            of("10000 files, answers kept"),
        ),
        figure("memory of a detector's call, the most", most, "MiB", 32.0, of("either")),
    ])
}

fn figure(what: &str, measured: f64, unit: &'static str, bar: f64, note: String) -> Figure {
    Figure { what: what.to_owned(), measured, unit, bar: Some(bar), note }
}

struct Measured {
    took_ms: f64,
    memory_bytes: u64,
}

/// What a round is asked about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tree {
    /// Another one than the round before: nothing is kept of it.
    Other,
    /// The same.
    Same,
}

/// Asks every detector, as a deployment does.
async fn detect(
    sandbox: &Sandbox,
    detectors: &[Plugin],
    root: &Path,
    tree: Tree,
) -> Result<Measured> {
    let (context, detectors) = (Context::default(), detectors.iter().collect::<Vec<_>>());
    let (mut took_ms, mut memory_bytes) = (Vec::new(), 0);
    for round in 0..WARM_UP + ROUNDS {
        let which = if tree == Tree::Same { "same".to_owned() } else { round.to_string() };
        let digest = Digest::of(format!("{} {which}", root.display()).as_bytes());
        let began = Instant::now();
        let source = Source::open(root, digest)?;
        let mut found = 0;
        let calls = sandbox.detect_all(&detectors, &source, &context).await;
        for (plugin, call) in detectors.iter().zip(calls) {
            let kept = tree == Tree::Same && round > 0;
            ensure!(call.report.cached == kept, "{}: cached is not {kept}", plugin.name());
            memory_bytes = memory_bytes.max(call.report.memory_peak_bytes);
            let report = call.result.map_err(|fault| anyhow!("{}: {fault}", plugin.name()))?;
            found += report.detections.len();
        }
        if round >= WARM_UP {
            took_ms.push(began.elapsed().as_secs_f64() * 1e3);
        }
        ensure!(found > 0, "nothing was detected in {}", root.display());
    }
    Ok(Measured { took_ms: median(took_ms), memory_bytes })
}

/// An Express application among many folders of sources, tests and documents.
fn large_tree(root: &Path) -> Result<()> {
    for name in ["package.json", "package-lock.json", "server.js"] {
        let from = fixture("express").join(name);
        if from.exists() {
            std::fs::copy(from, root.join(name))?;
        }
    }
    let kinds = ["js", "ts", "py", "go", "md", "json", "css", "html"];
    for n in 0..FILES {
        let folder = n / FILES_OF_A_FOLDER;
        let folder = root.join(format!("src/area-{}/part-{}", folder % 20, folder / 20));
        if n % FILES_OF_A_FOLDER == 0 {
            std::fs::create_dir_all(&folder)?;
        }
        let name = format!("file-{n}.{}", kinds[n % kinds.len()]);
        std::fs::write(folder.join(name), format!("// file {n}\n"))?;
    }
    Ok(())
}
