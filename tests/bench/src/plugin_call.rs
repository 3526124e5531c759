//! A warm call of a plugin that does next to nothing: the bundled health component is asked to judge
//! an empty list of observations. Such answers are never cached, so every call is a real one.

use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use windlass_model::Limits;
use windlass_model::plan::{Context, HealthPolicy, Probe, StatusRange};
use windlass_sandbox::{Sandbox, SandboxConfig};
use windlass_test_support::binary;

use crate::figure::{Figure, median, p99};

const WARM_UP: usize = 200;
const CALLS: usize = 5_000;

pub(crate) fn measure() -> Result<Vec<Figure>> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(calls())
}

async fn calls() -> Result<Vec<Figure>> {
    let cache = tempfile::tempdir()?;
    let windlass = binary();
    let component = windlass.with_file_name("plugins").join("health.wasm");
    let sandbox = Sandbox::new(SandboxConfig {
        cache_dir: cache.path().to_owned(),
        limits: Limits::default().plugin,
        compiler: windlass,
        compiler_args: vec!["__compile".to_owned()],
        images: None,
    })?;
    let plugin = sandbox.load(&component, true).context("loading the health component")?;
    sandbox.prepare(&plugin).await.map_err(|e| anyhow!("{e}"))?;
    let (context, policy) = (Context::default(), policy());
    let mut took_us = Vec::with_capacity(CALLS);
    for n in 0..WARM_UP + CALLS {
        let began = Instant::now();
        let call = sandbox.judge(&plugin, &context, &policy, &[]).await;
        let took = began.elapsed();
        call.result.map_err(|fault| anyhow!("{fault}"))?;
        if n >= WARM_UP {
            took_us.push(took.as_secs_f64() * 1e6);
        }
    }
    let note = format!("{CALLS} calls, one after another, each in a fresh instance");
    let figure = |what: &str, measured, bar| Figure {
        what: what.to_owned(),
        measured,
        unit: "µs",
        bar,
        note: note.clone(),
    };
    Ok(vec![
        figure("warm plugin call, median", median(took_us.clone()), Some(50.0)),
        figure("warm plugin call, 99th percentile", p99(took_us), Some(200.0)),
    ])
}

pub(crate) fn policy() -> HealthPolicy {
    HealthPolicy {
        probes: vec![Probe::Tcp { process: "web".to_owned(), port: None }],
        pass_status: vec![StatusRange { first: 200, last: 299 }],
        first_after_ms: 0,
        interval_min_ms: 10,
        interval_max_ms: 1000,
        timeout_ms: 1000,
        budget_ms: 1000,
    }
}
