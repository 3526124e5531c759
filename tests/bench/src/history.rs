//! A long history: how soon `serve` is ready with it, how long any page of a list takes, and what it adds
//! to memory. And requests for deployments: one after another, and a thousand at once.

use std::ops::Range;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use windlass_model::api::{DeploymentView, Page};
use windlass_model::{Deployment, DeploymentId, DeploymentStatus, Limits, ProjectName};
use windlass_store::Store;
use windlass_test_support::{HostOptions, Request, Response, TestHost, http};

use crate::figure::{Figure, median};
use crate::start::{settled_mb, starts};

const HISTORY: usize = 10_000;
/// Half of the history is one project's, the rest is spread over so many.
const PROJECTS: usize = 50;
const STARTS: usize = 5;
const MEMORIES: usize = 3;
/// Memory is flat when twice the history adds next to nothing to a host that is started and shows its newest
/// deployments, in MB: the store's own table of where on the disk each page lies, and noise.
const FLAT_MB: f64 = 8.0;
const CREATES: usize = 100;
const AT_ONCE: usize = 1_000;

pub(crate) fn measure() -> Result<Vec<Figure>> {
    let mut host = TestHost::start_with(HostOptions::default().limit("deployments_running_max", 1));
    let folder = windlass_test_support::fixture("html");
    host.cli(&["deploy", &folder.to_string_lossy(), "--project", "sample"]).ok();
    let sample = host.show("sample", 1).deployment;
    host.stop_serve();
    let empty_mb = started_mb(&mut host)?;
    fill(&host, &sample, 0..HISTORY / 2)?;
    let half_mb = started_mb(&mut host)?;
    fill(&host, &sample, HISTORY / 2..HISTORY)?;
    let full_mb = started_mb(&mut host)?;
    let starts = starts(&mut host, STARTS);
    let (slowest, pages) = list(&host, Pages::All)?;
    let read_mb = settled_mb(host.serve_pid())?;
    let added = "memory that a long history adds";
    let mut figures = vec![
        figure("`serve` ready with a long history", median(starts), "ms", Some(1000.0), STARTS),
        figure("slowest page of a list", slowest, "ms", Some(20.0), pages),
        figure(added, full_mb - empty_mb, "MB", None, MEMORIES),
        figure(
            "memory that its second half adds",
            full_mb - half_mb,
            "MB",
            Some(FLAT_MB),
            MEMORIES,
        ),
        figure(&format!("{added}, every page read"), read_mb - empty_mb, "MB", None, 1),
    ];
    figures.extend(creates(&host)?);
    host.finish();
    Ok(figures)
}

/// Memory of a stopped host that was started and has shown its newest deployments; it is stopped again. What a
/// start leaves behind in the heap varies, so it is the median of several.
fn started_mb(host: &mut TestHost) -> Result<f64> {
    let mut measured = Vec::with_capacity(MEMORIES);
    for _ in 0..MEMORIES {
        host.restart();
        list(host, Pages::First)?;
        measured.push(settled_mb(host.serve_pid())?);
        host.stop_serve();
    }
    Ok(median(measured))
}

fn figure(what: &str, measured: f64, unit: &'static str, bar: Option<f64>, times: usize) -> Figure {
    let note = format!("{HISTORY} deployments in history; of {times}");
    Figure { what: what.to_owned(), measured, unit, bar, note }
}

/// Copies of a real record, as a stopped host's own store takes them.
fn fill(host: &TestHost, sample: &Deployment, numbers: Range<usize>) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let store = Store::open(&host.data_dir(), Limits::default())?;
    runtime.block_on(async {
        let mut made = tokio::task::JoinSet::new();
        for n in numbers {
            let (store, mut copy) = (store.clone(), sample.clone());
            let project = if n % 2 == 0 { 0 } else { n % PROJECTS };
            copy.project = format!("p{project}").parse::<ProjectName>()?;
            copy.id = DeploymentId::generate();
            copy.status = match n % 3 {
                0 => DeploymentStatus::Failed,
                _ => DeploymentStatus::Retired,
            };
            copy.artifact_pruned = true;
            made.spawn(async move {
                store.ensure_project(&copy.project).await?;
                store.create_deployment(copy).await
            });
            if made.len() >= 256 {
                made.join_next().await.context("nothing is being made")???;
            }
        }
        while let Some(ended) = made.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pages {
    First,
    All,
}

/// Reads lists of every choice, to their ends if asked to: how long the slowest page took, and how many there
/// were.
fn list(host: &TestHost, which: Pages) -> Result<(f64, usize)> {
    let (mut slowest, mut pages) = (0.0_f64, 0);
    for choice in [
        "",
        "&status=failed",
        "&project=p0",
        "&project=p0&status=failed",
        "&project=p0&environment=production",
        "&environment=production&status=retired",
        "&project=p7&environment=production&status=retired",
        "&status=paused",
    ] {
        let mut before = String::new();
        loop {
            let path = format!("/v1/deployments?limit=50{choice}{before}");
            let began = Instant::now();
            let answer = host.api("GET", &path, None);
            slowest = slowest.max(began.elapsed().as_secs_f64() * 1e3);
            pages += 1;
            if answer.status == 404 {
                break;
            }
            let page: Page<DeploymentView> = answer.json();
            let Some(next) = page.next.filter(|_| which == Pages::All) else { break };
            before = format!("&before={next}");
        }
    }
    Ok((slowest, pages))
}

fn create(host: &TestHost, token: &str, project: &str) -> Result<(Response, f64)> {
    let path = format!("/v1/projects/{project}/environments/production/deployments?create=true");
    let body = br#"{"git_url": "file:///nowhere/at-all"}"#;
    let headers = vec![
        ("authorization", format!("Bearer {token}")),
        ("content-type", "application/json".to_owned()),
    ];
    let request =
        Request { method: "POST", target: &path, host: "localhost", headers, body: Some(body) };
    let began = Instant::now();
    let answer = http::send(host.api_address(), &request)?;
    Ok((answer, began.elapsed().as_secs_f64() * 1e3))
}

fn creates(host: &TestHost) -> Result<Vec<Figure>> {
    let token = host.token();
    create(host, &token, "single")?;
    let mut one_by_one = Vec::with_capacity(CREATES);
    for _ in 0..CREATES {
        let (answer, took_ms) = create(host, &token, "single")?;
        ensure!(answer.status == 202, "{}", answer.text());
        one_by_one.push(took_ms);
    }
    let answered: Vec<Result<(Response, f64)>> = std::thread::scope(|threads| {
        let token = &token;
        let asked: Vec<_> = (0..AT_ONCE)
            .map(|n| threads.spawn(move || create(host, token, &format!("q{}", n % PROJECTS))))
            .collect();
        asked.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let mut slowest = 0.0_f64;
    for answer in answered {
        let (answer, took_ms) = answer?;
        ensure!(answer.status == 202, "{}", answer.text());
        slowest = slowest.max(took_ms);
    }
    let at_once = "slowest of 1000 create requests for 50 projects at once";
    Ok(vec![
        figure("create request, the commit synced", median(one_by_one), "ms", Some(15.0), CREATES),
        figure(at_once, slowest, "ms", Some(2000.0), AT_ONCE),
    ])
}
