//! How fast a component is: compiling, loading, and warm calls of each function and each custom stage.

use std::time::Instant;

use windlass_model::Failure;
use windlass_model::author::{Answered, Bench, BenchPlugin, Benched};
use windlass_model::plan::Context;
use windlass_model::plugin::Stage;

use super::ask::{self, Askable, Subject};
use super::component::{self, Loaded};
use crate::local::Config;

/// Calls before those that count.
const WARM_UP: u32 = 20;

/// Measures a component.
///
/// Everything is kept in a folder of its own, so that nothing was compiled or answered before. Each call is
/// told the name of another variable, so that none is answered from what is kept. Commands and requests of a custom
/// stage are answered at once from the context: what is measured is the component.
///
/// # Errors
/// As [`run`](super::run), `plugin.stage-not-filled`; and the fault of a call that fails.
pub async fn bench(config: &Config, request: &BenchPlugin) -> Result<Bench, Failure> {
    let component = component::find(&request.ask.plugin)?;
    let (source, told) = super::meant(&request.ask, &component)?;
    let scratch = fresh(config)?;
    let fresh = Config { cache_dir: scratch.path().to_owned(), ..config.clone() };
    let plugin = Loaded::open(&fresh, &component)?;
    let began = Instant::now();
    let prepared = plugin.sandbox.prepare(&plugin.plugin).await;
    prepared.map_err(|e| component::not_loadable(&component, &e))?;
    let compile_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let began = Instant::now();
    let again = plugin.again(&component)?;
    let mapped = plugin.sandbox.prepare(&again).await;
    mapped.map_err(|e| component::not_loadable(&component, &e))?;
    let load_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let subject = Subject::open(&fresh, &source, told)?;
    let Askable { functions: asked, learned, not_asked } =
        ask::askable(&plugin, &subject, request.ask.stage).await?;
    let mut functions = Vec::new();
    for (function, inputs) in asked {
        let call = async |context: Context| {
            let call = ask::one(&plugin, function, &subject, &context, &inputs).await.ok()?;
            Some(ask::answered(function.name(), call))
        };
        functions.push(measure(function.name(), &subject.context, request.calls, call).await?);
    }
    let custom = &plugin.plugin.info().manifest.custom;
    let is_wanted = request.ask.stage.is_none_or(|stage| stage == Stage::Custom);
    for stage in custom.iter().filter(|_| is_wanted) {
        let call = async |context: Context| {
            Some(Box::pin(ask::custom(&plugin, stage, &subject, &context, &learned)).await)
        };
        let name = format!("stage {}", stage.name);
        functions.push(measure(&name, &subject.context, request.calls, call).await?);
    }
    let name = plugin.name().to_owned();
    let bytes = plugin.plugin.info().bytes;
    Ok(Bench { plugin: name, bytes, compile_ms, load_us, functions, not_asked })
}

fn fresh(config: &Config) -> Result<tempfile::TempDir, Failure> {
    let made = std::fs::create_dir_all(&config.cache_dir)
        .and_then(|()| tempfile::Builder::new().prefix("bench-").tempdir_in(&config.cache_dir));
    made.map_err(|e| {
        Failure::host(
            "detect.sandbox",
            "the plugin sandbox could not be set up",
            e.to_string(),
            "check the permissions of the cache folder (XDG_CACHE_HOME)",
        )
    })
}

/// Makes a call again and again; one that answers nothing is the last.
async fn measure(
    function: &str,
    context: &Context,
    calls: u32,
    call: impl AsyncFn(Context) -> Option<Answered>,
) -> Result<Benched, Failure> {
    let mut took_us = Vec::new();
    let mut memory_peak_bytes = 0;
    for n in 0..WARM_UP.saturating_add(calls) {
        let mut context = context.clone();
        context.variable_names.push(format!("WINDLASS_BENCH_{n}"));
        let Some(answered) = call(context).await else { break };
        if let Some(failure) = answered.failure {
            return Err(failure);
        }
        if n >= WARM_UP {
            took_us.push(answered.report.took_us);
            memory_peak_bytes = memory_peak_bytes.max(answered.report.memory_peak_bytes);
        }
    }
    took_us.sort_unstable();
    Ok(Benched {
        function: function.to_owned(),
        calls: u32::try_from(took_us.len()).unwrap_or(u32::MAX),
        median_us: part(&took_us, 50),
        p99_us: part(&took_us, 99),
        max_us: took_us.last().copied().unwrap_or_default(),
        memory_peak_bytes,
    })
}

/// The smallest of the sorted times that `percent` of them do not exceed.
fn part(sorted: &[u64], percent: usize) -> u64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn the_median_is_the_middle_and_the_99th_percentile_leaves_one_in_a_hundred() {
        let times: Vec<u64> = (1..=100).collect();
        assert_eq!((part(&times, 50), part(&times, 99)), (50, 99));
        assert_eq!((part(&[7], 50), part(&[7], 99)), (7, 7));
        assert_eq!(part(&[], 50), 0);
    }
}
