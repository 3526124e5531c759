//! How soon `serve` is ready when containerd is up and the plugins are compiled, and what it and the
//! proxy hold in memory when nothing happens.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use windlass_test_support::TestHost;

use crate::figure::{Figure, median};

const STARTS: usize = 7;
/// Longer than the interval in which `serve` gives free memory back.
const SETTLED_WITHIN: Duration = Duration::from_secs(12);

pub(crate) fn measure() -> Result<Vec<Figure>> {
    let mut host = TestHost::start();
    // A first detection compiles every plugin.
    let folder = windlass_test_support::fixture("html");
    let folder = folder.to_string_lossy();
    host.cli(&["deploy", &folder, "--project", "warm"]).ok();
    let mut figures = vec![Figure {
        what: "`serve` ready, containerd up, plugins compiled".to_owned(),
        measured: median(starts(&mut host, STARTS)),
        unit: "ms",
        bar: Some(300.0),
        note: format!("median of {STARTS} starts, from the process's start to `/readyz`"),
    }];
    figures.extend(memory(&host)?);
    host.finish();
    Ok(figures)
}

/// How soon `serve` is ready after each of so many starts, in milliseconds.
pub(crate) fn starts(host: &mut TestHost, count: usize) -> Vec<f64> {
    let mut took_ms = Vec::with_capacity(count);
    for _ in 0..count {
        host.stop_serve();
        let began = Instant::now();
        host.spawn_serve();
        while !ready(host) {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        took_ms.push(began.elapsed().as_secs_f64() * 1e3);
    }
    took_ms
}

fn ready(host: &TestHost) -> bool {
    let request = windlass_test_support::Request::get("localhost", "/readyz");
    windlass_test_support::http::send(host.api_address(), &request)
        .is_ok_and(|response| response.status == 200)
}

fn memory(host: &TestHost) -> Result<Vec<Figure>> {
    let serve = resident_mb(host.serve_pid())?;
    let data = host.data_dir();
    let data = data.to_string_lossy();
    let proxy = pids_with(&format!("{data}/proxy.sock")).into_iter().map(resident_mb);
    let proxy: f64 = proxy.sum::<Result<f64>>()?;
    let containerd = resident_mb(host.containerd_pid())?;
    let figure = |what: &str, measured, bar, note: &str| Figure {
        what: what.to_owned(),
        measured,
        unit: "MB",
        bar,
        note: note.to_owned(),
    };
    Ok(vec![
        figure(
            "idle memory, `serve` and proxy together",
            serve + proxy,
            Some(80.0),
            &format!("resident; serve {serve:.1}, proxy {proxy:.1}"),
        ),
        figure("idle memory, containerd", containerd, None, "resident; not part of the bar"),
    ])
}

/// The least that is resident within some seconds: what is freed goes back in intervals.
pub(crate) fn settled_mb(pid: u32) -> Result<f64> {
    let until = Instant::now() + SETTLED_WITHIN;
    let mut least = resident_mb(pid)?;
    while Instant::now() < until {
        std::thread::park_timeout(Duration::from_millis(100));
        least = least.min(resident_mb(pid)?);
    }
    Ok(least)
}

pub(crate) fn resident_mb(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .and_then(|line| line.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse().ok())
        .context("no VmRSS")?;
    Ok(kib / 1000.0 * 1.024)
}

fn pids_with(word: &str) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(word)
        })
        .collect()
}
